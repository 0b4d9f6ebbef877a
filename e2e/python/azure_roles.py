"""Azure's SDK, version 2: roles that an administrator defines, and what they allow."""

import sys

from azure_support import SDK, administrator, assign, refused, step, stranger


def actions(answer):
    """The actions in an answer, in either spelling of the field."""
    assert len(answer["roles"]) == 1, answer
    role = dict(answer["roles"][0])
    return role.get("roleActions") or role.get("role_actions")


def defined_and_changed(client):
    # The vendor's own test spells the fields so; its specification spells them the other way.
    snake = {"roles": [{"role_name": "auditor", "role_actions": ["/content/read"]}]}
    camel = {"roles": [{"roleName": "auditor", "roleActions": ["/audit/sign", "/content/read"]}]}
    client.create_user_defined_role(snake)
    assert actions(client.get_user_defined_role(role_name="auditor")) == ["/content/read"]
    client.update_user_defined_role(camel)
    found = actions(client.get_user_defined_role(role_name="auditor"))
    assert found == ["/audit/sign", "/content/read"], found
    client.delete_user_defined_role(role_name="auditor")
    missing = client.get_user_defined_role
    refused(404, "ResourceNotFound", missing, role_name="auditor")
    step("a role was defined, was given another action, and was removed")


def what_it_allows(client):
    role = {"roles": [{"roleName": "scale", "roleActions": ["/content/write"]}]}
    client.create_user_defined_role(role)
    scale, scale_id = stranger("scale")
    assign(client, scale_id, "scale")
    assert client.get_ledger_user(scale_id)["assignedRoles"] == ["scale"]
    written = scale.create_ledger_entry({"contents": "1,204 kg"}, collection_id="weights")
    client.begin_wait_for_commit(written["transactionId"]).result()
    refused(403, "NotAllowed", scale.get_current_ledger_entry, collection_id="weights")
    refused(403, "NotAllowed", assign, scale, scale_id, "Administrator")
    step("a scale may write and neither read nor manage users")

    more = "Microsoft.ConfidentialLedger/ledger/content/read"
    client.update_user_defined_role({"roles": [{"roleName": "scale", "roleActions": [more]}]})
    assert scale.get_current_ledger_entry(collection_id="weights")["contents"] == "1,204 kg"
    step("and reads as soon as its role says so, in the vendor's name for it")

    client.delete_user_defined_role(role_name="scale")
    refused(403, "NotAllowed", scale.create_ledger_entry, {"contents": "1 kg"})
    refused(400, "InvalidInput", assign, client, scale_id, "no-such-role")
    step("a role that is gone allows nothing, and cannot be given")


print(f"azure-confidentialledger {SDK} with a {sys.argv[1]}")
the_client = administrator(sys.argv[1])
defined_and_changed(the_client)
what_it_allows(the_client)
