"""Azure's SDK manages users, and the ledger keeps to what they may do."""

import sys

from azure_support import (
    SDK,
    SEVERAL_ROLES,
    Bearer,
    administrator,
    assign,
    client_for,
    refused,
    step,
    stranger,
)

SOMEBODY = "0" * 8 + "-1111-2222-3333-" + "4" * 12
FINGERPRINT = (
    "7F:75:58:60:70:A8:B6:15:A2:CD:24:55:25:B9:64:49:F8:BF:F0:E3:4D:92:EA:B2:8C:30:E6:2D:F4"
    ":77:30:1F"
)


def one_role(client, user):
    """/app/users in the api-versions that have it."""
    answer = client.create_or_update_user(user, {"assignedRole": "Contributor"})
    assert (answer["userId"], answer["assignedRole"]) == (user, "Contributor"), answer
    assert client.get_user(user)["assignedRole"] == "Contributor"
    answer = client.create_or_update_user(user, {"assignedRole": "Reader"})
    assert answer["assignedRole"] == "Reader", answer
    assert client.get_user(user)["assignedRole"] == "Reader"
    client.delete_user(user)
    refused(404, "ResourceNotFound", client.get_user, user)
    client.delete_user(user)
    step(f"{user[:11]}.. was given a role, another instead, and was removed, twice")


def several_roles(client, user):
    """/app/ledgerUsers: roles add up; the answer names those that were asked for."""
    answer = client.create_or_update_ledger_user(user, {"assignedRoles": ["Contributor"]})
    assert (answer["userId"], answer["assignedRoles"]) == (user, ["Contributor"]), answer
    answer = client.create_or_update_ledger_user(user, {"assignedRoles": ["Reader"]})
    assert answer["assignedRoles"] == ["Reader"], answer
    answer = client.get_ledger_user(user)
    assert answer["assignedRoles"] == ["Contributor", "Reader"], answer
    listed = {found["userId"]: found["assignedRoles"] for found in client.list_ledger_users()}
    assert listed[user] == ["Contributor", "Reader"], listed
    assert user in {found["userId"] for found in client.list_users()}
    client.delete_ledger_user(user)
    client.delete_ledger_user(user)
    refused(404, "ResourceNotFound", client.get_ledger_user, user)
    step(f"{user[:11]}.. was given two roles, one by one, and was removed, twice")
    change = {"assignedRole": "Reader"}
    refused(400, "ApiVersionRedirect", client.create_or_update_user, user, change)
    refused(400, "ApiVersionRedirect", client.delete_user, user)
    step("/app/users no longer changes users in this api-version, and says so")


def what_roles_allow(client):
    entry = {"contents": "from a user with few rights"}
    nobody, _ = stranger("nobody")
    refused(403, "NotAllowed", nobody.create_ledger_entry, entry)
    refused(403, "NotAllowed", nobody.list_collections)
    step("a certificate that nobody registered may do nothing")

    reader, reader_id = stranger("reader")
    assign(client, reader_id, "Reader")
    written = client.begin_create_ledger_entry({"contents": "for readers"}).result()
    assert reader.get_current_ledger_entry()["contents"] == "for readers"
    reader.begin_get_receipt(written["transactionId"]).result()
    refused(403, "NotAllowed", reader.create_ledger_entry, entry)
    refused(403, "NotAllowed", assign, reader, reader_id, "Administrator")
    step("a reader reads and does not write, nor make itself an administrator")

    contributor, contributor_id = stranger("contributor")
    assign(client, contributor_id, "Contributor")
    contributor.begin_create_ledger_entry(entry).result()
    assert reader.get_current_ledger_entry()["contents"] == entry["contents"]
    refused(403, "NotAllowed", assign, contributor, reader_id, "Contributor")
    step("a contributor writes and does not manage users")

    remove = client.delete_ledger_user if SEVERAL_ROLES else client.delete_user
    remove(contributor_id)
    refused(403, "NotAllowed", contributor.create_ledger_entry, entry)
    step("a removed user may do nothing any more")


def who_is_not_known():
    entry = {"contents": "from nobody"}
    for token in ["not-a-token", "eyJhbGciOiJub25lIn0.eyJzdWIiOiJhZG1pbiJ9."]:
        forger = client_for(Bearer(token))
        refused(401, "InvalidAuthenticationInfo", forger.create_ledger_entry, entry)
        refused(401, "InvalidAuthenticationInfo", forger.get_current_ledger_entry)
    step("tokens that no issuer signed are turned away")


print(f"azure-confidentialledger {SDK} with a {sys.argv[1]}")
the_client = administrator(sys.argv[1])
for some_user in [SOMEBODY, FINGERPRINT]:
    (several_roles if SEVERAL_ROLES else one_role)(the_client, some_user)
what_roles_allow(the_client)
who_is_not_known()
