// SPDX-License-Identifier: Apache-2.0
pragma solidity 0.8.37;

/// @title What the bench writes: the events of the audit paper's contract, and records that stay
/// @notice An event costs one log. A record is also kept in storage, and can be read back.
contract Events {
    /// `caller` was not let in.
    error NotAllowed(address caller);
    /// There is no record `id` yet.
    error NoSuchRecord(uint256 id);

    /// One fact, in the paper's words, and the hash of what it is about.
    struct Record {
        string typeEvent;
        string source;
        string target;
        string token;
        string description;
        bytes32 contentHash;
    }

    /// @notice Something happened.
    event EventAdded(string typeEvent, string source, string target, string token, string description);

    /// @notice Something happened, and is kept as record `id`.
    event RecordAdded(
        bytes32 indexed contentHash,
        address indexed who,
        uint256 id,
        string typeEvent,
        string source,
        string target,
        string token,
        string description
    );

    address private immutable _owner = msg.sender;
    mapping(address => bool) private _allowed;
    Record[] private _records;

    modifier onlyAllowed() {
        if (!_allowed[msg.sender]) revert NotAllowed(msg.sender);
        _;
    }

    /// @notice Lets accounts write. Only whoever deployed this may.
    function allow(address[] calldata accounts) external {
        if (msg.sender != _owner) revert NotAllowed(msg.sender);
        for (uint256 i = 0; i < accounts.length; ++i) _allowed[accounts[i]] = true;
    }

    /// @notice Tells of an event.
    function addEvent(
        string calldata typeEvent,
        string calldata source,
        string calldata target,
        string calldata token,
        string calldata description
    ) external onlyAllowed {
        emit EventAdded(typeEvent, source, target, token, description);
    }

    /// @notice Tells of an event and keeps it.
    function addRecord(Record calldata added) external onlyAllowed {
        emit RecordAdded(
            added.contentHash,
            msg.sender,
            _records.length,
            added.typeEvent,
            added.source,
            added.target,
            added.token,
            added.description
        );
        _records.push(added);
    }

    /// @notice A record that was kept.
    function record(uint256 id) external view returns (Record memory) {
        if (id >= _records.length) revert NoSuchRecord(id);
        return _records[id];
    }
}
