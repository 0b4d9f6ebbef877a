// SPDX-License-Identifier: Apache-2.0
pragma solidity 0.8.37;

/// @title Minimal proxies (EIP-1167)
/// @notice A participant, a log and a resource each have an address of their own for the price of
/// 45 bytes of code; what they do stands once, in the implementation.
library Clones {
    /// The chain refused to create the proxy (out of gas, or too deep a call).
    error CloneFailed(address implementation);

    /// @notice Creates a proxy that runs the code of `implementation` over its own storage.
    /// @dev The caller initialises the proxy in the same transaction, so nobody comes between.
    /// @param implementation whose code the proxy runs, for ever
    /// @return instance the new proxy
    function clone(address implementation) internal returns (address instance) {
        // The creation code and the proxy are those of the EIP, so that explorers recognise them.
        bytes memory code = abi.encodePacked(
            hex"3d602d80600a3d3981f3363d3d373d3d3d363d73", implementation, hex"5af43d82803e903d91602b57fd5bf3"
        );
        assembly ("memory-safe") {
            instance := create(0, add(code, 0x20), mload(code))
        }
        if (instance == address(0)) revert CloneFailed(implementation);
    }
}
