// SPDX-License-Identifier: Apache-2.0
pragma solidity 0.8.37;

import {Administrator} from "../src/Administrator.sol";
import {Bitacora} from "../src/Bitacora.sol";
import {Log, Record} from "../src/Log.sol";
import {ObjectContract} from "../src/ObjectContract.sol";
import {Participant} from "../src/Participant.sol";
import {Registry} from "../src/Registry.sol";
import {Resource} from "../src/Resource.sol";
import {Root} from "../src/Root.sol";
import {TUser} from "../src/TUser.sol";
import {Texts} from "../src/Texts.sol";
import {Kind, Operation} from "../src/Types.sol";
import {Actor, Check} from "./Check.sol";

/// @title A small tree
/// @notice The test is the root's account; `ana` is an administrator, `uma` a user, `eve` nobody.
abstract contract Tree is Check {
    bytes32 internal constant HASH = keccak256("content");
    bytes32 internal constant OTHER = keccak256("other content");
    string internal constant HERE = "192.0.2.7";

    Root internal root;
    Actor internal ana = new Actor();
    Actor internal uma = new Actor();
    Actor internal eve = new Actor();
    Administrator internal administrator;
    TUser internal user;
    Resource internal resource;

    // In the constructor, so that the code of the tree is no part of the code of the test.
    constructor() {
        root = new Root(HERE, HASH);
    }

    function setUp() external {
        administrator = Administrator(root.addAdministrator(address(ana), HERE, HASH));
        user = TUser(
            abi.decode(allowed(ana, address(administrator), addUser(address(uma), "Producer")), (address))
        );
        resource = user.resource(0);
    }

    function addAdministrator(address key) internal pure returns (bytes memory) {
        return abi.encodeCall(Administrator.addAdministrator, (key, HERE, HASH));
    }

    function addUser(address key, string memory role) internal pure returns (bytes memory) {
        return abi.encodeCall(Administrator.addUser, (key, role, HERE, HASH));
    }

    function addEvent() internal pure returns (bytes memory) {
        return addEvent(HERE, "/harvest", "createData", HASH);
    }

    function addEvent(string memory where, string memory target, string memory what, bytes32 contentHash)
        internal
        pure
        returns (bytes memory)
    {
        return abi.encodeCall(Participant.addEvent, (Operation.Create, where, target, what, contentHash));
    }

    function addResource() internal pure returns (bytes memory) {
        return abi.encodeCall(TUser.addResource, (HERE, "lot 4711", HASH));
    }

    function updateResource() internal pure returns (bytes memory) {
        return abi.encodeCall(Resource.updateResource, (HERE, "updateData", OTHER));
    }

    function deleteResource() internal pure returns (bytes memory) {
        return abi.encodeCall(Resource.deleteResource, (HERE, "deleteData", OTHER));
    }

    function notOwner(Actor caller) internal pure returns (bytes memory) {
        return notOwner(address(caller));
    }

    function notOwner(address caller) internal pure returns (bytes memory) {
        return abi.encodeWithSelector(ObjectContract.NotOwner.selector, caller);
    }

    function notAdministrator(address caller) internal pure returns (bytes memory) {
        return abi.encodeWithSelector(Registry.NotAdministrator.selector, caller);
    }

    function keyTaken(address key) internal pure returns (bytes memory) {
        return abi.encodeWithSelector(Registry.KeyTaken.selector, key);
    }

    function zeroKey() internal pure returns (bytes memory) {
        return abi.encodeWithSelector(Registry.ZeroKey.selector);
    }

    function alreadyInitialised() internal pure returns (bytes memory) {
        return abi.encodeWithSelector(ObjectContract.AlreadyInitialised.selector);
    }

    function emptyText(string memory field) internal pure returns (bytes memory) {
        return abi.encodeWithSelector(Texts.EmptyText.selector, field);
    }

    function tooLong(string memory field, uint256 length, uint256 limit) internal pure returns (bytes memory) {
        return abi.encodeWithSelector(Texts.TextTooLong.selector, field, length, limit);
    }

    function emptyContentHash() internal pure returns (bytes memory) {
        return abi.encodeWithSelector(Log.EmptyContentHash.selector);
    }

    function isCreation(Record memory record, uint256 id, address who, address subject, string memory what)
        internal
        view
    {
        isRecord(record, id, who, Operation.Create, subject, what, HASH);
        same(record.target, "", "target");
    }

    function isRecord(
        Record memory record,
        uint256 id,
        address who,
        Operation how,
        address subject,
        string memory what,
        bytes32 contentHash
    ) internal view {
        same(record.id, id, "id");
        same(record.who, who, "who");
        same(record.when, block.timestamp, "when");
        same(uint256(record.how), uint256(how), "how");
        same(record.where, HERE, "where");
        same(record.what, what, "what");
        same(record.contentHash, contentHash, "content hash");
        same(record.subject, subject, "subject");
    }
}
