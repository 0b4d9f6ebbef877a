//! The nodes' agreement in a world whose clock, network and chance come from a seed.
//!
//! What runs is what runs in a node: the Raft library, the adapter around it, reigns, offers, the log
//! with its ledger files, the order, recovery from them. What is simulated: time, which stands still
//! while anybody computes and jumps when all wait; the way between nodes; the executor's thread and
//! the log's, which are tasks here. So an hour of a network takes a minute, and a seed is played twice
//! the same way.
//!
//! - [`links`]: a way that loses, delays, repeats and reorders questions and answers.
//! - [`replica`]: a node that can be killed between any two steps of its log, and started again.
//! - [`history`]: what everybody saw, and what must hold of it.
//! - [`runtime`]: what the library's tasks run on.
//! - [`world`]: three replicas and what happens to them.

mod history;
mod links;
mod replica;
pub(super) mod runtime;
mod world;

use self::world::play;

/// Seeds played by default. `COUNTERFOIL_SIMULATIONS=FROM..TO` plays others.
const SEEDS: std::ops::Range<u64> = 1..7;

#[test]
fn whatever_fails_there_is_one_history_and_it_has_all_that_was_acknowledged() {
    let mut acknowledged = 0;
    for seed in seeds() {
        let played = play(seed);
        assert!(
            played.violations.is_empty(),
            "seed {seed}: {}\n{}",
            played.violations.join("\n"),
            played.story.join("\n")
        );
        eprintln!("seed {seed}: {}", played.summary);
        acknowledged += played.acknowledged;
    }
    assert!(acknowledged > 0, "nothing was ever written");
}

#[test]
fn a_seed_is_played_twice_the_same_way() {
    let (once, again) = (play(1), play(1));
    assert!(once.story.len() > 50, "little happened: {}", once.summary);
    for (line, (once, again)) in once.story.iter().zip(&again.story).enumerate() {
        assert_eq!(once, again, "line {line}");
    }
    assert_eq!(once.story.len(), again.story.len());
}

fn seeds() -> std::ops::Range<u64> {
    let Ok(wanted) = std::env::var("COUNTERFOIL_SIMULATIONS") else {
        return SEEDS;
    };
    let (from, to) = wanted.split_once("..").expect("FROM..TO");
    from.parse().expect("a seed")..to.parse().expect("a seed")
}
