//! EPCIS events as records: named by what they say, about all the things in them. Pure.

use epcis::{Event, EventHash, canonical_epc};
use serde::{Deserialize, Serialize};
use serde_json::Value;

use super::{EventError, Mention, Part, RecordId, ResourceId, Text};
use crate::limits::MENTIONS_MAX;

/// Before the hash in a record's name.
pub const PREFIX: &str = "epcis:";

/// An EPCIS event that is ready to be recorded.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
pub struct Captured {
    /// The record: the event's hash, so that the same event is the same record whoever sends it.
    pub record: RecordId,
    /// What it is about.
    pub about: Vec<Mention>,
    /// The business step, or the type of the event.
    pub did: Text,
    /// The read point or the business location, if it says one.
    pub place: Option<Text>,
    /// Whether it declares an earlier event of the same contents wrong.
    pub is_correction: bool,
    /// The event, with the context that its names are read by.
    pub data: Value,
}

impl Captured {
    /// What an event of a document is to be recorded as.
    ///
    /// # Errors
    /// It is about nothing, about too much, or about something with an impossible name.
    pub fn of(event: &Event, context: Option<&Value>) -> Result<Self, EventError> {
        let about = mentions(event)?;
        if !(1..=MENTIONS_MAX).contains(&about.len()) {
            return Err(EventError::Mentions);
        }
        let mut data = event.json().clone();
        if let Some(context) = context
            && !data.contains_key("@context")
        {
            data.insert("@context".to_owned(), context.clone());
        }
        let did = event.biz_step().unwrap_or(event.kind().name());
        let place = event.read_point().or(event.biz_location());
        Ok(Self {
            record: record(&EventHash::of(event)),
            about,
            did: Text::fitting(did),
            place: place.map(Text::fitting),
            is_correction: event.error_declaration().is_some(),
            data: data.into(),
        })
    }
}

/// The record of the event with this hash.
pub fn record(hash: &EventHash) -> RecordId {
    let name = format!("{PREFIX}{}", hex::encode(hash.as_bytes()));
    RecordId::parse(name).expect("hexadecimal digits after a word are a name")
}

fn mentions(event: &Event) -> Result<Vec<Mention>, EventError> {
    let mut about: Vec<Mention> = Vec::new();
    let mut add = |name: &str, part: Part| {
        let id = ResourceId::parse(canonical_epc(name))?;
        let mention = Mention { id, part };
        if !about.contains(&mention) {
            about.push(mention);
        }
        Ok(())
    };
    let classes = |classes: Vec<epcis::event::Quantity<'_>>| -> Vec<String> {
        classes.iter().map(|one| one.epc_class.to_owned()).collect()
    };
    let lists: [(Vec<String>, Part); 5] = [
        (
            both(event.epc_list(), classes(event.quantity_list().collect())),
            Part::About,
        ),
        (
            both(
                event.input_epc_list(),
                classes(event.input_quantity_list().collect()),
            ),
            Part::Input,
        ),
        (
            both(
                event.output_epc_list(),
                classes(event.output_quantity_list().collect()),
            ),
            Part::Output,
        ),
        (
            event.parent_id().map(str::to_owned).into_iter().collect(),
            Part::Parent,
        ),
        (
            both(
                event.child_epcs(),
                classes(event.child_quantity_list().collect()),
            ),
            Part::Child,
        ),
    ];
    for (names, part) in lists {
        for name in names {
            add(&name, part)?;
        }
    }
    // An event about a business transaction alone is about that.
    if about.is_empty() {
        for transaction in event.biz_transactions() {
            let id = ResourceId::parse(transaction.id)?;
            about.push(Mention {
                id,
                part: Part::About,
            });
        }
    }
    Ok(about)
}

fn both<'a>(epcs: impl Iterator<Item = &'a str>, classes: Vec<String>) -> Vec<String> {
    epcs.map(str::to_owned).chain(classes).collect()
}

#[cfg(test)]
mod tests {
    use super::*;
    use epcis::Document;

    const EVENT: &str = r#"{
        "@context": ["https://ref.gs1.org/standards/epcis/2.0.0/epcis-context.jsonld"],
        "type": "TransformationEvent", "eventTime": "2026-10-01T10:00:00Z", "eventTimeZoneOffset": "+00:00",
        "inputQuantityList": [{"epcClass": "urn:epc:class:lgtin:9521234.054321.HASS-1", "quantity": 10, "uom": "KGM"}],
        "outputEPCList": ["urn:epc:id:sgtin:9521234.054322.1"],
        "bizStep": "packing", "readPoint": {"id": "urn:epc:id:sgln:9521234.00001.0"}
    }"#;

    fn captured(text: &str) -> Captured {
        let document = Document::parse(text.as_bytes()).unwrap();
        Captured::of(&document.events()[0], None).unwrap()
    }

    #[test]
    fn what_goes_in_and_what_comes_out_are_told_apart() {
        let event = captured(EVENT);
        let about: Vec<_> = event
            .about
            .iter()
            .map(|one| (one.id.as_str(), one.part))
            .collect();
        assert_eq!(
            about,
            [
                (
                    "https://id.gs1.org/01/09521234543213/10/HASS-1",
                    Part::Input
                ),
                ("https://id.gs1.org/01/09521234543220/21/1", Part::Output),
            ]
        );
        assert_eq!(event.did.as_str(), "packing");
        assert!(event.record.as_str().starts_with(PREFIX));
    }

    #[test]
    fn a_correction_is_the_same_record() {
        let wrong = r#""errorDeclaration": {"declarationTime": "2026-10-02T10:00:00Z"}, "bizStep""#;
        let correction = captured(&EVENT.replace(r#""bizStep""#, wrong));
        let event = captured(EVENT);
        assert_eq!(correction.record, event.record);
        assert!(correction.is_correction && !event.is_correction);
        let other = captured(&EVENT.replace("\"packing\"", "\"shipping\""));
        assert_ne!(other.record, event.record);
    }
}
