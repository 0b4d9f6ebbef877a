//! EPCIS 2.0 events, as all five write them.

use epcis::{Document, EventHash};
use serde_json::{Value, json};

use crate::Error;

const EPCIS: &str = "https://ref.gs1.org/standards/epcis/2.0.0/epcis-context.jsonld";

/// What the companies' own fields mean.
const OWN: &str = "https://avocado.example/voc/";

/// Where they are: all of Mexico's centre is six hours behind UTC.
pub(crate) const OFFSET: &str = "-06:00";

fn context() -> Value {
    json!([EPCIS, {"avo": OWN}])
}

/// An event of this type, at this time and place; `more` has what is particular.
pub(crate) fn event(kind: &str, step: &str, time: &str, place: &Place<'_>, more: Value) -> Value {
    let mut event = json!({
        "@context": context(),
        "type": kind,
        "bizStep": step,
        "eventTime": time,
        "eventTimeZoneOffset": OFFSET,
        "readPoint": {"id": format!("geo:{:.4},{:.4}", place.latitude, place.longitude)},
        "bizLocation": {"id": place.gln},
        "avo:place": place.name,
    });
    if let (Some(event), Value::Object(more)) = (event.as_object_mut(), more) {
        event.extend(more);
    }
    event
}

/// Where something happened.
pub(crate) struct Place<'a> {
    pub(crate) name: &'a str,
    pub(crate) latitude: f64,
    pub(crate) longitude: f64,
    /// Its number, as a name of GS1.
    pub(crate) gln: String,
}

/// So much of something.
pub(crate) fn kilograms(class: &str, kilograms: f64) -> Value {
    json!([{"epcClass": class, "quantity": kilograms, "uom": "KGM"}])
}

/// So many of something.
pub(crate) fn pieces(class: &str, count: i64) -> Value {
    json!([{"epcClass": class, "quantity": count}])
}

/// Temperatures of a time, degrees Celsius.
pub(crate) fn temperatures(least: f64, mean: f64, most: f64) -> Value {
    json!([{"sensorReport": [{
        "type": "Temperature", "minValue": least, "meanValue": mean, "maxValue": most, "uom": "CEL",
    }]}])
}

/// A document with these events.
pub(crate) fn document(events: &[&Value], created: &str) -> Value {
    json!({
        "@context": context(),
        "type": "EPCISDocument",
        "schemaVersion": "2.0",
        "creationDate": created,
        "epcisBody": {"eventList": events},
    })
}

/// The record under which the audit keeps an event: its standard event hash.
pub(crate) fn record(event: &Value) -> Result<String, Error> {
    let wrong = |error: epcis::DocumentError| Error::Event(error.to_string());
    let document = Document::from_json(event.clone(), namespaces()).map_err(wrong)?;
    let [event] = document.events() else {
        return Err(Error::Event("it is not one event".to_owned()));
    };
    let hash = EventHash::of(event);
    Ok(format!("epcis:{}", hex::encode(hash.as_bytes())))
}

fn namespaces() -> epcis::Namespaces {
    let mut namespaces = epcis::Namespaces::default();
    namespaces.declare("avo", OWN);
    namespaces
}
