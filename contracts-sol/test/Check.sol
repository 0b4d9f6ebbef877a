// SPDX-License-Identifier: Apache-2.0
pragma solidity 0.8.37;

/// @title Somebody else
/// @notice Stands for an account: calls what it is told to call, and says what came back.
contract Actor {
    /// @notice Calls `to` with `data`; reverts are handed back, not passed on.
    function act(address to, bytes calldata data) external returns (bool ok, bytes memory answer) {
        return to.call(data);
    }
}

/// @title What every test contract can do
/// @notice A test fails by reverting with `Failed`.
abstract contract Check {
    /// The rule that the test is about does not hold.
    error Failed(string what);

    /// @dev `actor` may do this: gives back what the call returned.
    function allowed(Actor actor, address to, bytes memory data) internal returns (bytes memory answer) {
        bool ok;
        (ok, answer) = actor.act(to, data);
        if (!ok) {
            // Pass the contract's own error on: it says more than we could.
            assembly ("memory-safe") {
                revert(add(answer, 0x20), mload(answer))
            }
        }
    }

    /// @dev `actor` may not do this, and is told so with exactly this error.
    function refused(Actor actor, address to, bytes memory data, bytes memory fault) internal {
        (bool ok, bytes memory answer) = actor.act(to, data);
        check(!ok, "was allowed");
        check(keccak256(answer) == keccak256(fault), "was refused for another reason");
    }

    /// @dev The test itself may not do this, and is told so with exactly this error.
    function refused(address to, bytes memory data, bytes memory fault) internal {
        (bool ok, bytes memory answer) = to.call(data);
        check(!ok, "was allowed");
        check(keccak256(answer) == keccak256(fault), "was refused for another reason");
    }

    function check(bool holds, string memory what) internal pure {
        if (!holds) revert Failed(what);
    }

    function same(uint256 left, uint256 right, string memory what) internal pure {
        if (left != right) revert Failed(what);
    }

    function same(address left, address right, string memory what) internal pure {
        if (left != right) revert Failed(what);
    }

    function same(bytes32 left, bytes32 right, string memory what) internal pure {
        if (left != right) revert Failed(what);
    }

    function same(string memory left, string memory right, string memory what) internal pure {
        if (keccak256(bytes(left)) != keccak256(bytes(right))) revert Failed(what);
    }

    /// @dev A text of so many bytes, no two words of it alike.
    function text(uint256 length) internal pure returns (string memory) {
        bytes memory bytesOf = new bytes(length);
        for (uint256 i = 0; i < length; ++i) {
            bytesOf[i] = bytes1(uint8(33 + (i * 7 + i / 32) % 90));
        }
        return string(bytesOf);
    }
}
