"""Azure's SDK writes through one node while the network's leader dies. Arguments: token or cert, and
a file: once it is there, enough was written.

The SDK's own policies send again what was certainly not recorded. The one thing they leave to the
application is an answer in doubt (502): with the same Idempotency-Key it is sent again here.
"""

import json
import sys
import uuid
from pathlib import Path

from azure.core.exceptions import HttpResponseError
from azure_support import SCRATCH, SDK, administrator, step

kind, enough = sys.argv[1], Path(sys.argv[2])
collection = f"failover-{SDK}-{kind}"
client = administrator(kind)
acknowledged, doubts = [], 0
while not enough.exists():
    text = f"number {len(acknowledged)}"
    headers = {"Idempotency-Key": str(uuid.uuid4())}
    while True:
        try:
            written = client.create_ledger_entry(
                {"contents": text}, collection_id=collection, headers=headers
            )
            break
        except HttpResponseError as error:
            assert error.status_code == 502, (error.status_code, error.message)
            doubts += 1
    acknowledged.append((written["transactionId"], text))

client.begin_wait_for_commit(acknowledged[-1][0]).result()
for transaction_id, text in acknowledged:
    found = client.begin_get_ledger_entry(transaction_id, collection_id=collection).result()
    assert found["entry"]["contents"] == text, found
listed = client.list_ledger_entries(collection_id=collection)
listed = [(entry["transactionId"], entry["contents"]) for entry in listed]
assert listed == acknowledged, "not what was acknowledged, once and in that order"
(SCRATCH / "acknowledged.json").write_text(json.dumps(acknowledged), encoding="ascii")
step(f"azure-confidentialledger {SDK}, {kind}: {len(acknowledged)} writes, {doubts} in doubt")
