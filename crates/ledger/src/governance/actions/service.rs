//! Actions about the service as a whole.

use serde_json::{Value, json};

use super::Parsed;
use super::args::{Args, member_cert, moment, number, object, text};
use crate::contracts;
use crate::entries::EntryLimits;
use crate::governance::members::recovery_members;
use crate::governance::wishes::{self, CHUNK, REFRESH_SHARES, REKEY, SERVICE_CERT, SNAPSHOT};
use crate::governance::{json as bytes, row};
use crate::kv::{State, Tx};
use crate::limits::{
    CONTENTS_BYTES_GOVERNED_MAX, RECOVERY_THRESHOLD_MAX, VALIDITY_DAYS_DEFAULT, VALIDITY_DAYS_MAX,
};
use crate::recovery::{RECOVERING, WAITING_FOR_SHARES};
use crate::service;
use crate::tables::{FEATURES, PREVIOUS_SERVICE, SERVICE_CONFIG, SINGLETON};

pub(super) fn transition_service_to_open(args: &mut Args<'_>) -> Parsed {
    let next = args.optional("next_service_identity", member_cert)?;
    let previous = args.optional("previous_service_identity", member_cert)?;
    Ok(Box::new(move |tx| {
        let row = service::service(tx).ok_or("there is no service to open")?;
        if let Some(next) = &next
            && verify::Cert::from_pem(&row.cert).map_err(|error| error.to_string())? != *next
        {
            return Err("next_service_identity is not this service's certificate".to_owned());
        }
        match row.status.as_str() {
            "Open" => Ok(()),
            "Opening" => {
                service::put_status(tx, row, "Open");
                Ok(())
            }
            WAITING_FOR_SHARES => Ok(()),
            RECOVERING => {
                // Members say which service they give their shares to, and that it follows the one
                // they know.
                let recorded = previous_service(tx);
                if next.is_none() || previous.is_none() || previous != recorded {
                    return Err(
                        "a recovered service is opened with its next_service_identity and with \
                         the previous_service_identity that it follows"
                            .to_owned(),
                    );
                }
                service::put_status(tx, row, WAITING_FOR_SHARES);
                Ok(())
            }
            other => Err(format!("the service is {other} and cannot be opened so")),
        }
    }))
}

/// The service before the last recovery; `None` where there was none.
pub fn previous_service(state: &dyn State) -> Option<verify::Cert> {
    let pem: String = row(state, &PREVIOUS_SERVICE, &SINGLETON)?;
    verify::Cert::from_pem(&pem).ok()
}

pub(super) fn assert_service_identity(args: &mut Args<'_>) -> Parsed {
    let meant = args.required("service_identity", member_cert)?;
    Ok(Box::new(move |tx| {
        let row = service::service(tx).ok_or("there is no service")?;
        let found = verify::Cert::from_pem(&row.cert).map_err(|error| error.to_string())?;
        if found == meant {
            return Ok(());
        }
        let (found, meant) = (found.fingerprint(), meant.fingerprint());
        Err(format!("this is the service {found}, not {meant}"))
    }))
}

pub(super) fn set_recovery_threshold(args: &mut Args<'_>) -> Parsed {
    let threshold = number(1..=RECOVERY_THRESHOLD_MAX);
    let threshold = args.required("recovery_threshold", threshold)?;
    Ok(Box::new(move |tx| put_threshold(tx, threshold)))
}

fn put_threshold(tx: &mut Tx<'_>, threshold: u64) -> Result<(), String> {
    let participants = recovery_members(tx) as u64;
    if threshold > participants {
        return Err(format!(
            "{threshold} of {participants} members cannot agree: more members need encryption keys"
        ));
    }
    put_config(tx, "recovery_threshold", threshold);
    wishes::record(tx, REFRESH_SHARES, None, &Value::Null);
    Ok(())
}

/// How many members must agree to recover the ledger; 0 for none, where nobody could.
pub fn recovery_threshold(state: &dyn State) -> u64 {
    config(state)["recovery_threshold"].as_u64().unwrap_or(0)
}

/// The days for which a certificate may be valid, by the name of the limit.
pub(super) fn validity_max(state: &dyn State, name: &str) -> u64 {
    config(state)[name]
        .as_u64()
        .unwrap_or(VALIDITY_DAYS_DEFAULT)
}

/// The service's numbers, in CCF's words.
pub fn config(state: &dyn State) -> Value {
    row(state, &SERVICE_CONFIG, &SINGLETON).unwrap_or_else(|| json!({ "recovery_threshold": 0 }))
}

fn put_config(tx: &mut Tx<'_>, name: &str, value: u64) {
    let mut config = config(tx);
    config[name] = value.into();
    tx.put(SERVICE_CONFIG, SINGLETON, bytes(&config));
}

pub(super) fn set_service_configuration(args: &mut Args<'_>) -> Parsed {
    let threshold = number(1..=RECOVERY_THRESHOLD_MAX);
    let threshold = args.optional("recovery_threshold", threshold)?;
    let mut numbers = Vec::new();
    for name in [
        "maximum_node_certificate_validity_days",
        "maximum_service_certificate_validity_days",
    ] {
        let days = args.optional(name, number(1..=VALIDITY_DAYS_MAX))?;
        numbers.extend(days.map(|days| (name, days)));
    }
    Ok(Box::new(move |tx| {
        for (name, value) in &numbers {
            put_config(tx, name, *value);
        }
        threshold.map_or(Ok(()), |threshold| put_threshold(tx, threshold))
    }))
}

pub(super) fn trigger_recovery_shares_refresh(_: &mut Args<'_>) -> Parsed {
    wish(REFRESH_SHARES, Value::Null)
}

pub(super) fn trigger_ledger_rekey(_: &mut Args<'_>) -> Parsed {
    wish(REKEY, Value::Null)
}

pub(super) fn trigger_ledger_chunk(_: &mut Args<'_>) -> Parsed {
    wish(CHUNK, Value::Null)
}

pub(super) fn trigger_snapshot(_: &mut Args<'_>) -> Parsed {
    wish(SNAPSHOT, Value::Null)
}

pub(super) fn set_service_certificate_validity(args: &mut Args<'_>) -> Parsed {
    let all = args.all();
    args.required("valid_from", moment)?;
    let days = args.optional("validity_period_days", number(1..=VALIDITY_DAYS_MAX))?;
    Ok(Box::new(move |tx| {
        let limit = validity_max(tx, "maximum_service_certificate_validity_days");
        if let Some(days) = days
            && days > limit
        {
            return Err(format!(
                "{days} days are more than the service's limit of {limit}"
            ));
        }
        wishes::record(tx, SERVICE_CERT, None, &all);
        Ok(())
    }))
}

fn wish(action: &'static str, args: Value) -> Parsed {
    Ok(Box::new(move |tx| {
        wishes::record(tx, action, None, &args);
        Ok(())
    }))
}

/// The feature whose settings bound entries.
pub const ENTRY_LIMITS: &str = "limits";

pub(super) fn set_feature_settings(args: &mut Args<'_>) -> Parsed {
    let feature = args.required("feature", feature_name)?;
    let settings = args.required("settings", object)?;
    if feature == ENTRY_LIMITS {
        check_entry_limits(&settings)?;
    } else if feature == contracts::FEATURE {
        contracts::check(&settings)?;
    }
    Ok(Box::new(move |tx| {
        if feature == contracts::FEATURE {
            contracts::may_follow(&*tx, Some(&settings))?;
        }
        tx.put(FEATURES, feature.as_bytes(), bytes(&settings));
        Ok(())
    }))
}

pub(super) fn remove_feature_settings(args: &mut Args<'_>) -> Parsed {
    let feature = args.required("feature", feature_name)?;
    Ok(Box::new(move |tx| {
        if tx.value(&FEATURES, feature.as_bytes()).is_none() {
            return Err(format!("the feature {feature:?} has no settings"));
        }
        if feature == contracts::FEATURE {
            contracts::may_follow(&*tx, None)?;
        }
        tx.remove(FEATURES, feature.as_bytes());
        Ok(())
    }))
}

/// Features whose settings the members decide.
const FEATURE_NAMES: [&str; 2] = [ENTRY_LIMITS, contracts::FEATURE];

fn feature_name(value: &Value) -> Result<String, String> {
    let name = text(value)?;
    if FEATURE_NAMES.contains(&name.as_str()) {
        Ok(name)
    } else {
        Err(format!("is none of {}", FEATURE_NAMES.join(", ")))
    }
}

fn check_entry_limits(settings: &Value) -> Result<(), String> {
    for (name, value) in settings.as_object().into_iter().flatten() {
        let most = match name.as_str() {
            "contents_bytes" => CONTENTS_BYTES_GOVERNED_MAX,
            "collections" | "tags" => u64::from(u32::MAX),
            _ => return Err(format!("the argument \"settings\" has no limit {name:?}")),
        };
        number(1..=most)(value).map_err(|why| format!("the limit {name:?} {why}"))?;
    }
    Ok(())
}

/// A feature's settings; `None` where the members said nothing.
pub fn feature_settings(state: &dyn State, feature: &str) -> Option<Value> {
    row(state, &FEATURES, feature.as_bytes())
}

/// What the ledger takes of entries: what the members said, and where they said nothing, `own`.
pub fn entry_limits(state: &dyn State, own: EntryLimits) -> EntryLimits {
    let Some(settings) = feature_settings(state, ENTRY_LIMITS) else {
        return own;
    };
    let governed = |name: &str| settings[name].as_u64();
    EntryLimits {
        contents_bytes: governed("contents_bytes")
            .and_then(|bytes| usize::try_from(bytes).ok())
            .unwrap_or(own.contents_bytes),
        collections: governed("collections").unwrap_or(own.collections),
        tags: governed("tags").unwrap_or(own.tags),
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::governance::testing::{Signer, act, invalid};
    use crate::kv::MemoryState;
    use crate::service::ServiceRow;
    use crate::tables::SERVICE;
    use verify::Digest;

    fn with_service(status: &'static str) -> (MemoryState, String) {
        let mut state = MemoryState::default();
        let cert = Signer::new("service").cert.to_pem();
        let row = ServiceRow {
            cert: cert.clone(),
            status: status.to_owned(),
            current_service_create_txid: "2.1".to_owned(),
            recovery_count: 0,
        };
        state
            .run(move |tx: &mut Tx<'_>| {
                tx.put(SERVICE, SINGLETON, bytes(&row));
                Ok(Digest::ZERO)
            })
            .unwrap();
        (state, cert)
    }

    #[test]
    fn a_service_is_opened_if_it_is_the_one_that_is_meant() {
        let (mut state, cert) = with_service("Opening");
        let other = Signer::new("other").cert.to_pem();
        let open = |cert: &str| json!({ "next_service_identity": cert });
        assert!(act(&mut state, "transition_service_to_open", open(&other)).is_err());
        act(&mut state, "transition_service_to_open", open(&cert)).unwrap();
        assert_eq!(service::service(&state).unwrap().status, "Open");
        act(&mut state, "transition_service_to_open", Value::Null).unwrap();
        let (mut state, cert) = with_service(RECOVERING);
        let before = other.clone();
        state
            .run(move |tx: &mut Tx<'_>| {
                tx.put(PREVIOUS_SERVICE, SINGLETON, bytes(&before));
                Ok(Digest::ZERO)
            })
            .unwrap();
        assert!(act(&mut state, "transition_service_to_open", Value::Null).is_err());
        assert!(act(&mut state, "transition_service_to_open", open(&cert)).is_err());
        let both = |previous: &str| json!({ "next_service_identity": cert, "previous_service_identity": previous });
        assert!(act(&mut state, "transition_service_to_open", both(&cert)).is_err());
        act(&mut state, "transition_service_to_open", both(&other)).unwrap();
        let status = || service::service(&state).unwrap().status;
        assert_eq!(status(), WAITING_FOR_SHARES, "members have to give shares");
        invalid("transition_service_to_open", open("x"));
    }

    #[test]
    fn a_service_that_is_another_one_is_noticed() {
        let (mut state, cert) = with_service("Open");
        let is = |cert: &str| json!({ "service_identity": cert });
        act(&mut state, "assert_service_identity", is(&cert)).unwrap();
        let other = Signer::new("other").cert.to_pem();
        assert!(act(&mut state, "assert_service_identity", is(&other)).is_err());
        invalid("assert_service_identity", Value::Null);
    }

    #[test]
    fn a_recovery_threshold_needs_so_many_members() {
        let mut state = MemoryState::default();
        let args = json!({ "recovery_threshold": 1 });
        assert!(act(&mut state, "set_recovery_threshold", args.clone()).is_err());
        assert!(act(&mut state, "set_service_configuration", args).is_err());
        invalid("set_recovery_threshold", json!({ "recovery_threshold": 0 }));
        invalid(
            "set_recovery_threshold",
            json!({ "recovery_threshold": "1" }),
        );
    }

    #[test]
    fn what_only_a_node_can_do_is_left_as_a_wish() {
        let mut state = MemoryState::default();
        for name in [
            "trigger_ledger_chunk",
            "trigger_ledger_rekey",
            "trigger_recovery_shares_refresh",
            "trigger_snapshot",
        ] {
            act(&mut state, name, Value::Null).unwrap();
            invalid(name, json!({ "x": 1 }));
        }
        let mut args = json!({ "valid_from": "260131235959Z", "validity_period_days": 90 });
        act(&mut state, "set_service_certificate_validity", args.clone()).unwrap();
        args["validity_period_days"] = json!(400);
        assert!(act(&mut state, "set_service_certificate_validity", args.clone()).is_err());
        let days = json!({ "maximum_service_certificate_validity_days": 400 });
        act(&mut state, "set_service_configuration", days).unwrap();
        act(&mut state, "set_service_certificate_validity", args).unwrap();
        invalid("set_service_certificate_validity", json!({}));
        let days = json!({ "maximum_node_certificate_validity_days": 0 });
        invalid("set_service_configuration", days);
        let keys: Vec<_> = wishes::all(&state)
            .into_iter()
            .map(|(key, _)| key)
            .collect();
        assert_eq!(keys, [SERVICE_CERT, CHUNK, REKEY, REFRESH_SHARES, SNAPSHOT]);
    }

    #[test]
    fn entry_limits_are_what_the_members_say() {
        let mut state = MemoryState::default();
        let own = EntryLimits::default();
        assert_eq!(entry_limits(&state, own), own);
        let args = json!({ "feature": "limits", "settings": { "contents_bytes": 10 } });
        act(&mut state, "set_feature_settings", args).unwrap();
        let governed = entry_limits(&state, own);
        assert_eq!(governed.contents_bytes, 10);
        assert_eq!(governed.tags, own.tags);
        let remove = || json!({ "feature": "limits" });
        act(&mut state, "remove_feature_settings", remove()).unwrap();
        assert!(act(&mut state, "remove_feature_settings", remove()).is_err());
        assert_eq!(entry_limits(&state, own), own);
        for wrong in [
            json!({ "feature": "limits", "settings": { "contents_bytes": 0 } }),
            json!({ "feature": "limits", "settings": { "bytes": 1 } }),
            json!({ "feature": "magic", "settings": {} }),
            json!({ "feature": "limits" }),
        ] {
            invalid("set_feature_settings", wrong);
        }
        invalid("remove_feature_settings", json!({ "feature": "magic" }));
    }
}
