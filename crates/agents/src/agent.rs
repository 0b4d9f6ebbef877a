//! Whoever calls the services: sends a request, judges the answer by what was expected, and notes both.

use std::collections::BTreeMap;
use std::sync::Arc;
use std::time::Instant;

use serde_json::Value;

use crate::book::{Book, Doubt, Event};
use crate::expect::{Expected, Outcome};
use crate::invariant::{Held, Invariant};
use crate::progress::Progress;
use crate::tally::{Sample, Stage};
use crate::wire::{Answer, Ask, Unanswered, Wire};

/// What became of the requests of one behaviour.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
pub(crate) struct Counts {
    pub(crate) requests: u64,
    pub(crate) accepted: u64,
    pub(crate) refused: u64,
    pub(crate) later: u64,
    pub(crate) broken: u64,
}

/// What somebody noted.
#[derive(Debug, Default)]
pub(crate) struct Notes {
    pub(crate) samples: Vec<Sample>,
    pub(crate) book: Book,
    pub(crate) held: Held,
    pub(crate) counts: BTreeMap<&'static str, Counts>,
    pub(crate) friendly: u64,
    pub(crate) unfriendly: u64,
    /// Answers to stores, some of all, whose receipts are checked in the end.
    pub(crate) proofs: Vec<Value>,
    pub(crate) stores: u64,
}

impl Notes {
    pub(crate) const fn requests(&self) -> u64 {
        self.friendly + self.unfriendly
    }

    pub(crate) fn merge(&mut self, other: Self) {
        self.samples.extend(other.samples);
        self.book.merge(other.book);
        self.held.merge(other.held);
        for (name, counts) in other.counts {
            let sum = self.counts.entry(name).or_default();
            sum.requests += counts.requests;
            sum.accepted += counts.accepted;
            sum.refused += counts.refused;
            sum.later += counts.later;
            sum.broken += counts.broken;
        }
        self.friendly += other.friendly;
        self.unfriendly += other.unfriendly;
        self.proofs.extend(other.proofs);
        self.stores += other.stores;
    }
}

/// Somebody with a connection.
#[derive(Debug)]
pub(crate) struct Caller {
    pub(crate) name: String,
    pub(crate) wire: Wire,
    pub(crate) random: fastrand::Rng,
    pub(crate) notes: Notes,
    /// What they are at.
    pub(crate) behaviour: &'static str,
    /// How many answers to stores they keep, for their receipts.
    pub(crate) proofs_max: usize,
    began: Instant,
    progress: Arc<Progress>,
}

/// What became of a request.
#[derive(Debug)]
pub(crate) struct Told {
    pub(crate) outcome: Outcome,
    answer: Option<Answer>,
}

impl Told {
    /// The JSON of what was done; `None` if it was not.
    pub(crate) fn done(&self) -> Option<Value> {
        match self.outcome {
            Outcome::Accepted => self.answer.as_ref().map(Answer::json),
            _ => None,
        }
    }

    pub(crate) fn is_done(&self) -> bool {
        self.outcome == Outcome::Accepted
    }

    /// Whether it may have been done, and nobody knows.
    pub(crate) const fn is_in_doubt(&self) -> bool {
        matches!(self.outcome, Outcome::Pending | Outcome::Unanswered(_))
    }

    /// What was said, for people.
    pub(crate) fn said(&self) -> String {
        match (&self.outcome, &self.answer) {
            (Outcome::Unanswered(why), _) => why.clone(),
            (_, answer) => answer.as_ref().map(Answer::said).unwrap_or_default(),
        }
    }
}

impl Caller {
    pub(crate) fn new(
        name: String,
        wire: Wire,
        seed: u64,
        began: Instant,
        progress: Arc<Progress>,
    ) -> Self {
        Self {
            name,
            wire,
            random: fastrand::Rng::with_seed(seed),
            notes: Notes::default(),
            behaviour: "",
            proofs_max: 0,
            began,
            progress,
        }
    }

    /// A friendly request, or one that has to be refused.
    pub(crate) async fn ask(&mut self, ask: Ask, expected: Expected) -> Told {
        let answer = self.wire.send(&ask).await;
        self.judge(&ask, expected, answer, expected.is_refusal())
    }

    /// A request that is answered, though whoever sends it is up to no good.
    pub(crate) async fn ask_unfriendly(&mut self, ask: Ask, expected: Expected) -> Told {
        let answer = self.wire.send(&ask).await;
        self.judge(&ask, expected, answer, true)
    }

    /// Two friendly requests at the same time.
    pub(crate) async fn ask_both(&mut self, asks: [Ask; 2], expected: Expected) -> [Told; 2] {
        let [one, other] = &asks;
        let (first, second) = tokio::join!(self.wire.send(one), self.wire.send(other));
        [
            self.judge(one, expected, first, false),
            self.judge(other, expected, second, false),
        ]
    }

    fn judge(
        &mut self,
        ask: &Ask,
        expected: Expected,
        answer: Result<Answer, Unanswered>,
        unfriendly: bool,
    ) -> Told {
        let outcome = expected.judge(&answer);
        self.progress.count(&outcome);
        self.note(ask, &outcome, &answer);
        match unfriendly {
            true => self.notes.unfriendly += 1,
            false => self.notes.friendly += 1,
        }
        let said = || match &answer {
            Ok(answer) => answer.said(),
            Err(unanswered) => unanswered.why.clone(),
        };
        let request = self.notes.requests();
        let what = || {
            let (name, Ask { method, path, .. }) = (&self.name, ask);
            let path = crate::wire::cut(path, 120);
            let expected = expected.in_words();
            format!(
                "{name}, request {request}: {method} {path} had to be {expected}, and was {}",
                said()
            )
        };
        let (held, behaviour) = (&mut self.notes.held, self.behaviour);
        let unanswered = matches!(outcome, Outcome::Unanswered(_));
        held.check(Invariant::Answered, behaviour, !unanswered, what);
        if let Ok(answer) = &answer {
            let broken = matches!(outcome, Outcome::Broken(_));
            held.check(Invariant::AsExpected, behaviour, !broken, what);
            let fault = broken && answer.status >= 500;
            held.check(Invariant::NoFaults, behaviour, !fault, what);
            // What the HTTP library refuses before the gateway hears of it has no word.
            let by_library = outcome == Outcome::Refused && answer.problem.is_none();
            if (400..500).contains(&answer.status) && !by_library {
                held.check(
                    Invariant::RefusalsSayWhy,
                    behaviour,
                    answer.problem_is_whole,
                    what,
                );
            }
        }
        Told {
            outcome,
            answer: answer.ok(),
        }
    }

    fn note(&mut self, ask: &Ask, outcome: &Outcome, answer: &Result<Answer, Unanswered>) {
        let counts = self.notes.counts.entry(self.behaviour).or_default();
        counts.requests += 1;
        match outcome {
            Outcome::Accepted => counts.accepted += 1,
            Outcome::Refused => counts.refused += 1,
            Outcome::Later | Outcome::Pending => counts.later += 1,
            Outcome::Unanswered(_) | Outcome::Broken(_) => counts.broken += 1,
        }
        let accepted = match outcome {
            Outcome::Accepted => true,
            Outcome::Refused => false,
            _ => return,
        };
        let (latency, processing) = match answer {
            Ok(answer) => (answer.latency, answer.processing),
            Err(unanswered) => (unanswered.latency, None),
        };
        let micros =
            |span: std::time::Duration| u32::try_from(span.as_micros()).unwrap_or(u32::MAX);
        self.notes.samples.push(Sample {
            method: ask.method.clone(),
            stage: Stage::of(&ask.method, &ask.path),
            accepted,
            at: u32::try_from(self.began.elapsed().as_millis()).unwrap_or(u32::MAX),
            latency: micros(latency),
            processing: processing.map(micros),
        });
    }

    /// Looks at one of the invariants.
    pub(crate) fn check(
        &mut self,
        invariant: Invariant,
        holds: bool,
        what: impl FnOnce() -> String,
    ) -> bool {
        let name = &self.name;
        self.notes.held.check(invariant, self.behaviour, holds, || {
            format!("{name}: {}", what())
        })
    }

    /// Notes that there has to be an event. `tx` and `hash` where they are known.
    pub(crate) fn book(
        &mut self,
        (record, version): (String, u64),
        (who, how): (&str, &'static str),
        tx: Option<&str>,
        hash: Option<&str>,
    ) {
        self.notes.book.events.push(Event {
            record,
            version,
            who: who.to_owned(),
            how,
            tx: tx.map(str::to_owned),
            hash: hash.map(str::to_owned),
            behaviour: self.behaviour,
        });
    }

    /// Notes that there may be an event, if it is not known what became of a request.
    pub(crate) fn doubt(
        &mut self,
        told: &Told,
        (who, how): (&str, &'static str),
        record: Option<&str>,
        did: Option<&str>,
    ) {
        if told.is_in_doubt() {
            self.notes.book.doubts.push(Doubt {
                who: who.to_owned(),
                how,
                record: record.map(str::to_owned),
                did: did.map(str::to_owned),
            });
        }
    }

    /// Keeps the answer to a store, perhaps: each of all of them is as likely to be kept.
    pub(crate) fn keep_proof(&mut self, answer: Value) {
        self.notes.stores += 1;
        if self.notes.proofs.len() < self.proofs_max {
            return self.notes.proofs.push(answer);
        }
        let place = self.random.u64(..self.notes.stores);
        if let Ok(place) = usize::try_from(place)
            && let Some(kept) = self.notes.proofs.get_mut(place)
        {
            *kept = answer;
        }
    }
}
