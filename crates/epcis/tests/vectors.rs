//! Every vector of `testdata/`, which `fill.py` there gets from the generator that the authors of
//! the standard publish.

use std::sync::Arc;

use counterfoil_epcis::{Event, EventHash, Rules, canonical_epc, prehash};
use serde_json::Value;

const EVENTS: &str = include_str!("../testdata/events.jsonl");
const GENERATOR_EVENTS: &str = include_str!("../testdata/events-generator.jsonl");
const IDENTIFIERS: &str = include_str!("../testdata/identifiers.jsonl");

/// Checks each vector that has a text for these rules, and gives how many there are.
fn check(lines: &str, rules: Rules, text: &str, hash: &str) -> usize {
    let mut wrong = Vec::new();
    let mut count = 0;
    for (line, number) in lines.lines().zip(1..) {
        let vector: Value = serde_json::from_str(line).expect("a line is JSON");
        let event = Event::from_json(vector["event"].clone(), &Arc::default())
            .unwrap_or_else(|error| panic!("line {number}: {error}"));
        let written = prehash(&event, rules);
        let hashed = EventHash::by(&event, rules).to_string();
        if vector[text] != written.as_str() || vector[hash] != hashed.as_str() {
            wrong.push(format!(
                "line {number}\n  {}\n  \"{written}\"",
                vector[text]
            ));
        }
        count += 1;
    }
    let shown = wrong.iter().take(3).cloned().collect::<Vec<_>>().join("\n");
    assert!(wrong.is_empty(), "{} of {count}: {shown}", wrong.len());
    count
}

#[test]
fn every_event_has_the_hash_of_the_standard() {
    let count = check(EVENTS, Rules::Cbv2_0, "standard", "standard_hash");
    assert!(count > 100);
}

#[test]
fn every_event_has_the_hash_of_the_published_generator() {
    let rules = Rules::Generator1_9;
    let plain = check(EVENTS, rules, "generator", "generator_hash");
    let odd = check(GENERATOR_EVENTS, rules, "generator", "generator_hash");
    assert!(plain > 100 && odd > 50);
}

#[test]
fn the_reference_event_has_its_published_hash() {
    let vector: Value = serde_json::from_str(EVENTS.lines().next().unwrap()).unwrap();
    let event = Event::from_json(vector["event"].clone(), &Arc::default()).unwrap();
    let published =
        "ni:///sha-256;6ae96341e0acc6d7a261364751f60e68278a81cdf51da0abb6b4e617014e39d7?ver=CBV2.0";
    assert_eq!(EventHash::of(&event).to_string(), published);
    assert!(published.parse::<EventHash>().unwrap().names(&event));
}

#[test]
fn every_identifier_has_its_canonical_form() {
    let mut wrong = Vec::new();
    for line in IDENTIFIERS.lines() {
        let (uri, canonical): (String, Option<String>) = {
            let pair: Value = serde_json::from_str(line).unwrap();
            let text = |at: usize| pair[at].as_str().map(str::to_owned);
            (text(0).unwrap(), text(1))
        };
        let found = canonical_epc(&uri);
        if found != canonical.as_deref().unwrap_or(&uri) {
            wrong.push(format!("{uri}: {found} instead of {canonical:?}"));
        }
    }
    assert!(wrong.is_empty(), "{}", wrong.join("\n"));
}
