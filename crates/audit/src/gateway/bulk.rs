//! Consulting a whole table: many questions in one request, answered in their order.

use std::sync::Arc;

use axum::body::Body;
use axum::extract::State;
use axum::response::{IntoResponse, Response};
use futures_util::{StreamExt, stream};
use http::header::{CONTENT_TYPE, HeaderValue};
use http::{HeaderMap, StatusCode};
use serde::de::Error;
use serde::{Deserialize, Deserializer, Serialize};
use serde_json::Value;
use serde_json::value::RawValue;

use super::Gateway;
use super::caller::Visitor;
use super::json::{Answer, says_json};
use crate::Problem;
use crate::body::whole;
use crate::limits::{BULK_BYTES_MAX, QUESTIONS_MAX, QUESTIONS_TOGETHER};
use crate::model::{Verdict, strict};
use crate::trail::{Consulted, Question};

const LINES: &str = "application/x-ndjson";

/// What is said to one of many questions: a verdict, or why there is none.
#[derive(Debug, Clone, PartialEq, Serialize)]
#[serde(untagged)]
pub enum BulkAnswer {
    /// There is one.
    Consulted(Box<Consulted>),
    /// There is none, and the others stand all the same.
    Failed {
        /// Why.
        problem: Problem,
    },
}

/// By what stands in it: receipts are kept as they came, which serde's own untagged enums cannot.
impl<'de> Deserialize<'de> for BulkAnswer {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        #[derive(Deserialize)]
        struct Failed {
            problem: Problem,
        }
        let text = Box::<RawValue>::deserialize(deserializer)?;
        match serde_json::from_str(text.get()) {
            Ok(Failed { problem }) => Ok(Self::Failed { problem }),
            Err(_) => serde_json::from_str(text.get())
                .map(Self::Consulted)
                .map_err(D::Error::custom),
        }
    }
}

/// How often which verdict was given.
#[derive(Debug, Clone, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase")]
pub struct Summary {
    /// Questions.
    pub total: u64,
    /// See [`Verdict`].
    pub valid: u64,
    /// See [`Verdict`].
    pub altered: u64,
    /// See [`Verdict`].
    pub unknown: u64,
    /// See [`Verdict`].
    pub not_permitted: u64,
    /// See [`Verdict`].
    pub pending: u64,
    /// Questions that could not be answered.
    pub failed: u64,
}

impl Summary {
    /// Counts an answer.
    pub fn count(&mut self, answer: &BulkAnswer) {
        self.total += 1;
        let place = match answer {
            BulkAnswer::Failed { .. } => &mut self.failed,
            BulkAnswer::Consulted(said) => match said.verdict {
                Verdict::Valid => &mut self.valid,
                Verdict::Altered { .. } => &mut self.altered,
                Verdict::Unknown => &mut self.unknown,
                Verdict::NotPermitted => &mut self.not_permitted,
                Verdict::Pending => &mut self.pending,
            },
        };
        *place += 1;
    }
}

/// All answers, in the order of the questions.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
pub struct Answers {
    /// One for each question.
    pub answers: Vec<BulkAnswer>,
    /// How many there are of each.
    pub summary: Summary,
}

/// `POST /v1/consult/bulk`: questions as a list, or one a line; answers likewise.
pub(super) async fn consult(
    State(gateway): State<Arc<Gateway>>,
    visitor: Visitor,
    headers: HeaderMap,
    body: Body,
) -> Result<Response, Problem> {
    says_json(&headers, &["application/json", LINES])?;
    let in_lines = says_json(&headers, &[LINES]).is_ok();
    let may_read = visitor.may_read(&gateway).await?;
    let body = whole(body, BULK_BYTES_MAX).await?;
    let questions = match in_lines {
        true => lines(&body)?,
        false => list(&body)?,
    };
    let (gateway, reader) = (&gateway, visitor.known());
    let answers: Vec<BulkAnswer> = stream::iter(questions)
        .map(|question| async move {
            if !may_read {
                return BulkAnswer::Consulted(Box::new(Consulted::not_permitted()));
            }
            let said = match question {
                Ok(question) => gateway.consulted(question, reader).await,
                Err(problem) => Err(problem),
            };
            match said {
                Ok(said) => {
                    gateway.config.edge.metrics().judged(&said.verdict);
                    BulkAnswer::Consulted(Box::new(said))
                }
                Err(problem) => BulkAnswer::Failed { problem },
            }
        })
        .buffered(QUESTIONS_TOGETHER)
        .collect()
        .await;
    let mut summary = Summary::default();
    answers.iter().for_each(|answer| summary.count(answer));
    match in_lines {
        true => written(&answers, &summary),
        false => Ok(Answer(Answers { answers, summary }).into_response()),
    }
}

type Questions = Vec<Result<Question, Problem>>;

fn list(body: &[u8]) -> Result<Questions, Problem> {
    let value = strict::parse(body);
    let value = value.map_err(|error| Problem::input(format!("this is no JSON: {error}")))?;
    let questions = match value {
        Value::Array(questions) => questions,
        Value::Object(mut named) if named.len() == 1 => match named.remove("questions") {
            Some(Value::Array(questions)) => questions,
            _ => return Err(no_list()),
        },
        _ => return Err(no_list()),
    };
    bounded(questions.len())?;
    Ok(questions.into_iter().map(read).collect())
}

fn no_list() -> Problem {
    Problem::input("send a list of questions, or {\"questions\": [...]}, or one a line as NDJSON")
}

fn lines(body: &[u8]) -> Result<Questions, Problem> {
    let lines = body.split(|byte| *byte == b'\n').map(<[u8]>::trim_ascii);
    let lines: Vec<_> = lines.filter(|line| !line.is_empty()).collect();
    bounded(lines.len())?;
    let read = |line: &[u8]| {
        let value = strict::parse(line);
        read(value.map_err(|error| Problem::input(format!("this is no JSON: {error}")))?)
    };
    Ok(lines.into_iter().map(read).collect())
}

fn read(question: Value) -> Result<Question, Problem> {
    serde_json::from_value(question).map_err(|error| Problem::input(error.to_string()))
}

fn bounded(questions: usize) -> Result<(), Problem> {
    if questions <= QUESTIONS_MAX {
        return Ok(());
    }
    let detail = format!("one request has at most {QUESTIONS_MAX} questions: send several");
    let status = StatusCode::PAYLOAD_TOO_LARGE;
    Err(Problem::new(status, "TooLarge", detail))
}

/// One answer a line, and the summary on the last.
fn written(answers: &[BulkAnswer], summary: &Summary) -> Result<Response, Problem> {
    #[derive(Serialize)]
    struct Last<'a> {
        summary: &'a Summary,
    }
    let failed = |error| Problem::internal("writing answers", &error);
    let mut body = Vec::new();
    for answer in answers {
        serde_json::to_writer(&mut body, answer).map_err(failed)?;
        body.push(b'\n');
    }
    serde_json::to_writer(&mut body, &Last { summary }).map_err(failed)?;
    body.push(b'\n');
    let kind = HeaderValue::from_static(LINES);
    Ok(([(CONTENT_TYPE, kind)], body).into_response())
}

#[cfg(test)]
mod tests {
    use serde_json::json;

    use super::*;

    #[test]
    fn a_list_and_lines_ask_the_same() {
        let question = r#"{"record":"lot-7","data":{"kg":20}}"#;
        let asked = vec![read(serde_json::from_str(question).unwrap())];
        assert_eq!(list(format!("[{question}]").as_bytes()), Ok(asked.clone()));
        let named = format!("{{\"questions\":[{question}]}}");
        assert_eq!(list(named.as_bytes()), Ok(asked.clone()));
        assert_eq!(lines(format!("\n{question}\r\n\n").as_bytes()), Ok(asked));
        for wrong in [
            "{}",
            "7",
            "{\"questions\":[],\"more\":1}",
            "{\"questions\":{}}",
            "",
        ] {
            assert_eq!(list(wrong.as_bytes()).unwrap_err().status, 400, "{wrong}");
        }
    }

    #[test]
    fn a_question_that_cannot_be_read_spoils_no_other() {
        let read = list(br#"[{"record":"a"},{"record":"..","x":1},7]"#).unwrap();
        let good: Vec<_> = read.iter().map(Result::is_ok).collect();
        assert_eq!(good, [true, false, false]);
        let read = lines(b"{\"record\":\"a\"}\n{\"record\":\"a\",\"record\":\"b\"}\n").unwrap();
        let good: Vec<_> = read.iter().map(Result::is_ok).collect();
        assert_eq!(good, [true, false]);
    }

    #[test]
    fn there_is_an_end_to_questions() {
        let many = |count| json!(vec![json!({"record": "a"}); count]).to_string();
        assert!(list(many(QUESTIONS_MAX).as_bytes()).is_ok());
        let refused = list(many(QUESTIONS_MAX + 1).as_bytes()).unwrap_err();
        assert_eq!(refused.status, 413);
        let refused = lines("{}\n".repeat(QUESTIONS_MAX + 1).as_bytes()).unwrap_err();
        assert_eq!(refused.status, 413);
    }

    #[test]
    fn an_answer_is_a_verdict_or_a_problem() {
        let failed = BulkAnswer::Failed {
            problem: Problem::input("no"),
        };
        let proven = r#"{"verdict":"valid","receipt":{"b":1,"a":[2]}}"#;
        let read: BulkAnswer = serde_json::from_str(proven).unwrap();
        let written = serde_json::to_string(&read).unwrap();
        assert!(written.contains(r#"{"b":1,"a":[2]}"#), "{written}");
        let said = BulkAnswer::Consulted(Box::new(Consulted::not_permitted()));
        let mut summary = Summary::default();
        for answer in [&failed, &said] {
            let written = serde_json::to_value(answer).unwrap();
            assert_eq!(
                serde_json::from_value::<BulkAnswer>(written).unwrap(),
                *answer
            );
            summary.count(answer);
        }
        assert_eq!(
            (summary.total, summary.failed, summary.not_permitted),
            (2, 1, 1)
        );
    }
}
