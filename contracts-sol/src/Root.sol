// SPDX-License-Identifier: Apache-2.0
pragma solidity 0.8.37;

import {Administrator} from "./Administrator.sol";
import {Bitacora} from "./Bitacora.sol";
import {Clones} from "./Clones.sol";
import {Birth, Participant} from "./Participant.sol";
import {Registry} from "./Registry.sol";
import {Resource} from "./Resource.sol";
import {TUser} from "./TUser.sol";
import {Kind, Operation} from "./Types.sol";

/// @title The root of a tree
/// @notice Belongs to the account that deployed it, for ever: a tree has one root. Its account creates
/// administrators, and nothing else. The contract keeps the registry of the tree, and it makes every
/// participant's contract itself, so a registered participant always runs the code that came with the
/// root.
contract Root is Participant, Registry {
    struct Member {
        // The contract of a key, the key of a contract.
        address counterpart;
        Kind kind;
        bool isContract;
    }

    /// @notice Whose code the administrators run.
    address public immutable administratorImplementation;
    /// @notice Whose code the users run.
    address public immutable userImplementation;
    /// @notice Whose code the resources run.
    address public immutable resourceImplementation;
    /// @notice Whose code the logs run.
    address public immutable bitacoraImplementation;

    // Keys and contracts share one map, so a participant's contract can never become a key.
    mapping(address keyOrContract => Member) private _members;

    /// Lets the contracts of registered administrators through and nobody else.
    modifier onlyAdministrator() {
        Member storage caller = _members[msg.sender];
        if (!caller.isContract || caller.kind != Kind.Administrator) revert NotAdministrator(msg.sender);
        _;
    }

    /// @notice Deploys the tree: the code of every kind, and the root itself with its log.
    /// @dev Reverts with `EmptyText`, `TextTooLong` or `EmptyContentHash`.
    /// @param where where the request came from, 1 to 255 bytes
    /// @param contentHash the hash of what is known about the root, not zero
    constructor(string memory where, bytes32 contentHash) Participant(address(this)) {
        bitacoraImplementation = address(new Bitacora());
        resourceImplementation = address(new Resource());
        userImplementation = address(new TUser(address(this), resourceImplementation));
        administratorImplementation = address(new Administrator(address(this)));
        _enrol(msg.sender, address(this), address(0), Kind.Root);
        Birth memory birth = Birth({
            key: msg.sender,
            parent: address(0),
            bitacora: _openBitacora(bitacoraImplementation, address(this), msg.sender),
            creator: msg.sender,
            where: where,
            contentHash: contentHash
        });
        _begin(birth, Kind.Root, "createRoot");
    }

    /// @notice Creates an administrator under the root. Only the owner may call.
    /// @dev Reverts with `NotOwner`, `ZeroKey`, `KeyTaken`, `EmptyText`, `TextTooLong` or
    /// `EmptyContentHash`.
    /// @param key the account of the new administrator
    /// @param where where the request came from, 1 to 255 bytes
    /// @param contentHash the hash of what is known about the new administrator, not zero
    /// @return administrator the contract of the new administrator
    function addAdministrator(address key, string calldata where, bytes32 contentHash)
        external
        onlyOwner
        returns (address administrator)
    {
        administrator = _createAdministrator(key, address(this), msg.sender, where, contentHash);
        _record(msg.sender, Operation.Create, administrator, where, "", "createAdministrator", contentHash);
    }

    /// @inheritdoc Registry
    function registerAdministrator(address key, string calldata where, bytes32 contentHash)
        external
        onlyAdministrator
        returns (address participant)
    {
        return _createAdministrator(key, msg.sender, _members[msg.sender].counterpart, where, contentHash);
    }

    /// @inheritdoc Registry
    function registerUser(address key, string calldata role, string calldata where, bytes32 contentHash)
        external
        onlyAdministrator
        returns (address participant)
    {
        participant = Clones.clone(userImplementation);
        _enrol(key, participant, msg.sender, Kind.TUser);
        TUser(participant).initialise(
            _birth(participant, key, msg.sender, _members[msg.sender].counterpart, where, contentHash), role
        );
    }

    /// @inheritdoc Registry
    function kindOf(address keyOrContract) external view returns (Kind) {
        return _members[keyOrContract].kind;
    }

    /// @inheritdoc Registry
    function contractOf(address key) external view returns (address) {
        Member storage member = _members[key];
        return member.isContract ? address(0) : member.counterpart;
    }

    /// @inheritdoc Registry
    function keyOf(address participant) external view returns (address) {
        Member storage member = _members[participant];
        return member.isContract ? member.counterpart : address(0);
    }

    function _createAdministrator(
        address key,
        address parent_,
        address creator,
        string calldata where,
        bytes32 contentHash
    ) private returns (address participant) {
        participant = Clones.clone(administratorImplementation);
        _enrol(key, participant, parent_, Kind.Administrator);
        Administrator(participant).initialise(_birth(participant, key, parent_, creator, where, contentHash));
    }

    function _birth(
        address participant,
        address key,
        address parent_,
        address creator,
        string calldata where,
        bytes32 contentHash
    ) private returns (Birth memory) {
        return Birth({
            key: key,
            parent: parent_,
            bitacora: _openBitacora(bitacoraImplementation, participant, key),
            creator: creator,
            where: where,
            contentHash: contentHash
        });
    }

    function _openBitacora(address implementation, address participant, address key)
        private
        returns (Bitacora opened)
    {
        opened = Bitacora(Clones.clone(implementation));
        opened.initialise(participant, key);
    }

    function _enrol(address key, address participant, address parent_, Kind kind_) private {
        if (key == address(0)) revert ZeroKey();
        if (_members[key].kind != Kind.None) revert KeyTaken(key);
        _members[key] = Member({counterpart: participant, kind: kind_, isContract: false});
        _members[participant] = Member({counterpart: key, kind: kind_, isContract: true});
        emit Registered(key, participant, parent_, kind_);
    }
}
