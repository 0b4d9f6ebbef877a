//! Asking a network to take this node in, until its members have decided.

use std::path::Path;
use std::time::Duration;

use anyhow::Result;
use client::{Client, ClientError};
use node::join::{JoinAnswer, Joining};
use verify::Cert;

use crate::config::Config;
use crate::report::Failure;
use crate::server::has_joined;

/// Members take minutes or days; a service that opens takes milliseconds.
const ASK_AGAIN: Duration = Duration::from_millis(500);

/// The beginning of what is logged, with the node's id, when the members have to decide.
pub(crate) const WAITING: &str = "waiting for the members";

/// The network to join.
pub(crate) struct Network {
    url: String,
    service_cert: String,
}

impl Network {
    /// The network of the node at `url`, whose service has the certificate in this file.
    pub(crate) fn named(url: String, service_cert: &Path) -> Result<Self, Failure> {
        let service_cert =
            std::fs::read_to_string(service_cert).map_err(Failure::reading(service_cert))?;
        Ok(Self { url, service_cert })
    }
}

/// Joins, unless the node in the folder has done so before.
pub(crate) async fn join(config: &mut Config, network: &Network) -> Result<()> {
    if has_joined(config.dir()) {
        return Ok(());
    }
    config.fix_port()?;
    let service = Cert::from_pem(&network.service_cert).map_err(|error| {
        Failure::unreadable("the service certificate cannot be read").because(error)
    })?;
    let client = Client::builder(&network.url)
        .service_cert(&network.service_cert)
        .build()?;
    let joining = Joining::new(&config.node()?, &service)?;
    let mut told = false;
    loop {
        let answer = match client.join(joining.request()).await {
            Ok(answer) => answer,
            // Asked once already: whoever answered then may be away for a while.
            Err(error @ (ClientError::Unreachable { .. } | ClientError::Interrupted { .. }))
                if told =>
            {
                tracing::warn!(%error, "the network does not answer just now; asking again");
                tokio::time::sleep(ASK_AGAIN).await;
                continue;
            }
            Err(error) => return Err(error.into()),
        };
        let answer: JoinAnswer = serde_json::from_value(answer)
            .map_err(|error| Failure::new("the answer is not one to a join").because(error))?;
        match answer {
            JoinAnswer::Trusted { sealed, node_id } => {
                tracing::info!(node = node_id, "the network takes this node in");
                joining.admitted(&sealed, &service)?;
                return Ok(());
            }
            JoinAnswer::Pending { node_id } => {
                if !told {
                    tracing::warn!(
                        node = node_id,
                        "{WAITING}: one proposes `transition_node_to_trusted` for \
                         this node, and a majority votes for it"
                    );
                }
                told = true;
                tokio::time::sleep(ASK_AGAIN).await;
            }
        }
    }
}
