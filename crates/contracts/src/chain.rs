//! Which block is being filled, and where earlier ones begin.
//!
//! A block is the transactions of one batch, so its hash is the root that was signed at the batch's
//! end: it covers everything before it, and receipts lead to it.
//!
//! ```text
//! counterfoil.evm.head     singleton        RLP of Head
//! counterfoil.evm.blocks   NUMBER(u64 BE)   RLP of BlockStart
//! counterfoil.evm.hashes   HASH(32)         number of the block, u64 BE; noted when the next one begins
//! ```

use alloy_primitives::B256;
use alloy_rlp::{Decodable, RlpDecodable, RlpEncodable};
use ledger::tables::{EVM_BLOCKS, EVM_HASHES, EVM_HEAD, GENESIS, SINGLETON};
use ledger::{State, Tx};
use verify::{Digest, Seqno};

use crate::accounts::Damaged;

/// Where a block begins. Its number counts blocks from one; the chain before any transaction is
/// block zero.
#[derive(Debug, Clone, Copy, PartialEq, Eq, RlpEncodable, RlpDecodable)]
pub struct BlockStart {
    /// The first transaction's place in the ledger.
    pub first: u64,
    /// Seconds since 1970, never less than those of the block before.
    pub time: u64,
    /// What contracts get as the block's randomness. It follows from the ledger secret: whoever does
    /// not know that cannot tell it before, and nodes do.
    pub randomness: B256,
}

/// The newest block, and what is in it so far.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default, RlpEncodable, RlpDecodable)]
pub struct Head {
    /// Its number.
    pub number: u64,
    /// Where its batch begins.
    pub batch: u64,
    /// Seconds since 1970.
    pub time: u64,
    /// Randomness of the block.
    pub randomness: B256,
    /// Transactions in it.
    pub transactions: u32,
    /// Gas that they used.
    pub gas: u64,
    /// Logs that they left.
    pub logs: u32,
}

impl Head {
    /// The newest block; block zero if there was no transaction yet.
    ///
    /// # Errors
    /// The row cannot be read.
    pub fn of(state: &(impl State + ?Sized)) -> Result<Self, Damaged> {
        match state.value(&EVM_HEAD, &SINGLETON) {
            None => Ok(Self::default()),
            Some(row) => Self::decode(&mut &row[..]).map_err(|_| Damaged("the head")),
        }
    }

    /// The block that this transaction belongs to: begins one if it is the first of its batch. `time`
    /// is when it came.
    ///
    /// # Errors
    /// The row cannot be read.
    pub fn for_transaction(tx: &mut Tx<'_>, time: u64) -> Result<Self, Damaged> {
        let head = Self::of(&*tx)?;
        let batch = tx.batch().0;
        if head.number > 0 && head.batch == batch {
            return Ok(head);
        }
        let randomness = Digest::of_parts(&[b"counterfoil randomness", tx.claims_key()]);
        let new = Self {
            number: head.number + 1,
            batch,
            time: time.max(head.time),
            randomness: B256::from(randomness.0),
            ..Self::default()
        };
        let start = BlockStart {
            first: tx.seqno().0,
            time: new.time,
            randomness: new.randomness,
        };
        let row = alloy_rlp::encode(start);
        tx.put(EVM_BLOCKS, new.number.to_be_bytes(), row);
        let before = block_hash(&*tx, head.number)?;
        tx.put(EVM_HASHES, before.as_slice(), head.number.to_be_bytes());
        Ok(new)
    }

    /// Notes what the block has now.
    pub fn put(&self, tx: &mut Tx<'_>) {
        tx.put(EVM_HEAD, SINGLETON, alloy_rlp::encode(self));
    }
}

/// Where a block begins; `None` if there is none with this number.
///
/// # Errors
/// The row cannot be read.
pub fn block_start(
    state: &(impl State + ?Sized),
    number: u64,
) -> Result<Option<BlockStart>, Damaged> {
    let Some(row) = state.value(&EVM_BLOCKS, &number.to_be_bytes()) else {
        return Ok(None);
    };
    let start = BlockStart::decode(&mut &row[..]).map_err(|_| Damaged("a block"))?;
    Ok(Some(start))
}

/// The hash of a block that is complete; zero for any other. That of block zero stands for how the ledger
/// began.
///
/// # Errors
/// A row cannot be read.
pub fn block_hash(state: &(impl State + ?Sized), number: u64) -> Result<B256, Damaged> {
    let root = if number == 0 {
        state
            .value(&GENESIS, &SINGLETON)
            .map(|row| Digest::of(&row))
    } else {
        let start = block_start(state, number)?;
        start.and_then(|start| state.signed_root(Seqno(start.first)))
    };
    Ok(root.map_or(B256::ZERO, |root| B256::from(root.0)))
}

/// The number of the block with this hash.
///
/// # Errors
/// A row cannot be read.
pub fn block_number(state: &(impl State + ?Sized), hash: &B256) -> Result<Option<u64>, Damaged> {
    if let Some(row) = state.value(&EVM_HASHES, hash.as_slice()) {
        let number = row.try_into().map_err(|_| Damaged("a block's hash"))?;
        return Ok(Some(u64::from_be_bytes(number)));
    }
    // Of the newest it is not noted yet.
    let newest = Head::of(state)?.number;
    Ok((block_hash(state, newest)? == *hash).then_some(newest))
}
