"""web3.py, unmodified: deploys, writes, reads, filters, subscribes and estimates."""

import asyncio
import json
import os
import ssl

from web3 import AsyncWeb3, Web3, WebSocketProvider
from web3.exceptions import ContractCustomError, ContractLogicError, Web3RPCError
from web3.middleware import SignAndSendRawMiddlewareBuilder
from web3.utils.subscriptions import LogsSubscription, NewHeadsSubscription

URL = os.environ["E2E_RPC"]
WS_URL = os.environ.get("E2E_WS") or URL.replace("http", "ws", 1)
TOKEN = os.environ.get("E2E_TOKEN")
CA = os.environ.get("E2E_CA")
HEADERS = {"Authorization": f"Bearer {TOKEN}"} if TOKEN else {}


def step(text):
    print("-", text)


def refused(kind, call):
    try:
        call()
    except kind as error:
        return error
    raise AssertionError(f"no {kind.__name__}")


def connected():
    arguments = {"headers": {"Content-Type": "application/json", **HEADERS}}
    if CA:
        arguments["verify"] = CA
    return Web3(Web3.HTTPProvider(URL, request_kwargs=arguments))


def connected_for_events():
    arguments = {"additional_headers": HEADERS}
    if CA:
        arguments["ssl"] = ssl.create_default_context(cafile=CA)
    return AsyncWeb3(WebSocketProvider(WS_URL, websocket_kwargs=arguments))


def main():
    with open(os.environ["E2E_ARTIFACT"]) as file:
        artifact = json.load(file)
    w3 = connected()
    assert w3.is_connected()
    assert w3.eth.chain_id > 2**32, w3.eth.chain_id
    assert w3.client_version.startswith("Counterfoil/"), w3.client_version
    step(f"chain {w3.eth.chain_id}")

    account = w3.eth.account.create()
    w3.middleware_onion.inject(SignAndSendRawMiddlewareBuilder.build(account), layer=0)
    w3.eth.default_account = account.address

    def settled(sent):
        return w3.eth.wait_for_transaction_receipt(sent, timeout=15, poll_latency=0.02)

    made = settled(w3.eth.contract(**artifact).constructor(100).transact())
    counter = w3.eth.contract(address=made.contractAddress, abi=artifact["abi"])
    assert made.status == 1 and made.to is None
    assert len(w3.eth.get_code(counter.address)) > 100
    step(f"a contract in block {made.blockNumber}")

    receipts = [settled(counter.functions.add(n, "one more").transact()) for n in range(1, 6)]
    for n, receipt in enumerate(receipts, 1):
        assert (receipt.status, receipt.effectiveGasPrice, receipt.type) == (1, 0, 2)
        assert receipt["from"] == account.address and receipt.to == counter.address
        assert 21_000 < receipt.gasUsed <= receipt.cumulativeGasUsed
        (event,) = counter.events.Added().process_receipt(receipt)
        total = n * (n + 1) // 2
        assert dict(event.args) == {
            "by": account.address, "amount": n, "total": total, "why": "one more",
        }, event
    assert counter.functions.total().call() == 15
    assert counter.functions.added(account.address).call() == 15
    assert int.from_bytes(w3.eth.get_storage_at(counter.address, 0)) == 15
    assert w3.eth.get_transaction_count(account.address) == 6
    step("five transactions, each with its receipt and its event")

    found = counter.events.Added.get_logs(from_block=0, argument_filters={"by": account.address})
    assert [event.args.amount for event in found] == [1, 2, 3, 4, 5]
    found = counter.events.Added.get_logs(from_block=0, argument_filters={"amount": [2, 4]})
    assert [event.args.total for event in found] == [3, 10]
    assert not counter.events.Added.get_logs(from_block=0, argument_filters={"by": counter.address})
    step("events by topic")

    assert counter.functions.total().call(block_identifier=receipts[1].blockNumber) == 3
    then = w3.eth.get_storage_at(counter.address, 0, receipts[2].blockNumber)
    assert int.from_bytes(then) == 6
    step("the state as it was")

    error = refused(ContractLogicError, counter.functions.add(0, "nothing").call)
    assert error.message == "execution reverted: nothing to add", error
    error = refused(ContractLogicError, counter.functions.add(0, "nothing").transact)
    assert error.message == "execution reverted: nothing to add", error
    error = refused(ContractCustomError, counter.functions.add(101, "much").call)
    selector, told = error.data[:10], bytes.fromhex(error.data[10:])
    assert selector == Web3.keccak(text="TooMuch(uint256,uint256)")[:4].to_0x_hex(), error
    assert w3.codec.decode(["uint256", "uint256"], told) == (101, 100), error
    doomed = settled(counter.functions.add(0, "nothing").transact({"gas": 100_000}))
    assert doomed.status == 0
    plain = {"to": counter.address, "gas": 100_000}
    error = refused(Web3RPCError, lambda: w3.eth.send_transaction({**plain, "nonce": 0}))
    assert "nonce too low" in error.message, error
    error = refused(Web3RPCError, lambda: w3.eth.send_transaction({**plain, "value": 1}))
    assert "insufficient funds" in error.message, error
    step("refusals that web3.py tells apart")

    estimate = counter.functions.add(1, "one").estimate_gas()
    assert 21_000 < estimate < 100_000, estimate
    assert w3.eth.gas_price == 0 and w3.eth.max_priority_fee == 0
    history = w3.eth.fee_history(2, "latest", [50])
    assert history.baseFeePerGas == [0, 0, 0], history
    step("gas, which costs nothing")

    block = w3.eth.get_block(made.blockNumber, full_transactions=True)
    assert block.transactions[0].hash == made.transactionHash
    assert w3.eth.get_block(made.blockNumber + 1).parentHash == block.hash
    assert w3.eth.get_transaction(made.transactionHash)["from"] == account.address
    assert w3.eth.get_block_receipts(made.blockNumber)[0] == made
    step("blocks and transactions")

    watched = counter.events.Added.create_filter(from_block="latest", argument_filters={"amount": 7})
    blocks = w3.eth.filter("latest")
    settled(counter.functions.add(7, "watched").transact())
    settled(counter.functions.add(8, "not watched").transact())
    assert [event.args.total for event in watched.get_new_entries()] == [22]
    assert watched.get_new_entries() == []
    assert len(blocks.get_new_entries()) == 2
    assert w3.eth.uninstall_filter(watched.filter_id)
    step("filters")

    with w3.batch_requests() as batch:
        for receipt in receipts:
            batch.add(w3.eth.get_block(receipt.blockNumber))
        assert [block.hash for block in batch.execute()] == [receipt.blockHash for receipt in receipts]
    step("a batch")

    heard, heads = asyncio.run(listen(counter, settled))
    assert heard == [11, 12, 13], heard
    assert len(heads) >= 3, heads
    step("events and blocks over WebSocket")


async def listen(counter, settled):
    heard, heads = [], []
    async with connected_for_events() as w3:
        event = w3.eth.contract(address=counter.address, abi=counter.abi).events.Added()

        async def on_event(context):
            heard.append(event.process_log(context.result).args.amount)

        async def on_block(context):
            heads.append(context.result.number)

        await w3.subscription_manager.subscribe([
            LogsSubscription(address=counter.address, topics=[event.topic], handler=on_event),
            NewHeadsSubscription(handler=on_block),
        ])
        handling = asyncio.create_task(w3.subscription_manager.handle_subscriptions())
        for amount in (11, 12, 13):
            sent = await asyncio.to_thread(counter.functions.add(amount, "heard").transact)
            await asyncio.to_thread(settled, sent)
        for _ in range(300):
            if len(heard) >= 3 and len(heads) >= 3:
                break
            await asyncio.sleep(0.05)
        await w3.subscription_manager.unsubscribe_all()
        handling.cancel()
    return heard, heads


if __name__ == "__main__":
    main()
