// SPDX-License-Identifier: Apache-2.0
pragma solidity 0.8.37;

import {Birth, Participant} from "./Participant.sol";
import {Registry} from "./Registry.sol";
import {Kind, Operation} from "./Types.sol";

/// @title An administrator (the paper's Admor)
/// @notice Its account creates further administrators and users. It has no power over the ones it
/// created, nor over any resource.
contract Administrator is Participant {
    /// @param root_ the root of the tree, where the members stand
    constructor(address root_) Participant(root_) {}

    /// @notice Takes its place in the tree. Runs once, in the transaction that made the proxy.
    /// @dev Reverts with `AlreadyInitialised` ever after, and always on the implementation.
    /// @param birth its account, its parent, its log, and the record of its creation
    function initialise(Birth calldata birth) external initialiser {
        _begin(birth, Kind.Administrator, "createAdministrator");
    }

    /// @notice Creates an administrator under this one. Only the owner may call.
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
        administrator = Registry(root).registerAdministrator(key, where, contentHash);
        _record(msg.sender, Operation.Create, administrator, where, "", "createAdministrator", contentHash);
    }

    /// @notice Creates a user under this administrator, and the user's first resource. Only the owner
    /// may call.
    /// @dev Reverts with `NotOwner`, `ZeroKey`, `KeyTaken`, `EmptyText`, `TextTooLong` or
    /// `EmptyContentHash`.
    /// @param key the account of the new user
    /// @param role what the user is outside (producer, carrier, ...), 1 to 31 bytes
    /// @param where where the request came from, 1 to 255 bytes
    /// @param contentHash the hash of what is known about the new user, not zero
    /// @return user the contract of the new user
    function addUser(address key, string calldata role, string calldata where, bytes32 contentHash)
        external
        onlyOwner
        returns (address user)
    {
        user = Registry(root).registerUser(key, role, where, contentHash);
        _record(msg.sender, Operation.Create, user, where, "", "createTUser", contentHash);
    }
}
