//! Which events there have to be, and whether just these are there. Pure.

use std::collections::{BTreeMap, HashMap};

use serde_json::Value;

use crate::invariant::{Held, Invariant};

/// Found when all was over, and not by one behaviour.
const IN_THE_END: &str = "the check at the end";

/// An event that an accepted request made.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) struct Event {
    pub(crate) record: String,
    pub(crate) version: u64,
    pub(crate) who: String,
    pub(crate) how: &'static str,
    /// Its transaction, where the answer said it.
    pub(crate) tx: Option<String>,
    /// Its hash, where it is known here.
    pub(crate) hash: Option<String>,
    pub(crate) behaviour: &'static str,
}

/// An event whose record's name the answer does not tell.
#[derive(Debug, Clone, PartialEq, Eq, Hash)]
pub(crate) struct Unnamed {
    pub(crate) who: String,
    pub(crate) how: &'static str,
    pub(crate) did: String,
}

/// An event that may be there, once at most: nobody knows what became of the request.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) struct Doubt {
    pub(crate) who: String,
    pub(crate) how: &'static str,
    pub(crate) record: Option<String>,
    pub(crate) did: Option<String>,
}

/// All of them.
#[derive(Debug, Clone, Default)]
pub(crate) struct Book {
    pub(crate) events: Vec<Event>,
    pub(crate) unnamed: Vec<Unnamed>,
    pub(crate) doubts: Vec<Doubt>,
}

/// An event as the services show it in their logs.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) struct Log {
    pub(crate) record: String,
    pub(crate) version: u64,
    pub(crate) who: String,
    pub(crate) how: String,
    pub(crate) did: String,
    pub(crate) hash: String,
    pub(crate) tx: Option<String>,
}

impl Log {
    /// Reads one.
    pub(crate) fn read(log: &Value) -> Option<Self> {
        let event = &log["event"];
        let text = |value: &Value| value.as_str().map(str::to_owned);
        Some(Self {
            record: text(&event["record"])?,
            version: event["version"].as_u64()?,
            who: text(&event["who"])?,
            how: text(&event["how"])?,
            did: text(&event["what"]["did"])?,
            hash: text(&event["what"]["hash"])?,
            tx: text(&log["transactionAddress"]),
        })
    }

    fn in_words(&self) -> String {
        format!(
            "{} of {} (version {}) by {}, who did {:?}",
            self.how, self.record, self.version, self.who, self.did
        )
    }
}

impl Doubt {
    fn fits(&self, log: &Log) -> bool {
        let is = |known: &Option<String>, text: &str| known.as_ref().is_none_or(|one| one == text);
        self.who == log.who
            && self.how == log.how
            && is(&self.record, &log.record)
            && is(&self.did, &log.did)
    }
}

impl Book {
    pub(crate) fn merge(&mut self, other: Self) {
        self.events.extend(other.events);
        self.unnamed.extend(other.unnamed);
        self.doubts.extend(other.doubts);
    }

    /// Compares it with all logs that there are.
    pub(crate) fn compare(&self, logs: &[Log], held: &mut Held) {
        let mut places: HashMap<(&str, u64), usize> = HashMap::new();
        let mut asked_for = vec![false; logs.len()];
        for (place, log) in logs.iter().enumerate() {
            places.entry((&log.record, log.version)).or_insert(place);
        }
        for event in &self.events {
            let place = places.get(&(&event.record[..], event.version)).copied();
            let place = place.filter(|&place| !asked_for[place]);
            let wrong = place.map_or(Some("has no log, or shares one"), |place| {
                asked_for[place] = true;
                differs(event, &logs[place])
            });
            held.check(
                Invariant::AcceptedAreLogged,
                event.behaviour,
                wrong.is_none(),
                || {
                    let Event {
                        record,
                        version,
                        who,
                        how,
                        ..
                    } = event;
                    let wrong = wrong.unwrap_or_default();
                    format!(
                        "{how} of {record} (version {version}) by {who} was accepted, and {wrong}"
                    )
                },
            );
        }
        self.compare_unnamed(logs, &mut asked_for, held);
        for doubt in &self.doubts {
            let fits = |&(place, log): &(usize, &Log)| !asked_for[place] && doubt.fits(log);
            if let Some((place, _)) = logs.iter().enumerate().find(fits) {
                asked_for[place] = true;
            }
        }
        for (log, asked_for) in logs.iter().zip(asked_for) {
            held.check(
                Invariant::NothingElseIsLogged,
                IN_THE_END,
                asked_for,
                || format!("nobody was told of it: {}", log.in_words()),
            );
        }
        check_versions(logs, held);
    }

    fn compare_unnamed(&self, logs: &[Log], asked_for: &mut [bool], held: &mut Held) {
        let mut left: HashMap<Unnamed, Vec<usize>> = HashMap::new();
        let how = |log: &Log| {
            ["create", "read", "update", "delete"]
                .into_iter()
                .find(|how| *how == log.how)
        };
        for (place, log) in logs
            .iter()
            .enumerate()
            .filter(|(place, _)| !asked_for[*place])
        {
            if let Some(how) = how(log) {
                let (who, did) = (log.who.clone(), log.did.clone());
                left.entry(Unnamed { who, how, did })
                    .or_default()
                    .push(place);
            }
        }
        for event in &self.unnamed {
            let place = left.get_mut(event).and_then(Vec::pop);
            if let Some(place) = place {
                asked_for[place] = true;
            }
            held.check(
                Invariant::AcceptedAreLogged,
                IN_THE_END,
                place.is_some(),
                || {
                    format!(
                        "{} by {} was accepted, and has no log",
                        event.did, event.who
                    )
                },
            );
        }
    }
}

fn differs(event: &Event, log: &Log) -> Option<&'static str> {
    if log.who != event.who || log.how != event.how {
        return Some("its log says that somebody else did it, or something else");
    }
    if log.tx.is_none() {
        return Some("its log has no transaction");
    }
    if event.tx.is_some() && event.tx != log.tx {
        return Some("its log has another transaction than the answer");
    }
    match &event.hash {
        Some(hash) if *hash != log.hash => Some("its log has another hash"),
        _ => None,
    }
}

fn check_versions(logs: &[Log], held: &mut Held) {
    let mut versions: BTreeMap<&str, Vec<u64>> = BTreeMap::new();
    for log in logs {
        versions.entry(&log.record).or_default().push(log.version);
    }
    for (record, mut versions) in versions {
        versions.sort_unstable();
        let follow = versions.iter().copied().eq(1..=versions.len() as u64);
        held.check(Invariant::VersionsFollow, IN_THE_END, follow, || {
            format!("{record} has the versions {versions:?}")
        });
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn event(record: &str, version: u64) -> Event {
        Event {
            record: record.to_owned(),
            version,
            who: "ana".to_owned(),
            how: "create",
            tx: Some(format!("2.{version}")),
            hash: Some("ab".to_owned()),
            behaviour: "store",
        }
    }

    fn log(record: &str, version: u64) -> Log {
        Log {
            record: record.to_owned(),
            version,
            who: "ana".to_owned(),
            how: "create".to_owned(),
            did: "weigh".to_owned(),
            hash: "ab".to_owned(),
            tx: Some(format!("2.{version}")),
        }
    }

    fn book(events: Vec<Event>) -> Book {
        Book {
            events,
            ..Book::default()
        }
    }

    fn broken(book: &Book, logs: &[Log]) -> Vec<Invariant> {
        let mut held = Held::default();
        book.compare(logs, &mut held);
        let broken = |invariant: &Invariant| held.count(*invariant).1 > 0;
        Invariant::ALL.into_iter().filter(broken).collect()
    }

    #[test]
    fn what_was_accepted_and_nothing_else_is_logged() {
        let book = book(vec![event("a", 1), event("a", 2), event("b", 1)]);
        assert_eq!(broken(&book, &[log("a", 1), log("b", 1), log("a", 2)]), []);
    }

    #[test]
    fn a_missing_log_is_found() {
        let book = book(vec![event("a", 1), event("b", 1)]);
        assert_eq!(
            broken(&book, &[log("a", 1)]),
            [Invariant::AcceptedAreLogged]
        );
    }

    #[test]
    fn a_log_of_a_refused_request_is_found() {
        let book = book(vec![event("a", 1)]);
        let logs = [log("a", 1), log("b", 1)];
        assert_eq!(broken(&book, &logs), [Invariant::NothingElseIsLogged]);
    }

    #[test]
    fn one_log_for_two_requests_and_two_logs_for_one_are_found() {
        let two = book(vec![event("a", 1), event("a", 1)]);
        assert_eq!(broken(&two, &[log("a", 1)]), [Invariant::AcceptedAreLogged]);
        let one = book(vec![event("a", 1)]);
        let found = broken(&one, &[log("a", 1), log("a", 1)]);
        assert_eq!(
            found,
            [Invariant::NothingElseIsLogged, Invariant::VersionsFollow]
        );
    }

    #[test]
    fn a_log_that_says_something_else_is_found() {
        let changes: [fn(&mut Log); 5] = [
            |log| log.who = "eve".to_owned(),
            |log| log.how = "update".to_owned(),
            |log| log.hash = "cd".to_owned(),
            |log| log.tx = None,
            |log| log.tx = Some("9.9".to_owned()),
        ];
        for change in changes {
            let mut changed = log("a", 1);
            change(&mut changed);
            let found = broken(&book(vec![event("a", 1)]), std::slice::from_ref(&changed));
            assert_eq!(found, [Invariant::AcceptedAreLogged], "{changed:?}");
        }
    }

    #[test]
    fn a_gap_between_versions_is_found() {
        let book = book(vec![event("a", 1), event("a", 3)]);
        assert_eq!(
            broken(&book, &[log("a", 1), log("a", 3)]),
            [Invariant::VersionsFollow]
        );
    }

    #[test]
    fn what_is_in_doubt_may_be_there_once() {
        let doubt = Doubt {
            who: "ana".to_owned(),
            how: "create",
            record: None,
            did: Some("weigh".to_owned()),
        };
        let book = Book {
            doubts: vec![doubt],
            ..Book::default()
        };
        assert_eq!(broken(&book, &[]), []);
        assert_eq!(broken(&book, &[log("a", 1)]), []);
        let twice = [log("a", 1), log("b", 1)];
        assert_eq!(broken(&book, &twice), [Invariant::NothingElseIsLogged]);
    }

    #[test]
    fn events_without_a_name_are_told_apart_by_what_was_done() {
        let unnamed = Unnamed {
            who: "ana".to_owned(),
            how: "create",
            did: "weigh".to_owned(),
        };
        let book = Book {
            unnamed: vec![unnamed.clone(), unnamed],
            ..Book::default()
        };
        assert_eq!(broken(&book, &[log("a", 1), log("b", 1)]), []);
        assert_eq!(
            broken(&book, &[log("a", 1)]),
            [Invariant::AcceptedAreLogged]
        );
    }

    #[test]
    fn logs_are_read_as_the_services_write_them() {
        let written = serde_json::json!({
            "event": {"record": "a", "version": 1, "who": "ana", "how": "create", "when": "",
                      "what": {"about": [], "did": "weigh", "hash": "ab"}},
            "transactionAddress": "2.1", "contractAddress": "c",
        });
        assert_eq!(Log::read(&written), Some(log("a", 1)));
        assert_eq!(Log::read(&serde_json::json!({"event": {}})), None);
    }
}
