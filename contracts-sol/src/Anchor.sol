// SPDX-License-Identifier: Apache-2.0
pragma solidity 0.8.37;

/// @title A place for roots
/// @notice Says since when a Merkle root has been known on this chain, and nothing about what is below
/// it. Anybody may anchor: a root is a digest that only those who made it can use, and when it was first
/// seen is the one thing that is kept. It belongs to nobody, and nothing can be removed.
contract Anchor {
    /// There is no tree with this root; it is what an unset variable looks like.
    error EmptyRoot();

    /// @notice This root was anchored for the first time.
    /// @param root the root
    /// @param sender who paid for it, which says nothing about who made the tree
    event Anchored(bytes32 indexed root, address indexed sender);

    /// @notice In which block a root was anchored; zero for one that was not.
    mapping(bytes32 root => uint64 blockNumber) public anchoredAt;

    /// @notice Anchors a root. One that is known is ignored: the same call may be sent again.
    /// @dev Reverts with `EmptyRoot`.
    /// @param root the root, not zero
    function anchor(bytes32 root) external {
        if (root == 0) revert EmptyRoot();
        if (anchoredAt[root] != 0) return;
        anchoredAt[root] = uint64(block.number);
        emit Anchored(root, msg.sender);
    }
}
