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

use crate::edge::Edge;
use crate::model::Text;
use crate::trail::Recorder;
pub use crate::upstreams::{UpstreamError, Upstreams};

/// A system, and how it is audited.
pub struct Proxy {
    rules: Rules,
    upstreams: Upstreams,
    recorder: Arc<dyn Recorder>,
    who: Text,
    audited_only: bool,
}

impl Proxy {
    /// A proxy whose events are this participant's.
    pub fn new(rules: Rules, upstreams: Upstreams, recorder: Arc<dyn Recorder>, who: Text) -> Self {
        Self {
            rules,
            upstreams,
            recorder,
            who,
            audited_only: false,
        }
    }

    /// The same, refusing changes that no rule fits: a system that knows one thing by several paths cannot be
    /// changed past the audit of it.
    #[must_use]
    pub const fn audited_only(mut self, only: bool) -> Self {
        self.audited_only = only;
        self
    }

    /// What is served in front of the system: all of its paths, at this edge.
    pub fn routes(self, edge: &Edge) -> Router {
        let routes = Router::new()
            .fallback(forward::forward)
            .with_state(Arc::new(self));
        edge.around_proxy(routes)
    }
}

impl std::fmt::Debug for Proxy {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("Proxy")
            .field("upstreams", &self.upstreams)
            .finish_non_exhaustive()
    }
}
