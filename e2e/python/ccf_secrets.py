"""CCF's own tool follows the chain of ledger secrets: each was sealed under the one after it.

Argument: how many secrets were replaced by another one.
"""

import os
import subprocess
import sys
from importlib.metadata import version
from pathlib import Path

folder = Path(os.environ["E2E_DATA"]) / "ledger"
tool = [sys.executable, "-m", "ccf.verify_ledger_secrets_chain", "--uncommitted", folder]
ran = subprocess.run(tool, capture_output=True, text=True)
said = ran.stdout + ran.stderr
rows = said.count('"previous_ledger_secret"')
print(f"ccf {version('ccf')}: {rows} earlier ledger secrets")
assert ran.returncode == 0, said
assert rows == int(sys.argv[1]), said
