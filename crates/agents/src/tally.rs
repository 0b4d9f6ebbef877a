//! How long answers took, by method and stage. Pure.

use reqwest::Method;
use serde::Serialize;

/// What part of the services a request is for (the paper's stage).
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub(crate) enum Stage {
    Storing,
    Consulting,
    Logs,
    Epcis,
    Root,
    Access,
    Users,
    Permissions,
    Elsewhere,
}

impl Stage {
    /// The stage of a request.
    pub(crate) fn of(method: &Method, path: &str) -> Self {
        let path = path.split('?').next().unwrap_or_default();
        let mut parts = path.trim_start_matches('/').split('/');
        match (parts.next(), parts.next()) {
            (Some("v1"), Some("records")) if *method == Method::GET => Self::Consulting,
            (Some("v1"), Some("records")) => Self::Storing,
            (Some("v1"), Some("consult")) => Self::Consulting,
            (Some("v1"), Some("logs" | "traces")) => Self::Logs,
            (Some("v1"), Some("root")) => Self::Root,
            (Some("v1"), Some("users")) => Self::Users,
            (Some("v1"), Some("permissions")) => Self::Permissions,
            (
                Some("v1"),
                Some("login" | "renew" | "logout" | "session" | "keys" | "password" | "totp"),
            ) => Self::Access,
            (Some("capture" | "events"), _) => Self::Epcis,
            _ => Self::Elsewhere,
        }
    }

    pub(crate) const fn word(self) -> &'static str {
        match self {
            Self::Storing => "storing",
            Self::Consulting => "consulting",
            Self::Logs => "logs and traces",
            Self::Epcis => "EPCIS",
            Self::Root => "root",
            Self::Access => "access",
            Self::Users => "users",
            Self::Permissions => "permissions",
            Self::Elsewhere => "elsewhere",
        }
    }
}

/// One answer. There is one of these for each request, so it is small.
#[derive(Debug, Clone)]
pub(crate) struct Sample {
    pub(crate) method: Method,
    pub(crate) stage: Stage,
    /// Whether it was done; else it was refused.
    pub(crate) accepted: bool,
    /// Milliseconds after the beginning of the run.
    pub(crate) at: u32,
    /// Microseconds from asking to the whole answer.
    pub(crate) latency: u32,
    /// Microseconds that the gateway says it took.
    pub(crate) processing: Option<u32>,
}

/// How a number of durations is spread, milliseconds.
#[derive(Debug, Clone, Copy, PartialEq, Serialize)]
pub(crate) struct Spread {
    pub(crate) mean: f64,
    pub(crate) p50: f64,
    pub(crate) p95: f64,
    pub(crate) p99: f64,
    pub(crate) max: f64,
}

impl Spread {
    /// Of microseconds, in any order; `None` of none.
    pub(crate) fn of(mut micros: Vec<u32>) -> Option<Self> {
        micros.sort_unstable();
        let last = *micros.last()?;
        let sum: u64 = micros.iter().map(|&one| u64::from(one)).sum();
        let at = |share| millis(rank(&micros, share));
        Some(Self {
            mean: round(sum as f64 / micros.len() as f64 / 1_000.0),
            p50: at(0.50),
            p95: at(0.95),
            p99: at(0.99),
            max: millis(last),
        })
    }
}

/// The value that so large a share of them does not exceed: the nearest rank.
pub(crate) fn rank(sorted: &[u32], share: f64) -> u32 {
    let rank = (share * sorted.len() as f64).ceil() as usize;
    let place = rank.clamp(1, sorted.len().max(1)) - 1;
    sorted.get(place).copied().unwrap_or_default()
}

pub(crate) fn millis(micros: u32) -> f64 {
    round(f64::from(micros) / 1_000.0)
}

fn round(millis: f64) -> f64 {
    (millis * 1_000.0).round() / 1_000.0
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn ranks_are_values_that_were_measured() {
        let hundred: Vec<u32> = (1..=100).collect();
        assert_eq!(
            [0.5, 0.95, 0.99, 1.0].map(|p| rank(&hundred, p)),
            [50, 95, 99, 100]
        );
        assert_eq!([0.0, 0.5, 0.99].map(|p| rank(&[7], p)), [7, 7, 7]);
        assert_eq!(rank(&[], 0.5), 0);
    }

    #[test]
    fn a_spread_is_in_milliseconds() {
        let spread = Spread::of(vec![3_000, 1_000, 2_000]).unwrap();
        assert_eq!((spread.p50, spread.max, spread.mean), (2.0, 3.0, 2.0));
        assert_eq!(Spread::of(Vec::new()), None);
    }

    #[test]
    fn a_request_has_the_stage_of_its_path() {
        let of = |method: Method, path| Stage::of(&method, path);
        assert_eq!(of(Method::POST, "/v1/records"), Stage::Storing);
        assert_eq!(of(Method::DELETE, "/v1/records/a"), Stage::Storing);
        assert_eq!(of(Method::GET, "/v1/records/a"), Stage::Consulting);
        assert_eq!(of(Method::GET, "/v1/logs?who=a"), Stage::Logs);
        assert_eq!(of(Method::POST, "/v1/root/slot"), Stage::Root);
        assert_eq!(of(Method::PUT, "/v1/users/a/grants/b"), Stage::Users);
        assert_eq!(of(Method::POST, "/capture"), Stage::Epcis);
        assert_eq!(of(Method::GET, "/etc/passwd"), Stage::Elsewhere);
    }
}
