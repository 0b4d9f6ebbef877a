//! What reads outside bytes in here, for the targets in `fuzz/` alone (`--cfg fuzzing`).

use std::borrow::Cow;
use std::collections::BTreeSet;

use futures_util::FutureExt;
use http::Method;
use ledger::entries::{AppendEntry, EntryLimits, Visibility};
use percent_encoding::percent_decode_str;

use crate::auth::{IssuerError, Tokens, keys};
use crate::batch::{Batch, BatchEntry};
use crate::call::query_value;
use crate::config::JwtIssuer;
use crate::json::parse;
use crate::lines::Lines;
use crate::roles::parse_roles;
use crate::routes::{self, Found};
use crate::transactions::{EntryBody, split_tags};
use crate::users;

/// The contents of an entry as one body, if it is one.
pub fn entry(body: &[u8]) -> Option<Cow<'_, str>> {
    let entry: EntryBody<'_> = parse(body, "an entry").ok()?;
    entry.refuse_hooks().ok()?;
    Some(entry.contents)
}

/// How many entries are in a batch, if it is one.
pub fn batch(body: &[u8]) -> Option<usize> {
    let batch: Batch<'_> = parse(body, "a batch").ok()?;
    Some(batch.entries.len())
}

/// Whether a line of a stream is an entry.
pub fn line(line: &[u8]) -> bool {
    parse::<BatchEntry<'_>>(line, "a line").is_ok()
}

/// The lines of a stream that comes in pieces.
pub fn lines<'a>(pieces: impl IntoIterator<Item = &'a [u8]>) -> Vec<Vec<u8>> {
    let mut lines = Lines::default();
    let mut got = Vec::new();
    for piece in pieces {
        lines.push(piece);
        got.extend(lines.take(false).iter().map(<[u8]>::to_vec));
    }
    got.extend(lines.take(true).iter().map(<[u8]>::to_vec));
    assert_eq!(lines.unfinished(), 0);
    got
}

/// Custom roles and their actions, in any shape that clients send.
pub fn roles(body: &[u8]) -> Option<Vec<(String, BTreeSet<String>)>> {
    parse_roles(body).ok()
}

/// The one role, or the several ones, that a user is to have.
pub fn user_roles(body: &[u8]) -> Option<BTreeSet<String>> {
    let one = users::parse_role(body).map(|role| BTreeSet::from([role]));
    one.or_else(|_| users::parse_roles(body)).ok()
}

/// The first value of a query parameter, decoded; `None` too where it cannot be.
pub fn query<'a>(query: &'a str, name: &str) -> Option<Cow<'a, str>> {
    query_value(Some(query), name).ok().flatten()
}

/// The entry of a public ledger that `contents`, a collection and tags make, and its tags.
pub fn tagged(contents: &str, collection: &str, tags: &str) -> Option<(AppendEntry, Vec<String>)> {
    let tags = split_tags(tags);
    let entry = AppendEntry::new(
        Visibility::Public,
        EntryLimits::default(),
        Some(collection.to_owned()),
        contents.to_owned(),
        tags.clone(),
    );
    Some((entry.ok()?, tags))
}

/// The endpoint at a path, and what stands in it for `{...}`, decoded.
pub fn route<'a>(method: &Method, path: &'a str) -> Option<(&'static str, Option<Cow<'a, str>>)> {
    match routes::find(method, path) {
        Found::Route { route, params, .. } => {
            let param = params
                .first()
                .map(|range| percent_decode_str(&path[range]).decode_utf8());
            Some((route.path, param.transpose().ok()?))
        }
        _ => None,
    }
}

/// Whether a key set has keys that can be used.
pub fn key_set(json: &[u8]) -> bool {
    keys::parse(json).is_ok()
}

/// Takes the tokens of one issuer.
pub struct TokenCheck(Tokens);

impl TokenCheck {
    /// Knows one issuer, whose keys are static.
    pub fn new(issuer: JwtIssuer) -> Result<Self, IssuerError> {
        Tokens::new(vec![issuer]).map(Self)
    }

    /// Whether a bearer token is believed.
    pub fn believes(&self, token: &str) -> bool {
        let verified = self.0.verify(token).now_or_never();
        verified.expect("static keys are there at once").is_ok()
    }
}
