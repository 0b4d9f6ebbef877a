// SPDX-License-Identifier: Apache-2.0
pragma solidity ^0.8.30;

import {Counter} from "../src/Counter.sol";

/// What the script needs of forge.
interface Vm {
    function startBroadcast() external;
    function stopBroadcast() external;
}

/// Run by `forge script`: deploys a counter, and adds to it three times.
contract Deploy {
    Vm private constant VM = Vm(address(uint160(uint256(keccak256("hevm cheat code")))));

    function run() external returns (Counter counter) {
        VM.startBroadcast();
        counter = new Counter(100);
        counter.add(1, "scripted");
        counter.add(2, "scripted");
        require(counter.add(3, "scripted") == 6, "not what it was");
        VM.stopBroadcast();
    }
}

/// Run by `forge script` against a counter that is there: reads, writes, and is refused.
contract Use {
    Vm private constant VM = Vm(address(uint160(uint256(keccak256("hevm cheat code")))));

    function run(Counter counter) external returns (uint256) {
        require(counter.total() == 6 && counter.most() == 100, "the state of the chain");
        try counter.add(101, "much") {
            revert("it was to be refused");
        } catch (bytes memory why) {
            require(bytes4(why) == Counter.TooMuch.selector, "another reason");
        }
        VM.startBroadcast();
        counter.add(4, "used");
        VM.stopBroadcast();
        return counter.total();
    }
}
