//! One event, checked, with its JSON as it came (EPCIS 2.0 section 7.4).

use std::sync::Arc;

use serde_json::{Map, Value};

use crate::context::Namespaces;
use crate::error::{DocumentError, Problem};
use crate::timestamp::{Timestamp, ZoneOffset};
use crate::validate;

/// The types of events (EPCIS 2.0 sections 7.4.2 to 7.4.6).
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub enum EventType {
    /// Something happened to objects.
    Object,
    /// Objects were put together with, or taken from, a parent.
    Aggregation,
    /// Objects were attached to, or taken from, another thing or place for good.
    Association,
    /// Objects were tied to, or freed from, business transactions.
    Transaction,
    /// Inputs became outputs.
    Transformation,
}

impl EventType {
    /// All of them.
    pub const ALL: [Self; 5] = [
        Self::Object,
        Self::Aggregation,
        Self::Association,
        Self::Transaction,
        Self::Transformation,
    ];

    /// The name in JSON, for example `ObjectEvent`.
    pub fn name(self) -> &'static str {
        match self {
            Self::Object => "ObjectEvent",
            Self::Aggregation => "AggregationEvent",
            Self::Association => "AssociationEvent",
            Self::Transaction => "TransactionEvent",
            Self::Transformation => "TransformationEvent",
        }
    }

    /// The type with this name.
    pub fn named(name: &str) -> Option<Self> {
        Self::ALL.into_iter().find(|kind| kind.name() == name)
    }
}

/// How an event relates to the life of its objects (EPCIS 2.0 section 7.3.2).
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub enum Action {
    /// They begin, or are added.
    Add,
    /// They were seen, and nothing was added or taken away.
    Observe,
    /// They end, or are taken away.
    Delete,
}

impl Action {
    /// The word in JSON.
    pub fn name(self) -> &'static str {
        match self {
            Self::Add => "ADD",
            Self::Observe => "OBSERVE",
            Self::Delete => "DELETE",
        }
    }

    /// The action with this word.
    pub fn named(name: &str) -> Option<Self> {
        let all = [Self::Add, Self::Observe, Self::Delete];
        all.into_iter().find(|action| action.name() == name)
    }
}

/// An event that fulfils what the standard requires of its type.
///
/// The accessors read the JSON as it came: words and identifiers are as written. Compare them by
/// [`Vocabulary::expand`](crate::Vocabulary::expand) and [`canonical_epc`](crate::canonical_epc).
#[derive(Clone, Debug)]
pub struct Event {
    json: Map<String, Value>,
    namespaces: Arc<Namespaces>,
    pub(crate) head: Head,
}

/// What validation has parsed already.
#[derive(Clone, Debug)]
pub(crate) struct Head {
    pub(crate) kind: EventType,
    pub(crate) event_time: Timestamp,
    pub(crate) offset: ZoneOffset,
    pub(crate) record_time: Option<Timestamp>,
    pub(crate) action: Option<Action>,
}

/// A number of things of one class (EPCIS 2.0 section 7.3.3.3).
#[derive(Clone, Copy, Debug, PartialEq)]
pub struct Quantity<'a> {
    /// The class, for example a lot.
    pub epc_class: &'a str,
    /// How many or how much; absent if unknown.
    pub quantity: Option<f64>,
    /// The unit (UN/CEFACT Recommendation 20), absent if things are counted.
    pub uom: Option<&'a str>,
}

/// A business transaction, or a source or destination, with its type (EPCIS 2.0 sections 7.3.5.3
/// and 7.3.5.4).
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Typed<'a> {
    /// The type as written; a business transaction may have none.
    pub kind: Option<&'a str>,
    /// The identifier.
    pub id: &'a str,
}

/// That an event was recorded in error (EPCIS 2.0 section 7.4.1.2).
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct ErrorDeclaration<'a> {
    /// When the error was declared.
    pub declaration_time: Timestamp,
    /// Why, as written.
    pub reason: Option<&'a str>,
    /// Events that say what happened instead.
    pub corrective_event_ids: Vec<&'a str>,
}

/// What sensors reported together (EPCIS 2.0 section 7.3.7).
#[derive(Clone, Debug, PartialEq)]
pub struct SensorElement<'a> {
    /// When and by which device.
    pub metadata: Option<&'a Map<String, Value>>,
    /// The reports: what was measured, and its value.
    pub reports: Vec<&'a Map<String, Value>>,
}

impl Event {
    /// Reads one event. What its own `@context` declares comes before `namespaces`.
    pub fn from_json(value: Value, namespaces: &Arc<Namespaces>) -> Result<Self, DocumentError> {
        match value {
            Value::Object(json) => Self::read(json, namespaces, ""),
            _ => Err(DocumentError::at("", Problem::Expected("an object"))),
        }
    }

    pub(crate) fn read(
        json: Map<String, Value>,
        namespaces: &Arc<Namespaces>,
        place: &str,
    ) -> Result<Self, DocumentError> {
        let namespaces = match json.get("@context") {
            Some(context) => {
                let place = crate::error::below(place, "@context");
                Arc::new(namespaces.and(context, &place)?)
            }
            None => Arc::clone(namespaces),
        };
        let head = validate::event(&json, &namespaces, place)?;
        Ok(Self {
            json,
            namespaces,
            head,
        })
    }

    /// Everything that was said, as it was said.
    pub fn json(&self) -> &Map<String, Value> {
        &self.json
    }

    /// What the event's prefixes stand for.
    pub fn namespaces(&self) -> &Namespaces {
        &self.namespaces
    }

    /// `type`.
    pub fn kind(&self) -> EventType {
        self.head.kind
    }

    /// `eventTime`: when it happened.
    pub fn event_time(&self) -> Timestamp {
        self.head.event_time
    }

    /// `eventTimeZoneOffset`: what local clocks showed there.
    pub fn zone_offset(&self) -> ZoneOffset {
        self.head.offset
    }

    /// `recordTime`: when a repository received it.
    pub fn record_time(&self) -> Option<Timestamp> {
        self.head.record_time
    }

    /// `action`; a transformation has none.
    pub fn action(&self) -> Option<Action> {
        self.head.action
    }

    /// `eventID`.
    pub fn event_id(&self) -> Option<&str> {
        self.text("eventID")
    }

    /// `parentID`.
    pub fn parent_id(&self) -> Option<&str> {
        self.text("parentID")
    }

    /// `transformationID`.
    pub fn transformation_id(&self) -> Option<&str> {
        self.text("transformationID")
    }

    /// `bizStep`: which step of a business this was.
    pub fn biz_step(&self) -> Option<&str> {
        self.text("bizStep")
    }

    /// `disposition`: the state of the objects afterwards.
    pub fn disposition(&self) -> Option<&str> {
        self.text("disposition")
    }

    /// The dispositions that `persistentDisposition` sets (`set`) or ends (`unset`).
    pub fn persistent_disposition(&self, part: &str) -> impl Iterator<Item = &str> {
        let both = self.json.get("persistentDisposition");
        texts(both.and_then(|both| both.get(part)))
    }

    /// `readPoint`: where it happened.
    pub fn read_point(&self) -> Option<&str> {
        self.json.get("readPoint")?.get("id")?.as_str()
    }

    /// `bizLocation`: where the objects are afterwards.
    pub fn biz_location(&self) -> Option<&str> {
        self.json.get("bizLocation")?.get("id")?.as_str()
    }

    /// `epcList`: the objects of an object or transaction event.
    pub fn epc_list(&self) -> impl Iterator<Item = &str> {
        self.texts("epcList")
    }

    /// `childEPCs`: the children of an aggregation or association.
    pub fn child_epcs(&self) -> impl Iterator<Item = &str> {
        self.texts("childEPCs")
    }

    /// `inputEPCList`: what a transformation consumed.
    pub fn input_epc_list(&self) -> impl Iterator<Item = &str> {
        self.texts("inputEPCList")
    }

    /// `outputEPCList`: what a transformation made.
    pub fn output_epc_list(&self) -> impl Iterator<Item = &str> {
        self.texts("outputEPCList")
    }

    /// `quantityList`.
    pub fn quantity_list(&self) -> impl Iterator<Item = Quantity<'_>> {
        self.quantities("quantityList")
    }

    /// `childQuantityList`.
    pub fn child_quantity_list(&self) -> impl Iterator<Item = Quantity<'_>> {
        self.quantities("childQuantityList")
    }

    /// `inputQuantityList`.
    pub fn input_quantity_list(&self) -> impl Iterator<Item = Quantity<'_>> {
        self.quantities("inputQuantityList")
    }

    /// `outputQuantityList`.
    pub fn output_quantity_list(&self) -> impl Iterator<Item = Quantity<'_>> {
        self.quantities("outputQuantityList")
    }

    /// `bizTransactionList`.
    pub fn biz_transactions(&self) -> impl Iterator<Item = Typed<'_>> {
        self.typed("bizTransactionList", "bizTransaction")
    }

    /// `sourceList`: where a transfer begins.
    pub fn sources(&self) -> impl Iterator<Item = Typed<'_>> {
        self.typed("sourceList", "source")
    }

    /// `destinationList`: where a transfer ends.
    pub fn destinations(&self) -> impl Iterator<Item = Typed<'_>> {
        self.typed("destinationList", "destination")
    }

    /// `errorDeclaration`.
    pub fn error_declaration(&self) -> Option<ErrorDeclaration<'_>> {
        let declared = self.json.get("errorDeclaration")?;
        Some(ErrorDeclaration {
            declaration_time: Timestamp::parse(declared.get("declarationTime")?.as_str()?)?,
            reason: declared.get("reason").and_then(Value::as_str),
            corrective_event_ids: texts(declared.get("correctiveEventIDs")).collect(),
        })
    }

    /// `sensorElementList`.
    pub fn sensor_elements(&self) -> impl Iterator<Item = SensorElement<'_>> {
        self.objects("sensorElementList")
            .map(|element| SensorElement {
                metadata: element.get("sensorMetadata").and_then(Value::as_object),
                reports: objects(element.get("sensorReport")).collect(),
            })
    }

    /// A field that is a string, an extension too, by its name in JSON.
    pub fn text(&self, field: &str) -> Option<&str> {
        self.json.get(field)?.as_str()
    }

    fn texts(&self, field: &str) -> impl Iterator<Item = &str> {
        texts(self.json.get(field))
    }

    fn objects(&self, field: &str) -> impl Iterator<Item = &Map<String, Value>> {
        objects(self.json.get(field))
    }

    fn quantities(&self, field: &str) -> impl Iterator<Item = Quantity<'_>> {
        self.objects(field).filter_map(|element| {
            Some(Quantity {
                epc_class: element.get("epcClass")?.as_str()?,
                quantity: element.get("quantity").and_then(Value::as_f64),
                uom: element.get("uom").and_then(Value::as_str),
            })
        })
    }

    fn typed(&self, list: &str, field: &'static str) -> impl Iterator<Item = Typed<'_>> {
        self.objects(list).filter_map(move |element| {
            Some(Typed {
                kind: element.get("type").and_then(Value::as_str),
                id: element.get(field)?.as_str()?,
            })
        })
    }
}

fn texts(list: Option<&Value>) -> impl Iterator<Item = &str> {
    let list = list
        .and_then(Value::as_array)
        .map_or(&[][..], Vec::as_slice);
    list.iter().filter_map(Value::as_str)
}

fn objects(list: Option<&Value>) -> impl Iterator<Item = &Map<String, Value>> {
    let list = list
        .and_then(Value::as_array)
        .map_or(&[][..], Vec::as_slice);
    list.iter().filter_map(Value::as_object)
}

#[cfg(test)]
mod tests {
    use serde_json::json;

    use super::*;

    #[test]
    fn every_dimension_of_an_event_is_read() {
        let event = Event::from_json(
            json!({
                "type": "ObjectEvent", "action": "ADD", "eventID": "urn:uuid:1",
                "eventTime": "2026-07-15T09:30:00+02:00", "eventTimeZoneOffset": "+02:00",
                "recordTime": "2026-07-15T08:00:00Z",
                "quantityList": [{"epcClass": "urn:epc:class:lgtin:4012345.012345.A", "quantity": 12.5, "uom": "KGM"}],
                "bizStep": "commissioning", "disposition": "active",
                "persistentDisposition": {"set": ["completeness_verified"]},
                "readPoint": {"id": "urn:epc:id:sgln:4012345.00005.0"},
                "bizLocation": {"id": "https://id.gs1.org/414/4012345000054"},
                "bizTransactionList": [{"type": "po", "bizTransaction": "urn:x:1"}, {"bizTransaction": "urn:x:2"}],
                "sourceList": [{"type": "owning_party", "source": "urn:epc:id:pgln:4012345.00000"}],
                "errorDeclaration": {"declarationTime": "2026-07-16T00:00:00Z", "reason": "incorrect_data", "correctiveEventIDs": ["urn:uuid:2"]},
                "sensorElementList": [{"sensorMetadata": {"time": "2026-07-15T09:29:00Z"}, "sensorReport": [{"type": "Temperature", "value": 4, "uom": "CEL"}]}],
                "ilmd": {"cbvmda:lotNumber": "A"},
            }),
            &Arc::default(),
        )
        .unwrap();
        assert_eq!(event.kind(), EventType::Object);
        assert_eq!(event.action(), Some(Action::Add));
        assert_eq!(event.event_time().to_string(), "2026-07-15T07:30:00.000Z");
        assert!(event.record_time() > Some(event.event_time()));
        assert_eq!(event.zone_offset().minutes(), 120);
        let quantity = event.quantity_list().next().unwrap();
        assert_eq!((quantity.quantity, quantity.uom), (Some(12.5), Some("KGM")));
        let kinds: Vec<_> = event.biz_transactions().map(|typed| typed.kind).collect();
        assert_eq!(kinds, [Some("po"), None]);
        assert_eq!(event.sources().count() + event.destinations().count(), 1);
        assert_eq!(event.read_point(), Some("urn:epc:id:sgln:4012345.00005.0"));
        assert_eq!(
            event.biz_location(),
            Some("https://id.gs1.org/414/4012345000054")
        );
        assert_eq!(event.persistent_disposition("set").count(), 1);
        let declared = event.error_declaration().unwrap();
        assert_eq!(declared.corrective_event_ids, ["urn:uuid:2"]);
        assert_eq!(event.sensor_elements().next().unwrap().reports.len(), 1);
        assert_eq!(event.epc_list().count(), 0);
    }
}
