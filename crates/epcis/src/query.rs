//! The standard's simple event query as a filter (EPCIS 2.0 section 8.2.7.1, `SimpleEventQuery`).
//!
//! Every parameter narrows: an event matches if it fulfils all of them, and a parameter with
//! several values is fulfilled by one of them. Words and identifiers are compared by what they
//! mean, however either side spells them.

use crate::epc::{EpcPattern, canonical_epc};
use crate::event::{Action, Event, EventType};
use crate::timestamp::Timestamp;
use crate::words::Vocabulary;

/// What to look for, in which order and how much of it.
#[derive(Clone, Debug, Default)]
pub struct Query {
    pub(crate) filters: Vec<(String, Filter)>,
    pub(crate) order_by: OrderBy,
    pub(crate) ascending: bool,
    pub(crate) event_count_limit: Option<u32>,
    pub(crate) max_event_count: Option<u32>,
    pub(crate) per_page: Option<u32>,
    pub(crate) next_page_token: Option<String>,
}

/// By which time results are ordered (`orderBy`).
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub enum OrderBy {
    /// When events happened; also where the query names no order.
    #[default]
    EventTime,
    /// When they were recorded.
    RecordTime,
}

/// Why a query was refused, always to be corrected by whoever sent it.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
pub enum QueryError {
    /// The name is not one of the standard's, or one that is not supported here. An unknown filter
    /// is never ignored: it would give more than was asked for.
    #[error("`{0}` is not a query parameter that is known here: remove it")]
    UnknownParameter(String),
    /// The value does not fit the parameter.
    #[error("`{value}` is not a value of `{parameter}`: {expected}")]
    Value {
        /// The parameter.
        parameter: String,
        /// What was given.
        value: String,
        /// What is allowed.
        expected: String,
    },
    /// The parameter may have one value only, once.
    #[error("`{0}` is given more than once: give one value")]
    Repeated(String),
    /// `eventCountLimit` and `maxEventCount` exclude each other.
    #[error(
        "`eventCountLimit` cuts the result and `maxEventCount` refuses it when it is large: give one of them"
    )]
    BothLimits,
    /// More parameters or values than one query may have: ask several times.
    #[error("a query has at most {limit} {what}: ask several times")]
    TooMany {
        /// What there is too much of.
        what: &'static str,
        /// How many are allowed.
        limit: usize,
    },
    /// More events match than `maxEventCount`: narrow the query (the standard's
    /// `QueryTooLargeException`).
    #[error("more than the {0} events of `maxEventCount` match: narrow the query")]
    TooLarge(u32),
}

/// One narrowing.
#[derive(Clone, Debug)]
pub(crate) enum Filter {
    EventType(Vec<EventType>),
    Action(Vec<Action>),
    /// At or after (`GE_`), or before (`LT_`).
    Time(TimeField, Bound, Timestamp),
    Word(WordField, Vec<String>),
    /// Values in canonical form.
    Id(IdField, Vec<String>),
    Epc(EpcFields, Vec<EpcPattern>),
    /// An expanded type, and identifiers in canonical form.
    Typed(TypedList, String, Vec<String>),
    ErrorDeclared,
}

#[derive(Clone, Copy, Debug)]
pub(crate) enum TimeField {
    Event,
    Record,
    ErrorDeclaration,
}

#[derive(Clone, Copy, Debug)]
pub(crate) enum Bound {
    AtOrAfter,
    Before,
}

#[derive(Clone, Copy, Debug)]
pub(crate) enum WordField {
    BizStep,
    Disposition,
    PersistentSet,
    PersistentUnset,
    ErrorReason,
}

#[derive(Clone, Copy, Debug)]
pub(crate) enum IdField {
    ReadPoint,
    BizLocation,
    EventId,
    TransformationId,
    CorrectiveEventId,
}

/// The identifiers of an event that a `MATCH_` parameter looks at.
#[derive(Clone, Copy, Debug)]
pub(crate) enum EpcFields {
    Epc,
    ParentId,
    InputEpc,
    OutputEpc,
    AnyEpc,
    EpcClass,
    InputEpcClass,
    OutputEpcClass,
    AnyEpcClass,
}

#[derive(Clone, Copy, Debug)]
pub(crate) enum TypedList {
    BizTransaction,
    Source,
    Destination,
}

impl Query {
    /// Whether the event is one that is asked for.
    pub fn matches(&self, event: &Event) -> bool {
        self.filters.iter().all(|(_, filter)| filter.matches(event))
    }

    /// By which time the results are ordered.
    pub fn order_by(&self) -> OrderBy {
        self.order_by
    }

    /// Whether the earliest comes first; the standard's own order is the latest first.
    pub fn ascending(&self) -> bool {
        self.ascending
    }

    /// How many events are wanted at most; the rest is cut off.
    pub fn event_count_limit(&self) -> Option<u32> {
        self.event_count_limit
    }

    /// How many events may match; if there are more, nothing is wanted.
    pub fn max_event_count(&self) -> Option<u32> {
        self.max_event_count
    }

    /// How many events one page has, at most [`MAX_PER_PAGE`](crate::limits::MAX_PER_PAGE).
    pub fn per_page(&self) -> Option<u32> {
        self.per_page
    }

    /// Where to go on: whatever the repository handed out with the page before.
    pub fn next_page_token(&self) -> Option<&str> {
        self.next_page_token.as_deref()
    }

    /// What is asked for among some events: filtered, in order, and no more than is wanted. Equal
    /// times keep the order in which they came.
    pub fn select<'a>(
        &self,
        events: impl IntoIterator<Item = &'a Event>,
    ) -> Result<Vec<&'a Event>, QueryError> {
        let mut found: Vec<_> = events
            .into_iter()
            .filter(|event| self.matches(event))
            .collect();
        let count = |limit: u32| usize::try_from(limit).unwrap_or(usize::MAX);
        if let Some(limit) = self
            .max_event_count
            .filter(|limit| found.len() > count(*limit))
        {
            return Err(QueryError::TooLarge(limit));
        }
        found.sort_by(|a, b| {
            let time = |event: &Event| match self.order_by {
                OrderBy::EventTime => Some(event.event_time()),
                OrderBy::RecordTime => event.record_time(),
            };
            match self.ascending {
                true => time(a).cmp(&time(b)),
                false => time(b).cmp(&time(a)),
            }
        });
        found.truncate(self.event_count_limit.map_or(usize::MAX, count));
        Ok(found)
    }
}

impl Filter {
    fn matches(&self, event: &Event) -> bool {
        match self {
            Self::EventType(kinds) => kinds.contains(&event.kind()),
            Self::Action(actions) => event.action().is_some_and(|a| actions.contains(&a)),
            Self::Time(field, bound, limit) => field.of(event).is_some_and(|at| match bound {
                Bound::AtOrAfter => at >= *limit,
                Bound::Before => at < *limit,
            }),
            Self::Word(field, wanted) => field.of(event).into_iter().any(|word| {
                let word = meaning(event, field.vocabulary(), word);
                wanted.contains(&word)
            }),
            Self::Id(field, wanted) => {
                let found = field.of(event);
                let mut found = found.into_iter().map(canonical_epc);
                found.any(|id| wanted.iter().any(|wanted| *wanted == id))
            }
            Self::Epc(fields, wanted) => {
                let mut found = fields.of(event);
                found.any(|epc| wanted.iter().any(|pattern| pattern.matches(epc)))
            }
            Self::Typed(list, kind, wanted) => list.any(event, |found| {
                let of_kind = found
                    .kind
                    .is_some_and(|found| meaning(event, list.vocabulary(), found) == *kind);
                let id = canonical_epc(found.id);
                of_kind && wanted.iter().any(|wanted| *wanted == id)
            }),
            Self::ErrorDeclared => event.error_declaration().is_some(),
        }
    }
}

/// A word as a URI, prefixes of the event's own context expanded.
fn meaning(event: &Event, vocabulary: Vocabulary, word: &str) -> String {
    let word = event.namespaces().expand_value(word, true);
    vocabulary.expand(&word).into_owned()
}

impl TimeField {
    fn of(self, event: &Event) -> Option<Timestamp> {
        match self {
            Self::Event => Some(event.event_time()),
            Self::Record => event.record_time(),
            Self::ErrorDeclaration => Some(event.error_declaration()?.declaration_time),
        }
    }
}

impl WordField {
    pub(crate) fn vocabulary(self) -> Vocabulary {
        match self {
            Self::BizStep => Vocabulary::BizStep,
            Self::Disposition | Self::PersistentSet | Self::PersistentUnset => {
                Vocabulary::Disposition
            }
            Self::ErrorReason => Vocabulary::ErrorReason,
        }
    }

    fn of(self, event: &Event) -> Vec<&str> {
        match self {
            Self::BizStep => event.biz_step().into_iter().collect(),
            Self::Disposition => event.disposition().into_iter().collect(),
            Self::PersistentSet => event.persistent_disposition("set").collect(),
            Self::PersistentUnset => event.persistent_disposition("unset").collect(),
            Self::ErrorReason => {
                let declared = event.error_declaration();
                declared
                    .and_then(|declared| declared.reason)
                    .into_iter()
                    .collect()
            }
        }
    }
}

impl IdField {
    fn of(self, event: &Event) -> Vec<&str> {
        match self {
            Self::ReadPoint => event.read_point().into_iter().collect(),
            Self::BizLocation => event.biz_location().into_iter().collect(),
            Self::EventId => event.event_id().into_iter().collect(),
            Self::TransformationId => event.transformation_id().into_iter().collect(),
            Self::CorrectiveEventId => {
                let declared = event.error_declaration();
                declared.map_or_else(Vec::new, |declared| declared.corrective_event_ids)
            }
        }
    }
}

impl EpcFields {
    fn of(self, event: &Event) -> Box<dyn Iterator<Item = &str> + '_> {
        let objects = || event.epc_list().chain(event.child_epcs());
        let classes = || event.quantity_list().chain(event.child_quantity_list());
        match self {
            Self::Epc => Box::new(objects()),
            Self::ParentId => Box::new(event.parent_id().into_iter()),
            Self::InputEpc => Box::new(event.input_epc_list()),
            Self::OutputEpc => Box::new(event.output_epc_list()),
            Self::AnyEpc => {
                let transformed = event.input_epc_list().chain(event.output_epc_list());
                Box::new(objects().chain(event.parent_id()).chain(transformed))
            }
            Self::EpcClass => Box::new(classes().map(|q| q.epc_class)),
            Self::InputEpcClass => Box::new(event.input_quantity_list().map(|q| q.epc_class)),
            Self::OutputEpcClass => Box::new(event.output_quantity_list().map(|q| q.epc_class)),
            Self::AnyEpcClass => {
                let transformed = event.input_quantity_list();
                let transformed = transformed.chain(event.output_quantity_list());
                Box::new(classes().chain(transformed).map(|q| q.epc_class))
            }
        }
    }
}

impl TypedList {
    pub(crate) fn vocabulary(self) -> Vocabulary {
        match self {
            Self::BizTransaction => Vocabulary::BizTransactionType,
            Self::Source | Self::Destination => Vocabulary::SourceDestinationType,
        }
    }

    fn any(self, event: &Event, is: impl Fn(crate::event::Typed<'_>) -> bool) -> bool {
        match self {
            Self::BizTransaction => event.biz_transactions().any(is),
            Self::Source => event.sources().any(is),
            Self::Destination => event.destinations().any(is),
        }
    }
}
