use std::sync::Arc;
use std::sync::atomic::Ordering;
use std::time::Duration;

use tokio::task::JoinSet;

use super::super::testing::{Answer, House, PASSWORD, kind_of, login, password, place};
use super::super::{Clock, Cost, Kind, Login, Secret, Tokens, UserId};
use crate::Problem;
use crate::limits::{
    ACCESS_LIFETIME, CHANGE_ABANDONED, CLOCK_SKEW, SESSION_IDLE, SESSION_LIFETIME, STANDING_AGE_MAX,
};
use crate::model::Text;

fn wrong(name: &str) -> Login {
    let mut wrong = login(name);
    wrong.password = Secret::from("wrong horse battery");
    wrong
}

#[tokio::test]
async fn a_login_gives_tokens_and_is_an_event() {
    let house = House::open().await;
    let root = house.root().await;
    let mut typed = login("root");
    typed.email = "Root@Farm.Example".to_owned();
    let tokens = house.users.login(typed, &place()).await.unwrap();
    let known = house.users.validate(&tokens.access).unwrap();
    assert_eq!((&known.user, known.kind), (&root.user, Kind::Root));
    assert_eq!(known.session, tokens.session);
    assert_eq!(known.at(place()), root);
    let act = house.trail.acts().remove(1);
    assert_eq!(act.did.as_str(), "loginUser");
    assert_eq!(
        act.record.unwrap().as_str(),
        format!("session-{}", tokens.session)
    );
    let written = serde_json::to_value(&tokens).unwrap();
    assert_eq!(written["token_type"], "Bearer");
    assert_eq!(written["expires_in"], 300);
    let printed = format!("{tokens:?}");
    assert!(!printed.contains(tokens.access.expose()));
    assert!(!printed.contains(tokens.refresh.expose()));
}

#[tokio::test]
async fn an_unknown_address_and_a_wrong_password_are_answered_alike() {
    let house = House::open().await;
    house.root().await;
    let mut answers = Vec::new();
    for login in [wrong("root"), wrong("nobody"), login("nobody")] {
        answers.push(house.users.login(login, &place()).await.unwrap_err());
    }
    let mut unreadable = login("root");
    unreadable.email = "no address".to_owned();
    answers.push(house.users.login(unreadable, &place()).await.unwrap_err());
    let mut long = login("root");
    long.password = Secret::from("x".repeat(10_000));
    answers.push(house.users.login(long, &place()).await.unwrap_err());
    assert!(
        answers.iter().all(|answer| *answer == answers[0]),
        "{answers:?}"
    );
    assert_eq!(answers[0].status, 401);
}

/// What answers say alike, the time they take must not tell apart: whoever is not let in costs the same hash.
#[tokio::test]
async fn an_unknown_address_costs_the_same_work_as_a_wrong_password() {
    let house = House::with(|config| {
        config.cost = Cost {
            memory: 16,
            passes: 3,
            lanes: 1,
        };
    });
    let house = house.await;
    let root = house.root().await;
    let gone = house.create(&root, Kind::Administrator, "gone").await;
    house.users.delete_user(&root, &gone.user).await.unwrap();
    let mut unreadable = login("root");
    unreadable.email = "no address".to_owned();
    let mut long = login("root");
    long.password = Secret::from("x".repeat(10_000));
    let work = || house.users.passwords.work.load(Ordering::SeqCst);
    let before = work();
    house.login("root").await;
    let cost = work() - before;
    assert_eq!(cost, 16 * 3);
    for refused in [
        wrong("root"),
        wrong("nobody"),
        login("gone"),
        unreadable,
        long,
    ] {
        let before = work();
        house.users.login(refused, &place()).await.unwrap_err();
        assert_eq!(work() - before, cost);
    }
}

#[tokio::test]
async fn wrong_passwords_make_one_wait_whether_the_account_exists_or_not() {
    let house = House::open().await;
    house.root().await;
    for name in ["root", "nobody"] {
        // Each from another place, so that only the account counts.
        let from = |at: u32| Text::fitting(&format!("{name} {at}"));
        for attempt in 0..6 {
            let refused = house.users.login(wrong(name), &from(attempt)).await;
            assert_eq!(kind_of(refused), "Unauthenticated");
        }
        let refused = house.users.login(login(name), &from(6)).await.unwrap_err();
        assert_eq!(
            (refused.status, refused.kind.as_str()),
            (429, "TooManyAttempts")
        );
        assert!(refused.detail.ends_with("in 1 seconds"), "{refused}");
    }
    house.clock.forward(Duration::from_secs(1));
    // Right after the wait, and all is forgotten.
    house.login("root").await;
    for attempt in 0..6 {
        let from = Text::fitting(&format!("again {attempt}"));
        let refused = house.users.login(wrong("root"), &from).await;
        assert_eq!(kind_of(refused), "Unauthenticated");
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn many_guesses_at_once_are_not_many_free_guesses() {
    let house = House::open().await;
    house.root().await;
    let mut guessing = JoinSet::new();
    for guess in 0..40 {
        let users = Arc::clone(&house.users);
        let from = Text::fitting(&format!("10.0.0.{guess}"));
        guessing.spawn(async move { users.login(wrong("root"), &from).await });
    }
    let answers = guessing.join_all().await;
    let kinds: Vec<_> = answers.into_iter().map(kind_of).collect();
    let tried = kinds
        .iter()
        .filter(|kind| *kind == "Unauthenticated")
        .count();
    assert_eq!(tried, 6, "{kinds:?}");
}

#[tokio::test]
async fn a_source_that_guesses_many_accounts_waits() {
    let house = House::open().await;
    house.root().await;
    for account in 0..=crate::limits::FAILURES_FREE_SOURCE {
        let refused = house
            .users
            .login(wrong(&format!("a{account}")), &place())
            .await;
        assert_eq!(kind_of(refused), "Unauthenticated");
    }
    let refused = house.users.login(login("root"), &place()).await;
    assert_eq!(kind_of(refused), "TooManyAttempts");
    house
        .users
        .login(login("root"), &Text::fitting("203.0.113.9"))
        .await
        .unwrap();
}

#[tokio::test]
async fn a_hash_of_yesterdays_cost_is_made_anew_at_login() {
    let (house, _dearer) = of_another_cost().await;
    let kept = |users: Arc<super::super::Users>| async move {
        let mut connection = users.connection().await.unwrap();
        let email = super::super::testing::email("root");
        let found = super::store::find_by_email(&mut connection, &email)
            .await
            .unwrap();
        found.unwrap().password.as_str().to_owned()
    };
    assert!(kept(Arc::clone(&house.users)).await.contains("m=16,"));
    house.login("root").await;
    assert!(kept(Arc::clone(&house.users)).await.contains("m=8,"));
    house.login("root").await;
}

/// A service at whose cost the root's password was not hashed, and the one whose database it goes on with.
async fn of_another_cost() -> (House, House) {
    let mut house = House::open().await;
    let dearer = House::with(|config| {
        config.cost = Cost {
            memory: 16,
            passes: 1,
            lanes: 1,
        };
    });
    let dearer = dearer.await;
    dearer.root().await;
    house.share_database_of(&dearer).await;
    (house, dearer)
}

#[tokio::test]
async fn who_logs_in_while_the_hash_changes_comes_in_if_it_is_of_the_same_password() {
    for (text, is_let_in) in [(PASSWORD, true), ("another password", false)] {
        let (house, _dearer) = of_another_cost().await;
        let hash = house.users.passwords.hash(password(text)).await.unwrap();
        let users = Arc::clone(&house.users);
        let asked = async move { users.login(login("root"), &place()).await };
        let changed = house.put_password("root", &hash);
        let came = house.between_hashes(asked, changed).await;
        assert_eq!(came.is_ok(), is_let_in, "{came:?}");
    }
}

#[tokio::test]
async fn a_password_that_is_changed_while_somebody_logs_in_lets_nobody_in() {
    let house = House::open().await;
    let root = house.root().await;
    let (user, shown) = house
        .users
        .recognize(login("root"), &place())
        .await
        .unwrap();
    let old = Secret::from(PASSWORD);
    house
        .users
        .change_password(&root, &old, password("another password"))
        .await
        .unwrap();
    let late = house.users.open_session(&user, &shown, &place()).await;
    assert_eq!(kind_of(late), "Unauthenticated");
    assert_eq!(house.trail.did(), ["createRoot", "changePassword"]);
}

#[tokio::test]
async fn a_refresh_token_is_good_once_and_its_reuse_ends_the_session() {
    let house = House::open().await;
    house.root().await;
    let first = house.login("root").await;
    let other = house.login("root").await;
    let second = house.users.renew(&first.refresh, &place()).await.unwrap();
    assert_eq!(second.session, first.session);
    assert_ne!(second.refresh.expose(), first.refresh.expose());
    assert_ne!(second.access.expose(), first.access.expose());
    house.users.validate(&second.access).unwrap();
    // A thief uses the first again: nobody can tell who is who, so all of the session ends.
    let stolen = house.users.renew(&first.refresh, &place()).await;
    assert_eq!(kind_of(stolen), "Unauthenticated");
    let honest = house.users.renew(&second.refresh, &place()).await;
    assert_eq!(kind_of(honest), "Unauthenticated");
    for access in [&first.access, &second.access] {
        assert_eq!(kind_of(house.users.validate(access)), "Unauthenticated");
    }
    house.users.validate(&other.access).unwrap();
    let guessed = house.users.renew(&Secret::from("guess"), &place()).await;
    assert_eq!(kind_of(guessed), "Unauthenticated");
}

#[tokio::test(flavor = "multi_thread")]
async fn a_refresh_token_that_many_use_at_once_is_good_once_at_most() {
    let house = House::open().await;
    house.root().await;
    let tokens = house.login("root").await;
    let mut racing = JoinSet::new();
    for _ in 0..8 {
        let (users, refresh) = (Arc::clone(&house.users), tokens.refresh.clone());
        racing.spawn(async move { users.renew(&refresh, &place()).await });
    }
    let outcomes = racing.join_all().await;
    assert!(outcomes.iter().filter(|outcome| outcome.is_ok()).count() <= 1);
    assert_eq!(
        kind_of(house.users.validate(&tokens.access)),
        "Unauthenticated"
    );
}

#[tokio::test]
async fn a_session_ends_when_it_is_idle_or_old() {
    let house = House::open().await;
    house.root().await;
    let idle = house.login("root").await;
    house.clock.forward(SESSION_IDLE);
    house.users.refresh().await.unwrap();
    assert_eq!(
        kind_of(house.users.renew(&idle.refresh, &place()).await),
        "Unauthenticated"
    );
    let mut tokens = house.login("root").await;
    let mut renewed = Duration::ZERO;
    let step = SESSION_IDLE - Duration::from_secs(1);
    while renewed + step < SESSION_LIFETIME {
        house.clock.forward(step);
        renewed += step;
        tokens = house.users.renew(&tokens.refresh, &place()).await.unwrap();
    }
    house.clock.forward(step);
    assert_eq!(
        kind_of(house.users.renew(&tokens.refresh, &place()).await),
        "Unauthenticated"
    );
}

#[tokio::test]
async fn an_access_token_expires_and_a_logout_ends_it_before() {
    let house = House::open().await;
    house.root().await;
    let (one, other) = (house.login("root").await, house.login("root").await);
    house.users.logout(&one.session).await.unwrap();
    assert_eq!(
        kind_of(house.users.validate(&one.access)),
        "Unauthenticated"
    );
    assert_eq!(
        kind_of(house.users.renew(&one.refresh, &place()).await),
        "Unauthenticated"
    );
    house.users.validate(&other.access).unwrap();
    house.clock.forward(ACCESS_LIFETIME);
    house.users.refresh().await.unwrap();
    assert_eq!(
        kind_of(house.users.validate(&other.access)),
        "Unauthenticated"
    );
}

/// Asks for tokens, whose session is ended while the event is recorded, which is slow; and waits until nobody needs to
/// know that any more.
async fn check_slow_tokens(
    house: &House,
    user: &UserId,
    asked: impl Future<Output = Result<Tokens, Problem>> + Send + 'static,
) {
    let slow = 4 * CLOCK_SKEW;
    // That of what was asked before.
    house.trail.asked.notified().await;
    house.trail.will(Answer::Later);
    let asked = tokio::spawn(asked);
    house.trail.asked.notified().await;
    let mut connection = house.users.connection().await.unwrap();
    let ended = super::sessions::revoke_all(&mut connection, user, house.clock.millis()).await;
    ended.unwrap();
    drop(connection);
    house.clock.forward(slow);
    house.trail.will(Answer::Stored);
    let tokens = asked.await.unwrap().unwrap();
    for wait in [Duration::ZERO, ACCESS_LIFETIME + 2 * CLOCK_SKEW - slow] {
        house.clock.forward(wait + Duration::from_millis(1));
        house.users.refresh().await.unwrap();
        let refused = house.users.validate(&tokens.access);
        assert_eq!(kind_of(refused), "Unauthenticated");
    }
}

#[tokio::test]
async fn a_token_that_is_slow_to_be_recorded_is_not_good_for_longer_than_its_end_is_known() {
    let house = House::with(|config| config.record_renewals = true).await;
    let root = house.root().await;
    let users = Arc::clone(&house.users);
    let asked = async move { users.login(login("root"), &place()).await };
    check_slow_tokens(&house, &root.user, asked).await;
    let (users, tokens) = (Arc::clone(&house.users), house.login("root").await);
    let asked = async move { users.renew(&tokens.refresh, &place()).await };
    check_slow_tokens(&house, &root.user, asked).await;
}

#[tokio::test]
async fn another_replica_learns_of_a_logout_when_it_looks() {
    let house = House::open().await;
    house.root().await;
    let other = house.replica().await;
    let tokens = house.login("root").await;
    other.validate(&tokens.access).unwrap();
    house.users.logout(&tokens.session).await.unwrap();
    other.refresh().await.unwrap();
    assert_eq!(kind_of(other.validate(&tokens.access)), "Unauthenticated");
}

#[tokio::test]
async fn who_has_not_looked_for_too_long_believes_nobody() {
    let house = House::open().await;
    house.root().await;
    let tokens = house.login("root").await;
    house
        .clock
        .forward(STANDING_AGE_MAX + Duration::from_millis(1));
    let refused = house.users.validate(&tokens.access).unwrap_err();
    assert_eq!(
        (refused.status, refused.kind.as_str()),
        (503, "RevocationsUnknown")
    );
    house.users.refresh().await.unwrap();
    house.users.validate(&tokens.access).unwrap();
}

#[tokio::test]
async fn all_sessions_of_a_user_end_at_once() {
    let house = House::open().await;
    let root = house.root().await;
    let ana = house.create(&root, Kind::Administrator, "ana").await;
    let (one, other) = (house.login("ana").await, house.login("ana").await);
    let roots = house.login("root").await;
    house.users.revoke_sessions(&root, &ana.user).await.unwrap();
    assert_eq!(house.trail.did().last().unwrap(), "revokeSessions");
    for tokens in [one, other] {
        assert_eq!(
            kind_of(house.users.validate(&tokens.access)),
            "Unauthenticated"
        );
    }
    house.users.validate(&roots.access).unwrap();
}

#[tokio::test]
async fn sessions_whose_end_is_slow_to_be_recorded_end_when_it_is() {
    let house = House::open().await;
    let root = house.root().await;
    let ana = house.create(&root, Kind::Administrator, "ana").await;
    let tokens = house.login("ana").await;
    for answer in [Answer::Refused, Answer::Pending] {
        house.trail.will(answer);
        house
            .users
            .revoke_sessions(&root, &ana.user)
            .await
            .unwrap_err();
        house.users.validate(&tokens.access).unwrap();
    }
    house.trail.will(Answer::Stored);
    house.clock.forward(CHANGE_ABANDONED);
    assert_eq!(house.users.finish_pending().await.unwrap(), 1);
    assert_eq!(house.users.finish_pending().await.unwrap(), 0);
    assert_eq!(
        kind_of(house.users.validate(&tokens.access)),
        "Unauthenticated"
    );
    let did = house.trail.did();
    assert_eq!(did.iter().filter(|did| *did == "revokeSessions").count(), 1);
}

#[tokio::test]
async fn of_too_many_sessions_the_oldest_ends() {
    let house = House::with(|config| config.record_logins = false).await;
    house.root().await;
    let oldest = house.login("root").await;
    for _ in 0..crate::limits::SESSIONS_PER_USER {
        house.clock.forward(Duration::from_secs(1));
        house.login("root").await;
    }
    house.users.refresh().await.unwrap();
    assert_eq!(
        kind_of(house.users.validate(&oldest.access)),
        "Unauthenticated"
    );
}

#[tokio::test]
async fn a_login_that_cannot_be_recorded_lets_nobody_in() {
    let house = House::open().await;
    house.root().await;
    house.trail.will(Answer::Refused);
    let refused = house.users.login(login("root"), &place()).await;
    assert_eq!(kind_of(refused), "LedgerUnavailable");
    house.trail.will(Answer::Stored);
    house.login("root").await;
}

#[tokio::test]
async fn the_operator_says_whether_logins_and_renewals_are_events() {
    for (logins, renewals, events) in [(false, false, 1), (true, false, 2), (true, true, 3)] {
        let house = House::with(|config| {
            config.record_logins = logins;
            config.record_renewals = renewals;
        });
        let house = house.await;
        house.root().await;
        let tokens = house.login("root").await;
        house.users.renew(&tokens.refresh, &place()).await.unwrap();
        assert_eq!(house.trail.acts().len(), events);
    }
}

#[tokio::test]
async fn a_rotated_key_signs_and_the_old_tokens_stay_good_on_all_replicas() {
    let house = House::open().await;
    house.root().await;
    let other = house.replica().await;
    let before = house.login("root").await;
    house.users.rotate().unwrap();
    let after = house.login("root").await;
    for users in [&house.users, &other] {
        users.validate(&before.access).unwrap();
        users.validate(&after.access).unwrap();
    }
    assert_eq!(other.jwks(), house.users.jwks());
    assert_eq!(other.jwks()["keys"].as_array().unwrap().len(), 2);
}

#[tokio::test]
async fn sessions_that_are_over_are_forgotten() {
    let house = House::open().await;
    house.root().await;
    let tokens = house.login("root").await;
    house.users.logout(&tokens.session).await.unwrap();
    house
        .clock
        .forward(SESSION_IDLE + ACCESS_LIFETIME + Duration::from_secs(11));
    house.users.forget_old_sessions().await.unwrap();
    let mut connection = house.users.connection().await.unwrap();
    let found = super::sessions::find(&mut connection, &tokens.session)
        .await
        .unwrap();
    assert!(found.is_none());
}

#[test]
fn what_somebody_shows_is_not_printed() {
    let printed = format!("{:?}", login("root"));
    assert!(!printed.contains(PASSWORD), "{printed}");
}

#[tokio::test]
async fn who_took_their_time_before_another_and_comes_after_does_not_wait() {
    let house = House::open().await;
    house.root().await;
    let attempt = async || house.users.begin_attempt("login of root", &place()).await;
    attempt().await.unwrap();
    house.clock.back(Duration::from_millis(1));
    attempt().await.unwrap();
}
