//! That whoever is named as a key's owner keeps it: the key signs a text that says so.
//!
//! The text names the account, the user's address and this installation, so what proves one claim proves no other. It
//! states a fact and no wish: whoever gets hold of it can only claim the same again.

use alloy_primitives::Address;
use connector::signer_of_message;

use super::model::{ChainKey, Email, KeyProof};
use crate::Problem;

/// What a key signs so that it is a user's.
pub(super) fn text(issuer: &str, key: &ChainKey, email: &Email) -> String {
    format!("I keep the key of {key} and sign with it as {email} at {issuer}.")
}

/// That a key, where one is claimed, is its user's.
///
/// # Errors
/// It is not shown: what to sign is said.
pub(super) fn check(
    issuer: &str,
    key: Option<&ChainKey>,
    proof: Option<&KeyProof>,
    email: &Email,
) -> Result<(), Problem> {
    let Some(key) = key else {
        return match proof {
            None => Ok(()),
            Some(_) => Err(Problem::input("which key is it a proof of?").at("/key")),
        };
    };
    let text = text(issuer, key, email);
    match proof.and_then(|proof| signer(&text, proof)) {
        Some(account) if format!("0x{}", hex::encode(account)) == key.as_str() => Ok(()),
        _ => {
            let detail = format!(
                "show that the key is kept: let it sign this text (EIP-191, personal_sign), and send that as keyProof: \
                 {text}"
            );
            Err(Problem::new(http::StatusCode::BAD_REQUEST, "KeyNotProven", detail).at("/keyProof"))
        }
    }
}

fn signer(text: &str, proof: &KeyProof) -> Option<Address> {
    let mut bytes = [0; 65];
    hex::decode_to_slice(&proof.as_str()[2..], &mut bytes).ok()?;
    signer_of_message(text, &bytes)
}

#[cfg(test)]
mod tests {
    use super::*;

    const ACCOUNT: &str = "0x1a642f0e3c3af545e7acbd38b07251b3990914f1";
    /// By ethers 6: `wallet.signMessage(...)`.
    const PROOF: &str = "0x3c5acd0205a5bf54ddaf1a2d37aba3abd1077f72dba9df058fb875c3ef5a0352\
                         0ec27a31dd3419e6313e232779c1fd3bd3360237eefb3b84af339471ff1b0bb31c";

    fn email(text: &str) -> Email {
        Email::parse(text).unwrap()
    }

    #[test]
    fn what_a_wallet_signed_proves_one_key_of_one_user_at_one_place() {
        let key = ChainKey::parse(ACCOUNT).unwrap();
        let other = ChainKey::parse(&ACCOUNT.replace('f', "e")).unwrap();
        let proof = KeyProof::parse(PROOF).unwrap();
        let ana = email("ana@farm.example");
        check("e2e", Some(&key), Some(&proof), &ana).unwrap();
        check("e2e", None, None, &ana).unwrap();
        for (issuer, key, proof, email) in [
            ("else", Some(&key), Some(&proof), &ana),
            ("e2e", Some(&other), Some(&proof), &ana),
            ("e2e", Some(&key), None, &ana),
            ("e2e", Some(&key), Some(&proof), &email("eve@farm.example")),
        ] {
            let problem = check(issuer, key, proof, email).unwrap_err();
            assert_eq!(problem.kind, "KeyNotProven");
            let named = format!("as {email} at {issuer}.");
            assert!(problem.detail.contains(&named), "{problem}");
        }
        let alone = check("e2e", None, Some(&proof), &ana).unwrap_err();
        assert_eq!(alone.kind, "InvalidInput");
    }

    #[test]
    fn no_bit_of_a_proof_can_be_changed() {
        let key = ChainKey::parse(ACCOUNT).unwrap();
        let ana = email("ana@farm.example");
        let mut bytes = [0; 65];
        hex::decode_to_slice(&PROOF[2..], &mut bytes).unwrap();
        for bit in 0..8 * 64 {
            let mut changed = bytes;
            changed[bit / 8] ^= 1 << (bit % 8);
            let proof = KeyProof::parse(&format!("0x{}", hex::encode(changed))).unwrap();
            check("e2e", Some(&key), Some(&proof), &ana).unwrap_err();
        }
        for text in ["", "0x", &PROOF[2..], &PROOF[..130], &format!("{PROOF}00")] {
            KeyProof::parse(text).unwrap_err();
        }
    }
}
