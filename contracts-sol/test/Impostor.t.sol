// SPDX-License-Identifier: Apache-2.0
pragma solidity 0.8.37;

import {Administrator} from "../src/Administrator.sol";
import {Bitacora} from "../src/Bitacora.sol";
import {Clones} from "../src/Clones.sol";
import {Birth} from "../src/Participant.sol";
import {Registry} from "../src/Registry.sol";
import {Resource} from "../src/Resource.sol";
import {TUser} from "../src/TUser.sol";
import {Kind, Operation} from "../src/Types.sol";
import {Actor} from "./Check.sol";
import {Tree} from "./Tree.sol";

/// A contract that claims to be an administrator's.
contract FalseAdministrator {
    address public immutable owner;
    Kind public constant kind = Kind.Administrator;

    constructor(address owner_) {
        owner = owner_;
    }

    function register(Registry registry, address key) external returns (address) {
        return registry.registerUser(key, "Producer", "nowhere", keccak256("false"));
    }

    function promote(Registry registry, address key) external returns (address) {
        return registry.registerAdministrator(key, "nowhere", keccak256("false"));
    }
}

/// Proxies are made by the tree, taken once, and proxies made elsewhere have no say.
contract ImpostorTest is Tree {
    function test_a_false_administrator_cannot_register_anyone() external {
        FalseAdministrator impostor = new FalseAdministrator(address(ana));
        bytes memory fault = notAdministrator(address(impostor));
        refused(address(impostor), abi.encodeCall(impostor.register, (root, address(eve))), fault);
        refused(address(impostor), abi.encodeCall(impostor.promote, (root, address(eve))), fault);
        check(root.kindOf(address(eve)) == Kind.None, "kind");
    }

    function test_a_proxy_of_the_true_code_is_no_administrator_either() external {
        Administrator impostor = Administrator(Clones.clone(root.administratorImplementation()));
        Bitacora log = Bitacora(Clones.clone(root.bitacoraImplementation()));
        log.initialise(address(impostor), address(eve));
        impostor.initialise(birth(address(root), log));
        same(impostor.owner(), address(eve), "eve owns her proxy");
        bytes memory fault = notAdministrator(address(impostor));
        refused(eve, address(impostor), addUser(address(new Actor()), "Producer"), fault);
        refused(eve, address(impostor), addAdministrator(address(new Actor())), fault);
        same(root.keyOf(address(impostor)), address(0), "the registry does not know it");
    }

    function test_a_false_resource_cannot_record_in_the_log_of_a_user() external {
        Resource impostor = Resource(Clones.clone(root.resourceImplementation()));
        // The proxy takes whoever initialises it for its user, and that is not the user here.
        impostor.initialise(address(eve), 0, 0, HASH);
        same(impostor.parent(), address(this), "parent");
        bytes memory data = abi.encodeCall(TUser.recordChange, (0, Operation.Update, HERE, "updateData", HASH));
        refused(address(user), data, abi.encodeWithSelector(TUser.NotResource.selector, address(this)));
    }

    function test_a_user_made_elsewhere_is_not_in_the_registry() external {
        TUser impostor = TUser(Clones.clone(root.userImplementation()));
        Bitacora log = Bitacora(Clones.clone(root.bitacoraImplementation()));
        log.initialise(address(impostor), address(eve));
        impostor.initialise(birth(address(administrator), log), "Producer");
        same(root.keyOf(address(impostor)), address(0), "key");
        check(root.kindOf(address(eve)) == Kind.None, "kind");
    }

    function test_an_implementation_cannot_be_initialised() external {
        Birth memory false_ = birth(address(root), Bitacora(address(0)));
        bytes memory fault = alreadyInitialised();
        refused(root.administratorImplementation(), abi.encodeCall(Administrator.initialise, (false_)), fault);
        refused(root.userImplementation(), abi.encodeCall(TUser.initialise, (false_, "Producer")), fault);
        refused(
            root.resourceImplementation(), abi.encodeCall(Resource.initialise, (address(eve), 0, 0, HASH)), fault
        );
        refused(
            root.bitacoraImplementation(),
            abi.encodeCall(Bitacora.initialise, (address(eve), address(eve))),
            fault
        );
    }

    function test_an_implementation_belongs_to_nobody() external {
        Administrator implementation = Administrator(root.administratorImplementation());
        same(implementation.owner(), address(0), "owner");
        check(implementation.kind() == Kind.None, "kind");
        refused(eve, address(implementation), addUser(address(eve), "Producer"), notOwner(eve));
        refused(eve, root.userImplementation(), addEvent(), notOwner(eve));
        refused(eve, root.resourceImplementation(), updateResource(), notOwner(eve));
    }

    function test_a_participant_cannot_be_initialised_again() external {
        Birth memory false_ = birth(address(root), Bitacora(address(0)));
        bytes memory fault = alreadyInitialised();
        refused(eve, address(administrator), abi.encodeCall(Administrator.initialise, (false_)), fault);
        refused(ana, address(administrator), abi.encodeCall(Administrator.initialise, (false_)), fault);
        refused(eve, address(user), abi.encodeCall(TUser.initialise, (false_, "Producer")), fault);
        refused(uma, address(user), abi.encodeCall(TUser.initialise, (false_, "Producer")), fault);
        same(administrator.owner(), address(ana), "owner of the administrator");
        same(user.owner(), address(uma), "owner of the user");
    }

    function test_a_resource_cannot_be_initialised_again() external {
        bytes memory data = abi.encodeCall(Resource.initialise, (address(eve), 0, 0, HASH));
        refused(eve, address(resource), data, alreadyInitialised());
        refused(uma, address(resource), data, alreadyInitialised());
        same(resource.owner(), address(uma), "owner");
    }

    function test_a_log_cannot_be_initialised_again() external {
        bytes memory data = abi.encodeCall(Bitacora.initialise, (address(eve), address(eve)));
        refused(eve, address(user.bitacora()), data, alreadyInitialised());
        refused(eve, address(root.bitacora()), data, alreadyInitialised());
        same(user.bitacora().parent(), address(user), "parent");
    }

    function birth(address parent, Bitacora log) private view returns (Birth memory) {
        return Birth({
            key: address(eve), parent: parent, bitacora: log, creator: address(eve), where: HERE, contentHash: HASH
        });
    }
}
