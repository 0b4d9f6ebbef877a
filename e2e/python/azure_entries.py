"""Azure's SDK writes, reads, waits, and checks receipts. Argument: token or cert."""

import copy
import hashlib
import sys

from azure.confidentialledger.receipt import compute_claims_digest, verify_receipt
from azure_support import SDK, SERVICE_CERT, administrator, position, step

DEFAULT = "subledger:0"


def plain(model):
    """Version 2 answers with models; the receipt checks take plain dictionaries."""
    return model.as_dict() if hasattr(model, "as_dict") else model


def write_and_read(client, collection, text):
    where = {"collection_id": collection} if collection else {}
    expected = collection or DEFAULT

    result = client.create_ledger_entry({"contents": text}, **where)
    transaction_id = result["transactionId"]
    assert result["collectionId"] == expected, result
    assert position(transaction_id)[0] >= 2, transaction_id

    client.begin_wait_for_commit(transaction_id).result()
    status = client.get_transaction_status(transaction_id)
    assert status["state"] == "Committed" and status["transactionId"] == transaction_id, status
    step(f"{transaction_id} in {expected} is committed")

    current = client.get_current_ledger_entry(**where)
    assert current["contents"] == text and current["collectionId"] == expected, current
    assert position(current["transactionId"]) >= position(transaction_id), current

    later = client.begin_create_ledger_entry({"contents": text + ", later"}, **where).result()
    assert position(later["transactionId"]) > position(transaction_id), later
    current = client.get_current_ledger_entry(**where)
    assert current["contents"] == text + ", later", current

    entry = client.begin_get_ledger_entry(transaction_id, **where).result()["entry"]
    assert entry["contents"] == text, entry
    assert entry["collectionId"] == expected, entry
    assert entry["transactionId"] == transaction_id, entry
    assert client.get_ledger_entry(transaction_id, **where)["state"] == "Ready"
    step("and is read by its id, and as the current entry until the next one")
    return transaction_id


def fails(call, *args, **kwargs):
    try:
        call(*args, **kwargs)
    except ValueError:
        return
    raise AssertionError("a false receipt was accepted")


def check_receipt(client, transaction_id, collection, text):
    answer = plain(client.begin_get_receipt(transaction_id).result())
    assert answer["state"] == "Ready" and answer["transactionId"] == transaction_id, answer
    receipt, claims = answer["receipt"], answer["applicationClaims"]
    with open(SERVICE_CERT, encoding="ascii") as file:
        service_cert = file.read()

    verify_receipt(receipt, service_cert, application_claims=claims)
    entry = claims[0]["ledgerEntry"]
    assert entry["contents"] == text and entry["collectionId"] == collection, claims
    digest = compute_claims_digest(claims)
    assert digest == receipt["leafComponents"]["claimsDigest"], digest
    assert receipt["leafComponents"]["commitEvidence"].startswith(f"ce:{transaction_id}:")
    step(f"the receipt of {transaction_id} holds, with {len(receipt['proof'])} steps of proof")

    other_text = copy.deepcopy(claims)
    other_text[0]["ledgerEntry"]["contents"] += "!"
    fails(verify_receipt, receipt, service_cert, application_claims=other_text)
    other_leaf = copy.deepcopy(receipt)
    other_leaf["leafComponents"]["writeSetDigest"] = "00" * 32
    fails(verify_receipt, other_leaf, service_cert)
    other_signer = copy.deepcopy(receipt)
    other_signer["cert"] = service_cert
    fails(verify_receipt, other_signer, service_cert)
    step("and no longer holds once its claim, its leaf or its signer is another")


def check_service(client):
    constitution = client.get_constitution()
    digest = hashlib.sha256(constitution["script"].encode()).hexdigest()
    assert constitution["digest"].lower() == digest, constitution["digest"]

    members = list(client.list_consortium_members())
    assert len(members) == 1, members
    assert "BEGIN CERTIFICATE" in members[0]["certificate"] and members[0]["id"], members

    quotes = client.get_enclave_quotes()
    assert quotes["currentNodeId"] in quotes["enclaveQuotes"], quotes
    for node_id, quote in quotes["enclaveQuotes"].items():
        assert quote["nodeId"] == node_id and quote["quoteVersion"] and quote["raw"], quote
    step("the constitution matches its digest, one member governs, every node shows its evidence")


def main(kind):
    print(f"azure-confidentialledger {SDK} with a {kind}")
    client = administrator(kind)
    texts = {None: "Hello world", "lots/7": "Zwölf Kisten Äpfel \N{GREEN APPLE} \"frisch\"\n"}
    for collection, text in texts.items():
        transaction_id = write_and_read(client, collection, text)
        check_receipt(client, transaction_id, collection or DEFAULT, text)
    collections = {collection["collectionId"] for collection in client.list_collections()}
    assert {DEFAULT, "lots/7"} <= collections, collections
    step(f"the collections are {sorted(collections)}")
    check_service(client)


main(sys.argv[1])
