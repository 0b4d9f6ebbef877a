//! Real events that most machines have: what was installed, changed and removed, and when.

use std::fs;
use std::path::Path;

use serde::Serialize;

/// Events taken from a log, the newest ones.
const EVENTS_MAX: usize = 2_000;

/// Makes events of a log's text.
type Reader = fn(&str) -> Vec<String>;

/// What happened to a package.
#[derive(Debug, PartialEq, Eq, Serialize)]
#[serde(rename_all = "camelCase")]
struct PackageEvent<'a> {
    event_time: String,
    who: &'a str,
    what: &'a str,
    how: &'a str,
    #[serde(skip_serializing_if = "Option::is_none")]
    from: Option<&'a str>,
    #[serde(skip_serializing_if = "Option::is_none")]
    to: Option<&'a str>,
}

impl PackageEvent<'_> {
    fn line(&self) -> String {
        serde_json::to_string(self).expect("strings are JSON")
    }
}

/// Events of this machine's package log, each as one line of JSON, and the log's name. `None` where
/// there is no log that can be read.
pub(crate) fn events() -> Option<(Vec<String>, &'static str)> {
    let logs: [(&str, Reader); 2] = [
        ("/var/log/dpkg.log", dpkg_events),
        ("/var/log/apt/history.log", apt_events),
    ];
    logs.into_iter().find_map(|(path, read)| {
        let bytes = fs::read(Path::new(path)).ok()?;
        let mut events = read(&String::from_utf8_lossy(&bytes));
        events.drain(..events.len().saturating_sub(EVENTS_MAX));
        (!events.is_empty()).then_some((events, path))
    })
}

/// `2026-05-20 10:00:00 upgrade libc6:amd64 2.36-9 2.36-10` (dpkg.log).
fn dpkg_events(log: &str) -> Vec<String> {
    let event = |line: &str| {
        let mut fields = line.split_ascii_whitespace();
        let event_time = format!("{}T{}", fields.next()?, fields.next()?);
        let how = fields.next()?;
        if !["install", "upgrade", "remove", "purge"].contains(&how) {
            return None;
        }
        let version = |field: &'static str| move |text: &&str| *text != field;
        let what = fields.next()?;
        let from = fields.next().filter(version("<none>"));
        let to = fields.next().filter(version("<none>"));
        Some(
            PackageEvent {
                event_time,
                who: "dpkg",
                what,
                how,
                from,
                to,
            }
            .line(),
        )
    };
    log.lines().filter_map(event).collect()
}

/// Paragraphs with `Start-Date:`, `Requested-By:`, `Install: a:amd64 (1.0), b:amd64 (2.0, automatic)`
/// (apt's history.log).
fn apt_events(log: &str) -> Vec<String> {
    let mut events = Vec::new();
    for paragraph in log.split("\n\n") {
        let field = |name: &str| {
            let mut lines = paragraph.lines();
            lines.find_map(|line| line.strip_prefix(name)?.strip_prefix(": "))
        };
        let Some(date) = field("Start-Date") else {
            continue;
        };
        let event_time = date.split_ascii_whitespace().collect::<Vec<_>>().join("T");
        let who = field("Requested-By").unwrap_or("apt");
        for (name, how) in [
            ("Install", "install"),
            ("Upgrade", "upgrade"),
            ("Remove", "remove"),
            ("Purge", "purge"),
        ] {
            for package in field(name).into_iter().flat_map(|list| list.split("), ")) {
                let Some((what, versions)) = package.split_once(" (") else {
                    continue;
                };
                let mut versions = versions.trim_end_matches(')').split(", ");
                let first = versions.next();
                let (from, to) = match how {
                    "install" => (None, first),
                    "upgrade" => (first, versions.next()),
                    _ => (first, None),
                };
                let event_time = event_time.clone();
                events.push(
                    PackageEvent {
                        event_time,
                        who,
                        what,
                        how,
                        from,
                        to,
                    }
                    .line(),
                );
            }
        }
    }
    events
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_line_of_dpkg_is_an_event() {
        let log = "2026-05-20 10:00:00 startup archives unpack\n\
                   2026-05-20 10:00:01 install libc6:amd64 <none> 2.36-9\n\
                   2026-05-20 10:00:02 status half-installed libc6:amd64 2.36-9\n\
                   2026-05-20 10:00:03 upgrade bash:amd64 5.1 5.2\n";
        assert_eq!(
            dpkg_events(log),
            [
                r#"{"eventTime":"2026-05-20T10:00:01","who":"dpkg","what":"libc6:amd64","how":"install","to":"2.36-9"}"#,
                r#"{"eventTime":"2026-05-20T10:00:03","who":"dpkg","what":"bash:amd64","how":"upgrade","from":"5.1","to":"5.2"}"#,
            ]
        );
    }

    #[test]
    fn a_paragraph_of_apt_is_one_event_for_each_package() {
        let log = "\nStart-Date: 2026-05-20  10:00:00\nCommandline: apt install a\n\
                   Requested-By: alice (1000)\n\
                   Install: a:amd64 (1.0), b:amd64 (2.0, automatic)\n\
                   Upgrade: c:all (3.0, 3.1)\nEnd-Date: 2026-05-20  10:00:09\n";
        assert_eq!(
            apt_events(log),
            [
                r#"{"eventTime":"2026-05-20T10:00:00","who":"alice (1000)","what":"a:amd64","how":"install","to":"1.0"}"#,
                r#"{"eventTime":"2026-05-20T10:00:00","who":"alice (1000)","what":"b:amd64","how":"install","to":"2.0"}"#,
                r#"{"eventTime":"2026-05-20T10:00:00","who":"alice (1000)","what":"c:all","how":"upgrade","from":"3.0","to":"3.1"}"#,
            ]
        );
    }
}
