// SPDX-License-Identifier: Apache-2.0
pragma solidity 0.8.37;

import {Bitacora} from "../src/Bitacora.sol";
import {Clones} from "../src/Clones.sol";
import {Entry, Log, Record} from "../src/Log.sol";
import {Kind, Operation} from "../src/Types.sol";
import {Actor} from "./Check.sol";
import {Tree} from "./Tree.sol";

/// A log is read by anyone, in full, and written by its participant alone.
contract BitacoraTest is Tree {
    function test_every_participant_has_a_log_of_its_own() external view {
        Bitacora[3] memory logs = [root.bitacora(), administrator.bitacora(), user.bitacora()];
        check(address(logs[0]) != address(logs[1]), "root and administrator share");
        check(address(logs[1]) != address(logs[2]), "administrator and user share");
        check(address(logs[0]) != address(logs[2]), "root and user share");
        same(logs[2].parent(), address(user), "parent");
        same(logs[2].owner(), address(uma), "owner");
        check(logs[2].kind() == Kind.Bitacora, "kind");
    }

    function test_anyone_reads_the_first_record() external {
        bytes memory answer = allowed(eve, address(user.bitacora()), abi.encodeCall(Log.record, (0)));
        isCreation(abi.decode(answer, (Record)), 0, address(ana), address(user), "createTUser");
    }

    function test_a_record_that_is_not_there_is_not_read() external {
        bytes memory fault = abi.encodeWithSelector(Log.NoSuchRecord.selector, 2, 2);
        refused(eve, address(user.bitacora()), abi.encodeCall(Log.record, (2)), fault);
        fault = abi.encodeWithSelector(Log.NoSuchRecord.selector, type(uint256).max, 2);
        refused(eve, address(user.bitacora()), abi.encodeCall(Log.record, (type(uint256).max)), fault);
    }

    function test_a_log_is_read_in_full_page_by_page() external {
        for (uint256 i = 0; i < 5; ++i) {
            allowed(uma, address(user), addEvent());
        }
        Bitacora log = user.bitacora();
        uint256 read = 0;
        for (uint256 from = 0; from < log.count(); from += 3) {
            Record[] memory page = log.records(from, 3);
            for (uint256 i = 0; i < page.length; ++i) {
                same(page[i].id, read++, "id");
            }
        }
        same(read, 7, "records");
    }

    function test_a_page_ends_where_the_log_ends() external view {
        Bitacora log = user.bitacora();
        same(log.records(0, 100).length, 2, "all");
        same(log.records(1, 100).length, 1, "the last");
        same(log.records(2, 100).length, 0, "behind the end");
        same(log.records(type(uint256).max, type(uint256).max).length, 0, "far behind the end");
        same(log.records(0, 0).length, 0, "none wanted");
    }

    function test_a_page_has_at_most_64_records() external {
        Bitacora log = own();
        for (uint256 i = 0; i < 65; ++i) {
            log.append(entry());
        }
        same(log.PAGE(), 64, "the limit");
        same(log.records(0, 1000).length, 64, "a page");
        same(log.records(64, 1000).length, 1, "the rest");
    }

    function test_nobody_appends_to_the_log_of_a_participant() external {
        bytes memory data = abi.encodeCall(Bitacora.append, (entry()));
        address[3] memory logs =
            [address(root.bitacora()), address(administrator.bitacora()), address(user.bitacora())];
        Actor[3] memory actors = [ana, uma, eve];
        for (uint256 i = 0; i < logs.length; ++i) {
            refused(logs[i], data, notParticipant(address(this)));
            for (uint256 j = 0; j < actors.length; ++j) {
                refused(actors[j], logs[i], data, notParticipant(address(actors[j])));
            }
        }
        same(user.bitacora().count(), 2, "records");
    }

    function test_an_entry_whose_lengths_do_not_add_up_is_refused() external {
        Bitacora log = own();
        Entry memory wrong = entry();
        wrong.whatLength += 1;
        refused(address(log), abi.encodeCall(Bitacora.append, (wrong)), mismatch(11, 10));
        wrong.whatLength -= 2;
        refused(address(log), abi.encodeCall(Bitacora.append, (wrong)), mismatch(9, 10));
        same(log.count(), 0, "records");
    }

    function test_a_log_refuses_an_entry_that_says_too_little() external {
        Bitacora log = own();
        Entry memory wrong = entry();
        wrong.whereLength = 0;
        refused(address(log), abi.encodeCall(Bitacora.append, (wrong)), emptyText("where"));
        wrong = entry();
        wrong.whatLength = 0;
        refused(address(log), abi.encodeCall(Bitacora.append, (wrong)), emptyText("what"));
        wrong = entry();
        wrong.contentHash = 0;
        refused(address(log), abi.encodeCall(Bitacora.append, (wrong)), emptyContentHash());
    }

    function test_a_record_is_read_as_it_was_appended() external {
        Bitacora log = own();
        same(log.append(entry()), 0, "id");
        Record memory record = log.record(0);
        same(record.who, address(eve), "who");
        same(record.when, block.timestamp, "when");
        check(record.how == Operation.Delete, "how");
        same(record.where, "here", "where");
        same(record.target, "it", "target");
        same(record.what, "what", "what");
        same(record.contentHash, HASH, "content hash");
        same(record.subject, address(0xabcd), "subject");
    }

    /// A log whose participant is this test.
    function own() private returns (Bitacora log) {
        log = Bitacora(Clones.clone(root.bitacoraImplementation()));
        log.initialise(address(this), address(this));
    }

    function entry() private view returns (Entry memory) {
        return Entry({
            who: address(eve),
            how: Operation.Delete,
            whereLength: 4,
            targetLength: 2,
            whatLength: 4,
            subject: address(0xabcd),
            contentHash: HASH,
            text: "hereitwhat"
        });
    }

    function notParticipant(address caller) private pure returns (bytes memory) {
        return abi.encodeWithSelector(Bitacora.NotParticipant.selector, caller);
    }

    function mismatch(uint256 lengths, uint256 length) private pure returns (bytes memory) {
        return abi.encodeWithSelector(Log.TextMismatch.selector, lengths, length);
    }
}
