use std::time::Duration;

use serde_json::json;

use super::testing::{Idp, config};
use super::*;
use crate::Problem;
use crate::limits::OIDC_HALF_LIFETIME;
use crate::users::access::Shown;
use crate::users::testing::{
    Answer, House, caller, code_of, email, kind_of, login, new, place, to_address,
};
use crate::users::{Caller, Identity, Kind, Oidc, Tokens, Users};

mod answers;

/// A house with a provider, a root, an administrator and a user of the system, all with passwords too.
struct Town {
    house: House,
    idp: Idp,
    admin: Caller,
    ana: Caller,
}

impl Town {
    async fn open() -> Self {
        Self::with(|_| ()).await
    }

    async fn with(change: impl FnOnce(&mut crate::users::Config)) -> Self {
        let idp = Idp::start().await;
        let house = House::with(|settings| {
            settings.oidc = Some(config(&idp.issuer));
            change(settings);
        })
        .await;
        idp.follow(&house.clock);
        let root = house.root().await;
        let admin = house.create(&root, Kind::Administrator, "admin").await;
        let ana = house.create(&admin, Kind::TUser, "ana").await;
        Self {
            house,
            idp,
            admin,
            ana,
        }
    }

    fn users(&self) -> &Users {
        &self.house.users
    }

    /// Somebody leaves, signs in at the provider, and is back.
    async fn back(&self, name: &str) -> Returned {
        let begun = self.users().begin_oidc().await.unwrap();
        let back = self.idp.sign_in(&begun.url, name);
        Returned {
            kept: begun.kept,
            ..back
        }
    }

    async fn sign_in(&self, name: &str) -> Result<Tokens, Problem> {
        let back = self.back(name).await;
        self.finish(back).await
    }

    async fn finish(&self, back: Returned) -> Result<Tokens, Problem> {
        match self.users().finish_oidc(back, &place()).await? {
            Came::In(tokens) => Ok(*tokens),
            Came::Half(_) => panic!("nobody here has a second factor"),
        }
    }

    async fn allow_ana(&self) {
        let user = self.users().allow_oidc(&self.admin, &self.ana.user).await;
        assert_eq!(user.unwrap().oidc, Oidc::Allowed);
    }
}

#[tokio::test]
async fn who_is_allowed_is_linked_by_their_address_once_and_known_by_the_subject_ever_after() {
    let town = Town::open().await;
    town.allow_ana().await;
    let tokens = town.sign_in("ana").await.unwrap();
    assert_eq!(tokens.user.id, town.ana.user);
    let identity = Identity {
        issuer: town.idp.issuer.clone(),
        subject: "ana@farm.example".to_owned(),
    };
    assert_eq!(tokens.user.oidc, Oidc::Linked(identity));
    let did = town.house.trail.did();
    assert_eq!(did[did.len() - 3..], ["allowOidc", "linkOidc", "loginUser"]);
    // It is a session like any other.
    let who = town.users().validate(&tokens.access).unwrap();
    assert_eq!(who.user, town.ana.user);
    let renewed = town.users().renew(&tokens.refresh, &place()).await.unwrap();
    town.users().logout(&renewed.session).await.unwrap();
    town.users().validate(&renewed.access).unwrap_err();

    // At the provider she has another address now, and nobody there has found out whose it is.
    town.idp.world().claims = json!({"email": "new@farm.example", "email_verified": false});
    let tokens = town.sign_in("ana").await.unwrap();
    assert_eq!(tokens.user.id, town.ana.user);
    assert_eq!(town.house.trail.did().last().unwrap(), "loginUser");
    // Her old one was given to somebody else.
    town.idp.world().claims = json!({"sub": "another", "email": "ana@farm.example"});
    assert_eq!(kind_of(town.sign_in("bob").await), "NotLinked");
    // Her password is good as before.
    town.house.login("ana").await;
}

#[tokio::test]
async fn who_is_not_allowed_or_not_known_or_not_verified_is_refused() {
    let town = Town::open().await;
    assert_eq!(kind_of(town.sign_in("ana").await), "NotLinked");
    assert_eq!(kind_of(town.sign_in("nobody").await), "NotLinked");
    town.allow_ana().await;
    for claims in [
        json!({"email_verified": false}),
        json!({"email_verified": null}),
        json!({"email_verified": "true"}),
        json!({"email": null}),
    ] {
        town.idp.world().claims = claims.clone();
        town.idp.world().userinfo = json!({"sub": "ana@farm.example"});
        assert_eq!(
            kind_of(town.sign_in("ana").await),
            "EmailUnverified",
            "{claims}"
        );
    }
    // An address that is none of ours to have is nobody's.
    town.idp.world().claims = json!({"email": "añ@farm.example"});
    assert_eq!(kind_of(town.sign_in("ana").await), "InvalidInput");
    town.idp.world().claims = json!({});
    town.sign_in("ana").await.unwrap();
}

#[tokio::test]
async fn a_disabled_user_stays_out() {
    let town = Town::open().await;
    town.allow_ana().await;
    town.sign_in("ana").await.unwrap();
    let users = town.users();
    users
        .delete_user(&town.admin, &town.ana.user)
        .await
        .unwrap();
    assert_eq!(kind_of(town.sign_in("ana").await), "Unauthenticated");
    // Nor is one who was allowed and never came.
    let bob = town.house.create(&town.admin, Kind::TUser, "bob").await;
    users.allow_oidc(&town.admin, &bob.user).await.unwrap();
    users.delete_user(&town.admin, &bob.user).await.unwrap();
    assert_eq!(kind_of(town.sign_in("bob").await), "NotLinked");
}

#[tokio::test]
async fn only_who_is_above_says_how_somebody_signs_in() {
    let town = Town::open().await;
    let users = town.users();
    let refused = users.allow_oidc(&town.ana, &town.ana.user).await;
    assert_eq!(kind_of(refused), "NotPermitted");
    let refused = users.allow_oidc(&town.ana, &town.admin.user).await;
    assert_eq!(kind_of(refused), "NotFound");
    let refused = users.refuse_oidc(&town.ana, &town.ana.user).await;
    assert_eq!(kind_of(refused), "NotPermitted");
    town.allow_ana().await;
    town.sign_in("ana").await.unwrap();
    let refused = users.allow_oidc(&town.admin, &town.ana.user).await;
    assert_eq!(kind_of(refused), "AlreadyLinked");
}

#[tokio::test]
async fn a_link_that_is_taken_away_ends_sessions_and_is_not_made_again_by_itself() {
    let town = Town::with(by_email).await;
    let tokens = town.sign_in("ana").await.unwrap();
    let users = town.users();
    let user = users
        .refuse_oidc(&town.admin, &town.ana.user)
        .await
        .unwrap();
    assert_eq!(user.oidc, Oidc::Refused);
    assert_eq!(town.house.trail.did().last().unwrap(), "refuseOidc");
    users.validate(&tokens.access).unwrap_err();
    assert_eq!(
        kind_of(users.renew(&tokens.refresh, &place()).await),
        "Unauthenticated"
    );
    assert_eq!(kind_of(town.sign_in("ana").await), "NotLinked");
    // The identity is free, and she may have another one.
    town.allow_ana().await;
    town.idp.world().claims = json!({"sub": "another"});
    assert_eq!(town.sign_in("ana").await.unwrap().user.id, town.ana.user);
    town.idp.world().claims = json!({});
    assert_eq!(kind_of(town.sign_in("ana").await), "NotLinked");
}

#[tokio::test]
async fn a_link_that_is_taken_away_while_somebody_signs_in_lets_nobody_in() {
    let town = Town::open().await;
    town.allow_ana().await;
    let Oidc::Linked(identity) = town.sign_in("ana").await.unwrap().user.oidc else {
        panic!("she is linked");
    };
    let (users, ana, shown) = (town.users(), &town.ana.user, Shown::Identity(identity));
    users.open_session(ana, &shown, &place()).await.unwrap();
    users.refuse_oidc(&town.admin, ana).await.unwrap();
    let late = users.open_session(ana, &shown, &place()).await;
    assert_eq!(kind_of(late), "NotLinked");
    // Nor if she has another one by then.
    town.allow_ana().await;
    town.idp.world().claims = json!({"sub": "another"});
    town.sign_in("ana").await.unwrap();
    let late = users.open_session(ana, &shown, &place()).await;
    assert_eq!(kind_of(late), "NotLinked");
}

fn by_email(config: &mut crate::users::Config) {
    config.oidc.as_mut().unwrap().link_by_email = true;
}

#[tokio::test]
async fn where_the_operator_links_by_addresses_the_root_stays_with_its_password() {
    let town = Town::with(by_email).await;
    assert_eq!(town.sign_in("ana").await.unwrap().user.id, town.ana.user);
    assert_eq!(
        town.sign_in("admin").await.unwrap().user.id,
        town.admin.user
    );
    assert_eq!(kind_of(town.sign_in("root").await), "NotLinked");
}

#[tokio::test]
async fn whoever_takes_anothers_address_does_not_get_what_comes_for_it() {
    let town = Town::with(|config| {
        by_email(config);
        config.consumers_register = true;
    })
    .await;
    let users = town.users();
    // Ana takes the address of a colleague who will come one day.
    let taken = to_address("carla");
    let user = users.update_user(&town.ana, &town.ana.user, taken).await;
    assert_eq!(user.unwrap().oidc, Oidc::Refused);
    assert_eq!(kind_of(town.sign_in("carla").await), "NotLinked");
    // A consumer registers with the address of another one.
    let waiting = new(Kind::Consumer, "dora");
    let waiting = users.register_consumer(waiting, &place()).await.unwrap();
    assert_eq!(kind_of(town.sign_in("dora").await), "NotLinked");
    let root = town.house.login("root").await.user;
    let refused = users.allow_oidc(&caller(&root), &waiting.id).await;
    assert_eq!(kind_of(refused), "NotPermitted");
    // Who is above Ana gives her another one, and says that she may.
    let given = to_address("ana.maria");
    let user = users.update_user(&town.admin, &town.ana.user, given).await;
    assert_eq!(user.unwrap().oidc, Oidc::Refused);
    town.allow_ana().await;
    let tokens = town.sign_in("ana.maria").await.unwrap();
    assert_eq!(tokens.user.id, town.ana.user);
    // From now on her address is not what she is known by.
    let own = to_address("ana");
    let user = users.update_user(&town.ana, &town.ana.user, own).await;
    assert!(matches!(user.unwrap().oidc, Oidc::Linked(_)));
    town.sign_in("ana.maria").await.unwrap();
}

#[tokio::test]
async fn consumers_come_by_the_provider_where_they_come_by_themselves() {
    let town = Town::with(|config| config.consumers_register = true).await;
    let first = town.sign_in("dora").await.unwrap().user;
    assert_eq!((first.kind, &first.email), (Kind::Consumer, &email("dora")));
    assert_eq!(first.name.as_str(), "As The Provider Says");
    assert!(matches!(first.oidc, Oidc::Linked(_)));
    let did = town.house.trail.did();
    assert_eq!(did[did.len() - 2..], ["createConsumer", "loginUser"]);
    let second = town.sign_in("dora").await.unwrap().user;
    assert_eq!(second.id, first.id);
    // Who was here before does not wait, and who makes many of them does.
    for _ in 0..50 {
        town.sign_in("dora").await.unwrap();
    }
    let mut last = String::new();
    for number in 0..25 {
        last = town
            .sign_in(&format!("dora{number}"))
            .await
            .map_or_else(|problem| problem.kind, |_| "in".to_owned());
    }
    assert_eq!(last, "TooManyAttempts");
    town.house.clock.forward(Duration::from_secs(3_600));
    // Nobody has a password for them.
    let refused = town.users().login(login("dora"), &place()).await;
    assert_eq!(kind_of(refused), "Unauthenticated");
}

#[tokio::test]
async fn a_link_counts_when_the_ledger_has_it() {
    let town = Town::open().await;
    town.allow_ana().await;
    town.house.trail.will(Answer::Refused);
    assert_eq!(kind_of(town.sign_in("ana").await), "LedgerUnavailable");
    town.house.trail.will(Answer::Pending);
    assert_eq!(kind_of(town.sign_in("ana").await), "Pending");
    town.house.trail.will(Answer::Stored);
    assert_eq!(kind_of(town.sign_in("ana").await), "ChangeUnderWay");
    town.house.clock.forward(Duration::from_secs(60));
    assert_eq!(town.users().finish_pending().await.unwrap(), 1);
    assert_eq!(town.sign_in("ana").await.unwrap().user.id, town.ana.user);
    let did = town.house.trail.did();
    assert_eq!(did.iter().filter(|did| *did == "linkOidc").count(), 1);
}

#[tokio::test]
async fn a_second_factor_is_asked_for_after_the_provider() {
    let town = Town::open().await;
    town.allow_ana().await;
    let (users, clock) = (town.users(), &town.house.clock);
    let uri = users.enrol_totp(&town.ana).await.unwrap();
    let now = || crate::users::Clock::millis(&**clock);
    let code = || Secret::from(code_of(&uri, now()));
    users
        .confirm_totp(&town.ana, code().expose())
        .await
        .unwrap();
    clock.forward(Duration::from_secs(30));
    let came = users.finish_oidc(town.back("ana").await, &place()).await;
    let Came::Half(half) = came.unwrap() else {
        panic!("she has a second factor");
    };
    let half = half.0;
    let wrong = Secret::from("000000");
    let refused = users.finish_oidc_totp(&half, &wrong, &place()).await;
    assert_eq!(kind_of(refused), "Unauthenticated");
    let tokens = users.finish_oidc_totp(&half, &code(), &place()).await;
    assert_eq!(tokens.unwrap().user.id, town.ana.user);
    // The same code, and the half alone, are good for nothing more.
    let again = users.finish_oidc_totp(&half, &code(), &place()).await;
    assert_eq!(kind_of(again), "Unauthenticated");
    // It is no answer of a provider, and the other way round.
    let mut back = town.back("ana").await;
    let attempt = std::mem::replace(&mut back.kept, half.clone());
    assert_eq!(kind_of(town.finish(back).await), "SignInNotBegun");
    let refused = users.finish_oidc_totp(&attempt, &code(), &place()).await;
    assert_eq!(kind_of(refused), "SignInNotBegun");
    clock.forward(OIDC_HALF_LIFETIME);
    let refused = users.finish_oidc_totp(&half, &code(), &place()).await;
    assert_eq!(kind_of(refused), "SignInNotBegun");
}

#[tokio::test]
async fn a_second_factor_is_not_guessed_after_the_provider() {
    let town = Town::open().await;
    town.allow_ana().await;
    let users = town.users();
    let uri = users.enrol_totp(&town.ana).await.unwrap();
    let now = crate::users::Clock::millis(&*town.house.clock);
    let code = code_of(&uri, now);
    users.confirm_totp(&town.ana, &code).await.unwrap();
    let Came::Half(half) = users
        .finish_oidc(town.back("ana").await, &place())
        .await
        .unwrap()
    else {
        panic!("she has a second factor");
    };
    let mut answers = Vec::new();
    for guess in 0..10 {
        let guess = Secret::from(format!("{guess:06}"));
        answers.push(kind_of(
            users.finish_oidc_totp(&half.0, &guess, &place()).await,
        ));
    }
    assert_eq!(answers.last().unwrap(), "TooManyAttempts");
    // Who takes the link away meanwhile takes this away too.
    users
        .refuse_oidc(&town.admin, &town.ana.user)
        .await
        .unwrap();
    town.house.clock.forward(Duration::from_secs(60));
    let refused = users
        .finish_oidc_totp(&half.0, &Secret::from(code), &place())
        .await;
    assert_eq!(kind_of(refused), "SignInNotBegun");
}
