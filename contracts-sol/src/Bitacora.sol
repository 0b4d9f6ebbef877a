// SPDX-License-Identifier: Apache-2.0
pragma solidity 0.8.37;

import {Entry, Log} from "./Log.sol";
import {Kind} from "./Types.sol";

/// @title The log of one participant
/// @notice Holds everything its participant did, from its own creation on. Its parent is the
/// participant's contract, its owner the participant's account. Only the contract appends; the
/// account has to go through the contract, which writes down who it was.
contract Bitacora is Log {
    /// `caller` is not the participant whose log this is.
    error NotParticipant(address caller);

    /// @notice Gives a new log to its participant. Runs once, in the transaction that made the log.
    /// @dev Reverts with `AlreadyInitialised` ever after, and always on the implementation.
    /// @param participant the contract that may append
    /// @param account the account behind it
    function initialise(address participant, address account) external initialiser {
        _establish(account, participant, Kind.Bitacora);
    }

    /// @notice Appends a record. Only the participant's contract may call.
    /// @dev Reverts with `NotParticipant`, `EmptyText`, `EmptyContentHash` or `TextMismatch`.
    /// @param entry what to append
    /// @return id the place of the new record
    function append(Entry calldata entry) external returns (uint256 id) {
        if (msg.sender != parent()) revert NotParticipant(msg.sender);
        return _append(entry);
    }
}
