//! Ballots: a yes or a no, in the forms that CCF's tools write.
//!
//! CCF's ballots are JavaScript functions, `{"ballot": "export function vote (...) { return true }"}`.
//! No program is run here: a function that returns `true` or `false` and does nothing else is read
//! as what it says, and any other is refused. `{"ballot": true}` and `{"vote": true}` mean the same.

use serde_json::Value;

use super::refusal::Refusal;

/// A yes or a no.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Ballot {
    /// Whether it is a yes.
    pub yes: bool,
}

impl Ballot {
    /// Reads the payload of a ballot message.
    ///
    /// # Errors
    /// It is not one of the forms above.
    pub fn parse(payload: &[u8]) -> Result<Self, Refusal> {
        let body: Value = serde_json::from_slice(payload).map_err(|_| unreadable())?;
        let fields = body.as_object().ok_or_else(unreadable)?;
        let mut fields = fields.iter();
        let (Some((name, value)), None) = (fields.next(), fields.next()) else {
            return Err(unreadable());
        };
        let yes = match (name.as_str(), value) {
            ("ballot" | "vote", Value::Bool(yes)) => Some(*yes),
            ("ballot", Value::String(function)) => constant_vote(function),
            _ => None,
        };
        yes.map(|yes| Self { yes }).ok_or_else(unreadable)
    }

    /// The ballot as the function that CCF's tools expect.
    pub fn function(self) -> String {
        format!(
            "export function vote (proposal, proposerId) {{ return {} }}",
            self.yes
        )
    }

    /// Reads such a function; `None` for any that does something else.
    pub fn from_function(text: &str) -> Option<Self> {
        constant_vote(text).map(|yes| Self { yes })
    }
}

fn unreadable() -> Refusal {
    Refusal::BallotUnreadable
}

/// What `export function vote (a, b, ...) { return true; }` returns. At most three parameters, as
/// CCF passes three; comments do not count.
fn constant_vote(text: &str) -> Option<bool> {
    let tokens = tokens(text)?;
    let rest = tokens.as_slice();
    let rest = rest.strip_prefix(&["export", "function", "vote", "("])?;
    let close = rest.iter().position(|token| *token == ")")?;
    let (parameters, rest) = rest.split_at(close);
    let well_formed = parameters.is_empty()
        || parameters.len() <= 5
            && parameters.len() % 2 == 1
            && parameters
                .iter()
                .enumerate()
                .all(|(at, token)| match at % 2 {
                    0 => is_name(token),
                    _ => *token == ",",
                });
    if !well_formed {
        return None;
    }
    let rest = match rest.strip_prefix(&[")", "{", "return"])? {
        [value, ";", "}"] | [value, "}"] => value,
        [value, ";", "}", ";"] | [value, "}", ";"] => value,
        _ => return None,
    };
    match *rest {
        "true" => Some(true),
        "false" => Some(false),
        _ => None,
    }
}

fn is_name(token: &str) -> bool {
    let first = token.bytes().next();
    first.is_some_and(|first| first == b'_' || first == b'$' || first.is_ascii_alphabetic())
        && !["true", "false", "return", "function", "export"].contains(&token)
}

/// Words and signs, without white space and comments. `None` for any sign that no ballot needs, and
/// for a line break after `return`, where JavaScript would end the statement.
fn tokens(text: &str) -> Option<Vec<&str>> {
    let mut tokens = Vec::new();
    let mut rest = text;
    let mut broken_line = false;
    while let Some(first) = rest.chars().next() {
        let length = if let Some(comment) = rest.strip_prefix("//") {
            // What JavaScript takes for the end of a line is not part of the comment.
            let end = comment.find(['\n', '\r', '\u{2028}', '\u{2029}']);
            2 + end.unwrap_or(comment.len())
        } else if let Some(comment) = rest.strip_prefix("/*") {
            let end = comment.find("*/")?;
            broken_line |= comment[..end].contains(['\n', '\r', '\u{2028}', '\u{2029}']);
            end + 4
        } else if first.is_ascii_whitespace() {
            broken_line |= matches!(first, '\n' | '\r');
            1
        } else {
            let is_word = |c: char| c == '_' || c == '$' || c.is_ascii_alphanumeric();
            let length = match first {
                '(' | ')' | '{' | '}' | ',' | ';' => 1,
                _ => rest.find(|c| !is_word(c)).unwrap_or(rest.len()),
            };
            if length == 0 || (broken_line && tokens.last() == Some(&"return")) {
                return None;
            }
            broken_line = false;
            tokens.push(&rest[..length]);
            length
        };
        rest = &rest[length..];
    }
    Some(tokens)
}

#[cfg(test)]
mod tests {
    use serde_json::json;

    use super::*;

    fn vote(function: &str) -> Option<bool> {
        let payload = json!({ "ballot": function }).to_string();
        Ballot::parse(payload.as_bytes())
            .ok()
            .map(|ballot| ballot.yes)
    }

    #[test]
    fn functions_that_only_return_a_constant_are_ballots() {
        for (text, yes) in [
            (
                "export function vote (proposal, proposerId) { return true }",
                true,
            ),
            (
                "export function vote (rawProposal, proposerId) { return false; }",
                false,
            ),
            (
                "export function vote(proposal, proposer_id){return true;}",
                true,
            ),
            ("export function vote () { return true }\n", true),
            ("export function vote (a, b, c) { return false };", false),
            (
                "export function vote (rawProposal, proposerId)\n{\n  // Accepts any proposal\n  \
                 return true;\n}",
                true,
            ),
            (
                "/* yes */ export function vote (p, i) { return /* no: */ true }",
                true,
            ),
        ] {
            assert_eq!(vote(text), Some(yes), "{text}");
        }
    }

    #[test]
    fn functions_that_decide_are_refused() {
        for text in [
            "",
            "true",
            "function vote (p, i) { return true }",
            "export function vote (p, i) { return p == 'x' }",
            "export function vote (p, i) { return true } export function vote (p, i) { return false }",
            "export function vote (p, i) { return false; return true; }",
            "export function vote (p, i) { return !true }",
            "export function vote (p, i) { return // \n true }//\u{2028}x",
            "export function vote (p, i = f()) { return true }",
            "export function vote (p, true) { return true }",
            "export function vote (p, i,) { return true }",
            "export function vote (a, b, c, d) { return true }",
            "export default function vote (p, i) { return true }",
            "export function vote (p, i) { return true /* }",
            "export function vote (p, i) { return TRUE }",
        ] {
            assert_eq!(vote(text), None, "{text}");
        }
    }

    #[test]
    fn a_return_that_javascript_ends_at_a_line_break_is_refused() {
        // JavaScript reads this as `return;`, so its meaning is not what it seems.
        for text in [
            "export function vote (p, i) { return\n true }",
            "export function vote (p, i) { return // x\n true }",
            "export function vote (p, i) { return /* \n */ true }",
        ] {
            assert_eq!(vote(text), None, "{text}");
        }
    }

    #[test]
    fn plain_ballots_say_true_or_false() {
        let parse = |text: &str| Ballot::parse(text.as_bytes());
        assert_eq!(parse(r#"{"ballot": true}"#), Ok(Ballot { yes: true }));
        assert_eq!(parse(r#"{"vote": false}"#), Ok(Ballot { yes: false }));
        for text in [
            "",
            "true",
            r#"{"ballot": 1}"#,
            r#"{"vote": "true"}"#,
            r#"{"ballot": true, "vote": false}"#,
            r#"["ballot"]"#,
        ] {
            assert_eq!(parse(text), Err(Refusal::BallotUnreadable), "{text}");
        }
    }

    #[test]
    fn the_function_of_a_ballot_is_that_ballot() {
        for yes in [true, false] {
            let ballot = Ballot { yes };
            assert_eq!(Ballot::from_function(&ballot.function()), Some(ballot));
        }
    }
}
