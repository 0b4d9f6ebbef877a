//! `/node`: what a node says about itself and its service to anybody, in CCF's shapes.

use http::StatusCode;
use http::header::HeaderValue;
use ledger::service;
use serde::Serialize;
use verify::{Seqno, TxId, TxStatus};

use crate::answer::{self, Answer};
use crate::call::Call;
use crate::error::ApiError;
use crate::openapi;

/// `GET /node/api`
pub(crate) async fn api(_: Call) -> Result<Answer, ApiError> {
    Ok(answer::whole(answer::JSON, openapi::served()))
}

/// `GET /node/commit`
pub(crate) async fn commit(call: Call) -> Result<Answer, ApiError> {
    #[derive(Serialize)]
    struct Commit {
        transaction_id: TxId,
        #[serde(skip_serializing_if = "Option::is_none")]
        view_history: Option<Vec<TxId>>,
    }
    let node = call.node();
    let begins = || {
        node.view_history()
            .into_iter()
            .map(|(view, seqno)| TxId::new(view, seqno))
    };
    let wanted = call.query_flag("view_history")?.unwrap_or(false);
    let view_history = wanted.then(|| begins().collect());
    Ok(answer::json(&Commit {
        transaction_id: node.committed(),
        view_history,
    }))
}

/// `GET /node/tx?transaction_id=`
pub(crate) async fn tx(call: Call) -> Result<Answer, ApiError> {
    #[derive(Serialize)]
    struct Status {
        transaction_id: TxId,
        status: TxStatus,
    }
    let id = call
        .query_tx_id("transaction_id")?
        .ok_or_else(|| ApiError::query("The query parameter transaction_id is required."))?;
    Ok(answer::json(&Status {
        transaction_id: id,
        status: call.node().status(id),
    }))
}

/// `GET /node/network`
pub(crate) async fn network(call: Call) -> Result<Answer, ApiError> {
    #[derive(Serialize)]
    struct Network<'a> {
        service_status: &'a str,
        service_certificate: &'a str,
        current_view: u64,
        primary_id: &'a str,
        recovery_count: u64,
        service_data: (),
        current_service_create_txid: &'a str,
    }
    let node = call.node();
    let row = service::service(node.state())
        .ok_or_else(|| ApiError::not_found("The service is not created yet."))?;
    Ok(answer::json(&Network {
        service_status: &row.status,
        service_certificate: node.service_cert(),
        current_view: node.view().0,
        primary_id: node.id(),
        recovery_count: row.recovery_count,
        service_data: (),
        current_service_create_txid: &row.current_service_create_txid,
    }))
}

/// A node of the network.
#[derive(Serialize)]
struct Member {
    node_id: String,
    status: &'static str,
    primary: bool,
}

/// `GET /node/network/nodes`
pub(crate) async fn nodes(call: Call) -> Result<Answer, ApiError> {
    #[derive(Serialize)]
    struct Nodes {
        nodes: Vec<Member>,
    }
    let node = call.node();
    let nodes = service::node_certs(node.state()).into_iter();
    let nodes = nodes.map(|(id, _)| member(id, node.id())).collect();
    Ok(answer::json(&Nodes { nodes }))
}

/// `GET /node/network/nodes/self`, `GET /node/network/nodes/primary`
pub(crate) async fn this_node(call: Call) -> Result<Answer, ApiError> {
    let id = call.node().id();
    Ok(answer::json(&member(id.to_owned(), id)))
}

fn member(node_id: String, primary: &str) -> Member {
    Member {
        primary: node_id == primary,
        node_id,
        status: "Trusted",
    }
}

/// `GET /node/state`
pub(crate) async fn state(call: Call) -> Result<Answer, ApiError> {
    #[derive(Serialize)]
    struct State<'a> {
        node_id: &'a str,
        state: &'static str,
        last_signed_seqno: u64,
        startup_seqno: u64,
        stop_notice: bool,
    }
    let node = call.node();
    let Seqno(last_signed_seqno) = node.last_signed();
    let began = node
        .view_history()
        .into_iter()
        .find(|(view, _)| *view == node.view());
    Ok(answer::json(&State {
        node_id: node.id(),
        state: "PartOfNetwork",
        last_signed_seqno,
        startup_seqno: began.map_or(0, |(_, seqno)| seqno.0),
        stop_notice: call.session.app.stopping.is_cancelled(),
    }))
}

/// `GET /node/version`
pub(crate) async fn version(call: Call) -> Result<Answer, ApiError> {
    #[derive(Serialize)]
    struct Version {
        counterfoil_version: &'static str,
        ccf_version: &'static str,
        quickjs_version: &'static str,
        platform: &'static str,
        r#unsafe: bool,
    }
    let platform = call.node().platform();
    Ok(answer::json(&Version {
        counterfoil_version: env!("CARGO_PKG_VERSION"),
        ccf_version: concat!("counterfoil-", env!("CARGO_PKG_VERSION")),
        quickjs_version: "",
        platform,
        r#unsafe: platform == "Virtual",
    }))
}

/// `GET /node/metrics`
pub(crate) async fn metrics(call: Call) -> Result<Answer, ApiError> {
    let media_type =
        HeaderValue::from_static("application/openmetrics-text; version=1.0.0; charset=utf-8");
    Ok(answer::whole(media_type, call.session.app.metrics.encode()))
}

/// `GET /node/live`: the process answers.
pub(crate) async fn live(_: Call) -> Result<Answer, ApiError> {
    Ok(answer::empty(StatusCode::NO_CONTENT))
}

/// `GET /node/ready/app`, `GET /node/ready/gov`: requests of users are served.
pub(crate) async fn ready(call: Call) -> Result<Answer, ApiError> {
    let open = service::service(call.node().state()).is_some_and(|row| row.status == "Open");
    let ready = open && !call.session.app.stopping.is_cancelled();
    let status = if ready {
        StatusCode::NO_CONTENT
    } else {
        StatusCode::SERVICE_UNAVAILABLE
    };
    Ok(answer::empty(status))
}
