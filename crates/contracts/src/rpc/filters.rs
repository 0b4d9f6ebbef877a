//! `eth_newFilter` and its kin: what is new since one asked last, for clients that poll.

use std::collections::HashMap;
use std::sync::{Mutex, MutexGuard, PoisonError};
use std::time::{Duration, Instant};

use alloy_primitives::B256;
use alloy_rpc_types_eth::{Filter, FilterChanges, Log};

use super::error::RpcError;
use super::sight::Sight;
use super::{Rpc, query_of, shapes};
use crate::limits::FILTERS_MAX;

/// A filter that nobody asks for so long is gone, as with other nodes of Ethereum.
const FORGOTTEN_AFTER: Duration = Duration::from_secs(5 * 60);

/// What is remembered of a filter.
#[derive(Debug)]
struct Watched {
    kind: Kind,
    /// The newest block that was told of.
    told: u64,
    asked: Instant,
}

#[derive(Debug, Clone)]
enum Kind {
    Blocks,
    /// Nothing is ever pending.
    Pending,
    Logs(Box<Filter>),
}

/// Filters of this node's clients.
#[derive(Debug, Default)]
pub(super) struct Filters(Mutex<HashMap<String, Watched>>);

impl Filters {
    fn lock(&self) -> MutexGuard<'_, HashMap<String, Watched>> {
        self.0.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

/// A name that nobody guesses: filters are not bound to who made them.
pub(super) fn name() -> String {
    let mut bytes = [0; 16];
    aws_lc_rs::rand::fill(&mut bytes).expect("the system has randomness");
    format!("0x{}", alloy_primitives::hex::encode(bytes))
}

impl Rpc {
    pub(super) fn watch_blocks(&self) -> Result<String, RpcError> {
        self.watch(Kind::Blocks)
    }

    pub(super) fn watch_pending(&self) -> Result<String, RpcError> {
        self.watch(Kind::Pending)
    }

    pub(super) fn watch_logs(&self, filter: Filter) -> Result<String, RpcError> {
        query_of(&filter)?;
        self.watch(Kind::Logs(Box::new(filter)))
    }

    fn watch(&self, kind: Kind) -> Result<String, RpcError> {
        let told = self.history.newest()?;
        let mut filters = self.filters.lock();
        filters.retain(|_, watched| watched.asked.elapsed() < FORGOTTEN_AFTER);
        if filters.len() >= FILTERS_MAX {
            let message = "too many filters: remove those you need no more (eth_uninstallFilter)";
            return Err(RpcError::server(message));
        }
        let name = name();
        let watched = Watched {
            kind,
            told,
            asked: Instant::now(),
        };
        filters.insert(name.clone(), watched);
        Ok(name)
    }

    pub(super) fn unwatch(&self, name: &str) -> bool {
        self.filters.lock().remove(name).is_some()
    }

    /// What is new since the last time.
    pub(super) fn changes(&self, sight: &Sight<'_>, name: &str) -> Result<FilterChanges, RpcError> {
        let newest = self.history.newest()?;
        let (kind, told) = {
            let mut filters = self.filters.lock();
            let watched = filters.get_mut(name).ok_or_else(unknown)?;
            watched.asked = Instant::now();
            (
                watched.kind.clone(),
                std::mem::replace(&mut watched.told, newest),
            )
        };
        match kind {
            Kind::Pending => Ok(FilterChanges::Hashes(Vec::new())),
            Kind::Blocks => {
                let mut hashes: Vec<B256> = Vec::new();
                for number in told + 1..=newest {
                    hashes.extend(self.history.block(number)?.map(|block| block.hash));
                }
                Ok(FilterChanges::Hashes(hashes))
            }
            Kind::Logs(_) if told == newest => Ok(FilterChanges::Logs(Vec::new())),
            Kind::Logs(filter) => {
                let found = self.history.logs(&query_of(&filter)?, told + 1..=newest)?;
                let found = sight.only_seen(found)?;
                Ok(FilterChanges::Logs(found.iter().map(shapes::log).collect()))
            }
        }
    }

    /// All logs that a filter is about.
    pub(super) fn filtered(&self, sight: &Sight<'_>, name: &str) -> Result<Vec<Log>, RpcError> {
        let filter = {
            let mut filters = self.filters.lock();
            let watched = filters.get_mut(name).ok_or_else(unknown)?;
            watched.asked = Instant::now();
            match &watched.kind {
                Kind::Logs(filter) => filter.clone(),
                Kind::Blocks | Kind::Pending => return Err(unknown()),
            }
        };
        self.logs(sight, &filter)
    }
}

fn unknown() -> RpcError {
    RpcError::server("filter not found")
}
