"""CCF's own signing tools govern the ledger: three members whose keys CCF's script made.

What they sign is accepted; what another key signed, what is sent twice or to the wrong place is not.
The keys are in the folder `E2E_KEYS`: member0, member1 and member2 founded the ledger.
"""

import base64
import json
import os
import ssl
import subprocess
import time
import urllib.error
import urllib.request
from datetime import datetime, timezone
from importlib.metadata import version
from pathlib import Path

import ccf.cose
from cryptography.hazmat.primitives import hashes, serialization
from cryptography.hazmat.primitives.asymmetric import ec, utils

URL = os.environ["E2E_URL"]
KEYS = Path(os.environ["E2E_KEYS"])
BIN = Path(os.environ["E2E_PACKAGES"]) / "bin"
SCRATCH = Path(os.environ["E2E_SCRATCH"])
VERSION = "api-version=2024-07-01"
YES = "export function vote (proposal, proposerId) { return true }"
NO = "export function vote (proposal, proposerId) { return false }"
tls = ssl.create_default_context(cafile=os.environ["E2E_SERVICE_CERT"])


def step(text):
    print("-", text, flush=True)


def call(method, path, body=None, media_type="application/cose", headers=None):
    """Status and body."""
    headers = {"Content-Type": media_type, **(headers or {})}
    request = urllib.request.Request(f"{URL}{path}", body, headers, method=method)
    try:
        with urllib.request.urlopen(request, context=tls, timeout=60) as answer:
            return answer.status, answer.read()
    except urllib.error.HTTPError as error:
        return error.code, error.read()


def gov(method, path, body=None):
    status, answer = call(method, f"/gov/{path}?{VERSION}", body)
    if answer[:1] in (b"{", b"["):
        answer = json.loads(answer)
    return status, answer


def accepted(answer, status=200):
    assert answer[0] == status, answer
    return answer[1]


def refused(answer, status, code):
    assert answer[0] == status and answer[1]["error"]["code"] == code, answer


class Member:
    def __init__(self, name):
        self.cert_file = KEYS / f"{name}_cert.pem"
        self.key_file = KEYS / f"{name}_privk.pem"
        self.cert = self.cert_file.read_text()
        self.key = self.key_file.read_text()
        self.id = ccf.cose.cert_fingerprint(self.cert).decode()

    def headers(self, kind, proposal=None, created_at=None):
        headers = {"ccf.gov.msg.type": kind}
        if proposal:
            headers["ccf.gov.msg.proposal_id"] = proposal
        headers["ccf.gov.msg.created_at"] = int(created_at or time.time())
        return headers

    def sign(self, kind, content, proposal=None, created_at=None):
        """With the library."""
        headers = self.headers(kind, proposal, created_at)
        return ccf.cose.create_cose_sign1(content, self.key, self.cert, headers)

    def arguments(self, kind, content, proposal=None):
        file = SCRATCH / "content"
        file.write_bytes(content)
        now = datetime.now(timezone.utc).isoformat()
        arguments = ["--content", file, "--signing-cert", self.cert_file]
        arguments += ["--ccf-gov-msg-type", kind, "--ccf-gov-msg-created-at", now]
        if proposal:
            arguments += ["--ccf-gov-msg-proposal-id", proposal]
        return arguments

    def sign_with_tool(self, kind, content, proposal=None):
        """With the command."""
        arguments = self.arguments(kind, content, proposal)
        tool = [BIN / "ccf_cose_sign1", "--signing-key", self.key_file]
        return subprocess.run(tool + arguments, check=True, capture_output=True).stdout

    def sign_offline(self, kind, content, proposal=None):
        """With the commands for keys that never leave a device."""
        arguments = self.arguments(kind, content, proposal)
        prepared = subprocess.run(
            [BIN / "ccf_cose_sign1_prepare"] + arguments, check=True, capture_output=True
        ).stdout
        digest = base64.b64decode(json.loads(prepared)["value"])
        key = serialization.load_pem_private_key(self.key.encode(), None)
        algorithm = hashes.SHA384() if key.curve.key_size == 384 else hashes.SHA256()
        der = key.sign(digest, ec.ECDSA(utils.Prehashed(algorithm)))
        size = key.curve.key_size // 8
        raw = b"".join(part.to_bytes(size, "big") for part in utils.decode_dss_signature(der))
        signature = SCRATCH / "signature.json"
        signature.write_text(json.dumps({"value": base64.urlsafe_b64encode(raw).decode()}))
        finish = [BIN / "ccf_cose_sign1_finish", "--signature", signature]
        return subprocess.run(finish + arguments, check=True, capture_output=True).stdout

    def propose(self, *actions):
        content = json.dumps({"actions": list(actions)}).encode()
        return gov("POST", "members/proposals:create", self.sign("proposal", content))

    def vote(self, proposal, ballot, sign=None):
        content = json.dumps({"ballot": ballot}).encode()
        message = (sign or self.sign)("ballot", content, proposal)
        path = f"members/proposals/{proposal}/ballots/{self.id}:submit"
        return gov("POST", path, message)

    def withdraw(self, proposal):
        message = self.sign("withdrawal", b"", proposal)
        return gov("POST", f"members/proposals/{proposal}:withdraw", message)

    def update_digest(self):
        path = f"members/state-digests/{self.id}:update"
        return accepted(gov("POST", path, self.sign("state_digest", b"")))

    def acknowledge(self, digest):
        content = json.dumps(digest).encode()
        path = f"members/state-digests/{self.id}:ack"
        return gov("POST", path, self.sign_with_tool("ack", content))


def add_user(name):
    return {"name": "set_user", "args": {"user_id": name}}


print(f"ccf {version('ccf')}")
alice, bob, carol = Member("member0"), Member("member1"), Member("member2")

step("two of three members add a user with a certificate, who writes")
user_cert = (KEYS / "user_cert.pem").read_text()
action = {"name": "set_user", "args": {"cert": user_cert, "user_data": {"team": "x"}}}
content = json.dumps({"actions": [action]}).encode()
message = alice.sign_with_tool("proposal", content)
proposal = accepted(gov("POST", "members/proposals:create", message))
assert proposal["proposalState"] == "Open", proposal
proposal = proposal["proposalId"]
assert accepted(alice.vote(proposal, YES, alice.sign_with_tool))["proposalState"] == "Open"
decided = accepted(bob.vote(proposal, YES, bob.sign_offline))
assert decided["proposalState"] == "Accepted", decided
assert decided["finalVotes"] == {alice.id: True, bob.id: True}, decided
user = ssl.create_default_context(cafile=os.environ["E2E_SERVICE_CERT"])
user.load_cert_chain(KEYS / "user_cert.pem", KEYS / "user_privk.pem")
request = urllib.request.Request(
    f"{URL}/app/transactions?api-version=2024-12-09-preview",
    b'{"contents": "by a user whom members added"}',
    {"Content-Type": "application/json"},
)
with urllib.request.urlopen(request, context=user, timeout=60) as answer:
    assert answer.status == 200

step("a no counts, and so does the third vote")
proposal = accepted(alice.propose(add_user("u1")))["proposalId"]
accepted(bob.vote(proposal, NO))
assert accepted(carol.vote(proposal, NO))["proposalState"] == "Rejected"
refused(alice.vote(proposal, YES), 400, "ProposalNotOpen")

step("a proposal is withdrawn by who made it, and by nobody else")
proposal = accepted(bob.propose(add_user("u2")))["proposalId"]
refused(alice.withdraw(proposal), 403, "AuthorizationFailed")
assert accepted(bob.withdraw(proposal))["proposalState"] == "Withdrawn"

step("a message is taken once, a member votes once")
content = json.dumps({"actions": [add_user("u3")]}).encode()
message = alice.sign("proposal", content)
proposal = accepted(gov("POST", "members/proposals:create", message))["proposalId"]
refused(gov("POST", "members/proposals:create", message), 400, "ProposalReplay")
old = alice.sign("proposal", content, created_at=1_600_000_000)
refused(gov("POST", "members/proposals:create", old), 400, "ProposalCreatedTooLongAgo")
accepted(carol.vote(proposal, YES))
refused(carol.vote(proposal, NO), 400, "VoteAlreadyExists")
script = "export function vote (p, i) { return JSON.parse(p).actions.length < 2 }"
refused(alice.vote(proposal, script), 400, "InvalidInput")

step("another key, another name, a stranger: refused")
headers = bob.headers("proposal")
forged = ccf.cose.create_cose_sign1(content, bob.key, alice.cert, headers)
refused(gov("POST", "members/proposals:create", forged), 401, "InvalidAuthenticationInfo")
stranger = Member("stranger")
refused(stranger.propose(add_user("u4")), 401, "InvalidAuthenticationInfo")
message = bob.sign("ballot", json.dumps({"ballot": YES}).encode(), proposal)
path = f"members/proposals/{proposal}/ballots/{alice.id}:submit"
refused(gov("POST", path, message), 400, "InvalidResourceName")
refused(gov("POST", "members/proposals:create", message), 401, "InvalidAuthenticationInfo")
changed = alice.sign("proposal", content).replace(b"u3", b"u5")
refused(gov("POST", "members/proposals:create", changed), 401, "InvalidAuthenticationInfo")

step("a new member acknowledges before its ballot counts")
dave = Member("member3")
args = {
    "cert": dave.cert,
    "encryption_pub_key": (KEYS / "member3_enc_pubk.pem").read_text(),
    "member_data": {"name": "Dave"},
}
added = accepted(alice.propose({"name": "set_member", "args": args}))["proposalId"]
accepted(alice.vote(added, YES))
assert accepted(bob.vote(added, YES))["proposalState"] == "Accepted"
dropped = accepted(gov("GET", f"members/proposals/{proposal}"))
assert dropped["proposalState"] == "Dropped", "other members vote now"
proposal = accepted(alice.propose(add_user("u6")))["proposalId"]
refused(dave.vote(proposal, YES), 403, "AuthorizationFailed")
shown = accepted(gov("GET", f"service/members/{dave.id}"))
assert shown["status"] == "Accepted" and shown["recoveryRole"] == "Participant", shown
refused(dave.acknowledge({"stateDigest": "00" * 32}), 400, "StateDigestMismatch")
digest = dave.update_digest()
assert digest == accepted(gov("GET", f"members/state-digests/{dave.id}"))
accepted(dave.acknowledge(digest), 204)
assert accepted(gov("GET", f"service/members/{dave.id}"))["status"] == "Active"
for member in (alice, bob):
    assert accepted(member.vote(proposal, YES))["proposalState"] == "Open"
assert accepted(dave.vote(proposal, YES))["proposalState"] == "Accepted"

step("what is not valid is refused, what cannot be done fails as a whole")
refused(alice.propose({"name": "set_js_app", "args": {}}), 400, "ProposalFailedToValidate")
refused(alice.propose({"name": "set_user", "args": {}}), 400, "ProposalFailedToValidate")
gone = {"name": "remove_member", "args": {"member_id": stranger.id}}
proposal = accepted(alice.propose(add_user("u7"), gone))["proposalId"]
for member in (alice, bob, carol):
    failed = accepted(member.vote(proposal, YES))
assert failed["proposalState"] == "Failed", failed

step("everybody reads what was decided")
assert accepted(gov("GET", "service/info"))["status"] == "Open"
actions = accepted(gov("GET", f"members/proposals/{proposal}/actions"))
assert actions["actions"][1] == gone
assert YES.encode() == accepted(gov("GET", f"members/proposals/{proposal}/ballots/{bob.id}"))
refused(gov("GET", f"members/proposals/{proposal}/ballots/{dave.id}"), 404, "VoteNotFound")
assert call("GET", "/gov/service/info")[0] == 400
