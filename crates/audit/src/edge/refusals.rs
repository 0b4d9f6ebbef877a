//! Refusals in the log, one by one: who was not let in or may not, from where, and at what. Of a flood so many a second, and
//! how many more there were.

use std::net::{IpAddr, SocketAddr};
use std::sync::{Arc, Mutex, OnceLock, PoisonError};
use std::time::{Duration, Instant};

use axum::extract::{ConnectInfo, Request};
use axum::response::Response;
use http::StatusCode;
use verify::Digest;

use crate::limits::REFUSALS_LOGGED_MAX;
use crate::metrics::Route;
use crate::problem::Told;

/// Digits of the digest of an address that somebody tried to sign in with: it may be a password, typed into the wrong
/// field.
const ACCOUNT_DIGITS: usize = 16;

/// Who turns out to send a request, for the log. Cheap to clone; it is found in the request's extensions.
#[derive(Debug, Clone, Default)]
pub(crate) struct Sender(Arc<OnceLock<String>>);

impl Sender {
    /// Somebody who has shown who they are.
    pub(crate) fn is(&self, user: &str) {
        let _ = self.0.set(user.to_owned());
    }

    /// Somebody who says that this address is theirs: the log gets the beginning of its SHA-256.
    pub(crate) fn says(&self, address: &str) {
        let digest = Digest::of(address.trim().to_lowercase().as_bytes()).to_string();
        let _ = self.0.set(format!("account {}", &digest[..ACCOUNT_DIGITS]));
    }
}

/// What is known of a request before it is handed on.
#[derive(Debug)]
pub(super) struct Asked {
    route: Route,
    place: Option<IpAddr>,
    sender: Sender,
}

impl Asked {
    /// A request for this route. What finds out who sends it may say so.
    pub(super) fn of(route: Route, request: &mut Request) -> Self {
        let place = request.extensions().get::<ConnectInfo<SocketAddr>>();
        let place = place.map(|ConnectInfo(peer)| peer.ip());
        let sender = Sender::default();
        request.extensions_mut().insert(sender.clone());
        Self {
            route,
            place,
            sender,
        }
    }
}

/// Tells the log of refusals.
#[derive(Debug, Default)]
pub(super) struct Refusals(Mutex<Second>);

/// A second, and what was told in it.
#[derive(Debug, Default)]
struct Second {
    began: Option<Instant>,
    told: u32,
    left_out: u64,
}

impl Second {
    /// Whether one more is told, and how many were not in the second before.
    fn count(&mut self, now: Instant) -> (bool, u64) {
        let is_over = |began| now.duration_since(began) >= Duration::from_secs(1);
        let mut left_out = 0;
        if self.began.is_none_or(is_over) {
            left_out = self.left_out;
            *self = Self {
                began: Some(now),
                ..Self::default()
            };
        }
        let is_told = self.told < REFUSALS_LOGGED_MAX;
        match is_told {
            true => self.told += 1,
            false => self.left_out += 1,
        }
        (is_told, left_out)
    }
}

impl Refusals {
    /// Tells of an answer, if it is one.
    pub(super) fn tell(&self, asked: &Asked, answer: &Response) {
        let refused = [
            StatusCode::UNAUTHORIZED,
            StatusCode::FORBIDDEN,
            StatusCode::TOO_MANY_REQUESTS,
        ];
        if !refused.contains(&answer.status()) {
            return;
        }
        let second = self.0.lock();
        let (is_told, left_out) = second
            .unwrap_or_else(PoisonError::into_inner)
            .count(Instant::now());
        if left_out > 0 {
            tracing::warn!(
                left_out,
                "more refusals in a second than are told one by one"
            );
        }
        if is_told {
            let who = asked.sender.0.get().map(String::as_str);
            let why = answer.extensions().get::<Told>();
            let why = why.map(|Told(kind)| kind.as_str());
            let (method, path) = asked.route.words();
            let place = asked.place.map(tracing::field::display);
            let status = answer.status().as_u16();
            tracing::warn!(who, place, method, path, status, why, "refused");
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn of_a_flood_some_are_told_and_how_many_more_there_were() {
        let (mut second, now) = (Second::default(), Instant::now());
        let mut told = 0;
        for _ in 0..REFUSALS_LOGGED_MAX + 7 {
            let (is_told, left_out) = second.count(now);
            assert_eq!(left_out, 0);
            told += u32::from(is_told);
        }
        assert_eq!(told, REFUSALS_LOGGED_MAX);
        let later = now + Duration::from_secs(1);
        assert_eq!(second.count(later), (true, 7));
        assert_eq!(second.count(later), (true, 0));
    }

    #[test]
    fn an_address_is_not_told_and_is_the_same_however_it_is_spelled() {
        let told = |address: &str| {
            let sender = Sender::default();
            sender.says(address);
            sender.0.get().unwrap().clone()
        };
        assert_eq!(told("Ana@Farm.example "), told("ana@farm.example"));
        assert!(!told("ana@farm.example").contains("ana"));
    }
}
