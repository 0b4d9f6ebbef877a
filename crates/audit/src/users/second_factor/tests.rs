use std::time::Duration;

use super::super::testing::{Answer, House, kind_of, login, place};
use super::super::totp::tests::code_of;
use super::super::{Caller, Clock, Kind, Login, Secret};
use crate::limits::CHANGE_ABANDONED;

fn with_code(name: &str, code: &str) -> Login {
    let mut with = login(name);
    with.totp = Some(Secret::from(code));
    with
}

async fn enrolled(house: &House, caller: &Caller) -> Secret {
    let uri = house.users.enrol_totp(caller).await.unwrap();
    let code = code_of(&uri, house.clock.millis());
    let user = house.users.confirm_totp(caller, &code).await.unwrap();
    assert!(user.totp);
    house.clock.forward(Duration::from_secs(30));
    house.users.refresh().await.unwrap();
    uri
}

#[tokio::test]
async fn a_confirmed_second_factor_is_asked_for_and_a_code_lets_in_once() {
    let house = House::open().await;
    let root = house.root().await;
    let uri = enrolled(&house, &root).await;
    assert_eq!(house.trail.did().last().unwrap(), "confirmTotp");
    let without = house.users.login(login("root"), &place()).await;
    assert_eq!(kind_of(without), "TotpRequired");
    let code = code_of(&uri, house.clock.millis());
    house
        .users
        .login(with_code("root", &code), &place())
        .await
        .unwrap();
    let replayed = house.users.login(with_code("root", &code), &place()).await;
    assert_eq!(kind_of(replayed), "Unauthenticated");
    let mut wrong_password = with_code("root", &code);
    wrong_password.password = Secret::from("wrong horse battery");
    let refused = house.users.login(wrong_password, &place()).await;
    assert_eq!(kind_of(refused), "Unauthenticated");
    house.clock.forward(Duration::from_secs(30));
    let next = code_of(&uri, house.clock.millis());
    house
        .users
        .login(with_code("root", &next), &place())
        .await
        .unwrap();
}

#[tokio::test]
async fn an_unconfirmed_second_factor_is_none() {
    let house = House::open().await;
    let root = house.root().await;
    let first = house.users.enrol_totp(&root).await.unwrap();
    house.login("root").await;
    let second = house.users.enrol_totp(&root).await.unwrap();
    let old = code_of(&first, house.clock.millis());
    assert_eq!(
        kind_of(house.users.confirm_totp(&root, &old).await),
        "NotPermitted"
    );
    let code = code_of(&second, house.clock.millis());
    house.users.confirm_totp(&root, &code).await.unwrap();
    assert_eq!(kind_of(house.users.enrol_totp(&root).await), "TotpEnabled");
}

#[tokio::test]
async fn a_second_factor_that_is_confirmed_and_not_recorded_yet_is_not_replaced() {
    let house = House::open().await;
    let root = house.root().await;
    let uri = house.users.enrol_totp(&root).await.unwrap();
    let code = code_of(&uri, house.clock.millis());
    house.trail.will(Answer::Pending);
    let pending = house.users.confirm_totp(&root, &code).await;
    assert_eq!(kind_of(pending), "Pending");
    assert_eq!(
        kind_of(house.users.enrol_totp(&root).await),
        "ChangeUnderWay"
    );
    house.trail.will(Answer::Stored);
    house.clock.forward(CHANGE_ABANDONED);
    assert_eq!(house.users.finish_pending().await.unwrap(), 1);
    assert_eq!(kind_of(house.users.enrol_totp(&root).await), "TotpEnabled");
    let next = code_of(&uri, house.clock.millis());
    house
        .users
        .login(with_code("root", &next), &place())
        .await
        .unwrap();
}

#[tokio::test]
async fn it_goes_by_a_code_of_it_or_by_somebody_above() {
    let house = House::open().await;
    let root = house.root().await;
    let ana = house.create(&root, Kind::Administrator, "ana").await;
    let uri = enrolled(&house, &ana).await;
    assert_eq!(
        kind_of(house.users.disable_totp(&ana, "000000").await),
        "NotPermitted"
    );
    assert_eq!(
        kind_of(house.users.reset_totp(&ana, &ana.user).await),
        "NotPermitted"
    );
    let code = code_of(&uri, house.clock.millis());
    let user = house.users.disable_totp(&ana, &code).await.unwrap();
    assert!(!user.totp);
    house.login("ana").await;
    assert_eq!(
        kind_of(house.users.reset_totp(&root, &ana.user).await),
        "TotpDisabled"
    );
    enrolled(&house, &ana).await;
    house.users.reset_totp(&root, &ana.user).await.unwrap();
    house.login("ana").await;
    let did = house.trail.did();
    assert!(did.contains(&"disableTotp".to_owned()) && did.contains(&"resetTotp".to_owned()));
}

#[tokio::test]
async fn codes_are_not_guessed() {
    let house = House::open().await;
    let root = house.root().await;
    enrolled(&house, &root).await;
    for _ in 0..6 {
        assert_eq!(
            kind_of(house.users.disable_totp(&root, "000000").await),
            "NotPermitted"
        );
    }
    let refused = house.users.disable_totp(&root, "000000").await;
    assert_eq!(kind_of(refused), "TooManyAttempts");
}

#[tokio::test]
async fn its_secret_is_not_in_the_database_as_it_is() {
    let house = House::open().await;
    let root = house.root().await;
    let uri = house.users.enrol_totp(&root).await.unwrap();
    let mut connection = house.users.connection().await.unwrap();
    let kept = super::attempts::totp(&mut connection, &root.user)
        .await
        .unwrap();
    let (sealed, _) = kept.unwrap();
    let at = uri.expose().find("secret=").unwrap() + 7;
    assert!(!sealed.contains(&uri.expose()[at..at + 32]));
}
