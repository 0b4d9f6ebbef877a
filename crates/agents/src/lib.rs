//! Reach: whoever runs the audit services tests them by their address alone, with agents of all kinds.
//!
//! Friendly agents store, change, consult and trace; unfriendly ones send junk, skip steps, forge and replay
//! tokens, reach for rights that they do not have, and race for root (the paper's tester, table 6, and more).
//! What has to come of each request is decided before it is sent, by rules of this crate that know nothing of
//! the services' code. In the end all logs and all users are read: each accepted request has its one event,
//! and there is no other event, user or right.
//!
//! | module | is |
//! |---|---|
//! | `wire` | requests, connections, answers |
//! | `expect` | what an answer has to be |
//! | `race`, `setup` | how the root comes to be, and everybody below it |
//! | `behaviours` | what agents do, one table |
//! | `book`, `check` | which events there have to be, and whether they are |
//! | `report`, `page` | what came of it, for programs and for people |

mod agent;
mod behaviours;
mod book;
mod check;
mod expect;
mod forge;
mod invariant;
mod page;
mod progress;
mod race;
mod report;
mod run;
mod setup;
mod tally;
mod wire;
mod world;

pub use page::render;
pub use progress::{Phase, Progress, Seen};
pub use report::Report;
pub use run::{Plan, RunError, run};
