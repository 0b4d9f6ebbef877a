//! Work that goes on where nobody waits for it any more.

use std::future::Future;
use std::pin::Pin;
use std::task::{Context, Poll};

/// Work that goes on where nobody waits for it any more. It begins when it is first waited for, and not
/// later, so that what is waited for in turn is also begun in turn.
pub(super) struct ToItsEnd<T: Send + 'static>(Option<Pin<Box<dyn Future<Output = T> + Send>>>);

impl<T: Send + 'static> ToItsEnd<T> {
    pub(super) fn of(work: impl Future<Output = T> + Send + 'static) -> Self {
        Self(Some(Box::pin(work)))
    }
}

impl<T: Send + 'static> Future for ToItsEnd<T> {
    type Output = T;

    fn poll(mut self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<T> {
        let work = self.0.as_mut().expect("it is waited for once");
        let ready = work.as_mut().poll(cx);
        if ready.is_ready() {
            self.0 = None;
        }
        ready
    }
}

impl<T: Send + 'static> Drop for ToItsEnd<T> {
    fn drop(&mut self) {
        // Outside of the runtime the node has stopped.
        if let Some(work) = self.0.take()
            && let Ok(runtime) = tokio::runtime::Handle::try_current()
        {
            runtime.spawn(work);
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use tokio::sync::oneshot;

    #[tokio::test]
    async fn what_nobody_waits_for_any_more_goes_on() {
        let (go, gone) = oneshot::channel::<()>();
        let (tell, told) = oneshot::channel();
        let mut work = Box::pin(ToItsEnd::of(async move {
            gone.await.unwrap();
            tell.send(()).unwrap();
        }));
        let first = std::future::poll_fn(|cx| Poll::Ready(work.as_mut().poll(cx)));
        assert!(first.await.is_pending());
        drop(work);
        go.send(()).unwrap();
        told.await.unwrap();
    }

    #[tokio::test]
    async fn what_is_waited_for_ends() {
        assert_eq!(ToItsEnd::of(async { 7 }).await, 7);
    }
}
