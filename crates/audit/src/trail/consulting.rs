//! Consulting: whether a record is still what it was. The answer rests on the ledger's receipt, and not on
//! what the database says.

use serde::{Deserialize, Serialize};
use serde_json::Value;

use super::Trail;
use super::act::Address;
use super::log::LogError;
use super::query::{Cursor, Filter};
use super::receipt::Receipt;
use super::store::Row;
use super::storing::damaged;
use crate::Problem;
use crate::model::content::altered;
use crate::model::{Content, ContentHash, Event, Operation, RecordId, Salt, Verdict};
use crate::telemetry::{Kind, timed};

/// Data, or its hash, and where it was recorded.
#[derive(Debug, Clone, Default, PartialEq, Serialize, Deserialize)]
#[serde(deny_unknown_fields, default, rename_all = "camelCase")]
pub struct Question {
    /// The record; or its address below.
    pub record: Option<RecordId>,
    /// Which of its versions; none: the newest.
    pub version: Option<u64>,
    /// The transaction that a store answered with.
    pub transaction_address: Option<String>,
    /// The log that a store answered with.
    pub contract_address: Option<String>,
    /// The data as it is now.
    pub data: Option<Value>,
    /// Or its hash.
    pub hash: Option<ContentHash>,
    /// The salt that a store answered with; none: the one that is kept.
    pub salt: Option<Salt>,
}

/// A verdict, and what it rests on.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase")]
pub struct Consulted {
    /// The verdict.
    #[serde(flatten)]
    pub verdict: Verdict,
    /// The event: who, what, where, when, how.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub event: Option<Event>,
    /// The salt of its hash.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub salt: Option<Salt>,
    /// Where it is.
    #[serde(flatten, skip_serializing_if = "Option::is_none")]
    pub address: Option<Address>,
    /// The receipt that proves it.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub receipt: Option<Receipt>,
}

impl Consulted {
    /// The answer to somebody who may not know.
    pub const fn not_permitted() -> Self {
        Self::only(Verdict::NotPermitted)
    }

    const fn only(verdict: Verdict) -> Self {
        Self {
            verdict,
            event: None,
            salt: None,
            address: None,
            receipt: None,
        }
    }
}

/// A page of a Bitacora.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase")]
pub struct Page {
    /// The events, the newest first.
    pub logs: Vec<Log>,
    /// Where the next page begins, if there may be more.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub next: Option<Cursor>,
}

/// An event of a Bitacora.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
pub struct Log {
    /// The event.
    pub event: Event,
    /// Where it is; missing while it is on its way.
    #[serde(flatten, skip_serializing_if = "Option::is_none")]
    pub address: Option<Address>,
}

impl Trail {
    /// Says whether data is what was recorded.
    ///
    /// # Errors
    /// The question names nothing, or nothing to compare; or the ledger is needed and does not answer.
    pub async fn consult(&self, question: Question) -> Result<Consulted, Problem> {
        let row = timed("event.read", Kind::Internal, self.asked(&question)).await?;
        let Some(row) = row else {
            let Some(address) = question.address() else {
                return Ok(Consulted::only(Verdict::Unknown));
            };
            // The database lost it, or never had it; the ledger knows.
            return match self.log.fetch(&address).await.map_err(unreachable)? {
                Some((event, receipt)) => judge(&question, None, event, address, receipt),
                None => Ok(Consulted::only(Verdict::Unknown)),
            };
        };
        let Some(address) = row.address() else {
            return Ok(Consulted::only(Verdict::Pending));
        };
        let proven = self.proven(&row, &address);
        let proven = timed("receipt.check", Kind::Internal, proven).await?;
        let Some((event, receipt)) = proven else {
            return Ok(Consulted::only(Verdict::Unknown));
        };
        let payload = self.kept(&row, &event).await?;
        let kept = Kept {
            salt: row.salt.parse().ok(),
            payload,
        };
        judge(&question, Some(kept), event, address, receipt)
    }

    /// A page of events.
    ///
    /// # Errors
    /// The database does not answer.
    pub async fn logs(&self, filter: Filter) -> Result<Page, Problem> {
        let filter = filter.bounded();
        let rows = self.store.page(&filter).await?;
        let logs: Vec<Log> = rows.iter().map(log).collect::<Result<_, _>>()?;
        let full = u32::try_from(logs.len()).is_ok_and(|count| count == filter.limit);
        let last = logs.last().filter(|_| full);
        let next = last.map(|log| Cursor::of(&log.event));
        Ok(Page { logs, next })
    }

    /// The newest version of a record, with its data if that is kept.
    ///
    /// # Errors
    /// There is no such record, or the database does not answer.
    pub async fn newest(&self, record: &RecordId) -> Result<(Log, Option<Value>), Problem> {
        let row = self.store.newest(record).await?;
        let row = row.ok_or_else(|| Problem::not_found(format!("there is no record {record}")))?;
        let shown = log(&row)?;
        let kept = self.kept(&row, &shown.event).await?;
        let data = kept.map(|kept| serde_json::from_str(&kept).map_err(damaged));
        Ok((shown, data.transpose()?))
    }

    /// The data as of an event, if it is kept. What a reading or a deletion left is what was there before.
    async fn kept(&self, row: &Row, event: &Event) -> Result<Option<String>, Problem> {
        match event.how {
            Operation::Create | Operation::Update => Ok(row.payload.clone()),
            Operation::Read | Operation::Delete => {
                Ok(self.store.kept(&event.record, event.version).await?)
            }
        }
    }

    async fn asked(&self, question: &Question) -> Result<Option<Row>, Problem> {
        match (&question.record, question.version, question.address()) {
            (Some(record), Some(version), _) => Ok(self.store.version(record, version).await?),
            (Some(record), None, None) => Ok(self.store.newest(record).await?),
            (_, None, Some(address)) => Ok(self.store.at(&address).await?),
            _ => Err(Problem::input(
                "name a record, or the transactionAddress and contractAddress that it was stored with",
            )),
        }
    }

    /// The event that a row's receipt proves. Where the database was changed, the ledger is asked.
    async fn proven(
        &self,
        row: &Row,
        address: &Address,
    ) -> Result<Option<(Event, Receipt)>, Problem> {
        let receipt = row.receipt.clone();
        let receipt = receipt.and_then(|text| Receipt::parse(text).ok());
        if let Some(receipt) = receipt {
            match self.log.proven(address, &receipt).await {
                Ok(event) if event.to_canonical() == row.event => {
                    return Ok(Some((event, receipt)));
                }
                Ok(_) => tracing::error!(?address, "an event in the database is not the ledger's"),
                Err(error @ LogError::InDoubt(_)) => return Err(unreachable(error)),
                Err(error) => {
                    tracing::error!(?address, %error, "a receipt in the database was changed")
                }
            }
        }
        self.log.fetch(address).await.map_err(unreachable)
    }
}

impl Question {
    fn address(&self) -> Option<Address> {
        Some(Address {
            transaction_address: self.transaction_address.clone()?,
            contract_address: self.contract_address.clone()?,
        })
    }
}

/// What is kept beside the ledger, as the database has it now.
struct Kept {
    salt: Option<Salt>,
    payload: Option<String>,
}

/// Compares what is asked about with an event that is proven.
fn judge(
    question: &Question,
    kept: Option<Kept>,
    event: Event,
    address: Address,
    receipt: Receipt,
) -> Result<Consulted, Problem> {
    let (salt, payload) = kept.map_or((None, None), |kept| (kept.salt, kept.payload));
    let salt = question.salt.or(salt);
    let kept: Option<Value> = payload.and_then(|text| serde_json::from_str(&text).ok());
    let hash_of = |data: &Value| -> Result<ContentHash, Problem> {
        let Some(salt) = salt else {
            return Err(Problem::input(
                "the hash of this data has a salt, or was made by its owner: say the salt, or the hash",
            ));
        };
        let content = Content::of(data).map_err(|e| Problem::input(e.to_string()).at("/data"))?;
        Ok(content.hash(&salt))
    };
    // What is kept was perhaps changed too; it tells which fields differ if it was not.
    let genuine = |kept: &Value| hash_of(kept).is_ok_and(|hash| hash == event.what.hash);
    let verdict = match (question.hash, &question.data, &kept) {
        (Some(hash), None, _) if hash == event.what.hash => Verdict::Valid,
        (Some(_), None, _) => Verdict::Altered { fields: Vec::new() },
        (None, Some(data), _) if hash_of(data)? == event.what.hash => Verdict::Valid,
        (None, Some(data), Some(kept)) if genuine(kept) => Verdict::Altered {
            fields: altered(kept, data),
        },
        (None, Some(_), _) => Verdict::Altered { fields: Vec::new() },
        (None, None, Some(kept)) if genuine(kept) => Verdict::Valid,
        (None, None, Some(_)) => Verdict::Altered { fields: Vec::new() },
        (None, None, None) => {
            return Err(Problem::input(
                "no data is kept of this record: send the data, or its hash, to compare",
            ));
        }
        (Some(_), Some(_), _) => return Err(Problem::input("send the data or its hash, not both")),
    };
    Ok(Consulted {
        verdict,
        salt,
        event: Some(event),
        address: Some(address),
        receipt: Some(receipt),
    })
}

pub(super) fn log(row: &Row) -> Result<Log, Problem> {
    Ok(Log {
        event: Event::from_canonical(&row.event).map_err(damaged)?,
        address: row.address(),
    })
}

fn unreachable(error: LogError) -> Problem {
    tracing::warn!(%error, "the ledger was asked in vain");
    Problem::unavailable(
        "LedgerUnavailable",
        "the ledger does not answer now; try again",
    )
}
