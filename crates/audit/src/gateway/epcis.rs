//! EPCIS 2.0 over HTTP: `/capture` and `/events`, as the standard's REST binding has them.

use std::sync::Arc;

use axum::body::Body;
use axum::extract::State;
use axum::response::{IntoResponse, Response};
use epcis::document::Document;
use epcis::{EventHash, Namespaces, Query};
use http::header::{HeaderName, HeaderValue, LINK, LOCATION};
use http::{HeaderMap, StatusCode};
use serde_json::{Value, json};

use super::Gateway;
use super::caller::Known;
use super::json::{Answer, Path, Query as Pairs, says_json};
use crate::Problem;
use crate::body::whole;
use crate::limits::{
    EPCIS_EVENTS_LOOKED_AT, EVENTS_IN_A_DOCUMENT_MAX, PAGE_DEFAULT, PAGE_MAX, REQUEST_BYTES_MAX,
};
use crate::model::capture::{Captured, record};
use crate::model::strict;
use crate::trail::{CaptureJob, Cursor, Log};

const CONTEXT: &str = "https://ref.gs1.org/standards/epcis/2.0.0/epcis-context.jsonld";
const EPCIS_VERSION: HeaderName = HeaderName::from_static("gs1-epcis-version");
const CBV_VERSION: HeaderName = HeaderName::from_static("gs1-cbv-version");
const EXTENSIONS: HeaderName = HeaderName::from_static("gs1-extensions");

/// `POST /capture`: the events of a document. What is wrong in it is refused before anything is recorded.
pub(super) async fn capture(
    State(gateway): State<Arc<Gateway>>,
    known: Known,
    headers: HeaderMap,
    body: Body,
) -> Result<Response, Problem> {
    known.require("createData").await?;
    says_json(&headers, &["application/json", "application/ld+json"])?;
    let body = whole(body, REQUEST_BYTES_MAX).await?;
    let value = strict::parse(&body);
    let value = value.map_err(|error| Problem::input(format!("this is no JSON: {error}")))?;
    let context = value.get("@context").cloned();
    let document = Document::from_json(value, namespaces(&headers)?).map_err(|error| {
        let problem = Problem::input(error.to_string());
        match error.pointer() {
            Some(pointer) => problem.at(pointer),
            None => problem,
        }
    })?;
    if document.events().len() > EVENTS_IN_A_DOCUMENT_MAX {
        let detail =
            format!("a document has at most {EVENTS_IN_A_DOCUMENT_MAX} events: send several");
        return Err(Problem::new(
            StatusCode::PAYLOAD_TOO_LARGE,
            "TooLarge",
            detail,
        ));
    }
    let events = document.events().iter().zip(0..).map(|(event, place)| {
        let captured = Captured::of(event, context.as_ref());
        let pointer = format!("/epcisBody/eventList/{place}");
        captured.map_err(|error| Problem::input(error.to_string()).at(pointer))
    });
    let events = events.collect::<Result<Vec<_>, _>>()?;
    let job = gateway
        .trail
        .capture(known.who().clone(), known.place().clone(), events)
        .await?;
    let location = format!("/capture/{}", job.id);
    let answer = (StatusCode::ACCEPTED, [(LOCATION, location)], Answer(job));
    Ok(versioned(answer.into_response()))
}

/// `GET /capture/{job}`
pub(super) async fn job(
    State(gateway): State<Arc<Gateway>>,
    known: Known,
    Path(id): Path<String>,
) -> Result<Answer<CaptureJob>, Problem> {
    gateway
        .trail
        .capture_job(known.who().clone(), id)
        .await
        .map(Answer)
}

/// `GET /events`, with the parameters of the standard's simple event query.
pub(super) async fn events(
    State(gateway): State<Arc<Gateway>>,
    known: Known,
    Pairs(pairs): Pairs<Vec<(String, String)>>,
) -> Result<Response, Problem> {
    known.require("readData").await?;
    let query = Query::parse(
        pairs
            .iter()
            .map(|(name, value)| (name.as_str(), value.as_str())),
    );
    let query = query.map_err(|error| Problem::input(error.to_string()))?;
    let after = query.next_page_token().map(|token| {
        token
            .parse::<Cursor>()
            .map_err(|why| Problem::input(format!("nextPageToken: {why}")))
    });
    let mut after = after.transpose()?;
    let wanted = query.per_page().unwrap_or(PAGE_DEFAULT).clamp(1, PAGE_MAX) as usize;
    let (mut found, mut looked_at) = (Vec::new(), 0);
    let mut more = true;
    // A page ends when it is full, or when enough was looked at: the next one goes on from there.
    while more && found.len() < wanted && looked_at < EPCIS_EVENTS_LOOKED_AT {
        let page = gateway.trail.captured(after.clone(), PAGE_MAX).await?;
        more = page.len() == PAGE_MAX as usize;
        for (log, data) in page {
            if found.len() == wanted {
                more = true;
                break;
            }
            looked_at += 1;
            after = Some(Cursor::of(&log.event));
            let shown = shown(&log, data);
            if read(&shown).is_some_and(|event| query.matches(&event)) {
                found.push(shown);
            }
        }
    }
    let document = json!({
        "@context": [CONTEXT],
        "type": "EPCISQueryDocument",
        "schemaVersion": "2.0",
        "creationDate": crate::trail::now(),
        "epcisBody": {"queryResults": {
            "queryName": "SimpleEventQuery",
            "resultsBody": {"eventList": found},
        }},
    });
    let mut answer = versioned(Answer(document).into_response());
    if let Some(after) = after.filter(|_| more)
        && let Ok(link) =
            HeaderValue::from_str(&format!("</events?nextPageToken={after}>; rel=\"next\""))
    {
        answer.headers_mut().insert(LINK, link);
    }
    Ok(answer)
}

/// `GET /events/{eventID}`: one event, by the hash that names it.
pub(super) async fn event(
    State(gateway): State<Arc<Gateway>>,
    known: Known,
    Path(id): Path<String>,
) -> Result<Response, Problem> {
    known.require("readData").await?;
    let hash: EventHash = id.parse().map_err(|_| {
        Problem::not_found("events are named by their hash here: ni:///sha-256;...?ver=CBV2.0")
    })?;
    let (log, data) = gateway.trail.captured_one(record(&hash)).await?;
    Ok(versioned(Answer(shown(&log, data)).into_response()))
}

/// An event with what the repository adds: its name, and when it was recorded.
fn shown(log: &Log, data: Value) -> Value {
    let Value::Object(mut event) = data else {
        return data;
    };
    let hash = log.event.record.as_str().trim_start_matches("epcis:");
    let id = format!("ni:///sha-256;{hash}?ver=CBV2.0");
    event.entry("eventID").or_insert(id.into());
    event.insert("recordTime".to_owned(), log.event.when.to_string().into());
    event.into()
}

fn read(event: &Value) -> Option<epcis::Event> {
    let document = Document::from_json(event.clone(), Namespaces::default()).ok()?;
    document.into_events().pop()
}

/// Prefixes that a header declares: `GS1-Extensions: example=https://example.org/`.
fn namespaces(headers: &HeaderMap) -> Result<Namespaces, Problem> {
    let mut namespaces = Namespaces::default();
    for value in headers.get_all(EXTENSIONS) {
        let wrong = || Problem::input("GS1-Extensions is a list of prefix=namespace");
        for pair in value.to_str().map_err(|_| wrong())?.split(',') {
            let (prefix, namespace) = pair.trim().split_once('=').ok_or_else(wrong)?;
            namespaces.declare(prefix, namespace);
        }
    }
    Ok(namespaces)
}

fn versioned(mut answer: Response) -> Response {
    let headers = answer.headers_mut();
    headers.insert(EPCIS_VERSION, HeaderValue::from_static("2.0.0"));
    headers.insert(CBV_VERSION, HeaderValue::from_static("2.0.0"));
    answer
}
