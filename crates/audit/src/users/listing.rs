//! Lists of users: those below somebody, all or those whom one looks for, page by page.

use serde::{Deserialize, Serialize};

use super::changing::Held;
use super::model::{Deed, Kind, Status, User, UserId};
use super::permissions::{OperationName, has_access};
use super::store::{self, listing};
use super::{Caller, Users};
use crate::Problem;
use crate::limits::{PAGE_DEFAULT, PAGE_MAX};
use crate::model::Text;

/// Which users, in which order, and how many.
#[derive(Debug, Clone, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields, default)]
pub struct Wanted {
    /// Whose name or address has this in it, or whose id it is. Capital letters of ASCII do not count.
    pub find: Option<Text>,
    /// What they are.
    pub kind: Option<Kind>,
    /// Whether they count.
    pub status: Option<Status>,
    /// Directly below whom.
    pub parent: Option<UserId>,
    /// What they were granted. The root has everything, and was granted nothing.
    pub granted: Option<OperationName>,
    /// In which order.
    pub order: Order,
    /// Behind whom: the last of the page before.
    pub after: Option<UserId>,
    /// How many at the most.
    pub limit: Option<u32>,
}

/// The order of a list.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "lowercase")]
pub enum Order {
    /// By what never changes: for programs, which want everybody once.
    #[default]
    Id,
    /// By name, for people.
    Name,
}

/// Some users of many.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct Page {
    /// In the order that was asked for.
    pub users: Vec<User>,
    /// After whom the next page begins; `None` on the last.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub next: Option<UserId>,
}

impl Users {
    /// Some of the caller and those below them, of the kinds that they may read.
    ///
    /// # Errors
    /// The database does not answer.
    pub async fn list(&self, caller: &Caller, wanted: &Wanted) -> Result<Page, Problem> {
        let mut connection = self.connection().await?;
        let reader = self.caller(&mut connection, caller, Held::No).await?.user;
        let dictionary = store::permissions::dictionary(&mut connection).await?;
        let may = |operation: Option<&str>| {
            operation.is_some_and(|name| has_access(&dictionary, reader.kind, &reader.grants, name))
        };
        let kinds = Kind::ALL.into_iter();
        let kinds: Vec<_> = kinds
            .filter(|kind| wanted.kind.is_none_or(|wanted| wanted == *kind))
            .filter(|kind| may(Deed::Read.operation(*kind == Kind::Root, *kind)))
            .collect();
        if kinds.is_empty() {
            return Ok(Page {
                users: Vec::new(),
                next: None,
            });
        }
        let limit = wanted.limit.unwrap_or(PAGE_DEFAULT).clamp(1, PAGE_MAX);
        let database = self.database.kind();
        let (reader, most) = (&reader.id, limit + 1);
        let mut users =
            listing::below(database, &mut connection, reader, &kinds, wanted, most).await?;
        let more = users.len() > limit as usize;
        users.truncate(limit as usize);
        let next = users.last().filter(|_| more).map(|user| user.id.clone());
        Ok(Page { users, next })
    }
}

#[cfg(test)]
mod tests;
