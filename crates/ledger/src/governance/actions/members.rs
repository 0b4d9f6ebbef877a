//! Actions about those who govern, and how they decide.

use serde_json::Value;

use super::args::{Args, encryption_key, free_data, id, member_cert};
use super::{Effect, Parsed};
use crate::governance::members::{
    self, Member, MemberId, NewMember, RecoveryRole, Status, prepare_ack, recovery_members,
};
use crate::governance::settings::Settings;
use crate::governance::{json, wishes};
use crate::kv::{State, Tx};
use crate::limits::MEMBERS_MAX;
use crate::tables::{MEMBER_ACKS, MEMBER_CERTS, MEMBER_ENCRYPTION_KEYS, MEMBER_INFO};

use super::service::recovery_threshold;

pub(super) fn set_member(args: &mut Args<'_>) -> Parsed {
    let cert = args.required("cert", member_cert)?;
    let encryption_key = args.optional("encryption_pub_key", encryption_key)?;
    let data = args.optional("member_data", free_data)?;
    let recovery_role = args.optional("recovery_role", recovery_role)?;
    let member = NewMember {
        cert,
        encryption_key,
        data: data.unwrap_or(Value::Null),
        recovery_role,
    };
    if member.role() != RecoveryRole::NonParticipant && member.encryption_key.is_none() {
        return Err("a member that takes part in recovery needs an encryption_pub_key".to_owned());
    }
    Ok(Box::new(move |tx| {
        let before = members::read(tx, &member.id());
        if before.is_none() && members::all(tx).len() >= MEMBERS_MAX {
            return Err(format!(
                "the ledger has {MEMBERS_MAX} members, which is its limit"
            ));
        }
        let took_part = before.as_ref().is_some_and(takes_part);
        let is_active = before
            .as_ref()
            .is_some_and(|it| it.status == Status::Active);
        member.put(tx, Status::Accepted);
        if before.is_none() {
            prepare_ack(tx, member.id());
        }
        if took_part || (is_active && member.role() != RecoveryRole::NonParticipant) {
            refresh_shares(tx);
        }
        check(tx)
    }))
}

fn recovery_role(value: &Value) -> Result<RecoveryRole, String> {
    serde_json::from_value(value.clone())
        .map_err(|_| "is none of NonParticipant, Participant and Owner".to_owned())
}

pub(super) fn remove_member(args: &mut Args<'_>) -> Parsed {
    let id = args.required("member_id", id)?;
    Ok(Box::new(move |tx| {
        let member = existing(tx, &id)?;
        let key = id.to_string();
        for table in [
            MEMBER_CERTS,
            MEMBER_INFO,
            MEMBER_ACKS,
            MEMBER_ENCRYPTION_KEYS,
        ] {
            if tx.value(&table, key.as_bytes()).is_some() {
                tx.remove(table, key.as_bytes());
            }
        }
        if takes_part(&member) {
            refresh_shares(tx);
        }
        check(tx)
    }))
}

pub(super) fn set_member_data(args: &mut Args<'_>) -> Parsed {
    let id = args.required("member_id", id)?;
    let member_data = args.optional("member_data", free_data)?;
    let member_data = member_data.unwrap_or(Value::Null);
    Ok(Box::new(move |tx| {
        let member = Member {
            member_data: member_data.clone(),
            ..existing(tx, &id)?
        };
        tx.put(MEMBER_INFO, id.to_string().as_bytes(), json(&member));
        check(tx)
    }))
}

/// Fields that are not named keep what they are.
pub(super) fn set_constitution_settings(args: &mut Args<'_>) -> Parsed {
    let changes = args.rest();
    let changed = move |now: &Settings| -> Result<Settings, String> {
        let mut all = serde_json::to_value(now).expect("settings are JSON");
        let Value::Object(changes) = &changes else {
            return Ok(now.clone());
        };
        for (name, value) in changes {
            if all.get(name).is_none() {
                let shown: String = name.chars().take(80).collect();
                return Err(format!("there is no argument {shown:?}"));
            }
            all[name] = value.clone();
        }
        let settings: Settings = serde_json::from_value(all)
            .map_err(|error| format!("the settings cannot be read: {error}"))?;
        settings.check(super::exists)?;
        Ok(settings)
    };
    changed(&Settings::default())?;
    let effect: Effect = Box::new(move |tx| {
        changed(&Settings::read(tx))?.put(tx);
        Ok(())
    });
    Ok(effect)
}

fn existing(state: &dyn State, id: &MemberId) -> Result<Member, String> {
    members::read(state, id).ok_or_else(|| format!("{id} is no member"))
}

fn takes_part(member: &Member) -> bool {
    member.status == Status::Active && member.recovery_role != RecoveryRole::NonParticipant
}

fn refresh_shares(tx: &mut Tx<'_>) {
    wishes::record(tx, wishes::REFRESH_SHARES, None, &Value::Null);
}

/// After any change somebody must be left to vote, and enough to recover the ledger.
fn check(state: &dyn State) -> Result<(), String> {
    if !members::all(state).values().any(Member::votes) {
        return Err("no active member would be left to vote".to_owned());
    }
    let (left, needed) = (recovery_members(state) as u64, recovery_threshold(state));
    if left < needed {
        return Err(format!(
            "{left} members would be left to recover the ledger, which takes {needed}: lower the \
             recovery threshold first"
        ));
    }
    Ok(())
}

#[cfg(test)]
mod tests {
    use serde_json::json;

    use super::*;
    use crate::governance::settings::Quorum;
    use crate::governance::testing::{Consortium, Signer, act, invalid};

    fn rsa_pem() -> String {
        use aws_lc_rs::encoding::{AsDer, PublicKeyX509Der};
        use aws_lc_rs::rsa::{KeySize, PrivateDecryptingKey};
        use base64::Engine;
        let key = PrivateDecryptingKey::generate(KeySize::Rsa2048).unwrap();
        let der: PublicKeyX509Der<'_> = key.public_key().as_der().unwrap();
        let body = base64::engine::general_purpose::STANDARD.encode(der.as_ref());
        format!("-----BEGIN PUBLIC KEY-----\n{body}\n-----END PUBLIC KEY-----\n")
    }

    #[test]
    fn a_member_is_added_changed_and_removed() {
        let mut state = Consortium::of(&["a"]).state;
        let bob = Signer::new("bob");
        let (id, pem) = (bob.id(), bob.cert.to_pem());
        act(&mut state, "set_member", json!({ "cert": pem })).unwrap();
        let member = members::read(&state, &id).unwrap();
        assert_eq!(member.status, Status::Accepted);
        assert!(members::acknowledgement(&state, &id).is_some());
        let data = json!({ "name": "Bob" });
        let args = json!({ "member_id": id.to_string(), "member_data": data });
        act(&mut state, "set_member_data", args).unwrap();
        assert_eq!(members::read(&state, &id).unwrap().name(), Some("Bob"));
        let args = json!({ "member_id": id.to_string() });
        act(&mut state, "remove_member", args.clone()).unwrap();
        assert_eq!(members::read(&state, &id), None);
        assert_eq!(members::cert(&state, &id), None);
        assert!(act(&mut state, "remove_member", args).is_err());
        let args = json!({ "member_id": id.to_string(), "member_data": 1 });
        assert!(act(&mut state, "set_member_data", args).is_err());
    }

    #[test]
    fn a_member_that_cannot_be_is_refused() {
        let pem = Signer::new("a").cert.to_pem();
        assert!(invalid("set_member", json!({})).contains("cert"));
        assert!(invalid("set_member", json!({ "cert": "x" })).contains("PEM"));
        let args = json!({ "cert": pem, "encryption_pub_key": "x" });
        assert!(invalid("set_member", args).contains("encryption_pub_key"));
        let args = json!({ "cert": pem, "recovery_role": "Participant" });
        assert!(invalid("set_member", args).contains("encryption_pub_key"));
        let args = json!({ "cert": pem, "recovery_role": "King" });
        assert!(invalid("set_member", args).contains("recovery_role"));
        assert!(invalid("remove_member", json!({ "member_id": "ab" })).contains("member_id"));
        assert!(invalid("set_member_data", json!({})).contains("member_id"));
    }

    #[test]
    fn the_last_who_votes_can_neither_leave_nor_become_an_operator() {
        let consortium = Consortium::of(&["a"]);
        let mut state = consortium.state;
        let id = consortium.members[0].id().to_string();
        let refusal = act(&mut state, "remove_member", json!({ "member_id": id }));
        assert!(refusal.unwrap_err().contains("left to vote"));
        let data = json!({ "is_operator": true });
        let args = json!({ "member_id": id, "member_data": data });
        assert!(act(&mut state, "set_member_data", args).is_err());
    }

    #[test]
    fn enough_members_stay_to_recover_the_ledger() {
        let mut consortium = Consortium::of(&["a"]);
        let bob = Signer::new("bob");
        let id = bob.id().to_string();
        let args = json!({ "cert": bob.cert.to_pem(), "encryption_pub_key": rsa_pem() });
        act(&mut consortium.state, "set_member", args).unwrap();
        consortium.members.push(bob);
        consortium.acknowledge(1).unwrap();
        let wishes = wishes::all(&consortium.state);
        assert_eq!(wishes[0].0, wishes::REFRESH_SHARES, "a share for Bob");
        let mut state = consortium.state;
        let threshold = json!({ "recovery_threshold": 1 });
        act(&mut state, "set_recovery_threshold", threshold).unwrap();
        let refusal = act(&mut state, "remove_member", json!({ "member_id": id }));
        assert!(refusal.unwrap_err().contains("recovery threshold"));
    }

    #[test]
    fn settings_change_one_by_one() {
        let mut state = Consortium::of(&["a"]).state;
        act(
            &mut state,
            "set_constitution_settings",
            json!({ "veto": true }),
        )
        .unwrap();
        let args = json!({ "quorum": "two_thirds" });
        act(&mut state, "set_constitution_settings", args).unwrap();
        let settings = Settings::read(&state);
        assert!(settings.veto);
        assert_eq!(settings.quorum, Quorum::TwoThirds);
        for wrong in [
            json!({ "vetos": true }),
            json!({ "quorum": "few" }),
            json!({ "operator_actions": ["set_member"] }),
            json!({ "action_quorums": { "fly": "all" } }),
        ] {
            invalid("set_constitution_settings", wrong);
        }
    }
}
