//! Tables of a company: typed rows, how they are kept in its database, and the event that each stands for.

use serde::Serialize;
use serde::de::DeserializeOwned;
use serde_json::{Map, Value};
use sqlx::sqlite::SqliteRow;
use sqlx::{AssertSqlSafe, Row as _, Sqlite, SqlitePool};

use crate::Error;

/// What a column holds.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Kind {
    Text,
    Integer,
    Real,
}

/// A type that a column can hold.
pub(crate) trait Column {
    const KIND: Kind;
}

impl Column for String {
    const KIND: Kind = Kind::Text;
}
impl Column for i64 {
    const KIND: Kind = Kind::Integer;
}
impl Column for f64 {
    const KIND: Kind = Kind::Real;
}

pub(crate) type Columns = &'static [(&'static str, Kind)];

/// A row of a table, whose first column is its key.
pub(crate) trait Row: Serialize + DeserializeOwned {
    const TABLE: &'static str;
    const COLUMNS: Columns;

    /// The EPCIS event that this row stands for.
    fn event(&self) -> Value;
}

/// Declares the rows of a table: `Name in "table" { column: Type, ... }`.
macro_rules! rows {
    ($(#[$about:meta])* $name:ident in $table:literal {
        $($(#[$doc:meta])* $column:ident: $type:ty,)*
    } as |$row:ident| $event:expr) => {
        $(#[$about])*
        #[derive(Debug, Clone, PartialEq, serde::Serialize, serde::Deserialize)]
        #[serde(deny_unknown_fields)]
        pub(crate) struct $name {
            $($(#[$doc])* pub(crate) $column: $type,)*
        }

        impl $crate::book::Row for $name {
            const TABLE: &'static str = $table;
            const COLUMNS: $crate::book::Columns =
                &[$((stringify!($column), <$type as $crate::book::Column>::KIND)),*];

            fn event(&self) -> serde_json::Value {
                let $row = self;
                $event
            }
        }
    };
}
pub(crate) use rows;

/// A table, whatever its rows are.
#[derive(Debug)]
pub(crate) struct Book {
    pub(crate) table: &'static str,
    columns: Columns,
    event: fn(&Value) -> Result<Value, serde_json::Error>,
}

/// A row as it stands in the database.
#[derive(Debug, Clone)]
pub(crate) struct Kept {
    /// Its key.
    pub(crate) key: String,
    /// The business's own columns.
    pub(crate) row: Value,
    /// The record of its event, once that is stored.
    pub(crate) record: Option<String>,
    /// What the audit answered: the event's addresses, salt and receipt, JSON.
    pub(crate) proof: Option<String>,
}

type Done<T> = Result<T, Error>;

impl Book {
    pub(crate) const fn of<T: Row>() -> Self {
        Self {
            table: T::TABLE,
            columns: T::COLUMNS,
            event: |row| serde_json::from_value::<T>(row.clone()).map(|row| row.event()),
        }
    }

    /// The event of a row. It is made anew from the columns as they are now.
    pub(crate) fn event(&self, row: &Value) -> Done<Value> {
        (self.event)(row).map_err(|error| Error::Row {
            table: self.table,
            why: error.to_string(),
        })
    }

    fn key(&self) -> &'static str {
        self.columns[0].0
    }

    fn names(&self) -> Vec<&'static str> {
        self.columns.iter().map(|(name, _)| *name).collect()
    }

    /// Makes the table if it is not there.
    pub(crate) async fn create(&self, pool: &SqlitePool) -> Done<()> {
        let (table, key) = (self.table, self.key());
        let columns = self.columns.iter().map(|(name, kind)| {
            let kind = match kind {
                Kind::Text => "TEXT",
                Kind::Integer => "INTEGER",
                Kind::Real => "REAL",
            };
            format!("{name} {kind} NOT NULL")
        });
        let columns = columns.collect::<Vec<_>>().join(", ");
        let statements = [
            format!(
                "CREATE TABLE IF NOT EXISTS {table} \
                 ({columns}, record TEXT, proof TEXT, PRIMARY KEY ({key})) STRICT"
            ),
            format!("CREATE INDEX IF NOT EXISTS {table}_record ON {table} (record)"),
        ];
        for statement in statements {
            sqlx::query(AssertSqlSafe(statement)).execute(pool).await?;
        }
        Ok(())
    }

    /// Writes rows, all or none. Those whose key is there already stay as they are.
    pub(crate) async fn insert(&self, pool: &SqlitePool, rows: &[Value]) -> Done<()> {
        let names = self.names();
        let places: Vec<String> = (1..=names.len()).map(|place| format!("${place}")).collect();
        let statement = format!(
            "INSERT INTO {} ({}) VALUES ({}) ON CONFLICT DO NOTHING",
            self.table,
            names.join(", "),
            places.join(", ")
        );
        let mut transaction = pool.begin().await?;
        for row in rows {
            let mut insert = sqlx::query::<Sqlite>(AssertSqlSafe(statement.clone()));
            for (name, kind) in self.columns {
                let value = &row[*name];
                insert = match kind {
                    Kind::Text => insert.bind(value.as_str().map(str::to_owned)),
                    Kind::Integer => insert.bind(value.as_i64()),
                    Kind::Real => insert.bind(value.as_f64()),
                };
            }
            insert.execute(&mut *transaction).await?;
        }
        Ok(transaction.commit().await?)
    }

    /// All rows.
    pub(crate) async fn all(&self, pool: &SqlitePool) -> Done<Vec<Kept>> {
        self.select(pool, "TRUE", None).await
    }

    /// Rows whose events are not stored yet.
    pub(crate) async fn unrecorded(&self, pool: &SqlitePool) -> Done<Vec<Kept>> {
        self.select(pool, "proof IS NULL", None).await
    }

    /// The row with a key.
    pub(crate) async fn keyed(&self, pool: &SqlitePool, key: &str) -> Done<Option<Kept>> {
        let condition = format!("{} = $1", self.key());
        Ok(self.select(pool, &condition, Some(key)).await?.pop())
    }

    /// The row that a record is about.
    pub(crate) async fn recorded(&self, pool: &SqlitePool, record: &str) -> Done<Option<Kept>> {
        Ok(self.select(pool, "record = $1", Some(record)).await?.pop())
    }

    /// Keeps what the audit answered about rows: their keys, records and proofs.
    pub(crate) async fn prove(
        &self,
        pool: &SqlitePool,
        answers: &[(String, String, String)],
    ) -> Done<()> {
        let statement = format!(
            "UPDATE {} SET record = $1, proof = $2 WHERE {} = $3",
            self.table,
            self.key()
        );
        let mut transaction = pool.begin().await?;
        for (key, record, proof) in answers {
            let update = sqlx::query::<Sqlite>(AssertSqlSafe(statement.clone()));
            let update = update.bind(record).bind(proof).bind(key);
            update.execute(&mut *transaction).await?;
        }
        Ok(transaction.commit().await?)
    }

    async fn select(
        &self,
        pool: &SqlitePool,
        condition: &str,
        value: Option<&str>,
    ) -> Done<Vec<Kept>> {
        let statement = format!(
            "SELECT {}, record, proof FROM {} WHERE {condition} ORDER BY {}",
            self.names().join(", "),
            self.table,
            self.key()
        );
        let mut select = sqlx::query::<Sqlite>(AssertSqlSafe(statement));
        if let Some(value) = value {
            select = select.bind(value.to_owned());
        }
        let rows = select.fetch_all(pool).await?;
        rows.iter().map(|row| self.read(row)).collect()
    }

    fn read(&self, row: &SqliteRow) -> Done<Kept> {
        let mut columns = Map::new();
        for (name, kind) in self.columns {
            let value: Value = match kind {
                Kind::Text => row.try_get::<String, _>(*name)?.into(),
                Kind::Integer => row.try_get::<i64, _>(*name)?.into(),
                Kind::Real => row.try_get::<f64, _>(*name)?.into(),
            };
            columns.insert((*name).to_owned(), value);
        }
        Ok(Kept {
            key: row.try_get(self.key())?,
            row: columns.into(),
            record: row.try_get("record")?,
            proof: row.try_get("proof")?,
        })
    }
}
