//! In front of a system that knows nothing of us: its requests go through, and what its rules say becomes
//! events.
//!
//! A request that a rule fits is passed on; when the system has done it, its event is stored, and only then
//! its client gets the answer. So an acknowledged change has its event.

mod forward;
mod rules;
mod template;
#[cfg(test)]
mod tests;

use std::sync::Arc;

use axum::Router;

pub use rules::{RuleConfig, RuleError, Rules};
pub use template::TemplateError;

use crate::model::Text;
use crate::trail::Recorder;
pub use crate::upstreams::{UpstreamError, Upstreams};

/// A system, and how it is audited.
pub struct Proxy {
    rules: Rules,
    upstreams: Upstreams,
    recorder: Arc<dyn Recorder>,
    who: Text,
}

impl Proxy {
    /// A proxy whose events are this participant's.
    pub fn new(rules: Rules, upstreams: Upstreams, recorder: Arc<dyn Recorder>, who: Text) -> Self {
        Self {
            rules,
            upstreams,
            recorder,
            who,
        }
    }

    /// What is served in front of the system: all of its paths.
    pub fn routes(self) -> Router {
        Router::new()
            .fallback(forward::forward)
            .with_state(Arc::new(self))
    }
}

impl std::fmt::Debug for Proxy {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("Proxy")
            .field("upstreams", &self.upstreams)
            .finish_non_exhaustive()
    }
}
