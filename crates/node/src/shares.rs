//! Recovery shares: drawn for the members that take part, and taken back after a disaster.

use std::path::{Path, PathBuf};
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};

use aws_lc_rs::rand::{SecureRandom, SystemRandom};
use aws_lc_rs::rsa::{OAEP_SHA256_MGF1SHA256, OaepPublicEncryptingKey, PublicEncryptingKey};
use ledger::governance::MemberId;
use ledger::governance::wishes::REFRESH_SHARES;
use ledger::recovery::{CompleteRecovery, SubmitShare, WAITING_FOR_SHARES, submitted_shares};
use ledger::service::service;
use ledger::shamir::Share;
use ledger::shares::{
    PutShares, RecoveryShares, Roster, open_earlier, open_submitted, seal_earlier, seal_submitted,
};
use ledger::tables::{RECOVERY_SHARES, SINGLETON, WISHES};
use ledger::{LedgerSecrets, Rejection, State, Transaction};
use rustls::pki_types::SubjectPublicKeyInfoDer;
use rustls::pki_types::pem::PemObject;
use verify::TxId;
use zeroize::Zeroizing;

use crate::Node;
use crate::parts::Parts;
use crate::platform;
use crate::submit::{SubmitError, Wait};
use crate::thread::spawn;

/// What has to be done about shares, for who leads.
pub(crate) struct ShareDuty {
    parts: Arc<Parts>,
    dir: PathBuf,
    /// Said already that too few members are active.
    said: AtomicBool,
    /// Shares are there: they are not drawn again before somebody wishes for it.
    drawn: AtomicBool,
}

impl ShareDuty {
    pub(crate) fn new(parts: Arc<Parts>, dir: &Path) -> Self {
        Self {
            parts,
            dir: dir.to_owned(),
            said: AtomicBool::new(false),
            drawn: AtomicBool::new(false),
        }
    }

    /// The transaction that is due, and what it is called.
    pub(crate) fn due(&self) -> Option<(&'static str, Box<dyn Transaction>)> {
        let state = &*self.parts.reader;
        match service(state)?.status.as_str() {
            // A node that takes a lost ledger up reads of the earlier service, which was open: shares of
            // its own new secret in the place of those that open the ledger would lose the ledger.
            "Open" if self.parts.secrets.is_complete() => {
                Some((REFRESH_SHARES, Box::new(self.refresh(state)?)))
            }
            WAITING_FOR_SHARES if self.parts.secrets.is_complete() => {
                Some(("recovery", Box::new(self.completion(state)?)))
            }
            WAITING_FOR_SHARES => {
                self.restore_if_enough(state);
                None
            }
            _ => None,
        }
    }

    /// New shares, where members wish for them or nobody ever got one.
    fn refresh(&self, state: &dyn State) -> Option<PutShares> {
        let wished = state.value(&WISHES, REFRESH_SHARES.as_bytes()).is_some();
        if !wished {
            // Asked many times a second.
            if self.drawn.load(Ordering::Relaxed) {
                return None;
            }
            if state.value(&RECOVERY_SHARES, &SINGLETON).is_some() {
                self.drawn.store(true, Ordering::Relaxed);
                return None;
            }
        }
        let roster = Roster::of(state);
        if roster.members.is_empty() {
            self.drawn.store(false, Ordering::Relaxed);
            let shares = None;
            return wished.then_some(PutShares { roster, shares });
        }
        self.draw(roster)
    }

    /// Draws shares of the newest ledger secret.
    fn draw(&self, roster: Roster) -> Option<PutShares> {
        let Some(blocks) = roster.random_blocks() else {
            if !self.said.swap(true, Ordering::Relaxed) {
                tracing::warn!(
                    members = roster.members.len(),
                    "no recovery shares are drawn: set a recovery threshold that the active \
                     members can reach"
                );
            }
            return None;
        };
        let drawn = random(blocks).and_then(|random| {
            let (from, secret) = self.parts.secrets.newest().ok_or("no ledger secret")?;
            let newest = (from, Zeroizing::new(*secret.bytes()));
            roster.draw(&newest, &random, encrypt)
        });
        match drawn {
            Ok(shares) => Some(PutShares {
                roster,
                shares: Some(shares),
            }),
            Err(error) => {
                tracing::error!(error, "recovery shares cannot be drawn");
                None
            }
        }
    }

    fn completion(&self, state: &dyn State) -> Option<CompleteRecovery> {
        Some(CompleteRecovery {
            earlier: seal_earlier(&self.parts.secrets),
            shares: self.draw(Roster::of(state))?,
        })
    }

    /// Reads again what is private, once, when enough members gave their shares.
    fn restore_if_enough(&self, state: &dyn State) {
        let Some(row) = RecoveryShares::read(state) else {
            return;
        };
        let shares = submitted(state, &self.parts.secrets, &row);
        if !row.suffice(&shares) || self.parts.restoring.swap(true, Ordering::AcqRel) {
            return;
        }
        let (parts, dir) = (Arc::clone(&self.parts), self.dir.clone());
        let restoring = move || match restore(&parts, &dir, &row, &shares) {
            Ok(()) => parts.restoring.store(false, Ordering::Release),
            // Trying again would find the same.
            Err(error) => tracing::error!(
                error,
                "the ledger cannot be recovered; correct that and start the node again"
            ),
        };
        if let Err(error) = spawn("restore", restoring) {
            tracing::error!(%error, "no thread to recover the ledger with");
        }
    }
}

/// Opens the earlier secrets, and reads what they sealed. They are kept last: a node that has them
/// has the private part of the state.
fn restore(
    parts: &Parts,
    dir: &Path,
    row: &RecoveryShares,
    shares: &[Share],
) -> Result<(), String> {
    let state = &*parts.reader;
    let newest = row.open(shares).map_err(|error| error.to_string())?;
    let mut earlier = open_earlier(state, &newest).map_err(|error| error.to_string())?;
    earlier.push(newest);
    let known = parts.secrets.kept();
    let end = known.first().ok_or("no ledger secret")?.0;
    let opened = LedgerSecrets::new(&earlier);
    if !opened.is_complete() {
        return Err("the shares open no secret of the ledger's first entries".to_owned());
    }
    tracing::info!(
        entries = end.0 - 1,
        "reading the private part of the ledger again"
    );
    let progress = |seqno| tracing::debug!(%seqno, "read again");
    let restored = parts.reader.restore_private(&opened, end, progress);
    restored.map_err(|error| error.to_string())?;
    let mut secrets = platform::load(dir)
        .map_err(|error| error.to_string())?
        .ok_or("the node's secrets are gone")?;
    secrets.ledger_secrets = earlier.clone();
    secrets.ledger_secrets.extend(known);
    secrets.ledger_secrets.sort_by_key(|(from, _)| *from);
    secrets.ledger_secrets.dedup_by_key(|(from, _)| *from);
    platform::save(dir, &secrets).map_err(|error| error.to_string())?;
    parts.secrets.add(&earlier);
    Ok(())
}

/// The shares that members gave so far. One that does not open is not counted.
fn submitted(state: &dyn State, secrets: &LedgerSecrets, row: &RecoveryShares) -> Vec<Share> {
    let Some((_, secret)) = secrets.newest() else {
        return Vec::new();
    };
    let submitted = submitted_shares(state).into_iter();
    submitted
        .filter_map(|(member, sealed)| {
            let digest = row.share_digests.get(&member.to_string())?;
            open_submitted(&secret, &member, digest, &sealed).ok()
        })
        .collect()
}

/// What became of a share.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct ShareTaken {
    /// How many members gave theirs.
    pub submitted: usize,
    /// How many are needed.
    pub threshold: u64,
    /// Whether these are enough: the ledger is being recovered now.
    pub enough: bool,
    /// Where it was recorded, sealed.
    pub id: TxId,
}

/// Why a share is not taken. Nothing was recorded.
#[derive(Debug, thiserror::Error)]
pub enum ShareError {
    /// Members accept the recovered service first, or it is open already.
    #[error("Service is not waiting for recovery shares.")]
    NotWaiting,
    /// There are enough.
    #[error("Node is already recovering private ledger.")]
    Recovering,
    /// Shares were drawn for other members.
    #[error("Recovery share not found for member {0}.")]
    NoShare(MemberId),
    /// The member decrypts its share again, with the right key.
    #[error("This is not the share of member {0}: decrypt it again, with the right key.")]
    WrongShare(MemberId),
    /// Nothing was recorded.
    #[error(transparent)]
    Submit(#[from] SubmitError),
    /// The ledger refuses.
    #[error(transparent)]
    Rejected(#[from] Rejection),
}

impl Node {
    /// Takes the share of a member after a disaster. It is recorded sealed under the new ledger
    /// secret, so that a leader who is lost loses none. When there are enough, the ledger is
    /// recovered by itself.
    ///
    /// # Errors
    /// See [`ShareError`].
    pub async fn submit_share(
        &self,
        member: MemberId,
        share: &[u8],
    ) -> Result<ShareTaken, ShareError> {
        let state = self.state();
        if service(state).is_none_or(|row| row.status != WAITING_FOR_SHARES) {
            return Err(ShareError::NotWaiting);
        }
        if self.restoring.load(Ordering::Acquire) || self.is_complete() {
            return Err(ShareError::Recovering);
        }
        let row = RecoveryShares::read(state)
            .filter(|row| row.encrypted_shares.contains_key(&member.to_string()))
            .ok_or(ShareError::NoShare(member))?;
        let share = Share::from_bytes(share)
            .ok()
            .filter(|share| row.is_share_of(&member, share))
            .ok_or(ShareError::WrongShare(member))?;
        let (_, secret) = self.secrets.newest().ok_or(ShareError::NotWaiting)?;
        let submit = SubmitShare {
            member,
            sealed: seal_submitted(&secret, &member, &share),
        };
        let id = self.submit(Box::new(submit), Wait::Committed).await??;
        let shares = submitted(self.state(), &self.secrets, &row);
        // Those of a recovery that has ended meanwhile are removed.
        let submitted = shares.len().max(1);
        Ok(ShareTaken {
            submitted,
            threshold: row.recovery_threshold,
            enough: row.suffice(&shares)
                || service(self.state()).is_some_and(|row| row.status == "Open"),
            id,
        })
    }
}

/// Random bytes for shares.
pub(crate) fn random(blocks: usize) -> Result<Zeroizing<Vec<[u8; 32]>>, String> {
    let mut random = Zeroizing::new(vec![[0; 32]; blocks]);
    for block in random.iter_mut() {
        SystemRandom::new()
            .fill(block)
            .map_err(|_| "no random numbers")?;
    }
    Ok(random)
}

/// RSA-OAEP with SHA-256 to a member's encryption key, PEM.
pub(crate) fn encrypt(pem: &str, share: &[u8]) -> Result<Vec<u8>, String> {
    let unusable = "its encryption key cannot be used";
    let der = SubjectPublicKeyInfoDer::from_pem_slice(pem.as_bytes()).map_err(|_| unusable)?;
    let key = PublicEncryptingKey::from_der(&der).map_err(|_| unusable)?;
    let key = OaepPublicEncryptingKey::new(key).map_err(|_| unusable)?;
    let mut encrypted = vec![0; key.ciphertext_size()];
    let encrypted = key
        .encrypt(&OAEP_SHA256_MGF1SHA256, share, &mut encrypted, None)
        .map_err(|_| unusable)?;
    Ok(encrypted.to_vec())
}
