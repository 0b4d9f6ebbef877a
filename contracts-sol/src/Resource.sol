// SPDX-License-Identifier: Apache-2.0
pragma solidity 0.8.37;

import {Bitacora} from "./Bitacora.sol";
import {Log, Record} from "./Log.sol";
import {ObjectContract} from "./ObjectContract.sol";
import {Participant} from "./Participant.sol";
import {Kind, Operation} from "./Types.sol";

/// @title What a resource needs of the user it belongs to
interface Holder {
    /// @notice Records a change of a resource in the user's log. Only that resource may call.
    /// @dev Reverts with `NotResource`.
    /// @param number the place of the resource among the user's resources
    /// @param how `Update` or `Delete`
    /// @param where where the request came from
    /// @param what what was done
    /// @param contentHash the hash of the new content
    /// @return id the place of the record in the user's log
    function recordChange(
        uint256 number,
        Operation how,
        string calldata where,
        string calldata what,
        bytes32 contentHash
    ) external returns (uint256 id);
}

/// @title A thing that events are about: a harvest lot, a shipment
/// @notice Has a history that only grows: its creation, its updates, its deletion. Only the account of
/// the user it belongs to writes; root and administrators have no way in. A deleted resource takes no
/// further change, and its history stays.
/// @dev Every change is one record in the user's log. The history is the list of their places, four to
/// a slot, so that no fact is stored twice and none can differ from its copy.
contract Resource is ObjectContract {
    /// The resource was deleted; only its history is left.
    error ResourceDeleted();
    /// There is no version `version` yet: the history has `count`.
    error NoSuchVersion(uint256 version, uint256 count);

    /// @notice The resource was created, updated or deleted.
    /// @param version its place in this resource's history; the creation is 0
    /// @param how the operation
    /// @param contentHash the hash of the content
    /// @param id the place of the record in the user's log
    event Changed(uint256 indexed version, Operation indexed how, bytes32 indexed contentHash, uint256 id);

    /// How many versions one page has at most.
    uint256 public constant PAGE = 64;

    // In slot 1, beside the parent.
    uint32 private _number;
    uint32 private _count;
    bool private _deleted;

    // As long as `_count` can tell, so that it needs no length of its own; only used slots exist.
    uint64[2 ** 32] private _places;

    /// @notice Takes its place under the calling user. Runs once, in the transaction that made the proxy.
    /// @dev Reverts with `AlreadyInitialised` ever after, and always on the implementation.
    /// @param account the account of the user
    /// @param number_ its place among the user's resources
    /// @param id the place of the record of its creation in the user's log
    /// @param contentHash the hash of its content
    function initialise(address account, uint32 number_, uint256 id, bytes32 contentHash) external initialiser {
        _establish(account, msg.sender, Kind.Resource);
        _number = number_;
        _remember(id, Operation.Create, contentHash);
    }

    /// @notice Appends a new state. Only the owner may call, and not after a deletion.
    /// @dev Reverts with `NotOwner`, `ResourceDeleted`, `EmptyText`, `TextTooLong` or `EmptyContentHash`.
    /// @param where where the request came from, 1 to 255 bytes
    /// @param what what was done, 1 to 255 bytes
    /// @param contentHash the hash of the new content, not zero
    /// @return version the place of the new state in the history
    function updateResource(string calldata where, string calldata what, bytes32 contentHash)
        external
        onlyOwner
        returns (uint256 version)
    {
        return _change(Operation.Update, where, what, contentHash);
    }

    /// @notice Ends the history. Only the owner may call, and once. Nothing is erased.
    /// @dev Reverts with `NotOwner`, `ResourceDeleted`, `EmptyText`, `TextTooLong` or `EmptyContentHash`.
    /// @param where where the request came from, 1 to 255 bytes
    /// @param what what was done, 1 to 255 bytes
    /// @param contentHash the hash of what the deletion is based on, not zero
    /// @return version the place of the deletion in the history, which is the last
    function deleteResource(string calldata where, string calldata what, bytes32 contentHash)
        external
        onlyOwner
        returns (uint256 version)
    {
        version = _change(Operation.Delete, where, what, contentHash);
        _deleted = true;
    }

    /// @notice The place of this resource among its user's resources.
    function number() external view returns (uint256) {
        return _number;
    }

    /// @notice Whether the resource was deleted.
    function deleted() external view returns (bool) {
        return _deleted;
    }

    /// @notice The log that holds the history: that of the user.
    function bitacora() public view returns (Bitacora) {
        return Participant(parent()).bitacora();
    }

    /// @notice How many versions the history has, the creation and the deletion included.
    function count() external view returns (uint256) {
        return _count;
    }

    /// @notice The place in the user's log of a version of this resource.
    /// @dev Reverts with `NoSuchVersion`.
    /// @param version its place in the history; the creation is 0
    function place(uint256 version) public view returns (uint256) {
        if (version >= _count) revert NoSuchVersion(version, _count);
        return _places[version];
    }

    /// @notice One version: who made it, when, how, and the hash of its content. Anyone may read it.
    /// @dev Reverts with `NoSuchVersion`.
    /// @param version its place in the history; the creation is 0
    function record(uint256 version) external view returns (Record memory) {
        return bitacora().record(place(version));
    }

    /// @notice A page of the history, in order. Anyone may read it.
    /// @param from the first version wanted
    /// @param limit how many are wanted; at most `PAGE` are given
    /// @return page what there is of them; empty behind the end
    function records(uint256 from, uint256 limit) external view returns (Record[] memory page) {
        uint256 left = from < _count ? _count - from : 0;
        if (limit > PAGE) limit = PAGE;
        if (limit > left) limit = left;
        page = new Record[](limit);
        Log log = bitacora();
        for (uint256 i = 0; i < limit; ++i) {
            page[i] = log.record(_places[from + i]);
        }
    }

    function _change(Operation how, string calldata where, string calldata what, bytes32 contentHash)
        private
        returns (uint256 version)
    {
        if (_deleted) revert ResourceDeleted();
        uint256 id = Holder(parent()).recordChange(_number, how, where, what, contentHash);
        return _remember(id, how, contentHash);
    }

    function _remember(uint256 id, Operation how, bytes32 contentHash) private returns (uint256 version) {
        uint32 next = _count;
        // Checked: a history that is full takes no more, and never starts again over itself.
        _count = next + 1;
        version = next;
        _places[version] = uint64(id);
        emit Changed(version, how, contentHash, id);
    }
}
