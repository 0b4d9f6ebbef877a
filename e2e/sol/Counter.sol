// SPDX-License-Identifier: Apache-2.0
pragma solidity ^0.8.30;

/// Counts what is added, and says who added it: what other people's tools are tried with.
contract Counter {
    /// Somebody added something.
    event Added(address indexed by, uint256 indexed amount, uint256 total, string why);

    /// More was to be added than is allowed at once.
    error TooMuch(uint256 asked, uint256 most);

    /// What may be added at once.
    uint256 public immutable most;
    /// All that was added. It stands in slot 0.
    uint256 public total;
    /// What each added.
    mapping(address who => uint256 amount) public added;

    constructor(uint256 most_) {
        most = most_;
    }

    /// Adds; returns the new total.
    function add(uint256 amount, string calldata why) external returns (uint256) {
        require(amount != 0, "nothing to add");
        if (amount > most) revert TooMuch(amount, most);
        total += amount;
        added[msg.sender] += amount;
        emit Added(msg.sender, amount, total, why);
        return total;
    }
}
