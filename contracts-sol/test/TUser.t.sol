// SPDX-License-Identifier: Apache-2.0
pragma solidity 0.8.37;

import {Record} from "../src/Log.sol";
import {Resource} from "../src/Resource.sol";
import {TUser} from "../src/TUser.sol";
import {Operation} from "../src/Types.sol";
import {Actor} from "./Check.sol";
import {Tree} from "./Tree.sol";

/// What a user may, and what it may not.
contract TUserTest is Tree {
    function test_a_user_records_an_event() external {
        bytes memory answer = allowed(uma, address(user), addEvent(HERE, "/harvest", "createData", OTHER));
        same(abi.decode(answer, (uint256)), 2, "id");
        same(user.bitacora().count(), 3, "records");
        Record memory record = user.bitacora().record(2);
        isRecord(record, 2, address(uma), Operation.Create, address(0), "createData", OTHER);
        same(record.target, "/harvest", "target");
    }

    function test_an_event_has_any_of_the_four_operations() external {
        for (uint256 i = 0; i < 4; ++i) {
            Operation how = Operation(i);
            allowed(uma, address(user), abi.encodeCall(user.addEvent, (how, HERE, "", "data", HASH)));
            check(user.bitacora().record(2 + i).how == how, "how");
        }
    }

    function test_there_is_no_fifth_operation() external {
        bytes memory data = abi.encodeWithSelector(user.addEvent.selector, 4, HERE, "", "data", HASH);
        refused(uma, address(user), data, "");
    }

    function test_nobody_else_records_an_event_of_a_user() external {
        refused(eve, address(user), addEvent(), notOwner(eve));
        refused(ana, address(user), addEvent(), notOwner(ana));
        refused(address(user), addEvent(), notOwner(address(this)));
        Actor bo = another();
        refused(bo, address(user), addEvent(), notOwner(bo));
        same(user.bitacora().count(), 2, "records");
    }

    function test_an_event_needs_a_where_a_what_and_a_content_hash() external {
        refused(uma, address(user), addEvent("", "/harvest", "createData", HASH), emptyText("where"));
        refused(uma, address(user), addEvent(HERE, "/harvest", "", HASH), emptyText("what"));
        refused(uma, address(user), addEvent(HERE, "/harvest", "createData", 0), emptyContentHash());
        same(user.bitacora().count(), 2, "records");
    }

    function test_an_event_needs_no_target() external {
        allowed(uma, address(user), addEvent(HERE, "", "loginUser", HASH));
        same(user.bitacora().record(2).target, "", "target");
    }

    function test_a_text_of_an_event_has_at_most_255_bytes() external {
        refused(uma, address(user), addEvent(text(256), "t", "w", HASH), tooLong("where", 256, 255));
        refused(uma, address(user), addEvent("w", text(256), "w", HASH), tooLong("target", 256, 255));
        refused(uma, address(user), addEvent("w", "t", text(256), HASH), tooLong("what", 256, 255));
        refused(uma, address(user), addEvent("w", "t", text(5000), HASH), tooLong("what", 5000, 255));
        allowed(uma, address(user), addEvent(text(255), text(255), text(255), HASH));
        Record memory record = user.bitacora().record(2);
        same(record.where, text(255), "where");
        same(record.target, text(255), "target");
        same(record.what, text(255), "what");
    }

    function test_texts_of_every_length_are_read_as_they_were_written() external {
        uint8[9] memory lengths = [1, 10, 15, 16, 31, 32, 33, 64, 65];
        for (uint256 i = 0; i < lengths.length; ++i) {
            string memory where = text(lengths[i]);
            string memory target = text(lengths[(i + 1) % 9] - 1);
            string memory what = text(lengths[(i + 4) % 9]);
            allowed(uma, address(user), addEvent(where, target, what, HASH));
            Record memory record = user.bitacora().record(2 + i);
            same(record.where, where, "where");
            same(record.target, target, "target");
            same(record.what, what, "what");
        }
    }

    function test_the_same_event_twice_is_two_records() external {
        allowed(uma, address(user), addEvent());
        allowed(uma, address(user), addEvent());
        same(user.bitacora().count(), 4, "records");
        same(user.bitacora().record(2).contentHash, user.bitacora().record(3).contentHash, "content hash");
    }

    function test_an_event_never_has_a_subject() external {
        allowed(uma, address(user), addEvent(HERE, "", "createTUser", HASH));
        same(user.bitacora().record(2).subject, address(0), "a forged creation");
    }

    function test_a_user_adds_a_resource() external {
        Resource added = abi.decode(allowed(uma, address(user), addResource()), (Resource));
        same(user.resourceCount(), 2, "resources");
        same(address(user.resource(1)), address(added), "resource 1");
        same(address(user.resource(0)), address(resource), "resource 0");
        same(added.number(), 1, "number");
        same(added.owner(), address(uma), "owner");
        same(added.parent(), address(user), "parent");
        same(address(added.bitacora()), address(user.bitacora()), "log");
        isCreation(user.bitacora().record(2), 2, address(uma), address(added), "lot 4711");
        isCreation(added.record(0), 2, address(uma), address(added), "lot 4711");
    }

    function test_nobody_else_adds_a_resource_to_a_user() external {
        refused(eve, address(user), addResource(), notOwner(eve));
        refused(ana, address(user), addResource(), notOwner(ana));
        refused(address(user), addResource(), notOwner(address(this)));
        Actor bo = another();
        refused(bo, address(user), addResource(), notOwner(bo));
        same(user.resourceCount(), 1, "resources");
    }

    function test_a_resource_needs_a_where_a_description_and_a_content_hash() external {
        bytes[5] memory calls = [
            abi.encodeCall(TUser.addResource, ("", "lot", HASH)),
            abi.encodeCall(TUser.addResource, (HERE, "", HASH)),
            abi.encodeCall(TUser.addResource, (HERE, "lot", 0)),
            abi.encodeCall(TUser.addResource, (text(256), "lot", HASH)),
            abi.encodeCall(TUser.addResource, (HERE, text(256), HASH))
        ];
        bytes[5] memory faults = [
            emptyText("where"),
            emptyText("what"),
            emptyContentHash(),
            tooLong("where", 256, 255),
            tooLong("what", 256, 255)
        ];
        for (uint256 i = 0; i < calls.length; ++i) {
            refused(uma, address(user), calls[i], faults[i]);
        }
        same(user.resourceCount(), 1, "resources");
    }

    function test_a_resource_that_is_not_there_is_not_read() external {
        refused(
            address(user),
            abi.encodeCall(TUser.resource, (1)),
            abi.encodeWithSelector(TUser.NoSuchResource.selector, 1, 1)
        );
    }

    function test_a_user_cannot_create_members() external {
        refused(uma, address(user), addUser(address(eve), "Producer"), "");
        refused(uma, address(user), addAdministrator(address(eve)), "");
        refused(uma, address(administrator), addUser(address(eve), "Producer"), notOwner(uma));
        refused(uma, address(root), addAdministrator(address(eve)), notOwner(uma));
    }

    function test_a_user_cannot_record_a_change_by_itself() external {
        for (uint256 number = 0; number < 3; ++number) {
            bytes memory data =
                abi.encodeCall(TUser.recordChange, (number, Operation.Update, HERE, "updateData", HASH));
            refused(uma, address(user), data, notResource(address(uma)));
            refused(eve, address(user), data, notResource(address(eve)));
        }
    }

    function test_a_resource_of_one_user_cannot_record_in_the_log_of_another() external {
        Actor bo = another();
        Resource his = TUser(root.contractOf(address(bo))).resource(0);
        allowed(bo, address(his), updateResource());
        same(user.bitacora().count(), 2, "records of the one");
        same(TUser(root.contractOf(address(bo))).bitacora().count(), 3, "records of the other");
    }

    function another() private returns (Actor bo) {
        bo = new Actor();
        allowed(ana, address(administrator), addUser(address(bo), "Carrier"));
    }

    function notResource(address caller) private pure returns (bytes memory) {
        return abi.encodeWithSelector(TUser.NotResource.selector, caller);
    }
}
