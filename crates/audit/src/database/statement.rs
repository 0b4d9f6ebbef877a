//! Statements of many parts. PostgreSQL wants places that are numbered; SQLite understands them too, but looks for
//! each among all, so that there they are question marks.

use std::fmt::Write;

use sqlx::any::AnyArguments;
use sqlx::query::Query;
use sqlx::{Any, Arguments, AssertSqlSafe, Encode, Type};

use super::Kind;

/// A statement, and the values that are bound in it.
pub(crate) struct Statement {
    kind: Kind,
    text: String,
    values: AnyArguments,
}

impl Statement {
    /// Begins with this text, for a database of this kind.
    pub(crate) fn new(kind: Kind, text: impl Into<String>) -> Self {
        Self {
            kind,
            text: text.into(),
            values: AnyArguments::default(),
        }
    }

    /// Goes on with a text of ours.
    pub(crate) fn push(&mut self, text: &str) -> &mut Self {
        self.text.push_str(text);
        self
    }

    /// Goes on with a value, from wherever it comes.
    pub(crate) fn push_bind<'t, T: Encode<'t, Any> + Type<Any>>(&mut self, value: T) -> &mut Self {
        let added = self.values.add(value);
        added.expect("texts and numbers are bound as they are");
        match self.kind {
            Kind::Sqlite => self.text.push('?'),
            // Writing to a string does not fail.
            Kind::Postgres => {
                let _ = write!(self.text, "${}", self.values.len());
            }
        }
        self
    }

    /// Goes on with `VALUES (..), (..)`: a row for each of these, which binds its values.
    pub(crate) fn push_values<I: IntoIterator>(
        &mut self,
        rows: I,
        mut row: impl FnMut(&mut RowValues<'_>, I::Item),
    ) {
        for (place, values) in rows.into_iter().enumerate() {
            self.push(if place == 0 { "VALUES (" } else { ", (" });
            let mut one = RowValues {
                statement: self,
                is_first: true,
            };
            row(&mut one, values);
            self.push(")");
        }
    }

    /// The statement, ready to be run.
    pub(crate) fn build(self) -> Query<'static, Any, AnyArguments> {
        // The texts are ours; what comes from outside is bound.
        sqlx::query_with(AssertSqlSafe(self.text), self.values)
    }
}

/// The values of one row.
pub(crate) struct RowValues<'a> {
    statement: &'a mut Statement,
    is_first: bool,
}

impl RowValues<'_> {
    /// The next one.
    pub(crate) fn push_bind<'t, T: Encode<'t, Any> + Type<Any>>(&mut self, value: T) -> &mut Self {
        self.separate();
        self.statement.push_bind(value);
        self
    }

    /// The same for a number, where the rest of the statement does not tell that it is one.
    pub(crate) fn push_number(&mut self, value: i64) -> &mut Self {
        self.separate();
        self.statement
            .push("CAST(")
            .push_bind(value)
            .push(" AS BIGINT)");
        self
    }

    fn separate(&mut self) {
        if !std::mem::replace(&mut self.is_first, false) {
            self.statement.push(", ");
        }
    }
}

#[cfg(test)]
mod tests {
    use sqlx::{Execute, Row};

    use super::*;

    #[test]
    fn places_are_those_that_the_database_understands() {
        for (kind, places) in [
            (
                Kind::Postgres,
                "VALUES ($1, $2), ($3, $4) RETURNING a LIMIT $5",
            ),
            (Kind::Sqlite, "VALUES (?, ?), (?, ?) RETURNING a LIMIT ?"),
        ] {
            let mut insert = Statement::new(kind, "INSERT INTO t (a, b) ");
            insert.push_values([1_i64, 2], |row, value| {
                row.push_bind(value).push_bind("text");
            });
            insert.push(" RETURNING a LIMIT ").push_bind(7_i64);
            let text = format!("INSERT INTO t (a, b) {places}");
            assert_eq!(insert.build().sql().as_str(), text);
        }
    }

    #[tokio::test]
    async fn values_are_bound_in_their_order() {
        let dir = tempfile::tempdir().unwrap();
        let address = crate::database::testing::address(dir.path()).await;
        let database = crate::database::Database::open(&address).await.unwrap();
        let mut insert = Statement::new(
            database.kind(),
            "INSERT INTO captures (id, actor, created, finished, events, errors) ",
        );
        insert.push_values(
            [("x", None, 1_i64), ("y", Some(7_i64), 2)],
            |row, (id, end, events)| {
                row.push_bind(id).push_bind("ana").push_bind(0_i64);
                row.push_bind(end).push_bind(events).push_bind("[]");
            },
        );
        insert.build().execute(database.pool()).await.unwrap();
        let text = "SELECT id, finished FROM captures WHERE events = ";
        let mut select = Statement::new(database.kind(), text);
        select.push_bind(2_i64).push(" AND id = ").push_bind("y");
        let row = select.build().fetch_one(database.pool()).await.unwrap();
        assert_eq!(row.try_get::<String, _>(0).unwrap(), "y");
        assert_eq!(row.try_get::<Option<i64>, _>(1).unwrap(), Some(7));
    }
}
