// SPDX-License-Identifier: Apache-2.0
pragma solidity 0.8.37;

import {Record} from "../src/Log.sol";
import {Resource} from "../src/Resource.sol";
import {Operation} from "../src/Types.sol";
import {Actor} from "./Check.sol";
import {Tree} from "./Tree.sol";

/// The history of a resource only grows, and only its user makes it grow.
contract ResourceTest is Tree {
    function test_an_update_appends_and_the_creation_stays() external {
        same(abi.decode(allowed(uma, address(resource), updateResource()), (uint256)), 1, "version");
        same(resource.count(), 2, "versions");
        isRecord(resource.record(0), 1, address(ana), Operation.Create, address(resource), "Producer", HASH);
        isRecord(resource.record(1), 2, address(uma), Operation.Update, address(resource), "updateData", OTHER);
    }

    function test_every_update_is_a_version_of_its_own() external {
        for (uint256 i = 1; i <= 9; ++i) {
            bytes32 contentHash = keccak256(abi.encode(i));
            bytes memory data = abi.encodeCall(Resource.updateResource, (HERE, "updateData", contentHash));
            same(abi.decode(allowed(uma, address(resource), data), (uint256)), i, "version");
        }
        same(resource.count(), 10, "versions");
        for (uint256 i = 1; i <= 9; ++i) {
            same(resource.record(i).contentHash, keccak256(abi.encode(i)), "content hash");
        }
    }

    function test_a_deletion_is_a_version_and_the_history_stays() external {
        allowed(uma, address(resource), updateResource());
        same(abi.decode(allowed(uma, address(resource), deleteResource()), (uint256)), 2, "version");
        check(resource.deleted(), "deleted");
        Record[] memory history = resource.records(0, 10);
        same(history.length, 3, "versions");
        same(history[0].what, "Producer", "creation");
        same(history[1].what, "updateData", "update");
        isRecord(history[2], 3, address(uma), Operation.Delete, address(resource), "deleteData", OTHER);
    }

    function test_a_deleted_resource_takes_no_update() external {
        allowed(uma, address(resource), deleteResource());
        refused(uma, address(resource), updateResource(), resourceDeleted());
        same(resource.count(), 2, "versions");
    }

    function test_a_deleted_resource_is_not_deleted_again() external {
        allowed(uma, address(resource), deleteResource());
        refused(uma, address(resource), deleteResource(), resourceDeleted());
        same(resource.count(), 2, "versions");
    }

    function test_deleting_one_resource_leaves_the_others_alone() external {
        Resource second = abi.decode(allowed(uma, address(user), addResource()), (Resource));
        allowed(uma, address(resource), deleteResource());
        check(!second.deleted(), "deleted");
        allowed(uma, address(second), updateResource());
        same(second.count(), 2, "versions of the second");
        same(second.place(0), 2, "place of its creation");
        same(second.place(1), 4, "place of its update");
    }

    function test_every_change_is_in_the_log_of_the_user() external {
        allowed(uma, address(resource), updateResource());
        allowed(uma, address(resource), deleteResource());
        same(user.bitacora().count(), 4, "records");
        isRecord(
            user.bitacora().record(2), 2, address(uma), Operation.Update, address(resource), "updateData", OTHER
        );
        isRecord(
            user.bitacora().record(3), 3, address(uma), Operation.Delete, address(resource), "deleteData", OTHER
        );
    }

    function test_a_stranger_cannot_touch_a_resource() external {
        refused(eve, address(resource), updateResource(), notOwner(eve));
        refused(eve, address(resource), deleteResource(), notOwner(eve));
    }

    function test_root_and_administrator_cannot_touch_a_resource() external {
        refused(address(resource), updateResource(), notOwner(address(this)));
        refused(address(resource), deleteResource(), notOwner(address(this)));
        refused(ana, address(resource), updateResource(), notOwner(ana));
        refused(ana, address(resource), deleteResource(), notOwner(ana));
    }

    function test_another_user_cannot_touch_a_resource() external {
        Actor bo = new Actor();
        allowed(ana, address(administrator), addUser(address(bo), "Carrier"));
        refused(bo, address(resource), updateResource(), notOwner(bo));
        refused(bo, address(resource), deleteResource(), notOwner(bo));
        same(resource.count(), 1, "versions");
    }

    function test_a_change_needs_a_where_a_what_and_a_content_hash() external {
        bytes[3] memory faults = [emptyText("where"), emptyText("what"), emptyContentHash()];
        bytes[6] memory calls = [
            abi.encodeCall(Resource.updateResource, ("", "w", HASH)),
            abi.encodeCall(Resource.updateResource, (HERE, "", HASH)),
            abi.encodeCall(Resource.updateResource, (HERE, "w", 0)),
            abi.encodeCall(Resource.deleteResource, ("", "w", HASH)),
            abi.encodeCall(Resource.deleteResource, (HERE, "", HASH)),
            abi.encodeCall(Resource.deleteResource, (HERE, "w", 0))
        ];
        for (uint256 i = 0; i < calls.length; ++i) {
            refused(uma, address(resource), calls[i], faults[i % 3]);
        }
        check(!resource.deleted(), "a refused deletion deletes nothing");
        same(resource.count(), 1, "versions");
    }

    function test_a_text_of_a_change_has_at_most_255_bytes() external {
        refused(
            uma,
            address(resource),
            abi.encodeCall(Resource.updateResource, (text(256), "w", HASH)),
            tooLong("where", 256, 255)
        );
        refused(
            uma,
            address(resource),
            abi.encodeCall(Resource.deleteResource, (HERE, text(256), HASH)),
            tooLong("what", 256, 255)
        );
        allowed(uma, address(resource), abi.encodeCall(Resource.updateResource, (text(255), text(255), HASH)));
        same(resource.record(1).what, text(255), "what");
    }

    function test_a_version_that_is_not_there_is_not_read() external {
        bytes memory fault = abi.encodeWithSelector(Resource.NoSuchVersion.selector, 1, 1);
        refused(eve, address(resource), abi.encodeCall(Resource.record, (1)), fault);
        refused(eve, address(resource), abi.encodeCall(Resource.place, (1)), fault);
    }

    function test_a_history_is_read_in_pages() external {
        for (uint256 i = 0; i < 4; ++i) {
            allowed(uma, address(resource), updateResource());
        }
        Record[] memory page = resource.records(1, 2);
        same(page.length, 2, "two in the middle");
        same(page[0].id, 2, "first of the page");
        same(page[1].id, 3, "second of the page");
        same(resource.records(4, 100).length, 1, "the last");
        same(resource.records(5, 100).length, 0, "behind the end");
        same(resource.records(type(uint256).max, type(uint256).max).length, 0, "far behind the end");
        same(resource.records(0, 0).length, 0, "none wanted");
    }

    function test_anyone_reads_a_history() external {
        bytes memory answer = allowed(eve, address(resource), abi.encodeCall(Resource.record, (0)));
        same(abi.decode(answer, (Record)).who, address(ana), "who");
    }

    function resourceDeleted() private pure returns (bytes memory) {
        return abi.encodeWithSelector(Resource.ResourceDeleted.selector);
    }
}
