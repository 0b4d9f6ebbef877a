//! Which requests of a system that knows nothing of us become events, and what the events say. Pure.

use http::{Method, StatusCode};
use percent_encoding::percent_decode_str;
use serde::Deserialize;
use serde_json::Value;

use super::template::{Filling, Template, is_name};
use crate::Problem;
use crate::model::{Mention, Operation, Part, RecordId, ResourceId, Text};
use crate::trail::{Act, Given};

/// Why rules cannot be used: whoever wrote them has to change them.
#[derive(Debug, thiserror::Error)]
pub enum RuleError {
    /// The path is not of the form.
    #[error("rule {rule}: the path {path:?} is like /api/lots/{{lot}} or /api/**")]
    Path {
        /// Which rule, from 1.
        rule: usize,
        /// Its path.
        path: String,
    },
    /// It stands for no operation.
    #[error("rule {rule}: {method} is none of POST, GET, PUT, PATCH and DELETE")]
    Method {
        /// Which rule, from 1.
        rule: usize,
        /// What it says.
        method: String,
    },
    /// A text asks for a part that the path has not.
    #[error("rule {rule}: the path has no part {{{part}}}")]
    Part {
        /// Which rule, from 1.
        rule: usize,
        /// The part.
        part: String,
    },
}

/// A rule as it stands in the configuration.
#[derive(Debug, Clone, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct RuleConfig {
    /// Which methods: POST, PUT, PATCH, DELETE; GET where reading is an event too.
    methods: Vec<String>,
    /// Which paths: `/api/lots/{lot}`; a last part `**` stands for anything below.
    path: String,
    /// The record's name, a template: `lot-{lot}`, or `lot-{response:/id}` where the system gives the number.
    record: Template,
    /// What the event is about, templates of resources' names.
    about: Vec<AboutConfig>,
    /// What was done, a template; may be empty.
    #[serde(default = "nothing")]
    did: Template,
    /// What it was aimed at, a template; may be empty.
    #[serde(default = "nothing")]
    target: Template,
    /// What the record holds after it: the request's JSON, or the answer's, or a part of one of them.
    #[serde(default)]
    data: DataConfig,
    /// Where in it.
    #[serde(default)]
    pointer: String,
    /// Whether the data is kept here too.
    #[serde(default)]
    keep: bool,
    /// Answers beside 200 to 299 by which the system says that it has done it: 303 of many forms.
    #[serde(default)]
    done: Vec<u16>,
}

#[derive(Debug, Clone, Deserialize)]
#[serde(untagged)]
enum AboutConfig {
    Name(Template),
    Part { id: Template, part: Part },
}

#[derive(Debug, Clone, Copy, Default, PartialEq, Eq, Deserialize)]
#[serde(rename_all = "lowercase")]
enum DataConfig {
    #[default]
    Request,
    Response,
}

fn nothing() -> Template {
    Template::parse("").expect("no text has no braces")
}

/// All rules; the first that fits counts.
#[derive(Debug, Clone, Default)]
pub struct Rules(Vec<Rule>);

/// A rule.
#[derive(Debug, Clone)]
pub(super) struct Rule {
    operations: Vec<(Method, Operation)>,
    path: Pattern,
    config: RuleConfig,
}

/// A rule that fits a request.
#[derive(Debug, Clone)]
pub(super) struct Fit<'a> {
    pub(super) rule: &'a Rule,
    how: Operation,
    parts: Vec<(String, String)>,
}

/// A request and its answer, as an event needs them.
#[derive(Debug)]
pub(super) struct Exchange<'a> {
    pub(super) query: &'a [(String, String)],
    pub(super) headers: &'a http::HeaderMap,
    pub(super) request: Value,
    pub(super) response: Value,
}

impl Rules {
    /// Checks rules.
    ///
    /// # Errors
    /// See [`RuleError`].
    pub fn new(configs: Vec<RuleConfig>) -> Result<Self, RuleError> {
        let rules = configs.into_iter().zip(1..);
        let rules = rules.map(|(config, rule)| Rule::new(config, rule));
        rules.collect::<Result<_, _>>().map(Self)
    }

    /// The rule for a request, if it is to become an event.
    pub(super) fn fitting(&self, method: &Method, path: &[String]) -> Option<Fit<'_>> {
        self.0.iter().find_map(|rule| {
            let (_, how) = rule.operations.iter().find(|(known, _)| known == method)?;
            let parts = rule.path.parts(path)?;
            Some(Fit {
                rule,
                how: *how,
                parts,
            })
        })
    }
}

impl Rule {
    fn new(config: RuleConfig, rule: usize) -> Result<Self, RuleError> {
        let pattern = Pattern::parse(&config.path);
        let path = pattern.ok_or_else(|| RuleError::Path {
            rule,
            path: config.path.clone(),
        })?;
        let operations = config.methods.iter().map(|word| {
            let method = Method::from_bytes(word.as_bytes()).ok();
            let known = method.and_then(|method| Some((method.clone(), Operation::of(&method)?)));
            known.ok_or_else(|| RuleError::Method {
                rule,
                method: word.clone(),
            })
        });
        let operations = operations.collect::<Result<_, _>>()?;
        for template in config.templates() {
            let mut parts = template.path_parts().into_iter();
            if let Some(part) = parts.find(|part| !path.has(part)) {
                return Err(RuleError::Part {
                    rule,
                    part: part.to_owned(),
                });
            }
        }
        Ok(Self {
            operations,
            path,
            config,
        })
    }

    /// Whether the event needs the answer's body.
    /// Whether the system says by this that it has done what it was asked.
    pub(super) fn is_done(&self, status: StatusCode) -> bool {
        status.is_success() || self.config.done.contains(&status.as_u16())
    }

    pub(super) fn needs_response(&self) -> bool {
        self.config.data == DataConfig::Response
            || self.config.templates().any(Template::needs_response)
    }
}

impl RuleConfig {
    fn templates(&self) -> impl Iterator<Item = &Template> {
        let about = self.about.iter().map(|about| match about {
            AboutConfig::Name(id) | AboutConfig::Part { id, .. } => id,
        });
        about.chain([&self.record, &self.did, &self.target])
    }
}

impl Fit<'_> {
    /// What can be said of a request before its answer: that all is there which does not come with it.
    ///
    /// # Errors
    /// The rule asks for something that is not there.
    pub(super) fn check(&self, exchange: &Exchange<'_>) -> Result<(), Problem> {
        let mut now = self
            .rule
            .config
            .templates()
            .filter(|template| !template.needs_response());
        now.try_for_each(|template| self.fill(template, exchange).map(drop))
    }

    fn fill(&self, template: &Template, exchange: &Exchange<'_>) -> Result<String, Problem> {
        let filling = Filling {
            path: &self.parts,
            query: exchange.query,
            headers: exchange.headers,
            request: &exchange.request,
            response: &exchange.response,
        };
        template.fill(filling).map_err(|place| missing(&place))
    }

    /// The act that an exchange was, by this participant from this place.
    ///
    /// # Errors
    /// The rule asks for something that is not there.
    pub(super) fn act(
        &self,
        who: &Text,
        place: &Text,
        exchange: Exchange<'_>,
    ) -> Result<Act, Problem> {
        let config = &self.rule.config;
        let fill = |template: &Template| self.fill(template, &exchange);
        let record = encoded(&fill(&config.record)?)?;
        let about = config.about.iter().map(|about| {
            let (id, part) = match about {
                AboutConfig::Name(id) => (id, Part::About),
                AboutConfig::Part { id, part } => (id, *part),
            };
            let id = ResourceId::parse(fill(id)?).map_err(|e| Problem::input(e.to_string()))?;
            Ok(Mention { id, part })
        });
        let about = about.collect::<Result<_, Problem>>()?;
        let (did, target) = (fill(&config.did)?, fill(&config.target)?);
        let data = match config.data {
            DataConfig::Request => exchange.request,
            DataConfig::Response => exchange.response,
        };
        // What has no body is nothing, as a deletion mostly is.
        let data = data.pointer(&config.pointer).cloned().unwrap_or_default();
        Ok(Act {
            who: who.clone(),
            how: self.how,
            record: Some(record),
            about,
            did: Text::fitting(&did),
            place: place.clone(),
            target: Text::fitting(&target),
            content: Given::Data(data),
            keep: config.keep,
            once: None,
            adopt: true,
            ours: false,
            enrol: None,
        })
    }
}

fn missing(place: &str) -> Problem {
    Problem::input(format!(
        "the request has nothing for {{{place}}} of the audit rule"
    ))
}

/// A record's name from a system that has other characters in its own: each byte that does not fit is
/// written as `~` and two hexadecimal digits, so that no two become one.
fn encoded(name: &str) -> Result<RecordId, Problem> {
    let mut id = String::new();
    for (index, byte) in name.bytes().enumerate() {
        let fits = byte.is_ascii_alphanumeric() || (index > 0 && b"-._:".contains(&byte));
        match fits {
            true => id.push(char::from(byte)),
            false if index == 0 => id.push_str(&format!("x~{byte:02x}")),
            false => id.push_str(&format!("~{byte:02x}")),
        }
    }
    RecordId::parse(id).map_err(|error| Problem::input(error.to_string()))
}

/// The form of a path.
#[derive(Debug, Clone)]
struct Pattern {
    segments: Vec<Segment>,
    open: bool,
}

#[derive(Debug, Clone)]
enum Segment {
    Literal(String),
    Part(String),
}

impl Pattern {
    fn parse(path: &str) -> Option<Self> {
        let path = path.strip_prefix('/')?;
        let (path, open) = match path.strip_suffix("**") {
            Some(before) => (before.strip_suffix('/').unwrap_or(before), true),
            None => (path, false),
        };
        let segments = path.split('/').filter(|text| !text.is_empty() || !open);
        let segments = segments.map(|text| match text.strip_prefix('{') {
            Some(part) => part
                .strip_suffix('}')
                .filter(|name| is_name(name))
                .map(|name| Segment::Part(name.to_owned())),
            None => (!text.contains(['{', '}', '*'])).then(|| Segment::Literal(text.to_owned())),
        });
        let segments = segments.collect::<Option<_>>()?;
        Some(Self { segments, open })
    }

    fn has(&self, name: &str) -> bool {
        let is = |segment: &Segment| matches!(segment, Segment::Part(part) if part == name);
        self.segments.iter().any(is)
    }

    fn parts(&self, path: &[String]) -> Option<Vec<(String, String)>> {
        let fits =
            path.len() == self.segments.len() || (self.open && path.len() > self.segments.len());
        if !fits {
            return None;
        }
        let mut parts = Vec::new();
        for (segment, text) in self.segments.iter().zip(path) {
            match segment {
                Segment::Literal(literal) if literal == text => {}
                Segment::Literal(_) => return None,
                Segment::Part(name) => parts.push((name.clone(), text.clone())),
            }
        }
        Some(parts)
    }
}

/// The parts of a path, decoded; `None` if the system behind could read it as another path than the rules
/// do: with dots, with slashes that are escaped, with what is no text.
pub(super) fn segments(path: &str) -> Option<Vec<String>> {
    let path = path.strip_prefix('/')?;
    let mut segments: Vec<String> = Vec::new();
    for raw in path.split('/') {
        let segment = percent_decode_str(raw).decode_utf8().ok()?;
        let strange = |c: char| c.is_control() || matches!(c, '/' | '\\' | ';');
        if segment == "." || segment == ".." || segment.contains(strange) || segment.contains('%') {
            return None;
        }
        segments.push(segment.into_owned());
    }
    // One slash at the end, or none, is the same resource to nearly all systems; more than one is not.
    let (last, before) = segments.split_last()?;
    if before.iter().any(String::is_empty) {
        return None;
    }
    if last.is_empty() && !before.is_empty() {
        segments.pop();
    }
    Some(segments)
}

#[cfg(test)]
mod tests {
    use super::*;
    use http::HeaderMap;
    use serde_json::json;

    fn rules(text: &str) -> Result<Rules, String> {
        #[derive(Deserialize)]
        struct File {
            rules: Vec<RuleConfig>,
        }
        let file: File =
            serde_json::from_str(&format!("{{\"rules\":[{text}]}}")).map_err(|e| e.to_string())?;
        Rules::new(file.rules).map_err(|error| error.to_string())
    }

    const LOTS: &str = r#"{"methods": ["POST"], "path": "/api/lots", "record": "lot-{response:/id}",
        "about": ["lot:{response:/id}"], "data": "response"},
        {"methods": ["PUT", "DELETE"], "path": "/api/lots/{lot}", "record": "lot-{lot}",
        "about": ["lot:{lot}", {"id": "farm:{request:/farm}", "part": "parent"}],
        "did": "change of {lot}", "pointer": "/data"}"#;

    fn fit<'a>(rules: &'a Rules, method: Method, path: &str) -> Option<Fit<'a>> {
        rules.fitting(&method, &segments(path).unwrap())
    }

    fn exchange(headers: &HeaderMap, request: Value, response: Value) -> Exchange<'_> {
        Exchange {
            query: &[],
            headers,
            request,
            response,
        }
    }

    #[test]
    fn a_request_that_fits_becomes_an_act() {
        let rules = rules(LOTS).unwrap();
        let (who, place) = (Text::parse("farm").unwrap(), Text::parse("here").unwrap());
        let headers = HeaderMap::new();
        let made = fit(&rules, Method::POST, "/api/lots/").unwrap();
        assert!(made.rule.needs_response());
        let made = made.act(
            &who,
            &place,
            exchange(&headers, json!({}), json!({"id": 7})),
        );
        let made = made.unwrap();
        assert_eq!(
            (made.record.unwrap().as_str(), made.how),
            ("lot-7", Operation::Create)
        );
        assert_eq!(made.content, Given::Data(json!({"id": 7})));
        let changed = fit(&rules, Method::PUT, "/api/lots/a%20b").unwrap();
        assert!(!changed.rule.needs_response());
        let request = json!({"farm": "f", "data": [1]});
        let changed = changed.act(&who, &place, exchange(&headers, request, Value::Null));
        let changed = changed.unwrap_err();
        assert!(changed.detail.contains("resource's id"), "{changed}");
        let changed = fit(&rules, Method::PUT, "/api/lots/a~b").unwrap();
        let request = json!({"farm": "f", "data": [1]});
        let changed = changed
            .act(&who, &place, exchange(&headers, request, Value::Null))
            .unwrap();
        assert_eq!(changed.record.unwrap().as_str(), "lot-a~7eb");
        assert_eq!(changed.content, Given::Data(json!([1])));
        assert_eq!(changed.about[1].part, Part::Parent);
        let nothing = fit(&rules, Method::PUT, "/api/lots/7").unwrap();
        let nothing = nothing.act(&who, &place, exchange(&headers, Value::Null, Value::Null));
        assert!(nothing.unwrap_err().detail.contains("{request:/farm}"));
    }

    #[test]
    fn what_no_rule_fits_is_no_event() {
        let rules = rules(LOTS).unwrap();
        for (method, path) in [
            (Method::GET, "/api/lots/7"),
            (Method::PUT, "/api/lots/7/8"),
            (Method::PUT, "/api/lots"),
            (Method::POST, "/"),
        ] {
            assert!(fit(&rules, method, path).is_none(), "{path}");
        }
    }

    #[test]
    fn a_path_that_could_be_read_in_two_ways_is_not_read() {
        for path in [
            "/api/../lots",
            "/api/%2e%2e/lots",
            "/a//b",
            "/a%2fb",
            "/a%5cb",
            "/a;v=1",
            "/a%00",
            "/%ff",
            "/%252e",
            "api",
            "//",
        ] {
            assert_eq!(segments(path), None, "{path}");
        }
        assert_eq!(segments("/").unwrap(), [""]);
        assert_eq!(segments("/a/b/").unwrap(), ["a", "b"]);
    }

    #[test]
    fn rules_that_cannot_be_are_refused_with_their_number() {
        let with = |path: &str, record: &str, method: &str| {
            rules(&format!(
                r#"{{"methods": ["{method}"], "path": "{path}", "record": "{record}", "about": ["x"]}}"#
            ))
        };
        with("/a/{b}/**", "{b}", "POST").unwrap();
        for (path, record, method) in [
            ("a", "x", "POST"),
            ("/a/{b", "x", "POST"),
            ("/a/*", "x", "POST"),
            ("/a", "{b}", "POST"),
            ("/a", "x", "HEAD"),
        ] {
            let refused = with(path, record, method).unwrap_err();
            assert!(refused.starts_with("rule 1"), "{refused}");
        }
    }

    #[test]
    fn names_with_other_characters_stay_different() {
        let ids = ["a b", "a~20b", "a-b", "/a", "~2fa", "ä"].map(|name| encoded(name).unwrap());
        let all: std::collections::BTreeSet<_> = ids.iter().collect();
        assert_eq!(all.len(), ids.len());
    }
}
