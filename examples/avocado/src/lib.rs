//! Reach: the case study of the audit services, which outsiders copy from: a season of avocados, from orchard
//! to shop.
//!
//! Five companies - farmer, packer, carrier, merchant, consumers' association - each have a small HTTP service
//! and a SQLite database of their own, and no trust in each other. Whatever they do becomes a row of their own and an
//! EPCIS event in the audit that they share, reached by its REST API alone. [`Season::play`] lets them
//! work, [`Companies::alter`] changes one row behind everybody's back, and [`Company::check`] and the
//! consumers' page find it.

pub mod accounts;
mod book;
mod carrier;
mod company;
mod consumer;
mod directory;
mod error;
mod event;
mod farmer;
mod gateway;
pub mod gs1;
pub mod labels;
mod merchant;
mod packer;
mod places;
mod random;
mod season;
mod service;
mod start;

pub use accounts::Accounts;
pub use company::{Company, Finding};
pub use consumer::{Anchor, Check, Consumers};
pub use directory::{Role, companies};
pub use error::Error;
pub use gateway::{Address, Consulted, Gateway};
pub use season::{Lot, Season};
pub use start::{Altered, Companies};
