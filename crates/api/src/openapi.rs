//! The OpenAPI document of all endpoints, built from the table of routes and this table of shapes.
//!
//! `crates/api/openapi.json` is its golden copy: a change of the API shows in a diff.

use std::sync::LazyLock;

use ::openapi::{object, reference};
use bytes::Bytes;
use serde_json::{Map, Value, json};

use crate::auth::Needs;
use crate::routes::{ROUTES, Route};

/// The document.
pub fn document() -> Value {
    let mut paths = Map::new();
    for route in ROUTES {
        let path = paths.entry(route.path).or_insert_with(|| json!({}));
        path[route.method.as_str().to_lowercase()] = operation(route);
    }
    json!({
        "openapi": "3.1.0",
        "info": {
            "title": "Counterfoil",
            "description": "A confidential ledger: record an event that several parties rely on, \
                            get a receipt, and let anyone prove later that nothing was changed.",
            "version": env!("CARGO_PKG_VERSION"),
            "license": { "name": "Apache-2.0", "identifier": "Apache-2.0" },
        },
        "paths": paths,
        "components": {
            "schemas": schemas(),
            "securitySchemes": {
                "bearer": { "type": "http", "scheme": "bearer", "bearerFormat": "JWT" },
                "certificate": { "type": "mutualTLS" },
            },
        },
    })
}

/// The document as it is served.
pub(crate) fn served() -> Bytes {
    static SERVED: LazyLock<Bytes> = LazyLock::new(|| Bytes::from(document().to_string()));
    SERVED.clone()
}

/// What a route takes and gives.
struct Shape {
    method: &'static str,
    path: &'static str,
    about: &'static str,
    query: &'static [&'static str],
    takes: &'static str,
    gives: &'static str,
}

const fn shape(
    method: &'static str,
    path: &'static str,
    about: &'static str,
    query: &'static [&'static str],
    takes: &'static str,
    gives: &'static str,
) -> Shape {
    Shape {
        method,
        path,
        about,
        query,
        takes,
        gives,
    }
}

/// In the order of [`ROUTES`]. A `!` ends the names of query parameters that are required; `gives`
/// is a schema, or a status where the answer has no body. What is taken as `cose:TYPE` is a COSE_Sign1
/// of a member with that `ccf.gov.msg.type`.
#[rustfmt::skip]
const SHAPES: &[Shape] = &[
    shape("POST", "/app/transactions", "Append an entry. Success means committed, unless waitForCommit=false.", &["collectionId", "tags", "waitForCommit"], "NewEntry", "Appended"),
    shape("GET", "/app/transactions", "List committed entries of a collection.", &["collectionId", "fromTransactionId", "toTransactionId", "tag"], "", "EntryPage"),
    shape("GET", "/app/transactions/current", "The last entry of a collection.", &["collectionId"], "", "Entry"),
    shape("GET", "/app/transactions/{transactionId}", "An entry, or the value of a collection as of a transaction.", &["collectionId"], "", "EntryResult"),
    shape("GET", "/app/transactions/{transactionId}/receipt", "The receipt of a transaction; with Accept: application/cose as COSE. With cosignatures=true and a checkpoint that the nodes countersigned.", &["cosignatures"], "", "ReceiptResult"),
    shape("GET", "/app/transactions/{transactionId}/status", "Whether a transaction is committed.", &[], "", "TransactionStatus"),
    shape("POST", "/app/transactions:batch", "Append many entries; one answer each, with receipts where waitForCommit=true. Streams with application/x-ndjson, without receipts.", &["collectionId", "waitForCommit"], "Batch", "BatchResult"),
    shape("GET", "/app/transactions:watch", "Committed entries of a collection as server-sent events.", &["collectionId", "fromTransactionId"], "", "text/event-stream"),
    shape("GET", "/app/collections", "All collections.", &[], "", "Collections"),
    shape("GET", "/app/collections/tags", "All tags of a collection.", &["collectionId"], "", "Tags"),
    shape("GET", "/app/users", "All users, each with its strongest role.", &[], "", "Users"),
    shape("GET", "/app/users/{userId}", "A user with the strongest role.", &[], "", "User"),
    shape("PATCH", "/app/users/{userId}", "Give a user one role in place of all others. Before api-version 2024-08-26 only.", &[], "UserChange", "User"),
    shape("DELETE", "/app/users/{userId}", "Remove a user. Before api-version 2024-08-26 only.", &[], "", "204"),
    shape("GET", "/app/ledgerUsers", "All users with all their roles.", &[], "", "LedgerUsers"),
    shape("GET", "/app/ledgerUsers/{userId}", "A user with all roles.", &[], "", "LedgerUser"),
    shape("PATCH", "/app/ledgerUsers/{userId}", "Give a user roles beside those it has.", &[], "LedgerUserChange", "LedgerUser"),
    shape("DELETE", "/app/ledgerUsers/{userId}", "Remove a user.", &[], "", "204"),
    shape("GET", "/app/roles", "A custom role.", &["roleName!"], "", "Roles"),
    shape("PUT", "/app/roles", "Define custom roles.", &[], "Roles", "Roles"),
    shape("PATCH", "/app/roles", "Add actions to custom roles.", &[], "Roles", "Roles"),
    shape("DELETE", "/app/roles", "Remove a custom role. 200 before api-version 2026-07-31.", &["roleName!"], "", "204"),
    shape("GET", "/app/governance/constitution", "The rules in words.", &[], "", "Constitution"),
    shape("GET", "/app/governance/members", "The members of the consortium.", &[], "", "Members"),
    shape("GET", "/app/enclaveQuotes", "What the nodes can show about their hardware.", &[], "", "EnclaveQuotes"),
    shape("GET", "/app/api", "This document.", &[], "", "Anything"),
    shape("GET", "/app/commit", "The last committed transaction.", &["view_history"], "", "NodeCommit"),
    shape("GET", "/app/tx", "What has become of a transaction.", &["transaction_id!"], "", "NodeTx"),
    shape("GET", "/node/api", "This document.", &[], "", "Anything"),
    shape("GET", "/node/commit", "The last committed transaction.", &["view_history"], "", "NodeCommit"),
    shape("GET", "/node/tx", "What has become of a transaction.", &["transaction_id!"], "", "NodeTx"),
    shape("GET", "/node/receipt", "The receipt of a transaction without its claims, in CCF's spelling.", &["transaction_id!", "cosignatures"], "", "CcfReceipt"),
    shape("GET", "/node/network", "The service.", &[], "", "Network"),
    shape("GET", "/node/network/nodes", "All nodes.", &[], "", "NetworkNodes"),
    shape("GET", "/node/network/nodes/self", "This node.", &[], "", "NetworkNode"),
    shape("GET", "/node/network/nodes/primary", "The leading node.", &[], "", "NetworkNode"),
    shape("GET", "/node/primary", "200 from the leader, 308 to it from others.", &[], "", "200"),
    shape("GET", "/node/consensus", "Who leads, and which nodes decide.", &[], "", "Consensus"),
    shape("POST", "/node/join", "A node asks to be part of the network; asked again until it is trusted.", &[], "JoinRequest", "JoinAnswer"),
    shape("GET", "/node/state", "This node's state.", &[], "", "NodeState"),
    shape("GET", "/node/version", "This node's software.", &[], "", "NodeVersion"),
    shape("GET", "/node/quotes", "What all nodes can show about their hardware, in CCF's spelling.", &[], "", "NodeQuotes"),
    shape("GET", "/node/quotes/self", "What this node can show about its hardware.", &[], "", "NodeQuote"),
    shape("GET", "/node/checkpoint", "The newest checkpoint as a signed note (C2SP), countersigned by the nodes that answer.", &[], "", "text/plain"),
    shape("GET", "/node/cosigners", "The keys of those who sign checkpoints.", &[], "", "Cosigners"),
    shape("GET", "/node/metrics", "Numbers for an operator, OpenMetrics.", &[], "", "application/openmetrics-text"),
    shape("GET", "/node/live", "The process answers.", &[], "", "204"),
    shape("GET", "/node/ready/app", "Users are served; 503 while they are not.", &[], "", "204"),
    shape("GET", "/node/ready/gov", "Members are served; 503 while they are not.", &[], "", "204"),
    shape("GET", "/gov/members/proposals", "Proposals that are open or were decided not long ago.", &[], "", "Proposals"),
    shape("POST", "/gov/members/proposals:create", "Propose actions.", &[], "cose:proposal", "Proposal"),
    shape("GET", "/gov/members/proposals/{proposalId}", "What has become of a proposal.", &[], "", "Proposal"),
    shape("POST", "/gov/members/proposals/{proposalId}:withdraw", "Take one's own proposal back.", &[], "cose:withdrawal", "Proposal"),
    shape("GET", "/gov/members/proposals/{proposalId}/actions", "What was proposed.", &[], "", "ProposedActions"),
    shape("POST", "/gov/members/proposals/{proposalId}/ballots/{memberId}:submit", "Say yes or no.", &[], "cose:ballot", "Proposal"),
    shape("GET", "/gov/members/proposals/{proposalId}/ballots/{memberId}", "A member's ballot.", &[], "", "text/javascript"),
    shape("GET", "/gov/members/state-digests/{memberId}", "What a member is to acknowledge.", &[], "", "StateDigest"),
    shape("POST", "/gov/members/state-digests/{memberId}:update", "Ask for the present state to acknowledge.", &[], "cose:state_digest", "StateDigest"),
    shape("POST", "/gov/members/state-digests/{memberId}:ack", "Acknowledge the state; from then on the member governs.", &[], "cose:ack", "204"),
    shape("GET", "/gov/recovery/encrypted-shares/{memberId}", "A member's recovery share, encrypted to its key.", &[], "", "EncryptedShare"),
    shape("POST", "/gov/recovery/members/{memberId}:recover", "Give one's recovery share after a disaster.", &[], "cose:recovery_share", "SharesGiven"),
    shape("GET", "/gov/service/constitution", "The rules in words.", &[], "", "text/plain"),
    shape("GET", "/gov/service/info", "The service and the settings of its rules.", &[], "", "ServiceInfo"),
    shape("GET", "/gov/service/join-policy", "Which evidence nodes must show to join.", &[], "", "JoinPolicy"),
    shape("GET", "/gov/service/jwk", "Who vouches for users with tokens.", &[], "", "Jwk"),
    shape("GET", "/gov/service/members", "All members.", &[], "", "GovMembers"),
    shape("GET", "/gov/service/members/{memberId}", "A member.", &[], "", "GovMember"),
    shape("GET", "/gov/service/nodes", "All nodes.", &[], "", "GovNodes"),
    shape("GET", "/gov/service/nodes/{nodeId}", "A node.", &[], "", "GovNode"),
    shape("GET", "/gov/service/transactions/commit", "The last committed transaction.", &[], "", "GovTransaction"),
    shape("GET", "/gov/service/transactions/{transactionId}", "What has become of a transaction.", &[], "", "GovTransaction"),
    shape("GET", "/ledgerIdentity/{ledgerId}", "The service certificate, trusted on first use.", &[], "", "Identity"),
    shape("GET", "/", "The page for browsers.", &[], "", "text/html"),
    shape("GET", "/web/{file}", "What the page is made of.", &[], "", "text/javascript"),
];

fn operation(route: &Route) -> Value {
    let shape = SHAPES
        .iter()
        .find(|shape| shape.method == route.method.as_str() && shape.path == route.path)
        .expect("a test holds that every route has a shape");
    let open = matches!(route.needs, Needs::Nothing);
    let in_path = route.path.split('{').skip(1);
    let mut parameters: Vec<_> = in_path
        .filter_map(|rest| Some(parameter(rest.split_once('}')?.0, "path", true)))
        .collect();
    parameters.extend(shape.query.iter().map(|name| {
        let plain = name.trim_end_matches('!');
        parameter(plain, "query", plain != *name)
    }));
    if !open || route.path.starts_with("/gov/") {
        parameters.push(parameter("api-version", "query", true));
    }
    let mut operation = json!({
        "summary": shape.about,
        "parameters": parameters,
        "responses": { "default": { "description": "An error.", "content": json_of("Error") } },
    });
    let (status, content) = match shape.gives {
        status @ ("200" | "204") => (status, None),
        media_type if media_type.contains('/') => (
            "200",
            Some(json!({ media_type: { "schema": { "type": "string" } } })),
        ),
        schema => ("200", Some(json_of(schema))),
    };
    operation["responses"][status] = json!({ "description": "Done." });
    if let Some(content) = content {
        operation["responses"][status]["content"] = content;
    }
    if let Some(kind) = shape.takes.strip_prefix("cose:") {
        let about = format!("A member's COSE_Sign1 with ccf.gov.msg.type {kind}.");
        let binary = json!({ "schema": { "type": "string", "format": "binary" } });
        let content = json!({ "application/cose": binary });
        operation["requestBody"] =
            json!({ "required": true, "description": about, "content": content });
    } else if !shape.takes.is_empty() {
        operation["requestBody"] = json!({ "required": true, "content": json_of(shape.takes) });
    }
    if let Needs::AnyOf(_) = route.needs {
        operation["description"] = format!("Needs {}.", route.needs).into();
    }
    if !open {
        operation["security"] = json!([{ "bearer": [] }, { "certificate": [] }]);
    }
    operation
}

fn parameter(name: &str, place: &str, required: bool) -> Value {
    json!({ "name": name, "in": place, "required": required, "schema": { "type": "string" } })
}

fn json_of(schema: &str) -> Value {
    let schema = reference(schema);
    json!({ "application/json": { "schema": schema } })
}

/// Shapes by name, each as [`object`] reads it.
#[rustfmt::skip]
const SCHEMAS: &[(&str, &str)] = &[
    ("Error", "error:ErrorDetail"),
    ("ErrorDetail", "code message"),
    ("NewEntry", "contents"),
    ("Appended", "collectionId ? state receipt:Receipt applicationClaims:[Claim]"),
    ("Entry", "collectionId contents transactionId ? tags:[]"),
    ("EntryPage", "state entries:[Entry] ? nextLink"),
    ("EntryResult", "state ? entry:Entry"),
    ("ReceiptResult", "state transactionId ? receipt:Receipt applicationClaims:[Claim]"),
    ("Receipt", "cert nodeId proof:[ProofStep] signature ? leafComponents:LeafComponents serviceEndorsements:[] leaf root cosigned:Cosigned"),
    ("Cosigned", "checkpoint proof:[ProofStep]"),
    ("LeafComponents", "writeSetDigest commitEvidence claimsDigest"),
    ("ProofStep", "? left right"),
    ("Claim", "kind ? ledgerEntry:LedgerEntryClaim digest:DigestClaim"),
    ("LedgerEntryClaim", "protocol collectionId contents secretKey"),
    ("DigestClaim", "protocol value"),
    ("TransactionStatus", "state transactionId"),
    ("Batch", "entries:[BatchEntry]"),
    ("BatchEntry", "contents ? collectionId tags:[] idempotencyKey"),
    ("BatchResult", "results:[BatchAnswer]"),
    ("BatchAnswer", "? transactionId collectionId receipt:Receipt applicationClaims:[Claim] status:# error:ErrorDetail"),
    ("Collections", "collections:[Collection] ? nextLink"),
    ("Collection", "collectionId"),
    ("Tags", "tags:[] ? nextLink"),
    ("Users", "ledgerUsers:[User] ? nextLink"),
    ("User", "userId assignedRole"),
    ("UserChange", "assignedRole"),
    ("LedgerUsers", "ledgerUsers:[LedgerUser] ? nextLink"),
    ("LedgerUser", "userId assignedRoles:[]"),
    ("LedgerUserChange", "assignedRoles:[]"),
    ("Roles", "? roles:[Role] role:[Role]"),
    ("Role", "roleName roleActions:[]"),
    ("Constitution", "digest script"),
    ("Members", "members:[Member] ? nextLink"),
    ("Member", "certificate id"),
    ("EnclaveQuotes", "currentNodeId enclaveQuotes:Anything"),
    ("NodeCommit", "transaction_id ? view_history:[]"),
    ("NodeTx", "transaction_id status"),
    ("CcfReceipt", "cert node_id proof:[ProofStep] signature ? leaf_components:Anything service_endorsements:[] leaf cosigned:Cosigned"),
    ("Network", "service_status service_certificate current_view:# primary_id recovery_count:# service_data:Anything current_service_create_txid"),
    ("NetworkNodes", "nodes:[NetworkNode]"),
    ("NetworkNode", "node_id status primary:Anything rpc_interfaces:Anything"),
    ("Consensus", "details:ConsensusDetails"),
    ("ConsensusDetails", "current_view:# primary_id leadership_state deciding:[]"),
    ("JoinRequest", "public_key encryption_key evidence:Anything address peer_address subject_alt_names:[] signature"),
    ("JoinAnswer", "status node_id sealed:Anything"),
    ("NodeState", "node_id state last_signed_seqno:# startup_seqno:# stop_notice:Anything"),
    ("NodeVersion", "counterfoil_version ccf_version quickjs_version platform unsafe:Anything"),
    ("NodeQuotes", "quotes:[NodeQuote]"),
    ("NodeQuote", "node_id raw endorsements format public_key nonce evidence:Anything ? uvm_endorsements"),
    ("Cosigners", "service:[] cosigners:[Cosigner]"),
    ("Cosigner", "node_id address public_key ? organisation key binding"),
    ("Proposals", "value:[Proposal]"),
    ("Proposal", "proposalId proposerId proposalState ballotCount:# ? finalVotes:Anything failure:Anything"),
    ("ProposedActions", "actions:[ProposedAction]"),
    ("ProposedAction", "name ? args:Anything"),
    ("StateDigest", "memberId stateDigest"),
    ("EncryptedShare", "memberId encryptedShare"),
    ("SharesGiven", "message submittedCount:# recoveryThreshold:#"),
    ("ServiceInfo", "status certificate recoveryCount:# creationTransactionId configuration:Anything constitutionSettings:Anything featureSettings:Anything wishes:[] ? serviceData:Anything"),
    ("JoinPolicy", "sgx:Anything tdx:Anything snp:Anything virtual:Anything"),
    ("Jwk", "issuers:Anything keys:Anything caCertBundles:Anything"),
    ("GovMembers", "value:[GovMember]"),
    ("GovMember", "memberId status memberData:Anything recoveryRole ? certificate publicEncryptionKey"),
    ("GovNodes", "value:[GovNode]"),
    ("GovNode", "nodeId status nodeData:Anything retiredCommitted:Anything quoteInfo:Anything rpcInterfaces:Anything ? certificate"),
    ("GovTransaction", "status transactionId"),
    ("Identity", "ledgerId ledgerTlsCertificate"),
];

fn schemas() -> Value {
    let mut schemas: Map<_, _> = SCHEMAS
        .iter()
        .map(|(name, fields)| ((*name).to_owned(), object(fields)))
        .collect();
    schemas.insert("Anything".to_owned(), json!({}));
    Value::Object(schemas)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn every_route_has_a_shape_and_every_shape_a_route() {
        let routes: Vec<_> = ROUTES
            .iter()
            .map(|route| (route.method.as_str(), route.path))
            .collect();
        let shapes: Vec<_> = SHAPES
            .iter()
            .map(|shape| (shape.method, shape.path))
            .collect();
        assert_eq!(routes, shapes);
    }

    #[test]
    fn every_schema_that_is_named_exists() {
        let text = document().to_string();
        let document = document();
        for reference in text.split("#/components/schemas/").skip(1) {
            let name = reference.split('"').next().unwrap();
            assert!(
                document["components"]["schemas"].get(name).is_some(),
                "{name}"
            );
        }
    }

    /// `UPDATE_GOLDEN=1 cargo test -p api` writes the file anew.
    #[test]
    fn the_golden_file_is_what_is_served() {
        let path = "openapi.json";
        let text = serde_json::to_string_pretty(&document()).unwrap() + "\n";
        if std::env::var_os("UPDATE_GOLDEN").is_some() {
            std::fs::write(path, &text).unwrap();
        }
        assert_eq!(
            std::fs::read_to_string(path).unwrap(),
            text,
            "see this test's comment"
        );
    }
}
