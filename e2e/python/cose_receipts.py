"""Verifiers that others wrote accept the ledger's COSE receipts, and no changed ones."""

import base64
import hashlib
import hmac
import json
import os
import ssl
import struct
import urllib.request
from importlib.metadata import version
from importlib.util import find_spec

import ccf.cose
import ccf.receipt
import scitt_cose
from cryptography.hazmat.primitives.serialization import Encoding, PublicFormat
from cryptography.x509 import load_pem_x509_certificate

URL = os.environ["E2E_URL"]
VERSION = "api-version=2024-12-09-preview"
ENTRIES = 20

with open(os.environ["E2E_SERVICE_CERT"], "rb") as file:
    service_cert = load_pem_x509_certificate(file.read())
service_key = service_cert.public_key()
tls = ssl.create_default_context(cafile=os.environ["E2E_SERVICE_CERT"])


def call(method, path, body=None, accept="application/json"):
    headers = {
        "Authorization": f"Bearer {os.environ['E2E_TOKEN']}",
        "Accept": accept,
        "Content-Type": "application/json",
    }
    data = json.dumps(body).encode() if body else None
    request = urllib.request.Request(f"{URL}{path}", data, headers, method=method)
    with urllib.request.urlopen(request, context=tls, timeout=30) as answer:
        return answer.headers, answer.read()


def write(text):
    headers, _ = call("POST", f"/app/transactions?{VERSION}&collectionId=cose", {"contents": text})
    return headers["x-ms-ccf-transaction-id"]


def receipts(transaction_id):
    """The receipt as COSE, and what it claims by its JSON twin."""
    path = f"/app/transactions/{transaction_id}/receipt?{VERSION}"
    _, twin = call("GET", path)
    headers, cose = call("GET", path, accept="application/cose")
    assert headers["Content-Type"] == "application/cose", headers["Content-Type"]
    return cose, json.loads(twin)


def claims_digest(claims):
    """What LedgerEntryV1 says about an entry, computed here once more."""
    assert len(claims) == 1, claims
    entry = claims[0]["ledgerEntry"]
    key = base64.b64decode(entry["secretKey"])
    parts = [entry["collectionId"], entry["contents"]]
    macs = b"".join(hmac.digest(key, part.encode(), "sha256") for part in parts)
    claim = hashlib.sha256(b"LedgerEntryV1" + hashlib.sha256(macs).digest()).digest()
    return hashlib.sha256(struct.pack("<I", 1) + claim).digest()


def refused(verify, *args):
    try:
        verify(*args)
    except Exception:  # Each verifier has its own errors, and any of them will do.
        return True
    return False


def by_scitt_cose(receipt, key, digest):
    pem = key.public_bytes(Encoding.PEM, PublicFormat.SubjectPublicKeyInfo)
    result = scitt_cose.verify_receipt(
        receipt, leaf_entry_hex=digest.hex(), log_public_key_pem=pem
    )
    if not result.ok:
        raise ValueError(result.errors)


def by_pyscitt(receipt, _key, digest):
    """Its part is to find the key for the receipt among those it trusts."""
    from pyscitt.verify import StaticTrustStore

    store = StaticTrustStore(certificates=[service_cert.public_bytes(Encoding.DER)])
    by_ccf(receipt, store.get_key(receipt), digest)


# Since version 7 it is called by another name.
by_ccf = getattr(ccf.receipt, "verify_cose", None) or ccf.cose.verify_receipt
verifiers = {"ccf": by_ccf, "scitt-cose": by_scitt_cose}
# The versions of it that know this kind of receipt need the newest Python.
if find_spec("pyscitt"):
    verifiers["pyscitt"] = by_pyscitt

ids = [write(f"lot {n}") for n in range(ENTRIES)]
for n, transaction_id in enumerate(ids):
    receipt, twin = receipts(transaction_id)
    assert twin["applicationClaims"][0]["ledgerEntry"]["contents"] == f"lot {n}"
    digest = claims_digest(twin["applicationClaims"])
    other_digest = hashlib.sha256(digest).digest()
    # The last byte is the signature's; the one in the middle is part of what is signed or proven.
    places = [len(receipt) // 2, len(receipt) - 1]
    changed = [receipt[:at] + bytes([receipt[at] ^ 1]) + receipt[at + 1 :] for at in places]
    for name, verify in verifiers.items():
        verify(receipt, service_key, digest)
        assert refused(verify, receipt, service_key, other_digest), f"{name}: another claim"
        for false in changed:
            assert refused(verify, false, service_key, digest), f"{name}: a changed receipt"
for name in verifiers:
    print(f"{name} {version(name)}: {ENTRIES} receipts hold, changed ones do not")
