// SPDX-License-Identifier: Apache-2.0
pragma solidity 0.8.37;

import {Kind} from "./Types.sol";

/// @title Anything in the tree
/// @notice Has an owner (an account), a parent (a contract, none for the root), a time of creation
/// and a kind. None of the four ever changes.
/// @dev A contract that was deployed by its constructor counts as initialised; only a proxy, whose
/// storage is empty, can be initialised, and only once. So nobody can take over an implementation.
abstract contract ObjectContract {
    /// `caller` is not the account that owns this object. Sign with the owner's key.
    error NotOwner(address caller);
    /// The object has its owner already; an initialiser runs once, and never on an implementation.
    error AlreadyInitialised();

    // Slot 0. Every call of an owner reads it.
    address private _owner;
    uint64 private _createdAt;
    Kind private _kind;
    bool private _initialised;

    // Slot 1. The 12 bytes that are left are for the contract that inherits.
    address private _parent;

    /// Lets the owner through and nobody else.
    modifier onlyOwner() {
        if (msg.sender != _owner) revert NotOwner(msg.sender);
        _;
    }

    /// Lets the first caller of a fresh proxy through, which is the contract that made the proxy.
    modifier initialiser() {
        if (_initialised) revert AlreadyInitialised();
        _;
    }

    /// @dev Closes whatever is deployed by a constructor, that is the root and the implementations.
    constructor() {
        _initialised = true;
    }

    /// @notice The account this object belongs to.
    function owner() public view returns (address) {
        return _owner;
    }

    /// @notice The contract this object was created under; zero for the root.
    function parent() public view returns (address) {
        return _parent;
    }

    /// @notice The time of the block that created this object, in seconds since 1970.
    function createdAt() external view returns (uint64) {
        return _createdAt;
    }

    /// @notice What this object is; `None` for an implementation, which is no member of a tree.
    function kind() external view returns (Kind) {
        return _kind;
    }

    /// @dev Writes the four facts. Call it once, from a constructor or behind `initialiser`.
    function _establish(address owner_, address parent_, Kind kind_) internal {
        _owner = owner_;
        _createdAt = uint64(block.timestamp);
        _kind = kind_;
        _initialised = true;
        _parent = parent_;
    }
}
