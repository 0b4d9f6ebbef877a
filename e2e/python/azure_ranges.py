"""Azure's SDK lists entries: several collections, ranges, and more than a page of them.

Argument: token or cert. The ledger must be new.
"""

import sys
from concurrent.futures import ThreadPoolExecutor

from azure_support import SDK, administrator, position, step

# The service answers with 1,000 entries at a time.
MORE_THAN_A_PAGE = 1_050


def write(client, collection, text):
    return client.create_ledger_entry({"contents": text}, collection_id=collection)["transactionId"]


def several_collections(client):
    """As the vendor's own range test: five collections, two entries each, interleaved."""
    written = {str(n): [] for n in range(5)}
    for n in range(10):
        collection, text = str(n % 5), f"message-{n}"
        written[collection].append((write(client, collection, text), text))
    client.begin_wait_for_commit(written["4"][1][0]).result()
    for collection, entries in written.items():
        listed = client.list_ledger_entries(
            collection_id=collection,
            from_transaction_id=entries[0][0],
            to_transaction_id=entries[-1][0],
        )
        listed = [(e["transactionId"], e["contents"], e["collectionId"]) for e in listed]
        assert listed == [(*entry, collection) for entry in entries], (collection, listed)
    step("five collections list their own entries, in order")


def many_pages(client):
    many = {"collection_id": "many"}
    assert not list(client.list_ledger_entries(**many)), "the ledger is not new"
    with ThreadPoolExecutor(8) as pool:
        texts = [f"entry {n}" for n in range(MORE_THAN_A_PAGE)]
        ids = list(pool.map(lambda text: write(client, "many", text), texts))
    by_id = dict(zip(ids, texts))
    assert len(by_id) == MORE_THAN_A_PAGE, "two writes were given the same id"
    in_order = sorted(ids, key=position)
    client.begin_wait_for_commit(in_order[-1]).result()

    pages = [list(page) for page in client.list_ledger_entries(**many).by_page()]
    listed = [entry for page in pages for entry in page]
    assert [e["transactionId"] for e in listed] == in_order, "the ids differ or are out of order"
    assert all(by_id[e["transactionId"]] == e["contents"] for e in listed)
    assert len(pages) > 1 and max(map(len, pages)) <= 1_000, list(map(len, pages))
    step(f"{len(listed)} entries come in pages of {list(map(len, pages))}")

    first, last = in_order[10], in_order[-11]
    part = client.list_ledger_entries(
        **many, from_transaction_id=first, to_transaction_id=last
    )
    assert [e["transactionId"] for e in part] == in_order[10:-10]
    step("a range has both its ends and nothing outside")

    since = client.list_ledger_entries(**many, from_transaction_id=last)
    assert [e["transactionId"] for e in since] == in_order[-11:]
    until = client.list_ledger_entries(**many, to_transaction_id=first)
    assert [e["transactionId"] for e in until] == in_order[:11]
    empty = client.list_ledger_entries(
        **many, from_transaction_id=last, to_transaction_id=first
    )
    try:
        assert not list(empty), "a range that ends before it starts is not empty"
    except Exception as error:  # The service may also say that such a range cannot be.
        assert getattr(error, "status_code", None) == 400, error
    step("a range may be open at either end")


print(f"azure-confidentialledger {SDK} with a {sys.argv[1]}")
the_client = administrator(sys.argv[1])
several_collections(the_client)
many_pages(the_client)
