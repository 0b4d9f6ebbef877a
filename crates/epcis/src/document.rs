//! Documents that carry events (EPCIS 2.0 section 10, the JSON-LD binding).

use std::sync::Arc;

use serde_json::{Map, Value};

use crate::context::Namespaces;
use crate::error::{DocumentError, Problem, below};
use crate::event::{Event, EventType};
use crate::limits::{MAX_DOCUMENT_BYTES, MAX_EVENTS};
use crate::timestamp::Timestamp;

/// What carried the events.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub enum DocumentKind {
    /// An `EPCISDocument`: somebody captures events.
    Events,
    /// An `EPCISQueryDocument`: a repository answers a query.
    QueryResults,
    /// A single event without a document around it.
    Event,
}

/// Events that came together, each of them valid.
#[derive(Clone, Debug)]
pub struct Document {
    kind: DocumentKind,
    creation_date: Option<Timestamp>,
    events: Vec<Event>,
}

impl Document {
    /// Reads a document, or a single event. Nothing of it is accepted if one event is not valid.
    pub fn parse(json: &[u8]) -> Result<Self, DocumentError> {
        Self::parse_with(json, Namespaces::default())
    }

    /// [`parse`](Self::parse) with prefixes that are declared outside the document, as by the
    /// `GS1-Extensions` header of a request. What the document itself declares comes before.
    pub fn parse_with(json: &[u8], namespaces: Namespaces) -> Result<Self, DocumentError> {
        if json.len() > MAX_DOCUMENT_BYTES {
            return Err(DocumentError::TooLong {
                found: json.len(),
                limit: MAX_DOCUMENT_BYTES,
            });
        }
        let value = serde_json::from_slice(json).map_err(DocumentError::Json)?;
        Self::from_json(value, namespaces)
    }

    /// Reads a document that is parsed already.
    pub fn from_json(value: Value, namespaces: Namespaces) -> Result<Self, DocumentError> {
        let Value::Object(mut top) = value else {
            return Err(DocumentError::at("", Problem::Expected("an object")));
        };
        let kind = match top.get("type") {
            None => return Err(DocumentError::at("", Problem::Missing("type"))),
            Some(Value::String(kind)) => match kind.as_str() {
                "EPCISDocument" => DocumentKind::Events,
                "EPCISQueryDocument" => DocumentKind::QueryResults,
                event if EventType::named(event).is_some() => DocumentKind::Event,
                other => {
                    let problem = Problem::UnknownType(other.chars().take(120).collect());
                    return Err(DocumentError::at("/type", problem));
                }
            },
            Some(_) => return Err(DocumentError::at("/type", Problem::Expected("a string"))),
        };
        if kind == DocumentKind::Event {
            let event = Event::read(top, &Arc::new(namespaces), "")?;
            return Ok(Self {
                kind,
                creation_date: None,
                events: vec![event],
            });
        }
        let Some(context) = top.get("@context") else {
            return Err(DocumentError::at("", Problem::Missing("@context")));
        };
        let namespaces = Arc::new(namespaces.and(context, "/@context")?);
        let creation_date = heading(&top)?;
        let events = match take(&mut top, "epcisBody", "")? {
            Some(body) => events(kind, body, &namespaces)?,
            None => return Err(DocumentError::at("", Problem::Missing("epcisBody"))),
        };
        Ok(Self {
            kind,
            creation_date,
            events,
        })
    }

    /// What carried the events.
    pub fn kind(&self) -> DocumentKind {
        self.kind
    }

    /// When the document says that it was made. A single event says nothing about that.
    pub fn creation_date(&self) -> Option<Timestamp> {
        self.creation_date
    }

    /// The events, in the order of the document.
    pub fn events(&self) -> &[Event] {
        &self.events
    }

    /// The events alone.
    pub fn into_events(self) -> Vec<Event> {
        self.events
    }
}

/// Checks the version and gives the date of creation.
fn heading(top: &Map<String, Value>) -> Result<Option<Timestamp>, DocumentError> {
    match top.get("schemaVersion") {
        None => return Err(DocumentError::at("", Problem::Missing("schemaVersion"))),
        Some(Value::String(version)) if version == "2.0" || version.starts_with("2.0.") => {}
        Some(other) => {
            let shown = other
                .as_str()
                .map_or_else(|| other.to_string(), str::to_owned);
            let problem = Problem::Version(shown.chars().take(40).collect());
            return Err(DocumentError::at("/schemaVersion", problem));
        }
    }
    match top.get("creationDate") {
        None => Err(DocumentError::at("", Problem::Missing("creationDate"))),
        Some(Value::String(text)) => match Timestamp::parse(text) {
            Some(at) => Ok(Some(at)),
            None => {
                let problem = Problem::Time(text.chars().take(60).collect());
                Err(DocumentError::at("/creationDate", problem))
            }
        },
        Some(_) => Err(DocumentError::at(
            "/creationDate",
            Problem::Expected("a string"),
        )),
    }
}

fn events(
    kind: DocumentKind,
    mut body: Map<String, Value>,
    namespaces: &Arc<Namespaces>,
) -> Result<Vec<Event>, DocumentError> {
    let mut place = "/epcisBody".to_owned();
    if kind == DocumentKind::QueryResults {
        for part in ["queryResults", "resultsBody"] {
            body = take(&mut body, part, &place)?
                .ok_or_else(|| DocumentError::at(&place, Problem::Missing(part)))?;
            place = below(&place, part);
        }
    }
    // The body may have a single event.
    if let Some(event) = take(&mut body, "event", &place)? {
        return Ok(vec![Event::read(
            event,
            namespaces,
            &below(&place, "event"),
        )?]);
    }
    let list = match body.remove("eventList") {
        Some(Value::Array(list)) => list,
        Some(_) => {
            let problem = Problem::Expected("a list of events");
            return Err(DocumentError::at(&below(&place, "eventList"), problem));
        }
        None => return Err(DocumentError::at(&place, Problem::Missing("eventList"))),
    };
    place = below(&place, "eventList");
    if list.len() > MAX_EVENTS {
        let problem = Problem::TooMany {
            what: "events",
            limit: MAX_EVENTS,
        };
        return Err(DocumentError::at(&place, problem));
    }
    let read = |(at, event)| {
        let place = below(&place, at);
        match event {
            Value::Object(event) => Event::read(event, namespaces, &place),
            _ => Err(DocumentError::at(&place, Problem::Expected("an object"))),
        }
    };
    list.into_iter().enumerate().map(read).collect()
}

/// Takes a member that has to be an object, if it is there.
fn take(
    object: &mut Map<String, Value>,
    name: &'static str,
    place: &str,
) -> Result<Option<Map<String, Value>>, DocumentError> {
    match object.remove(name) {
        None => Ok(None),
        Some(Value::Object(member)) => Ok(Some(member)),
        Some(_) => Err(DocumentError::at(
            &below(place, name),
            Problem::Expected("an object"),
        )),
    }
}

#[cfg(test)]
mod tests {
    use serde_json::json;

    use super::*;

    fn event() -> Value {
        json!({
            "type": "ObjectEvent", "action": "OBSERVE", "epcList": ["urn:epc:id:sscc:4012345.0111111111"],
            "eventTime": "2026-07-15T09:30:00+02:00", "eventTimeZoneOffset": "+02:00", "ex:note": "x",
        })
    }

    fn document() -> Value {
        json!({
            "@context": ["https://ref.gs1.org/standards/epcis/2.0.0/epcis-context.jsonld", {"ex": "https://ns.example.com/"}],
            "type": "EPCISDocument", "schemaVersion": "2.0", "creationDate": "2026-07-15T10:00:00Z",
            "epcisBody": {"eventList": [event()]},
        })
    }

    fn read(value: Value) -> Result<Document, DocumentError> {
        Document::parse(value.to_string().as_bytes())
    }

    #[test]
    fn events_are_found_in_every_kind_of_document() {
        let one = read(document()).unwrap();
        assert_eq!((one.kind(), one.events().len()), (DocumentKind::Events, 1));
        let mut answer = document();
        answer["type"] = "EPCISQueryDocument".into();
        answer["epcisBody"] = json!({"queryResults": {"queryName": "q", "resultsBody": {"eventList": [event(), event()]}}});
        assert_eq!(read(answer).unwrap().events().len(), 2);
        let mut bare = event();
        bare["@context"] = json!({"ex": "https://ns.example.com/"});
        let bare = read(bare).unwrap();
        assert_eq!(
            (bare.kind(), bare.creation_date()),
            (DocumentKind::Event, None)
        );
        assert_eq!(bare.events()[0].text("ex:note"), Some("x"));
    }

    #[test]
    fn prefixes_may_be_declared_outside() {
        let text = event().to_string();
        assert!(Document::parse(text.as_bytes()).is_err());
        let mut names = Namespaces::default();
        names.declare("ex", "https://ns.example.com/");
        assert!(Document::parse_with(text.as_bytes(), names).is_ok());
    }

    #[test]
    fn an_error_points_to_its_place() {
        let mut late = document();
        late["epcisBody"]["eventList"][0]["eventTime"] = "yesterday".into();
        for (change, pointer) in [
            ("type", "/type"),
            ("schemaVersion", "/schemaVersion"),
            ("creationDate", "/creationDate"),
            ("epcisBody", "/epcisBody"),
        ] {
            let mut wrong = document();
            wrong[change] = "x".into();
            assert_eq!(read(wrong).unwrap_err().pointer(), Some(pointer));
            let mut missing = document();
            missing.as_object_mut().unwrap().remove(change);
            assert_eq!(read(missing).unwrap_err().pointer(), Some(""));
        }
        let error = read(late).unwrap_err();
        assert_eq!(error.pointer(), Some("/epcisBody/eventList/0/eventTime"));
    }

    #[test]
    fn text_that_is_no_document_is_refused() {
        assert!(matches!(
            Document::parse(b"<epcis/>"),
            Err(DocumentError::Json(_))
        ));
        for value in [
            json!([]),
            json!(7),
            json!({}),
            json!({"type": 7}),
            json!({"type": "Event"}),
        ] {
            assert!(read(value).is_err());
        }
        let long = vec![b' '; MAX_DOCUMENT_BYTES + 1];
        assert!(matches!(
            Document::parse(&long),
            Err(DocumentError::TooLong { .. })
        ));
    }
}
