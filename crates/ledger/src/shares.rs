//! What members hold against a disaster.
//!
//! The newest ledger secret is sealed under a key that nobody keeps: it is split among the members
//! that take part in recovery, and each part is encrypted to its member. Earlier secrets are sealed,
//! each under the next one, so the newest opens them all. All of that is public in the ledger.

use std::collections::BTreeMap;

use aws_lc_rs::aead::{AES_256_GCM, Aad, LessSafeKey, Nonce, UnboundKey};
use base64::Engine;
use base64::engine::general_purpose::STANDARD;
use serde::{Deserialize, Serialize};
use verify::{Digest, Seqno};
use zeroize::Zeroizing;

use crate::governance::members::{self, MemberId, RecoveryRole, Status};
use crate::governance::service::recovery_threshold;
use crate::governance::wishes::{self, REFRESH_SHARES};
use crate::kv::{Rejection, State, Transaction, Tx};
use crate::secret::{DoesNotOpen, LedgerSecret};
use crate::secrets::{KeptSecret, LedgerSecrets};
use crate::service::service;
use crate::shamir::{self, Share};
use crate::tables::{EARLIER_SECRETS, RECOVERY_SHARES, SINGLETON};

/// A row of [`RECOVERY_SHARES`]. The first two fields are CCF's.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct RecoveryShares {
    /// The newest ledger secret, sealed under the key that the shares give; base64.
    pub wrapped_latest_ledger_secret: String,
    /// Each member's share, RSA-OAEP-256 to its encryption key; base64.
    pub encrypted_shares: BTreeMap<String, String>,
    /// The first seqno that the sealed secret is valid for.
    pub ledger_secret_version: u64,
    /// How many shares give the key.
    pub recovery_threshold: u64,
    /// SHA-256 of each member's share, hex: who gives a wrong one is told so at once. A share has
    /// 32 random bytes, so nobody finds it by its digest.
    pub share_digests: BTreeMap<String, String>,
}

impl RecoveryShares {
    /// The row; `None` where no shares were drawn.
    pub fn read(state: &dyn State) -> Option<Self> {
        serde_json::from_slice(&state.value(&RECOVERY_SHARES, &SINGLETON)?).ok()
    }

    /// Whether this is the member's share.
    pub fn is_share_of(&self, member: &MemberId, share: &Share) -> bool {
        let digest = Digest::of(&share.to_bytes()).to_string();
        self.share_digests.get(&member.to_string()) == Some(&digest)
    }

    /// Whether these shares are enough.
    pub fn suffice(&self, shares: &[Share]) -> bool {
        shares.iter().any(Share::is_whole) || shares.len() as u64 >= self.recovery_threshold
    }

    /// Opens the sealed secret.
    ///
    /// # Errors
    /// These shares are not enough, or of another key.
    pub fn open(&self, shares: &[Share]) -> Result<KeptSecret, DoesNotOpen> {
        let key = shamir::combine(shares).map_err(|_| DoesNotOpen)?;
        let version = Seqno(self.ledger_secret_version);
        let sealed = STANDARD.decode(&self.wrapped_latest_ledger_secret);
        let secret = open_once(&key, WRAPPED, version, &sealed.map_err(|_| DoesNotOpen)?)?;
        Ok((version, secret))
    }
}

/// Who takes part in recovery at some time, and how many of them it takes.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Roster {
    threshold: u64,
    /// Each member that takes part, with its encryption key (PEM) and its role.
    pub members: BTreeMap<MemberId, (String, RecoveryRole)>,
}

impl Roster {
    /// The members who are active and take part.
    pub fn of(state: &dyn State) -> Self {
        let taking_part = members::all(state).into_iter().filter(|(_, member)| {
            member.status == Status::Active && member.recovery_role != RecoveryRole::NonParticipant
        });
        let members = taking_part.filter_map(|(id, member)| {
            Some((
                id,
                (members::encryption_key(state, &id)?, member.recovery_role),
            ))
        });
        Self {
            threshold: recovery_threshold(state),
            members: members.collect(),
        }
    }

    /// How many share the key, and how many of them give it back; `None` where too few, or too
    /// many, are active for what the members decided.
    fn sharing(&self) -> Option<(u8, u8)> {
        let members = self.members.values();
        let sharing = members.filter(|(_, role)| *role == RecoveryRole::Participant);
        match u8::try_from(sharing.count()).ok()? {
            0 if self.members.is_empty() => None,
            0 => Some((0, 0)),
            count => {
                let threshold = u8::try_from(self.threshold).ok()?;
                (1..=count)
                    .contains(&threshold)
                    .then_some((count, threshold))
            }
        }
    }

    /// Blocks of 32 random bytes that [`Roster::draw`] needs; `None` where no shares can be drawn
    /// for these members.
    pub fn random_blocks(&self) -> Option<usize> {
        let (_, threshold) = self.sharing()?;
        Some(1 + usize::from(threshold.saturating_sub(1)))
    }

    /// Splits a new key, seals `secret` under it, and encrypts each member's share with `encrypt`
    /// (to a key, PEM).
    ///
    /// # Errors
    /// A share cannot be encrypted, in words; or no shares can be drawn for these members.
    pub fn draw(
        &self,
        (version, secret): &KeptSecret,
        random: &[[u8; 32]],
        mut encrypt: impl FnMut(&str, &[u8]) -> Result<Vec<u8>, String>,
    ) -> Result<RecoveryShares, String> {
        let (count, threshold) = self
            .sharing()
            .ok_or("too few members are active to recover")?;
        let (key, random) = random
            .split_first()
            .filter(|(_, rest)| rest.len() == usize::from(threshold.saturating_sub(1)))
            .ok_or("there is not as much randomness as needed")?;
        let mut parts = match count {
            0 => Vec::new(),
            count => shamir::split(key, count, random),
        }
        .into_iter();
        let (mut encrypted_shares, mut share_digests) = (BTreeMap::new(), BTreeMap::new());
        for (member, (pem, role)) in &self.members {
            let share = match role {
                RecoveryRole::Owner => Share::whole(key),
                _ => parts.next().ok_or("there are fewer shares than members")?,
            };
            let bytes = share.to_bytes();
            let encrypted = encrypt(pem, &bytes)
                .map_err(|why| format!("the share of member {member}: {why}"))?;
            encrypted_shares.insert(member.to_string(), STANDARD.encode(encrypted));
            share_digests.insert(member.to_string(), Digest::of(&bytes).to_string());
        }
        Ok(RecoveryShares {
            wrapped_latest_ledger_secret: STANDARD
                .encode(seal_once(key, WRAPPED, *version, &**secret)),
            encrypted_shares,
            ledger_secret_version: version.0,
            recovery_threshold: u64::from(threshold.max(1)),
            share_digests,
        })
    }
}

/// Records new shares, in place of any others. The leader draws them.
#[derive(Debug, Clone)]
pub struct PutShares {
    /// For whom they were drawn.
    pub roster: Roster,
    /// What was drawn; `None` where nobody takes part (any more).
    pub shares: Option<RecoveryShares>,
}

impl PutShares {
    /// Writes the rows, if the members are still those for whom the shares were drawn.
    pub(crate) fn put(self, tx: &mut Tx<'_>) -> Result<(), Rejection> {
        if Roster::of(tx) != self.roster {
            let why = "the members that take part in recovery changed meanwhile".to_owned();
            return Err(Rejection::Conflict(why));
        }
        wishes::take(tx, REFRESH_SHARES);
        match self.shares {
            Some(shares) => {
                let row = serde_json::to_vec(&shares).expect("texts and numbers are JSON");
                tx.put(RECOVERY_SHARES, SINGLETON, row);
            }
            None if tx.value(&RECOVERY_SHARES, &SINGLETON).is_some() => {
                tx.remove(RECOVERY_SHARES, SINGLETON);
            }
            None => {}
        }
        Ok(())
    }
}

impl Transaction for PutShares {
    fn run(self: Box<Self>, tx: &mut Tx<'_>) -> Result<Digest, Rejection> {
        // Until a recovered service is open, the shares from before are the only way to open it.
        if service(tx).is_none_or(|row| row.status != "Open") {
            let why = "shares are drawn for a service that is open".to_owned();
            return Err(Rejection::Conflict(why));
        }
        self.put(tx)?;
        Ok(Digest::ZERO)
    }
}

/// A row of [`EARLIER_SECRETS`].
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct EarlierSecret {
    /// The earlier secret.
    pub previous_ledger_secret: SealedSecret,
    /// The first seqno of the secret that it is sealed under.
    pub next_version: u64,
}

/// A ledger secret under another one.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct SealedSecret {
    /// The sealed bytes, base64.
    pub encrypted_data: String,
    /// The first seqno that it is valid for.
    pub version: u64,
}

/// Seals all secrets but the newest, each under the next one, to be written with
/// [`put_earlier`].
pub fn seal_earlier(secrets: &LedgerSecrets) -> Vec<EarlierSecret> {
    let kept = secrets.kept();
    let pairs = kept.iter().zip(kept.iter().skip(1));
    pairs
        .map(|(secret, next)| seal_one_earlier(secret, next))
        .collect()
}

/// Seals a secret under the one after it.
pub(crate) fn seal_one_earlier(
    (version, secret): &KeptSecret,
    (next_version, next): &KeptSecret,
) -> EarlierSecret {
    let key = earlier_key(&LedgerSecret::new(**next), *version);
    let sealed = seal_once(&key, EARLIER, *version, &**secret);
    EarlierSecret {
        previous_ledger_secret: SealedSecret {
            encrypted_data: STANDARD.encode(sealed),
            version: version.0,
        },
        next_version: next_version.0,
    }
}

/// Writes rows of earlier secrets that are not there yet.
pub(crate) fn put_earlier(tx: &mut Tx<'_>, rows: &[EarlierSecret]) {
    for row in rows {
        let key = row.previous_ledger_secret.version.to_le_bytes();
        let json = serde_json::to_vec(row).expect("texts and numbers are JSON");
        if tx.value(&EARLIER_SECRETS, &key).as_ref() != Some(&json) {
            tx.put(EARLIER_SECRETS, key, json);
        }
    }
}

/// The secrets before `newest`, as far back as the ledger has them sealed.
///
/// # Errors
/// A row does not open: it was changed.
pub fn open_earlier(
    state: &dyn State,
    newest: &KeptSecret,
) -> Result<Vec<KeptSecret>, DoesNotOpen> {
    let rows = state.values(&EARLIER_SECRETS).into_iter();
    let rows: Vec<EarlierSecret> = rows
        .filter_map(|(_, row)| serde_json::from_slice(&row).ok())
        .collect();
    let mut opened: Vec<KeptSecret> = Vec::new();
    let mut last = newest.clone();
    // Each step goes back, so there are not more of them than rows.
    while let Some(row) = rows
        .iter()
        .find(|row| row.next_version == last.0.0 && row.previous_ledger_secret.version < last.0.0)
    {
        let SealedSecret {
            encrypted_data,
            version,
        } = &row.previous_ledger_secret;
        let sealed = STANDARD.decode(encrypted_data).map_err(|_| DoesNotOpen)?;
        let version = Seqno(*version);
        let key = earlier_key(&LedgerSecret::new(*last.1), version);
        last = (version, open_once(&key, EARLIER, version, &sealed)?);
        opened.push(last.clone());
    }
    Ok(opened)
}

/// Seals a share that a member gave after a disaster, for this service alone.
pub fn seal_submitted(secret: &LedgerSecret, member: &MemberId, share: &Share) -> Vec<u8> {
    let bytes = share.to_bytes();
    let key = submitted_key(secret, member, &Digest::of(&bytes).to_string());
    seal_once(&key, SUBMITTED, Seqno::ZERO, &bytes)
}

/// Opens what [`seal_submitted`] sealed. `digest` is that of the share, hex.
///
/// # Errors
/// It was changed, or is another share.
pub fn open_submitted(
    secret: &LedgerSecret,
    member: &MemberId,
    digest: &str,
    sealed: &[u8],
) -> Result<Share, DoesNotOpen> {
    let key = submitted_key(secret, member, digest);
    let bytes = open_bytes(&key, SUBMITTED, Seqno::ZERO, sealed)?;
    Share::from_bytes(&bytes).map_err(|_| DoesNotOpen)
}

const WRAPPED: &[u8] = b"counterfoil recovery 1";
const EARLIER: &[u8] = b"counterfoil earlier secret 1";
const SUBMITTED: &[u8] = b"counterfoil submitted share 1";

fn earlier_key(next: &LedgerSecret, version: Seqno) -> Zeroizing<[u8; 32]> {
    let mut label = EARLIER.to_vec();
    label.extend_from_slice(&version.0.to_le_bytes());
    next.derive(&label)
}

/// One key for each share, so that no key ever seals two different texts.
fn submitted_key(secret: &LedgerSecret, member: &MemberId, digest: &str) -> Zeroizing<[u8; 32]> {
    let mut label = SUBMITTED.to_vec();
    label.extend_from_slice(&member.0);
    label.extend_from_slice(digest.as_bytes());
    secret.derive(&label)
}

/// Seals under a key that seals nothing else, ever: that is what makes the fixed nonce safe.
fn seal_once(key: &[u8; 32], label: &[u8], version: Seqno, plaintext: &[u8]) -> Vec<u8> {
    let mut bytes = plaintext.to_vec();
    let nonce = Nonce::assume_unique_for_key([0; 12]);
    aead_key(key)
        .seal_in_place_append_tag(nonce, Aad::from(about(label, version)), &mut bytes)
        .expect("a few bytes are far shorter than AES-GCM's limit");
    bytes
}

fn open_once(
    key: &[u8; 32],
    label: &[u8],
    version: Seqno,
    sealed: &[u8],
) -> Result<Zeroizing<[u8; 32]>, DoesNotOpen> {
    let bytes = open_bytes(key, label, version, sealed)?;
    let secret = bytes.as_slice().try_into().map_err(|_| DoesNotOpen)?;
    Ok(Zeroizing::new(secret))
}

fn open_bytes(
    key: &[u8; 32],
    label: &[u8],
    version: Seqno,
    sealed: &[u8],
) -> Result<Zeroizing<Vec<u8>>, DoesNotOpen> {
    let mut bytes = Zeroizing::new(sealed.to_vec());
    let nonce = Nonce::assume_unique_for_key([0; 12]);
    let length = aead_key(key)
        .open_in_place(nonce, Aad::from(about(label, version)), &mut bytes)
        .map_err(|_| DoesNotOpen)?
        .len();
    bytes.truncate(length);
    Ok(bytes)
}

fn about(label: &[u8], version: Seqno) -> Vec<u8> {
    [label, &version.0.to_le_bytes()].concat()
}

fn aead_key(key: &[u8; 32]) -> LessSafeKey {
    LessSafeKey::new(UnboundKey::new(&AES_256_GCM, key).expect("32 bytes are an AES-256 key"))
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::kv::MemoryState;

    fn secret(from: u64, byte: u8) -> KeptSecret {
        (Seqno(from), Zeroizing::new([byte; 32]))
    }

    fn member(byte: u8) -> MemberId {
        Digest([byte; 32])
    }

    fn roster(threshold: u64, roles: &[RecoveryRole]) -> Roster {
        let members = (1..).zip(roles);
        Roster {
            threshold,
            members: members
                .map(|(byte, role)| (member(byte), (byte.to_string(), *role)))
                .collect(),
        }
    }

    /// Draws shares that are "encrypted" by leaving them as they are.
    fn drawn(roster: &Roster) -> (RecoveryShares, Vec<Share>) {
        let blocks = roster.random_blocks().unwrap();
        let random: Vec<_> = (0..blocks).map(|block| [block as u8 + 40; 32]).collect();
        let row = roster
            .draw(&secret(5, 9), &random, |_, share| Ok(share.to_vec()))
            .unwrap();
        let decode = |text: &String| Share::from_bytes(&STANDARD.decode(text).unwrap()).unwrap();
        let shares = row.encrypted_shares.values().map(decode).collect();
        (row, shares)
    }

    use RecoveryRole::{Owner, Participant};

    #[test]
    fn enough_members_open_the_secret_and_fewer_do_not() {
        let (row, shares) = drawn(&roster(2, &[Participant; 3]));
        for pair in [[0, 1], [0, 2], [1, 2]] {
            let pair = pair.map(|place| shares[place].clone());
            assert!(row.suffice(&pair));
            assert_eq!(row.open(&pair).unwrap(), secret(5, 9));
        }
        assert!(!row.suffice(&shares[..1]));
        assert!(row.open(&shares[..1]).is_err());
        assert!(row.is_share_of(&member(1), &shares[0]));
        assert!(!row.is_share_of(&member(2), &shares[0]));
        assert!(!row.is_share_of(&member(9), &shares[0]));
    }

    #[test]
    fn an_owner_is_enough_alone() {
        let (row, shares) = drawn(&roster(2, &[Participant, Owner, Participant]));
        assert!(row.suffice(&shares[1..2]));
        assert_eq!(row.open(&shares[1..2]).unwrap(), secret(5, 9));
        let (row, shares) = drawn(&roster(0, &[Owner, Owner]));
        assert!(row.suffice(&shares[1..]));
        assert_eq!(row.open(&shares[1..]).unwrap(), secret(5, 9));
    }

    #[test]
    fn too_few_active_members_get_no_shares() {
        assert_eq!(roster(2, &[Participant]).random_blocks(), None);
        assert_eq!(roster(0, &[Participant]).random_blocks(), None);
        assert_eq!(roster(2, &[Participant, Owner]).random_blocks(), None);
        assert_eq!(roster(1, &[]).random_blocks(), None);
        assert_eq!(roster(3, &[Participant; 3]).random_blocks(), Some(3));
    }

    #[test]
    fn the_newest_secret_opens_all_before_it() {
        let secrets = LedgerSecrets::new(&[secret(1, 1), secret(10, 2), secret(20, 3)]);
        let rows = seal_earlier(&secrets);
        let mut state = MemoryState::default();
        state
            .run(move |tx: &mut Tx<'_>| {
                put_earlier(tx, &rows);
                Ok(Digest::ZERO)
            })
            .unwrap();
        let opened = open_earlier(&state, &secret(20, 3)).unwrap();
        assert_eq!(opened, [secret(10, 2), secret(1, 1)]);
        assert!(open_earlier(&state, &secret(20, 4)).is_err());
        assert_eq!(open_earlier(&state, &secret(30, 3)), Ok(Vec::new()));
    }

    #[test]
    fn a_submitted_share_opens_for_its_service_alone() {
        let (_, shares) = drawn(&roster(2, &[Participant; 2]));
        let (own, other) = (LedgerSecret::new([1; 32]), LedgerSecret::new([2; 32]));
        let sealed = seal_submitted(&own, &member(1), &shares[0]);
        let digest = Digest::of(&shares[0].to_bytes()).to_string();
        let open = |secret, by| open_submitted(secret, &member(by), &digest, &sealed);
        assert_eq!(open(&own, 1).unwrap(), shares[0]);
        assert!(open(&own, 2).is_err());
        assert!(open(&other, 1).is_err());
    }
}
