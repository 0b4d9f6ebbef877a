//! Reach: what the project's own commands and its end-to-end tests both need of the machine that they run on.

pub mod cache;
pub mod postgres;
pub mod run;
