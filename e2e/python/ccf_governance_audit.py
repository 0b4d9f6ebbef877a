"""CCF's own reader finds every member's signed message in the ledger files, and each verifies."""

import base64
import json
import os
from collections import Counter
from importlib.metadata import version
from pathlib import Path

import cbor2
import ccf.ledger

from cryptography.hazmat.primitives import hashes
from cryptography.hazmat.primitives.asymmetric import ec, utils
from cryptography.x509 import load_pem_x509_certificate


def verified(message, cert):
    """The protected header of a COSE_Sign1 that this certificate's key signed (RFC 9052, 4.4)."""
    protected, _, payload, signature = cbor2.loads(message).value
    key = load_pem_x509_certificate(cert).public_key()
    algorithm = hashes.SHA384() if key.curve.key_size == 384 else hashes.SHA256()
    half = len(signature) // 2
    parts = [int.from_bytes(part, "big") for part in (signature[:half], signature[half:])]
    signed = cbor2.dumps(["Signature1", protected, b"", payload])
    key.verify(utils.encode_dss_signature(*parts), signed, ec.ECDSA(algorithm))
    return cbor2.loads(protected)


folder = Path(os.environ["E2E_DATA"]) / "ledger"
ledger = ccf.ledger.Ledger([str(folder)], committed_only=False)
certs = {}
messages = Counter()
states = {}
for chunk in ledger:
    for transaction in chunk:
        tables = transaction.get_public_domain().get_tables()
        for member, cert in tables.get("public:ccf.gov.members.certs", {}).items():
            if cert is not None:
                certs[member] = cert
        for member, row in tables.get("public:ccf.gov.cose_history", {}).items():
            message = base64.b64decode(json.loads(row))
            header = verified(message, certs[member])
            assert header[4] == member
            messages[header["ccf.gov.msg.type"]] += 1
        for proposal, row in tables.get("public:ccf.gov.proposals_info", {}).items():
            if row is not None:
                states[proposal] = json.loads(row)["state"]

print(f"ccf {version('ccf')}: {dict(messages)}, {Counter(states.values())}")
for kind in ("proposal", "ballot", "withdrawal", "ack", "state_digest"):
    assert messages[kind] > 0, f"no message of type {kind}"
for state in ("Accepted", "Rejected", "Withdrawn", "Dropped", "Failed"):
    assert state in states.values(), f"no proposal is {state}"
