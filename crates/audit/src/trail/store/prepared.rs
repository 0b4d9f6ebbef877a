//! Events that wait for their participants' signatures.

use sqlx::Row as _;

use super::{Result, Row, Store};
use crate::model::Text;

/// One of them.
#[derive(Debug)]
pub(in crate::trail) struct Waiting {
    /// The row that it becomes.
    pub(in crate::trail) row: Row,
    /// Until when it may be signed, in milliseconds since 1970.
    pub(in crate::trail) expires: i64,
}

impl Store {
    /// How many of a participant's wait at this time, and until when the first of them does.
    pub(in crate::trail) async fn waiting_of(&self, who: &Text, now: i64) -> Result<(i64, i64)> {
        let select = "SELECT count(*), coalesce(min(expires), 0) FROM prepared \
                      WHERE actor = $1 AND expires > $2";
        let select = sqlx::query(select).bind(who.as_str().to_owned()).bind(now);
        let row = select.fetch_one(self.pool()).await?;
        Ok((row.try_get(0)?, row.try_get(1)?))
    }

    /// Lets one wait.
    pub(in crate::trail) async fn prepare(
        &self,
        id: &str,
        who: &Text,
        waiting: &Waiting,
    ) -> Result<()> {
        let event =
            serde_json::to_string(&waiting.row).map_err(|e| sqlx::Error::Encode(e.into()))?;
        let insert = "INSERT INTO prepared (id, actor, expires, event) VALUES ($1, $2, $3, $4)";
        let insert = sqlx::query(insert).bind(id.to_owned());
        let insert = insert.bind(who.as_str().to_owned()).bind(waiting.expires);
        insert.bind(event).execute(self.pool()).await.map(drop)
    }

    /// One of a participant's, whether it may be signed still or not.
    pub(in crate::trail) async fn waiting(&self, id: &str, who: &Text) -> Result<Option<Waiting>> {
        let select = "SELECT event, expires FROM prepared WHERE id = $1 AND actor = $2";
        let select = sqlx::query(select).bind(id.to_owned());
        let row = select.bind(who.as_str().to_owned());
        let Some(row) = row.fetch_optional(self.pool()).await? else {
            return Ok(None);
        };
        let event: String = row.try_get(0)?;
        Ok(Some(Waiting {
            row: serde_json::from_str(&event).map_err(|e| sqlx::Error::Decode(e.into()))?,
            expires: row.try_get(1)?,
        }))
    }

    /// Forgets one that has become an event.
    pub(in crate::trail) async fn forget(&self, id: &str) -> Result<()> {
        let delete = sqlx::query("DELETE FROM prepared WHERE id = $1").bind(id.to_owned());
        delete.execute(self.pool()).await.map(drop)
    }

    /// Forgets those that nobody may sign any more since this time.
    pub(in crate::trail) async fn forget_expired(&self, before: i64) -> Result<()> {
        let delete = sqlx::query("DELETE FROM prepared WHERE expires <= $1").bind(before);
        delete.execute(self.pool()).await.map(drop)
    }
}
