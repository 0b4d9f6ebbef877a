//! The table of contents: every endpoint, what its caller must be allowed to do, who answers it.
//!
//! Paths and shapes of `/app` are Azure Confidential Ledger's, those of `/node` and `/gov` CCF's.
//! Additions of ours are `transactions:batch` and `transactions:watch`, and receipts as COSE; `/` is a page for
//! browsers.

use std::future::Future;
use std::ops::Range;
use std::pin::Pin;

use http::Method;
use ledger::roles::Action::{
    ReadContent, ReadGovernance, ReadRoles, ReadUsers, WriteContent, WriteRoles, WriteUsers,
};

use crate::answer::Answer;
use crate::auth::Needs::{self, AnyOf, Caller, Nothing};
use crate::call::Call;
use crate::error::ApiError;
use crate::{
    batch, collections, cosigners, gov, governance, identity, node_routes, pages, quotes, receipts,
    roles, transactions, users, watch,
};

/// A route's answer, under way.
pub(crate) type Answering = Pin<Box<dyn Future<Output = Result<Answer, ApiError>> + Send>>;

/// One endpoint.
pub struct Route {
    /// The method.
    pub method: Method,
    /// The path; a `{...}` stands for what callers put there, without `/`. Before and behind it
    /// there may be more, up to the next `/`: `/ballots/{memberId}:submit`.
    pub path: &'static str,
    /// What the caller must be allowed to do.
    pub needs: Needs,
    pub(crate) handler: fn(Call) -> Answering,
}

macro_rules! routes {
    ($($method:ident $path:literal $needs:expr => $handler:path;)*) => {
        &[$(Route {
            method: Method::$method,
            path: $path,
            needs: $needs,
            handler: |call| Box::pin($handler(call)),
        }),*]
    };
}

/// All endpoints. The first that fits is taken, so literal paths stand before open ones; the most
/// frequent stand first.
#[rustfmt::skip]
pub static ROUTES: &[Route] = routes! {
    POST   "/app/transactions"                      AnyOf(&[WriteContent]) => transactions::append;
    GET    "/app/transactions"                      AnyOf(&[ReadContent]) => transactions::list;
    GET    "/app/transactions/current"              AnyOf(&[ReadContent]) => transactions::current;
    GET    "/app/transactions/{transactionId}"      AnyOf(&[ReadContent]) => transactions::entry;
    GET    "/app/transactions/{transactionId}/receipt" AnyOf(&[ReadContent]) => receipts::receipt;
    GET    "/app/transactions/{transactionId}/status" AnyOf(&[ReadContent, WriteContent]) => transactions::status;
    POST   "/app/transactions:batch"                AnyOf(&[WriteContent]) => batch::append;
    GET    "/app/transactions:watch"                AnyOf(&[ReadContent]) => watch::watch;
    GET    "/app/collections"                       AnyOf(&[ReadContent]) => collections::list;
    GET    "/app/collections/tags"                  AnyOf(&[ReadContent]) => collections::tags;

    GET    "/app/users"                             AnyOf(&[ReadUsers]) => users::list;
    GET    "/app/users/{userId}"                    Caller => users::read;
    PATCH  "/app/users/{userId}"                    AnyOf(&[WriteUsers]) => users::change;
    DELETE "/app/users/{userId}"                    AnyOf(&[WriteUsers]) => users::remove;
    GET    "/app/ledgerUsers"                       AnyOf(&[ReadUsers]) => users::list_with_roles;
    GET    "/app/ledgerUsers/{userId}"              Caller => users::read_with_roles;
    PATCH  "/app/ledgerUsers/{userId}"              AnyOf(&[WriteUsers]) => users::add_roles;
    DELETE "/app/ledgerUsers/{userId}"              AnyOf(&[WriteUsers]) => users::remove_with_roles;
    GET    "/app/roles"                             AnyOf(&[ReadRoles]) => roles::read;
    PUT    "/app/roles"                             AnyOf(&[WriteRoles]) => roles::define;
    PATCH  "/app/roles"                             AnyOf(&[WriteRoles]) => roles::add_actions;
    DELETE "/app/roles"                             AnyOf(&[WriteRoles]) => roles::remove;

    GET    "/app/governance/constitution"           AnyOf(&[ReadGovernance]) => governance::constitution;
    GET    "/app/governance/members"                AnyOf(&[ReadGovernance]) => governance::members;
    GET    "/app/enclaveQuotes"                     AnyOf(&[ReadGovernance]) => quotes::enclave_quotes;

    GET    "/app/api"                               Nothing => node_routes::api;
    GET    "/app/commit"                            Nothing => node_routes::commit;
    GET    "/app/tx"                                Nothing => node_routes::tx;
    GET    "/node/api"                              Nothing => node_routes::api;
    GET    "/node/commit"                           Nothing => node_routes::commit;
    GET    "/node/tx"                               Nothing => node_routes::tx;
    GET    "/node/receipt"                          Nothing => receipts::ccf_receipt;
    GET    "/node/network"                          Nothing => node_routes::network;
    GET    "/node/network/nodes"                    Nothing => node_routes::nodes;
    GET    "/node/network/nodes/self"               Nothing => node_routes::this_node;
    GET    "/node/network/nodes/primary"            Nothing => node_routes::leading_node;
    GET    "/node/primary"                          Nothing => node_routes::primary;
    GET    "/node/consensus"                        Nothing => node_routes::consensus;
    POST   "/node/join"                             Nothing => node_routes::join;
    GET    "/node/state"                            Nothing => node_routes::state;
    GET    "/node/version"                          Nothing => node_routes::version;
    GET    "/node/quotes"                           Nothing => quotes::quotes;
    GET    "/node/quotes/self"                      Nothing => quotes::own_quote;
    GET    "/node/checkpoint"                       Nothing => cosigners::checkpoint;
    GET    "/node/cosigners"                        Nothing => cosigners::cosigners;
    GET    "/node/metrics"                          Nothing => node_routes::metrics;
    GET    "/node/live"                             Nothing => node_routes::live;
    GET    "/node/ready/app"                        Nothing => node_routes::ready;
    GET    "/node/ready/gov"                        Nothing => node_routes::ready;
    GET    "/gov/members/proposals"                 Nothing => gov::proposals::list;
    POST   "/gov/members/proposals:create"          Nothing => gov::proposals::create;
    GET    "/gov/members/proposals/{proposalId}"    Nothing => gov::proposals::show;
    POST   "/gov/members/proposals/{proposalId}:withdraw" Nothing => gov::proposals::withdraw;
    GET    "/gov/members/proposals/{proposalId}/actions" Nothing => gov::proposals::actions;
    POST   "/gov/members/proposals/{proposalId}/ballots/{memberId}:submit" Nothing => gov::proposals::vote;
    GET    "/gov/members/proposals/{proposalId}/ballots/{memberId}" Nothing => gov::proposals::ballot;
    GET    "/gov/members/state-digests/{memberId}"  Nothing => gov::members::state_digest;
    POST   "/gov/members/state-digests/{memberId}:update" Nothing => gov::members::update_state_digest;
    POST   "/gov/members/state-digests/{memberId}:ack" Nothing => gov::members::acknowledge;
    GET    "/gov/recovery/encrypted-shares/{memberId}" Nothing => gov::recovery::encrypted_share;
    POST   "/gov/recovery/members/{memberId}:recover" Nothing => gov::recovery::submit;
    GET    "/gov/service/constitution"              Nothing => gov::service::constitution;
    GET    "/gov/service/info"                      Nothing => gov::service::info;
    GET    "/gov/service/join-policy"               Nothing => gov::service::join_policy;
    GET    "/gov/service/jwk"                       Nothing => gov::service::jwk;
    GET    "/gov/service/members"                   Nothing => gov::members::list;
    GET    "/gov/service/members/{memberId}"        Nothing => gov::members::show;
    GET    "/gov/service/nodes"                     Nothing => gov::service::nodes;
    GET    "/gov/service/nodes/{nodeId}"            Nothing => gov::service::node;
    GET    "/gov/service/transactions/commit"       Nothing => gov::service::commit;
    GET    "/gov/service/transactions/{transactionId}" Nothing => gov::service::transaction;

    GET    "/ledgerIdentity/{ledgerId}"             Nothing => identity::ledger_identity;

    GET    "/"                                      Nothing => pages::front;
    GET    "/web/{file}"                            Nothing => pages::file;
};

/// What is at a path.
pub(crate) enum Found {
    /// This.
    Route {
        /// Its place in [`ROUTES`].
        index: usize,
        /// The route.
        route: &'static Route,
        /// Where in the path each `{...}` is.
        params: Params,
    },
    /// Something, but only with these methods.
    OtherMethods(String),
    /// Nothing.
    Nothing,
}

/// Looks a path up.
pub(crate) fn find(method: &Method, path: &str) -> Found {
    for (index, route) in ROUTES.iter().enumerate() {
        if route.method == method
            && let Some(params) = fits(route.path, path)
        {
            return Found::Route {
                index,
                route,
                params,
            };
        }
    }
    let others = ROUTES
        .iter()
        .filter(|route| fits(route.path, path).is_some());
    let others: Vec<_> = others.map(|route| route.method.as_str()).collect();
    if others.is_empty() {
        Found::Nothing
    } else {
        Found::OtherMethods(others.join(", "))
    }
}

/// Parameters of one path. No path has more.
const PARAMS_MAX: usize = 2;

/// Where in a path its parameters are, by name.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub(crate) struct Params {
    found: [Option<(&'static str, Range<usize>)>; PARAMS_MAX],
}

impl Params {
    /// Where the first one is.
    pub(crate) fn first(&self) -> Option<Range<usize>> {
        self.found[0].as_ref().map(|(_, range)| range.clone())
    }

    /// Where the one of this name is.
    pub(crate) fn named(&self, name: &str) -> Option<Range<usize>> {
        let mut found = self.found.iter().flatten();
        found
            .find(|(other, _)| *other == name)
            .map(|(_, range)| range.clone())
    }

    fn push(&mut self, name: &'static str, range: Range<usize>) {
        let place = self.found.iter_mut().find(|place| place.is_none());
        *place.expect("a test holds that no path has more") = Some((name, range));
    }
}

/// Whether a path fits a pattern, and where its parameters are.
fn fits(pattern: &'static str, path: &str) -> Option<Params> {
    let mut params = Params::default();
    if !pattern.contains('{') {
        return (pattern == path).then_some(params);
    }
    let mut wanted = pattern.split('/');
    let mut at = 0;
    for segment in path.split('/') {
        let wanted = wanted.next()?;
        match wanted.split_once('{') {
            None if wanted == segment => {}
            None => return None,
            Some((before, rest)) => {
                let (name, after) = rest.split_once('}')?;
                let value = segment.strip_prefix(before)?.strip_suffix(after)?;
                if value.is_empty() {
                    return None;
                }
                let start = at + before.len();
                params.push(name, start..start + value.len());
            }
        }
        at += segment.len() + 1;
    }
    wanted.next().is_none().then_some(params)
}

#[cfg(test)]
mod tests {
    use super::*;

    fn found(method: Method, path: &str) -> Option<(&'static str, Option<&str>)> {
        match find(&method, path) {
            Found::Route { route, params, .. } => {
                Some((route.path, params.first().map(|at| &path[at])))
            }
            _ => None,
        }
    }

    #[test]
    fn literal_paths_win_over_open_ones() {
        assert_eq!(
            found(Method::GET, "/app/transactions/current"),
            Some(("/app/transactions/current", None))
        );
        assert_eq!(
            found(Method::GET, "/app/transactions/2.17"),
            Some(("/app/transactions/{transactionId}", Some("2.17")))
        );
        assert_eq!(
            found(Method::GET, "/app/transactions/2.17/receipt"),
            Some(("/app/transactions/{transactionId}/receipt", Some("2.17")))
        );
        assert_eq!(
            found(Method::POST, "/app/transactions:batch"),
            Some(("/app/transactions:batch", None))
        );
    }

    #[test]
    fn a_path_may_have_two_parameters_and_a_verb_behind_them() {
        let path = "/gov/members/proposals/ab/ballots/cd:submit";
        let Found::Route { route, params, .. } = find(&Method::POST, path) else {
            panic!("it is there")
        };
        assert!(route.path.ends_with("/ballots/{memberId}:submit"));
        let named = |name| params.named(name).map(|at| &path[at]);
        assert_eq!(named("proposalId"), Some("ab"));
        assert_eq!(named("memberId"), Some("cd"));
        assert_eq!(named("nodeId"), None);
        for missing in [
            "/gov/members/proposals/ab/ballots/:submit",
            "/gov/members/proposals//ballots/cd:submit",
            "/gov/members/proposals/ab/ballots/cd:submit/",
            "/gov/members/proposals/ab/ballots",
        ] {
            let found = find(&Method::POST, missing);
            assert!(!matches!(found, Found::Route { .. }), "{missing}");
        }
    }

    #[test]
    fn no_path_has_more_parameters_than_there_is_room_for() {
        for route in ROUTES {
            assert!(
                route.path.matches('{').count() <= PARAMS_MAX,
                "{}",
                route.path
            );
        }
    }

    #[test]
    fn a_user_id_may_have_colons() {
        let id = ["AB"; 32].join(":");
        let path = format!("/app/users/{id}");
        assert_eq!(
            found(Method::GET, &path),
            Some(("/app/users/{userId}", Some(id.as_str())))
        );
    }

    #[test]
    fn what_is_not_in_the_table_is_not_there() {
        for path in [
            "/web",
            "/app",
            "/app/users/",
            "/app/users/a/b",
            "/app/transactions/2.17/x",
        ] {
            assert!(matches!(find(&Method::GET, path), Found::Nothing), "{path}");
        }
        let Found::OtherMethods(allow) = find(&Method::DELETE, "/app/transactions") else {
            panic!("the path exists")
        };
        assert_eq!(allow, "POST, GET");
    }

    #[test]
    fn only_nodes_governance_the_identity_and_the_page_are_open_to_anybody() {
        for route in ROUTES {
            // Members show who they are by signing what they send; what they decided is public.
            let open = route.path.starts_with("/node/")
                || route.path.starts_with("/gov/")
                || route.path.starts_with("/ledgerIdentity/")
                || ["/", "/web/{file}"].contains(&route.path)
                || ["/app/api", "/app/commit", "/app/tx"].contains(&route.path);
            assert_eq!(matches!(route.needs, Nothing), open, "{}", route.path);
        }
    }
}
