//! Asks of each request whether its caller may send it.

use std::future::{Future, ready};

use futures_util::future::Either;
use jsonrpsee::core::middleware::{
    Batch, BatchEntry, BatchEntryErr, Notification, Request, RpcServiceT,
};
use jsonrpsee::server::MethodResponse;
use jsonrpsee::types::ErrorObjectOwned;

use tower::Layer;

use super::access::{Caller, needed};
use super::batches::SentTogether;
use super::error::RpcError;

/// Puts a [`Guard`] before what answers, and [`SentTogether`] behind it.
#[derive(Debug, Clone, Copy)]
pub(super) struct GuardLayer;

impl<S> Layer<S> for GuardLayer {
    type Service = Guard<SentTogether<S>>;

    fn layer(&self, answers: S) -> Self::Service {
        Guard(SentTogether(answers))
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

    fn batch<'a>(
        &self,
        mut requests: Batch<'a>,
    ) -> impl Future<Output = MethodResponse> + Send + 'a {
        for entry in requests.iter_mut() {
            if let Ok(BatchEntry::Call(request)) = entry
                && let Err(refused) = admit(request)
            {
                let error = ErrorObjectOwned::from(refused);
                *entry = Err(BatchEntryErr::new(request.id.clone(), error));
            }
        }
        self.0.batch(requests)
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
