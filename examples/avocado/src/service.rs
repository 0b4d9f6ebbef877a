//! A company's service: plain HTTP, as any application has it.

use std::net::SocketAddr;
use std::sync::Arc;

use axum::extract::{DefaultBodyLimit, Path, State};
use axum::response::{IntoResponse, Response};
use axum::routing::{get, post};
use axum::{Json, Router};
use http::StatusCode;
use serde_json::{Value, json};
use tokio::net::TcpListener;
use tokio::task::JoinHandle;

use crate::{Company, Error};

/// Bytes of a request: a day's rows.
const BODY_MAX: usize = 4 << 20;

/// A service that runs until it is dropped.
#[derive(Debug)]
pub(crate) struct Running {
    /// `http://ip:port`
    pub(crate) url: String,
    task: JoinHandle<()>,
}

impl Drop for Running {
    fn drop(&mut self) {
        self.task.abort();
    }
}

/// Serves on an address; port 0 takes a free one.
pub(crate) async fn serve(listen: SocketAddr, routes: Router) -> Result<Running, Error> {
    let failed = |error| Error::File(format!("listening at {listen}"), error);
    let listener = TcpListener::bind(listen).await.map_err(failed)?;
    let address = listener.local_addr().map_err(failed)?;
    let task = tokio::spawn(async move {
        // It serves until it is aborted.
        let _ = axum::serve(listener, routes).await;
    });
    Ok(Running {
        url: format!("http://{address}"),
        task,
    })
}

/// What a company's service has.
pub(crate) fn routes(company: Company) -> Router {
    Router::new()
        .route("/", get(about))
        // What it does all day.
        .route("/{table}", post(keep))
        .route("/{table}/{key}", get(row))
        // What it says today about a record that others found in the audit.
        .route("/records/{record}", get(claim))
        // Whether its own rows are still what they were.
        .route("/check", post(check))
        .layer(DefaultBodyLimit::max(BODY_MAX))
        .with_state(Arc::new(company))
}

type Here = State<Arc<Company>>;

async fn about(State(company): Here) -> Json<Value> {
    let role = company.role();
    Json(json!({"name": role.name(), "role": role}))
}

async fn keep(
    State(company): Here,
    Path(table): Path<String>,
    Json(rows): Json<Vec<Value>>,
) -> Result<(StatusCode, Json<Value>), Error> {
    let stored = company.keep(&table, &rows).await?;
    Ok((StatusCode::CREATED, Json(json!({"stored": stored}))))
}

async fn row(
    State(company): Here,
    Path((table, key)): Path<(String, String)>,
) -> Result<Response, Error> {
    Ok(match company.row(&table, &key).await? {
        Some((row, record, proof)) => {
            Json(json!({"row": row, "record": record, "proof": proof})).into_response()
        }
        None => nothing(),
    })
}

async fn claim(State(company): Here, Path(record): Path<String>) -> Result<Response, Error> {
    Ok(match company.claim(&record).await? {
        Some(event) => Json(event).into_response(),
        None => nothing(),
    })
}

async fn check(State(company): Here) -> Result<Json<Value>, Error> {
    Ok(Json(json!(company.check().await?)))
}

pub(crate) fn nothing() -> Response {
    (
        StatusCode::NOT_FOUND,
        Json(json!({"detail": "there is nothing here"})),
    )
        .into_response()
}

impl IntoResponse for Error {
    fn into_response(self) -> Response {
        let status = match &self {
            Self::Row { .. } | Self::Event(_) => StatusCode::BAD_REQUEST,
            Self::Unreachable(_) | Self::Refused { .. } | Self::Company(..) => {
                StatusCode::BAD_GATEWAY
            }
            _ => StatusCode::INTERNAL_SERVER_ERROR,
        };
        (status, Json(json!({"detail": self.to_string()}))).into_response()
    }
}
