//! `/node`: what a node says about itself and its service to anybody, in CCF's shapes.

use std::sync::Arc;

use http::StatusCode;
use http::header::HeaderValue;
use ledger::nodes::{self, NodeRow, NodeStatus};
use ledger::service;
use node::AdmitError;
use node::join::JoinRequest;
use serde::Serialize;
use verify::{Seqno, TxId, TxStatus};

use crate::answer::{self, Answer};
use crate::call::Call;
use crate::error::{ApiError, Code};
use crate::json::parse;
use crate::limits::JOIN_BYTES_MAX;
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
        primary_id: Option<String>,
        recovery_count: u64,
        service_data: (),
        current_service_create_txid: &'a str,
    }
    let node = call.node();
    let row = service::service(node.state())
        .ok_or_else(|| ApiError::not_found("The service is not created yet."))?;
    Ok(answer::json(&Network {
        service_status: &row.status,
        service_certificate: &row.cert,
        current_view: node.view().0,
        primary_id: node.standing().leader,
        recovery_count: row.recovery_count,
        service_data: (),
        current_service_create_txid: &row.current_service_create_txid,
    }))
}

/// A node of the network, as CCF shows it.
#[derive(Serialize)]
struct Member {
    node_id: String,
    status: NodeStatus,
    primary: bool,
    rpc_interfaces: RpcInterfaces,
}

#[derive(Serialize)]
struct RpcInterfaces {
    primary_rpc_interface: RpcInterface,
}

#[derive(Serialize)]
struct RpcInterface {
    published_address: String,
}

impl Member {
    fn of(row: NodeRow, leader: Option<&str>) -> Self {
        Self {
            primary: leader == Some(&*row.id),
            status: row.status,
            node_id: row.id,
            rpc_interfaces: RpcInterfaces {
                primary_rpc_interface: RpcInterface {
                    published_address: row.address,
                },
            },
        }
    }
}

/// `GET /node/network/nodes`
pub(crate) async fn nodes(call: Call) -> Result<Answer, ApiError> {
    #[derive(Serialize)]
    struct Nodes {
        nodes: Vec<Member>,
    }
    let node = call.node();
    let leader = node.standing().leader;
    let nodes = nodes::nodes(node.state()).into_iter();
    let nodes = nodes
        .map(|row| Member::of(row, leader.as_deref()))
        .collect();
    Ok(answer::json(&Nodes { nodes }))
}

/// `GET /node/network/nodes/self`
pub(crate) async fn this_node(call: Call) -> Result<Answer, ApiError> {
    let id = call.node().id().to_owned();
    shown(&call, &id)
}

/// `GET /node/network/nodes/primary`
pub(crate) async fn leading_node(call: Call) -> Result<Answer, ApiError> {
    match call.node().standing().leader {
        Some(leader) => shown(&call, &leader),
        None => Err(ApiError::no_leader()),
    }
}

fn shown(call: &Call, id: &str) -> Result<Answer, ApiError> {
    let node = call.node();
    let row = nodes::node(node.state(), id)
        .ok_or_else(|| ApiError::not_found(format!("This node does not know node {id} yet.")))?;
    let leader = node.standing().leader;
    Ok(answer::json(&Member::of(row, leader.as_deref())))
}

/// `GET /node/primary`: 200 from the leader, a redirection to it from others.
pub(crate) async fn primary(call: Call) -> Result<Answer, ApiError> {
    let node = call.node();
    if node.standing().leads {
        return Ok(answer::empty(StatusCode::OK));
    }
    let leader = node.leader_address().ok_or_else(ApiError::no_leader)?;
    answer::redirection(
        StatusCode::PERMANENT_REDIRECT,
        &format!("https://{leader}/node/primary"),
    )
    .ok_or_else(ApiError::no_leader)
}

/// `GET /node/consensus`
pub(crate) async fn consensus(call: Call) -> Result<Answer, ApiError> {
    #[derive(Serialize)]
    struct Details {
        current_view: u64,
        primary_id: Option<String>,
        leadership_state: &'static str,
        deciding: Vec<String>,
    }
    #[derive(Serialize)]
    struct Consensus {
        details: Details,
    }
    let standing = call.node().standing();
    Ok(answer::json(&Consensus {
        details: Details {
            current_view: standing.view.0,
            leadership_state: if standing.leads { "Leader" } else { "Follower" },
            primary_id: standing.leader,
            deciding: standing.deciding,
        },
    }))
}

/// `POST /node/join`: a node asks to be part of the network.
pub(crate) async fn join(mut call: Call) -> Result<Answer, ApiError> {
    let body = call.json_bytes(JOIN_BYTES_MAX).await?;
    let request: JoinRequest = parse(&body, "a request to join")?;
    let node = Arc::clone(call.node());
    match node.admit(&request).await {
        Ok(answer) => Ok(answer::json(&answer)),
        Err(AdmitError::Submit(error)) => Err(error.into()),
        Err(AdmitError::Rejected(rejection)) => Err(rejection.into()),
        Err(error @ AdmitError::Request(_)) => Err(ApiError::input(error.to_string())),
        Err(AdmitError::Policy(row)) => Err(ApiError::internal("Reading who may join", &row)),
        Err(error @ AdmitError::Evidence(_)) => {
            tracing::warn!(address = request.address, %error, "a node is not let in");
            Err(ApiError::new(Code::InvalidQuote, error.to_string()))
        }
        Err(error @ AdmitError::Removed(_)) => {
            Err(ApiError::new(Code::InvalidNodeState, error.to_string()))
        }
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
    let led = call.node().standing().leader.is_some();
    let ready = open && led && !call.session.app.stopping.is_cancelled();
    let status = if ready {
        StatusCode::NO_CONTENT
    } else {
        StatusCode::SERVICE_UNAVAILABLE
    };
    Ok(answer::empty(status))
}
