//! Collections and tags.

use std::sync::Arc;

use ledger::entries::DEFAULT_COLLECTION;
use serde::Serialize;

use crate::answer::{self, Answer};
use crate::call::Call;
use crate::error::ApiError;
use crate::transactions::{blocking, collection_of};

/// `GET /app/collections`
pub(crate) async fn list(call: Call) -> Result<Answer, ApiError> {
    #[derive(Serialize)]
    #[serde(rename_all = "camelCase")]
    struct Collection {
        collection_id: String,
    }
    #[derive(Serialize)]
    struct Collections {
        collections: Vec<Collection>,
    }
    let node = Arc::clone(call.node());
    let ids = blocking(move || node.collections()).await?;
    let collections = ids
        .into_iter()
        .map(|collection_id| Collection { collection_id })
        .collect();
    Ok(answer::json(&Collections { collections }))
}

/// `GET /app/collections/tags`
pub(crate) async fn tags(call: Call) -> Result<Answer, ApiError> {
    #[derive(Serialize)]
    struct Tags {
        tags: Vec<String>,
    }
    let collection = collection_of(&call)?;
    let node = Arc::clone(call.node());
    let tags = blocking(move || node.tags(collection.as_deref().unwrap_or(DEFAULT_COLLECTION)));
    Ok(answer::json(&Tags { tags: tags.await? }))
}
