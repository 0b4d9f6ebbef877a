use std::time::Duration;

use super::super::testing::{Answer, House, PASSWORD, kind_of, login, place};
use super::super::{Caller, Kind, Secret};
use super::{Reset, ResetCode};
use crate::limits::RESET_LIFETIME;

const NEW: &str = "another long password";

async fn house() -> (House, Caller, Caller) {
    let house = House::open().await;
    let root = house.root().await;
    let ana = house.create(&root, Kind::Administrator, "ana").await;
    (house, root, ana)
}

async fn code(house: &House, by: &Caller, of: &Caller) -> ResetCode {
    house.users.give_reset_code(by, &of.user).await.unwrap()
}

fn reset(name: &str, code: &Secret) -> Reset {
    Reset {
        email: login(name).email,
        code: code.clone(),
        password: Secret::from(NEW),
    }
}

async fn choose(house: &House, reset: Reset) -> String {
    match house.users.reset_password(reset, &place()).await {
        Ok(()) => "Done".to_owned(),
        Err(problem) => problem.kind,
    }
}

#[tokio::test]
async fn who_has_forgotten_chooses_a_new_password_by_a_code_that_is_good_once() {
    let (house, root, ana) = house().await;
    let session = house.login("ana").await;
    let given = code(&house, &root, &ana).await;
    house.login("ana").await;
    assert_eq!(choose(&house, reset("ana", &given.code)).await, "Done");
    let did = house.trail.did();
    assert!(did.contains(&"resetPassword".to_owned()));
    assert_eq!(did.last().unwrap(), "choosePassword");
    let old = house.users.login(login("ana"), &place()).await;
    assert_eq!(kind_of(old), "Unauthenticated");
    let mut new = login("ana");
    new.password = Secret::from(NEW);
    house.users.login(new, &place()).await.unwrap();
    let renewed = house.users.renew(&session.refresh, &place()).await;
    assert_eq!(kind_of(renewed), "Unauthenticated", "its session has ended");
    assert_eq!(
        choose(&house, reset("ana", &given.code)).await,
        "Unauthenticated"
    );
}

#[tokio::test]
async fn a_code_is_its_owners_alone_the_last_one_counts_and_it_grows_old() {
    let (house, root, ana) = house().await;
    let ben = house.create(&root, Kind::Administrator, "ben").await;
    let first = code(&house, &root, &ana).await;
    let second = code(&house, &root, &ana).await;
    let of_ben = code(&house, &root, &ben).await;
    for (name, wrong) in [
        ("ana", &first.code),
        ("ana", &of_ben.code),
        ("nobody", &second.code),
        ("ana", &Secret::from("")),
    ] {
        assert_eq!(choose(&house, reset(name, wrong)).await, "Unauthenticated");
    }
    house.clock.forward(RESET_LIFETIME);
    assert_eq!(
        choose(&house, reset("ana", &second.code)).await,
        "Unauthenticated"
    );
    house.clock.back(Duration::from_millis(1));
    assert_eq!(choose(&house, reset("ana", &second.code)).await, "Done");
}

#[tokio::test]
async fn a_code_is_given_by_who_stands_above_to_who_is_active() {
    let (house, root, ana) = house().await;
    let ben = house.create(&root, Kind::Administrator, "ben").await;
    let users = &house.users;
    let kind = kind_of(users.give_reset_code(&ana, &ana.user).await);
    assert_eq!(kind, "NotPermitted");
    for (by, id) in [(&ana, &ben.user), (&ana, &root.user)] {
        assert_eq!(kind_of(users.give_reset_code(by, id).await), "NotFound");
    }
    let given = code(&house, &root, &ana).await;
    users.delete_user(&root, &ana.user).await.unwrap();
    assert_eq!(
        choose(&house, reset("ana", &given.code)).await,
        "Unauthenticated"
    );
    let kind = kind_of(users.give_reset_code(&root, &ana.user).await);
    assert_eq!(kind, "NotActive");
}

#[tokio::test]
async fn a_password_that_cannot_be_one_and_a_ledger_that_is_away_use_no_code_up() {
    let (house, root, ana) = house().await;
    let given = code(&house, &root, &ana).await;
    let mut short = reset("ana", &given.code);
    short.password = Secret::from("short");
    assert_eq!(choose(&house, short).await, "InvalidInput");
    house.trail.will(Answer::Refused);
    assert_eq!(
        choose(&house, reset("ana", &given.code)).await,
        "LedgerUnavailable"
    );
    house.trail.will(Answer::Stored);
    house.login("ana").await;
    assert_eq!(choose(&house, reset("ana", &given.code)).await, "Done");
}

#[tokio::test]
async fn codes_are_not_guessed_and_a_changed_password_needs_none_any_more() {
    let (house, root, ana) = house().await;
    let given = code(&house, &root, &ana).await;
    let (old, new) = (Secret::from(PASSWORD), Secret::from(NEW).try_into());
    let users = &house.users;
    users
        .change_password(&ana, &old, new.unwrap())
        .await
        .unwrap();
    assert_eq!(
        choose(&house, reset("ana", &given.code)).await,
        "Unauthenticated"
    );
    let wrong = Secret::from("guess");
    let mut kind = String::new();
    for _ in 0..20 {
        kind = choose(&house, reset("ana", &wrong)).await;
    }
    assert_eq!(kind, "TooManyAttempts");
}
