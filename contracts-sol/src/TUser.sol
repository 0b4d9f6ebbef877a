// SPDX-License-Identifier: Apache-2.0
pragma solidity 0.8.37;

import {Clones} from "./Clones.sol";
import {Birth, Participant} from "./Participant.sol";
import {Holder, Resource} from "./Resource.sol";
import {Texts} from "./Texts.sol";
import {Kind, Operation} from "./Types.sol";

/// @title A user of the traced system (the paper's TUser)
/// @notice Owns resources. Nobody but its account creates, updates or deletes them; the first one,
/// which describes the user itself, comes with the user.
contract TUser is Participant, Holder {
    /// `caller` is not a resource of this user.
    error NotResource(address caller);
    /// The user has no resource `number` yet: it has `count`.
    error NoSuchResource(uint256 number, uint256 count);

    /// @notice The user has a new resource.
    /// @param resource its contract
    /// @param number its place among the user's resources; the first is 0
    event ResourceAdded(Resource indexed resource, uint256 indexed number);

    /// Bytes in a role, at most: it takes one slot.
    uint256 public constant ROLE_LIMIT = 31;

    address private immutable _resourceImplementation;

    // In slot 2, beside the log.
    uint32 private _resourceCount;
    string private _role;
    mapping(uint256 number => Resource) private _resources;

    /// @param root_ the root of the tree
    /// @param resourceImplementation whose code the resources run
    constructor(address root_, address resourceImplementation) Participant(root_) {
        _resourceImplementation = resourceImplementation;
    }

    /// @notice Takes its place in the tree and makes the first resource. Runs once, in the transaction
    /// that made the proxy.
    /// @dev Reverts with `AlreadyInitialised` ever after, and always on the implementation.
    /// @param birth its account, its parent, its log, and the record of its creation
    /// @param role_ what the user is outside
    function initialise(Birth calldata birth, string calldata role_) external initialiser {
        Texts.named("role", role_, ROLE_LIMIT);
        _role = role_;
        _begin(birth, Kind.TUser, "createTUser");
        _addResource(birth.creator, birth.key, birth.where, role_, birth.contentHash);
    }

    /// @notice What the user is outside: producer, carrier, merchant, ...
    function role() external view returns (string memory) {
        return _role;
    }

    /// @notice How many resources the user has, deleted ones included.
    function resourceCount() external view returns (uint256) {
        return _resourceCount;
    }

    /// @notice The contract of a resource.
    /// @dev Reverts with `NoSuchResource`.
    /// @param number its place among the user's resources; the first is 0
    function resource(uint256 number) external view returns (Resource) {
        if (number >= _resourceCount) revert NoSuchResource(number, _resourceCount);
        return _resources[number];
    }

    /// @notice Creates a resource. Only the owner may call.
    /// @dev Reverts with `NotOwner`, `EmptyText`, `TextTooLong` or `EmptyContentHash`.
    /// @param where where the request came from, 1 to 255 bytes
    /// @param what what the resource is, 1 to 255 bytes
    /// @param contentHash the hash of its content, not zero
    /// @return added the contract of the resource
    function addResource(string calldata where, string calldata what, bytes32 contentHash)
        external
        onlyOwner
        returns (Resource added)
    {
        return _addResource(msg.sender, msg.sender, where, what, contentHash);
    }

    /// @inheritdoc Holder
    function recordChange(
        uint256 number,
        Operation how,
        string calldata where,
        string calldata what,
        bytes32 contentHash
    ) external returns (uint256 id) {
        if (msg.sender != address(_resources[number])) revert NotResource(msg.sender);
        // The resource has let only the owner through.
        return _record(owner(), how, msg.sender, where, "", what, contentHash);
    }

    function _addResource(
        address creator,
        address key,
        string memory where,
        string memory what,
        bytes32 contentHash
    ) private returns (Resource added) {
        uint32 number = _resourceCount;
        _resourceCount = number + 1;
        added = Resource(Clones.clone(_resourceImplementation));
        _resources[number] = added;
        emit ResourceAdded(added, number);
        uint256 id = _record(creator, Operation.Create, address(added), where, "", what, contentHash);
        added.initialise(key, number, id, contentHash);
    }
}
