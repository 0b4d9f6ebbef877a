//! Records over HTTP: POST, GET, PUT and DELETE are create, read, update and delete; the last two append.

use std::sync::Arc;

use axum::extract::State;
use axum::response::{IntoResponse, Response};
use http::header::{CACHE_CONTROL, HeaderValue, LOCATION, VARY};
use http::{HeaderMap, HeaderName, StatusCode};
use serde::{Deserialize, Serialize};
use serde_json::Value;

use super::Gateway;
use super::caller::{Known, Visitor};
use super::conditional::tagged;
use super::json::{Answer, Body, Path, Query};
use crate::Problem;
use crate::model::{
    ContentHash, Event, Mention, Operation, RecordId, ResourceId, Salt, Text, Verdict,
};
use crate::trail::{
    Act, Address, Consulted, Direction, Filter, Given, Log, Page, Question, Receipt, Stored, Trace,
};
use crate::users::user_of;

const IDEMPOTENCY_KEY: HeaderName = HeaderName::from_static("idempotency-key");

/// A record as somebody sends it.
#[derive(Debug, Deserialize)]
#[serde(deny_unknown_fields)]
pub(super) struct NewRecord {
    /// Its name; none: it gets one.
    #[serde(default)]
    record: Option<RecordId>,
    /// What it is about.
    #[serde(default)]
    about: Vec<About>,
    /// What it holds,
    #[serde(default)]
    data: Option<Value>,
    /// or a hash of that.
    #[serde(default)]
    hash: Option<ContentHash>,
    /// What was done, in one's own words.
    #[serde(default)]
    did: Text,
    /// Where, in one's own words; none: the address that the request comes from.
    #[serde(default, rename = "where")]
    place: Option<Text>,
    /// What it was aimed at.
    #[serde(default)]
    target: Text,
    /// Whether the data is kept, so that it can be shown and compared field by field.
    #[serde(default = "yes")]
    keep: bool,
}

/// A resource by its name alone, or with its part in the event.
#[derive(Debug, Deserialize)]
#[serde(untagged)]
enum About {
    Name(ResourceId),
    Part(Mention),
}

const fn yes() -> bool {
    true
}

/// A committed event: the paper's triple, the event, and the proof.
#[derive(Debug, Serialize)]
#[serde(rename_all = "camelCase")]
pub(super) struct StoredAnswer {
    /// The record.
    record: RecordId,
    /// Which of its versions this is.
    version: u64,
    /// Whose session it was (the paper's *To*).
    token: String,
    #[serde(flatten)]
    address: Address,
    event: Event,
    #[serde(skip_serializing_if = "Option::is_none")]
    salt: Option<Salt>,
    receipt: Receipt,
}

impl Gateway {
    async fn store(&self, act: Act) -> Result<Stored, Problem> {
        let stored = self.trail.store(act).await;
        self.config.edge.metrics().recorded("api", &stored);
        stored
    }

    /// Whether somebody may see what is kept of an event: of a change of a user that is their name and address, for
    /// those who may read them.
    async fn shows_content(&self, event: &Event, reader: Option<&Known>) -> Result<bool, Problem> {
        let (user, reader) = match (user_of(event), reader) {
            (None, _) => return Ok(true),
            (Some(_), None) => return Ok(false),
            (Some(user), Some(reader)) => (user, reader),
        };
        match self.users.read_user(reader.caller.clone(), user).await {
            Ok(_) => Ok(true),
            Err(problem) if matches!(problem.status, 403 | 404) => Ok(false),
            Err(problem) => Err(problem),
        }
    }

    /// Consults. Who may not see the content is not helped to guess it: there is no salt, and no field by which
    /// theirs differs.
    pub(super) async fn consulted(
        &self,
        question: Question,
        reader: Option<&Known>,
    ) -> Result<Consulted, Problem> {
        let mut said = self.trail.consult(question).await?;
        if let Some(event) = &said.event
            && !self.shows_content(event, reader).await?
        {
            said.salt = None;
            if let Verdict::Altered { fields } = &mut said.verdict {
                fields.clear();
            }
        }
        Ok(said)
    }
}

impl StoredAnswer {
    pub(super) fn new(known: &Known, stored: Stored) -> Self {
        Self {
            record: stored.event.record.clone(),
            version: stored.event.version,
            token: known.session.session.to_string(),
            address: stored.address,
            event: stored.event,
            salt: stored.salt,
            receipt: stored.receipt,
        }
    }
}

/// `POST /v1/records`
pub(super) async fn create(
    State(gateway): State<Arc<Gateway>>,
    known: Known,
    headers: HeaderMap,
    Body(new): Body<NewRecord>,
) -> Result<Response, Problem> {
    let stored = gateway
        .store(creating(&known, &headers, new).await?)
        .await?;
    Ok(created(&known, stored))
}

/// A new record, and where it is from now on.
pub(super) fn created(known: &Known, stored: Stored) -> Response {
    let location = format!("/v1/records/{}", stored.event.record);
    let answer = Answer(StoredAnswer::new(known, stored));
    (StatusCode::CREATED, [(LOCATION, location)], answer).into_response()
}

/// What somebody wants who creates a record, and may.
pub(super) async fn creating(
    known: &Known,
    headers: &HeaderMap,
    new: NewRecord,
) -> Result<Act, Problem> {
    known.require(needed(Operation::Create)).await?;
    act(known, headers, Operation::Create, new)
}

/// What somebody wants who updates a record, and may.
pub(super) async fn updating(
    known: &Known,
    headers: &HeaderMap,
    record: String,
    mut new: NewRecord,
) -> Result<Act, Problem> {
    known.require(needed(Operation::Update)).await?;
    let record = record_id(record)?;
    if new.record.as_ref().is_some_and(|named| *named != record) {
        return Err(Problem::input("the path names another record than the body").at("/record"));
    }
    new.record = Some(record);
    act(known, headers, Operation::Update, new)
}

/// What somebody wants who deletes a record, and may.
pub(super) async fn deleting(
    known: &Known,
    headers: &HeaderMap,
    record: String,
) -> Result<Act, Problem> {
    known.require(needed(Operation::Delete)).await?;
    without_data(known, headers, Operation::Delete, record_id(record)?)
}

/// The permission for an operation on records.
pub(super) const fn needed(how: Operation) -> &'static str {
    match how {
        Operation::Create => "createData",
        Operation::Read => "readData",
        Operation::Update => "updateData",
        Operation::Delete => "deleteData",
    }
}

/// `PUT /v1/records/{record}`
pub(super) async fn update(
    State(gateway): State<Arc<Gateway>>,
    known: Known,
    Path(record): Path<String>,
    headers: HeaderMap,
    Body(new): Body<NewRecord>,
) -> Result<Answer<StoredAnswer>, Problem> {
    let act = updating(&known, &headers, record, new).await?;
    let stored = gateway.store(act).await?;
    Ok(Answer(StoredAnswer::new(&known, stored)))
}

/// `DELETE /v1/records/{record}`: the record counts no more, and all of its history stays.
pub(super) async fn delete(
    State(gateway): State<Arc<Gateway>>,
    known: Known,
    Path(record): Path<String>,
    headers: HeaderMap,
) -> Result<Answer<StoredAnswer>, Problem> {
    let act = deleting(&known, &headers, record).await?;
    let stored = gateway.store(act).await?;
    Ok(Answer(StoredAnswer::new(&known, stored)))
}

/// A record as it is now.
#[derive(Debug, Serialize)]
pub(super) struct Shown {
    #[serde(flatten)]
    newest: Log,
    #[serde(skip_serializing_if = "Option::is_none")]
    data: Option<Value>,
}

/// `GET /v1/records/{record}`
pub(super) async fn read(
    State(gateway): State<Arc<Gateway>>,
    known: Known,
    Path(record): Path<String>,
    headers: HeaderMap,
) -> Result<Response, Problem> {
    known.require(needed(Operation::Read)).await?;
    let record = record_id(record)?;
    let (newest, data) = gateway.trail.newest(record.clone()).await?;
    let shows = gateway.shows_content(&newest.event, Some(&known)).await?;
    let data = data.filter(|_| shows);
    if gateway.config.log_reads {
        let act = without_data(&known, &headers, Operation::Read, record)?;
        gateway.store(act).await?;
    }
    Ok(tagged(&headers, &Shown { newest, data }))
}

/// What proves a version of a record.
#[derive(Debug, Serialize)]
struct Evidence {
    event: Event,
    #[serde(flatten)]
    address: Address,
    #[serde(skip_serializing_if = "Option::is_none")]
    salt: Option<Salt>,
    receipt: Receipt,
}

/// `GET /v1/records/{record}/versions/{version}`: what proves a version. It is the same for ever, and browsers
/// may keep it; whether its reader may still have it they ask each time.
pub(super) async fn evidence(
    State(gateway): State<Arc<Gateway>>,
    visitor: Visitor,
    Path((record, version)): Path<(String, u64)>,
    headers: HeaderMap,
) -> Result<Response, Problem> {
    if !visitor.may_read(&gateway).await? {
        return Err(not_for_visitors());
    }
    let question = Question {
        record: Some(record_id(record)?),
        version: Some(version),
        // Any: what proves the version is not the verdict on it.
        hash: Some(ContentHash([0; 32])),
        ..Question::default()
    };
    let said = gateway.consulted(question, visitor.known()).await?;
    let (Some(event), Some(address), Some(receipt)) = (said.event, said.address, said.receipt)
    else {
        return Err(match said.verdict {
            Verdict::Pending => Problem::pending("the event is on its way to the ledger"),
            _ => Problem::not_found("there is no such version"),
        });
    };
    let evidence = Evidence {
        event,
        address,
        salt: said.salt,
        receipt,
    };
    let mut answer = tagged(&headers, &evidence);
    let headers = answer.headers_mut();
    headers.insert(CACHE_CONTROL, HeaderValue::from_static("private, no-cache"));
    headers.insert(VARY, HeaderValue::from_static("authorization"));
    Ok(answer)
}

/// `POST /v1/consult`: whether a record is still what it was.
pub(super) async fn consult(
    State(gateway): State<Arc<Gateway>>,
    visitor: Visitor,
    Body(question): Body<Question>,
) -> Result<Answer<Consulted>, Problem> {
    if !visitor.may_read(&gateway).await? {
        return Ok(Answer(Consulted::not_permitted()));
    }
    let said = gateway.consulted(question, visitor.known()).await?;
    gateway.config.edge.metrics().judged(&said.verdict);
    Ok(Answer(said))
}

/// `GET /v1/logs`: a Bitacora, by whom or about what one looks for.
pub(super) async fn logs(
    State(gateway): State<Arc<Gateway>>,
    known: Known,
    Query(filter): Query<Filter>,
) -> Result<Answer<Page>, Problem> {
    known.require("readData").await?;
    let own = filter.who.as_ref() == Some(known.who());
    let named = filter.record.is_some() || filter.resource.is_some();
    if !(own || named || known.governs()) {
        return Err(Problem::not_permitted(
            "name a record, a resource, or yourself: all logs are for administrators",
        ));
    }
    Ok(Answer(gateway.trail.logs(filter).await?))
}

/// Which way to trace.
#[derive(Debug, Deserialize)]
#[serde(deny_unknown_fields)]
pub(super) struct Way {
    resource: ResourceId,
    #[serde(default = "back")]
    direction: Direction,
}

const fn back() -> Direction {
    Direction::Back
}

/// `GET /v1/traces?resource=...&direction=back|forward`
pub(super) async fn trace(
    State(gateway): State<Arc<Gateway>>,
    visitor: Visitor,
    Query(way): Query<Way>,
) -> Result<Answer<Trace>, Problem> {
    if !visitor.may_read(&gateway).await? {
        return Err(not_for_visitors());
    }
    Ok(Answer(
        gateway.trail.trace(way.resource, way.direction).await?,
    ))
}

fn not_for_visitors() -> Problem {
    Problem::not_permitted("this is for those who may read data: sign in")
}

fn act(known: &Known, headers: &HeaderMap, how: Operation, new: NewRecord) -> Result<Act, Problem> {
    let content = match (new.data, new.hash) {
        (Some(data), None) => Given::Data(data),
        (None, Some(hash)) => Given::Hash(hash),
        _ => return Err(Problem::input("send the data, or a hash of it").at("/data")),
    };
    if how == Operation::Create && new.about.is_empty() {
        return Err(Problem::input("what is the record about? name a resource").at("/about"));
    }
    let about = new.about.into_iter().map(|about| match about {
        About::Name(id) => Mention {
            id,
            part: crate::model::Part::About,
        },
        About::Part(mention) => mention,
    });
    Ok(Act {
        who: known.who().clone(),
        how,
        record: new.record,
        about: about.collect(),
        did: new.did,
        place: new.place.unwrap_or_else(|| known.place().clone()),
        target: new.target,
        content,
        keep: new.keep,
        once: once(headers)?,
        adopt: false,
        ours: false,
        enrol: None,
    })
}

fn without_data(
    known: &Known,
    headers: &HeaderMap,
    how: Operation,
    record: RecordId,
) -> Result<Act, Problem> {
    Ok(Act {
        who: known.who().clone(),
        how,
        record: Some(record),
        about: Vec::new(),
        did: Text::default(),
        place: known.place().clone(),
        target: Text::default(),
        content: Given::Same,
        keep: false,
        once: once(headers)?,
        adopt: false,
        ours: false,
        enrol: None,
    })
}

fn once(headers: &HeaderMap) -> Result<Option<String>, Problem> {
    let Some(key) = headers.get(IDEMPOTENCY_KEY) else {
        return Ok(None);
    };
    let key = key
        .to_str()
        .map_err(|_| Problem::input("an Idempotency-Key is plain text"))?;
    Ok(Some(key.to_owned()))
}

fn record_id(text: String) -> Result<RecordId, Problem> {
    RecordId::parse(text).map_err(|error| Problem::input(error.to_string()))
}
