// SPDX-License-Identifier: Apache-2.0
pragma solidity 0.8.37;

import {Bitacora} from "./Bitacora.sol";
import {Entry} from "./Log.sol";
import {ObjectContract} from "./ObjectContract.sol";
import {Texts} from "./Texts.sol";
import {Kind, Operation} from "./Types.sol";

/// How a participant comes into the tree.
struct Birth {
    /// The account it is for.
    address key;
    /// The contract it is created under.
    address parent;
    /// Its log.
    Bitacora bitacora;
    /// The account that creates it.
    address creator;
    /// Where the creator's request came from.
    string where;
    /// The hash of what is known about the new participant.
    bytes32 contentHash;
}

/// @title Somebody who acts: root, administrator or user
/// @notice Has one account, and a log of its own. What it does is recorded there, first of all how it
/// was created itself.
abstract contract Participant is ObjectContract {
    /// @notice The root of the tree this belongs to.
    /// @dev Part of the code, which all participants of a kind share, so reading it costs no storage.
    address public immutable root;

    // Slot 2. The 12 bytes that are left are for the contract that inherits.
    Bitacora private _bitacora;

    /// @param root_ the root of the tree
    constructor(address root_) {
        root = root_;
    }

    /// @notice The log of this participant, open to every reader.
    function bitacora() external view returns (Bitacora) {
        return _bitacora;
    }

    /// @notice Records an event in this participant's log. Only the owner may call.
    /// @dev Reverts with `NotOwner`, `EmptyText`, `TextTooLong` or `EmptyContentHash`.
    /// @param how the operation
    /// @param where where the request came from, 1 to 255 bytes
    /// @param target what it was aimed at, at most 255 bytes
    /// @param what what was done, 1 to 255 bytes
    /// @param contentHash the hash of the content, not zero
    /// @return id the place of the record in the log
    function addEvent(
        Operation how,
        string calldata where,
        string calldata target,
        string calldata what,
        bytes32 contentHash
    ) external onlyOwner returns (uint256 id) {
        // No subject: an event never passes for something that the tree itself did.
        return _record(msg.sender, how, address(0), where, target, what, contentHash);
    }

    /// @dev Takes the place in the tree and opens the log with the record of the creation.
    function _begin(Birth memory birth, Kind kind_, string memory what) internal {
        _establish(birth.key, birth.parent, kind_);
        _bitacora = birth.bitacora;
        _record(birth.creator, Operation.Create, address(this), birth.where, "", what, birth.contentHash);
    }

    /// @dev Appends to this participant's log.
    function _record(
        address who,
        Operation how,
        address subject,
        string memory where,
        string memory target,
        string memory what,
        bytes32 contentHash
    ) internal returns (uint256 id) {
        return _bitacora.append(
            Entry({
                who: who,
                how: how,
                whereLength: Texts.named("where", where, Texts.LIMIT),
                targetLength: Texts.bounded("target", target, Texts.LIMIT),
                whatLength: Texts.named("what", what, Texts.LIMIT),
                subject: subject,
                contentHash: contentHash,
                text: bytes.concat(bytes(where), bytes(target), bytes(what))
            })
        );
    }
}
