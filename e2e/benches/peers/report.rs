//! What was measured, for people and for programs.

use std::fmt;

use serde_json::{Value, json};

use crate::target::Beside;

/// The figures of a run.
#[derive(Default)]
pub(crate) struct Report {
    rows: Vec<Row>,
}

struct Row {
    work: &'static str,
    figure: String,
    peer: String,
    /// How many times the peer's, or the figure itself where it stands alone.
    compared: f64,
    goal: Goal,
}

/// What a figure should be.
#[derive(Clone, Copy)]
pub(crate) enum Goal {
    /// At most so many times the peer's.
    Times(f64),
    /// At most so much.
    AtMost(f64),
    /// At least so much.
    AtLeast(f64),
}

impl Goal {
    fn is_met(self, value: f64) -> bool {
        match self {
            Self::Times(most) | Self::AtMost(most) => value <= most,
            Self::AtLeast(least) => value >= least,
        }
    }
}

impl fmt::Display for Goal {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Times(most) => write!(f, "<= {most}x"),
            Self::AtMost(most) => write!(f, "<= {most}"),
            Self::AtLeast(least) => write!(f, ">= {least}"),
        }
    }
}

impl Report {
    /// Adds a time in microseconds beside the same of a peer.
    pub(crate) fn compare(
        &mut self,
        work: &'static str,
        ours: f64,
        (peer, theirs): (&str, f64),
        goal: Goal,
    ) {
        self.push(Row {
            work,
            figure: micros(ours),
            peer: format!("{peer} {}", micros(theirs)),
            compared: ours / theirs.max(1e-3),
            goal,
        });
    }

    /// Adds what was measured in turn with a peer.
    pub(crate) fn beside(&mut self, work: &'static str, beside: &Beside, peer: &str, goal: Goal) {
        let [median, least, most] = beside.ratios;
        let theirs = micros(beside.theirs);
        self.push(Row {
            work,
            figure: micros(beside.ours),
            peer: format!("{peer} {theirs}, rounds from {least:.2}x to {most:.2}x"),
            compared: median,
            goal,
        });
    }

    /// Adds a figure that stands alone.
    pub(crate) fn say(&mut self, work: &'static str, value: f64, unit: &str, goal: Goal) {
        let figure = format!("{value:.2} {unit}");
        self.push(Row {
            work,
            figure,
            peer: String::new(),
            compared: value,
            goal,
        });
    }

    /// One line of JSON.
    pub(crate) fn json(&self) -> Value {
        let rows = self.rows.iter().map(|row| {
            json!({
                "work": row.work,
                "figure": row.figure,
                "peer": row.peer,
                "compared": row.compared,
                "goal": row.goal.to_string(),
                "met": row.goal.is_met(row.compared),
            })
        });
        Value::Array(rows.collect())
    }

    fn push(&mut self, row: Row) {
        eprintln!("{row}");
        self.rows.push(row);
    }
}

impl fmt::Display for Report {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        writeln!(
            f,
            "\n| work | figure | peer, same run | compared | goal | met |"
        )?;
        writeln!(f, "|---|---|---|---|---|---|")?;
        for Row {
            work,
            figure,
            peer,
            compared,
            goal,
        } in &self.rows
        {
            let met = if goal.is_met(*compared) {
                "yes"
            } else {
                "**no**"
            };
            writeln!(
                f,
                "| {work} | {figure} | {peer} | {compared:.2} | {goal} | {met} |"
            )?;
        }
        Ok(())
    }
}

impl fmt::Display for Row {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(
            f,
            "{}: {} ({:.2}, goal {})",
            self.work, self.figure, self.compared, self.goal
        )?;
        if self.peer.is_empty() {
            Ok(())
        } else {
            write!(f, ", {}", self.peer)
        }
    }
}

fn micros(time: f64) -> String {
    format!("{time:.1} us")
}
