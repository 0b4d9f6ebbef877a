//! Traceability: the events of a resource, and of all that it came from or went into.

use std::collections::{HashSet, VecDeque};

use serde::{Deserialize, Serialize};

use super::Trail;
use super::consulting::Log;
use super::storing::damaged;
use crate::Problem;
use crate::limits::{TRACE_EVENTS_MAX, TRACE_RESOURCES_MAX};
use crate::model::{Event, Part, ResourceId};

/// In which direction a resource is traced.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "lowercase")]
pub enum Direction {
    /// To what it was made of.
    Back,
    /// To what became of it.
    Forward,
}

/// What was found.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
pub struct Trace {
    /// All resources on the way, the one asked for first.
    pub resources: Vec<ResourceId>,
    /// Where one became another.
    pub links: Vec<Link>,
    /// The events, the oldest first.
    pub logs: Vec<Log>,
    /// Whether there is more than a trace holds.
    pub truncated: bool,
}

/// One resource became, or went into, another.
#[derive(Debug, Clone, PartialEq, Eq, Hash, Serialize, Deserialize)]
pub struct Link {
    /// From this.
    pub from: ResourceId,
    /// To this.
    pub to: ResourceId,
    /// By this event of this record.
    pub record: String,
    /// The version of the record.
    pub version: u64,
}

impl Trail {
    /// Follows a resource through the events of all companies.
    ///
    /// # Errors
    /// The database does not answer.
    pub async fn trace(&self, start: ResourceId, way: Direction) -> Result<Trace, Problem> {
        let mut known = HashSet::from([start.clone()]);
        let mut resources = vec![start.clone()];
        let mut open = VecDeque::from([start]);
        let (mut links, mut logs, mut seen) = (Vec::new(), Vec::new(), HashSet::new());
        let mut truncated = false;
        while let Some(resource) = open.pop_front() {
            let left = TRACE_EVENTS_MAX.saturating_sub(logs.len());
            let limit = u32::try_from(left).unwrap_or(u32::MAX);
            let rows = self.store.about(&resource, limit.saturating_add(1)).await?;
            truncated |= rows.len() > left;
            for (row, part) in rows.into_iter().take(left) {
                let event = Event::from_canonical(&row.event).map_err(damaged)?;
                for next in neighbours(&event, part, way) {
                    links.push(link(&resource, &next, &event, way));
                    if known.contains(&next) {
                        continue;
                    }
                    if known.len() >= TRACE_RESOURCES_MAX {
                        truncated = true;
                        continue;
                    }
                    known.insert(next.clone());
                    resources.push(next.clone());
                    open.push_back(next);
                }
                if seen.insert((event.record.clone(), event.version)) {
                    let address = row.address();
                    logs.push(Log { event, address });
                }
            }
        }
        logs.sort_by(|one, other| {
            let place = |log: &Log| (log.event.when, log.event.version);
            place(one).cmp(&place(other))
        });
        Ok(Trace {
            resources,
            links,
            logs,
            truncated,
        })
    }
}

/// To which other resources an event leads from one that is in this part of it. Children follow the way of
/// what holds them, in both directions.
fn neighbours(event: &Event, part: Part, way: Direction) -> Vec<ResourceId> {
    let wanted: &[Part] = match (part, way) {
        (Part::Output, Direction::Back) => &[Part::Input],
        (Part::Input, Direction::Forward) => &[Part::Output],
        (Part::Parent, _) => &[Part::Child],
        (Part::Child, _) => &[Part::Parent],
        _ => &[],
    };
    let about = event.what.about.iter();
    let found = about.filter(|mention| wanted.contains(&mention.part));
    found.map(|mention| mention.id.clone()).collect()
}

fn link(here: &ResourceId, there: &ResourceId, event: &Event, way: Direction) -> Link {
    let (from, to) = match way {
        Direction::Back => (there, here),
        Direction::Forward => (here, there),
    };
    Link {
        from: from.clone(),
        to: to.clone(),
        record: event.record.to_string(),
        version: event.version,
    }
}
