//! Users and custom roles.

use serde_json::json;

use crate::support::{Front, V2022, V2024, V2026};

#[tokio::test(flavor = "multi_thread")]
async fn a_user_has_one_role_in_the_old_api_and_several_in_the_new() {
    let front = Front::start().await;
    let administrator = front.administrator();
    let (old, new) = (administrator.speaks(V2022), administrator.speaks(V2024));
    let answer = old
        .patch("/app/users/u", json!({ "assignedRole": "Contributor" }))
        .await
        .is(200);
    assert_eq!(
        answer.json(),
        json!({ "userId": "u", "assignedRole": "Contributor" })
    );
    answer.transaction();
    let answer = new
        .patch("/app/ledgerUsers/u", json!({ "assignedRoles": ["Reader"] }))
        .await
        .is(200);
    assert_eq!(
        answer.json(),
        json!({ "userId": "u", "assignedRoles": ["Reader"] })
    );
    let both = json!({ "userId": "u", "assignedRoles": ["Contributor", "Reader"] });
    assert_eq!(new.get("/app/ledgerUsers/u").await.is(200).json(), both);
    let one = json!({ "userId": "u", "assignedRole": "Contributor" });
    assert_eq!(new.get("/app/users/u").await.is(200).json(), one);
    let list = new.get("/app/ledgerUsers").await.is(200).json();
    assert_eq!(list["ledgerUsers"][1], both);
    let list = old.get("/app/users").await.is(200).json();
    assert_eq!(
        list["ledgerUsers"][0],
        json!({ "userId": "administrator", "assignedRole": "Administrator" })
    );

    new.patch("/app/users/u", json!({ "assignedRole": "Reader" }))
        .await
        .fails(400, "ApiVersionRedirect");
    new.delete("/app/users/u")
        .await
        .fails(400, "ApiVersionRedirect");
    old.patch("/app/users/u", json!({ "assignedRole": "Reader" }))
        .await
        .is(200);
    let reader = json!({ "userId": "u", "assignedRoles": ["Reader"] });
    assert_eq!(new.get("/app/ledgerUsers/u").await.is(200).json(), reader);
    assert!(old.delete("/app/users/u").await.is(204).body.is_empty());
    new.delete("/app/ledgerUsers/u").await.is(204);
    new.get("/app/ledgerUsers/u")
        .await
        .fails(404, "ResourceNotFound");
    front.stop().await;
}

#[tokio::test(flavor = "multi_thread")]
async fn what_no_user_can_be_is_refused() {
    let front = Front::start().await;
    let administrator = front.administrator();
    let patch = async |path: &str, body| administrator.patch(path, body).await;
    patch(
        "/app/ledgerUsers/u",
        json!({ "assignedRoles": ["Emperor"] }),
    )
    .await
    .fails(400, "InvalidInput");
    patch("/app/ledgerUsers/u", json!({ "assignedRoles": [] }))
        .await
        .fails(400, "InvalidInput");
    patch("/app/ledgerUsers/u", json!({ "assignedRoles": "Reader" }))
        .await
        .fails(400, "InvalidInput");
    patch("/app/ledgerUsers/u", json!({ "assignedRole": "Reader" }))
        .await
        .fails(400, "InvalidInput");
    patch(
        "/app/ledgerUsers/a%20b",
        json!({ "assignedRoles": ["Reader"] }),
    )
    .await
    .fails(400, "InvalidInput");
    patch(
        "/app/ledgerUsers/%FF",
        json!({ "assignedRoles": ["Reader"] }),
    )
    .await
    .fails(400, "InvalidInput");
    administrator
        .delete("/app/ledgerUsers/administrator")
        .await
        .fails(409, "Conflict");
    let old = administrator.speaks(V2022);
    old.patch(
        "/app/users/administrator",
        json!({ "assignedRole": "Reader" }),
    )
    .await
    .fails(409, "Conflict");
    administrator
        .get("/app/ledgerUsers/administrator")
        .await
        .is(200);
    front.stop().await;
}

#[tokio::test(flavor = "multi_thread")]
async fn a_custom_role_allows_just_its_actions() {
    let front = Front::start().await;
    let administrator = front.administrator();
    let roles = json!({ "roles": [
        { "roleName": "scribe", "roleActions": ["/content/write", "something of others"] },
        { "role_name": "keeper", "role_actions": ["Microsoft.ConfidentialLedger/ledger/users/read"] },
    ]});
    administrator
        .put("/app/roles", roles)
        .await
        .is(200)
        .transaction();
    let scribe = front.user_with("s", "scribe").await;
    let keeper = front.user_with("k", "keeper").await;
    let id = scribe.write("", "x").await;
    scribe
        .get(&format!("/app/transactions/{id}/status"))
        .await
        .is(200);
    scribe
        .get(&format!("/app/transactions/{id}"))
        .await
        .fails(403, "NotAllowed");
    scribe.get("/app/users").await.fails(403, "NotAllowed");
    keeper.get("/app/users").await.is(200);
    keeper
        .post("/app/transactions", json!({ "contents": "x" }))
        .await
        .fails(403, "NotAllowed");
    keeper
        .get("/app/roles?roleName=keeper")
        .await
        .fails(403, "NotAllowed");

    let more = json!({ "roles": [{ "roleName": "keeper", "roleActions": ["/roles/read"] }] });
    administrator.patch("/app/roles", more).await.is(200);
    let role = keeper
        .get("/app/roles?roleName=keeper")
        .await
        .is(200)
        .json();
    let actions = [
        "/roles/read",
        "Microsoft.ConfidentialLedger/ledger/users/read",
    ];
    assert_eq!(
        role,
        json!({ "role": [{ "roleName": "keeper", "roleActions": actions }] })
    );
    let role = keeper
        .speaks(V2024)
        .get("/app/roles?roleName=keeper")
        .await
        .is(200)
        .json();
    assert_eq!(role["roles"][0]["role_name"], "keeper");
    assert_eq!(role["roles"][0]["roleActions"], json!(actions));

    administrator
        .speaks(V2024)
        .delete("/app/roles?roleName=keeper")
        .await
        .is(200);
    keeper.get("/app/users").await.fails(403, "NotAllowed");
    administrator
        .speaks(V2026)
        .delete("/app/roles?roleName=scribe")
        .await
        .is(204);
    scribe
        .post("/app/transactions", json!({ "contents": "x" }))
        .await
        .fails(403, "NotAllowed");
    front.stop().await;
}

#[tokio::test(flavor = "multi_thread")]
async fn roles_that_cannot_be_are_refused() {
    let front = Front::start().await;
    let administrator = front.administrator();
    let role = |name: &str| json!([{ "roleName": name, "roleActions": ["/content/read"] }]);
    administrator
        .put("/app/roles", role("Reader"))
        .await
        .fails(400, "InvalidInput");
    administrator
        .put("/app/roles", role(""))
        .await
        .fails(400, "InvalidInput");
    administrator
        .put("/app/roles", json!({ "roles": [] }))
        .await
        .fails(400, "InvalidInput");
    administrator
        .put("/app/roles", json!({ "roles": [{ "roleName": 1 }] }))
        .await
        .fails(400, "InvalidInput");
    administrator
        .patch("/app/roles", role("none"))
        .await
        .fails(404, "ResourceNotFound");
    administrator
        .delete("/app/roles?roleName=none")
        .await
        .fails(404, "ResourceNotFound");
    administrator
        .delete("/app/roles")
        .await
        .fails(400, "InvalidQueryParameterValue");
    administrator
        .get("/app/roles?roleName=none")
        .await
        .fails(404, "ResourceNotFound");
    administrator
        .put("/app/roles", role("bare list"))
        .await
        .is(200);
    administrator
        .get("/app/roles?roleName=bare%20list")
        .await
        .is(200);
    front.stop().await;
}
