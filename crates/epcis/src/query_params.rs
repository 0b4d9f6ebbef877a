//! Reading the parameters of a query, from a query string or from JSON (EPCIS 2.0 sections 8.2.7.1
//! and 12.7).

use serde_json::Value;

use crate::epc::{EpcPattern, canonical_epc};
use crate::event::{Action, EventType};
use crate::limits::{MAX_PER_PAGE, MAX_QUERY_PARAMETERS, MAX_QUERY_VALUES, MAX_URI_BYTES};
use crate::query::{
    Bound, EpcFields, Filter, IdField, OrderBy, Query, QueryError, TimeField, TypedList, WordField,
};
use crate::timestamp::Timestamp;

impl Query {
    /// Reads the pairs of a query string, names and values already unescaped. A list is given by
    /// repeating the parameter, or by `|` between values.
    ///
    /// ```
    /// use counterfoil_epcis::Query;
    /// let query = Query::parse([("EQ_bizStep", "shipping|receiving"), ("perPage", "30")])?;
    /// assert_eq!(query.per_page(), Some(30));
    /// assert!(Query::parse([("EQ_bizstep", "shipping")]).is_err());
    /// # Ok::<(), counterfoil_epcis::QueryError>(())
    /// ```
    pub fn parse<'a>(
        pairs: impl IntoIterator<Item = (&'a str, &'a str)>,
    ) -> Result<Self, QueryError> {
        let mut reader = Reader::default();
        for (name, value) in pairs {
            reader.parameter(name)?;
            for value in value.split('|') {
                reader.value(name, value)?;
            }
        }
        reader.done()
    }

    /// Reads the `query` object of a named query: lists are JSON lists.
    pub fn from_json(query: &Value) -> Result<Self, QueryError> {
        let refused = |parameter: &str, value: &Value, expected: &str| QueryError::Value {
            parameter: parameter.to_owned(),
            value: value.to_string().chars().take(120).collect(),
            expected: expected.to_owned(),
        };
        let Value::Object(parameters) = query else {
            return Err(refused("query", query, "an object of parameters"));
        };
        let mut reader = Reader::default();
        for (name, value) in parameters {
            reader.parameter(name)?;
            let values = match value {
                Value::Array(values) => values.as_slice(),
                value => std::slice::from_ref(value),
            };
            for value in values {
                match value {
                    Value::String(text) => reader.value(name, text)?,
                    Value::Number(_) | Value::Bool(_) => reader.value(name, &value.to_string())?,
                    other => return Err(refused(name, other, "a string, a number or a list")),
                }
            }
        }
        reader.done()
    }
}

#[derive(Default)]
struct Reader {
    query: Query,
    parameters: usize,
    values: usize,
    ordered: bool,
    directed: bool,
}

impl Reader {
    fn parameter(&mut self, name: &str) -> Result<(), QueryError> {
        self.parameters += 1;
        if self.parameters > MAX_QUERY_PARAMETERS {
            return Err(QueryError::TooMany {
                what: "parameters",
                limit: MAX_QUERY_PARAMETERS,
            });
        }
        match name.len() > MAX_URI_BYTES {
            true => Err(unknown(name)),
            false => Ok(()),
        }
    }

    fn value(&mut self, name: &str, value: &str) -> Result<(), QueryError> {
        self.values += 1;
        if self.values > MAX_QUERY_VALUES {
            return Err(QueryError::TooMany {
                what: "values",
                limit: MAX_QUERY_VALUES,
            });
        }
        let refused = |expected: &str| refuse(name, value, expected);
        if value.is_empty() || value.len() > MAX_URI_BYTES {
            return Err(refused("not empty, and at most 2048 bytes"));
        }
        match name {
            "orderBy" => {
                self.query.order_by = match value {
                    "eventTime" => OrderBy::EventTime,
                    "recordTime" => OrderBy::RecordTime,
                    _ => return Err(refused("eventTime or recordTime")),
                };
                once(&mut self.ordered, name)
            }
            "orderDirection" => {
                self.query.ascending = match value {
                    "ASC" => true,
                    "DESC" => false,
                    _ => return Err(refused("ASC or DESC")),
                };
                once(&mut self.directed, name)
            }
            "eventCountLimit" => set(&mut self.query.event_count_limit, name, count(name, value)?),
            "maxEventCount" => set(&mut self.query.max_event_count, name, count(name, value)?),
            "perPage" => {
                let page = count(name, value)?.min(MAX_PER_PAGE);
                set(&mut self.query.per_page, name, page)
            }
            "nextPageToken" => set(&mut self.query.next_page_token, name, value.to_owned()),
            _ => self.narrow(name, filter(name, value)?),
        }
    }

    /// Another value of a parameter is another way to fulfil it.
    fn narrow(&mut self, name: &str, filter: Filter) -> Result<(), QueryError> {
        let mut filters = self.query.filters.iter_mut();
        let Some((_, before)) = filters.find(|(known, _)| known == name) else {
            self.query.filters.push((name.to_owned(), filter));
            return Ok(());
        };
        match (before, filter) {
            (Filter::EventType(all), Filter::EventType(more)) => all.extend(more),
            (Filter::Action(all), Filter::Action(more)) => all.extend(more),
            (Filter::Word(_, all), Filter::Word(_, more))
            | (Filter::Id(_, all), Filter::Id(_, more))
            | (Filter::Typed(_, _, all), Filter::Typed(_, _, more)) => all.extend(more),
            (Filter::Epc(_, all), Filter::Epc(_, more)) => all.extend(more),
            _ => return Err(QueryError::Repeated(name.to_owned())),
        }
        Ok(())
    }

    fn done(self) -> Result<Query, QueryError> {
        match (self.query.event_count_limit, self.query.max_event_count) {
            (Some(_), Some(_)) => Err(QueryError::BothLimits),
            _ => Ok(self.query),
        }
    }
}

fn filter(name: &str, value: &str) -> Result<Filter, QueryError> {
    let refused = |expected: &str| refuse(name, value, expected);
    if let Some(field) = name.strip_prefix("MATCH_") {
        let fields = epc_fields(field).ok_or_else(|| unknown(name))?;
        let pattern = EpcPattern::parse(value).map_err(|error| refused(&error.to_string()))?;
        return Ok(Filter::Epc(fields, vec![pattern]));
    }
    for (start, bound) in [("GE_", Bound::AtOrAfter), ("LT_", Bound::Before)] {
        let Some(field) = name.strip_prefix(start) else {
            continue;
        };
        let field = match field {
            "eventTime" => TimeField::Event,
            "recordTime" => TimeField::Record,
            "errorDeclarationTime" | "errorDeclaration_Time" => TimeField::ErrorDeclaration,
            _ => return Err(unknown(name)),
        };
        let at = Timestamp::parse(value)
            .ok_or_else(|| refused("a time with an offset, such as 2026-07-15T09:30:00Z"))?;
        return Ok(Filter::Time(field, bound, at));
    }
    let word = |field: WordField| {
        let word = field.vocabulary().expand(value).into_owned();
        Ok(Filter::Word(field, vec![word]))
    };
    let id = |field| Ok(Filter::Id(field, vec![canonical_epc(value).into_owned()]));
    match name {
        "eventType" => EventType::named(value)
            .map(|kind| Filter::EventType(vec![kind]))
            .ok_or_else(|| refused("a type of event, such as ObjectEvent")),
        "EQ_action" => Action::named(value)
            .map(|action| Filter::Action(vec![action]))
            .ok_or_else(|| refused("ADD, OBSERVE or DELETE")),
        "EQ_bizStep" => word(WordField::BizStep),
        "EQ_disposition" => word(WordField::Disposition),
        "EQ_persistentDisposition_set" => word(WordField::PersistentSet),
        "EQ_persistentDisposition_unset" => word(WordField::PersistentUnset),
        "EQ_errorReason" => word(WordField::ErrorReason),
        "EQ_readPoint" => id(IdField::ReadPoint),
        "EQ_bizLocation" => id(IdField::BizLocation),
        "EQ_eventID" => id(IdField::EventId),
        "EQ_transformationID" => id(IdField::TransformationId),
        "EQ_correctiveEventID" => id(IdField::CorrectiveEventId),
        "EXISTS_errorDeclaration" => match value {
            "true" => Ok(Filter::ErrorDeclared),
            _ => Err(refused("true")),
        },
        _ => {
            let (list, kind) = typed_list(name).ok_or_else(|| unknown(name))?;
            let kind = list.vocabulary().expand(kind).into_owned();
            Ok(Filter::Typed(
                list,
                kind,
                vec![canonical_epc(value).into_owned()],
            ))
        }
    }
}

fn epc_fields(name: &str) -> Option<EpcFields> {
    Some(match name {
        "epc" => EpcFields::Epc,
        "parentID" => EpcFields::ParentId,
        "inputEPC" => EpcFields::InputEpc,
        "outputEPC" => EpcFields::OutputEpc,
        "anyEPC" => EpcFields::AnyEpc,
        "epcClass" => EpcFields::EpcClass,
        "inputEPCClass" => EpcFields::InputEpcClass,
        "outputEPCClass" => EpcFields::OutputEpcClass,
        "anyEPCClass" => EpcFields::AnyEpcClass,
        _ => return None,
    })
}

/// `EQ_bizTransaction_po` and its like: the list and the type.
fn typed_list(name: &str) -> Option<(TypedList, &str)> {
    let lists = [
        ("EQ_bizTransaction_", TypedList::BizTransaction),
        ("EQ_source_", TypedList::Source),
        ("EQ_destination_", TypedList::Destination),
    ];
    let mut found = lists.into_iter().filter_map(|(start, list)| {
        let kind = name.strip_prefix(start)?;
        (!kind.is_empty()).then_some((list, kind))
    });
    found.next()
}

fn count(name: &str, value: &str) -> Result<u32, QueryError> {
    let count = value.parse().ok().filter(|count| *count > 0);
    count.ok_or_else(|| refuse(name, value, "a number of at least 1"))
}

fn once(given: &mut bool, name: &str) -> Result<(), QueryError> {
    match std::mem::replace(given, true) {
        true => Err(QueryError::Repeated(name.to_owned())),
        false => Ok(()),
    }
}

fn set<T>(slot: &mut Option<T>, name: &str, value: T) -> Result<(), QueryError> {
    match slot.replace(value) {
        Some(_) => Err(QueryError::Repeated(name.to_owned())),
        None => Ok(()),
    }
}

fn unknown(name: &str) -> QueryError {
    QueryError::UnknownParameter(name.chars().take(120).collect())
}

fn refuse(parameter: &str, value: &str, expected: &str) -> QueryError {
    QueryError::Value {
        parameter: parameter.to_owned(),
        value: value.chars().take(120).collect(),
        expected: expected.to_owned(),
    }
}

#[cfg(test)]
mod tests {
    use std::sync::Arc;

    use serde_json::json;

    use super::*;
    use crate::event::Event;

    fn event(more: Value) -> Event {
        let mut json = json!({
            "@context": {"ex": "https://ns.example.com/"},
            "type": "ObjectEvent", "action": "OBSERVE", "eventID": "urn:uuid:1",
            "eventTime": "2026-07-15T09:30:00+02:00", "eventTimeZoneOffset": "+02:00",
            "epcList": ["urn:epc:id:sgtin:4012345.012345.987"],
            "quantityList": [{"epcClass": "urn:epc:class:lgtin:4012345.012345.A"}],
            "bizStep": "shipping", "disposition": "urn:epcglobal:cbv:disp:in_transit",
            "readPoint": {"id": "urn:epc:id:sgln:4012345.00005.0"},
            "bizTransactionList": [{"type": "po", "bizTransaction": "urn:x:1"}],
            "sourceList": [{"type": "ex:dock", "source": "urn:epc:id:pgln:4012345.00000"}],
        });
        for (name, value) in more.as_object().unwrap() {
            json[name.as_str()] = value.clone();
        }
        Event::from_json(json, &Arc::default()).unwrap()
    }

    fn matches(name: &str, value: &str, event: &Event) -> bool {
        Query::parse([(name, value)]).unwrap().matches(event)
    }

    #[test]
    fn each_parameter_narrows() {
        let event = event(json!({}));
        for (name, yes, no) in [
            ("eventType", "ObjectEvent", "TransactionEvent"),
            ("EQ_action", "ADD|OBSERVE", "DELETE"),
            (
                "EQ_bizStep",
                "https://ref.gs1.org/cbv/BizStep-shipping",
                "receiving",
            ),
            ("EQ_disposition", "in_transit", "active"),
            (
                "EQ_readPoint",
                "https://id.gs1.org/414/4012345000054",
                "urn:x:2",
            ),
            ("EQ_eventID", "urn:uuid:1", "urn:uuid:2"),
            ("EQ_bizTransaction_po", "urn:x:1", "urn:x:2"),
            (
                "EQ_source_https://ns.example.com/dock",
                "https://id.gs1.org/417/4012345000009",
                "urn:x:2",
            ),
            (
                "GE_eventTime",
                "2026-07-15T07:30:00Z",
                "2026-07-15T07:30:00.001Z",
            ),
            (
                "LT_eventTime",
                "2026-07-15T07:30:00.001Z",
                "2026-07-15T07:30:00Z",
            ),
            (
                "MATCH_epc",
                "urn:epc:idpat:sgtin:4012345.*.*",
                "urn:epc:idpat:sgtin:4012346.*.*",
            ),
            (
                "MATCH_anyEPC",
                "https://id.gs1.org/01/04012345123456/21/987",
                "urn:x:2",
            ),
            (
                "MATCH_epcClass",
                "https://id.gs1.org/01/04012345123456/10/A",
                "urn:x:2",
            ),
        ] {
            assert!(matches(name, yes, &event), "{name}={yes}");
            assert!(!matches(name, no, &event), "{name}={no}");
        }
        for (name, value) in [
            ("EQ_bizTransaction_inv", "urn:x:1"),
            ("EQ_bizLocation", "urn:x:1"),
            ("GE_recordTime", "2000-01-01T00:00:00Z"),
            ("EXISTS_errorDeclaration", "true"),
            ("MATCH_parentID", "urn:x:1"),
            ("MATCH_inputEPC", "urn:epc:id:sgtin:4012345.012345.987"),
        ] {
            assert!(!matches(name, value, &event), "{name}");
        }
    }

    #[test]
    fn errors_are_found_by_their_declaration() {
        let declared = json!({"errorDeclaration": {
            "declarationTime": "2026-07-16T00:00:00Z", "reason": "did_not_occur", "correctiveEventIDs": ["urn:uuid:2"],
        }});
        let event = event(declared);
        for (name, value) in [
            ("EXISTS_errorDeclaration", "true"),
            ("EQ_errorReason", "urn:epcglobal:cbv:er:did_not_occur"),
            ("EQ_correctiveEventID", "urn:uuid:2"),
            ("GE_errorDeclarationTime", "2026-07-16T00:00:00Z"),
        ] {
            assert!(matches(name, value, &event), "{name}");
        }
    }

    #[test]
    fn results_are_ordered_and_limited() {
        let events: Vec<_> = ["10", "12", "11"]
            .map(|hour| event(json!({"eventTime": format!("2026-07-15T{hour}:00:00Z")})))
            .into();
        let times = |query: &Query| -> Vec<_> {
            let found = query.select(&events).unwrap();
            found
                .iter()
                .map(|event| event.event_time().to_string()[11..13].to_owned())
                .collect()
        };
        assert_eq!(times(&Query::default()), ["12", "11", "10"]);
        let pairs = [
            ("orderBy", "eventTime"),
            ("orderDirection", "ASC"),
            ("eventCountLimit", "2"),
        ];
        assert_eq!(times(&Query::parse(pairs).unwrap()), ["10", "11"]);
        let small = Query::parse([("maxEventCount", "2")]).unwrap();
        assert_eq!(small.select(&events).unwrap_err(), QueryError::TooLarge(2));
    }

    #[test]
    fn json_and_pairs_say_the_same() {
        let event = event(json!({}));
        let query = json!({"EQ_bizStep": ["receiving", "shipping"], "perPage": 5000, "EXISTS_errorDeclaration": true});
        let query = Query::from_json(&query).unwrap();
        assert_eq!(query.per_page(), Some(MAX_PER_PAGE));
        assert!(!query.matches(&event));
        let pairs = [("EQ_bizStep", "receiving"), ("EQ_bizStep", "shipping")];
        assert!(Query::parse(pairs).unwrap().matches(&event));
        assert!(Query::from_json(&json!({"EQ_bizStep": {}})).is_err());
        assert!(Query::from_json(&json!([])).is_err());
    }

    #[test]
    fn what_cannot_be_asked_is_refused() {
        for pairs in [
            &[("EQ_color", "red")][..],
            &[("EQ_bizTransaction_", "x")],
            &[("MATCH_everything", "x")],
            &[("WD_readPoint", "urn:x:1")],
            &[("GE_eventTime", "yesterday")],
            &[
                ("GE_eventTime", "2026-07-15T07:30:00Z"),
                ("GE_eventTime", "2026-07-15T07:30:00Z"),
            ],
            &[("eventType", "Event")],
            &[("EQ_bizStep", "")],
            &[("MATCH_epc", "urn:epc:id:sgtin:1.2.3")],
            &[("perPage", "0")],
            &[("perPage", "1"), ("perPage", "2")],
            &[("orderBy", "bizStep")],
            &[("eventCountLimit", "1"), ("maxEventCount", "1")],
        ] {
            assert!(Query::parse(pairs.iter().copied()).is_err(), "{pairs:?}");
        }
        let many = vec![("EQ_eventID", "urn:x:1"); MAX_QUERY_PARAMETERS + 1];
        assert!(matches!(
            Query::parse(many),
            Err(QueryError::TooMany { .. })
        ));
    }
}
