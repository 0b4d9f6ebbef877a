//! Carries out what a plan says, and undoes it.

use std::fmt::Write as _;
use std::process::Child;
use std::sync::Arc;
use std::sync::atomic::Ordering;
use std::thread;
use std::time::{Duration, Instant};

use anyhow::{Context, Result, bail, ensure};
use serde_json::Value;

use super::plan::{Event, Fault, Plan, Way, Who};
use super::stage::Stage;
use super::torn;
use super::witness::Witness;
use crate::proxy::{Effect, Nodes, Rule};
use crate::random::Random;

/// A node that is not ready by then never will be, when nothing is in its way.
const READY_WITHIN: Duration = Duration::from_secs(30);
/// Decisions of members are carried out by then.
const DECIDED_WITHIN: Duration = Duration::from_secs(40);
/// Who asks while something is wrong is told by then, once nothing is wrong any more.
const ANSWERED_WITHIN: Duration = Duration::from_secs(5);
const LOOK: Duration = Duration::from_millis(50);

/// What a node's process does.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum State {
    /// It was started, and may not be ready yet.
    Begun,
    Ready,
    /// This fault keeps it from going on.
    Paused(usize),
    /// This fault asked it to stop.
    Stopping(usize),
    /// This fault ended it.
    Down(usize),
    /// It ended because its disk was full.
    Full,
    /// It is part of the network no more.
    Gone,
}

pub(crate) struct Nemesis<'a> {
    pub(crate) stage: &'a mut Stage,
    witness: Arc<Witness>,
    random: Random,
    states: Vec<State>,
    /// The fault that makes the small disk full.
    full: Option<usize>,
    /// The small disk was full in the life of its node.
    was_full: bool,
    /// What members ask for while other things go wrong.
    asking: Vec<Child>,
    begun: Instant,
    /// What was done, line by line.
    pub(crate) story: String,
    aloud: bool,
}

impl<'a> Nemesis<'a> {
    pub(crate) fn new(
        stage: &'a mut Stage,
        witness: &Arc<Witness>,
        seed: u64,
        aloud: bool,
    ) -> Self {
        let states = vec![State::Ready; stage.network.nodes.len()];
        Self {
            stage,
            witness: Arc::clone(witness),
            random: Random::new(!seed),
            states,
            full: None,
            was_full: false,
            asking: Vec::new(),
            begun: Instant::now(),
            story: String::new(),
            aloud,
        }
    }

    /// All of a plan, one thing after the other.
    pub(crate) fn run(&mut self, plan: &Plan) -> Result<()> {
        // What takes its time moves all that is later.
        let mut start = Instant::now();
        for (at, name, event) in &plan.events {
            while let left = at.saturating_sub(start.elapsed())
                && !left.is_zero()
            {
                thread::sleep(left.min(LOOK));
                self.look_after()?;
            }
            match event {
                Event::Begin(Fault::Replace(who)) => {
                    let before = Instant::now();
                    self.calm()?;
                    self.replace(*who)?;
                    start += before.elapsed();
                }
                Event::Begin(fault) => self.begin(*name, *fault)?,
                Event::End => self.end(*name)?,
            }
        }
        Ok(())
    }

    /// Ends all that is wrong, and waits until all nodes are ready.
    pub(crate) fn calm(&mut self) -> Result<()> {
        let names: Vec<usize> = self.states.iter().filter_map(|state| state.by()).collect();
        for name in names {
            self.end(name)?;
        }
        self.stage.links.mend_all();
        if let Some(name) = self.full {
            self.end(name)?;
        }
        for place in 0..self.states.len() {
            self.set_clock(place, 0)?;
            if self.states[place] == State::Full {
                self.start(place)?;
            }
        }
        for place in 0..self.states.len() {
            if self.states[place] == State::Begun {
                let ready = self.stage.network.nodes[place].begun_within(READY_WITHIN);
                ready.with_context(|| format!("node {place} does not start"))?;
                self.states[place] = State::Ready;
            }
        }
        self.look_after()?;
        self.tell("all is well again");
        self.asked();
        Ok(())
    }

    /// Waits a little for the answers to what members asked, and no longer.
    fn asked(&mut self) {
        let begun = Instant::now();
        for mut child in self.asking.drain(..) {
            while matches!(child.try_wait(), Ok(None)) && begun.elapsed() < ANSWERED_WITHIN {
                thread::sleep(LOOK);
            }
            // One that has ended is only reaped.
            let _ = child.kill();
            let _ = child.wait();
        }
    }

    /// The nodes that are part of the network.
    pub(crate) fn members(&self) -> Vec<usize> {
        let places = 0..self.states.len();
        places
            .filter(|place| self.states[*place] != State::Gone)
            .collect()
    }

    fn begin(&mut self, name: usize, fault: Fault) -> Result<()> {
        let links = Arc::clone(&self.stage.links);
        let harm = |from, to, effect| links.harm(name, Rule { from, to, effect });
        let set = |place| Nodes::of(&[place]);
        let mut told = format!("{name}: {fault}");
        match fault {
            Fault::Isolate(who, way) => {
                let one = set(self.find(who, &mut told));
                harm(one, one.others(), effect(way));
                harm(one.others(), one, effect(way));
            }
            Fault::Deaf(who, way) => {
                let one = set(self.find(who, &mut told));
                harm(one.others(), one, effect(way));
            }
            Fault::Mute(who, way) => {
                let one = set(self.find(who, &mut told));
                harm(one, one.others(), effect(way));
            }
            Fault::Cut(one, other, way) => {
                let one = set(self.find(one, &mut told));
                let other = set(self.find(other, &mut told));
                harm(one, other, effect(way));
                harm(other, one, effect(way));
            }
            Fault::Scatter(way) => harm(Nodes::ALL, Nodes::ALL, effect(way)),
            Fault::Late(who, time) => {
                let one = set(self.find(who, &mut told));
                harm(Nodes::ALL, one, Effect::Delay(time));
            }
            Fault::Slow(rate) => harm(Nodes::ALL, Nodes::ALL, Effect::Throttle(rate)),
            Fault::Kill(who) => {
                let place = self.find(who, &mut told);
                self.kill(name, place)?;
            }
            Fault::KillTorn(who, torn) => {
                let place = self.find(who, &mut told);
                if self.kill(name, place)? {
                    let folder = self.stage.network.nodes[place].folder();
                    let done = torn::tear(folder, torn, &mut self.random)?;
                    let _ = write!(told, ", {done}");
                }
            }
            Fault::KillTwo(one, other) => {
                for who in [one, other] {
                    let place = self.find(who, &mut told);
                    self.kill(name, place)?;
                }
            }
            Fault::KillAll => {
                for place in self.members() {
                    self.kill(name, place)?;
                }
            }
            Fault::Pause(who) => {
                let place = self.find(who, &mut told);
                self.pause(name, place)?;
            }
            Fault::PauseOthers(who) => {
                let but = self.find(who, &mut told);
                for place in self.members() {
                    if place != but {
                        self.pause(name, place)?;
                    }
                }
            }
            Fault::Stop(who) => {
                let place = self.find(who, &mut told);
                if self.states[place] == State::Ready {
                    self.stage.network.nodes[place].signal("TERM")?;
                    self.states[place] = State::Stopping(name);
                }
            }
            Fault::FullDisk => match &self.stage.disk {
                Some((place, disk)) if self.full.is_none() => {
                    disk.fill()?;
                    self.full = Some(name);
                    self.was_full = true;
                    self.stage.targets.all()[*place]
                        .sick
                        .store(true, Ordering::SeqCst);
                }
                Some(_) => told.push_str(", which it is already"),
                None => told.push_str(", skipped: no small disk can be mounted here"),
            },
            Fault::Clock(who, seconds) => {
                let place = self.find(who, &mut told);
                if !self.set_clock(place, seconds)? {
                    told.push_str(", skipped: libfaketime is not installed");
                }
            }
            Fault::Rekey(who) => {
                let place = self.find(who, &mut told);
                let network = &self.stage.network;
                let asking = network.begin_proposing(place, &["trigger_ledger_rekey"])?;
                self.asking.push(asking);
            }
            Fault::Replace(_) => bail!("a node is replaced in the calm"),
        }
        self.tell(&told);
        Ok(())
    }

    fn end(&mut self, name: usize) -> Result<()> {
        self.stage.links.mend(name);
        let mut told = format!("{name} ends");
        if self.full == Some(name)
            && let Some((place, disk)) = &self.stage.disk
        {
            disk.clear()?;
            self.full = None;
            self.stage.targets.all()[*place]
                .sick
                .store(false, Ordering::SeqCst);
            if self.states[*place] == State::Full {
                self.states[*place] = State::Down(name);
            }
        }
        for place in 0..self.states.len() {
            if self.states[place].by() != Some(name) {
                continue;
            }
            let node = &mut self.stage.network.nodes[place];
            match self.states[place] {
                State::Paused(_) => {
                    node.signal("CONT")?;
                    self.states[place] = State::Begun;
                    let _ = write!(told, ", {place} goes on");
                }
                State::Stopping(_) => {
                    let stopped = node.stopped();
                    if let Err(error) = stopped {
                        let excused = self.excused(place);
                        if !excused {
                            let what = format!("node {place} does not stop: {error:#}");
                            self.witness.violation(what);
                        }
                    }
                    self.start(place)?;
                    let _ = write!(told, ", {place} starts again after it stopped");
                }
                State::Down(_) => {
                    self.start(place)?;
                    let _ = write!(told, ", {place} starts again");
                }
                State::Begun | State::Ready | State::Full | State::Gone => {}
            }
        }
        self.tell(&told);
        Ok(())
    }

    /// Whether it was there to be killed.
    fn kill(&mut self, name: usize, place: usize) -> Result<bool> {
        let there = !matches!(
            self.states[place],
            State::Down(_) | State::Full | State::Gone
        );
        if there {
            // One that is just stopping may be gone already.
            let killed = self.stage.network.nodes[place].kill();
            if !matches!(self.states[place], State::Stopping(_)) {
                killed?;
            }
            self.states[place] = State::Down(name);
        }
        Ok(there)
    }

    fn pause(&mut self, name: usize, place: usize) -> Result<()> {
        if matches!(self.states[place], State::Ready | State::Begun) {
            self.stage.network.nodes[place].signal("STOP")?;
            self.states[place] = State::Paused(name);
        }
        Ok(())
    }

    fn start(&mut self, place: usize) -> Result<()> {
        let small = self.stage.disk.as_ref().is_some_and(|(at, _)| *at == place);
        if small && self.full.is_some() {
            self.states[place] = State::Full;
            return Ok(());
        }
        if small {
            self.was_full = false;
        }
        self.stage.targets.all()[place]
            .lives
            .fetch_add(1, Ordering::SeqCst);
        self.stage.network.nodes[place].begin()?;
        self.states[place] = State::Begun;
        Ok(())
    }

    /// Notices nodes that ended by themselves.
    fn look_after(&mut self) -> Result<()> {
        for place in 0..self.states.len() {
            if self.states[place] == State::Begun && self.stage.network.nodes[place].has_begun() {
                self.states[place] = State::Ready;
            }
            let running = matches!(self.states[place], State::Ready | State::Begun);
            let Some(status) = running
                .then(|| self.stage.network.nodes[place].ended())
                .transpose()?
                .flatten()
            else {
                continue;
            };
            self.tell(&format!("node {place} ended by itself: {status}"));
            if self.excused(place) {
                self.states[place] = State::Full;
                if self.full.is_none() {
                    self.start(place)?;
                }
                continue;
            }
            let log = self.stage.network.nodes[place].log();
            let last: Vec<&str> = log.lines().rev().take(5).collect();
            self.witness.violation(format!(
                "node {place} ended by itself ({status}): {}",
                last.into_iter().rev().collect::<Vec<_>>().join("\n    ")
            ));
            self.start(place)?;
        }
        Ok(())
    }

    /// Whether the node may end by itself: its disk is full, or was.
    fn excused(&self, place: usize) -> bool {
        let small = self.stage.disk.as_ref();
        small.is_some_and(|(at, _)| *at == place) && self.was_full
    }

    fn set_clock(&self, place: usize, seconds: i64) -> Result<bool> {
        match &self.stage.clocks[place] {
            Some(clock) => clock.set(seconds).map(|()| true),
            None => Ok(false),
        }
    }

    /// Members remove a node, and let another one join. Nothing else is wrong meanwhile.
    fn replace(&mut self, who: Who) -> Result<()> {
        let mut told = "replacing".to_owned();
        let place = self.find(who, &mut told);
        self.tell(&told);
        let http = self.stage.targets.all()[place].http.clone();
        let count = self.members().len();
        let own: Value = block_on(async move { http.get_json("/node/network/nodes/self").await })?;
        let id = own["node_id"].as_str().context("a node has an id")?;
        let action = ["remove_node", &format!("node_id={id}")];
        let asked = Instant::now();
        // It may be that it was accepted, and nobody heard: then it cannot be again.
        while self.decide(id) != Some(false) {
            ensure!(asked.elapsed() < DECIDED_WITHIN, "node {place} stays");
            if let Err(error) = self.stage.network.propose(&action) {
                self.tell(&format!("removing node {place}: {error:#}"));
            }
            let looked = Instant::now();
            while self.decide(id) != Some(false) && looked.elapsed() < Duration::from_secs(5) {
                thread::sleep(LOOK);
            }
        }
        self.stage.targets.all()[place]
            .serves
            .store(false, Ordering::SeqCst);
        // It may have ended when it was told.
        let _ = self.stage.network.nodes[place].kill();
        self.states[place] = State::Gone;
        self.tell(&format!("node {place} is removed"));
        // Who asks to join is not yet told to be patient.
        self.stage.network.leader()?;
        self.stage.join().context("another node joins")?;
        self.states.push(State::Ready);
        self.stage.network.all_decide(count)?;
        self.tell(&format!("node {} has joined", self.states.len() - 1));
        Ok(())
    }

    /// Whether the leader says that the node decides; `None` if nobody says.
    fn decide(&self, id: &str) -> Option<bool> {
        let standings = self.members().into_iter();
        let mut standings = standings.filter_map(|place| self.stage.network.standing(place));
        let leads = standings.find(|standing| standing.leadership_state == "Leader")?;
        Some(leads.deciding.iter().any(|other| other == id))
    }

    /// Who that is, now.
    fn find(&self, who: Who, told: &mut String) -> usize {
        let members = self.members();
        let place = match who {
            Who::Number(number) => members[number % members.len()],
            Who::Leader(number) => {
                let leader = members.iter().find(|place| {
                    let asks = self.states[**place] == State::Ready;
                    let standing = asks.then(|| self.stage.network.standing(**place));
                    standing
                        .flatten()
                        .is_some_and(|standing| standing.leadership_state == "Leader")
                });
                leader.copied().unwrap_or(members[number % members.len()])
            }
        };
        let _ = write!(told, " -> {place}");
        place
    }

    fn tell(&mut self, what: &str) {
        let at = self.begun.elapsed();
        let line = format!("{:8.3} s  {what}", at.as_secs_f64());
        if self.aloud {
            eprintln!("{line}");
        }
        self.story.push_str(&line);
        self.story.push('\n');
    }
}

impl State {
    /// The fault that is to blame.
    const fn by(self) -> Option<usize> {
        match self {
            Self::Paused(name) | Self::Stopping(name) | Self::Down(name) => Some(name),
            Self::Begun | Self::Ready | Self::Full | Self::Gone => None,
        }
    }
}

const fn effect(way: Way) -> Effect {
    match way {
        Way::Refuse => Effect::Refuse,
        Way::Hold => Effect::Hold,
        Way::Swallow => Effect::Swallow,
    }
}

fn block_on<T>(work: impl Future<Output = Result<T>>) -> Result<T> {
    let runtime = tokio::runtime::Builder::new_current_thread()
        .enable_all()
        .build()?;
    runtime.block_on(work)
}
