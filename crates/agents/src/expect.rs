//! What an answer has to be: decided before the request is sent. Pure.

use crate::wire::{Answer, Unanswered};

/// A status with the word of its problem; no word where the HTTP library answers before the gateway does.
pub(crate) type Refusal = (u16, &'static str);

/// What may come back.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) struct Expected {
    accepted: &'static [u16],
    refused: &'static [Refusal],
    /// Whether the server may close the connection instead: it did not want to read all of this.
    may_hang_up: bool,
}

/// What an answer was, by what was expected.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) enum Outcome {
    /// It was done, as it had to be.
    Accepted,
    /// It was refused, as it had to be.
    Refused,
    /// Not now: nothing was done, and the services say so.
    Later,
    /// It was taken, and will be done.
    Pending,
    /// It is not known what became of it.
    Unanswered(String),
    /// It should not have been.
    Broken(String),
}

/// Honest answers of services that have too much to do, or miss something that they need. Nothing was done.
const LATER: [Refusal; 5] = [
    (429, "Busy"),
    (503, "LedgerUnavailable"),
    (503, "DatabaseUnavailable"),
    (503, "RevocationsUnknown"),
    (503, "Stopping"),
];

impl Expected {
    /// It has to be done, and answered with this status.
    pub(crate) const fn accepted(status: &'static [u16]) -> Self {
        Self {
            accepted: status,
            refused: &[],
            may_hang_up: false,
        }
    }

    /// It has to be refused, in one of these ways.
    pub(crate) const fn refused(refusals: &'static [Refusal]) -> Self {
        Self {
            accepted: &[],
            refused: refusals,
            may_hang_up: false,
        }
    }

    /// It may be done or be refused in one of these ways: who of two is faster is not known beforehand.
    #[must_use]
    pub(crate) const fn or_refused(mut self, refusals: &'static [Refusal]) -> Self {
        self.refused = refusals;
        self
    }

    #[must_use]
    pub(crate) const fn or_hung_up(mut self) -> Self {
        self.may_hang_up = true;
        self
    }

    /// Whether it must not be done: what an unfriendly agent sends.
    pub(crate) const fn is_refusal(&self) -> bool {
        self.accepted.is_empty()
    }

    /// What an answer is by this.
    pub(crate) fn judge(&self, answer: &Result<Answer, Unanswered>) -> Outcome {
        let answer = match answer {
            Ok(answer) => answer,
            Err(unanswered) if self.may_hang_up && !unanswered.unsent => return Outcome::Refused,
            Err(unanswered) => return Outcome::Unanswered(unanswered.why.clone()),
        };
        let kind = answer.problem.as_deref();
        let is = |refusal: &Refusal| {
            let word = if refusal.1.is_empty() {
                None
            } else {
                Some(refusal.1)
            };
            answer.status == refusal.0 && kind == word
        };
        if self.accepted.contains(&answer.status) {
            return Outcome::Accepted;
        }
        if self.refused.iter().any(is) {
            return Outcome::Refused;
        }
        if LATER.iter().any(is) {
            return Outcome::Later;
        }
        if is(&(503, "Pending")) {
            return Outcome::Pending;
        }
        Outcome::Broken(self.in_words())
    }

    /// What was expected, for people.
    pub(crate) fn in_words(&self) -> String {
        let accepted = self.accepted.iter().map(|status| format!("{status}"));
        let refused = self
            .refused
            .iter()
            .map(|(status, kind)| format!("{status} {kind}"));
        let all: Vec<String> = accepted.chain(refused).collect();
        all.join(" or ")
    }
}

/// Done.
pub(crate) const OK: Expected = Expected::accepted(&[200]);
/// Made.
pub(crate) const CREATED: Expected = Expected::accepted(&[201]);
/// Done, and nothing to say.
pub(crate) const EMPTY: Expected = Expected::accepted(&[204]);
/// What nobody could mean.
pub(crate) const INPUT: Expected = Expected::refused(&[(400, "InvalidInput")]);
/// It is not known who calls.
pub(crate) const STRANGER: Expected = Expected::refused(&[(401, "Unauthenticated")]);
/// It is known, and they may not.
pub(crate) const FORBIDDEN: Expected = Expected::refused(&[(403, "NotPermitted")]);
/// There is no such thing, or not for this caller.
pub(crate) const MISSING: Expected = Expected::refused(&[(404, "NotFound")]);
/// There is a root already.
pub(crate) const ROOT_EXISTS: Expected = Expected::refused(&[(409, "RootExists")]);

#[cfg(test)]
mod tests {
    use std::time::Duration;

    use super::*;

    fn answer(status: u16, problem: Option<&str>) -> Result<Answer, Unanswered> {
        Ok(Answer {
            status,
            problem: problem.map(str::to_owned),
            problem_is_whole: true,
            body: Vec::new(),
            latency: Duration::ZERO,
            processing: None,
        })
    }

    fn silence(unsent: bool) -> Result<Answer, Unanswered> {
        Err(Unanswered {
            why: "reset".to_owned(),
            unsent,
            latency: Duration::ZERO,
        })
    }

    #[test]
    fn what_has_to_be_refused_and_is_done_is_broken() {
        for status in [200, 201, 204, 302] {
            let outcome = FORBIDDEN.judge(&answer(status, None));
            assert_eq!(
                outcome,
                Outcome::Broken("403 NotPermitted".to_owned()),
                "{status}"
            );
        }
        assert_eq!(
            FORBIDDEN.judge(&answer(403, Some("NotPermitted"))),
            Outcome::Refused
        );
    }

    #[test]
    fn another_refusal_than_expected_is_broken() {
        for (status, kind) in [
            (403, None),
            (403, Some("Other")),
            (404, Some("NotPermitted")),
        ] {
            let outcome = FORBIDDEN.judge(&answer(status, kind));
            assert!(matches!(outcome, Outcome::Broken(_)), "{status} {kind:?}");
        }
    }

    #[test]
    fn what_has_to_be_done_and_is_refused_is_broken() {
        let refused = CREATED.judge(&answer(403, Some("NotPermitted")));
        assert_eq!(refused, Outcome::Broken("201".to_owned()));
        assert_eq!(CREATED.judge(&answer(201, None)), Outcome::Accepted);
    }

    #[test]
    fn errors_of_the_server_are_broken_unless_they_are_honest() {
        for (status, kind) in [
            (500, Some("Internal")),
            (502, None),
            (503, None),
            (503, Some("x")),
        ] {
            for expected in [OK, INPUT] {
                let outcome = expected.judge(&answer(status, kind));
                assert!(matches!(outcome, Outcome::Broken(_)), "{status} {kind:?}");
            }
        }
        assert_eq!(OK.judge(&answer(503, Some("Pending"))), Outcome::Pending);
        assert_eq!(
            OK.judge(&answer(503, Some("LedgerUnavailable"))),
            Outcome::Later
        );
        assert_eq!(OK.judge(&answer(429, Some("Busy"))), Outcome::Later);
        assert!(matches!(
            OK.judge(&answer(429, Some("TooManyAttempts"))),
            Outcome::Broken(_)
        ));
    }

    #[test]
    fn silence_is_an_answer_only_where_it_may_be() {
        assert_eq!(
            INPUT.judge(&silence(false)),
            Outcome::Unanswered("reset".to_owned())
        );
        assert_eq!(INPUT.or_hung_up().judge(&silence(false)), Outcome::Refused);
        let unsent = INPUT.or_hung_up().judge(&silence(true));
        assert_eq!(unsent, Outcome::Unanswered("reset".to_owned()));
    }

    #[test]
    fn a_refusal_without_a_word_has_none() {
        let expected = Expected::refused(&[(431, "")]);
        assert_eq!(expected.judge(&answer(431, None)), Outcome::Refused);
        assert!(matches!(
            expected.judge(&answer(431, Some("x"))),
            Outcome::Broken(_)
        ));
    }
}
