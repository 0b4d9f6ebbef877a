//! What the members decided about the service: its rules, its nodes, who may join, who vouches.

use http::header::HeaderValue;
use ledger::State;
use ledger::governance::{Settings, jwt, wishes};
use ledger::limits::{RECENT_PROPOSALS, VALIDITY_DAYS_DEFAULT};
use ledger::tables::{
    FEATURES, NODE_CERTS, NODES, SGX_POLICY, SINGLETON, SNP_HOST_DATA, SNP_MEASUREMENTS,
    SNP_TCB_VERSIONS, SNP_UVM_ENDORSEMENTS, TDX_POLICY, Table, VIRTUAL_HOST_DATA,
    VIRTUAL_MEASUREMENTS,
};
use serde_json::{Map, Value, json};

use super::{List, id};
use crate::answer::{self, Answer};
use crate::call::Call;
use crate::error::ApiError;

/// `GET /gov/service/constitution`
pub(crate) async fn constitution(call: Call) -> Result<Answer, ApiError> {
    let text = ledger::service::constitution(call.node().state())
        .ok_or_else(|| ApiError::not_found("The ledger has no constitution."))?;
    let plain = HeaderValue::from_static("text/plain; charset=utf-8");
    Ok(answer::whole(plain, text))
}

/// `GET /gov/service/info`: CCF's fields, and beside them the constitution's settings, the settings
/// of features, and what was decided and is still to be done.
pub(crate) async fn info(call: Call) -> Result<Answer, ApiError> {
    let state = call.node().state();
    let row = ledger::service::service(state)
        .ok_or_else(|| ApiError::not_found("The service is not created yet."))?;
    let config = ledger::governance::service::config(state);
    let days = |name: &str| config[name].as_u64().unwrap_or(VALIDITY_DAYS_DEFAULT);
    let wishes: Vec<_> = wishes::all(state).into_iter().map(|(key, _)| key).collect();
    Ok(answer::json(&json!({
        "status": row.status,
        "certificate": row.cert,
        "recoveryCount": row.recovery_count,
        "creationTransactionId": row.current_service_create_txid,
        "serviceData": null,
        "configuration": {
            "recoveryThreshold": config["recovery_threshold"],
            "maximumNodeCertificateValidityDays":
                days("maximum_node_certificate_validity_days"),
            "maximumServiceCertificateValidityDays":
                days("maximum_service_certificate_validity_days"),
            "recentCoseProposalsWindowSize": RECENT_PROPOSALS,
        },
        "constitutionSettings": Settings::read(state),
        "featureSettings": rows(state, &FEATURES),
        "wishes": wishes,
    })))
}

/// `GET /gov/service/join-policy`
pub(crate) async fn join_policy(call: Call) -> Result<Answer, ApiError> {
    let state = call.node().state();
    Ok(answer::json(&json!({
        "sgx": { "measurements": [], "policy": one(state, &SGX_POLICY) },
        "tdx": { "policy": one(state, &TDX_POLICY) },
        "snp": {
            "measurements": keys(state, &SNP_MEASUREMENTS),
            "hostData": rows(state, &SNP_HOST_DATA),
            "uvmEndorsements": rows(state, &SNP_UVM_ENDORSEMENTS),
            "tcbVersions": rows(state, &SNP_TCB_VERSIONS),
        },
        "virtual": {
            "measurements": keys(state, &VIRTUAL_MEASUREMENTS),
            "hostData": keys(state, &VIRTUAL_HOST_DATA),
        },
    })))
}

/// `GET /gov/service/jwk`: keys are shown as they were given (`jwk`), not as PEM.
pub(crate) async fn jwk(call: Call) -> Result<Answer, ApiError> {
    let state = call.node().state();
    let (mut issuers, mut keys) = (Map::new(), Map::new());
    for believed in jwt::issuers(state) {
        let mut shown = json!({
            "autoRefresh": believed.issuer.auto_refresh,
            "audiences": believed.issuer.audiences,
        });
        if let Some(bundle) = believed.issuer.ca_cert_bundle_name {
            shown["caCertBundleName"] = bundle.into();
        }
        let set = believed.jwks.unwrap_or_default();
        for key in set["keys"].as_array().into_iter().flatten() {
            let kid = key["kid"].as_str().unwrap_or_default();
            let of_kid = keys.entry(kid).or_insert_with(|| json!([]));
            if let Value::Array(of_kid) = of_kid {
                of_kid.push(json!({ "issuer": believed.name, "jwk": key }));
            }
        }
        issuers.insert(believed.name, shown);
    }
    let bundles = jwt::ca_cert_bundles(state).into_iter();
    let bundles: Map<_, _> = bundles.map(|(name, pem)| (name, pem.into())).collect();
    Ok(answer::json(&json!({
        "issuers": issuers,
        "keys": keys,
        "caCertBundles": bundles,
    })))
}

/// `GET /gov/service/nodes`
pub(crate) async fn nodes(call: Call) -> Result<Answer, ApiError> {
    let state = call.node().state();
    let all = rows(state, &NODES).into_iter();
    let value = all.map(|(id, row)| shown_node(state, &id, &row)).collect();
    Ok(answer::json(&List { value }))
}

/// `GET /gov/service/nodes/{nodeId}`
pub(crate) async fn node(call: Call) -> Result<Answer, ApiError> {
    let (state, id) = (call.node().state(), id(&call, "nodeId")?.to_string());
    let row = value(state, &NODES, id.as_bytes())
        .ok_or_else(|| ApiError::not_found(format!("There is no node {id}.")))?;
    Ok(answer::json(&shown_node(state, &id, &row)))
}

fn shown_node(state: &dyn State, id: &str, row: &Value) -> Value {
    let interfaces = row["rpc_interfaces"].as_object().into_iter().flatten();
    let interfaces: Map<_, _> = interfaces
        .map(|(name, interface)| {
            let address = &interface["published_address"];
            (name.clone(), json!({ "publishedAddress": address }))
        })
        .collect();
    let quote = row["quote_info"].as_object().into_iter().flatten();
    let quote: Map<_, _> = quote
        .map(|(name, value)| (camel_case(name), value.clone()))
        .collect();
    let mut shown = json!({
        "nodeId": id,
        "status": row["status"],
        "nodeData": row["node_data"],
        "retiredCommitted": row["retired_committed"].as_bool().unwrap_or(false),
        "quoteInfo": quote,
        "rpcInterfaces": interfaces,
    });
    let cert = state.value(&NODE_CERTS, id.as_bytes());
    if let Some(cert) = cert.and_then(|cert| String::from_utf8(cert).ok()) {
        shown["certificate"] = cert.into();
    }
    shown
}

/// `GET /gov/service/transactions/commit`
pub(crate) async fn commit(call: Call) -> Result<Answer, ApiError> {
    let id = call.node().committed();
    Ok(answer::json(
        &json!({ "status": call.node().status(id), "transactionId": id }),
    ))
}

/// `GET /gov/service/transactions/{transactionId}`
pub(crate) async fn transaction(call: Call) -> Result<Answer, ApiError> {
    let id = call.tx_id()?;
    Ok(answer::json(
        &json!({ "status": call.node().status(id), "transactionId": id }),
    ))
}

fn value(state: &dyn State, table: &Table, key: &[u8]) -> Option<Value> {
    serde_json::from_slice(&state.value(table, key)?).ok()
}

fn one(state: &dyn State, table: &Table) -> Option<Value> {
    value(state, table, &SINGLETON)
}

fn rows(state: &dyn State, table: &Table) -> Map<String, Value> {
    let rows = state.values(table).into_iter();
    rows.filter_map(|(key, value)| {
        Some((
            String::from_utf8(key).ok()?,
            serde_json::from_slice(&value).ok()?,
        ))
    })
    .collect()
}

fn keys(state: &dyn State, table: &Table) -> Vec<String> {
    rows(state, table).into_iter().map(|(key, _)| key).collect()
}

fn camel_case(name: &str) -> String {
    let mut words = name.split('_');
    let mut joined = words.next().unwrap_or_default().to_owned();
    for word in words {
        let (first, rest) = word.split_at(word.len().min(1));
        joined.push_str(&first.to_ascii_uppercase());
        joined.push_str(rest);
    }
    joined
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn names_are_spelled_as_ccf_spells_them_here() {
        assert_eq!(camel_case("uvm_endorsements"), "uvmEndorsements");
        assert_eq!(camel_case("format"), "format");
    }
}
