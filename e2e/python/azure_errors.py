"""Azure's SDK meets the errors that the vendor documents. Argument: token or cert."""

import sys

from azure_support import SDK, administrator, bootstrap_administrator, refused, step

LIMIT = 1 << 20

print(f"azure-confidentialledger {SDK} with a {sys.argv[1]}")
client = administrator(sys.argv[1])
known = client.begin_create_ledger_entry({"contents": "known"}).result()["transactionId"]
view, seqno = known.split(".")
future = f"{view}.{int(seqno) + 1_000_000}"

for call in [client.get_ledger_entry, client.get_receipt, client.get_transaction_status]:
    refused(404, "TransactionPendingOrUnknown", call, future)
step("a transaction that nobody submitted is unknown")

for call in [client.get_ledger_entry, client.get_receipt, client.get_transaction_status]:
    for text in ["abc", "2", "2.x", "2.-1"]:
        refused(400, "InvalidTransactionId", call, text)
step("what is no transaction id is named as such")

nowhere = {"collection_id": "nowhere"}
refused(404, "ResourceNotFound", client.get_current_ledger_entry, **nowhere)
assert list(client.list_ledger_entries(**nowhere)) == []
step("a collection without entries has no current one")

write = client.create_ledger_entry
refused(400, "EntrySizeCapacityExceeded", write, {"contents": "x" * (LIMIT + 1)})
largest = write({"contents": "x" * LIMIT})["transactionId"]
client.begin_wait_for_commit(largest).result()
entry = client.begin_get_ledger_entry(largest).result()["entry"]
assert entry["contents"] == "x" * LIMIT
step(f"an entry of {LIMIT} bytes is kept, one byte more is refused")

refused(400, "CollectionIdTooLong", write, {"contents": "x"}, collection_id="c" * 257)
write({"contents": "x"}, collection_id="c" * 256)
refused(400, "InvalidInput", write, {"content": "misspelt"})
refused(400, "InvalidInput", write, {"contents": 7})
step("collection ids and bodies are held to their rules")

unknown_version = bootstrap_administrator(api_version="1999-01-01")
refused(400, "UnsupportedApiVersionValue", unknown_version.get_constitution)
step("an api-version that never was is refused")

status = client.get_transaction_status(known)
assert status["state"] == "Committed", status
assert client.get_current_ledger_entry()["contents"] == "x" * LIMIT
step("nothing that was refused was recorded")
