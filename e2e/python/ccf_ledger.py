"""CCF's own reader walks every transaction of the ledger folder and validates every signed root.

Arguments: how many transactions there are at least, and in how many views (1).
"""

import os
import sys
from importlib.metadata import version
from pathlib import Path

import ccf.ledger

folder = Path(os.environ["E2E_DATA"]) / "ledger"
levels = getattr(ccf.ledger, "VerificationLevel", None)
# Since version 7 the reader has levels of strictness; before, it had this one.
strictest = {"verification_level": levels.FULL} if levels else {}
validator = ccf.ledger.LedgerValidator(accept_deprecated_entry_types=False, **strictest)
ledger = ccf.ledger.Ledger([str(folder)], committed_only=False, **strictest)

count = 0
last = None
chunks = 0
views = set()
for chunk in ledger:
    chunks += 1
    for transaction in chunk:
        validator.add_transaction(transaction)
        count += 1
        last = str(transaction.get_txid())
        views.add(last.split(".")[0])
        assert last.endswith(f".{count}"), f"transaction {last} stands in place {count}"

verified = validator.last_verified_txid()
print(
    f"ccf {version('ccf')}: {count} transactions in {len(views)} views and {chunks} chunks,"
    f" {validator.signature_count} signatures, verified up to {verified} of {last}"
)
assert count >= int(sys.argv[1]), f"{sys.argv[1]} transactions were expected"
assert len(views) >= int((sys.argv[2:] or ["1"])[0]), f"only the views {sorted(views)}"
assert validator.signature_count > 0, "nothing was signed"
assert verified.seqno == count, "transactions after the last signature are not covered"
assert validator.service_status == "Open", validator.service_status
