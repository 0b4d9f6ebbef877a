//! Plots as inline SVG, drawn small so that they are read on a phone.

use std::fmt::Write;

use super::{count, escaped, short};
use crate::report::{Curve, Spans, Times};

const WIDTH: f64 = 370.0;
const HEIGHT: f64 = 230.0;
const LEFT: f64 = 46.0;
const RIGHT: f64 = 8.0;
const TOP: f64 = 10.0;
const BOTTOM: f64 = 40.0;

/// Answers over time: accepted, and refused above them.
pub(super) fn over_time(spans: &Spans) -> String {
    let seconds = f64::from(spans.millis) / 1_000.0;
    let per_second = |answers: u32| f64::from(answers) / seconds;
    let most = spans
        .answers
        .iter()
        .map(|[a, b]| per_second(a + b))
        .fold(1.0, f64::max);
    let top = ceiling(most);
    let y = |value: f64| TOP + (HEIGHT - TOP - BOTTOM) * (1.0 - value / top);
    let width = (WIDTH - LEFT - RIGHT) / spans.answers.len() as f64;
    let mut svg = begin("Answers over time", HEIGHT);
    for part in 0..=4 {
        let value = top * f64::from(part) / 4.0;
        grid_y(&mut svg, y(value), &count(value.round() as u64));
    }
    for (place, [accepted, refused]) in spans.answers.iter().enumerate() {
        let x = LEFT + width * place as f64;
        let (low, high) = (per_second(*accepted), per_second(accepted + refused));
        bar(&mut svg, "a", x, width, (y(low), y(0.0)));
        bar(&mut svg, "b", x, width, (y(high), y(low)));
    }
    let end = seconds * spans.answers.len() as f64;
    for part in 0..=4 {
        let at = end * f64::from(part) / 4.0;
        let x = LEFT + (WIDTH - LEFT - RIGHT) * f64::from(part) / 4.0;
        label(
            &mut svg,
            x,
            HEIGHT - BOTTOM + 14.0,
            anchor(part),
            &format!("{at:.0} s"),
        );
    }
    legend(
        &mut svg,
        &[("a", "accepted"), ("b", "refused")],
        HEIGHT - 8.0,
    );
    svg.push_str("</svg>");
    svg
}

fn bar(svg: &mut String, class: &str, x: f64, width: f64, (top, bottom): (f64, f64)) {
    let height = bottom - top;
    if height > 0.0 {
        let _ = write!(
            svg,
            "<rect class=\"{class}\" x=\"{x:.1}\" y=\"{top:.1}\" width=\"{width:.2}\" height=\"{height:.1}\"/>"
        );
    }
}

/// Shares over milliseconds.
pub(super) fn curves(curves: &[Curve]) -> String {
    let all = || {
        curves
            .iter()
            .flat_map(|curve| &curve.points)
            .map(|point| point.1)
    };
    let scale = Log::of(all());
    let y = |share: f64| TOP + (HEIGHT - TOP - BOTTOM) * (1.0 - share / 100.0);
    let mut svg = begin("Storing and consulting", HEIGHT);
    for share in [0, 25, 50, 75, 100] {
        grid_y(&mut svg, y(f64::from(share)), &format!("{share} %"));
    }
    scale.grid(&mut svg, LEFT, (TOP, HEIGHT - BOTTOM));
    for curve in curves {
        let stage = if curve.name.starts_with("storing") {
            "a"
        } else {
            "b"
        };
        let dashed = if curve.name.ends_with("processing") {
            " dashed"
        } else {
            ""
        };
        let points = curve
            .points
            .iter()
            .map(|(share, millis)| format!("{:.1},{:.1}", scale.x(*millis, LEFT), y(*share)));
        let points: Vec<String> = points.collect();
        let _ = write!(
            svg,
            "<polyline class=\"line {stage}{dashed}\" points=\"{}\"><title>{}</title></polyline>",
            points.join(" "),
            curve.name
        );
    }
    let names = [
        ("a", "storing"),
        ("b", "consulting"),
        ("dash", "dashed: processing"),
    ];
    legend(&mut svg, &names, HEIGHT - 8.0);
    svg.push_str("</svg>");
    svg
}

/// For each method and stage, from the median to the 99th percentile.
pub(super) fn ranges(rows: &[Times]) -> String {
    let accepted: Vec<&Times> = rows
        .iter()
        .filter(|row| row.outcome == "accepted")
        .collect();
    const STEP: f64 = 26.0;
    let height = TOP + STEP * accepted.len() as f64 + BOTTOM;
    let left = 125.0;
    let spreads = accepted
        .iter()
        .flat_map(|row| [row.latency, row.processing])
        .flatten();
    let scale = Log::of(spreads.flat_map(|spread| [spread.p50, spread.p99]));
    let mut svg = begin("Latency and processing by method and stage", height);
    scale.grid(&mut svg, left, (TOP, height - BOTTOM));
    for (place, row) in accepted.iter().enumerate() {
        let y = TOP + STEP * (place as f64 + 0.5);
        let name = format!("{} {}", row.method, row.stage);
        label(&mut svg, left - 6.0, y + 4.0, "end", &escaped(&name));
        for (spread, class, y) in [(row.latency, "a", y - 4.0), (row.processing, "b", y + 4.0)] {
            let Some(spread) = spread else { continue };
            let x = |millis| scale.x(millis, left);
            let _ = write!(
                svg,
                "<g class=\"{class}\"><title>p50 {}, p95 {}, p99 {} ms</title>\
                 <line x1=\"{:.1}\" x2=\"{:.1}\" y1=\"{y:.1}\" y2=\"{y:.1}\"/>\
                 <circle cx=\"{:.1}\" cy=\"{y:.1}\" r=\"3\"/><path d=\"M{:.1} {:.1}v6\"/></g>",
                short(spread.p50),
                short(spread.p95),
                short(spread.p99),
                x(spread.p50),
                x(spread.p99),
                x(spread.p50),
                x(spread.p95),
                y - 3.0
            );
        }
    }
    let names = [
        ("a", "latency"),
        ("b", "processing"),
        ("dash", "dot p50, mark p95, end p99"),
    ];
    legend(&mut svg, &names, height - 8.0);
    svg.push_str("</svg>\n");
    svg
}

/// A scale of powers of ten.
struct Log {
    from: f64,
    to: f64,
}

impl Log {
    fn of(values: impl Iterator<Item = f64>) -> Self {
        let bounds = values
            .filter(|value| *value > 0.0)
            .fold((f64::MAX, f64::MIN), |(low, high), value| {
                (low.min(value), high.max(value))
            });
        match bounds {
            (low, high) if low <= high => Self {
                from: low.log10().floor(),
                to: high.log10().ceil().max(low.log10().floor() + 1.0),
            },
            _ => Self { from: 0.0, to: 1.0 },
        }
    }

    fn x(&self, millis: f64, left: f64) -> f64 {
        let place = millis.max(10_f64.powf(self.from)).log10();
        left + (WIDTH - left - RIGHT) * (place - self.from) / (self.to - self.from)
    }

    fn grid(&self, svg: &mut String, left: f64, (top, bottom): (f64, f64)) {
        let mut power = self.from;
        while power <= self.to {
            let value = 10_f64.powf(power);
            let x = self.x(value, left);
            let _ = write!(
                svg,
                "<line class=\"grid\" x1=\"{x:.1}\" x2=\"{x:.1}\" y1=\"{top:.1}\" y2=\"{bottom:.1}\"/>"
            );
            let last = power + 1.0 > self.to;
            let text = match value {
                value if value >= 1_000.0 => format!("{} s", value / 1_000.0),
                value => format!("{} ms", (value * 1_000.0).round() / 1_000.0),
            };
            label(
                svg,
                x,
                bottom + 14.0,
                if last { "end" } else { "middle" },
                &text,
            );
            power += 1.0;
        }
    }
}

fn begin(title: &str, height: f64) -> String {
    format!("<svg viewBox=\"0 0 {WIDTH} {height}\" role=\"img\" aria-label=\"{title}\">")
}

fn grid_y(svg: &mut String, y: f64, text: &str) {
    let right = WIDTH - RIGHT;
    let _ = write!(
        svg,
        "<line class=\"grid\" x1=\"{LEFT}\" x2=\"{right}\" y1=\"{y:.1}\" y2=\"{y:.1}\"/>"
    );
    label(svg, LEFT - 4.0, y + 3.5, "end", text);
}

fn label(svg: &mut String, x: f64, y: f64, anchor: &str, text: &str) {
    let _ = write!(
        svg,
        "<text x=\"{x:.1}\" y=\"{y:.1}\" text-anchor=\"{anchor}\">{text}</text>"
    );
}

const fn anchor(part: i32) -> &'static str {
    match part {
        0 => "start",
        4 => "end",
        _ => "middle",
    }
}

fn legend(svg: &mut String, names: &[(&str, &str)], y: f64) {
    let mut x = 8.0;
    for (class, name) in names {
        if *class != "dash" {
            let top = y - 8.0;
            let _ = write!(
                svg,
                "<rect class=\"{class}\" x=\"{x:.1}\" y=\"{top:.1}\" width=\"9\" height=\"9\"/>"
            );
            x += 13.0;
        }
        label(svg, x, y, "start", name);
        x += 14.0 + 5.6 * name.len() as f64;
    }
}

/// A round number above.
fn ceiling(most: f64) -> f64 {
    let power = 10_f64.powf(most.log10().floor());
    let steps = [1.0, 2.0, 4.0, 5.0, 10.0];
    let step = steps.into_iter().find(|step| step * power >= most);
    step.unwrap_or(10.0) * power
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn scales_end_at_round_numbers() {
        assert_eq!(
            [1.0, 3.0, 42.0, 1_900.0].map(ceiling),
            [1.0, 4.0, 50.0, 2_000.0]
        );
    }

    #[test]
    fn nothing_measured_is_a_plot_without_marks() {
        let spans = Spans {
            millis: 100,
            answers: vec![[0, 0]],
        };
        for svg in [over_time(&spans), curves(&[]), ranges(&[])] {
            assert!(svg.contains("</svg>") && !svg.contains("NaN"), "{svg}");
        }
    }

    #[test]
    fn values_stand_where_the_scale_says() {
        let scale = Log::of([0.5, 80.0].into_iter());
        assert_eq!((scale.from, scale.to), (-1.0, 2.0));
        assert_eq!(scale.x(100.0, LEFT), WIDTH - RIGHT);
        assert_eq!(scale.x(0.0, LEFT), LEFT);
    }
}
