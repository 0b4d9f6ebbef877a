// SPDX-License-Identifier: Apache-2.0
pragma solidity 0.8.37;

import {Administrator} from "../src/Administrator.sol";
import {Resource} from "../src/Resource.sol";
import {TUser} from "../src/TUser.sol";
import {Kind, Operation} from "../src/Types.sol";
import {Actor} from "./Check.sol";
import {Tree} from "./Tree.sol";

/// What an administrator may, and what it may not.
contract AdministratorTest is Tree {
    function test_an_administrator_adds_an_administrator() external {
        Actor bo = new Actor();
        Administrator added = add(bo);
        same(added.owner(), address(bo), "owner");
        same(added.parent(), address(administrator), "parent");
        same(added.root(), address(root), "root");
        check(root.kindOf(address(bo)) == Kind.Administrator, "kind");
        same(root.contractOf(address(bo)), address(added), "contract");
    }

    function test_an_added_administrator_has_the_same_powers() external {
        Actor bo = new Actor();
        Actor cy = new Actor();
        allowed(bo, address(add(bo)), addUser(address(cy), "Carrier"));
        check(root.kindOf(address(cy)) == Kind.TUser, "kind");
    }

    function test_adding_an_administrator_is_in_both_logs() external {
        Administrator added = add(new Actor());
        isCreation(administrator.bitacora().record(2), 2, address(ana), address(added), "createAdministrator");
        same(added.bitacora().count(), 1, "records");
        isCreation(added.bitacora().record(0), 0, address(ana), address(added), "createAdministrator");
        same(root.bitacora().count(), 2, "the root did nothing");
    }

    function test_an_administrator_adds_a_user_with_a_first_resource() external view {
        same(user.owner(), address(uma), "owner");
        same(user.parent(), address(administrator), "parent");
        same(user.root(), address(root), "root");
        same(user.role(), "Producer", "role");
        check(user.kind() == Kind.TUser, "kind");
        check(root.kindOf(address(uma)) == Kind.TUser, "kind of the key");
        same(root.contractOf(address(uma)), address(user), "contract of the key");
        same(root.keyOf(address(user)), address(uma), "key of the contract");
        same(user.resourceCount(), 1, "resources");
        same(resource.owner(), address(uma), "the resource's owner");
        same(resource.parent(), address(user), "the resource's parent");
        check(resource.kind() == Kind.Resource, "the resource's kind");
        same(resource.count(), 1, "versions");
    }

    function test_adding_a_user_is_in_both_logs() external {
        Actor bo = new Actor();
        address added = abi.decode(allowed(ana, address(administrator), addUser(address(bo), "Carrier")), (address));
        isCreation(administrator.bitacora().record(2), 2, address(ana), added, "createTUser");
        same(TUser(added).bitacora().count(), 2, "records");
        isCreation(TUser(added).bitacora().record(0), 0, address(ana), added, "createTUser");
        Resource first = TUser(added).resource(0);
        isCreation(TUser(added).bitacora().record(1), 1, address(ana), address(first), "Carrier");
        isCreation(first.record(0), 1, address(ana), address(first), "Carrier");
    }

    function test_nobody_else_acts_through_an_administrator() external {
        Actor bo = new Actor();
        add(bo);
        Actor[3] memory others = [bo, uma, eve];
        bytes memory user_ = addUser(address(new Actor()), "Carrier");
        bytes memory administrator_ = addAdministrator(address(new Actor()));
        for (uint256 i = 0; i < others.length; ++i) {
            refused(others[i], address(administrator), user_, notOwner(others[i]));
            refused(others[i], address(administrator), administrator_, notOwner(others[i]));
            refused(others[i], address(administrator), addEvent(), notOwner(others[i]));
        }
    }

    function test_a_user_cannot_be_added_twice() external {
        refused(ana, address(administrator), addUser(address(uma), "Producer"), keyTaken(address(uma)));
        refused(ana, address(administrator), addUser(address(uma), "Carrier"), keyTaken(address(uma)));
    }

    function test_two_administrators_cannot_add_the_same_user() external {
        Actor bo = new Actor();
        refused(bo, address(add(bo)), addUser(address(uma), "Producer"), keyTaken(address(uma)));
    }

    function test_an_administrator_cannot_become_a_user() external {
        Actor bo = new Actor();
        add(bo);
        refused(ana, address(administrator), addUser(address(bo), "Producer"), keyTaken(address(bo)));
        refused(ana, address(administrator), addUser(address(ana), "Producer"), keyTaken(address(ana)));
    }

    function test_the_root_cannot_become_a_user_or_an_administrator() external {
        refused(ana, address(administrator), addUser(address(this), "Producer"), keyTaken(address(this)));
        refused(ana, address(administrator), addAdministrator(address(this)), keyTaken(address(this)));
    }

    function test_an_administrator_cannot_add_an_administrator_twice() external {
        Actor bo = new Actor();
        add(bo);
        refused(ana, address(administrator), addAdministrator(address(bo)), keyTaken(address(bo)));
        refused(ana, address(administrator), addAdministrator(address(uma)), keyTaken(address(uma)));
        refused(ana, address(administrator), addAdministrator(address(ana)), keyTaken(address(ana)));
    }

    function test_the_contract_of_a_participant_cannot_become_a_user() external {
        refused(ana, address(administrator), addUser(address(user), "Producer"), keyTaken(address(user)));
        refused(ana, address(administrator), addUser(address(root), "Producer"), keyTaken(address(root)));
        refused(
            ana, address(administrator), addUser(address(administrator), "Producer"), keyTaken(address(administrator))
        );
    }

    function test_the_zero_address_cannot_become_a_member() external {
        refused(ana, address(administrator), addUser(address(0), "Producer"), zeroKey());
        refused(ana, address(administrator), addAdministrator(address(0)), zeroKey());
    }

    function test_a_role_has_1_to_31_bytes() external {
        Actor bo = new Actor();
        refused(ana, address(administrator), addUser(address(bo), ""), emptyText("role"));
        refused(ana, address(administrator), addUser(address(bo), text(32)), tooLong("role", 32, 31));
        address added = abi.decode(allowed(ana, address(administrator), addUser(address(bo), text(31))), (address));
        same(TUser(added).role(), text(31), "role");
    }

    function test_a_refused_creation_leaves_nothing_behind() external {
        Actor bo = new Actor();
        bytes[6] memory calls = [
            abi.encodeCall(Administrator.addUser, (address(bo), "Carrier", "", HASH)),
            abi.encodeCall(Administrator.addUser, (address(bo), "Carrier", text(256), HASH)),
            abi.encodeCall(Administrator.addUser, (address(bo), "Carrier", HERE, 0)),
            abi.encodeCall(Administrator.addAdministrator, (address(bo), "", HASH)),
            abi.encodeCall(Administrator.addAdministrator, (address(bo), text(256), HASH)),
            abi.encodeCall(Administrator.addAdministrator, (address(bo), HERE, 0))
        ];
        bytes[3] memory faults = [emptyText("where"), tooLong("where", 256, 255), emptyContentHash()];
        for (uint256 i = 0; i < calls.length; ++i) {
            refused(ana, address(administrator), calls[i], faults[i % 3]);
        }
        check(root.kindOf(address(bo)) == Kind.None, "kind");
        same(administrator.bitacora().count(), 2, "records");
    }

    function test_an_administrator_cannot_act_as_the_user_it_created() external {
        refused(ana, address(user), addEvent(), notOwner(ana));
        refused(ana, address(user), addResource(), notOwner(ana));
    }

    function test_an_administrator_cannot_touch_a_resource() external {
        refused(ana, address(resource), updateResource(), notOwner(ana));
        refused(ana, address(resource), deleteResource(), notOwner(ana));
        same(resource.count(), 1, "versions");
        check(!resource.deleted(), "deleted");
    }

    function test_an_administrator_records_events_of_its_own() external {
        allowed(ana, address(administrator), addEvent(HERE, "/login", "loginUser", OTHER));
        isRecord(
            administrator.bitacora().record(2), 2, address(ana), Operation.Create, address(0), "loginUser", OTHER
        );
    }

    function add(Actor actor) private returns (Administrator) {
        return
            Administrator(
                abi.decode(allowed(ana, address(administrator), addAdministrator(address(actor))), (address))
            );
    }
}
