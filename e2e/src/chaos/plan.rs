//! What goes wrong, and when: all of it follows from the seed.

use std::fmt;
use std::time::Duration;

use crate::random::Random;

/// A node, as a plan names it. Who it is shows when it happens.
#[derive(Debug, Clone, Copy)]
pub(crate) enum Who {
    /// Whoever leads; if nobody does, the node with this number.
    Leader(usize),
    /// The node with this number, among those that are part of the network.
    Number(usize),
}

/// How a link fails.
#[derive(Debug, Clone, Copy)]
pub(crate) enum Way {
    /// Connections break, and new ones are refused.
    Refuse,
    /// Nothing arrives; when the link is mended, all of it does.
    Hold,
    /// What is sent is lost.
    Swallow,
}

/// What a killed node was writing when its power was lost.
#[derive(Debug, Clone, Copy)]
pub(crate) enum Torn {
    /// Noise after the last whole batch of the ledger.
    Noise(u16),
    /// Zeros there: the file had grown, and its bytes had not arrived.
    Zeros(u16),
    /// The beginning of a batch there: bytes as they were written before.
    Batch(u16),
    /// The end of the index of places, which is not synced, is lost.
    Places(u16),
}

/// One thing that goes wrong.
#[derive(Debug, Clone, Copy)]
pub(crate) enum Fault {
    /// The node hears and is heard no more.
    Isolate(Who, Way),
    /// The node hears nothing, but is heard.
    Deaf(Who, Way),
    /// The node hears, but is not heard.
    Mute(Who, Way),
    /// Two nodes do not hear each other.
    Cut(Who, Who, Way),
    /// Nobody hears anybody.
    Scatter(Way),
    /// All that is sent to the node is late.
    Late(Who, Duration),
    /// All links are slow: so many bytes a second.
    Slow(u32),
    /// The node's process is killed.
    Kill(Who),
    /// It is killed while it was writing.
    KillTorn(Who, Torn),
    /// Two nodes are killed at the same moment.
    KillTwo(Who, Who),
    /// All nodes are killed at the same moment.
    KillAll,
    /// The node's process is stopped in its tracks, and goes on later.
    Pause(Who),
    /// All processes are, but one.
    PauseOthers(Who),
    /// The node is asked to stop.
    Stop(Who),
    /// The disk of the one node whose disk is small is full.
    FullDisk,
    /// The node's clock jumps by so many seconds.
    Clock(Who, i64),
    /// Members ask this node for a new ledger secret. It may come to nothing.
    Rekey(Who),
    /// Members remove the node, and let another one join.
    Replace(Who),
}

/// Something that happens.
#[derive(Debug, Clone, Copy)]
pub(crate) enum Event {
    /// A fault begins.
    Begin(Fault),
    /// The fault with this number ends.
    End,
}

/// What goes wrong in one run.
#[derive(Debug)]
pub(crate) struct Plan {
    /// Nodes at the beginning.
    pub(crate) nodes: usize,
    /// The node whose disk is small.
    pub(crate) small_disk: Option<usize>,
    /// Whether clocks jump.
    pub(crate) clocks: bool,
    /// When, which fault, and what with it; in the order in which it happens.
    pub(crate) events: Vec<(Duration, usize, Event)>,
}

impl Plan {
    /// The plan of this seed, for so long.
    pub(crate) fn of(seed: u64, time: Duration) -> Self {
        let mut random = Random::new(seed);
        let nodes = if random.below(5) == 0 { 5 } else { 3 };
        let small_disk = (random.below(4) == 0).then(|| random.below(nodes));
        let clocks = random.below(4) == 0;
        let mut replaces = random.below(4) == 0;
        let mut events = Vec::new();
        let mut at = random.millis(200, 600);
        let mut name = 0;
        while at < time {
            let lasts = match random.below(4) {
                0 => random.millis(30, 400),
                1 | 2 => random.millis(400, 1_800),
                _ => random.millis(1_800, 4_500),
            };
            let fault = fault(&mut random, nodes, small_disk.is_some(), clocks, replaces);
            replaces &= !matches!(fault, Fault::Replace(_));
            events.push((at, name, Event::Begin(fault)));
            events.push((at + lasts, name, Event::End));
            name += 1;
            at += match random.below(3) {
                0 => random.millis(20, 300),
                _ => random.millis(300, 1_500),
            };
        }
        // From another source of chance, so that all else stays what it is without.
        let mut random = Random::new(!seed.rotate_left(17));
        for _ in 0..random.below(4) {
            let at = random.millis(200, time.as_millis() as u64);
            let rekey = Fault::Rekey(who(&mut random, nodes));
            events.push((at, name, Event::Begin(rekey)));
            events.push((at, name, Event::End));
            name += 1;
        }
        events.sort_by_key(|(at, name, _)| (*at, *name));
        Self {
            nodes,
            small_disk,
            clocks,
            events,
        }
    }
}

fn fault(random: &mut Random, nodes: usize, disk: bool, clocks: bool, replaces: bool) -> Fault {
    let one = who(random, nodes);
    let other = who(random, nodes);
    let way = match random.below(3) {
        0 => Way::Refuse,
        1 => Way::Hold,
        _ => Way::Swallow,
    };
    let amount = u16::try_from(1 + random.below(6_000)).unwrap_or(1);
    let torn = match random.below(4) {
        0 => Torn::Noise(amount),
        1 => Torn::Zeros(amount),
        2 => Torn::Batch(amount),
        _ => Torn::Places(amount),
    };
    if disk && random.below(6) == 0 {
        return Fault::FullDisk;
    }
    if clocks && random.below(4) == 0 {
        let seconds = [-86_400, -3_600, -30, -1, 1, 30, 3_600, 86_400];
        return Fault::Clock(one, seconds[random.below(seconds.len())]);
    }
    if replaces && random.below(4) == 0 {
        return Fault::Replace(one);
    }
    match random.below(26) {
        0..3 => Fault::Isolate(one, way),
        3 => Fault::Deaf(one, way),
        4 => Fault::Mute(one, way),
        5..8 => Fault::Cut(one, other, way),
        8 => Fault::Scatter(way),
        9 | 10 => Fault::Late(one, random.millis(10, 500)),
        11 => Fault::Slow([4_000, 20_000, 100_000][random.below(3)]),
        12..15 => Fault::Kill(one),
        15..18 => Fault::KillTorn(one, torn),
        18 => Fault::KillTwo(one, other),
        19 => Fault::KillAll,
        20..23 => Fault::Pause(one),
        23 => Fault::PauseOthers(one),
        _ => Fault::Stop(one),
    }
}

/// The leader more often than by chance: there it hurts.
fn who(random: &mut Random, nodes: usize) -> Who {
    let number = random.below(nodes);
    match random.below(2) {
        0 => Who::Leader(number),
        _ => Who::Number(number),
    }
}

impl fmt::Display for Fault {
    fn fmt(&self, out: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(out, "{self:?}")
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_seed_always_makes_the_same_plan() {
        let plan = |seed| format!("{:?}", Plan::of(seed, Duration::from_secs(20)));
        for seed in 0..50 {
            assert_eq!(plan(seed), plan(seed));
        }
        assert_ne!(plan(1), plan(2));
    }

    #[test]
    fn what_begins_ends() {
        for seed in 0..50 {
            let plan = Plan::of(seed, Duration::from_secs(20));
            let begun = plan
                .events
                .iter()
                .filter(|(_, _, event)| matches!(event, Event::Begin(_)));
            assert_eq!(begun.count() * 2, plan.events.len());
        }
    }
}
