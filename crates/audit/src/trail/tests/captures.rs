//! Lists of EPCIS events.

use super::*;
use crate::model::capture::Captured;
use crate::trail::Cursor;

#[tokio::test]
async fn a_page_of_epcis_events_is_full_whatever_else_was_done_to_them() {
    let world = world().await;
    let World { trail, .. } = &world;
    let event = |number: usize| {
        format!(
            r#"{{"type": "ObjectEvent", "action": "OBSERVE",
            "@context": ["https://ref.gs1.org/standards/epcis/2.0.0/epcis-context.jsonld"],
            "eventTime": "2026-10-01T10:00:00Z", "eventTimeZoneOffset": "+00:00",
            "epcList": ["urn:epc:id:sgtin:9521234.054322.{number}"], "bizStep": "shipping"}}"#
        )
    };
    for number in 1..=5 {
        let document = epcis::Document::parse(event(number).as_bytes()).unwrap();
        let events = document.events().iter();
        let events = events.map(|event| Captured::of(event, None).unwrap());
        let (who, place) = (text("ana"), text("here"));
        trail.capture(&who, &place, events.collect()).await.unwrap();
    }
    trail
        .store(create("other", json!("no event")))
        .await
        .unwrap();
    let newest = trail.captured(None, 10).await.unwrap();
    assert_eq!(newest.len(), 5);
    for (log, _) in &newest[..3] {
        let record = log.event.record.as_str();
        for how in [Operation::Read, Operation::Delete] {
            let reading = act(how, Some(record), Given::Same);
            trail.store(reading).await.unwrap();
        }
    }
    let (mut seen, mut after) = (Vec::new(), None);
    for expected in [2, 2, 1] {
        let page = trail.captured(after.clone(), 2).await.unwrap();
        assert_eq!(page.len(), expected);
        after = page.last().map(|(log, _)| Cursor::of(&log.event));
        seen.extend(page);
    }
    assert_eq!(seen, newest);
}
