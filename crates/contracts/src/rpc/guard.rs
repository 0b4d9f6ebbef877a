//! Asks of each request whether its caller may send it, and runs the requests of a batch side by side.

use std::future::{Future, ready};

use futures_util::future::{Either, join_all};
use jsonrpsee::core::middleware::{Batch, BatchEntry, Notification, Request, RpcServiceT};
use jsonrpsee::core::server::BatchResponseBuilder;
use jsonrpsee::server::MethodResponse;
use jsonrpsee::types::ErrorObjectOwned;

use tower::Layer;

use super::access::{Caller, needed};
use super::error::RpcError;
use crate::limits::RESPONSE_BYTES_MAX;

/// Puts a [`Guard`] before what answers.
#[derive(Debug, Clone, Copy)]
pub(super) struct GuardLayer;

impl<S> Layer<S> for GuardLayer {
    type Service = Guard<S>;

    fn layer(&self, answers: S) -> Guard<S> {
        Guard(answers)
    }
}

/// Stands before whatever answers.
#[derive(Debug, Clone)]
pub(super) struct Guard<S>(S);

impl<S> RpcServiceT for Guard<S>
where
    S: RpcServiceT<
            MethodResponse = MethodResponse,
            BatchResponse = MethodResponse,
            NotificationResponse = MethodResponse,
        >,
{
    type MethodResponse = MethodResponse;
    type NotificationResponse = MethodResponse;
    type BatchResponse = MethodResponse;

    fn call<'a>(&self, request: Request<'a>) -> impl Future<Output = MethodResponse> + Send + 'a {
        match admit(&request) {
            Ok(()) => Either::Left(self.0.call(request)),
            Err(refused) => {
                let answer = MethodResponse::error(request.id, ErrorObjectOwned::from(refused));
                Either::Right(ready(answer.with_extensions(request.extensions)))
            }
        }
    }

    /// All at once: transactions that came together are committed together, not one after the other.
    fn batch<'a>(&self, requests: Batch<'a>) -> impl Future<Output = MethodResponse> + Send + 'a {
        let mut notified = false;
        let mut answers = Vec::with_capacity(requests.len());
        for entry in requests {
            answers.push(match entry {
                Ok(BatchEntry::Call(request)) => Either::Left(self.call(request)),
                Ok(BatchEntry::Notification(_)) => {
                    notified = true;
                    continue;
                }
                Err(error) => {
                    let (error, id) = error.into_parts();
                    Either::Right(ready(MethodResponse::error(id, error)))
                }
            });
        }
        async move {
            let mut all = BatchResponseBuilder::new_with_limit(RESPONSE_BYTES_MAX as usize);
            for answer in join_all(answers).await {
                if let Err(too_large) = all.append(answer) {
                    return too_large;
                }
            }
            if all.is_empty() && notified {
                MethodResponse::notification()
            } else {
                MethodResponse::from_batch(all.finish())
            }
        }
    }

    fn notification<'a>(
        &self,
        notification: Notification<'a>,
    ) -> impl Future<Output = MethodResponse> + Send + 'a {
        self.0.notification(notification)
    }
}

fn admit(request: &Request<'_>) -> Result<(), RpcError> {
    match needed(request.method_name()) {
        Some(action) => Caller::of(request.extensions())?.require(action),
        None => Ok(()),
    }
}
