"""Checkpoints, cosignatures and countersigned receipts, read once more with nothing of ours: signed
notes and cosignatures as C2SP specifies them, keys from `cryptography`. Then readers that others
wrote take such a receipt as any other."""

import base64
import hashlib
import json
import os
import ssl
import urllib.request
from importlib.util import find_spec

from cryptography.exceptions import InvalidSignature
from cryptography.hazmat.primitives.asymmetric import ec
from cryptography.hazmat.primitives.asymmetric.ed25519 import Ed25519PublicKey
from cryptography.hazmat.primitives.asymmetric.utils import Prehashed
from cryptography.hazmat.primitives.hashes import SHA256
from cryptography.hazmat.primitives.serialization import (
    Encoding,
    PublicFormat,
    load_der_public_key,
)
from cryptography.x509 import load_pem_x509_certificate

URL = os.environ["E2E_URL"]
VERSION = "api-version=2024-12-09-preview"

with open(os.environ["E2E_SERVICE_CERT"], "rb") as file:
    service_pem = file.read()
service_key = load_pem_x509_certificate(service_pem).public_key()
service_spki = service_key.public_bytes(Encoding.DER, PublicFormat.SubjectPublicKeyInfo)
ORIGIN = f"counterfoil/ccf-merkle/{hashlib.sha256(service_spki).hexdigest()}"
tls = ssl.create_default_context(cafile=os.environ["E2E_SERVICE_CERT"])


def call(method, path, body=None):
    headers = {
        "Authorization": f"Bearer {os.environ['E2E_TOKEN']}",
        "Content-Type": "application/json",
    }
    data = json.dumps(body).encode() if body else None
    request = urllib.request.Request(f"{URL}{path}", data, headers, method=method)
    with urllib.request.urlopen(request, context=tls, timeout=30) as answer:
        return answer.headers, answer.read()


def sha256(*parts):
    return hashlib.sha256(b"".join(parts)).digest()


def read_key(vkey):
    """A verifier key: its name, its id, its type and its bytes."""
    name, key_id, key = vkey.split("+", 2)
    key = base64.b64decode(key, validate=True)
    kind, material = key[0], key[1:]
    if kind == 2:
        expected = sha256(material)[:4]
    else:
        expected = sha256(name.encode(), b"\n", key)[:4]
    assert bytes.fromhex(key_id) == expected, vkey
    return name, expected, kind, material


def read_note(note):
    """The text of a note, and its signatures by name and id of the key."""
    body, lines = note.rsplit("\n\n", 1)
    assert lines.endswith("\n")
    signatures = {}
    for line in lines[:-1].split("\n"):
        dash, name, signature = line.split(" ")
        assert dash == "\N{EM DASH}", line
        signature = base64.b64decode(signature, validate=True)
        signatures[name, signature[:4]] = signature[4:]
    return body + "\n", signatures


def signed_by(note, vkey):
    """Whether the key signed; an exception where what is shown as its signature is none."""
    text, signatures = read_note(note)
    name, key_id, kind, material = read_key(vkey)
    signature = signatures.get((name, key_id))
    if signature is None:
        return False
    if kind == 1:
        Ed25519PublicKey.from_public_bytes(material).verify(signature, text.encode())
    elif kind == 2:
        load_der_public_key(material).verify(signature, text.encode(), ec.ECDSA(SHA256()))
    elif kind == 4:
        time = int.from_bytes(signature[:8], "big")
        message = f"cosignature/v1\ntime {time}\n{text}".encode()
        Ed25519PublicKey.from_public_bytes(material).verify(signature[8:], message)
    else:
        raise AssertionError(kind)
    return True


def read_checkpoint(note):
    origin, size, root = read_note(note)[0].split("\n")[:3]
    assert origin == ORIGIN, origin
    return int(size), base64.b64decode(root, validate=True)


keys = json.loads(call("GET", "/node/cosigners")[1])
cosigners = [cosigner["key"] for cosigner in keys["cosigners"]]
assert cosigners and len(keys["service"]) == 2, keys
assert read_key(keys["service"][0])[3] == service_spki

headers, note = call("GET", "/node/checkpoint")
assert headers["Content-Type"].startswith("text/plain"), headers["Content-Type"]
note = note.decode()
assert all(signed_by(note, key) for key in keys["service"] + cosigners)
size, _ = read_checkpoint(note)
forged = note.replace(f"\n{size}\n", f"\n{size + 1}\n", 1)
for key in keys["service"] + cosigners:
    try:
        signed_by(forged, key)
        raise AssertionError("a forged checkpoint is believed")
    except InvalidSignature:
        pass

for cosigner in keys["cosigners"]:
    # The node's own key vouches for the one with which it countersigns.
    spki = base64.b64decode(cosigner["public_key"])
    assert hashlib.sha256(spki).hexdigest() == cosigner["node_id"]
    name, _, kind, material = read_key(cosigner["key"])
    assert (name, kind) == (f"counterfoil/node/{cosigner['node_id']}", 4)
    binding = sha256(b"counterfoil cosigner 1", sha256(service_spki), material)
    load_der_public_key(spki).verify(
        base64.b64decode(cosigner["binding"]), binding, ec.ECDSA(Prehashed(SHA256()))
    )

headers, _ = call("POST", f"/app/transactions?{VERSION}", {"contents": "seen by others"})
transaction = headers["x-ms-ccf-transaction-id"]
path = f"/app/transactions/{transaction}/receipt?{VERSION}&cosignatures=true"
document = json.loads(call("GET", path)[1])
receipt = document["receipt"]
components = receipt["leafComponents"]
leaf = sha256(
    bytes.fromhex(components["writeSetDigest"]),
    sha256(components["commitEvidence"].encode()),
    bytes.fromhex(components["claimsDigest"]),
)
cosigned = receipt["cosigned"]
current = leaf
for step in cosigned["proof"]:
    if "left" in step:
        current = sha256(bytes.fromhex(step["left"]), current)
    else:
        current = sha256(current, bytes.fromhex(step["right"]))
size, root = read_checkpoint(cosigned["checkpoint"])
assert current == root
assert size > int(transaction.split(".")[1])
assert all(signed_by(cosigned["checkpoint"], key) for key in cosigners)
print(f"{transaction} in a history of {size}, countersigned by {len(cosigners)}")

if find_spec("ccf"):
    import ccf.receipt

    path = f"/node/receipt?transaction_id={transaction}&cosignatures=true"
    twin = json.loads(call("GET", path)[1])
    assert twin["cosigned"]["checkpoint"].startswith(ORIGIN)
    root = ccf.receipt.root(leaf.hex(), twin["proof"])
    ccf.receipt.verify(root, twin["signature"], load_pem_x509_certificate(twin["cert"].encode()))
    print("ccf takes the receipt")

if find_spec("azure"):
    from azure.confidentialledger import receipt as azure_receipt

    azure_receipt.verify_receipt(
        receipt,
        service_pem.decode(),
        application_claims=document["applicationClaims"],
    )
    print("azure.confidentialledger takes the receipt")
