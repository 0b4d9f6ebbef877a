//! What came of a run, for programs; `page` shows the same to people.

use std::collections::BTreeMap;
use std::time::Duration;

use serde::Serialize;
use time::OffsetDateTime;

use crate::agent::Notes;
use crate::behaviours::{ASIDE, BEHAVIOURS, Side};
use crate::check::Checked;
use crate::invariant::{Invariant, Violation};
use crate::race::Race;
use crate::run::Plan;
use crate::tally::{Sample, Spread, Stage, millis, rank};

/// What came of a run.
#[derive(Debug, Clone, Serialize)]
pub struct Report {
    /// Whether all invariants hold.
    pub holds: bool,
    pub(crate) setting: Setting,
    pub(crate) totals: Totals,
    pub(crate) invariants: Vec<Looked>,
    /// Table 7 of the paper: how long answers took, by method and stage.
    pub(crate) times: Vec<Times>,
    pub(crate) behaviours: Vec<Done>,
    pub(crate) spans: Spans,
    pub(crate) curves: Vec<Curve>,
    pub(crate) violations: Vec<Violation>,
}

/// How it was done.
#[derive(Debug, Clone, Serialize)]
pub(crate) struct Setting {
    pub(crate) version: &'static str,
    pub(crate) started: String,
    pub(crate) url: String,
    pub(crate) seed: u64,
    pub(crate) requests: u64,
    pub(crate) connections: usize,
    pub(crate) unfriendly: f64,
    /// Seconds of all, and of the requests after the users were made.
    pub(crate) seconds: f64,
    pub(crate) load_seconds: f64,
    pub(crate) processors: usize,
    pub(crate) race: Race,
}

impl Setting {
    pub(crate) fn new(
        plan: &Plan,
        started: OffsetDateTime,
        all: Duration,
        load: Duration,
        race: Race,
    ) -> Self {
        let (hour, minute, second) = started.to_hms();
        Self {
            version: env!("CARGO_PKG_VERSION"),
            started: format!("{} {hour:02}:{minute:02}:{second:02} UTC", started.date()),
            url: plan.url.clone(),
            seed: plan.seed,
            requests: plan.requests,
            connections: plan.connections,
            unfriendly: plan.unfriendly,
            seconds: tenths(all.as_secs_f64()),
            load_seconds: tenths(load.as_secs_f64()),
            processors: std::thread::available_parallelism().map_or(1, usize::from),
            race,
        }
    }
}

/// Sums of all requests.
#[derive(Debug, Clone, Serialize)]
pub(crate) struct Totals {
    pub(crate) requests: u64,
    pub(crate) friendly: u64,
    pub(crate) unfriendly: u64,
    pub(crate) accepted: u64,
    pub(crate) refused: u64,
    /// Honest answers that are neither: come later, or pending.
    pub(crate) later: u64,
    pub(crate) broken: u64,
    pub(crate) logs: usize,
    pub(crate) users: usize,
    pub(crate) receipts: usize,
}

/// An invariant, and how often it was looked at.
#[derive(Debug, Clone, Serialize)]
pub(crate) struct Looked {
    pub(crate) invariant: &'static str,
    pub(crate) of: &'static str,
    pub(crate) checked: u64,
    pub(crate) broken: u64,
}

/// A row of the paper's table 7.
#[derive(Debug, Clone, Serialize)]
pub(crate) struct Times {
    pub(crate) method: String,
    pub(crate) stage: &'static str,
    /// `accepted`, or `refused`.
    pub(crate) outcome: &'static str,
    pub(crate) count: usize,
    /// Milliseconds from asking to the whole answer.
    pub(crate) latency: Option<Spread>,
    /// Milliseconds that the gateway says it took.
    pub(crate) processing: Option<Spread>,
}

/// What became of the requests of one behaviour.
#[derive(Debug, Clone, Serialize)]
pub(crate) struct Done {
    pub(crate) name: &'static str,
    pub(crate) says: &'static str,
    pub(crate) side: Side,
    pub(crate) requests: u64,
    pub(crate) accepted: u64,
    pub(crate) refused: u64,
    pub(crate) later: u64,
    pub(crate) broken: u64,
}

/// The run in equal spans of time.
#[derive(Debug, Clone, Serialize)]
pub(crate) struct Spans {
    pub(crate) millis: u32,
    /// Answers in each: accepted, refused.
    pub(crate) answers: Vec<[u32; 2]>,
}

/// How long answers took: which share was there by when.
#[derive(Debug, Clone, Serialize)]
pub(crate) struct Curve {
    pub(crate) name: &'static str,
    /// Shares in percent, with milliseconds.
    pub(crate) points: Vec<(f64, f64)>,
}

impl Report {
    pub(crate) fn new(setting: Setting, notes: &Notes, checked: &Checked) -> Self {
        let sum = |count: fn(&crate::agent::Counts) -> u64| notes.counts.values().map(count).sum();
        let invariants = Invariant::ALL.into_iter().map(|invariant| {
            let (says, of) = invariant.says();
            let (checked, broken) = notes.held.count(invariant);
            Looked {
                invariant: says,
                of,
                checked,
                broken,
            }
        });
        Self {
            holds: notes.held.broken() == 0,
            totals: Totals {
                requests: notes.requests(),
                friendly: notes.friendly,
                unfriendly: notes.unfriendly,
                accepted: sum(|one| one.accepted),
                refused: sum(|one| one.refused),
                later: sum(|one| one.later),
                broken: sum(|one| one.broken),
                logs: checked.logs.count(),
                users: checked.users,
                receipts: checked.receipts,
            },
            setting,
            invariants: invariants.collect(),
            times: times(&notes.samples),
            behaviours: behaviours(notes),
            spans: spans(&notes.samples),
            curves: curves(&notes.samples),
            violations: notes.held.violations.clone(),
        }
    }

    /// What came of it, in a few lines.
    pub fn summary(&self) -> String {
        let Totals {
            requests,
            friendly,
            unfriendly,
            accepted,
            refused,
            later,
            broken,
            ..
        } = self.totals;
        let rate = requests as f64 / self.setting.seconds.max(0.1);
        let mut text = format!(
            "{requests} requests in {} s ({rate:.0}/s): {friendly} friendly, {unfriendly} unfriendly\n\
             {accepted} accepted, {refused} refused, {later} put off, {broken} broken; \
             {} logs, {} users, {} receipts checked\n",
            self.setting.seconds, self.totals.logs, self.totals.users, self.totals.receipts,
        );
        for one in self.invariants.iter().filter(|one| one.broken > 0) {
            text.push_str(&format!(
                "broken {} of {}: {}\n",
                one.broken, one.checked, one.invariant
            ));
        }
        for one in self.violations.iter().take(10) {
            text.push_str(&format!("  {}: {}\n", one.behaviour, one.what));
        }
        text
    }
}

fn times(samples: &[Sample]) -> Vec<Times> {
    let mut rows: BTreeMap<(Stage, String, bool), Vec<&Sample>> = BTreeMap::new();
    for sample in samples {
        let row = (sample.stage, sample.method.to_string(), !sample.accepted);
        rows.entry(row).or_default().push(sample);
    }
    let rows = rows
        .into_iter()
        .map(|((stage, method, refused), samples)| Times {
            method,
            stage: stage.word(),
            outcome: if refused { "refused" } else { "accepted" },
            count: samples.len(),
            latency: Spread::of(samples.iter().map(|one| one.latency).collect()),
            processing: Spread::of(samples.iter().filter_map(|one| one.processing).collect()),
        });
    rows.collect()
}

fn behaviours(notes: &Notes) -> Vec<Done> {
    let table = BEHAVIOURS.iter().map(|one| (one.name, one.says, one.side));
    let all = ASIDE.into_iter().chain(table);
    let done = all.map(|(name, says, side)| {
        let counts = notes.counts.get(name).copied().unwrap_or_default();
        Done {
            name,
            says,
            side,
            requests: counts.requests,
            accepted: counts.accepted,
            refused: counts.refused,
            later: counts.later,
            broken: counts.broken,
        }
    });
    done.collect()
}

/// Spans of a run, at most.
const SPANS_MAX: u32 = 80;

fn spans(samples: &[Sample]) -> Spans {
    let end = samples.iter().map(|one| one.at).max().unwrap_or_default();
    let millis = (end / SPANS_MAX).next_multiple_of(100).max(100);
    let mut answers = vec![[0; 2]; (end / millis + 1) as usize];
    for sample in samples {
        answers[(sample.at / millis) as usize][usize::from(!sample.accepted)] += 1;
    }
    Spans { millis, answers }
}

/// The paper's two: storing and consulting, with what of them is the gateway's own time.
fn curves(samples: &[Sample]) -> Vec<Curve> {
    let of = |stage: Stage| {
        samples
            .iter()
            .filter(move |one| one.accepted && one.stage == stage)
    };
    let latency = |stage| of(stage).map(|one| one.latency).collect();
    let processing = |stage| of(stage).filter_map(|one| one.processing).collect();
    [
        ("storing: latency", latency(Stage::Storing)),
        ("storing: processing", processing(Stage::Storing)),
        ("consulting: latency", latency(Stage::Consulting)),
        ("consulting: processing", processing(Stage::Consulting)),
    ]
    .into_iter()
    .filter_map(|(name, micros)| curve(name, micros))
    .collect()
}

fn curve(name: &'static str, mut micros: Vec<u32>) -> Option<Curve> {
    micros.sort_unstable();
    micros.first()?;
    let shares = (0..100).map(f64::from).chain([99.5, 99.9, 100.0]);
    let points = shares.map(|share| (share, millis(rank(&micros, share / 100.0))));
    Some(Curve {
        name,
        points: points.collect(),
    })
}

fn tenths(seconds: f64) -> f64 {
    (seconds * 10.0).round() / 10.0
}

#[cfg(test)]
pub(crate) mod tests {
    use reqwest::Method;

    use super::*;

    fn sample(at: u32, accepted: bool, latency: u32) -> Sample {
        Sample {
            method: Method::POST,
            stage: Stage::Storing,
            accepted,
            at,
            latency,
            processing: Some(latency / 2),
        }
    }

    #[test]
    fn what_was_accepted_and_what_was_refused_have_rows_of_their_own() {
        let samples = [
            sample(0, true, 4_000),
            sample(0, false, 1_000),
            sample(0, true, 2_000),
        ];
        let rows = times(&samples);
        let facts: Vec<_> = rows.iter().map(|row| (row.outcome, row.count)).collect();
        assert_eq!(facts, [("accepted", 2), ("refused", 1)]);
        assert_eq!(rows[0].latency.map(|spread| spread.p99), Some(4.0));
        assert_eq!(rows[0].processing.map(|spread| spread.p50), Some(1.0));
    }

    #[test]
    fn every_answer_is_in_one_span() {
        let samples: Vec<_> = (0..1_000).map(|n| sample(n * 97, n % 3 > 0, 1)).collect();
        let spans = spans(&samples);
        let sum: u32 = spans.answers.iter().flatten().sum();
        assert_eq!(sum, 1_000);
        assert!(spans.answers.len() <= SPANS_MAX as usize + 1);
        assert_eq!(super::spans(&[]).answers, [[0, 0]]);
    }

    #[test]
    fn a_curve_never_falls() {
        let curve = curve("x", vec![3_000, 1_000, 2_000, 9_000]).unwrap();
        assert!(
            curve
                .points
                .is_sorted_by(|one, next| one.0 < next.0 && one.1 <= next.1)
        );
        assert_eq!(curve.points.last(), Some(&(100.0, 9.0)));
    }

    /// A report with something of everything.
    pub(crate) fn report(broken: bool) -> Report {
        let mut notes = Notes::default();
        for number in 1..200 {
            notes
                .samples
                .push(sample(number * 50, number % 2 == 0, number * 100));
        }
        notes.friendly = 100;
        notes
            .held
            .check(Invariant::OneRoot, "race for root", !broken, || {
                "<b>two</b> & more".to_owned()
            });
        let race = Race {
            racers: 64,
            unfriendly: 32,
            slots: 1,
            roots: 1,
            millis: 120,
        };
        let plan = Plan {
            url: "https://127.0.0.1:8444".to_owned(),
            certificate: String::new(),
            ledger: None,
            requests: 1_000,
            connections: 8,
            unfriendly: 0.5,
            seed: 7,
            racers: 64,
        };
        let second = Duration::from_secs(1);
        let setting = Setting::new(&plan, OffsetDateTime::UNIX_EPOCH, 2 * second, second, race);
        let checked = Checked::default();
        Report::new(setting, &notes, &checked)
    }

    #[test]
    fn a_report_holds_if_nothing_is_broken() {
        assert!(report(false).holds);
        let broken = report(true);
        assert!(!broken.holds);
        assert!(
            broken.summary().contains("broken 1 of 1"),
            "{}",
            broken.summary()
        );
    }

    #[test]
    fn programs_read_the_same_facts() {
        let json = serde_json::to_value(report(true)).unwrap();
        assert_eq!(json["setting"]["seed"], 7);
        assert_eq!(
            json["invariants"].as_array().unwrap().len(),
            Invariant::ALL.len()
        );
        assert_eq!(json["violations"][0]["behaviour"], "race for root");
        assert_eq!(json["setting"]["started"], "1970-01-01 00:00:00 UTC");
    }
}
