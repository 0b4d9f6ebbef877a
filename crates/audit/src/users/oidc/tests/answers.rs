//! What comes back from a provider, and a provider that lies.

use http::StatusCode;
use serde_json::json;

use super::super::testing::{Signer, config};
use super::*;
use crate::limits::{
    OIDC_ANSWER_BYTES_MAX, OIDC_ATTEMPT_LIFETIME, OIDC_KNOWN_LIFETIME, OIDC_LOOK_AGAIN,
    OIDC_RETURNED_BYTES_MAX,
};

#[tokio::test]
async fn an_answer_is_good_in_the_browser_that_asked_once_and_for_some_minutes() {
    let town = Town::open().await;
    town.allow_ana().await;
    // An attacker signs in at the provider, and brings the victim's browser the answer.
    let attackers = town.back("ana").await;
    let victims = town.back("ana").await;
    let planted = Returned {
        kept: victims.kept.clone(),
        ..attackers.clone()
    };
    assert_eq!(kind_of(town.finish(planted).await), "SignInNotBegun");
    // With the victim's state in it, it is the code that does not fit.
    let planted = Returned {
        code: attackers.code.clone(),
        ..victims.clone()
    };
    assert_eq!(kind_of(town.finish(planted).await), "Unauthenticated");
    // That answer is used up now, and its code with it.
    assert_eq!(kind_of(town.finish(victims).await), "SignInNotBegun");
    assert_eq!(kind_of(town.finish(attackers).await), "Unauthenticated");

    let back = town.back("ana").await;
    town.finish(back.clone()).await.unwrap();
    let asked = town.idp.world().asked.len();
    assert_eq!(kind_of(town.finish(back).await), "SignInNotBegun");
    assert_eq!(
        town.idp.world().asked.len(),
        asked,
        "nobody was asked again"
    );

    let late = town.back("ana").await;
    town.house.clock.forward(OIDC_ATTEMPT_LIFETIME);
    assert_eq!(kind_of(town.finish(late).await), "SignInNotBegun");
    for kept in ["", "AAAA", "no base64"] {
        let back = Returned {
            kept: Secret::from(kept),
            ..town.back("ana").await
        };
        assert_eq!(kind_of(town.finish(back).await), "SignInNotBegun", "{kept}");
    }
    let long = Returned {
        code: Secret::from("x".repeat(OIDC_RETURNED_BYTES_MAX + 1)),
        ..town.back("ana").await
    };
    assert_eq!(kind_of(town.finish(long).await), "InvalidInput");
}

#[tokio::test]
async fn a_code_of_another_sign_in_is_refused_even_by_a_provider_without_pkce() {
    let town = Town::open().await;
    town.allow_ana().await;
    town.idp.world().checks_verifier = false;
    let (stolen, own) = (town.back("ana").await, town.back("ana").await);
    let injected = Returned {
        code: stolen.code,
        ..own
    };
    // Its nonce is of the other one.
    assert_eq!(kind_of(town.finish(injected).await), "Unauthenticated");
    assert_eq!(town.idp.world().asked.last().unwrap(), "/keys");
}

#[tokio::test]
async fn an_answer_of_another_provider_is_refused_before_anybody_gets_its_code() {
    let town = Town::open().await;
    town.allow_ana().await;
    let mixed_up = Returned {
        iss: Some("https://evil.example".to_owned()),
        ..town.back("ana").await
    };
    assert_eq!(kind_of(town.finish(mixed_up).await), "SignInNotBegun");
    assert!(!town.idp.world().asked.contains(&"/token".to_owned()));
    let said = Returned {
        iss: Some(town.idp.issuer.clone()),
        ..town.back("ana").await
    };
    town.finish(said).await.unwrap();

    // One that says that it says who it is has to say it.
    town.idp.world().metadata = json!({"authorization_response_iss_parameter_supported": true});
    town.house.clock.forward(OIDC_KNOWN_LIFETIME);
    assert_eq!(kind_of(town.sign_in("ana").await), "SignInNotBegun");
    let said = Returned {
        iss: Some(town.idp.issuer.clone()),
        ..town.back("ana").await
    };
    town.finish(said).await.unwrap();
}

#[tokio::test]
async fn a_token_that_says_something_else_opens_nothing() {
    let town = Town::open().await;
    town.allow_ana().await;
    for claims in [
        json!({"iss": "https://evil.example"}),
        json!({"aud": "another"}),
        json!({"nonce": "another"}),
        json!({"exp": 0}),
        json!({"sub": ""}),
    ] {
        town.idp.world().claims = claims.clone();
        assert_eq!(
            kind_of(town.sign_in("ana").await),
            "Unauthenticated",
            "{claims}"
        );
    }
    town.idp.world().claims = json!({});
    let honest = town.idp.world().signer.clone();
    // Another key under the same name.
    town.idp.world().signer = Signer::new("one", "ES256");
    assert_eq!(kind_of(town.sign_in("ana").await), "Unauthenticated");
    town.idp.world().signer = honest;
    town.sign_in("ana").await.unwrap();
}

#[tokio::test]
async fn how_the_provider_found_out_who_it_is_can_be_demanded() {
    let town = Town::with(|config| {
        config.oidc.as_mut().unwrap().acr = vec!["two".to_owned(), "three".to_owned()];
    })
    .await;
    town.allow_ana().await;
    let begun = town.users().begin_oidc().await.unwrap();
    assert!(begun.url.contains("acr_values=two+three"), "{}", begun.url);
    assert_eq!(kind_of(town.sign_in("ana").await), "Unauthenticated");
    town.idp.world().claims = json!({"acr": "one"});
    assert_eq!(kind_of(town.sign_in("ana").await), "Unauthenticated");
    town.idp.world().claims = json!({"acr": "three"});
    town.sign_in("ana").await.unwrap();
}

#[tokio::test]
async fn a_provider_that_tells_addresses_only_when_it_is_asked_is_asked() {
    let town = Town::open().await;
    town.allow_ana().await;
    town.idp.world().claims = json!({"email": null, "email_verified": null});
    town.idp.world().userinfo =
        json!({"sub": "another", "email": "ana@farm.example", "email_verified": true});
    assert_eq!(kind_of(town.sign_in("ana").await), "Unauthenticated");
    town.idp.world().userinfo["sub"] = json!("ana@farm.example");
    assert_eq!(town.sign_in("ana").await.unwrap().user.id, town.ana.user);
    // Who is known is not asked about.
    town.idp.world().asked.clear();
    town.sign_in("ana").await.unwrap();
    assert_eq!(town.idp.world().asked, ["/token"]);
}

#[tokio::test]
async fn new_keys_are_looked_for_and_not_for_each_token_that_names_one() {
    let town = Town::open().await;
    town.allow_ana().await;
    town.sign_in("ana").await.unwrap();
    let keys_asked = || {
        let asked = &town.idp.world().asked;
        asked.iter().filter(|path| *path == "/keys").count()
    };
    assert_eq!(keys_asked(), 1);
    // Somebody names keys that there are not.
    town.idp.world().signer = Signer::new("unknown", "ES256");
    for _ in 0..5 {
        assert_eq!(kind_of(town.sign_in("ana").await), "Unauthenticated");
    }
    assert_eq!(keys_asked(), 1);
    town.house.clock.forward(OIDC_LOOK_AGAIN);
    for _ in 0..5 {
        assert_eq!(kind_of(town.sign_in("ana").await), "Unauthenticated");
    }
    assert_eq!(keys_asked(), 2);
    // The provider has a new one, and then not the old one any more.
    let new = town.idp.world().signer.jwk();
    town.idp.world().keys = vec![json!({"kty": "new", "kid": "odd"}), new];
    town.house.clock.forward(OIDC_LOOK_AGAIN);
    town.sign_in("ana").await.unwrap();
    assert_eq!(keys_asked(), 3);
    town.idp.world().keys = Vec::new();
    town.house.clock.forward(OIDC_KNOWN_LIFETIME);
    assert_eq!(kind_of(town.sign_in("ana").await), "Unauthenticated");
}

#[tokio::test]
async fn a_provider_that_is_another_or_names_other_addresses_is_not_believed() {
    for metadata in [
        json!({"issuer": "https://login.example"}),
        json!({"issuer": null}),
        json!({"token_endpoint": "http://192.0.2.1/token"}),
        json!({"jwks_uri": "file:///etc/passwd"}),
        json!({"userinfo_endpoint": "https://user:password@login.example/"}),
        json!({"authorization_endpoint": "javascript:alert(1)"}),
        json!({"id_token_signing_alg_values_supported": ["none", "HS256"]}),
    ] {
        let town = Town::open().await;
        town.idp.world().metadata = metadata.clone();
        let refused = town.users().begin_oidc().await;
        assert_eq!(kind_of(refused), "ProviderUnavailable", "{metadata}");
        assert_eq!(
            town.idp.world().asked,
            ["/.well-known/openid-configuration"]
        );
    }
}

#[tokio::test]
async fn answers_of_a_provider_are_bounded_and_it_is_left_alone_for_a_while_after_one() {
    let town = Town::open().await;
    town.idp.world().answers = Some((StatusCode::FOUND, String::new()));
    let refused = town.users().begin_oidc().await.unwrap_err();
    assert_eq!(
        (refused.status, &*refused.kind),
        (503, "ProviderUnavailable")
    );
    assert_eq!(refused.retry_after, Some(OIDC_LOOK_AGAIN.as_secs()));
    // A redirection is not followed, and it is not asked again at once.
    town.users().begin_oidc().await.unwrap_err();
    assert_eq!(town.idp.world().asked.len(), 1);
    // What it says of itself, behind more blanks than there may be.
    town.idp.world().answers = None;
    let url = format!("{}/.well-known/openid-configuration", town.idp.issuer);
    let document = reqwest::get(url).await.unwrap().text().await.unwrap();
    let padded = format!("{}{document}", " ".repeat(OIDC_ANSWER_BYTES_MAX));
    for body in [padded, "no JSON".to_owned()] {
        town.idp.world().answers = Some((StatusCode::OK, body));
        town.house.clock.forward(OIDC_LOOK_AGAIN);
        assert_eq!(
            kind_of(town.users().begin_oidc().await),
            "ProviderUnavailable"
        );
    }
    town.idp.world().answers = None;
    town.house.clock.forward(OIDC_LOOK_AGAIN);
    town.users().begin_oidc().await.unwrap();
    // What it does not know us by is for the operator.
    town.allow_ana().await;
    town.idp.world().metadata =
        json!({"token_endpoint_auth_methods_supported": ["client_secret_post"]});
    town.house.clock.forward(OIDC_KNOWN_LIFETIME);
    assert_eq!(kind_of(town.sign_in("ana").await), "ProviderUnavailable");
}

#[tokio::test]
async fn any_replica_goes_on_with_what_another_began() {
    let town = Town::open().await;
    town.allow_ana().await;
    let other = town.house.replica().await;
    let back = town.back("ana").await;
    let Came::In(tokens) = other.finish_oidc(back.clone(), &place()).await.unwrap() else {
        panic!("she has no second factor");
    };
    assert_eq!(tokens.user.id, town.ana.user);
    assert_eq!(kind_of(town.finish(back).await), "SignInNotBegun");
}

#[tokio::test]
async fn without_a_provider_nobody_signs_in_by_one() {
    let house = House::open().await;
    assert_eq!(kind_of(house.users.begin_oidc().await), "NotFound");
    let junk = || Secret::from("junk");
    let back = Returned {
        kept: junk(),
        state: junk(),
        code: junk(),
        iss: None,
    };
    assert_eq!(
        kind_of(house.users.finish_oidc(back, &place()).await),
        "NotFound"
    );
    let (half, code) = (junk(), junk());
    let refused = house.users.finish_oidc_totp(&half, &code, &place()).await;
    assert_eq!(kind_of(refused), "NotFound");
}

#[test]
fn a_provider_is_reached_over_tls_or_on_this_machine() {
    let with = |change: fn(&mut Config)| {
        let mut config = config("https://login.example/tenant");
        change(&mut config);
        Provider::new(config).map(drop)
    };
    with(|_| ()).unwrap();
    for here in [
        "http://127.0.0.1:8080",
        "http://localhost:1/a",
        "http://[::1]:2",
    ] {
        let mut config = config(here);
        config.issuer = here.to_owned();
        Provider::new(config).map(drop).unwrap();
    }
    for issuer in [
        "",
        "login.example",
        "http://login.example",
        "http://127.0.0.1.login.example",
        "https://login.example/?a=b",
        "https://login.example/#a",
        "https://ana@login.example",
        "ftp://login.example",
    ] {
        let refused = Provider::new(config(issuer)).map(drop);
        assert!(matches!(refused, Err(ConfigError::Issuer(_))), "{issuer}");
    }
    let refused = with(|config| config.redirect_uri = "http://audit.example/oidc".to_owned());
    assert!(matches!(refused, Err(ConfigError::RedirectUri(_))));
    for refused in [
        with(|config| config.client_id = String::new()),
        with(|config| config.client_secret = Secret::from("")),
        with(|config| config.client_id = "a\nb".to_owned()),
    ] {
        assert!(matches!(refused, Err(ConfigError::Client)));
    }
}
