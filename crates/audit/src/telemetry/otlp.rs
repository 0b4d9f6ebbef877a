//! Spans as OTLP has them in JSON (OpenTelemetry protocol 1.x): protobuf's JSON, but for ids in hexadecimal
//! digits and enums as numbers. 64 bits are text.

use std::time::{SystemTime, UNIX_EPOCH};

use serde::{Deserialize, Serialize, Serializer};

use super::span::{Ended, Value};

/// The status of what failed, as OTLP numbers them.
const ERROR: u8 = 2;

/// Which process spans are of: one service, in one of its replicas.
#[derive(Debug)]
pub(super) struct Process {
    pub(super) service: String,
    pub(super) replica: String,
}

/// The body of a request with these spans (`ExportTraceServiceRequest`).
pub(super) fn document(process: &Process, spans: &[Ended]) -> Vec<u8> {
    let about = [
        ("service.name", &*process.service),
        ("service.version", env!("CARGO_PKG_VERSION")),
        ("service.instance.id", &*process.replica),
    ];
    let attributes = about.map(|(key, word)| (key, Any::StringValue(word)).into());
    let document = Document {
        resource_spans: [ResourceSpans {
            resource: Resource { attributes },
            scope_spans: [ScopeSpans {
                scope: Scope {
                    name: "counterfoil",
                    version: env!("CARGO_PKG_VERSION"),
                },
                spans: spans.iter().map(Span::from).collect(),
            }],
        }],
    };
    serde_json::to_vec(&document).expect("text and numbers are JSON")
}

/// What a collector that took a request did not take of it (`ExportTraceServiceResponse`): how many spans, and
/// why.
pub(super) fn rejected(answer: &[u8]) -> Option<(u64, String)> {
    let answer: Answer = serde_json::from_slice(answer).ok()?;
    let partial = answer.partial_success?;
    let spans = match partial.rejected_spans {
        Count::Text(text) => text.parse().ok()?,
        Count::Number(number) => number,
    };
    (spans > 0).then_some((spans, partial.error_message))
}

#[derive(Serialize)]
#[serde(rename_all = "camelCase")]
struct Document<'a> {
    resource_spans: [ResourceSpans<'a>; 1],
}

#[derive(Serialize)]
#[serde(rename_all = "camelCase")]
struct ResourceSpans<'a> {
    resource: Resource<'a>,
    scope_spans: [ScopeSpans<'a>; 1],
}

#[derive(Serialize)]
struct Resource<'a> {
    attributes: [Attribute<'a>; 3],
}

#[derive(Serialize)]
struct ScopeSpans<'a> {
    scope: Scope,
    spans: Vec<Span<'a>>,
}

#[derive(Serialize)]
struct Scope {
    name: &'static str,
    version: &'static str,
}

#[derive(Serialize)]
#[serde(rename_all = "camelCase")]
struct Span<'a> {
    trace_id: String,
    span_id: String,
    #[serde(skip_serializing_if = "Option::is_none")]
    parent_span_id: Option<String>,
    name: &'a str,
    kind: u8,
    #[serde(serialize_with = "text")]
    start_time_unix_nano: u128,
    #[serde(serialize_with = "text")]
    end_time_unix_nano: u128,
    #[serde(skip_serializing_if = "Vec::is_empty")]
    attributes: Vec<Attribute<'a>>,
    #[serde(skip_serializing_if = "Option::is_none")]
    status: Option<Status>,
}

#[derive(Serialize)]
struct Status {
    code: u8,
}

#[derive(Serialize)]
struct Attribute<'a> {
    key: &'a str,
    value: Any<'a>,
}

#[derive(Serialize)]
#[serde(rename_all = "camelCase")]
enum Any<'a> {
    StringValue(&'a str),
    #[serde(serialize_with = "text")]
    IntValue(u16),
}

#[derive(Deserialize)]
#[serde(rename_all = "camelCase")]
struct Answer {
    partial_success: Option<Partial>,
}

#[derive(Deserialize)]
#[serde(rename_all = "camelCase", default)]
struct Partial {
    rejected_spans: Count,
    error_message: String,
}

impl Default for Partial {
    fn default() -> Self {
        Self {
            rejected_spans: Count::Number(0),
            error_message: String::new(),
        }
    }
}

/// 64 bits: text, or a number from who writes them so.
#[derive(Deserialize)]
#[serde(untagged)]
enum Count {
    Text(String),
    Number(u64),
}

impl<'a> From<&'a Ended> for Span<'a> {
    fn from(span: &'a Ended) -> Self {
        let attributes = span.attributes.iter().map(|(key, value)| match value {
            Value::Word(word) => (*key, Any::StringValue(word)).into(),
            Value::Number(number) => (*key, Any::IntValue(*number)).into(),
        });
        Self {
            trace_id: format!("{:032x}", span.context.trace),
            span_id: format!("{:016x}", span.context.span),
            parent_span_id: span.parent.map(|parent| format!("{parent:016x}")),
            name: &span.name,
            kind: span.kind as u8,
            start_time_unix_nano: nanos(span.start),
            end_time_unix_nano: nanos(span.start + span.took),
            attributes: attributes.collect(),
            status: span.failed.then_some(Status { code: ERROR }),
        }
    }
}

impl<'a> From<(&'a str, Any<'a>)> for Attribute<'a> {
    fn from((key, value): (&'a str, Any<'a>)) -> Self {
        Self { key, value }
    }
}

fn text<S: Serializer>(number: &impl ToString, serializer: S) -> Result<S::Ok, S::Error> {
    serializer.serialize_str(&number.to_string())
}

fn nanos(at: SystemTime) -> u128 {
    at.duration_since(UNIX_EPOCH).unwrap_or_default().as_nanos()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_part_that_was_not_taken_is_read_as_protobuf_and_others_write_it() {
        let answer = |partial: &str| format!("{{\"partialSuccess\":{partial}}}").into_bytes();
        let told = rejected(&answer(r#"{"rejectedSpans":"3","errorMessage":"too old"}"#));
        assert_eq!(told, Some((3, "too old".to_owned())));
        let told = rejected(&answer(r#"{"rejectedSpans":3}"#));
        assert_eq!(told, Some((3, String::new())));
        for all_taken in [
            b"".to_vec(),
            b"{}".to_vec(),
            b"ok".to_vec(),
            answer("null"),
            answer("{}"),
            answer(r#"{"rejectedSpans":"0","errorMessage":"old fields"}"#),
            answer(r#"{"rejectedSpans":"-1"}"#),
        ] {
            assert_eq!(rejected(&all_taken), None, "{all_taken:?}");
        }
    }
}
