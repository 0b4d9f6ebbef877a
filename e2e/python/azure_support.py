"""What the scripts for Azure's SDK share: who calls, where the ledger is, and who is refused."""

import datetime
import json
import os
import time
from pathlib import Path

import azure.confidentialledger
from azure.confidentialledger import (
    ConfidentialLedgerCertificateCredential,
    ConfidentialLedgerClient,
)
from azure.core.credentials import AccessToken
from azure.core.exceptions import HttpResponseError
from cryptography import x509
from cryptography.hazmat.primitives import hashes, serialization
from cryptography.hazmat.primitives.asymmetric import ec, rsa
from cryptography.x509.oid import NameOID

URL = os.environ["E2E_URL"]
SERVICE_CERT = os.environ["E2E_SERVICE_CERT"]
SCRATCH = Path(os.environ["E2E_SCRATCH"])
SDK = azure.confidentialledger.__version__
# Since version 2 the SDK speaks an api-version in which users have several roles.
SEVERAL_ROLES = not SDK.startswith("1.")


class Bearer:
    """A token that somebody issued, as an Azure credential."""

    def __init__(self, token):
        self.token = token

    def get_token(self, *_scopes, **_kwargs):
        return AccessToken(self.token, int(time.time()) + 3600)


def step(text):
    print("-", text, flush=True)


def client_for(credential, **kwargs):
    return ConfidentialLedgerClient(
        URL, credential=credential, ledger_certificate_path=SERVICE_CERT, **kwargs
    )


def bootstrap_administrator(**kwargs):
    """The client of the administrator whose token the server printed."""
    return client_for(Bearer(os.environ["E2E_TOKEN"]), **kwargs)


def stranger(name, *, expired=False):
    """A client with a certificate that the ledger has never seen, and its user id."""
    if expired:
        key = rsa.generate_private_key(public_exponent=65537, key_size=2048)
        start = datetime.datetime(2018, 1, 1)
    else:
        key = ec.generate_private_key(ec.SECP256R1())
        start = datetime.datetime(2026, 1, 1)
    subject = x509.Name([x509.NameAttribute(NameOID.COMMON_NAME, name)])
    cert = (
        x509.CertificateBuilder()
        .subject_name(subject)
        .issuer_name(subject)
        .public_key(key.public_key())
        .serial_number(x509.random_serial_number())
        .not_valid_before(start)
        .not_valid_after(start + datetime.timedelta(days=365))
        .sign(key, hashes.SHA256())
    )
    pem = cert.public_bytes(serialization.Encoding.PEM) + key.private_bytes(
        serialization.Encoding.PEM,
        serialization.PrivateFormat.PKCS8,
        serialization.NoEncryption(),
    )
    path = SCRATCH / f"{name}-{SDK}.pem"
    path.write_bytes(pem)
    user = cert.fingerprint(hashes.SHA256()).hex(":").upper()
    return client_for(ConfidentialLedgerCertificateCredential(str(path))), user


def assign(administrator, user, role):
    """Gives the user the role and returns what the ledger answers."""
    if SEVERAL_ROLES:
        return administrator.create_or_update_ledger_user(user, {"assignedRoles": [role]})
    return administrator.create_or_update_user(user, {"assignedRole": role})


def administrator(kind):
    """An administrator who shows a token, or a certificate (an expired one: only its key counts)."""
    bootstrap = bootstrap_administrator()
    if kind == "token":
        return bootstrap
    client, user = stranger("administrator", expired=True)
    assign(bootstrap, user, "Administrator")
    return client


def refused(status, code, call, *args, **kwargs):
    """The call must fail with this status and this error code."""
    try:
        result = call(*args, **kwargs)
        if hasattr(result, "__next__"):
            list(result)
    except HttpResponseError as error:
        told = json.loads(error.response.text())["error"]
        assert error.status_code == status, (error.status_code, told)
        assert told["code"] == code, told
        assert told["message"], told
        return
    raise AssertionError(f"{call.__name__} was not refused")


def position(transaction_id):
    """A transaction id as a pair that can be compared."""
    view, seqno = transaction_id.split(".")
    return int(view), int(seqno)
