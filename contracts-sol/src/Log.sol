// SPDX-License-Identifier: Apache-2.0
pragma solidity 0.8.37;

import {ObjectContract} from "./ObjectContract.sol";
import {Texts} from "./Texts.sol";
import {Operation} from "./Types.sol";

/// One fact: who did what, where, when and how, and the hash of what it was done with.
struct Record {
    /// Its place in the log; the first record is 0.
    uint256 id;
    /// The account that acted.
    address who;
    /// The time of the block that holds it, in seconds since 1970.
    uint64 when;
    /// The operation.
    Operation how;
    /// Where the request came from, in the words of the one who wrote it.
    string where;
    /// What it was aimed at, in the words of the one who wrote it; may be empty.
    string target;
    /// What was done: an operation's name or a description.
    string what;
    /// The hash of the content; the content itself stays outside.
    bytes32 contentHash;
    /// The contract of the tree that was created or changed. Zero if the record only tells of
    /// something outside: nobody can write a subject by hand.
    address subject;
}

/// A record on its way into a log. `text` is where, target and what, one after the other.
struct Entry {
    address who;
    Operation how;
    uint8 whereLength;
    uint8 targetLength;
    uint8 whatLength;
    address subject;
    bytes32 contentHash;
    bytes text;
}

/// @title A list of records that only grows
/// @notice Anyone may read every record, from the first to the last. There is no way to change or to
/// remove one.
/// @dev A record takes one slot for who, when, how and the lengths, one for the hash, one for each 32
/// bytes of its texts together, and one for the subject if it has one.
abstract contract Log is ObjectContract {
    /// There is no record `id` yet: the log holds `count`.
    error NoSuchRecord(uint256 id, uint256 count);
    /// The lengths of an entry do not add up to its text.
    error TextMismatch(uint256 lengths, uint256 length);
    /// A record must bind its content: the hash is zero.
    error EmptyContentHash();

    /// @notice A record was appended; the event holds all of it.
    /// @param id its place in this log
    /// @param who the account that acted
    /// @param contentHash the hash of the content
    /// @param subject the contract of the tree that was created or changed, or zero
    /// @param when the time of the block
    /// @param how the operation
    /// @param where where the request came from
    /// @param target what it was aimed at
    /// @param what what was done
    event Recorded(
        uint256 indexed id,
        address indexed who,
        bytes32 indexed contentHash,
        address subject,
        uint64 when,
        Operation how,
        string where,
        string target,
        string what
    );

    /// How many records one page has at most: a page of the longest records is read within 30 M gas.
    uint256 public constant PAGE = 64;

    // Slots for three texts of `Texts.LIMIT` bytes.
    uint256 private constant WORDS = 24;

    struct Stored {
        address who;
        uint64 when;
        Operation how;
        uint8 whereLength;
        uint8 targetLength;
        uint8 whatLength;
        bytes32 contentHash;
        address subject;
        // Slots that stay empty cost nothing, and the lengths above say how many are used.
        bytes32[WORDS] text;
    }

    // In slot 1, beside the parent: an append reads and writes that slot once.
    uint64 private _count;
    mapping(uint256 id => Stored) private _records;

    /// @notice How many records there are.
    function count() external view returns (uint256) {
        return _count;
    }

    /// @notice One record. Anyone may read it.
    /// @dev Reverts with `NoSuchRecord` if the log is not that long.
    /// @param id its place; the first record is 0
    function record(uint256 id) external view returns (Record memory) {
        if (id >= _count) revert NoSuchRecord(id, _count);
        return _read(id);
    }

    /// @notice A page of records, in order. Anyone may read it.
    /// @param from the place of the first one wanted
    /// @param limit how many are wanted; at most `PAGE` are given
    /// @return page what there is of them; empty behind the end, so a reader goes on until then
    function records(uint256 from, uint256 limit) external view returns (Record[] memory page) {
        uint256 left = from < _count ? _count - from : 0;
        if (limit > PAGE) limit = PAGE;
        if (limit > left) limit = left;
        page = new Record[](limit);
        for (uint256 i = 0; i < limit; ++i) {
            page[i] = _read(from + i);
        }
    }

    /// @dev Appends and tells. Whoever inherits decides who may.
    /// @return id the place of the new record
    function _append(Entry calldata entry) internal returns (uint256 id) {
        if (entry.whereLength == 0) revert Texts.EmptyText("where");
        if (entry.whatLength == 0) revert Texts.EmptyText("what");
        if (entry.contentHash == 0) revert EmptyContentHash();
        uint256 length = uint256(entry.whereLength) + entry.targetLength + entry.whatLength;
        if (length != entry.text.length) revert TextMismatch(length, entry.text.length);

        uint64 next = _count;
        _count = next + 1;
        _store(_records[next], entry);
        _tell(next, entry);
        return next;
    }

    function _store(Stored storage stored, Entry calldata entry) private {
        stored.who = entry.who;
        stored.when = uint64(block.timestamp);
        stored.how = entry.how;
        stored.whereLength = entry.whereLength;
        stored.targetLength = entry.targetLength;
        stored.whatLength = entry.whatLength;
        stored.contentHash = entry.contentHash;
        if (entry.subject != address(0)) stored.subject = entry.subject;
        bytes calldata text = entry.text;
        for (uint256 offset = 0; offset < text.length; offset += 32) {
            // A slice that is shorter than a word is filled up with zeros on the right.
            stored.text[offset / 32] = bytes32(offset + 32 < text.length ? text[offset:offset + 32] : text[offset:]);
        }
    }

    function _tell(uint256 id, Entry calldata entry) private {
        bytes calldata text = entry.text;
        uint256 whatAt = uint256(entry.whereLength) + entry.targetLength;
        emit Recorded(
            id,
            entry.who,
            entry.contentHash,
            entry.subject,
            uint64(block.timestamp),
            entry.how,
            string(text[:entry.whereLength]),
            string(text[entry.whereLength:whatAt]),
            string(text[whatAt:])
        );
    }

    function _read(uint256 id) private view returns (Record memory) {
        Stored storage stored = _records[id];
        uint256 targetAt = stored.whereLength;
        uint256 whatAt = targetAt + stored.targetLength;
        return Record({
            id: id,
            who: stored.who,
            when: stored.when,
            how: stored.how,
            where: _slice(stored, 0, targetAt),
            target: _slice(stored, targetAt, whatAt),
            what: _slice(stored, whatAt, whatAt + stored.whatLength),
            contentHash: stored.contentHash,
            subject: stored.subject
        });
    }

    function _slice(Stored storage stored, uint256 start, uint256 end) private view returns (string memory) {
        bytes memory slice = new bytes(end - start);
        bytes32 word;
        for (uint256 offset = start; offset < end; ++offset) {
            if (offset == start || offset % 32 == 0) word = stored.text[offset / 32];
            slice[offset - start] = word[offset % 32];
        }
        return string(slice);
    }
}
