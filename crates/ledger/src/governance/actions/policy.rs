//! Actions about which evidence nodes must show to join: rows that the join checks read.
//!
//! Names, keys and values of SNP's and virtual's tables are CCF's; the policies of TDX and SGX are
//! one JSON object each.

use serde_json::{Map, Value, json};
use verify::Digest;

use super::Parsed;
use super::args::{Args, hex_of, object, text};
use crate::governance::{json as bytes, row};
use crate::kv::Tx;
use crate::limits::POLICY_ROWS_MAX;
use crate::tables::{
    SGX_POLICY, SINGLETON, SNP_HOST_DATA, SNP_MEASUREMENTS, SNP_TCB_VERSIONS, SNP_UVM_ENDORSEMENTS,
    TDX_POLICY, Table, VIRTUAL_HOST_DATA, VIRTUAL_MEASUREMENTS,
};

/// SHA-384 of what was launched.
const SNP_MEASUREMENT_BYTES: usize = 48;
/// Chosen by whoever launched it: the digest of a security policy.
const HOST_DATA_BYTES: usize = 32;
/// CCF's value for code that may join.
const ALLOWED: &str = "AllowedToJoin";

pub(super) fn add_snp_measurement(args: &mut Args<'_>) -> Parsed {
    let measurement = args.required("measurement", hex_of(SNP_MEASUREMENT_BYTES))?;
    add(SNP_MEASUREMENTS, measurement, json!(ALLOWED))
}

pub(super) fn remove_snp_measurement(args: &mut Args<'_>) -> Parsed {
    let measurement = args.required("measurement", hex_of(SNP_MEASUREMENT_BYTES))?;
    remove(SNP_MEASUREMENTS, measurement)
}

pub(super) fn add_snp_host_data(args: &mut Args<'_>) -> Parsed {
    let host_data = args.required("host_data", hex_of(HOST_DATA_BYTES))?;
    let policy = args.optional("security_policy", |value| {
        match object(&json!({ "p": value })) {
            Ok(_) => value
                .as_str()
                .map(str::to_owned)
                .ok_or("is no text".to_owned()),
            Err(why) => Err(why),
        }
    })?;
    let policy = policy.unwrap_or_default();
    if !policy.is_empty() && Digest::of(policy.as_bytes()).to_string() != host_data {
        return Err("host_data is not the SHA-256 of security_policy".to_owned());
    }
    add(SNP_HOST_DATA, host_data, json!(policy))
}

pub(super) fn remove_snp_host_data(args: &mut Args<'_>) -> Parsed {
    let host_data = args.required("host_data", hex_of(HOST_DATA_BYTES))?;
    remove(SNP_HOST_DATA, host_data)
}

pub(super) fn add_snp_uvm_endorsement(args: &mut Args<'_>) -> Parsed {
    let did = args.required("did", text)?;
    let feed = args.required("feed", text)?;
    let svn = args.required("svn", |value| match value {
        Value::Number(number) if number.is_u64() => Ok(number.to_string()),
        value => text(value).and_then(|svn| match svn.parse::<u64>() {
            Ok(_) => Ok(svn),
            Err(_) => Err("is no number".to_owned()),
        }),
    })?;
    Ok(Box::new(move |tx| {
        let mut feeds = feeds(tx, &did);
        feeds.insert(feed.clone(), json!({ "svn": svn }));
        put(tx, &SNP_UVM_ENDORSEMENTS, &did, &Value::Object(feeds))
    }))
}

pub(super) fn remove_snp_uvm_endorsement(args: &mut Args<'_>) -> Parsed {
    let did = args.required("did", text)?;
    let feed = args.required("feed", text)?;
    Ok(Box::new(move |tx| {
        let mut feeds = feeds(tx, &did);
        if feeds.remove(&feed).is_none() {
            return Err(format!("{did} has no feed {feed:?}"));
        }
        if feeds.is_empty() {
            tx.remove(SNP_UVM_ENDORSEMENTS, did.as_bytes());
            return Ok(());
        }
        put(tx, &SNP_UVM_ENDORSEMENTS, &did, &Value::Object(feeds))
    }))
}

fn feeds(tx: &Tx<'_>, did: &str) -> Map<String, Value> {
    row(tx, &SNP_UVM_ENDORSEMENTS, did.as_bytes()).unwrap_or_default()
}

pub(super) fn set_snp_minimum_tcb_version(args: &mut Args<'_>) -> Parsed {
    let cpuid = args.required("cpuid", hex_of(4))?;
    let version = args.required("tcb_version", hex_of(8))?;
    add(SNP_TCB_VERSIONS, cpuid, json!({ "hexstring": version }))
}

pub(super) fn remove_snp_minimum_tcb_version(args: &mut Args<'_>) -> Parsed {
    let cpuid = args.required("cpuid", hex_of(4))?;
    remove(SNP_TCB_VERSIONS, cpuid)
}

pub(super) fn add_virtual_measurement(args: &mut Args<'_>) -> Parsed {
    let measurement = args.required("measurement", text)?;
    add(VIRTUAL_MEASUREMENTS, measurement, json!(ALLOWED))
}

pub(super) fn remove_virtual_measurement(args: &mut Args<'_>) -> Parsed {
    let measurement = args.required("measurement", text)?;
    remove(VIRTUAL_MEASUREMENTS, measurement)
}

pub(super) fn add_virtual_host_data(args: &mut Args<'_>) -> Parsed {
    let host_data = args.required("host_data", hex_of(HOST_DATA_BYTES))?;
    add(VIRTUAL_HOST_DATA, host_data, json!(""))
}

pub(super) fn remove_virtual_host_data(args: &mut Args<'_>) -> Parsed {
    let host_data = args.required("host_data", hex_of(HOST_DATA_BYTES))?;
    remove(VIRTUAL_HOST_DATA, host_data)
}

pub(super) fn set_tdx_policy(args: &mut Args<'_>) -> Parsed {
    set_singleton(TDX_POLICY, args.required("policy", object)?)
}

pub(super) fn remove_tdx_policy(_: &mut Args<'_>) -> Parsed {
    remove_singleton(TDX_POLICY)
}

pub(super) fn set_sgx_policy(args: &mut Args<'_>) -> Parsed {
    set_singleton(SGX_POLICY, args.required("policy", object)?)
}

pub(super) fn remove_sgx_policy(_: &mut Args<'_>) -> Parsed {
    remove_singleton(SGX_POLICY)
}

fn set_singleton(table: Table, policy: Value) -> Parsed {
    Ok(Box::new(move |tx| {
        tx.put(table.clone(), SINGLETON, bytes(&policy));
        Ok(())
    }))
}

fn remove_singleton(table: Table) -> Parsed {
    Ok(Box::new(move |tx| match tx.value(&table, &SINGLETON) {
        Some(_) => {
            tx.remove(table.clone(), SINGLETON);
            Ok(())
        }
        None => Err("there is no policy to remove".to_owned()),
    }))
}

fn add(table: Table, key: String, value: Value) -> Parsed {
    Ok(Box::new(move |tx| put(tx, &table, &key, &value)))
}

fn put(tx: &mut Tx<'_>, table: &Table, key: &str, value: &Value) -> Result<(), String> {
    let is_new = tx.value(table, key.as_bytes()).is_none();
    if is_new && tx.values(table).len() >= POLICY_ROWS_MAX {
        return Err(format!(
            "{table} has {POLICY_ROWS_MAX} rows, which is the limit"
        ));
    }
    tx.put(table.clone(), key.as_bytes(), bytes(value));
    Ok(())
}

fn remove(table: Table, key: String) -> Parsed {
    Ok(Box::new(move |tx| {
        if tx.value(&table, key.as_bytes()).is_none() {
            return Err(format!("{key} is not there to be removed"));
        }
        tx.remove(table.clone(), key.as_bytes());
        Ok(())
    }))
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::governance::testing::{act, invalid, text};
    use crate::kv::MemoryState;

    #[test]
    fn rows_are_added_once_and_removed_once() {
        let measurement = json!({ "measurement": "AB".repeat(48) });
        let policy = "package policy";
        let host_data = Digest::of(policy.as_bytes()).to_string();
        let host = json!({ "host_data": host_data, "security_policy": policy });
        let (cpuid, version) = ("00a00f11", "d315000000000004");
        let tcb = json!({ "cpuid": cpuid, "tcb_version": version });
        #[rustfmt::skip]
        let table = [
            ("snp_measurement", &SNP_MEASUREMENTS, measurement.clone(), measurement, "ab".repeat(48)),
            ("snp_host_data", &SNP_HOST_DATA, host, json!({ "host_data": host_data }), host_data.clone()),
            ("virtual_measurement", &VIRTUAL_MEASUREMENTS, json!({ "measurement": "m" }), json!({ "measurement": "m" }), "m".to_owned()),
            ("virtual_host_data", &VIRTUAL_HOST_DATA, json!({ "host_data": host_data }), json!({ "host_data": host_data }), host_data),
        ];
        let mut state = MemoryState::default();
        for (name, table, added, removed, key) in table {
            act(&mut state, &format!("add_{name}"), added).unwrap();
            assert!(text(&state, table, key.as_bytes()).is_some(), "{name}");
            act(&mut state, &format!("remove_{name}"), removed.clone()).unwrap();
            assert!(text(&state, table, key.as_bytes()).is_none(), "{name}");
            assert!(act(&mut state, &format!("remove_{name}"), removed).is_err());
            invalid(&format!("add_{name}"), json!({}));
            invalid(&format!("remove_{name}"), json!({}));
        }
        act(&mut state, "set_snp_minimum_tcb_version_hex", tcb).unwrap();
        let row = text(&state, &SNP_TCB_VERSIONS, cpuid.as_bytes()).unwrap();
        assert_eq!(row, r#"{"hexstring":"d315000000000004"}"#);
        let remove = || json!({ "cpuid": cpuid });
        act(&mut state, "remove_snp_minimum_tcb_version", remove()).unwrap();
        assert!(act(&mut state, "remove_snp_minimum_tcb_version", remove()).is_err());
        invalid(
            "set_snp_minimum_tcb_version_hex",
            json!({ "cpuid": "a", "tcb_version": "b" }),
        );
        invalid("remove_snp_minimum_tcb_version", json!({}));
    }

    #[test]
    fn host_data_is_the_digest_of_the_policy() {
        let args = json!({ "host_data": "00".repeat(32), "security_policy": "x" });
        assert!(invalid("add_snp_host_data", args).contains("SHA-256"));
    }

    #[test]
    fn feeds_of_one_issuer_are_beside_each_other() {
        let mut state = MemoryState::default();
        let did = "did:x509:0:sha256:x";
        for (feed, svn) in [("a", json!("100")), ("b", json!(7))] {
            let args = json!({ "did": did, "feed": feed, "svn": svn });
            act(&mut state, "add_snp_uvm_endorsement", args).unwrap();
        }
        let row = || text(&state, &SNP_UVM_ENDORSEMENTS, did.as_bytes());
        assert_eq!(row().unwrap(), r#"{"a":{"svn":"100"},"b":{"svn":"7"}}"#);
        for feed in ["a", "b"] {
            let args = json!({ "did": did, "feed": feed });
            act(&mut state, "remove_snp_uvm_endorsement", args.clone()).unwrap();
            assert!(act(&mut state, "remove_snp_uvm_endorsement", args).is_err());
        }
        assert!(text(&state, &SNP_UVM_ENDORSEMENTS, did.as_bytes()).is_none());
        invalid(
            "add_snp_uvm_endorsement",
            json!({ "did": did, "feed": "a", "svn": "x" }),
        );
    }

    #[test]
    fn policies_are_objects() {
        let mut state = MemoryState::default();
        for (set, remove, table) in [
            ("set_tdx_policy", "remove_tdx_policy", &TDX_POLICY),
            ("set_sgx_policy", "remove_sgx_policy", &SGX_POLICY),
        ] {
            let policy = json!({ "policy": { "debug": false } });
            act(&mut state, set, policy).unwrap();
            assert!(text(&state, table, &SINGLETON).is_some());
            act(&mut state, remove, Value::Null).unwrap();
            assert!(act(&mut state, remove, Value::Null).is_err());
            invalid(set, json!({ "policy": "all" }));
        }
    }
}
