// SPDX-License-Identifier: Apache-2.0
pragma solidity 0.8.37;

/// @title What a text of a record may be
/// @notice The texts of a record are names (an address of the network, a service, an operation), not
/// content: content stays outside and is bound by its hash. So each text has at most 255 bytes, and
/// its length fits into the first slot of its record.
library Texts {
    /// A text that must say something is empty. Name it and call again.
    error EmptyText(string field);
    /// A text is longer than its limit in bytes. Shorten it; put content behind the content hash.
    error TextTooLong(string field, uint256 length, uint256 limit);

    /// Bytes in `where`, in `target` and in `what`, at most.
    uint256 internal constant LIMIT = type(uint8).max;

    /// @notice The length of `text` if it is within `limit`.
    /// @param field how the error calls it
    /// @param text the text
    /// @param limit how many bytes it may have, at most 255
    /// @return length how many bytes it has
    function bounded(string memory field, string memory text, uint256 limit) internal pure returns (uint8 length) {
        uint256 bytesIn = bytes(text).length;
        if (bytesIn > limit) revert TextTooLong(field, bytesIn, limit);
        // The cast loses nothing, since limit is at most 255.
        length = uint8(bytesIn);
    }

    /// @notice The length of `text` if it is within `limit` and says something.
    /// @param field how the error calls it
    /// @param text the text
    /// @param limit how many bytes it may have, at most 255
    /// @return length how many bytes it has, never 0
    function named(string memory field, string memory text, uint256 limit) internal pure returns (uint8 length) {
        length = bounded(field, text, limit);
        if (length == 0) revert EmptyText(field);
    }
}
