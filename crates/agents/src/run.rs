//! A run from its beginning to its report.

use std::sync::Arc;
use std::time::Instant;

use time::OffsetDateTime;

use crate::agent::{Caller, Notes};
use crate::behaviours::{Agent, BEGIN, BEHAVIOURS, Behaviour, GUESS, Shared, Side, guess};
use crate::check::check;
use crate::progress::{Phase, Progress};
use crate::race::{Race, Racers};
use crate::report::{Report, Setting};
use crate::setup::setup;
use crate::wire::{Ask, Http, Target, in_words};
use crate::world::{Made, World};

/// What to do.
#[derive(Debug, Clone)]
pub struct Plan {
    /// Where the gateway is, `https://host:port`.
    pub url: String,
    /// The certificate that it shows, PEM.
    pub certificate: String,
    /// The ledger's service certificate, PEM, which receipts are checked with; `None` takes the one that the
    /// services name.
    pub ledger: Option<String>,
    /// Requests, at least; each agent ends with the behaviour that it is at.
    pub requests: u64,
    /// Connections, each with an agent of its own, who asks again as soon as there is an answer.
    pub connections: usize,
    /// Which share of the requests is unfriendly, 0 to 1.
    pub unfriendly: f64,
    /// What all choices come from.
    pub seed: u64,
    /// How many race for root.
    pub racers: usize,
}

/// Why a run could not be: nothing is said about invariants then.
#[derive(Debug, thiserror::Error)]
pub enum RunError {
    /// The certificate, or another part of the plan, cannot be used: whoever made it is to blame.
    #[error("the certificate cannot be used")]
    Certificate(#[source] reqwest::Error),
    /// Nobody answers there, or somebody else.
    #[error("the services at {url} do not answer: {why}")]
    Unreachable {
        /// Where.
        url: String,
        /// Why not.
        why: String,
    },
    /// The services are in use: start with fresh ones.
    #[error("the services have a root already: agents need fresh ones, whose root they race for")]
    RootExists,
    /// The services answered, and refuse what a friendly agent needs: they are to blame.
    #[error("the services refuse {what}: {said}")]
    Refused {
        /// What was asked for.
        what: String,
        /// What they said.
        said: String,
    },
    /// This machine cannot do it.
    #[error("this machine is in the way: {0}")]
    Machine(String),
}

/// Users for whom agents act, at most: each takes a hash of a password, and there are as many sessions of one
/// user as there are agents who act for it.
const USERS_MAX: usize = 16;

/// Answers whose receipts are checked offline, of all.
const PROOFS_MAX: usize = 2_000;

/// Lets agents loose, and reports what came of it.
///
/// # Errors
/// See [`RunError`]. Broken invariants are no error: they are in the report.
pub async fn run(plan: &Plan, progress: &Arc<Progress>) -> Result<Report, RunError> {
    let target = Target::new(&plan.url, &plan.certificate).map_err(RunError::Certificate)?;
    let (began, started) = (Instant::now(), OffsetDateTime::now_utc());
    let connecting = |error: reqwest::Error| RunError::Machine(in_words(&error));
    let wire = target.connect(Http::One, None).map_err(connecting)?;
    let mut notes = Notes::default();
    let mut clerk = Caller::new(
        "the clerk".to_owned(),
        wire,
        plan.seed,
        began,
        Arc::clone(progress),
    );
    let identity = look(&clerk, plan).await?;

    progress.enter(Phase::Race);
    let racers = Racers {
        count: plan.racers,
        unfriendly: plan.unfriendly,
        seed: plan.seed,
        began,
        progress: Arc::clone(progress),
    };
    let finish = racers.race(&target).await.map_err(connecting)?;
    let race: Race = finish.race;
    notes.merge(finish.notes);
    let Some(root) = finish.root else {
        let said = notes
            .held
            .violations
            .iter()
            .map(|one| one.what.clone())
            .next();
        return Err(RunError::Refused {
            what: "to make anybody the root".to_owned(),
            said: said.unwrap_or_default(),
        });
    };

    progress.enter(Phase::Setup);
    let users = plan.connections.clamp(2, USERS_MAX);
    let made: Made = setup(&mut clerk, &root, users).await?;
    let world = Arc::new(World::new(made, target));
    let agents = agents(plan, &world, (began, progress)).await?;

    progress.enter(Phase::Requests);
    let loaded = Instant::now();
    let before = notes.requests() + clerk.notes.requests();
    let shared = Arc::clone(&agents[0].shared);
    for agent in all(plan, agents, before).await {
        notes.merge(agent.caller.notes);
    }
    let load = loaded.elapsed();

    progress.enter(Phase::Check);
    let proofs = std::mem::take(&mut notes.proofs);
    let doubts = notes.book.doubts.len();
    let checked = check(&mut clerk, &world, &shared, proofs, &identity, doubts).await;
    notes.merge(std::mem::take(&mut clerk.notes));
    checked.logs.compare(&notes.book, &mut notes.held);
    let setting = Setting::new(plan, started, began.elapsed(), load, race);
    Ok(Report::new(setting, &notes, &checked))
}

/// Whether the services are there, and fresh; and the certificate that receipts are checked with.
async fn look(clerk: &Caller, plan: &Plan) -> Result<String, RunError> {
    let unreachable = |why: String| RunError::Unreachable {
        url: plan.url.clone(),
        why,
    };
    let health = clerk.wire.send(&Ask::get("/health")).await;
    let health = health.map_err(|silent| unreachable(silent.why))?;
    if health.status != 200 {
        return Err(unreachable(health.said()));
    }
    // A nonce that cannot be is refused before it reserves anything, and where there is a root that is told.
    let nobody = crate::race::second(&"0".into(), &"0".into(), "nobody");
    let answer = clerk
        .wire
        .send(&nobody)
        .await
        .map_err(|silent| unreachable(silent.why))?;
    match answer.problem.as_deref() {
        Some("RootNotReserved") => {}
        Some("RootExists") => return Err(RunError::RootExists),
        _ => {
            return Err(unreachable(format!(
                "no audit services are there: {}",
                answer.said()
            )));
        }
    }
    if let Some(ledger) = &plan.ledger {
        return Ok(ledger.clone());
    }
    let identity = clerk.wire.send(&Ask::get("/v1/identity")).await;
    let identity = identity.map_err(|silent| unreachable(silent.why))?.json();
    Ok(identity["serviceCertificate"]
        .as_str()
        .unwrap_or_default()
        .to_owned())
}

/// An agent for each connection, signed in.
async fn agents(
    plan: &Plan,
    world: &Arc<World>,
    (began, progress): (Instant, &Arc<Progress>),
) -> Result<Vec<Agent>, RunError> {
    let shared = Arc::new(Shared::default());
    let mut agents = Vec::new();
    for number in 0..plan.connections {
        let http = if number.is_multiple_of(2) {
            Http::One
        } else {
            Http::Two
        };
        let wire = world.target.connect(http, None);
        let wire = wire.map_err(|error| RunError::Machine(in_words(&error)))?;
        let seed = plan.seed.wrapping_add((number as u64 + 1) << 32);
        let name = format!("agent {number}");
        let mut caller = Caller::new(name, wire, seed, began, Arc::clone(progress));
        caller.behaviour = BEGIN;
        caller.proofs_max = PROOFS_MAX.div_ceil(plan.connections);
        let person = &world.users[number % world.users.len()];
        let session = world.logins.login(&mut caller, person).await;
        let session = session.map_err(|told| RunError::Refused {
            what: format!("the login of {}", person.email),
            said: told.said(),
        })?;
        agents.push(Agent {
            caller,
            world: Arc::clone(world),
            shared: Arc::clone(&shared),
            session,
            number,
            records: Vec::new(),
            serial: 0,
        });
    }
    Ok(agents)
}

/// All agents until each has sent its share of what is left.
async fn all(plan: &Plan, agents: Vec<Agent>, before: u64) -> Vec<Agent> {
    let count = agents.len() as u64;
    let left = plan.requests.saturating_sub(before);
    let working: Vec<_> = agents
        .into_iter()
        .zip(0..count)
        .map(|(agent, number)| {
            let share = left / count + u64::from(number < left % count);
            let seldom = Seldom::new(plan.requests, number, count);
            tokio::spawn(work(agent, share, plan.unfriendly, seldom))
        })
        .collect();
    let mut done = Vec::new();
    for agent in working {
        match agent.await {
            Ok(agent) => done.push(agent),
            Err(error) => std::panic::resume_unwind(error.into_panic()),
        }
    }
    done
}

async fn work(mut agent: Agent, requests: u64, unfriendly: f64, mut seldom: Seldom) -> Agent {
    agent.caller.behaviour = BEGIN;
    if let Some(first) = agent.create().await {
        // Nobody changes it again, its owner neither.
        agent.records.clear();
        agent.shared.add(&agent.session.person.id, first);
    }
    if agent.number == 0 && unfriendly > 0.0 {
        agent.caller.behaviour = GUESS;
        guess(&mut agent).await;
    }
    while agent.caller.notes.requests() < requests {
        let notes = &agent.caller.notes;
        let left = requests - notes.requests();
        let side = match (notes.unfriendly as f64) < unfriendly * (notes.requests() + 1) as f64 {
            true => Side::Unfriendly,
            false => Side::Friendly,
        };
        let behaviour = choose(&mut agent.caller.random, side, left, &mut seldom);
        agent.play(behaviour).await;
    }
    agent
}

/// How often one agent may still do what is dear, by its place in the table.
struct Seldom(Vec<u64>);

impl Seldom {
    /// One of so many agents, in a run of so many requests.
    fn new(requests: u64, number: u64, agents: u64) -> Self {
        let times = BEHAVIOURS
            .iter()
            .map(|one| match requests.checked_div(one.rare) {
                None => u64::MAX,
                Some(all) => {
                    let all = all.max(1);
                    all / agents + u64::from(number < all % agents)
                }
            });
        Self(times.collect())
    }
}

/// What to do next: by weight, among what fits.
fn choose(
    random: &mut fastrand::Rng,
    side: Side,
    left: u64,
    seldom: &mut Seldom,
) -> &'static Behaviour {
    let fits = |one: &Behaviour, times: u64| one.side == side && one.most <= left && times > 0;
    let all = || BEHAVIOURS.iter().zip(&seldom.0).enumerate();
    let fitting = all().filter(|(_, (one, times))| fits(one, **times));
    let sum: u32 = fitting.clone().map(|(_, (one, _))| one.weight).sum();
    let mut at = random.u32(..sum);
    let mut chosen = 0;
    for (place, (one, _)) in fitting {
        chosen = place;
        match at.checked_sub(one.weight) {
            Some(rest) => at = rest,
            None => break,
        }
    }
    seldom.0[chosen] = seldom.0[chosen].saturating_sub(1);
    &BEHAVIOURS[chosen]
}

#[cfg(test)]
mod tests {
    use super::*;

    fn choices(seed: u64, count: usize) -> Vec<&'static str> {
        let mut random = fastrand::Rng::with_seed(seed);
        let mut seldom = Seldom::new(100_000, 0, 64);
        let sides = [Side::Friendly, Side::Unfriendly];
        let choose = |place: usize| choose(&mut random, sides[place % 2], 100, &mut seldom).name;
        (0..count).map(choose).collect()
    }

    #[test]
    fn a_seed_makes_the_same_choices_again() {
        assert_eq!(choices(7, 500), choices(7, 500));
        assert_ne!(choices(7, 500), choices(8, 500));
    }

    #[test]
    fn all_behaviours_come_up() {
        let choices = choices(1, 50_000);
        for one in BEHAVIOURS {
            assert!(choices.contains(&one.name), "{}", one.name);
        }
    }

    #[test]
    fn what_is_dear_is_done_seldom_by_all_together() {
        for one in BEHAVIOURS.iter().zip(0..).filter(|(one, _)| one.rare > 0) {
            let (behaviour, place): (_, usize) = one;
            let all: u64 = (0..64)
                .map(|number| Seldom::new(100_000, number, 64).0[place])
                .sum();
            assert_eq!(all, 100_000 / behaviour.rare, "{}", behaviour.name);
        }
    }

    #[test]
    fn where_little_is_left_something_small_is_done() {
        let mut random = fastrand::Rng::with_seed(1);
        let mut seldom = Seldom::new(10, 63, 64);
        for side in [Side::Friendly, Side::Unfriendly] {
            for _ in 0..1_000 {
                let one = choose(&mut random, side, 1, &mut seldom);
                assert!(
                    one.most == 1 && one.rare == 0 && one.side == side,
                    "{}",
                    one.name
                );
            }
        }
    }
}
