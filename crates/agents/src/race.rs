//! Many who race for root: of the friendly and the unfriendly together exactly one becomes it.
//!
//! The handshake has two steps. Unfriendly racers try to do without the first, with somebody else's, too late,
//! and with whatever comes to mind; then they race like everybody.

use std::sync::Arc;
use std::time::{Duration, Instant};

use serde::Serialize;
use serde_json::{Value, json};

use crate::agent::{Caller, Notes};
use crate::behaviours::{EXPIRED_SLOT, RACE, RACE_JUNK};
use crate::expect::{Expected, INPUT};
use crate::invariant::Invariant;
use crate::progress::Progress;
use crate::wire::{Ask, Http, Target};
use crate::world::PASSWORD;

/// A slot is held for ten seconds.
const SLOT: Duration = Duration::from_secs(10);

/// Whoever holds the slot creates the root in it, so more rounds than a few mean that nobody can.
const ROUNDS_MAX: usize = 4;

/// What a racer is told who is not the first.
const RESERVED: Expected =
    Expected::accepted(&[200]).or_refused(&[(409, "RootReserved"), (409, "RootExists")]);

const SKIPPED: Expected = Expected::refused(&[(403, "RootNotReserved"), (409, "RootExists")]);
const WRONG: Expected = Expected::refused(&[(403, "RootWrongNonce")]);
const LATE: Expected = Expected::refused(&[(403, "RootTooLate"), (403, "RootNotReserved")]);
const WON: Expected = Expected::accepted(&[201]).or_refused(&[(403, "RootTooLate")]);

/// How a race went.
#[derive(Debug, Clone, Serialize)]
pub(crate) struct Race {
    pub(crate) racers: usize,
    /// Those who tried something else first.
    pub(crate) unfriendly: usize,
    pub(crate) slots: u64,
    pub(crate) roots: u64,
    pub(crate) millis: u64,
}

/// The root, as the services answered; nobody if the race had no winner.
pub(crate) struct Finish {
    pub(crate) race: Race,
    pub(crate) root: Option<Value>,
    pub(crate) notes: Notes,
}

/// What a racer saw.
struct Seen {
    slots: u64,
    root: Option<Value>,
    notes: Notes,
}

/// Who races.
pub(crate) struct Racers {
    pub(crate) count: usize,
    pub(crate) unfriendly: f64,
    pub(crate) seed: u64,
    pub(crate) began: Instant,
    pub(crate) progress: Arc<Progress>,
}

impl Racers {
    /// Lets them race.
    ///
    /// # Errors
    /// This machine cannot connect.
    pub(crate) async fn race(&self, target: &Target) -> Result<Finish, reqwest::Error> {
        let mut notes = Notes::default();
        let unfriendly = (self.count as f64 * self.unfriendly).round() as usize;
        if unfriendly > 0 {
            let mut late = self.caller(target, self.count)?;
            late_in_slot(&mut late).await;
            notes.merge(late.notes);
        }
        let began = Instant::now();
        let mut race = Race {
            racers: self.count,
            unfriendly,
            slots: 0,
            roots: 0,
            millis: 0,
        };
        let mut root = None;
        for round in 0..ROUNDS_MAX {
            let mut racing = Vec::new();
            for number in 0..self.count {
                let caller = self.caller(target, number)?;
                let tricks = round == 0 && number < unfriendly;
                racing.push(tokio::spawn(run(caller, number, tricks)));
            }
            for (racer, number) in racing.into_iter().zip(0..) {
                let number: usize = number;
                let Ok(seen) = racer.await else { continue };
                race.slots += seen.slots;
                race.roots += u64::from(seen.root.is_some());
                notes.merge(seen.notes);
                let one_too_many = root.is_some() && seen.root.is_some();
                notes
                    .held
                    .check(Invariant::OneRoot, RACE, !one_too_many, || {
                        format!("racer {number} became root beside another one")
                    });
                root = root.or(seen.root);
            }
            if root.is_some() {
                break;
            }
            tokio::time::sleep(SLOT).await;
        }
        race.millis = u64::try_from(began.elapsed().as_millis()).unwrap_or(u64::MAX);
        notes
            .held
            .check(Invariant::OneRoot, RACE, root.is_some(), || {
                format!("none of {} became root in {ROUNDS_MAX} rounds", self.count)
            });
        Ok(Finish { race, root, notes })
    }

    fn caller(&self, target: &Target, number: usize) -> Result<Caller, reqwest::Error> {
        let http = if number.is_multiple_of(2) {
            Http::One
        } else {
            Http::Two
        };
        let wire = target.connect(http, None)?;
        let seed = self.seed ^ (0xace0_0000 + number as u64);
        let name = format!("racer {number}");
        Ok(Caller::new(
            name,
            wire,
            seed,
            self.began,
            Arc::clone(&self.progress),
        ))
    }
}

/// Reserves the slot, has the wrong nonce and the wrong session, and comes when the time is over.
async fn late_in_slot(caller: &mut Caller) {
    caller.behaviour = EXPIRED_SLOT;
    let reserved = caller.ask(slot("late"), Expected::accepted(&[200])).await;
    let Some(slot) = reserved.done() else { return };
    let (session, nb) = (slot["session"].clone(), slot["nb"].clone());
    let nobody = json!("0".repeat(32));
    caller
        .ask(second(&session, &json!("n"), "late"), WRONG)
        .await;
    caller.ask(second(&nobody, &nb, "late"), SKIPPED).await;
    tokio::time::sleep(SLOT + Duration::from_millis(500)).await;
    caller.ask(second(&session, &nb, "late"), LATE).await;
}

async fn run(mut caller: Caller, number: usize, tricks: bool) -> Seen {
    if tricks {
        trick(&mut caller).await;
    }
    caller.behaviour = RACE;
    let mut seen = Seen {
        slots: 0,
        root: None,
        notes: Notes::default(),
    };
    let reserved = caller.ask(slot(&format!("n{number}")), RESERVED).await;
    if let Some(slot) = reserved.done() {
        seen.slots = 1;
        let email = format!("root{number}");
        let created = caller
            .ask(second(&slot["session"], &slot["nb"], &email), WON)
            .await;
        if let Some(root) = created.done() {
            let id = root["id"].as_str().unwrap_or_default().to_owned();
            let tx = root["transactionAddress"].as_str().map(str::to_owned);
            caller.book(
                (format!("user-{id}"), 1),
                (&id, "create"),
                tx.as_deref(),
                None,
            );
            seen.root = Some(root);
        }
    }
    seen.notes = caller.notes;
    seen
}

/// Junk in place of what is right, and the second step without the first (table 6, a and b).
async fn trick(caller: &mut Caller) {
    caller.behaviour = RACE_JUNK;
    let junk = json!(caller.random.choice(crate::behaviours::JUNK).unwrap_or(""));
    match caller.random.u8(..4) {
        0 => drop(
            caller
                .ask(Ask::post("/v1/root/slot", &json!({"na": 7})), INPUT)
                .await,
        ),
        1 => {
            let root = json!({"email": junk, "name": junk, "password": junk});
            let step = json!({"session": junk, "nb": junk, "root": root});
            caller.ask(Ask::post("/v1/root", &step), INPUT).await;
        }
        _ => drop(
            caller
                .ask(second(&junk, &json!("token"), "skips"), SKIPPED)
                .await,
        ),
    }
}

/// The first step.
pub(crate) fn slot(na: &str) -> Ask {
    Ask::post("/v1/root/slot", &json!({ "na": na }))
}

/// The second step.
pub(crate) fn second(session: &Value, nb: &Value, email: &str) -> Ask {
    let email = format!("{email}@root.example");
    let root = json!({"email": email, "name": "Root", "password": PASSWORD});
    Ask::post(
        "/v1/root",
        &json!({"session": session, "nb": nb, "root": root}),
    )
}
