//! What the standard requires of each event (EPCIS 2.0 section 7.4 and its JSON schema).

use serde_json::{Map, Value};

use crate::context::Namespaces;
use crate::digital_link::{DigitalLink, LinkError};
use crate::error::{DocumentError, Problem};
use crate::event::{Action, EventType, Head};
use crate::limits::{MAX_DEPTH, MAX_STRING_BYTES, MAX_VALUES};
use crate::place::Place;
use crate::timestamp::{Timestamp, ZoneOffset};
use crate::urn;
use crate::words::Vocabulary;

type Checked<T = ()> = Result<T, DocumentError>;
type Object = Map<String, Value>;

/// Fields of every event.
const COMMON: &[&str] = &[
    "@context",
    "type",
    "eventID",
    "eventTime",
    "recordTime",
    "eventTimeZoneOffset",
    "errorDeclaration",
    "certificationInfo",
    "bizStep",
    "disposition",
    "persistentDisposition",
    "readPoint",
    "bizLocation",
    "bizTransactionList",
    "sourceList",
    "destinationList",
    "sensorElementList",
    "comment",
];

/// Fields of some types of events.
const OWN: &[(&str, &[EventType])] = {
    use EventType::{Aggregation, Association, Object, Transaction, Transformation};
    &[
        ("action", &[Object, Aggregation, Association, Transaction]),
        ("parentID", &[Aggregation, Association, Transaction]),
        ("epcList", &[Object, Transaction]),
        ("quantityList", &[Object, Transaction]),
        ("childEPCs", &[Aggregation, Association]),
        ("childQuantityList", &[Aggregation, Association]),
        ("inputEPCList", &[Transformation]),
        ("inputQuantityList", &[Transformation]),
        ("outputEPCList", &[Transformation]),
        ("outputQuantityList", &[Transformation]),
        ("transformationID", &[Transformation]),
        ("ilmd", &[Object, Transformation]),
    ]
};

/// Checks an event that stands at `place`, and gives what was parsed on the way.
pub(crate) fn event(json: &Object, namespaces: &Namespaces, place: &str) -> Checked<Head> {
    let place = &Place::Event(place);
    let mut left = MAX_VALUES;
    for (name, value) in json {
        if name != "@context" {
            bounds(value, namespaces, &place.name(name), MAX_DEPTH, &mut left)?;
        }
    }
    let at = At { json, place };
    let name = at.required("type")?;
    let Some(kind) = EventType::named(name) else {
        let problem = Problem::UnknownType(name.chars().take(120).collect());
        return Err(place.name("type").error(problem));
    };
    at.known_fields(kind, namespaces)?;
    let head = Head {
        kind,
        event_time: at
            .time("eventTime")?
            .ok_or_else(|| at.missing("eventTime"))?,
        offset: at.offset()?,
        record_time: at.time("recordTime")?,
        action: at.action(kind)?,
    };
    at.what(&head)?;
    at.common()?;
    Ok(head)
}

/// Sizes, and prefixes that mean something, everywhere in an event.
fn bounds(
    value: &Value,
    namespaces: &Namespaces,
    place: &Place<'_>,
    depth: usize,
    left: &mut usize,
) -> Checked {
    let too_many = |what, limit| place.error(Problem::TooMany { what, limit });
    *left = left
        .checked_sub(1)
        .ok_or_else(|| too_many("values in an event", MAX_VALUES))?;
    match value {
        Value::String(text) if text.len() > MAX_STRING_BYTES => {
            Err(too_many("bytes in a string", MAX_STRING_BYTES))
        }
        Value::Array(_) | Value::Object(_) if depth == 0 => {
            Err(too_many("levels of nesting", MAX_DEPTH))
        }
        Value::Array(values) => values.iter().enumerate().try_for_each(|(at, value)| {
            bounds(value, namespaces, &place.index(at), depth - 1, left)
        }),
        Value::Object(object) => object.iter().try_for_each(|(name, value)| {
            let place = place.name(name);
            prefix(name, namespaces, &place)?;
            bounds(value, namespaces, &place, depth - 1, left)
        }),
        _ => Ok(()),
    }
}

/// A field's name with a colon is `prefix:name` with a known prefix, or a whole URI.
fn prefix(name: &str, namespaces: &Namespaces, place: &Place<'_>) -> Checked {
    match name.split_once(':') {
        Some((prefix, rest))
            if namespaces.namespace(prefix).is_none() && !rest.starts_with("//") =>
        {
            let problem = Problem::UndeclaredPrefix(name.chars().take(120).collect());
            Err(place.error(problem))
        }
        _ => Ok(()),
    }
}

/// An object and where it stands.
struct At<'a> {
    json: &'a Object,
    place: &'a Place<'a>,
}

impl<'a> At<'a> {
    fn missing(&self, field: &'static str) -> DocumentError {
        self.place.error(Problem::Missing(field))
    }

    fn text(&self, field: &str) -> Checked<Option<&'a str>> {
        match self.json.get(field) {
            None => Ok(None),
            Some(Value::String(text)) => Ok(Some(text)),
            Some(_) => Err(self.place.name(field).error(Problem::Expected("a string"))),
        }
    }

    fn required(&self, field: &'static str) -> Checked<&'a str> {
        self.text(field)?.ok_or_else(|| self.missing(field))
    }

    fn time(&self, field: &str) -> Checked<Option<Timestamp>> {
        let Some(text) = self.text(field)? else {
            return Ok(None);
        };
        let parsed = Timestamp::parse(text).ok_or_else(|| {
            let problem = Problem::Time(text.chars().take(60).collect());
            self.place.name(field).error(problem)
        });
        parsed.map(Some)
    }

    fn offset(&self) -> Checked<ZoneOffset> {
        let text = self.required("eventTimeZoneOffset")?;
        ZoneOffset::parse(text).ok_or_else(|| {
            let problem = Problem::Offset(text.chars().take(60).collect());
            self.place.name("eventTimeZoneOffset").error(problem)
        })
    }

    fn action(&self, kind: EventType) -> Checked<Option<Action>> {
        if kind == EventType::Transformation {
            return Ok(None);
        }
        let text = self.required("action")?;
        let action = Action::named(text).ok_or_else(|| {
            let problem = Problem::UnknownWord {
                word: text.chars().take(60).collect(),
                expected: "ADD, OBSERVE or DELETE",
            };
            self.place.name("action").error(problem)
        });
        action.map(Some)
    }

    fn known_fields(&self, kind: EventType, namespaces: &Namespaces) -> Checked {
        for name in self.json.keys() {
            let place = self.place.name(name);
            if COMMON.contains(&name.as_str()) || namespaces.is_term(name) {
                continue;
            }
            prefix(name, namespaces, &place)?;
            match OWN.iter().find(|(own, _)| own == name) {
                Some((_, kinds)) if kinds.contains(&kind) => {}
                Some((field, _)) => {
                    let problem = Problem::Misplaced {
                        field: (*field).to_owned(),
                        event: kind.name(),
                    };
                    return Err(place.error(problem));
                }
                None if name.contains(':') => {}
                None => {
                    let problem = Problem::UnknownField(name.chars().take(120).collect());
                    return Err(place.error(problem));
                }
            }
        }
        Ok(())
    }

    /// The objects of an event: which lists it must have.
    fn what(&self, head: &Head) -> Checked {
        let mut has = Vec::new();
        for field in ["epcList", "childEPCs", "inputEPCList", "outputEPCList"] {
            let values = self.list(field)?;
            for (at, value) in values.iter().enumerate() {
                epc(value, &self.place.name(field).index(at))?;
            }
            has.extend((!values.is_empty()).then_some(field));
        }
        for field in [
            "quantityList",
            "childQuantityList",
            "inputQuantityList",
            "outputQuantityList",
        ] {
            let values = self.objects(field, quantity)?;
            has.extend((values > 0).then_some(field));
        }
        if let Some(parent) = self.json.get("parentID") {
            epc(parent, &self.place.name("parentID"))?;
        }
        let any = |fields: &[&str]| fields.iter().any(|field| has.contains(field));
        let need = |fulfilled: bool, fields| match fulfilled {
            true => Ok(()),
            false => Err(self.place.error(Problem::MissingOneOf(fields))),
        };
        let action = head.action;
        match head.kind {
            EventType::Object => {
                if self.json.contains_key("ilmd") && action != Some(Action::Add) {
                    let problem = Problem::Misplaced {
                        field: "ilmd".to_owned(),
                        event: "ObjectEvent without action ADD",
                    };
                    return Err(self.place.name("ilmd").error(problem));
                }
                let sensed = !self.list("sensorElementList")?.is_empty();
                let fields = "epcList, quantityList and sensorElementList";
                need(sensed || any(&["epcList", "quantityList"]), fields)
            }
            EventType::Aggregation | EventType::Association => {
                let always = head.kind == EventType::Association;
                if always || action != Some(Action::Observe) {
                    self.required("parentID")?;
                }
                let children = any(&["childEPCs", "childQuantityList"]);
                // To delete without naming children is to delete all of them.
                let fulfilled = children || action == Some(Action::Delete);
                need(fulfilled, "childEPCs and childQuantityList")
            }
            EventType::Transaction => {
                let tied = !self.list("bizTransactionList")?.is_empty();
                need(tied, "bizTransactionList")
            }
            EventType::Transformation => {
                let inputs = any(&["inputEPCList", "inputQuantityList"]);
                let outputs = any(&["outputEPCList", "outputQuantityList"]);
                if self.text("transformationID")?.is_some() {
                    return need(inputs || outputs, "the input and output lists");
                }
                need(inputs, "inputEPCList and inputQuantityList")?;
                need(outputs, "outputEPCList and outputQuantityList")
            }
        }
    }

    fn common(&self) -> Checked {
        for field in ["eventID", "transformationID"] {
            if let Some(text) = self.text(field)? {
                uri(text, &self.place.name(field))?;
            }
        }
        self.word("bizStep", Vocabulary::BizStep)?;
        self.word("disposition", Vocabulary::Disposition)?;
        if let Some(both) = self.object("persistentDisposition")? {
            let place = self.place.name("persistentDisposition");
            let both = At {
                json: both,
                place: &place,
            };
            for part in ["set", "unset"] {
                for (at, value) in both.list(part)?.iter().enumerate() {
                    known(value, Vocabulary::Disposition, &place.name(part).index(at))?;
                }
            }
        }
        for field in ["readPoint", "bizLocation"] {
            if let Some(location) = self.object(field)? {
                let place = self.place.name(field);
                let id = location.get("id");
                let id = id.ok_or_else(|| place.error(Problem::Missing("id")))?;
                epc(id, &place.name("id"))?;
            }
        }
        self.objects("bizTransactionList", |element| {
            element.word("type", Vocabulary::BizTransactionType)?;
            uri(
                element.required("bizTransaction")?,
                &element.place.name("bizTransaction"),
            )
        })?;
        for (list, field) in [("sourceList", "source"), ("destinationList", "destination")] {
            self.objects(list, |element| {
                element.required("type")?;
                element.word("type", Vocabulary::SourceDestinationType)?;
                element.required(field)?;
                element
                    .json
                    .get(field)
                    .map_or(Ok(()), |id| epc(id, &element.place.name(field)))
            })?;
        }
        if let Some(declared) = self.object("errorDeclaration")? {
            let place = self.place.name("errorDeclaration");
            let declared = At {
                json: declared,
                place: &place,
            };
            let time = declared.time("declarationTime")?;
            time.ok_or_else(|| declared.missing("declarationTime"))?;
            declared.word("reason", Vocabulary::ErrorReason)?;
            for (at, value) in declared.list("correctiveEventIDs")?.iter().enumerate() {
                let list = place.name("correctiveEventIDs");
                let place = list.index(at);
                uri(text(value, &place)?, &place)?;
            }
        }
        self.objects("sensorElementList", sensor_element)?;
        Ok(())
    }

    fn word(&self, field: &str, vocabulary: Vocabulary) -> Checked {
        let value = self.json.get(field);
        value.map_or(Ok(()), |value| {
            known(value, vocabulary, &self.place.name(field))
        })
    }

    fn object(&self, field: &str) -> Checked<Option<&'a Object>> {
        match self.json.get(field) {
            None => Ok(None),
            Some(Value::Object(object)) => Ok(Some(object)),
            Some(_) => Err(self.place.name(field).error(Problem::Expected("an object"))),
        }
    }

    fn list(&self, field: &str) -> Checked<&'a [Value]> {
        match self.json.get(field) {
            None => Ok(&[]),
            Some(Value::Array(values)) => Ok(values),
            Some(_) => Err(self.place.name(field).error(Problem::Expected("a list"))),
        }
    }

    /// Checks every element of a list of objects, and counts them.
    fn objects(&self, field: &str, check: impl Fn(&At<'_>) -> Checked) -> Checked<usize> {
        let values = self.list(field)?;
        for (at, value) in values.iter().enumerate() {
            let list = self.place.name(field);
            let place = list.index(at);
            match value {
                Value::Object(json) => check(&At {
                    json,
                    place: &place,
                })?,
                _ => return Err(place.error(Problem::Expected("an object"))),
            }
        }
        Ok(values.len())
    }
}

fn quantity(element: &At<'_>) -> Checked {
    element.required("epcClass")?;
    if let Some(class) = element.json.get("epcClass") {
        epc(class, &element.place.name("epcClass"))?;
    }
    element.text("uom")?;
    match element.json.get("quantity") {
        None | Some(Value::Number(_)) => Ok(()),
        Some(_) => Err(element
            .place
            .name("quantity")
            .error(Problem::Expected("a number"))),
    }
}

fn sensor_element(element: &At<'_>) -> Checked {
    if let Some(json) = element.object("sensorMetadata")? {
        let place = element.place.name("sensorMetadata");
        let metadata = At {
            json,
            place: &place,
        };
        for field in ["time", "startTime", "endTime"] {
            metadata.time(field)?;
        }
    }
    let reports = element.objects("sensorReport", |report| {
        report.word("type", Vocabulary::Measurement)?;
        report.word("exception", Vocabulary::SensorAlert)?;
        report.word("component", Vocabulary::Component)?;
        report.time("time").map(|_| ())
    })?;
    match reports {
        0 => Err(element.missing("sensorReport")),
        _ => Ok(()),
    }
}

fn text<'a>(value: &'a Value, place: &Place<'_>) -> Checked<&'a str> {
    let text = value.as_str();
    text.ok_or_else(|| place.error(Problem::Expected("a string")))
}

/// A bare word of the standard, or a URI of somebody else's.
fn known(value: &Value, vocabulary: Vocabulary, place: &Place<'_>) -> Checked {
    let word = text(value, place)?;
    if word.contains(':') || vocabulary.words().contains(&word) {
        return Ok(());
    }
    let problem = Problem::UnknownWord {
        word: word.chars().take(60).collect(),
        expected: vocabulary.described(),
    };
    Err(place.error(problem))
}

fn uri(text: &str, place: &Place<'_>) -> Checked {
    match text.split_once(':') {
        Some((scheme, rest)) if !scheme.is_empty() && !rest.is_empty() => Ok(()),
        _ => {
            let problem = Problem::NotUri(text.chars().take(120).collect());
            Err(place.error(problem))
        }
    }
}

/// A URI that is right if it is one of a GS1 key.
fn epc(value: &Value, place: &Place<'_>) -> Checked {
    let text = text(value, place)?;
    uri(text, place)?;
    if urn::is_gs1_urn(text) {
        let link = urn::to_digital_link(text);
        return link.map(|_| ()).map_err(|error| place.error(error));
    }
    match DigitalLink::parse(text) {
        Err(error @ LinkError::CheckDigit { .. }) => Err(place.error(error)),
        _ => Ok(()),
    }
}
