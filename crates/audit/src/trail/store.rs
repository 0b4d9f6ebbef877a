//! The events beside the ledger: found by their names, with what the ledger does not keep.

pub(super) mod prepared;
mod writing;

use std::sync::Arc;

use serde::{Deserialize, Serialize};
use sqlx::Row as _;
use sqlx::any::AnyRow;

use super::act::Address;
use super::fresh::{About, Fresh};
use super::query::Filter;
use super::receipt::Receipt;
use crate::database::{Database, Kind, Statement};
use crate::model::{Event, Part, RecordId, ResourceId};

/// An event that is on its way.
#[derive(Debug, Clone, PartialEq)]
pub(crate) struct Pending {
    pub(crate) event: Event,
    /// What the database has of it.
    pub(crate) row: Row,
}

/// An event as the database has it.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
pub(crate) struct Row {
    /// The event as it is in the ledger: canonical JSON.
    pub(crate) event: String,
    /// The salt of its hash, in hexadecimal digits; empty where the caller gave a hash.
    pub(crate) salt: String,
    /// The data, canonical JSON, if it is kept.
    pub(crate) payload: Option<String>,
    /// The log that it goes to.
    pub(crate) log: String,
    /// Its transaction, once it is committed.
    pub(crate) tx: Option<String>,
    /// The receipt, JSON.
    pub(crate) receipt: Option<String>,
    /// The caller's name for the request, with the caller's own name before it.
    pub(crate) request: Option<String>,
    /// What was asked for under that name.
    pub(crate) request_hash: Option<String>,
    /// Whom it brings into the tree of participants, JSON.
    pub(crate) enrol: Option<String>,
    /// A transaction that the ledger had before the event could be in it.
    pub(crate) after: Option<String>,
    /// The transaction that its participant signed; or those that a replica did, where the database numbers them.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub(crate) signed: Option<String>,
}

impl Row {
    /// Where the event is; `None` as long as it is not committed.
    pub(crate) fn address(&self) -> Option<Address> {
        Some(Address {
            transaction_address: self.tx.clone()?,
            contract_address: self.log.clone(),
        })
    }
}

/// What has become of an event.
#[derive(Debug, Clone, PartialEq)]
pub(crate) struct Committed {
    pub(crate) record: RecordId,
    pub(crate) version: u64,
    pub(crate) log: String,
    pub(crate) tx: String,
    pub(crate) receipt: Receipt,
}

impl Committed {
    /// Where it is.
    pub(crate) fn address(&self) -> Address {
        Address {
            transaction_address: self.tx.clone(),
            contract_address: self.log.clone(),
        }
    }
}

pub(super) const COLUMNS: &str =
    "event, salt, payload, log, tx, receipt, request, request_hash, enrol, after_tx, signed";

/// The statements about events.
#[derive(Debug, Clone)]
pub(crate) struct Store {
    database: Database,
    /// What is asked about here is brought to the database first.
    fresh: Option<Arc<Fresh>>,
}

type Result<T> = std::result::Result<T, sqlx::Error>;

impl Store {
    pub(crate) const fn new(database: Database) -> Self {
        Self {
            database,
            fresh: None,
        }
    }

    /// The same, before whose answers the database gets what these have about it.
    pub(crate) fn behind(self, fresh: Arc<Fresh>) -> Self {
        Self {
            fresh: Some(fresh),
            ..self
        }
    }

    /// Waits until the database has what is known about something.
    pub(super) async fn settled(&self, about: About<'_>) -> Result<()> {
        match &self.fresh {
            Some(fresh) => fresh.settled(about).await,
            None => Ok(()),
        }
    }

    pub(crate) async fn ping(&self) -> Result<()> {
        sqlx::query("SELECT 1")
            .execute(self.database.pool())
            .await
            .map(drop)
    }

    /// The newest event of a record.
    pub(crate) async fn newest(&self, record: &RecordId) -> Result<Option<Row>> {
        self.settled(About::Record(record)).await?;
        self.one(
            "record = $1 ORDER BY version DESC LIMIT 1",
            &[record.as_str()],
        )
        .await
    }

    /// The newest event of a record, and who made the first.
    pub(crate) async fn newest_and_owner(
        &self,
        record: &RecordId,
    ) -> Result<Option<(Row, String)>> {
        self.settled(About::Record(record)).await?;
        let statement = format!(
            "SELECT {COLUMNS}, (SELECT actor FROM events WHERE record = $1 AND version = 1) AS owner \
             FROM events WHERE record = $2 ORDER BY version DESC LIMIT 1"
        );
        let select = sqlx::query(sqlx::AssertSqlSafe(statement))
            .bind(record.as_str().to_owned())
            .bind(record.as_str().to_owned());
        let row = select.fetch_optional(self.database.pool()).await?;
        let owned = |row: &AnyRow| Ok((read(row)?, row.try_get("owner")?));
        row.as_ref().map(owned).transpose()
    }

    /// One event of a record.
    pub(crate) async fn version(&self, record: &RecordId, version: u64) -> Result<Option<Row>> {
        self.settled(About::Record(record)).await?;
        let statement = format!("SELECT {COLUMNS} FROM events WHERE record = $1 AND version = $2");
        let select = sqlx::query(sqlx::AssertSqlSafe(statement)).bind(record.as_str());
        let row = select.bind(whole(version));
        let row = row.fetch_optional(self.database.pool()).await?;
        row.as_ref().map(read).transpose()
    }

    /// The data as of a version, if it was kept: that of the last version that brought some.
    pub(crate) async fn kept(&self, record: &RecordId, version: u64) -> Result<Option<String>> {
        self.settled(About::Record(record)).await?;
        let select = sqlx::query(
            "SELECT payload FROM events WHERE record = $1 AND version <= $2 \
             AND operation IN ('create', 'update') ORDER BY version DESC LIMIT 1",
        );
        let select = select.bind(record.as_str().to_owned()).bind(whole(version));
        let row = select.fetch_optional(self.database.pool()).await?;
        row.map_or(Ok(None), |row| row.try_get(0))
    }

    /// The event that a request led to.
    pub(crate) async fn request(&self, request: &str) -> Result<Option<Row>> {
        self.settled(About::Request(request)).await?;
        self.one("request = $1", &[request]).await
    }

    /// The event at an address.
    pub(crate) async fn at(&self, address: &Address) -> Result<Option<Row>> {
        self.settled(About::Place(address)).await?;
        let place = [&address.contract_address[..], &address.transaction_address];
        self.one("log = $1 AND tx = $2", &place).await
    }

    /// Which database it is.
    pub(crate) const fn kind(&self) -> Kind {
        self.database.kind()
    }

    /// The connections, for statements about other tables.
    pub(crate) const fn pool(&self) -> &sqlx::AnyPool {
        self.database.pool()
    }

    /// A page of events, the newest first.
    pub(crate) async fn page(&self, filter: &Filter) -> Result<Vec<Row>> {
        self.rows(self.selecting(filter, "")).await
    }

    /// The same of EPCIS events whose data is kept.
    pub(crate) async fn page_of_epcis(&self, filter: &Filter) -> Result<Vec<Row>> {
        self.rows(self.selecting(filter, OF_EPCIS)).await
    }

    /// Selects a page of events, the newest first; `of` is one of our conditions.
    fn selecting(&self, filter: &Filter, of: &str) -> Statement {
        let mut select = Statement::new(
            self.kind(),
            format!("SELECT {COLUMNS} FROM events e WHERE 1 = 1{of}"),
        );
        if let Some(who) = &filter.who {
            select.push(" AND e.actor = ").push_bind(who.as_str());
        }
        if let Some(record) = &filter.record {
            select.push(" AND e.record = ").push_bind(record.as_str());
        }
        if let Some(how) = filter.how {
            select.push(" AND e.operation = ").push_bind(how.word());
        }
        if let Some(from) = filter.from {
            select.push(" AND e.at >= ").push_bind(from.millis());
        }
        if let Some(to) = filter.to {
            select.push(" AND e.at < ").push_bind(to.millis());
        }
        if let Some(resource) = &filter.resource {
            select
                .push(" AND EXISTS (SELECT 1 FROM mentions m WHERE m.resource = ")
                .push_bind(resource.as_str())
                .push(" AND m.record = e.record AND m.version = e.version)");
        }
        if let Some(after) = &filter.after {
            select
                .push(" AND (e.at, e.record, e.version) < (")
                .push_bind(after.at.millis())
                .push(", ")
                .push_bind(after.record.as_str())
                .push(", ")
                .push_bind(whole(after.version))
                .push(")");
        }
        select.push(" ORDER BY e.at DESC, e.record DESC, e.version DESC LIMIT ");
        select.push_bind(i64::from(filter.limit));
        select
    }

    async fn rows(&self, select: Statement) -> Result<Vec<Row>> {
        self.settled(About::All).await?;
        let rows = select.build().fetch_all(self.database.pool()).await?;
        rows.iter().map(read).collect()
    }

    /// The events that are about a resource, the oldest first, at most so many.
    pub(crate) async fn about(
        &self,
        resource: &ResourceId,
        limit: u32,
    ) -> Result<Vec<(Row, Part)>> {
        self.settled(About::All).await?;
        let statement = format!(
            "SELECT {COLUMNS}, part FROM mentions m JOIN events e ON e.record = m.record AND \
             e.version = m.version WHERE m.resource = $1 ORDER BY m.at, m.record, m.version LIMIT $2"
        );
        let select = sqlx::query(sqlx::AssertSqlSafe(statement)).bind(resource.as_str());
        let rows = select.bind(i64::from(limit));
        let rows = rows.fetch_all(self.database.pool()).await?;
        let part = |row: &AnyRow| {
            let word: String = row.try_get("part")?;
            let part = Part::parse(&word);
            part.ok_or_else(|| sqlx::Error::Decode(format!("{word:?} is no part").into()))
        };
        rows.iter()
            .map(|row| Ok((read(row)?, part(row)?)))
            .collect()
    }

    async fn one(&self, condition: &str, values: &[&str]) -> Result<Option<Row>> {
        Ok(self.many(condition, values).await?.pop())
    }

    async fn many(&self, condition: &str, values: &[&str]) -> Result<Vec<Row>> {
        // The condition is one of ours; what comes from outside is bound.
        let statement = format!("SELECT {COLUMNS} FROM events WHERE {condition}");
        let mut select = sqlx::query(sqlx::AssertSqlSafe(statement));
        for value in values {
            select = select.bind((*value).to_owned());
        }
        let rows = select.fetch_all(self.database.pool()).await?;
        rows.iter().map(read).collect()
    }
}

/// Which events have an index of their own, word by word as it says it: what is bound no database compares with an
/// index, and for a range of names it would rather take that of names and sort.
const OF_EPCIS: &str = " AND substr(e.record, 1, 6) = 'epcis:' AND e.payload IS NOT NULL";

pub(super) fn read(row: &AnyRow) -> Result<Row> {
    Ok(Row {
        event: row.try_get(0)?,
        salt: row.try_get(1)?,
        payload: row.try_get(2)?,
        log: row.try_get(3)?,
        tx: row.try_get(4)?,
        receipt: row.try_get(5)?,
        request: row.try_get(6)?,
        request_hash: row.try_get(7)?,
        enrol: row.try_get(8)?,
        after: row.try_get(9)?,
        signed: row.try_get(10)?,
    })
}

/// Databases have no unsigned numbers; no record has that many versions.
pub(super) fn whole(version: u64) -> i64 {
    i64::try_from(version).unwrap_or(i64::MAX)
}

#[cfg(test)]
mod tests {
    use sqlx::Execute;

    use super::*;
    use crate::model::capture::PREFIX;
    use crate::trail::Cursor;

    #[tokio::test]
    async fn a_page_of_epcis_events_is_found_by_its_index() {
        let names = format!("substr(e.record, 1, {}) = '{PREFIX}'", PREFIX.len());
        assert!(OF_EPCIS.contains(&names), "{OF_EPCIS}");
        let dir = tempfile::tempdir().unwrap();
        let address = format!("sqlite:{}", dir.path().join("plans.db").display());
        let store = Store::new(Database::open(&address).await.unwrap());
        let later = Filter {
            after: Some("1700000000123_3_epcis:a".parse::<Cursor>().unwrap()),
            ..Filter::default()
        };
        for filter in [Filter::default(), later] {
            let text = store.selecting(&filter, OF_EPCIS).build().sql();
            let explain = format!("EXPLAIN QUERY PLAN {}", text.as_str());
            let steps = sqlx::query(sqlx::AssertSqlSafe(explain));
            let steps = steps.fetch_all(store.pool()).await.unwrap();
            let plan: Vec<String> = steps.iter().map(|row| row.get("detail")).collect();
            assert!(plan[0].contains("events_of_epcis"), "{plan:?}");
            assert_eq!(plan.len(), 1, "nothing is sorted: {plan:?}");
        }
    }
}
