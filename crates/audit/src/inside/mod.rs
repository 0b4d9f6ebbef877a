//! The services in processes of their own: what each asks of the others, over HTTPS, and who may ask.
//!
//! | asks | answers | what |
//! |---|---|---|
//! | gateway | users | [`users`]: who calls, and all about them |
//! | gateway, users | audit | [`trail`]: storing and consulting |
//!
//! A request is `POST /CALL` with a JSON list of arguments, and a good answer is 200 with JSON. What is
//! refused is a [`Problem`], which is the same here and there. Both sides show certificates of the operator's
//! own authority ([`identity`]): users' tokens open nothing here. Who asks is believed about who called them.
//!
//! The gateway does not see the difference: it has a [`UsersAt`] and a [`TrailAt`], each of which is a service
//! in this process, called directly, or one elsewhere.

pub mod identity;
mod peers;
#[cfg(test)]
mod tests;
pub mod trail;
pub mod users;

use axum::extract::DefaultBodyLimit;
use axum::response::{IntoResponse, Response};
use axum::{Json, Router};
use serde::Serialize;
use serde::de::DeserializeOwned;

pub use identity::{Credentials, IdentityError, Service};
pub use peers::{PeerError, Peers};
pub use trail::TrailAt;
pub(crate) use users::May;
pub use users::UsersAt;

use crate::Problem;
use crate::limits::INSIDE_BYTES_MAX;

/// Writes a service's calls down once: for each a method that asks, here or elsewhere, and the route that
/// answers. `asks` may be sent again when no answer came; `tells` may not.
macro_rules! calls {
    (
        $at:ident is $service:ty as $here:ident, served by $routes:ident;
        $($(#[$doc:meta])* $manner:ident $name:ident($($arg:ident: $kind:ty),*) -> $answer:ty = $call:expr;)*
    ) => {
        impl $at {
            $(
                $(#[$doc])*
                ///
                /// # Errors
                /// As there; or the service does not answer.
                pub(crate) async fn $name(&self, $($arg: $kind),*) -> Result<$answer, Problem> {
                    match self {
                        Self::Here($here) => {
                            let name = concat!(stringify!($here), ".", stringify!($name));
                            crate::telemetry::timed(name, crate::telemetry::Kind::Internal, $call).await
                        }
                        Self::There(there) => {
                            there.$manner(concat!("/", stringify!($name)), &($($arg,)*)).await
                        }
                    }
                }
            )*
        }

        /// The paths of all calls.
        pub(super) const CALLS: &[&str] = &[$(concat!("/", stringify!($name))),*];

        /// All that is answered to other services.
        pub fn $routes(service: $service) -> axum::Router {
            let router = axum::Router::new()
                $(.route(
                    concat!("/", stringify!($name)),
                    axum::routing::post(
                        async |axum::extract::State($here): axum::extract::State<$service>,
                               body: axum::body::Bytes| {
                            let read = super::read(&body);
                            let ($($arg,)*): ($($kind,)*) = match read {
                                Ok(read) => read,
                                Err(problem) => return super::answered::<$answer>(Err(problem)),
                            };
                            super::answered::<$answer>($call.await)
                        },
                    ),
                ))*;
            super::bounded(router.with_state(service))
        }
    };
}
pub(crate) use calls;

/// A call of one of the services, by its path.
pub(crate) fn call(path: &str) -> Option<&'static str> {
    let mut calls = users::CALLS.iter().chain(trail::CALLS);
    calls.find(|call| **call == path).copied()
}

/// Reads arguments.
fn read<T: DeserializeOwned>(body: &[u8]) -> Result<T, Problem> {
    serde_json::from_slice(body)
        .map_err(|error| Problem::input(format!("the services are of different versions: {error}")))
}

fn answered<T: Serialize>(answer: Result<T, Problem>) -> Response {
    match answer {
        Ok(answer) => Json(answer).into_response(),
        Err(problem) => problem.into_response(),
    }
}

fn bounded(router: Router) -> Router {
    let nothing = async || Problem::not_found("this service has no such call").into_response();
    router
        .fallback(nothing)
        .layer(DefaultBodyLimit::max(INSIDE_BYTES_MAX))
}
