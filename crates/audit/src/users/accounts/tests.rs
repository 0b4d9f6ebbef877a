use std::sync::Arc;

use connector::{HeldKey, Signer};
use tokio::task::JoinSet;

use super::super::possession;
use super::super::testing::{
    Answer, House, ISSUER, PASSWORD, caller, email, kind_of, login, new, operation, password,
    place, to_address,
};
use super::super::{
    Caller, ChainKey, Changes, Email, KeyProof, Kind, Name, Secret, Status, UserId, Wanted,
};
use crate::trail::Given;

/// A key, and that whoever has this address keeps it.
async fn key(number: u8, email: &Email) -> (Option<ChainKey>, Option<KeyProof>) {
    let held = HeldKey::from_bytes(&[number; 32]).unwrap();
    let key = format!("0x{}", hex::encode(held.address()));
    let key = ChainKey::parse(&key).unwrap();
    let text = possession::text(ISSUER, &key, email);
    let digest = alloy_primitives::eip191_hash_message(text);
    let proof = held.sign(digest).await.unwrap().as_bytes();
    let proof = KeyProof::parse(&format!("0x{}", hex::encode(proof))).unwrap();
    (Some(key), Some(proof))
}

#[tokio::test]
async fn the_tree_grows_from_the_root_down() {
    let house = House::open().await;
    let root = house.root().await;
    let ana = house.create(&root, Kind::Administrator, "ana").await;
    let ben = house.create(&ana, Kind::Administrator, "ben").await;
    let user = house
        .users
        .create_user(&ben, new(Kind::TUser, "tom"))
        .await
        .unwrap();
    assert_eq!(user.parent, Some(ben.user.clone()));
    assert_eq!(user.status, Status::Active);
    assert_eq!(user.address.clone().unwrap().transaction_address, "2.4");
    assert_eq!(
        house.trail.did(),
        [
            "createRoot",
            "createAdministrator",
            "createAdministrator",
            "createTUser"
        ]
    );
    // All above read it, and who is not above does not.
    for reader in [&root, &ana, &ben, &caller(&user)] {
        assert_eq!(house.users.read_user(reader, &user.id).await.unwrap(), user);
    }
}

#[tokio::test]
async fn nobody_creates_whom_the_tree_does_not_let_them() {
    let house = House::open().await;
    let root = house.root().await;
    let ana = house.create(&root, Kind::Administrator, "ana").await;
    let tom = house.create(&ana, Kind::TUser, "tom").await;
    for (by, kind) in [
        (&root, Kind::Root),
        (&root, Kind::TUser),
        (&root, Kind::Consumer),
        (&ana, Kind::Root),
        (&ana, Kind::Consumer),
        (&tom, Kind::Administrator),
        (&tom, Kind::TUser),
        (&tom, Kind::Consumer),
    ] {
        let refused = house.users.create_user(by, new(kind, "eve")).await;
        assert_eq!(kind_of(refused), "NotPermitted", "{:?} {kind}", by.kind);
    }
    // Who says to be more than they are does not call.
    let pretends = Caller {
        kind: Kind::Administrator,
        ..tom
    };
    let refused = house
        .users
        .create_user(&pretends, new(Kind::TUser, "eve"))
        .await;
    assert_eq!(kind_of(refused), "Unauthenticated");
    let nobody = Caller {
        user: UserId::of([9; 16]),
        ..ana
    };
    let refused = house
        .users
        .create_user(&nobody, new(Kind::TUser, "eve"))
        .await;
    assert_eq!(kind_of(refused), "Unauthenticated");
    assert_eq!(house.trail.acts().len(), 3);
}

#[tokio::test]
async fn nobody_reaches_beside_or_above_themselves() {
    let house = House::open().await;
    let root = house.root().await;
    let ana = house.create(&root, Kind::Administrator, "ana").await;
    let ben = house.create(&root, Kind::Administrator, "ben").await;
    let tom = house.create(&ana, Kind::TUser, "tom").await;
    let before = house.trail.acts().len();
    let changes = || Changes {
        name: Some(Name::parse("x").unwrap()),
        ..Changes::default()
    };
    for (by, id) in [
        (&ana, &root.user),
        (&ana, &ben.user),
        (&ben, &tom.user),
        (&tom, &ana.user),
        (&tom, &root.user),
        (&tom, &UserId::of([9; 16])),
    ] {
        assert_eq!(kind_of(house.users.read_user(by, id).await), "NotFound");
        assert_eq!(
            kind_of(house.users.update_user(by, id, changes()).await),
            "NotFound"
        );
        assert_eq!(kind_of(house.users.delete_user(by, id).await), "NotFound");
        assert_eq!(
            kind_of(house.users.revoke_sessions(by, id).await),
            "NotFound"
        );
        assert_eq!(kind_of(house.users.reset_totp(by, id).await), "NotFound");
        let granted = house.users.grant(by, id, operation("readData")).await;
        assert_eq!(kind_of(granted), "NotFound");
    }
    assert_eq!(house.trail.acts().len(), before);
}

#[tokio::test]
async fn a_deleted_user_is_disabled_and_nothing_is_erased() {
    let house = House::open().await;
    let root = house.root().await;
    let ana = house.create(&root, Kind::Administrator, "ana").await;
    let tom = house.create(&ana, Kind::TUser, "tom").await;
    let tokens = house.login("tom").await;
    house.users.validate(&tokens.access).unwrap();
    let gone = house.users.delete_user(&ana, &tom.user).await.unwrap();
    assert_eq!(gone.status, Status::Disabled);
    assert_eq!(house.trail.did().last().unwrap(), "deleteTUser");
    // They are out at once, and do not come back.
    assert_eq!(
        kind_of(house.users.validate(&tokens.access)),
        "Unauthenticated"
    );
    let renewed = house.users.renew(&tokens.refresh, &place()).await;
    assert_eq!(kind_of(renewed), "Unauthenticated");
    let login = house.users.login(login("tom"), &place()).await;
    assert_eq!(kind_of(login), "Unauthenticated");
    assert_eq!(
        kind_of(house.users.read_user(&tom, &tom.user).await),
        "Unauthenticated"
    );
    // Their address stays theirs.
    let again = house.users.create_user(&ana, new(Kind::TUser, "tom")).await;
    assert_eq!(kind_of(again), "EmailTaken");
    assert_eq!(
        kind_of(house.users.delete_user(&ana, &tom.user).await),
        "NotActive"
    );
    assert_eq!(house.users.read_user(&root, &tom.user).await.unwrap(), gone);
}

#[tokio::test]
async fn the_root_stays() {
    let house = House::open().await;
    let root = house.root().await;
    let refused = house.users.delete_user(&root, &root.user).await;
    assert_eq!(kind_of(refused), "NotPermitted");
}

#[tokio::test]
async fn those_below_a_disabled_administrator_are_the_next_ones_above() {
    let house = House::open().await;
    let root = house.root().await;
    let ana = house.create(&root, Kind::Administrator, "ana").await;
    let ben = house.create(&ana, Kind::Administrator, "ben").await;
    house.users.delete_user(&root, &ana.user).await.unwrap();
    let refused = house.users.create_user(&ana, new(Kind::TUser, "tom")).await;
    assert_eq!(kind_of(refused), "Unauthenticated");
    house.create(&ben, Kind::TUser, "tom").await;
    house.users.delete_user(&root, &ben.user).await.unwrap();
}

#[tokio::test(flavor = "multi_thread")]
async fn an_address_and_a_key_belong_to_one_user_even_when_many_race() {
    let house = House::open().await;
    let root = house.root().await;
    let ana = house.create(&root, Kind::Administrator, "ana").await;
    let mut racing = JoinSet::new();
    for runner in 0..16 {
        let (users, ana) = (Arc::clone(&house.users), ana.clone());
        racing.spawn(async move {
            let mut user = new(Kind::TUser, &format!("t{runner}"));
            if runner % 2 == 0 {
                user.email = email("same");
            } else {
                (user.key, user.key_proof) = key(1, &user.email).await;
            }
            users.create_user(&ana, user).await
        });
    }
    let outcomes = racing.join_all().await;
    assert_eq!(outcomes.iter().filter(|outcome| outcome.is_ok()).count(), 2);
    for outcome in outcomes.into_iter().filter(Result::is_err) {
        let kind = kind_of(outcome);
        assert!(
            ["EmailTaken", "KeyTaken"].contains(&kind.as_str()),
            "{kind}"
        );
    }
    assert_eq!(house.trail.acts().len(), 4);
}

#[tokio::test]
async fn a_user_that_cannot_be_recorded_has_never_been() {
    let house = House::open().await;
    let root = house.root().await;
    house.trail.will(Answer::Refused);
    let mut ana = new(Kind::Administrator, "ana");
    (ana.key, ana.key_proof) = key(1, &ana.email).await;
    let refused = house.users.create_user(&root, ana.clone()).await;
    assert_eq!(kind_of(refused), "LedgerUnavailable");
    assert_eq!(
        house
            .users
            .list(&root, &Wanted::default())
            .await
            .unwrap()
            .users
            .len(),
        1
    );
    house.trail.will(Answer::Stored);
    house.users.create_user(&root, ana).await.unwrap();
}

#[tokio::test]
async fn a_change_is_recorded_with_what_is_public_and_nothing_secret() {
    let house = House::open().await;
    let root = house.root().await;
    let ana = house.create(&root, Kind::Administrator, "ana").await;
    let (second, key_proof) = key(2, &email("ana.garcia")).await;
    let changes = Changes {
        name: Some(Name::parse("Ana García").unwrap()),
        email: Some(email("ana.garcia")),
        key: second.clone(),
        key_proof,
    };
    let user = house
        .users
        .update_user(&ana, &ana.user, changes)
        .await
        .unwrap();
    assert_eq!(
        (user.version, user.email.as_str()),
        (2, "ana.garcia@farm.example")
    );
    house.login("ana.garcia").await;
    let refused = house.users.login(login("ana"), &place()).await;
    assert_eq!(kind_of(refused), "Unauthenticated");
    let act = house.trail.acts()[2].clone();
    assert_eq!(act.did.as_str(), "updateMe");
    assert_eq!(act.once, Some(format!("user-{}-2", user.id)));
    let Given::Data(data) = &act.content else {
        panic!("no data")
    };
    assert_eq!(data["name"], "Ana García");
    assert_eq!(data["key"], second.unwrap().as_str());
    for act in house.trail.acts() {
        let text = serde_json::to_string(&act).unwrap();
        assert!(
            !text.contains(PASSWORD) && !text.contains("argon2"),
            "{text}"
        );
    }
    // The old address is free, the old key of somebody never is.
    house.create(&root, Kind::Administrator, "ana").await;
    let (key_of_today, key_proof) = key(3, &email("ana.garcia")).await;
    let changes = Changes {
        key: key_of_today,
        key_proof,
        ..Changes::default()
    };
    house
        .users
        .update_user(&ana, &ana.user, changes)
        .await
        .unwrap();
    let mut eve = new(Kind::Administrator, "eve");
    (eve.key, eve.key_proof) = key(2, &eve.email).await;
    assert_eq!(
        kind_of(house.users.create_user(&root, eve).await),
        "KeyTaken"
    );
    let nothing = house
        .users
        .update_user(&ana, &ana.user, Changes::default())
        .await;
    assert_eq!(kind_of(nothing), "InvalidInput");
}

#[tokio::test]
async fn a_refused_change_leaves_all_as_it_was() {
    let house = House::open().await;
    let root = house.root().await;
    house.trail.will(Answer::Refused);
    let changes = to_address("new");
    let refused = house.users.update_user(&root, &root.user, changes).await;
    assert_eq!(kind_of(refused), "LedgerUnavailable");
    house.trail.will(Answer::Stored);
    house.create(&root, Kind::Administrator, "new").await;
    house.login("root").await;
}

#[tokio::test]
async fn consumers_come_by_themselves_where_they_are_let() {
    let house = House::open().await;
    house.root().await;
    let refused = house
        .users
        .register_consumer(new(Kind::Consumer, "carl"), &place())
        .await;
    assert_eq!(kind_of(refused), "NotPermitted");

    let house = House::with(|config| config.consumers_register = true).await;
    let early = house
        .users
        .register_consumer(new(Kind::Consumer, "carl"), &place())
        .await;
    assert_eq!(kind_of(early), "RootMissing");
    let root = house.root().await;
    let ana = house.create(&root, Kind::Administrator, "ana").await;
    for kind in [Kind::Root, Kind::Administrator, Kind::TUser] {
        let refused = house
            .users
            .register_consumer(new(kind, "carl"), &place())
            .await;
        assert_eq!(kind_of(refused), "NotPermitted");
    }
    let mut greedy = new(Kind::Consumer, "carl");
    greedy.grants = Some([operation("createTUser")].into());
    let carl = house
        .users
        .register_consumer(greedy, &place())
        .await
        .unwrap();
    assert!(!carl.grants.contains(&operation("createTUser")));
    assert!(carl.grants.contains(&operation("readData")));
    let carl = caller(&carl);
    let refused = house
        .users
        .create_user(&carl, new(Kind::TUser, "eve"))
        .await;
    assert_eq!(kind_of(refused), "NotPermitted");
    let taken = house
        .users
        .register_consumer(new(Kind::Consumer, "carl"), &place())
        .await;
    assert_eq!(kind_of(taken), "EmailTaken");
    // The root reaches them, another administrator does not.
    assert_eq!(
        kind_of(house.users.read_user(&ana, &carl.user).await),
        "NotFound"
    );
    house.users.delete_user(&root, &carl.user).await.unwrap();
}

#[tokio::test]
async fn a_changed_password_ends_all_sessions() {
    let house = House::open().await;
    let root = house.root().await;
    let tokens = house.login("root").await;
    let wrong = Secret::from("wrong horse battery");
    let refused = house
        .users
        .change_password(&root, &wrong, password("another password"))
        .await;
    assert_eq!(kind_of(refused), "NotPermitted");
    let old = Secret::from(PASSWORD);
    house
        .users
        .change_password(&root, &old, password("another password"))
        .await
        .unwrap();
    assert_eq!(
        kind_of(house.users.validate(&tokens.access)),
        "Unauthenticated"
    );
    let refused = house.users.login(login("root"), &place()).await;
    assert_eq!(kind_of(refused), "Unauthenticated");
    let mut right = login("root");
    right.password = Secret::from("another password");
    house.users.login(right, &place()).await.unwrap();
}

#[tokio::test]
async fn of_two_who_change_a_password_by_the_same_old_one_the_second_is_refused() {
    let house = House::open().await;
    let root = house.root().await;
    let first = password("the first password");
    let first = house.users.passwords.hash(first).await.unwrap();
    let users = Arc::clone(&house.users);
    let asked = async move {
        let (old, second) = (Secret::from(PASSWORD), password("the second password"));
        users.change_password(&root, &old, second).await
    };
    let changed = house.put_password("root", &first);
    let late = house.between_hashes(asked, changed).await;
    assert_eq!(kind_of(late), "NotPermitted");
    assert_eq!(house.trail.did(), ["createRoot"]);
}

#[tokio::test]
async fn the_tree_is_not_deeper_than_it_may_be() {
    let house = House::open().await;
    let mut above = house.root().await;
    for depth in 1..crate::limits::TREE_DEPTH_MAX {
        above = house
            .create(&above, Kind::Administrator, &format!("a{depth}"))
            .await;
    }
    let refused = house
        .users
        .create_user(&above, new(Kind::TUser, "deep"))
        .await;
    assert_eq!(kind_of(refused), "TreeTooDeep");
}

#[tokio::test]
async fn whoever_names_a_key_shows_that_it_is_kept() {
    let house = House::open().await;
    let root = house.root().await;
    let ana = house.create(&root, Kind::Administrator, "ana").await;
    let mut tom = new(Kind::TUser, "tom");
    let (of_tom, proof_of_tom) = key(1, &tom.email).await;
    let (_, proof_of_eve) = key(1, &email("eve")).await;
    let (_, other_key) = key(2, &tom.email).await;
    tom.key = of_tom.clone();
    for proof in [None, proof_of_eve, other_key] {
        tom.key_proof = proof;
        let refused = house.users.create_user(&ana, tom.clone()).await;
        assert_eq!(kind_of(refused), "KeyNotProven");
    }
    // Neither by changing oneself.
    let changes = Changes {
        key: of_tom,
        key_proof: proof_of_tom.clone(),
        ..Changes::default()
    };
    let refused = house.users.update_user(&ana, &ana.user, changes).await;
    assert_eq!(kind_of(refused), "KeyNotProven");
    tom.key_proof = proof_of_tom;
    let created = house.users.create_user(&ana, tom.clone()).await.unwrap();
    assert_eq!(created.key, tom.key);
}
