use std::sync::Arc;
use std::time::Duration;

use tokio::task::JoinSet;

use super::super::model::Deed;
use super::super::store::Claim;
use super::super::store::changes::Change;
use super::super::testing::{
    Answer, House, email, kind_of, login, new, operation, place, to_address,
};
use super::super::{Caller, Changes, Kind, Name, Status, Wanted};
use super::{Subject, changes, of_user, store};

const A_WHILE: Duration = Duration::from_secs(31);

/// A house where the root has begun to create an administrator, ana, whose event the ledger took too long to record:
/// whoever comes finishes it.
async fn abandoned() -> (House, Caller) {
    let house = House::open().await;
    let root = house.root().await;
    house.trail.will(Answer::Pending);
    let pending = house
        .users
        .create_user(&root, new(Kind::Administrator, "ana"))
        .await;
    assert_eq!(kind_of(pending), "Pending");
    house.clock.forward(A_WHILE);
    (house, root)
}

#[tokio::test]
async fn a_crash_between_reserving_and_recording_is_finished_once() {
    let house = House::open().await;
    let root = house.root().await;
    house.trail.will(Answer::Never);
    let users = Arc::clone(&house.users);
    let by = root.clone();
    let crashing = tokio::spawn(async move {
        users
            .create_user(&by, new(Kind::Administrator, "ana"))
            .await
    });
    // Once for the root, once for this one.
    house.trail.asked.notified().await;
    while house
        .users
        .list(&root, &Wanted::default())
        .await
        .unwrap()
        .users
        .len()
        < 2
    {
        tokio::task::yield_now().await;
    }
    crashing.abort();
    crashing.await.unwrap_err();
    house.trail.will(Answer::Stored);
    let again = house.replica().await;
    let page = again.list(&root, &Wanted::default()).await.unwrap();
    let ana = page
        .users
        .into_iter()
        .find(|user| user.id != root.user)
        .unwrap();
    assert_eq!(ana.status, Status::Pending);
    let refused = again.login(login("ana"), &place()).await;
    assert_eq!(kind_of(refused), "Unauthenticated");
    // Not before whoever began it must have given up.
    assert_eq!(again.finish_pending().await.unwrap(), 0);
    house.clock.forward(A_WHILE);
    assert_eq!(again.finish_pending().await.unwrap(), 1);
    assert_eq!(again.finish_pending().await.unwrap(), 0);
    let ana = again.read_user(&root, &ana.id).await.unwrap();
    assert_eq!(ana.status, Status::Active);
    assert_eq!(ana.address.unwrap().transaction_address, "2.2");
    assert_eq!(house.trail.did(), ["createRoot", "createAdministrator"]);
    again.login(login("ana"), &place()).await.unwrap();
}

#[tokio::test]
async fn what_is_pending_in_the_ledger_counts_when_it_is_there() {
    let house = House::open().await;
    let root = house.root().await;
    let ana = house.create(&root, Kind::Administrator, "ana").await;
    house.trail.will(Answer::Pending);
    let changes = to_address("new");
    let pending = house.users.update_user(&root, &ana.user, changes).await;
    assert_eq!(kind_of(pending), "Pending");
    // It is not made yet, nobody else takes what it will have, and no other change overtakes it.
    let user = house.users.read_user(&root, &ana.user).await.unwrap();
    assert_eq!(user.email, email("ana"));
    house.trail.will(Answer::Stored);
    let taken = house
        .users
        .create_user(&root, new(Kind::Administrator, "new"))
        .await;
    assert_eq!(kind_of(taken), "EmailTaken");
    let refused = house
        .users
        .grant(&root, &ana.user, operation("readData"))
        .await;
    assert_eq!(kind_of(refused), "ChangeUnderWay");
    house.clock.forward(A_WHILE);
    assert_eq!(house.users.finish_pending().await.unwrap(), 1);
    let user = house.users.read_user(&root, &ana.user).await.unwrap();
    assert_eq!((user.email, user.version), (email("new"), 2));
    house
        .users
        .grant(&root, &ana.user, operation("readData"))
        .await
        .unwrap();
}

#[tokio::test(flavor = "multi_thread")]
async fn two_replicas_that_finish_the_same_change_record_it_once() {
    let (house, _) = abandoned().await;
    house.trail.will(Answer::Stored);
    let other = house.replica().await;
    let (one, two) = tokio::join!(house.users.finish_pending(), other.finish_pending());
    assert!(one.unwrap() + two.unwrap() >= 1);
    assert_eq!(house.trail.did(), ["createRoot", "createAdministrator"]);
    let tokens = house.login("ana").await;
    assert_eq!(tokens.user.version, 1);
}

#[tokio::test]
async fn a_change_that_still_cannot_be_recorded_waits_for_the_next_time() {
    let (house, _) = abandoned().await;
    house.trail.will(Answer::Refused);
    assert_eq!(house.users.finish_pending().await.unwrap(), 0);
    house.trail.will(Answer::Stored);
    assert_eq!(house.users.finish_pending().await.unwrap(), 1);
}

#[tokio::test]
async fn two_changes_of_one_user_come_one_after_the_other() {
    let house = House::open().await;
    let root = house.root().await;
    let ana = house.create(&root, Kind::Administrator, "ana").await;
    let grant = |name| house.users.grant(&root, &ana.user, operation(name));
    let answers = tokio::join!(grant("readData"), grant("createData"), grant("deleteData"));
    let answers = [answers.0, answers.1, answers.2];
    let made = answers.iter().filter(|answer| answer.is_ok()).count();
    let user = house.users.read_user(&root, &ana.user).await.unwrap();
    assert_eq!(user.version as usize, 1 + made);
    assert_eq!(house.trail.acts().len(), 2 + made);
    for refused in answers.into_iter().filter(Result::is_err) {
        assert_eq!(kind_of(refused), "ChangeUnderWay");
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn changes_of_one_user_on_two_replicas_never_stand_in_each_others_way() {
    const TIMES: u64 = 25;
    let house = House::open().await;
    let root = house.root().await;
    let ana = house.create(&root, Kind::Administrator, "ana").await;
    let mut racing = JoinSet::new();
    for runner in 0..4 {
        let users = match runner % 2 {
            0 => Arc::clone(&house.users),
            _ => house.replica().await,
        };
        let (by, id) = (root.clone(), ana.user.clone());
        racing.spawn(async move {
            let mut made = 0;
            for time in 0..TIMES {
                let changes = Changes {
                    name: Some(Name::parse(&format!("ana {runner} {time}")).unwrap()),
                    ..Changes::default()
                };
                match users.update_user(&by, &id, changes).await {
                    Ok(_) => made += 1,
                    Err(problem) => assert_eq!(problem.kind, "ChangeUnderWay", "{problem}"),
                }
            }
            made
        });
    }
    let made: u64 = racing.join_all().await.into_iter().sum();
    let user = house.users.read_user(&root, &ana.user).await.unwrap();
    assert_eq!(user.version, 1 + made);
    assert_eq!(house.trail.acts().len() as u64, 2 + made);
    house.clock.forward(A_WHILE);
    assert_eq!(house.users.finish_pending().await.unwrap(), 0);
}

#[tokio::test(flavor = "multi_thread")]
async fn what_a_change_has_claimed_is_not_given_up_under_the_next_one() {
    let (house, root) = abandoned().await;
    house.trail.will(Answer::Stored);
    house.users.finish_pending().await.unwrap();
    let ana = house.login("ana").await.user;
    house.trail.will(Answer::Pending);
    let changes = to_address("new");
    let pending = house.users.update_user(&root, &ana.id, changes).await;
    assert_eq!(kind_of(pending), "Pending");
    // Whoever asks for the same finds it claimed already, and before they reserve their change the first is refused.
    let begun = house.users.begin_change(&root, &ana.id, Deed::Update).await;
    let (mut transaction, by, user) = begun.unwrap();
    let subject = Subject::User(ana.id.clone());
    let first = changes::find(&mut transaction, &subject).await.unwrap();
    let first = first.unwrap();
    let new = email("new");
    let claimed = store::claim(&mut transaction, &Claim::Email(&new), &ana.id).await;
    assert_eq!(claimed.unwrap(), None);
    let users = Arc::clone(&house.users);
    let mut refused = tokio::spawn(async move { users.take_back(&first).await });
    let a_moment = Duration::from_millis(300);
    let taken_back = tokio::time::timeout(a_moment, &mut refused).await;
    let change = Change::Update {
        name: None,
        email: Some(new),
        key: None,
        oidc: None,
    };
    let second = of_user(&user, change, &by.id, &place(), "updateAdministrator");
    let reserved = house.users.reserve(transaction, &second, 0).await;
    assert_eq!(kind_of(reserved), "ChangeUnderWay");
    assert!(taken_back.is_err());
    refused.await.unwrap().unwrap();
    house.trail.will(Answer::Stored);
    house.create(&root, Kind::Administrator, "new").await;
}

#[tokio::test]
async fn a_change_that_can_never_be_recorded_is_taken_back() {
    let (house, root) = abandoned().await;
    house.trail.will(Answer::Impossible);
    assert_eq!(house.users.finish_pending().await.unwrap(), 0);
    house.trail.will(Answer::Stored);
    assert_eq!(house.users.finish_pending().await.unwrap(), 0);
    house.create(&root, Kind::Administrator, "ana").await;
}

#[tokio::test]
async fn what_runs_beside_finishes_what_was_abandoned_and_stops_when_told() {
    let (house, _) = abandoned().await;
    house.trail.will(Answer::Stored);
    let stopping = tokio_util::sync::CancellationToken::new();
    let (users, stop) = (Arc::clone(&house.users), stopping.clone());
    let running = tokio::spawn(async move { users.keep_current(stop).await });
    let done = async {
        while house.users.login(login("ana"), &place()).await.is_err() {
            tokio::task::yield_now().await;
            house.clock.forward(Duration::from_secs(60 * 60));
        }
    };
    let limit = Duration::from_secs(60);
    tokio::time::timeout(limit, done).await.unwrap();
    stopping.cancel();
    running.await.unwrap();
}

#[tokio::test]
async fn what_was_revoked_elsewhere_ends_here_while_a_change_waits_for_the_trail() {
    let (house, _) = abandoned().await;
    house.trail.will(Answer::Stored);
    house.users.refresh().await.unwrap();
    let tokens = house.login("root").await;
    let other = house.replica().await;
    house.trail.will(Answer::Never);
    // That of what was asked before.
    house.trail.asked.notified().await;
    let stopping = tokio_util::sync::CancellationToken::new();
    let (users, stop) = (Arc::clone(&house.users), stopping.clone());
    let running = tokio::spawn(async move { users.keep_current(stop).await });
    house.trail.asked.notified().await;
    house.users.validate(&tokens.access).unwrap();
    other.logout(&tokens.session).await.unwrap();
    let ended = async {
        while house.users.validate(&tokens.access).is_ok() {
            tokio::time::sleep(Duration::from_millis(10)).await;
        }
    };
    let limit = Duration::from_secs(60);
    tokio::time::timeout(limit, ended).await.unwrap();
    stopping.cancel();
    tokio::time::timeout(limit, running).await.unwrap().unwrap();
}
