//! Events of participants who keep their keys: made here, signed there.
//!
//! An event is prepared, which records nothing; its participant signs the transaction that records it, and hands it
//! in. From then on it is an event on its way like others (`storing`), but that the bytes which go to the chain are
//! the participant's. The transaction has the event's hash in it, so no other event comes of it.
//!
//! A prepared event is a certain version of its record. Where another event took that place meanwhile, the prepared
//! one is refused: its participant signed it as what follows the version before.

use http::StatusCode;
use serde::{Deserialize, Serialize};

use super::Trail;
use super::act::{Act, Stored};
use super::log::{Signer, ToSign};
use super::store::prepared::Waiting;
use super::store::{Pending, Row};
use super::storing::{
    CONCURRENT, became, damaged, enrolment, exists, fresh, name, now, outgoing, refused,
};
use crate::Problem;
use crate::limits::{PREPARED_LIFETIME, PREPARED_MAX};
use crate::model::{Event, Operation, Salt, Text, Timestamp, millis};

/// An event that waits for its participant's signature.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase")]
pub struct Prepared {
    /// Its name, under which the signed transaction is handed in.
    pub id: String,
    /// Until when that may be.
    pub expires: Timestamp,
    /// The event that it will be.
    pub event: Event,
    /// The same as canonical JSON, byte by byte what the transaction has the hash of.
    pub canonical: String,
    /// The salt of the hash of its data; missing where the caller gave a hash.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub salt: Option<Salt>,
    /// The participant's contract.
    pub contract_address: String,
    /// What to sign.
    #[serde(flatten)]
    pub to_sign: ToSign,
}

impl Trail {
    /// Makes an event of an act for its participant to sign. Nothing is recorded.
    ///
    /// # Errors
    /// It would be refused if it were stored, the service keeps the participant's key, or too many wait already.
    pub async fn prepare(&self, act: Act) -> Result<Prepared, Problem> {
        let before = match &act.record {
            Some(record) => self.store.newest_and_owner(record).await?,
            None => None,
        };
        if let (Operation::Create, Some((row, _)), Some(record)) = (act.how, &before, &act.record)
            && row.tx.is_some()
        {
            return Err(exists(record));
        }
        // What is a record of the services is prepared once, by the name of the record; and whoever stores it under its
        // own name meanwhile finds it.
        let (id, request) = match (&act.record, &act.once) {
            (Some(record), Some(once)) if act.ours => (record.to_string(), name(&act, once)?),
            _ => {
                let id = fresh().to_string();
                let request = request(&act.who, &id);
                (id, request)
            }
        };
        let made = self.make(&act, before, Some(request), Signer::Participant);
        let Pending { event, row } = made.await?;
        let to_sign = self.log.to_sign(outgoing(&event, &row, act.enrol.as_ref()));
        let to_sign = to_sign.await.map_err(refused)?;
        let expires = self.let_wait(&act.who, &id, &row).await?;
        Ok(Prepared {
            id,
            expires,
            event,
            salt: row.salt.parse().ok(),
            canonical: row.event,
            contract_address: row.log,
            to_sign,
        })
    }

    /// Records an event by the transaction that its participant signed. When this answers, it is committed and durable.
    /// Handed in again, it is recorded once, and answered the same.
    ///
    /// `may` is what the caller may do now: between preparing and this they may have lost a right.
    ///
    /// # Errors
    /// Nothing of this name waits for this participant, or not any more; it is not the transaction that was to be
    /// signed, or not signed by whom it should; another event was faster; the chain refuses it. Or (`Pending`) the chain
    /// does not answer now, and the event is recorded as soon as it does.
    pub async fn submit(
        &self,
        who: Text,
        id: String,
        signed: String,
        may: Vec<Operation>,
    ) -> Result<Stored, Problem> {
        let Some(waiting) = self.store.waiting(&id, &who).await? else {
            return match self.store.request(&request(&who, &id)).await? {
                Some(row) => became(&row),
                None => Err(Problem::not_found(
                    "nothing of this name waits for your signature: it was never prepared, or long ago",
                )),
            };
        };
        let event = Event::from_canonical(&waiting.row.event).map_err(damaged)?;
        let named = waiting.row.request.clone();
        let request = named.unwrap_or_else(|| request(&who, &id));
        // Acts on one record follow each other; and the second of two that are the same finds the first.
        let _turn = self.turns.of(&event.record).await;
        if let Some(row) = self.store.request(&request).await? {
            return self.ended(&id, became(&row)?).await;
        }
        if waiting.expires <= now().millis() {
            return Err(Problem::new(
                StatusCode::GONE,
                "Expired",
                "the time to sign it is over: nothing was recorded, prepare it again",
            ));
        }
        if !may.contains(&event.how) {
            return Err(Problem::not_permitted(
                "since it was prepared you lost the right to do this",
            ));
        }
        let enrol = enrolment(&waiting.row)?;
        let sent = outgoing(&event, &waiting.row, enrol.as_ref());
        let checked = self.log.check_signed(sent, &signed);
        checked.await.map_err(refused)?;
        let row = Row {
            signed: Some(signed),
            ..waiting.row
        };
        let stored = match self.keep(Pending { event, row }.into()).await {
            Ok((event, ours)) => self.sent(event, ours).await?,
            // What is in the way may be the same, by another replica.
            Err(problem) => match self.store.request(&request).await {
                Ok(Some(row)) => became(&row)?,
                Ok(None) | Err(_) => return Err(overtaken(problem)),
            },
        };
        self.ended(&id, stored).await
    }

    /// What was prepared is recorded: from now on it is found as an event.
    async fn ended(&self, id: &str, stored: Stored) -> Result<Stored, Problem> {
        if let Err(error) = self.store.forget(id).await {
            // It goes when its time is over.
            tracing::warn!(%error, "what was prepared for an event stays beside it");
        }
        Ok(stored)
    }

    /// Keeps what is to be signed, and says until when.
    async fn let_wait(&self, who: &Text, id: &str, row: &Row) -> Result<Timestamp, Problem> {
        // One after the other, so that nobody gets more than their share.
        let _alone = self.preparing.lock().await;
        let (now, lifetime) = (now().millis(), millis(PREPARED_LIFETIME));
        // Who comes too late is told so for as long again.
        self.store.forget_expired(now - lifetime).await?;
        let (count, first_ends) = self.store.waiting_of(who, now).await?;
        if count >= PREPARED_MAX {
            let seconds = (first_ends - now).max(0).unsigned_abs().div_ceil(1_000);
            let detail = format!(
                "{PREPARED_MAX} events wait for your signature: hand some in, or wait until the first has expired"
            );
            return Err(Problem::busy(detail).after(seconds));
        }
        let expires = now + lifetime;
        let waiting = Waiting {
            row: row.clone(),
            expires,
        };
        self.store.prepare(id, who, &waiting).await?;
        Ok(Timestamp::from_millis(expires).expect("it is a year of four digits"))
    }
}

/// The name of the request that an event becomes: no `Idempotency-Key` has a blank.
fn request(who: &Text, id: &str) -> String {
    format!("{who} prepared {id}")
}

/// What stands in the way of a signed event does so for good: it was signed for this place.
fn overtaken(problem: Problem) -> Problem {
    match &*problem.kind {
        CONCURRENT | "Exists" => Problem::conflict(
            &problem.kind,
            "another event of this record was faster: nothing was recorded, prepare it again",
        ),
        _ => problem,
    }
}
