// SPDX-License-Identifier: Apache-2.0
pragma solidity 0.8.37;

import {Anchor} from "../src/Anchor.sol";
import {Actor, Check} from "./Check.sol";

/// A root is anchored once, by anybody, for ever.
contract AnchorTest is Check {
    Anchor private _anchor;
    Actor private _ana;
    Actor private _eve;

    function setUp() external {
        _anchor = new Anchor();
        _ana = new Actor();
        _eve = new Actor();
    }

    function test_a_root_is_anchored_in_its_block() external {
        bytes32 root = keccak256("root");
        same(_anchor.anchoredAt(root), 0, "before");
        _anchor.anchor(root);
        same(_anchor.anchoredAt(root), block.number, "after");
        same(_anchor.anchoredAt(keccak256("another")), 0, "another");
    }

    function test_a_known_root_is_ignored() external {
        bytes32 root = keccak256("root");
        uint256 gas = gasleft();
        _anchor.anchor(root);
        uint256 first = gas - gasleft();
        gas = gasleft();
        _anchor.anchor(root);
        uint256 second = gas - gasleft();
        same(_anchor.anchoredAt(root), block.number, "block");
        // Neither a write nor an event: those alone cost more than this.
        check(second < 2_000 && first > 20_000, "the second did more than look");
    }

    function test_anybody_anchors_and_nobody_changes_what_is_there() external {
        bytes32 root = keccak256("root");
        allowed(_ana, address(_anchor), abi.encodeCall(Anchor.anchor, (root)));
        allowed(_eve, address(_anchor), abi.encodeCall(Anchor.anchor, (root)));
        same(_anchor.anchoredAt(root), block.number, "block");
    }

    function test_the_empty_root_is_refused() external {
        bytes memory fault = abi.encodeWithSelector(Anchor.EmptyRoot.selector);
        refused(_eve, address(_anchor), abi.encodeCall(Anchor.anchor, (0)), fault);
        same(_anchor.anchoredAt(0), 0, "zero");
    }

    function test_it_takes_no_money() external {
        (bool ok,) = address(_anchor).call{value: 0}("");
        check(!ok, "a call of nothing was taken");
    }
}
