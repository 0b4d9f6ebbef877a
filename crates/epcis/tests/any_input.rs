//! Whatever a stranger sends, the answer is a value or an error.

use counterfoil_epcis::{
    DigitalLink, Document, EpcPattern, Event, EventHash, Query, Rules, Timestamp, canonical_epc,
    prehash, urn,
};
use proptest::prelude::*;
use serde_json::{Map, Value, json};
use std::sync::Arc;

/// Names that mean something, so that random JSON gets past the first check.
const NAMES: &[&str] = &[
    "type",
    "action",
    "eventTime",
    "eventTimeZoneOffset",
    "recordTime",
    "epcList",
    "parentID",
    "childEPCs",
    "quantityList",
    "epcClass",
    "quantity",
    "bizStep",
    "disposition",
    "persistentDisposition",
    "set",
    "readPoint",
    "id",
    "bizTransactionList",
    "bizTransaction",
    "sourceList",
    "source",
    "sensorElementList",
    "sensorMetadata",
    "sensorReport",
    "time",
    "value",
    "ilmd",
    "errorDeclaration",
    "declarationTime",
    "ex:any",
    "ex:anyList",
    "List",
    "#text",
    "@context",
];

const TEXTS: &[&str] = &[
    "ObjectEvent",
    "AggregationEvent",
    "TransformationEvent",
    "EPCISDocument",
    "ADD",
    "OBSERVE",
    "2026-07-15T09:30:00.0005+02:00",
    "+02:00",
    "urn:epc:id:sgtin:4012345.012345.98%2F7",
    "urn:epc:idpat:sgtin:4012345.*.*",
    "https://a.example/01/04012345123456/10/A",
    "shipping",
    "Temperature",
    "ex:word",
    "1e-400",
    "-0.0",
    "",
];

fn text() -> impl Strategy<Value = String> {
    prop_oneof![
        4 => prop::sample::select(TEXTS).prop_map(str::to_owned),
        1 => any::<String>(),
        1 => "[0-9.eE+-]{0,12}",
        1 => "urn:epc:(id|class|idpat):(sgtin|sgln|giai|cpi|itip|grai):[0-9A-Z.*%é-]{0,24}",
        1 => "https?://[a-z]{0,3}(/(01|gtin|8006|414|22|10|21|254))?/[0-9]{0,18}(/[a-z0-9]{2,3}/[%0-9a-f]{0,4})?",
    ]
}

fn name() -> impl Strategy<Value = String> {
    prop_oneof![
        6 => prop::sample::select(NAMES).prop_map(str::to_owned),
        1 => "[a-z:{}/~]{0,6}",
    ]
}

fn value() -> impl Strategy<Value = Value> {
    let leaf = prop_oneof![
        6 => text().prop_map(Value::from),
        1 => any::<f64>().prop_map(Value::from),
        1 => any::<i64>().prop_map(Value::from),
        1 => any::<bool>().prop_map(Value::from),
        1 => Just(Value::Null),
    ];
    leaf.prop_recursive(5, 40, 5, |inner| {
        prop_oneof![
            prop::collection::vec(inner.clone(), 0..4).prop_map(Value::from),
            prop::collection::btree_map(name(), inner, 0..5)
                .prop_map(|map| Value::Object(map.into_iter().collect())),
        ]
    })
}

/// An event that is valid but for what is added.
fn event(more: Map<String, Value>) -> Value {
    let mut event = json!({
        "@context": {"ex": "https://ns.example.com/"}, "type": "ObjectEvent", "action": "ADD",
        "eventTime": "2026-07-15T09:30:00Z", "eventTimeZoneOffset": "+02:00",
        "epcList": ["urn:uuid:1"],
    });
    for (name, value) in more {
        event[name] = value;
    }
    event
}

proptest! {
    #![proptest_config(ProptestConfig::with_cases(512))]

    #[test]
    fn any_json_is_read_or_refused(value in value(), bytes in any::<Vec<u8>>()) {
        let _ = Document::parse(&bytes);
        let _ = Document::parse(value.to_string().as_bytes());
        let _ = Query::from_json(&value);
    }

    #[test]
    fn any_valid_event_is_hashed_and_asked_about(
        more in prop::collection::btree_map(name(), value(), 0..5),
        pairs in prop::collection::vec((prop_oneof![
            "(EQ|MATCH|GE|LT)_[a-zA-Z_]{0,12}",
            Just("MATCH_anyEPC".to_owned()),
            Just("EQ_readPoint".to_owned()),
        ], text()), 0..4),
    ) {
        let json = event(more.into_iter().collect());
        if let Ok(event) = Event::from_json(json, &Arc::default()) {
            for rules in [Rules::Cbv2_0, Rules::Generator1_9] {
                prop_assert!(prehash(&event, rules).starts_with("eventType="));
            }
            let hash = EventHash::of(&event);
            prop_assert_eq!(hash.to_string().parse::<EventHash>(), Ok(hash));
            let pairs = pairs.iter().map(|(name, value)| (name.as_str(), value.as_str()));
            if let Ok(query) = Query::parse(pairs) {
                query.matches(&event);
            }
        }
    }

    #[test]
    fn any_extension_of_an_event_is_accepted_and_counts(value in value()) {
        let with = |value: Value| {
            let more = [("ex:counted".to_owned(), value)].into_iter().collect();
            Event::from_json(event(more), &Arc::default()).ok()
        };
        if let (Some(one), Some(other)) = (with(json!([value.clone(), "one"])), with(json!([value, "other"]))) {
            prop_assert_ne!(EventHash::of(&one), EventHash::of(&other));
        }
    }

    #[test]
    fn any_text_is_an_identifier_or_not(text in text(), prefix in 0usize..20) {
        let canonical = canonical_epc(&text).into_owned();
        prop_assert_eq!(&canonical_epc(&canonical), &canonical);
        let links = [DigitalLink::parse(&text).ok(), urn::to_digital_link(&text).ok()];
        for link in links.into_iter().flatten() {
            let again = DigitalLink::parse(&link.canonical());
            prop_assert_eq!(again.as_ref(), Ok(&link));
            let _ = urn::from_digital_link(&link, prefix);
        }
        if let Ok(pattern) = EpcPattern::parse(&text) {
            pattern.matches(&canonical);
        }
        let _ = Timestamp::parse(&text);
    }
}
