//! Requests with several calls. One is run after the other, but transactions that follow each other are
//! sent together: each waits for its commit, and all of them can have the same.

use futures_util::future::join_all;
use jsonrpsee::core::middleware::{
    Batch, BatchEntry, BatchEntryErr, Notification, Request, RpcServiceT,
};
use jsonrpsee::server::{BatchResponseBuilder, MethodResponse};

use crate::limits::RESPONSE_BYTES_MAX;

/// Answers calls as the service within, and transactions of one request together.
#[derive(Debug, Clone)]
pub(super) struct SentTogether<S>(pub(super) S);

impl<S> RpcServiceT for SentTogether<S>
where
    S: RpcServiceT<MethodResponse = MethodResponse> + Clone + Send + Sync + 'static,
{
    type MethodResponse = MethodResponse;
    type NotificationResponse = S::NotificationResponse;
    type BatchResponse = MethodResponse;

    fn call<'a>(&self, request: Request<'a>) -> impl Future<Output = MethodResponse> + Send + 'a {
        self.0.call(request)
    }

    fn notification<'a>(
        &self,
        notification: Notification<'a>,
    ) -> impl Future<Output = Self::NotificationResponse> + Send + 'a {
        self.0.notification(notification)
    }

    fn batch<'a>(&self, batch: Batch<'a>) -> impl Future<Output = MethodResponse> + Send + 'a {
        let service = self.0.clone();
        async move {
            let mut answers = BatchResponseBuilder::new_with_limit(RESPONSE_BYTES_MAX as usize);
            let mut notified = false;
            let mut entries = batch.into_iter().peekable();
            while let Some(entry) = entries.next() {
                let answered = match entry {
                    Ok(BatchEntry::Call(call)) if is_send(&call) => {
                        let mut together = vec![service.call(call)];
                        while let Some(Ok(BatchEntry::Call(call))) = entries.next_if(follows) {
                            together.push(service.call(call));
                        }
                        // Begun in their order, so that one sender's numbers come one after the other.
                        join_all(together).await
                    }
                    Ok(BatchEntry::Call(call)) => vec![service.call(call).await],
                    Ok(BatchEntry::Notification(notification)) => {
                        notified = true;
                        service.notification(notification).await;
                        continue;
                    }
                    Err(error) => {
                        let (error, id) = error.into_parts();
                        vec![MethodResponse::error(id, error)]
                    }
                };
                for answer in answered {
                    if let Err(too_large) = answers.append(answer) {
                        return too_large;
                    }
                }
            }
            if answers.is_empty() && notified {
                return MethodResponse::notification();
            }
            MethodResponse::from_batch(answers.finish())
        }
    }
}

fn is_send(call: &Request<'_>) -> bool {
    let name = call.method_name();
    name == "eth_sendRawTransaction" || name == "eth_sendRawTransactionSync"
}

fn follows(entry: &Result<BatchEntry<'_>, BatchEntryErr<'_>>) -> bool {
    matches!(entry, Ok(BatchEntry::Call(call)) if is_send(call))
}
