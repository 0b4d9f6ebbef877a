//! What a proposal can do.
//!
//! Each action is a function from its arguments to its effect. The arguments are checked when the
//! proposal is made, so members vote on something that can be read; the effect is applied when it is
//! accepted, and may still find that it cannot be: then none of the proposal's actions is done.
//! Names and arguments are CCF's where CCF has the action.

pub(super) mod args;
pub mod jwt;
mod members;
mod nodes;
mod policy;
pub mod service;
mod users;

use serde::Deserialize;
use serde_json::Value;

use self::args::Args;
use super::settings::FUNDAMENTAL;
use crate::kv::Tx;
use crate::limits::ACTIONS_MAX;

/// What an accepted action does. The error says why it cannot be done.
type Effect = Box<dyn Fn(&mut Tx<'_>) -> Result<(), String>>;

/// An action's effect, or which argument is wrong.
type Parsed = Result<Effect, String>;

/// An action that can be proposed.
pub struct Action {
    /// Its name in a proposal.
    pub name: &'static str,
    /// Its arguments; a `?` ends the name of one that may be left out.
    pub arguments: &'static [&'static str],
    /// What it does.
    pub about: &'static str,
    parse: fn(&mut Args<'_>) -> Parsed,
}

macro_rules! actions {
    ($($name:literal $arguments:tt $about:literal => $parse:path;)*) => {
        &[$(Action { name: $name, arguments: &$arguments, about: $about, parse: $parse }),*]
    };
}

/// All actions.
#[rustfmt::skip]
pub static ACTIONS: &[Action] = actions! {
    "set_member" ["cert", "encryption_pub_key?", "member_data?", "recovery_role?"]
        "adds a member, who votes once it has acknowledged the state, or changes one" => members::set_member;
    "remove_member" ["member_id"] "removes a member" => members::remove_member;
    "set_member_data" ["member_id", "member_data"] "writes what is known about a member" => members::set_member_data;
    "set_constitution_settings" ["quorum?", "action_quorums?", "veto?", "operator_actions?"]
        "changes how members decide" => members::set_constitution_settings;

    "set_user" ["cert?", "user_id?", "roles?", "user_data?"]
        "adds a user, a Contributor unless other roles are named, or changes one" => users::set_user;
    "remove_user" ["user_id"] "removes a user" => users::remove_user;
    "set_user_data" ["user_id", "user_data"] "writes what is known about a user" => users::set_user_data;
    "set_role" ["role_name", "role_actions"] "defines a custom role" => users::set_role;
    "remove_role" ["role_name"] "removes a custom role" => users::remove_role;

    "set_jwt_issuer" ["issuer", "audiences", "auto_refresh?", "ca_cert_bundle_name?", "jwks?", "user_claim?"]
        "lets an issuer vouch for users with bearer tokens" => jwt::set_jwt_issuer;
    "remove_jwt_issuer" ["issuer"] "no longer believes an issuer" => jwt::remove_jwt_issuer;
    "set_jwt_public_signing_keys" ["issuer", "jwks"] "replaces the keys of an issuer" => jwt::set_jwt_public_signing_keys;
    "set_ca_cert_bundle" ["name", "cert_bundle"] "names certificates that vouch for web servers" => jwt::set_ca_cert_bundle;
    "remove_ca_cert_bundle" ["name"] "removes such certificates" => jwt::remove_ca_cert_bundle;

    "transition_node_to_trusted" ["node_id", "valid_from?", "validity_period_days?"]
        "lets a node that waits take part" => nodes::transition_node_to_trusted;
    "remove_node" ["node_id"] "takes a node out" => nodes::remove_node;
    "set_node_data" ["node_id", "node_data"] "writes what is known about a node" => nodes::set_node_data;
    "set_node_certificate_validity" ["node_id", "valid_from", "validity_period_days?"]
        "renews a node's certificate" => nodes::set_node_certificate_validity;
    "set_all_nodes_certificate_validity" ["valid_from", "validity_period_days?"]
        "renews the certificates of all nodes" => nodes::set_all_nodes_certificate_validity;

    "add_snp_measurement" ["measurement"] "lets code run on AMD SEV-SNP" => policy::add_snp_measurement;
    "remove_snp_measurement" ["measurement"] "no longer lets it" => policy::remove_snp_measurement;
    "add_snp_host_data" ["host_data", "security_policy?"] "lets a security policy be used" => policy::add_snp_host_data;
    "remove_snp_host_data" ["host_data"] "no longer lets it" => policy::remove_snp_host_data;
    "add_snp_uvm_endorsement" ["did", "feed", "svn"] "trusts an issuer of utility VMs" => policy::add_snp_uvm_endorsement;
    "remove_snp_uvm_endorsement" ["did", "feed"] "no longer trusts it" => policy::remove_snp_uvm_endorsement;
    "set_snp_minimum_tcb_version_hex" ["cpuid", "tcb_version"] "asks for firmware of this version" => policy::set_snp_minimum_tcb_version;
    "remove_snp_minimum_tcb_version" ["cpuid"] "no longer asks for it" => policy::remove_snp_minimum_tcb_version;
    "add_virtual_measurement" ["measurement"] "lets code run without hardware protection" => policy::add_virtual_measurement;
    "remove_virtual_measurement" ["measurement"] "no longer lets it" => policy::remove_virtual_measurement;
    "add_virtual_host_data" ["host_data"] "lets host data be used without hardware protection" => policy::add_virtual_host_data;
    "remove_virtual_host_data" ["host_data"] "no longer lets it" => policy::remove_virtual_host_data;
    "set_tdx_policy" ["policy"] "says which Intel TDX evidence is believed" => policy::set_tdx_policy;
    "remove_tdx_policy" [] "believes none" => policy::remove_tdx_policy;
    "set_sgx_policy" ["policy"] "says which Intel SGX evidence is believed" => policy::set_sgx_policy;
    "remove_sgx_policy" [] "believes none" => policy::remove_sgx_policy;

    "transition_service_to_open" ["next_service_identity?", "previous_service_identity?"]
        "opens the service to its users" => service::transition_service_to_open;
    "assert_service_identity" ["service_identity"]
        "does nothing, but fails unless this is the service that is meant" => service::assert_service_identity;
    "set_recovery_threshold" ["recovery_threshold"]
        "says how many members must agree to a recovery" => service::set_recovery_threshold;
    "trigger_recovery_shares_refresh" [] "draws new recovery shares" => service::trigger_recovery_shares_refresh;
    "trigger_ledger_rekey" [] "draws a new ledger secret" => service::trigger_ledger_rekey;
    "trigger_ledger_chunk" [] "closes the ledger file" => service::trigger_ledger_chunk;
    "trigger_snapshot" [] "makes a snapshot" => service::trigger_snapshot;
    "set_service_certificate_validity" ["valid_from", "validity_period_days?"]
        "renews the service's certificate" => service::set_service_certificate_validity;
    "set_service_configuration"
        ["recovery_threshold?", "maximum_node_certificate_validity_days?", "maximum_service_certificate_validity_days?"]
        "changes numbers of the service" => service::set_service_configuration;
    "set_feature_settings" ["feature", "settings"] "sets what a feature may do" => service::set_feature_settings;
    "remove_feature_settings" ["feature"] "sets it back" => service::remove_feature_settings;
};

/// Actions of CCF that this ledger does not have, and what is used instead.
const INSTEAD: &[(&str, &str)] = &[
    (
        "set_constitution",
        "the rules are code; set_constitution_settings tunes them",
    ),
    ("set_js_app", "no JavaScript is run"),
    ("remove_js_app", "no JavaScript is run"),
    ("set_js_runtime_options", "no JavaScript is run"),
    ("refresh_js_app_bytecode_cache", "no JavaScript is run"),
    ("add_node_code", "set_sgx_policy takes its place"),
    ("remove_node_code", "remove_sgx_policy takes its place"),
    (
        "set_snp_minimum_tcb_version",
        "set_snp_minimum_tcb_version_hex takes its place",
    ),
];

/// Whether there is an action of this name.
pub fn exists(name: &str) -> bool {
    find(name).is_some()
}

fn find(name: &str) -> Option<&'static Action> {
    ACTIONS.iter().find(|action| action.name == name)
}

/// What a proposal would do, its arguments checked.
pub struct Proposed {
    names: Vec<String>,
    effects: Vec<Effect>,
}

impl Proposed {
    /// The names of its actions, in their order.
    pub fn names(&self) -> &[String] {
        &self.names
    }

    /// Whether it changes who votes, or how.
    pub fn changes_the_vote(&self) -> bool {
        let mut names = self.names.iter();
        names.any(|name| FUNDAMENTAL.contains(&name.as_str()))
    }

    /// Does all of it, in its order, or nothing.
    ///
    /// # Errors
    /// Which action cannot be done, and why.
    pub fn apply(&self, tx: &mut Tx<'_>) -> Result<(), String> {
        let mut attempt = Tx::new(&*tx, tx.id(), *tx.claims_key());
        for (name, effect) in self.names.iter().zip(&self.effects) {
            effect(&mut attempt).map_err(|why| format!("{name}: {why}"))?;
        }
        let writes = attempt.into_writes();
        tx.take_over(writes);
        Ok(())
    }
}

/// Reads a proposal, `{"actions": [{"name": ..., "args": {...}}, ...]}`, and checks all arguments.
///
/// # Errors
/// In words, which action and which field is wrong.
pub fn parse(text: &[u8]) -> Result<Proposed, String> {
    #[derive(Deserialize)]
    #[serde(deny_unknown_fields)]
    struct Proposal {
        actions: Vec<Value>,
    }
    #[derive(Deserialize)]
    #[serde(deny_unknown_fields)]
    struct Named {
        name: String,
        #[serde(default)]
        args: Value,
    }
    let proposal: Value =
        serde_json::from_slice(text).map_err(|error| format!("it is not JSON: {error}"))?;
    if !proposal.is_object() {
        return Err("it is no object with \"actions\"".to_owned());
    }
    let proposal: Proposal = serde_json::from_value(proposal)
        .map_err(|error| format!("it is no object with \"actions\": {error}"))?;
    let count = proposal.actions.len();
    if count == 0 || count > ACTIONS_MAX {
        return Err(format!(
            "it has {count} actions; 1 to {ACTIONS_MAX} are possible"
        ));
    }
    let mut proposed = Proposed {
        names: Vec::new(),
        effects: Vec::new(),
    };
    for (place, action) in proposal.actions.into_iter().enumerate() {
        let unreadable = |why: &str| format!("action {place} is no {{\"name\", \"args\"}}: {why}");
        if !action.is_object() {
            return Err(unreadable("it is no object"));
        }
        let Named { name, args } =
            serde_json::from_value(action).map_err(|error| unreadable(&error.to_string()))?;
        let effect = parse_action(&name, args)?;
        proposed.names.push(name);
        proposed.effects.push(effect);
    }
    Ok(proposed)
}

fn parse_action(name: &str, args: Value) -> Parsed {
    let Some(action) = find(name) else {
        let shown: String = name.chars().take(80).collect();
        let instead = INSTEAD.iter().find(|(other, _)| *other == name);
        return Err(match instead {
            Some((_, instead)) => format!("there is no action {shown:?}: {instead}"),
            None => format!("there is no action {shown:?}"),
        });
    };
    let in_words = |why: String| format!("{name}: {why}");
    let mut args = Args::new(&args).map_err(in_words)?;
    let effect = (action.parse)(&mut args).map_err(in_words)?;
    args.finish().map_err(in_words)?;
    Ok(effect)
}

#[cfg(test)]
mod tests {
    use serde_json::json;

    use super::*;

    #[test]
    fn a_proposal_is_a_list_of_known_actions() {
        let refusal = |text: &str| parse(text.as_bytes()).err().unwrap();
        assert!(refusal("").contains("not JSON"));
        assert!(refusal("[[]]").contains("no object"));
        assert!(refusal("{}").contains("actions"));
        assert!(refusal(r#"{"actions":[]}"#).contains("0 actions"));
        assert!(refusal(r#"{"actions":[],"x":1}"#).contains("x"));
        assert!(refusal(r#"{"actions":["a"]}"#).contains("action 0"));
        assert!(refusal(r#"{"actions":[["trigger_snapshot"]]}"#).contains("action 0"));
        assert!(refusal(r#"{"actions":[{"name":"fly"}]}"#).contains("\"fly\""));
        let many = vec![json!({"name": "trigger_snapshot"}); ACTIONS_MAX + 1];
        assert!(refusal(&json!({ "actions": many }).to_string()).contains("101"));
    }

    #[test]
    fn an_action_of_ccf_that_is_missing_here_is_refused_with_advice() {
        let text = r#"{"actions":[{"name":"set_constitution","args":{"constitution":""}}]}"#;
        let refusal = parse(text.as_bytes()).err().unwrap();
        assert!(refusal.contains("set_constitution_settings"), "{refusal}");
    }

    #[test]
    fn arguments_that_nobody_knows_are_refused() {
        let text = r#"{"actions":[{"name":"trigger_snapshot","args":{"now":true}}]}"#;
        let refusal = parse(text.as_bytes()).err().unwrap();
        assert_eq!(refusal, "trigger_snapshot: there is no argument \"now\"");
    }

    #[test]
    fn every_action_names_its_arguments() {
        for action in ACTIONS {
            for argument in action.arguments {
                let name = argument.trim_end_matches('?');
                // Whatever it is, it is known: the refusal is about something else, or there is none.
                let refusal = parse_action(action.name, json!({ name: 17 })).err();
                let unknown = format!("there is no argument {name:?}");
                let refusal = refusal.unwrap_or_default();
                assert!(!refusal.contains(&unknown), "{}: {refusal}", action.name);
            }
            let required = action.arguments.iter().filter(|name| !name.ends_with('?'));
            for name in required {
                let refusal = parse_action(action.name, json!({})).err();
                assert!(refusal.is_some(), "{} without {name}", action.name);
            }
        }
    }
}
