//! Spans: what took how long, and under what. Where nothing is traced they cost a look at a task's own place.

use std::borrow::Cow;
use std::sync::Arc;
use std::time::{Duration, Instant, SystemTime};

use futures_util::FutureExt;
use futures_util::future::Either;
use http::HeaderMap;

use super::Tracer;
use super::context::{Context, TRACEPARENT};

tokio::task_local! {
    /// Under what a task works. Nothing is set where nothing is traced.
    static CURRENT: Current;
}

/// Which side of a call a span is, as OTLP numbers them.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Kind {
    /// Neither.
    Internal = 1,
    /// Who is asked.
    Server = 2,
    /// Who asks.
    Client = 3,
}

/// What a span says beside its name. There is no way to put what callers send into one: words are ours.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) enum Value {
    Word(Cow<'static, str>),
    Number(u16),
}

/// A span that is over.
#[derive(Debug)]
pub(super) struct Ended {
    pub(super) name: Cow<'static, str>,
    pub(super) kind: Kind,
    pub(super) context: Context,
    pub(super) parent: Option<u64>,
    pub(super) start: SystemTime,
    pub(super) took: Duration,
    pub(super) attributes: Vec<(&'static str, Value)>,
    pub(super) failed: bool,
}

/// Where a task is.
#[derive(Debug, Clone)]
pub(super) struct Current {
    pub(super) tracer: Arc<Tracer>,
    pub(super) context: Context,
}

/// A span under way. It ends when it is dropped.
pub(super) struct Span {
    ended: Option<Ended>,
    began: Instant,
    tracer: Arc<Tracer>,
    /// Whether it came to its end, or whoever waited for it went away.
    is_done: bool,
}

impl Span {
    /// The span that a task is in from now on.
    pub(super) fn of(
        current: &Current,
        parent: Option<u64>,
        name: Cow<'static, str>,
        kind: Kind,
    ) -> Self {
        Self {
            ended: Some(Ended {
                name,
                kind,
                context: current.context,
                parent,
                start: SystemTime::now(),
                took: Duration::ZERO,
                attributes: Vec::new(),
                failed: false,
            }),
            began: Instant::now(),
            tracer: Arc::clone(&current.tracer),
            is_done: false,
        }
    }

    /// Says something about it.
    pub(super) fn say(&mut self, key: &'static str, value: Value) {
        if let Some(ended) = &mut self.ended {
            ended.attributes.push((key, value));
        }
    }

    /// Says that it came to its end, and whether that is a failure of ours.
    pub(super) fn done(&mut self, failed: bool) {
        self.is_done = true;
        if let Some(ended) = &mut self.ended {
            ended.failed = failed;
        }
    }
}

impl Drop for Span {
    fn drop(&mut self) {
        if !self.is_done {
            self.say("error.type", Value::Word("cancelled".into()));
        }
        if let Some(mut ended) = self.ended.take() {
            ended.took = self.began.elapsed();
            self.tracer.take(ended);
        }
    }
}

/// Why something failed, in a word that says nothing about whom it failed for.
pub(crate) trait Failure {
    /// The word.
    fn word(&self) -> Cow<'static, str>;

    /// Whether it is our own failure, and not what a caller has to hear.
    fn is_ours(&self) -> bool;
}

impl Failure for reqwest::Error {
    fn word(&self) -> Cow<'static, str> {
        Cow::Borrowed(if self.is_connect() {
            "Unreached"
        } else {
            "Lost"
        })
    }

    fn is_ours(&self) -> bool {
        true
    }
}

/// Does work as a span below the one that this task is in; just the work, where nothing is recorded.
pub(crate) fn timed<T, E: Failure>(
    name: &'static str,
    kind: Kind,
    work: impl Future<Output = Result<T, E>>,
) -> impl Future<Output = Result<T, E>> {
    let Some(current) = current().filter(|current| current.context.sampled) else {
        return Either::Left(work);
    };
    let parent = Some(current.context.span);
    let below = Current {
        context: current.context.child(),
        ..current
    };
    let mut span = Span::of(&below, parent, name.into(), kind);
    Either::Right(within(below, work).map(move |outcome| {
        let error = outcome.as_ref().err();
        if let Some(error) = error {
            span.say("error.type", Value::Word(error.word()));
        }
        span.done(error.is_some_and(Failure::is_ours));
        outcome
    }))
}

/// Work that another task does for this one, under the same span.
pub(crate) fn carried<F: Future>(work: F) -> impl Future<Output = F::Output> {
    match current() {
        Some(current) => Either::Left(within(current, work)),
        None => Either::Right(work),
    }
}

/// Names the current span in what is sent to others. Without one, what is there stays.
pub(crate) fn hand_on(headers: &mut HeaderMap) {
    if let Some(current) = current() {
        headers.insert(TRACEPARENT, current.context.header());
    }
}

/// The trace that somebody can ask the operator about: one that is recorded.
pub(crate) fn trace_id() -> Option<String> {
    let context = current()?.context;
    context.sampled.then(|| format!("{:032x}", context.trace))
}

/// Work under a span.
pub(super) fn within<F: Future>(current: Current, work: F) -> impl Future<Output = F::Output> {
    CURRENT.scope(current, work)
}

fn current() -> Option<Current> {
    CURRENT.try_with(Clone::clone).ok()
}
