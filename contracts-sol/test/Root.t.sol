// SPDX-License-Identifier: Apache-2.0
pragma solidity 0.8.37;

import {Administrator} from "../src/Administrator.sol";
import {Bitacora} from "../src/Bitacora.sol";
import {Log} from "../src/Log.sol";
import {Registry} from "../src/Registry.sol";
import {Root} from "../src/Root.sol";
import {Texts} from "../src/Texts.sol";
import {Kind, Operation} from "../src/Types.sol";
import {Actor, Check} from "./Check.sol";
import {Tree} from "./Tree.sol";

/// What the root may, and what nobody may in its place.
contract RootTest is Tree {
    function test_the_root_belongs_to_the_account_that_deployed_it() external view {
        same(root.owner(), address(this), "owner");
        same(root.parent(), address(0), "parent");
        same(root.root(), address(root), "root");
        check(root.kind() == Kind.Root, "kind");
        check(root.createdAt() != 0 && root.createdAt() <= block.timestamp, "created at");
        same(root.contractOf(address(this)), address(root), "contract of the key");
        same(root.keyOf(address(root)), address(this), "key of the contract");
    }

    function test_the_first_record_of_the_root_is_its_creation() external view {
        Bitacora log = root.bitacora();
        same(log.record(0).who, address(this), "who");
        same(log.record(0).what, "createRoot", "what");
        same(log.record(0).where, HERE, "where");
        same(log.record(0).subject, address(root), "subject");
        same(log.record(0).contentHash, HASH, "content hash");
        same(log.record(0).when, root.createdAt(), "when");
    }

    function test_the_root_adds_an_administrator() external {
        Actor bo = new Actor();
        Administrator added = Administrator(root.addAdministrator(address(bo), HERE, HASH));
        same(added.owner(), address(bo), "owner");
        same(added.parent(), address(root), "parent");
        same(added.root(), address(root), "root");
        same(added.createdAt(), block.timestamp, "created at");
        check(added.kind() == Kind.Administrator, "kind");
        check(root.kindOf(address(bo)) == Kind.Administrator, "kind of the key");
        check(root.kindOf(address(added)) == Kind.Administrator, "kind of the contract");
        same(root.contractOf(address(bo)), address(added), "contract of the key");
        same(root.keyOf(address(added)), address(bo), "key of the contract");
    }

    function test_adding_an_administrator_is_in_both_logs() external {
        Actor bo = new Actor();
        Administrator added = Administrator(root.addAdministrator(address(bo), HERE, HASH));
        same(root.bitacora().count(), 3, "the root's records");
        isCreation(root.bitacora().record(2), 2, address(this), address(added), "createAdministrator");
        same(added.bitacora().count(), 1, "the administrator's records");
        isCreation(added.bitacora().record(0), 0, address(this), address(added), "createAdministrator");
    }

    function test_nobody_else_adds_an_administrator_to_the_root() external {
        bytes memory data = addAdministrator(address(new Actor()));
        refused(eve, address(root), data, notOwner(eve));
        refused(ana, address(root), data, notOwner(ana));
        refused(uma, address(root), data, notOwner(uma));
    }

    function test_the_root_has_no_way_to_add_a_user() external {
        refused(address(root), addUser(address(new Actor()), "Producer"), "");
    }

    function test_the_root_cannot_act_as_an_administrator() external {
        refused(address(administrator), addUser(address(new Actor()), "Producer"), notOwner(address(this)));
        refused(address(administrator), addAdministrator(address(new Actor())), notOwner(address(this)));
        refused(address(administrator), addEvent(), notOwner(address(this)));
    }

    function test_the_root_cannot_act_as_a_user() external {
        refused(address(user), addEvent(), notOwner(address(this)));
        refused(address(user), addResource(), notOwner(address(this)));
    }

    function test_the_root_cannot_touch_a_resource() external {
        refused(address(resource), updateResource(), notOwner(address(this)));
        refused(address(resource), deleteResource(), notOwner(address(this)));
        same(resource.count(), 1, "versions");
    }

    function test_the_root_account_cannot_call_the_registry_itself() external {
        Actor bo = new Actor();
        refused(address(root), registerUser(address(bo)), notAdministrator(address(this)));
        refused(address(root), registerAdministrator(address(bo)), notAdministrator(address(this)));
    }

    function test_an_administrator_account_cannot_call_the_registry_itself() external {
        Actor bo = new Actor();
        refused(ana, address(root), registerUser(address(bo)), notAdministrator(address(ana)));
        refused(ana, address(root), registerAdministrator(address(bo)), notAdministrator(address(ana)));
    }

    function test_a_user_or_a_stranger_cannot_call_the_registry() external {
        Actor bo = new Actor();
        refused(uma, address(root), registerUser(address(bo)), notAdministrator(address(uma)));
        refused(eve, address(root), registerUser(address(bo)), notAdministrator(address(eve)));
        refused(uma, address(root), registerAdministrator(address(bo)), notAdministrator(address(uma)));
        refused(eve, address(root), registerAdministrator(address(bo)), notAdministrator(address(eve)));
    }

    function test_an_administrator_cannot_be_added_twice() external {
        refused(address(root), addAdministrator(address(ana)), keyTaken(address(ana)));
        same(root.bitacora().count(), 2, "a refusal leaves no record");
    }

    function test_a_user_cannot_become_an_administrator() external {
        refused(address(root), addAdministrator(address(uma)), keyTaken(address(uma)));
        check(root.kindOf(address(uma)) == Kind.TUser, "kind");
    }

    function test_the_root_cannot_become_its_own_administrator() external {
        refused(address(root), addAdministrator(address(this)), keyTaken(address(this)));
    }

    function test_the_contract_of_a_participant_cannot_become_a_key() external {
        refused(address(root), addAdministrator(address(root)), keyTaken(address(root)));
        refused(address(root), addAdministrator(address(administrator)), keyTaken(address(administrator)));
        refused(address(root), addAdministrator(address(user)), keyTaken(address(user)));
    }

    function test_the_zero_address_cannot_become_an_administrator() external {
        refused(address(root), addAdministrator(address(0)), zeroKey());
    }

    function test_a_refused_registration_leaves_nothing_behind() external {
        Actor bo = new Actor();
        refused(
            address(root), abi.encodeCall(Root.addAdministrator, (address(bo), "", HASH)), emptyText("where")
        );
        refused(
            address(root), abi.encodeCall(Root.addAdministrator, (address(bo), HERE, 0)), emptyContentHash()
        );
        refused(
            address(root),
            abi.encodeCall(Root.addAdministrator, (address(bo), text(256), HASH)),
            tooLong("where", 256, 255)
        );
        check(root.kindOf(address(bo)) == Kind.None, "kind");
        same(root.contractOf(address(bo)), address(0), "contract");
        same(root.bitacora().count(), 2, "records");
        root.addAdministrator(address(bo), HERE, HASH);
    }

    function test_the_registry_knows_no_stranger() external view {
        check(root.kindOf(address(eve)) == Kind.None, "kind");
        same(root.contractOf(address(eve)), address(0), "contract");
        same(root.keyOf(address(eve)), address(0), "key");
        check(root.kindOf(address(0)) == Kind.None, "kind of zero");
    }

    function test_a_key_is_no_contract_and_a_contract_is_no_key() external view {
        same(root.keyOf(address(ana)), address(0), "a key taken for a contract");
        same(root.contractOf(address(administrator)), address(0), "a contract taken for a key");
    }

    function test_the_root_records_events_of_its_own() external {
        same(root.addEvent(Operation.Read, HERE, "/users", "readTUser", OTHER), 2, "id");
        isRecord(root.bitacora().record(2), 2, address(this), Operation.Read, address(0), "readTUser", OTHER);
        refused(ana, address(root), addEvent(), notOwner(ana));
        refused(eve, address(root), addEvent(), notOwner(eve));
    }

    function registerUser(address key) private pure returns (bytes memory) {
        return abi.encodeCall(Registry.registerUser, (key, "Producer", HERE, HASH));
    }

    function registerAdministrator(address key) private pure returns (bytes memory) {
        return abi.encodeCall(Registry.registerAdministrator, (key, HERE, HASH));
    }
}

/// Two trees know nothing of each other.
contract TwoTreesTest is Tree {
    Root private second;

    // Made here for the same reason as the first: its code is large.
    constructor() {
        second = new Root(HERE, OTHER);
    }

    function test_an_administrator_of_one_tree_is_a_stranger_in_another() external {
        check(second.kindOf(address(ana)) == Kind.None, "kind");
        same(second.keyOf(address(administrator)), address(0), "key");
        refused(ana, address(second), addAdministrator(address(eve)), notOwner(ana));
    }

    function test_a_key_may_be_a_member_of_two_trees() external {
        second.addAdministrator(address(ana), HERE, HASH);
        check(second.contractOf(address(ana)) != address(administrator), "one contract in two trees");
    }
}

/// A tree that would start with too little does not start.
contract RefusedRootTest is Check {
    bytes private nowhere;
    bytes private nothing;

    // Two are enough for one transaction: a refusal costs as much gas as a deployment.
    constructor() {
        nowhere = fault("", keccak256("content"));
        nothing = fault("192.0.2.7", 0);
    }

    function test_a_root_needs_a_where() external view {
        same(keccak256(nowhere), keccak256(abi.encodeWithSelector(Texts.EmptyText.selector, "where")), "another reason");
    }

    function test_a_root_needs_a_content_hash() external view {
        same(keccak256(nothing), keccak256(abi.encodeWithSelector(Log.EmptyContentHash.selector)), "another reason");
    }

    function fault(string memory where, bytes32 contentHash) private returns (bytes memory) {
        try new Root(where, contentHash) returns (Root) {
            revert Failed("was allowed");
        } catch (bytes memory reason) {
            return reason;
        }
    }
}
