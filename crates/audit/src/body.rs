//! Bodies of requests: bounded, and at a pace. Who sends a byte now and then does not hold a connection and a
//! handler for hours.

use std::pin::Pin;
use std::task::{Context, Poll};
use std::time::Duration;

use axum::body::{Body, Bytes, HttpBody, to_bytes};
use http::StatusCode;
use hyper::body::{Frame, SizeHint};
use tokio::time::{Instant, Sleep, sleep};

use crate::Problem;
use crate::limits::{BODY_BYTES_PER_SECOND_MIN, BODY_PATIENCE};

type BoxError = Box<dyn std::error::Error + Send + Sync>;

/// The body came too slowly: its sender should try again on a better line.
#[derive(Debug, thiserror::Error)]
#[error("the body came too slowly")]
pub(crate) struct TooSlow;

/// How long a sender may still let us wait: a time at the beginning, and more for each byte, up to that.
#[derive(Debug, Clone, Copy)]
struct Credit {
    left: Duration,
    most: Duration,
}

impl Credit {
    const fn of(most: Duration) -> Self {
        Self { left: most, most }
    }

    fn waited(&mut self, time: Duration) {
        self.left = self.left.saturating_sub(time);
    }

    fn received(&mut self, bytes: usize) {
        let bytes = u32::try_from(bytes).unwrap_or(u32::MAX);
        let earned = Duration::from_secs(1) * bytes / BODY_BYTES_PER_SECOND_MIN;
        self.left = (self.left + earned).min(self.most);
    }
}

/// A body that ends with [`TooSlow`] if its sender lets us wait. Only waiting for the sender counts: while
/// nobody reads the body, no time passes.
#[derive(Debug)]
pub(crate) struct Paced<B> {
    body: B,
    credit: Credit,
    waiting: Option<(Instant, Pin<Box<Sleep>>)>,
}

impl<B> Paced<B> {
    /// A body of which nothing was read yet.
    pub(crate) const fn new(body: B) -> Self {
        Self::within(BODY_PATIENCE, body)
    }

    const fn within(patience: Duration, body: B) -> Self {
        Self {
            body,
            credit: Credit::of(patience),
            waiting: None,
        }
    }
}

impl<B> HttpBody for Paced<B>
where
    B: HttpBody<Data = Bytes> + Unpin,
    B::Error: Into<BoxError>,
{
    type Data = Bytes;
    type Error = BoxError;

    fn poll_frame(
        mut self: Pin<&mut Self>,
        context: &mut Context<'_>,
    ) -> Poll<Option<Result<Frame<Bytes>, BoxError>>> {
        let this = &mut *self;
        if let Poll::Ready(frame) = Pin::new(&mut this.body).poll_frame(context) {
            if let Some((since, _)) = this.waiting.take() {
                this.credit.waited(since.elapsed());
            }
            if let Some(Ok(frame)) = &frame {
                let bytes = frame.data_ref().map_or(0, Bytes::len);
                this.credit.received(bytes);
            }
            return Poll::Ready(frame.map(|frame| frame.map_err(Into::into)));
        }
        let left = this.credit.left;
        let (_, timer) = this
            .waiting
            .get_or_insert_with(|| (Instant::now(), Box::pin(sleep(left))));
        match timer.as_mut().poll(context) {
            Poll::Ready(()) => Poll::Ready(Some(Err(TooSlow.into()))),
            Poll::Pending => Poll::Pending,
        }
    }

    fn is_end_stream(&self) -> bool {
        self.body.is_end_stream()
    }

    fn size_hint(&self) -> SizeHint {
        self.body.size_hint()
    }
}

/// All of a body that has at most so many bytes.
///
/// # Errors
/// It has more, came too slowly, or did not come to its end.
pub(crate) async fn whole(body: Body, bytes_max: usize) -> Result<Bytes, Problem> {
    to_bytes(body, bytes_max).await.map_err(|error| {
        if is_too_slow(&error) {
            let detail = format!(
                "the body came at less than {BODY_BYTES_PER_SECOND_MIN} bytes a second; send it again"
            );
            return Problem::new(StatusCode::REQUEST_TIMEOUT, "TooSlow", detail);
        }
        let detail = format!("the body has more than {bytes_max} bytes, or did not arrive");
        Problem::new(StatusCode::PAYLOAD_TOO_LARGE, "TooLarge", detail)
    })
}

fn is_too_slow(error: &(dyn std::error::Error + 'static)) -> bool {
    std::iter::successors(Some(error), |error| error.source()).any(|error| error.is::<TooSlow>())
}

#[cfg(test)]
mod tests {
    use futures_util::stream;

    use super::*;

    const SECOND: Duration = Duration::from_secs(1);

    /// How many pieces of so many bytes, each after so long, are taken before it is too slow.
    fn taken(bytes: usize, after: Duration) -> usize {
        let mut credit = Credit::of(BODY_PATIENCE);
        let pieces = (0..100_000).take_while(|_| {
            let in_time = credit.left > after;
            credit.waited(after);
            credit.received(bytes);
            in_time
        });
        pieces.count()
    }

    #[test]
    fn a_body_that_trickles_ends_and_a_slow_one_arrives() {
        // A byte each second: of a million, which take two weeks, there come as many as there are seconds.
        assert!(taken(1, SECOND) < 30);
        assert_eq!(taken(1 << 20, BODY_PATIENCE), 0);
        // At just the pace that is asked for, it may take as long as it takes.
        let pace = usize::try_from(BODY_BYTES_PER_SECOND_MIN).unwrap();
        assert_eq!(taken(pace, SECOND), 100_000);
        assert_eq!(taken(10 * pace, 10 * SECOND), 100_000);
        // Much at the beginning is no credit for hours.
        let mut credit = Credit::of(BODY_PATIENCE);
        credit.received(usize::MAX);
        assert_eq!(credit.left, BODY_PATIENCE);
    }

    #[tokio::test]
    async fn a_body_that_does_not_come_is_too_slow_and_what_nobody_reads_is_not() {
        let patience = Duration::from_millis(20);
        let silent = Body::from_stream(stream::pending::<Result<Bytes, TooSlow>>());
        let refused = whole(Body::new(Paced::within(patience, silent)), 100).await;
        assert_eq!(refused.unwrap_err().status, 408);
        let there = Body::new(Paced::within(patience, Body::from("all of it")));
        sleep(patience * 3).await;
        assert_eq!(whole(there, 100).await.unwrap(), "all of it");
    }

    #[tokio::test]
    async fn a_body_has_an_end() {
        assert_eq!(whole(Body::from("1234"), 4).await.unwrap(), "1234");
        assert_eq!(whole(Body::from("12345"), 4).await.unwrap_err().status, 413);
    }
}
