//! Users of a list.

use std::collections::HashMap;

use sqlx::{AnyConnection, Row};

use super::super::listing::{Order, Wanted};
use super::super::model::{Kind, User, UserId};
use super::super::permissions::OperationName;
use super::{damaged, kept};
use crate::Problem;
use crate::database::{self, Statement};

/// Users below somebody and themselves, of some kinds, who are wanted.
pub(in super::super) async fn below(
    database: database::Kind,
    connection: &mut AnyConnection,
    ancestor: &UserId,
    kinds: &[Kind],
    wanted: &Wanted,
    limit: u32,
) -> Result<Vec<User>, Problem> {
    let mut select = Statement::new(
        database,
        concat!(
            "SELECT ",
            columns!(),
            " FROM ancestry a JOIN users u ON u.id = a.user_id WHERE a.ancestor = "
        ),
    );
    select.push_bind(ancestor.as_str());
    select.push(" AND u.kind IN (");
    for (place, kind) in kinds.iter().enumerate() {
        select.push(if place == 0 { "" } else { ", " });
        select.push_bind(kind.word());
    }
    select.push(")");
    narrow(&mut select, wanted);
    if let Some(after) = &wanted.after {
        behind(&mut select, wanted.order, ancestor, after);
    }
    select.push(match wanted.order {
        Order::Id => " ORDER BY a.user_id",
        Order::Name => " ORDER BY LOWER(u.name), a.user_id",
    });
    select.push(" LIMIT ").push_bind(i64::from(limit));
    let rows = select.build().fetch_all(&mut *connection).await?;
    let users = rows.iter().map(|row| Ok(kept(row)?.user));
    let mut users = users.collect::<Result<Vec<_>, Problem>>()?;
    add_grants(database, connection, &mut users).await?;
    Ok(users)
}

/// The letters of names are compared as both databases lower them: those of ASCII, and no others.
fn narrow(select: &mut Statement, wanted: &Wanted) {
    if let Some(find) = &wanted.find {
        let text = find.as_str().to_ascii_lowercase();
        let like = format!("%{}%", escaped(&text));
        select.push(" AND (LOWER(u.name) LIKE ");
        select.push_bind(like.clone());
        select.push(" ESCAPE '!' OR u.email LIKE ").push_bind(like);
        select.push(" ESCAPE '!' OR u.id = ").push_bind(text);
        select.push(")");
    }
    if let Some(status) = wanted.status {
        select.push(" AND u.status = ").push_bind(status.word());
    }
    if let Some(parent) = &wanted.parent {
        select.push(" AND u.parent = ").push_bind(parent.as_str());
    }
    if let Some(granted) = &wanted.granted {
        select
            .push(" AND EXISTS (SELECT 1 FROM grants g WHERE g.user_id = u.id AND g.operation = ")
            .push_bind(granted.as_str())
            .push(")");
    }
}

/// Behind somebody who is below the reader too: in the order of names, where anybody else stands would tell
/// what they are called.
fn behind(select: &mut Statement, order: Order, ancestor: &UserId, after: &UserId) {
    match order {
        Order::Id => {
            select.push(" AND a.user_id > ").push_bind(after.as_str());
        }
        Order::Name => {
            select
                .push(
                    " AND (LOWER(u.name), a.user_id) > (SELECT LOWER(l.name), l.id FROM users l \
                     JOIN ancestry b ON b.user_id = l.id WHERE l.id = ",
                )
                .push_bind(after.as_str());
            select
                .push(" AND b.ancestor = ")
                .push_bind(ancestor.as_str());
            select.push(")");
        }
    }
}

/// A text of which no character stands for others in a pattern.
fn escaped(text: &str) -> String {
    let mut escaped = String::with_capacity(text.len());
    for c in text.chars() {
        if matches!(c, '!' | '%' | '_') {
            escaped.push('!');
        }
        escaped.push(c);
    }
    escaped
}

async fn add_grants(
    database: database::Kind,
    connection: &mut AnyConnection,
    users: &mut [User],
) -> Result<(), Problem> {
    if users.is_empty() {
        return Ok(());
    }
    let mut select = Statement::new(
        database,
        "SELECT user_id, operation FROM grants WHERE user_id IN (",
    );
    for (place, user) in users.iter().enumerate() {
        select.push(if place == 0 { "" } else { ", " });
        select.push_bind(user.id.as_str());
    }
    select.push(")");
    let mut places: HashMap<String, &mut User> = users
        .iter_mut()
        .map(|user| (user.id.as_str().to_owned(), user))
        .collect();
    for row in select.build().fetch_all(connection).await? {
        let (id, name): (String, String) = (row.try_get("user_id")?, row.try_get("operation")?);
        if let Some(user) = places.get_mut(&id) {
            let name = OperationName::parse(&name).map_err(|_| damaged(name))?;
            user.grants.insert(name);
        }
    }
    Ok(())
}
