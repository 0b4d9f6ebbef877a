"""A member gives its recovery share with CCF's signing library, as CCF's submit_recovery_share.sh does.

Arguments: what the member's files are called, and the message that is expected back.
"""

import base64
import json
import os
import ssl
import sys
import time
import urllib.request
from pathlib import Path

import ccf.cose
from cryptography.hazmat.primitives import hashes, serialization
from cryptography.hazmat.primitives.asymmetric import padding

URL = os.environ["E2E_URL"]
KEYS = Path(os.environ["E2E_KEYS"])
VERSION = "api-version=2024-07-01"
tls = ssl.create_default_context(cafile=os.environ["E2E_SERVICE_CERT"])
name, expected = sys.argv[1:]
cert = (KEYS / f"{name}_cert.pem").read_text()
key = (KEYS / f"{name}_privk.pem").read_text()
member = ccf.cose.cert_fingerprint(cert).decode()


def call(method, path, body=None):
    headers = {"Content-Type": "application/cose"}
    request = urllib.request.Request(f"{URL}/gov/{path}?{VERSION}", body, headers, method=method)
    with urllib.request.urlopen(request, context=tls, timeout=60) as answer:
        return json.load(answer)


share = call("GET", f"recovery/encrypted-shares/{member}")
assert share["memberId"] == member, share
decryption_key = serialization.load_pem_private_key(
    (KEYS / f"{name}_enc_privk.pem").read_bytes(), None
)
oaep = padding.OAEP(padding.MGF1(hashes.SHA256()), hashes.SHA256(), None)
share = decryption_key.decrypt(base64.b64decode(share["encryptedShare"]), oaep)
content = json.dumps({"share": base64.b64encode(share).decode()}).encode()
headers = {"ccf.gov.msg.type": "recovery_share", "ccf.gov.msg.created_at": int(time.time())}
message = ccf.cose.create_cose_sign1(content, key, cert, headers)
answer = call("POST", f"recovery/members/{member}:recover", message)
print(answer)
assert answer["message"].startswith(expected), answer
