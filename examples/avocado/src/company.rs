//! A company that records what it does: its rows first, then their events in the audit, then the proofs
//! beside the rows.

use std::path::Path;
use std::sync::Arc;

use futures_util::{StreamExt, TryStreamExt, stream};
use serde::{Deserialize, Serialize};
use serde_json::Value;
use sqlx::SqlitePool;
use sqlx::sqlite::{SqliteConnectOptions, SqliteJournalMode, SqlitePoolOptions};
use tokio::sync::Mutex;

use crate::book::{Book, Kept};
use crate::directory::Role;
use crate::gateway::Gateway;
use crate::{Error, carrier, event, farmer, merchant, packer};

/// Questions that are on their way to the gateway at once.
const QUESTIONS: usize = 16;
/// Events in one document.
const DOCUMENT: usize = 500;

/// A company.
#[derive(Debug, Clone)]
pub struct Company {
    role: Role,
    books: &'static [Book],
    pool: SqlitePool,
    gateway: Gateway,
    /// Two that store what is not stored yet would ask for the same.
    storing: Arc<Mutex<()>>,
}

/// What a consult says about one row.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct Finding {
    /// The table.
    pub table: String,
    /// The row's key.
    pub key: String,
    /// The record of its event; empty as long as it has none.
    pub record: String,
    /// valid, altered, unknown, pending or not_permitted.
    pub verdict: String,
    /// Where the row's event differs from the recorded one, JSON pointers.
    pub fields: Vec<String>,
}

impl Company {
    /// Opens a company with its database in a folder.
    ///
    /// # Errors
    /// The database cannot be opened.
    pub async fn open(role: Role, folder: &Path, gateway: Gateway) -> Result<Self, Error> {
        let books = match role {
            Role::Farmer => farmer::BOOKS,
            Role::Packer => packer::BOOKS,
            Role::Carrier => carrier::BOOKS,
            Role::Merchant => merchant::BOOKS,
            Role::Consumer => &[],
        };
        let pool = database(folder, role).await?;
        for book in books {
            book.create(&pool).await?;
        }
        Ok(Self {
            role,
            books,
            pool,
            gateway,
            storing: Arc::default(),
        })
    }

    /// Which it is.
    pub const fn role(&self) -> Role {
        self.role
    }

    /// Keeps rows of a table, and stores the events of all that have none yet: those that an earlier crash
    /// left out too.
    ///
    /// # Errors
    /// A row is none of that table, the database fails, or the audit refuses.
    pub(crate) async fn keep(&self, table: &str, rows: &[Value]) -> Result<usize, Error> {
        let book = self.book(table)?;
        for row in rows {
            book.event(row)?;
        }
        book.insert(&self.pool, rows).await?;
        let _one = self.storing.lock().await;
        let waiting = book.unrecorded(&self.pool).await?;
        for some in waiting.chunks(DOCUMENT) {
            self.store(book, some).await?;
        }
        Ok(waiting.len())
    }

    async fn store(&self, book: &Book, rows: &[Kept]) -> Result<(), Error> {
        let events = rows.iter().map(|row| book.event(&row.row));
        let events = events.collect::<Result<Vec<_>, _>>()?;
        let Some(newest) = events
            .iter()
            .filter_map(|event| event["eventTime"].as_str())
            .max()
        else {
            return Ok(());
        };
        let document = event::document(&events.iter().collect::<Vec<_>>(), newest);
        self.gateway.capture(&document).await?;
        // A capture answers for all; the proof of each is asked for by the name that its contents give it.
        let keys: Vec<String> = rows.iter().map(|row| row.key.clone()).collect();
        let answers = stream::iter(keys.into_iter().zip(events)).map(async |(key, event)| {
            let record = event::record(&event)?;
            let said = self.gateway.consult(&record, &event).await?;
            if said.verdict != "valid" {
                let why = format!("{record} is {}", said.verdict);
                return Err(Error::Company("the audit's gateway", why));
            }
            Ok((key, record, said.proof(&event).to_string()))
        });
        let answers: Vec<_> = answers.buffered(QUESTIONS).try_collect().await?;
        book.prove(&self.pool, &answers).await
    }

    /// Consults all rows, as they are in the database now, against the ledger.
    ///
    /// # Errors
    /// The database fails, or the audit does not answer.
    pub async fn check(&self) -> Result<Vec<Finding>, Error> {
        let mut findings = Vec::new();
        for book in self.books {
            let rows = book.all(&self.pool).await?;
            let found = stream::iter(rows).map(async |row| {
                let (verdict, fields) = match &row.record {
                    Some(record) => {
                        let event = book.event(&row.row)?;
                        let said = self.gateway.consult(record, &event).await?;
                        (said.verdict, said.fields)
                    }
                    None => ("pending".to_owned(), Vec::new()),
                };
                Ok::<_, Error>(Finding {
                    table: book.table.to_owned(),
                    key: row.key,
                    record: row.record.unwrap_or_default(),
                    verdict,
                    fields,
                })
            });
            findings.extend(found.buffered(QUESTIONS).try_collect::<Vec<_>>().await?);
        }
        Ok(findings)
    }

    /// What the company says today about one of its records: the event, made anew from the row.
    ///
    /// # Errors
    /// The database fails.
    pub async fn claim(&self, record: &str) -> Result<Option<Value>, Error> {
        for book in self.books {
            if let Some(row) = book.recorded(&self.pool, record).await? {
                return book.event(&row.row).map(Some);
            }
        }
        Ok(None)
    }

    /// A row with its record, and the proof that was kept with it.
    ///
    /// # Errors
    /// There is no such table, or the database fails.
    pub async fn row(
        &self,
        table: &str,
        key: &str,
    ) -> Result<Option<(Value, Option<String>, Value)>, Error> {
        let Some(row) = self.book(table)?.keyed(&self.pool, key).await? else {
            return Ok(None);
        };
        let proof = row
            .proof
            .as_deref()
            .and_then(|text| serde_json::from_str(text).ok());
        Ok(Some((row.row, row.record, proof.unwrap_or_default())))
    }

    /// The proofs of all rows, each a receipt that is checked without anybody.
    ///
    /// # Errors
    /// The database fails.
    pub async fn proofs(&self) -> Result<Vec<String>, Error> {
        let mut proofs = Vec::new();
        for book in self.books {
            let rows = book.all(&self.pool).await?;
            proofs.extend(rows.into_iter().filter_map(|row| row.proof));
        }
        Ok(proofs)
    }

    fn book(&self, table: &str) -> Result<&'static Book, Error> {
        let found = self.books.iter().find(|book| book.table == table);
        found.ok_or_else(|| Error::Row {
            table: "this company",
            why: format!("it has no table {table:?}"),
        })
    }
}

/// A company's database: one file in its folder.
pub(crate) async fn database(folder: &Path, role: Role) -> Result<SqlitePool, Error> {
    std::fs::create_dir_all(folder).map_err(Error::file(folder))?;
    let options = SqliteConnectOptions::new()
        .filename(file(folder, role))
        .create_if_missing(true)
        .journal_mode(SqliteJournalMode::Wal)
        .busy_timeout(std::time::Duration::from_secs(10));
    let pool = SqlitePoolOptions::new().max_connections(4);
    Ok(pool.connect_with(options).await?)
}

/// Where a company's database is.
pub(crate) fn file(folder: &Path, role: Role) -> std::path::PathBuf {
    folder.join(format!("{}.db", role.word()))
}
