//! Whole EPCIS documents: each event a record, and one job that says what became of them.

use futures_util::{StreamExt, stream};
use serde::{Deserialize, Serialize};
use serde_json::Value;
use sqlx::Row as _;
use verify::Digest;

use super::act::{Act, Given};
use super::query::{Cursor, Filter};
use super::storing::{OTHER_REQUEST, damaged, now};
use super::{Log, Trail};
use crate::Problem;
use crate::limits::CAPTURES_TOGETHER;
use crate::model::capture::Captured;
use crate::model::{Content, Operation, RecordId, Text, Timestamp};

/// What became of a document.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase")]
pub struct CaptureJob {
    /// Its name.
    #[serde(rename = "captureID")]
    pub id: String,
    /// When it came.
    pub created_at: Timestamp,
    /// When its last event was committed.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub finished_at: Option<Timestamp>,
    /// Whether it is still worked on.
    pub running: bool,
    /// Whether all of its events are committed.
    pub success: bool,
    /// That what can be recorded is, whatever becomes of the others.
    pub capture_error_behaviour: String,
    /// What became of those that are not.
    pub errors: Vec<Problem>,
}

impl Trail {
    /// Records the events of a document, each once, however often it is sent.
    ///
    /// # Errors
    /// The database does not answer: nothing is recorded.
    pub async fn capture(
        &self,
        who: &Text,
        place: &Text,
        events: Vec<Captured>,
    ) -> Result<CaptureJob, Problem> {
        let created = now();
        let count = i64::try_from(events.len()).unwrap_or(i64::MAX);
        let id = super::storing::fresh().to_string();
        let insert = sqlx::query(
            "INSERT INTO captures (id, actor, created, events, errors) VALUES ($1, $2, $3, $4, '[]')",
        );
        let insert = insert
            .bind(&id)
            .bind(who.as_str())
            .bind(created.millis())
            .bind(count);
        insert.execute(self.store.pool()).await?;
        let outcomes = stream::iter(events).map(|event| self.capture_one(who, place, event));
        // In any order: events are told apart by their names.
        let outcomes = outcomes
            .buffer_unordered(CAPTURES_TOGETHER)
            .collect::<Vec<_>>()
            .await;
        let errors: Vec<Problem> = outcomes.into_iter().filter_map(Result::err).collect();
        let finished = now();
        let update = sqlx::query("UPDATE captures SET finished = $1, errors = $2 WHERE id = $3");
        let text = serde_json::to_string(&errors).expect("text is JSON");
        let update = update.bind(finished.millis()).bind(text).bind(&id);
        update.execute(self.store.pool()).await?;
        Ok(job(id, created, Some(finished), errors))
    }

    async fn capture_one(&self, who: &Text, place: &Text, event: Captured) -> Result<(), Problem> {
        // A correction follows, so what it says tells it from the same one that is sent again.
        let content = match event.is_correction {
            true => Content::of(&event.data).ok(),
            false => None,
        };
        let once =
            content.map(|content| format!("capture-{}", Digest::of(content.as_str().as_bytes())));
        let act = |how| Act {
            who: who.clone(),
            how,
            record: Some(event.record.clone()),
            about: event.about.clone(),
            did: event.did.clone(),
            place: event.place.clone().unwrap_or_else(|| place.clone()),
            target: Text::default(),
            content: Given::Data(event.data.clone()),
            keep: true,
            once: once.clone(),
            adopt: false,
            ours: false,
            enrol: None,
        };
        let known = |problem: &Problem| problem.kind == "Exists";
        match self.store(act(Operation::Create)).await {
            // A correction says all that the event said, and that it was wrong.
            Err(problem) if known(&problem) && event.is_correction => {
                self.store(act(Operation::Update)).await.map(drop)
            }
            Err(problem) if known(&problem) => Ok(()),
            // It is there, as what followed.
            Err(problem) if problem.kind == OTHER_REQUEST => Ok(()),
            stored => stored.map(drop),
        }
    }

    /// What became of a document that this participant sent.
    ///
    /// # Errors
    /// There is no such job of theirs, or the database does not answer.
    pub async fn capture_job(&self, who: &Text, id: &str) -> Result<CaptureJob, Problem> {
        let select = sqlx::query(
            "SELECT created, finished, errors FROM captures WHERE id = $1 AND actor = $2",
        );
        let select = select.bind(id.to_owned()).bind(who.as_str().to_owned());
        let row = select.fetch_optional(self.store.pool()).await?;
        let row = row.ok_or_else(|| Problem::not_found(format!("you have no capture job {id}")))?;
        let time = |millis: i64| Timestamp::from_millis(millis);
        let created = time(row.try_get(0)?).unwrap_or_else(now);
        let finished: Option<i64> = row.try_get(1)?;
        let errors: String = row.try_get(2)?;
        let errors = serde_json::from_str(&errors).map_err(damaged)?;
        Ok(job(id.to_owned(), created, finished.and_then(time), errors))
    }

    /// A page of EPCIS events with their data, the newest first: full unless it is the last.
    ///
    /// # Errors
    /// The database does not answer.
    pub async fn captured(
        &self,
        after: Option<Cursor>,
        limit: u32,
    ) -> Result<Vec<(Log, Value)>, Problem> {
        let filter = Filter {
            after,
            limit,
            ..Filter::default()
        }
        .bounded();
        let rows = self.store.page_of_epcis(&filter).await?;
        let read = rows.iter().filter_map(|row| {
            let data = row.payload.as_deref()?;
            let data = serde_json::from_str(data).map_err(damaged);
            Some(data.and_then(|data| Ok((super::consulting::log(row)?, data))))
        });
        read.collect()
    }

    /// The newest version of one.
    ///
    /// # Errors
    /// There is none, or the database does not answer.
    pub async fn captured_one(&self, record: &RecordId) -> Result<(Log, Value), Problem> {
        let (log, data) = self.newest(record).await?;
        let data = data.ok_or_else(|| Problem::not_found("the data of this event is not kept"))?;
        Ok((log, data))
    }
}

fn job(
    id: String,
    created: Timestamp,
    finished: Option<Timestamp>,
    errors: Vec<Problem>,
) -> CaptureJob {
    CaptureJob {
        id,
        created_at: created,
        finished_at: finished,
        running: finished.is_none(),
        success: finished.is_some() && errors.is_empty(),
        capture_error_behaviour: "proceed".to_owned(),
        errors,
    }
}
