//! A report as one page: it asks nobody for anything, and has no script.

mod plot;

use std::fmt::Write;

use crate::behaviours::Side;
use crate::report::{Done, Report, Times};
use crate::tally::Spread;

const STYLE: &str = include_str!("style.css");

/// The page.
pub fn render(report: &Report) -> String {
    let mut page = String::with_capacity(64 << 10);
    let verdict = match report.holds {
        true => ("good", "No invariant was broken"),
        false => ("bad", "Invariants were broken"),
    };
    let _ = write!(
        page,
        "<!doctype html>\n<html lang=\"en\">\n<head>\n<meta charset=\"utf-8\">\n\
         <meta name=\"viewport\" content=\"width=device-width, initial-scale=1\">\n\
         <meta http-equiv=\"Content-Security-Policy\" content=\"default-src 'none'; style-src 'unsafe-inline'\">\n\
         <title>Agents: {}</title>\n<style>\n{STYLE}</style>\n</head>\n<body>\n\
         <header><h1>Agents</h1><p class=\"verdict {}\">{}</p></header>\n",
        verdict.1, verdict.0, verdict.1,
    );
    page.push_str(&setting(report));
    page.push_str(&invariants(report));
    page.push_str("<main>\n");
    page.push_str(&figure(
        "Answers over time",
        "Answers in each second. Before the requests the race for root, and the making of users.",
        &plot::over_time(&report.spans),
    ));
    page.push_str(&figure(
        "Storing and consulting",
        "Which share of the answers was there by when. Processing is what the gateway says of itself.",
        &plot::curves(&report.curves),
    ));
    page.push_str("</main>\n");
    page.push_str(&times(&report.times));
    page.push_str(&behaviours(&report.behaviours));
    page.push_str("</body>\n</html>\n");
    page
}

fn setting(report: &Report) -> String {
    let (setting, totals) = (&report.setting, &report.totals);
    let race = &setting.race;
    let rate = totals.requests as f64 / setting.seconds.max(0.1);
    let tiles = [
        (
            "requests",
            count(totals.requests),
            format!("{rate:.0} a second, all of the run"),
        ),
        (
            "friendly / unfriendly",
            format!("{} / {}", count(totals.friendly), count(totals.unfriendly)),
            format!("{} connections", setting.connections),
        ),
        (
            "accepted / refused",
            format!("{} / {}", count(totals.accepted), count(totals.refused)),
            format!(
                "{} put off, {} broken",
                count(totals.later),
                count(totals.broken)
            ),
        ),
        (
            "raced for root",
            race.racers.to_string(),
            format!(
                "{} by tricks first; {} became it, in {} ms",
                race.unfriendly, race.roots, race.millis
            ),
        ),
        (
            "logs",
            count(totals.logs as u64),
            format!(
                "{} users; {} receipts checked offline",
                totals.users,
                count(totals.receipts as u64)
            ),
        ),
    ];
    let mut text = "<section class=\"tiles\">\n".to_owned();
    for (name, number, note) in tiles {
        let _ = writeln!(
            text,
            "<div><p class=\"faint\">{name}</p><p class=\"number\">{number}</p><p class=\"faint\">{note}</p></div>"
        );
    }
    let _ = writeln!(
        text,
        "</section>\n<p class=\"faint\">Seed {}, {}, {} s on {} processors, services and ledger included; \
         version {}, at {}.</p>",
        setting.seed,
        setting.started,
        setting.seconds,
        setting.processors,
        setting.version,
        escaped(&setting.url),
    );
    text
}

fn invariants(report: &Report) -> String {
    let mut text = "<section>\n<h2>What has to hold</h2>\n<ul class=\"invariants\">\n".to_owned();
    for one in &report.invariants {
        let (class, mark) = match (one.checked, one.broken) {
            (0, _) => ("faint", "–"),
            (_, 0) => ("good", "✓"),
            _ => ("bad", "✗"),
        };
        let broken = match one.broken {
            0 => String::new(),
            broken => format!(", <strong class=\"bad\">{} broken</strong>", count(broken)),
        };
        let _ = writeln!(
            text,
            "<li><span class=\"{class}\" aria-hidden=\"true\">{mark}</span> <span>{}</span> \
             <span class=\"faint\">{} {}{broken}</span></li>",
            one.invariant,
            count(one.checked),
            one.of,
        );
    }
    text.push_str("</ul>\n");
    if !report.violations.is_empty() {
        text.push_str("<h2>Where they did not</h2>\n<ul class=\"violations\">\n");
        for one in &report.violations {
            let _ = writeln!(
                text,
                "<li><strong>{}</strong> ({})<br><code>{}</code></li>",
                one.invariant,
                one.behaviour,
                escaped(&one.what)
            );
        }
        text.push_str("</ul>\n");
    }
    text.push_str("</section>\n");
    text
}

fn figure(title: &str, says: &str, plot: &str) -> String {
    format!(
        "<figure>\n<h2>{title}</h2>\n{plot}\n<figcaption class=\"faint\">{says}</figcaption>\n</figure>\n"
    )
}

fn times(rows: &[Times]) -> String {
    let mut text = "<section>\n<h2>Latency and processing time, by method and stage</h2>\n\
        <p class=\"faint\">Milliseconds. The paper's table 7 has averages: storing 6,646 with 1,768 of \
        processing, consulting 2,516 with 979.</p>\n"
        .to_owned();
    text.push_str(&plot::ranges(rows));
    text.push_str(
        "<div class=\"wide\" tabindex=\"0\">\n<table>\n<thead><tr><th rowspan=\"2\">method and stage</th>\
         <th rowspan=\"2\">answers</th><th colspan=\"5\">latency</th>\
         <th colspan=\"4\">processing</th></tr>\n<tr><th>mean</th><th>p50</th><th>p95</th><th>p99</th>\
         <th>max</th><th>mean</th><th>p50</th><th>p95</th><th>p99</th></tr></thead>\n<tbody>\n",
    );
    for row in rows {
        let refused = if row.outcome == "refused" {
            ", refused"
        } else {
            ""
        };
        let _ = write!(
            text,
            "<tr><td>{} {}{refused}</td><td>{}</td>",
            escaped(&row.method),
            row.stage,
            count(row.count as u64)
        );
        let cells = |spread: &Option<Spread>, with_max: bool| {
            let Some(spread) = spread else {
                return "<td>–</td>".repeat(if with_max { 5 } else { 4 });
            };
            let Spread {
                mean,
                p50,
                p95,
                p99,
                max,
            } = *spread;
            let mut numbers = vec![mean, p50, p95, p99];
            numbers.extend(with_max.then_some(max));
            numbers
                .into_iter()
                .map(|one| format!("<td>{}</td>", short(one)))
                .collect::<String>()
        };
        let _ = writeln!(
            text,
            "{}{}</tr>",
            cells(&row.latency, true),
            cells(&row.processing, false)
        );
    }
    text.push_str("</tbody>\n</table>\n</div>\n</section>\n");
    text
}

fn behaviours(all: &[Done]) -> String {
    let mut text = "<section>\n<h2>What the agents did</h2>\n\
        <p class=\"faint\">Each answer was of the kind that was expected before it was asked for, but for \
        those that are broken.</p>\n"
        .to_owned();
    for (side, title) in [
        (Side::Friendly, "Friendly"),
        (Side::Unfriendly, "Unfriendly"),
    ] {
        let _ = writeln!(
            text,
            "<h3>{title}</h3>\n<table class=\"behaviours\">\n<thead><tr><th>behaviour</th><th>accepted</th>\
             <th>refused</th><th>broken</th></tr></thead>\n<tbody>"
        );
        for one in all.iter().filter(|one| one.side == side) {
            let class = if one.broken > 0 { " class=\"bad\"" } else { "" };
            let later = match one.later {
                0 => String::new(),
                later => format!(" ({} put off)", count(later)),
            };
            let _ = writeln!(
                text,
                "<tr><td>{}<br><span class=\"faint\">{}{later}</span></td><td>{}</td><td>{}</td>\
                 <td{class}>{}</td></tr>",
                escaped(one.name),
                escaped(one.says),
                count(one.accepted),
                count(one.refused),
                count(one.broken)
            );
        }
        text.push_str("</tbody>\n</table>\n");
    }
    text.push_str("</section>\n");
    text
}

/// A number with its thousands apart.
pub(crate) fn count(number: u64) -> String {
    let digits = number.to_string();
    let mut text = String::new();
    for (place, digit) in digits.chars().enumerate() {
        if place > 0 && (digits.len() - place).is_multiple_of(3) {
            text.push(',');
        }
        text.push(digit);
    }
    text
}

/// Milliseconds with as many digits as tell something.
pub(crate) fn short(millis: f64) -> String {
    match millis {
        millis if millis >= 100.0 => count(millis.round() as u64),
        millis if millis >= 10.0 => format!("{millis:.1}"),
        millis => format!("{millis:.2}"),
    }
}

/// A text that is shown as it is.
pub(crate) fn escaped(text: &str) -> String {
    let mut shown = String::with_capacity(text.len());
    for character in text.chars() {
        match character {
            '&' => shown.push_str("&amp;"),
            '<' => shown.push_str("&lt;"),
            '>' => shown.push_str("&gt;"),
            '"' => shown.push_str("&quot;"),
            other => shown.push(other),
        }
    }
    shown
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::report::tests::report;

    #[test]
    fn what_was_answered_is_shown_as_text() {
        let page = render(&report(true));
        assert!(page.contains("&lt;b&gt;two&lt;/b&gt; &amp; more"));
        assert!(!page.contains("<b>two"));
    }

    #[test]
    fn the_page_asks_nobody_for_anything() {
        let page = render(&report(false));
        for word in [
            "<script", "<link", "<img", "src=", "url(", "@import", "<iframe",
        ] {
            assert!(!page.contains(word), "{word}");
        }
        assert!(page.contains("default-src 'none'"));
    }

    #[test]
    fn the_verdict_is_said_first() {
        assert!(render(&report(false)).contains("No invariant was broken"));
        assert!(render(&report(true)).contains("Invariants were broken"));
    }

    #[test]
    fn numbers_are_written_for_people() {
        let counts = [0, 999, 1_000, 1_234_567].map(count);
        assert_eq!(counts, ["0", "999", "1,000", "1,234,567"]);
        assert_eq!([0.126, 12.34, 6646.2].map(short), ["0.13", "12.3", "6,646"]);
    }
}
