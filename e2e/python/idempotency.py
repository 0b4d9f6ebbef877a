"""A client with nothing but HTTPS writes to any of several nodes while their leaders die.

Whatever goes wrong, it sends the same again with the same Idempotency-Key, to the next node. Argument:
a file: once it is there, enough was written. E2E_URLS has the nodes' addresses.
"""

import http.client
import json
import os
import ssl
import sys
import time
import urllib.error
import urllib.request
import uuid
from itertools import cycle
from pathlib import Path

URLS = os.environ["E2E_URLS"].split()
VERSION = "api-version=2026-07-31-preview&collectionId=once"
tls = ssl.create_default_context(cafile=os.environ["E2E_SERVICE_CERT"])
nodes = cycle(URLS)


def call(url, body=None, key=None):
    headers = {"Authorization": f"Bearer {os.environ['E2E_TOKEN']}"}
    if body:
        headers |= {"Content-Type": "application/json", "Idempotency-Key": key}
    data = json.dumps(body).encode() if body else None
    request = urllib.request.Request(url, data, headers)
    with urllib.request.urlopen(request, context=tls, timeout=10) as answer:
        return answer.headers, json.load(answer)


def write(text, key):
    """Sends until it is acknowledged: the transaction's id, and how often it was sent."""
    for times in range(1, 200):
        try:
            url = f"{next(nodes)}/app/transactions?{VERSION}"
            headers, _ = call(url, {"contents": text}, key)
            return headers["x-ms-ccf-transaction-id"], times
        except urllib.error.HTTPError as error:
            assert error.code in (429, 502, 503), (error.code, error.read())
        except (urllib.error.URLError, http.client.HTTPException, OSError):
            pass  # The node is down, or died with the answer.
        time.sleep(0.05)
    raise AssertionError(f"{text} is never acknowledged")


enough, written, again = Path(sys.argv[1]), [], 0
while not enough.exists():
    text, key = f"number {len(written)}", str(uuid.uuid4())
    transaction_id, times = write(text, key)
    written.append((transaction_id, text, key))
    again += times - 1

for url in URLS:
    for transaction_id, text, key in written[-20:]:
        headers, _ = call(f"{url}/app/transactions?{VERSION}", {"contents": text}, key)
        repeated = headers["x-ms-ccf-transaction-id"]
        assert repeated == transaction_id, f"{text} is {transaction_id} and {repeated}"

for url in URLS:
    listed, link = [], f"/app/transactions?{VERSION}"
    while link:
        _, page = call(url + link)
        listed += [(entry["transactionId"], entry["contents"]) for entry in page["entries"]]
        link = page.get("nextLink")
    assert listed == [entry[:2] for entry in written], f"{url} has not each once and in order"
views = {transaction_id.split(".")[0] for transaction_id, _, _ in written}
assert len(views) > 1, "there was one leader only"
assert again > 0, "nothing had to be sent again"
print(f"{len(written)} writes in {len(views)} views, sent again {again} times, recorded once")
