// SPDX-License-Identifier: Apache-2.0
pragma solidity 0.8.37;

import {Kind} from "./Types.sol";

/// @title Who is who in a tree
/// @notice Every key, and every contract of a participant, is in the registry once, under one kind.
/// Only administrator contracts that are in it themselves may have others registered.
interface Registry {
    /// `caller` is not the contract of a registered administrator. (An administrator's account calls
    /// its own contract, which calls the registry.)
    error NotAdministrator(address caller);
    /// `key` is a member already, or the contract of one. A key has one kind and one place.
    error KeyTaken(address key);
    /// The zero address is nobody's key.
    error ZeroKey();

    /// @notice A participant has joined the tree.
    /// @param key its account
    /// @param participant its contract
    /// @param parent the contract it was created under; zero for the root
    /// @param kind what it is
    event Registered(address indexed key, address indexed participant, address indexed parent, Kind kind);

    /// @notice Creates an administrator under the calling administrator contract.
    /// @dev Reverts with `NotAdministrator`, `ZeroKey` or `KeyTaken`.
    /// @param key the account of the new administrator
    /// @param where where the request came from
    /// @param contentHash the hash of what is known about the new administrator
    /// @return participant the contract of the new administrator
    function registerAdministrator(address key, string calldata where, bytes32 contentHash)
        external
        returns (address participant);

    /// @notice Creates a user, and its first resource, under the calling administrator contract.
    /// @dev Reverts with `NotAdministrator`, `ZeroKey` or `KeyTaken`.
    /// @param key the account of the new user
    /// @param role what the user is outside (producer, carrier, ...), 1 to 31 bytes
    /// @param where where the request came from
    /// @param contentHash the hash of what is known about the new user
    /// @return participant the contract of the new user
    function registerUser(address key, string calldata role, string calldata where, bytes32 contentHash)
        external
        returns (address participant);

    /// @notice The kind of a key or of a participant's contract; `None` if the tree does not know it.
    function kindOf(address keyOrContract) external view returns (Kind);

    /// @notice The contract of the participant with this key; zero if there is none.
    function contractOf(address key) external view returns (address);

    /// @notice The key of the participant with this contract; zero if the contract is not of this tree.
    /// @dev The way to tell a true participant from a proxy that somebody made.
    function keyOf(address participant) external view returns (address);
}
