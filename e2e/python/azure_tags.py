"""Azure's SDK, version 2, on a public ledger: entries with tags."""

import sys

from azure_support import SDK, administrator, step

print(f"azure-confidentialledger {SDK} with a {sys.argv[1]}")
client = administrator(sys.argv[1])
ids = {}
for text, tags in [("a", "red"), ("b", "red,round"), ("c", None), ("d", "round")]:
    tagged = {"tags": tags} if tags else {}
    result = client.create_ledger_entry({"contents": text}, collection_id="things", **tagged)
    ids[text] = result["transactionId"]
client.begin_wait_for_commit(ids["d"]).result()


def listed(**kwargs):
    entries = client.list_ledger_entries(collection_id="things", **kwargs)
    return [entry["contents"] for entry in entries]


assert listed() == ["a", "b", "c", "d"], listed()
assert listed(tag="red") == ["a", "b"], listed(tag="red")
assert listed(tag="round") == ["b", "d"], listed(tag="round")
assert listed(tag="square") == []
assert listed(tag="red", from_transaction_id=ids["b"]) == ["b"]
step("entries are listed by one tag, also within a range")
