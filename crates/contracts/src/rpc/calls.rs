//! Calls that are not sent: results and costs.

use alloy_consensus::{SignableTransaction, TypedTransaction};
use alloy_eips::eip2930::{AccessList, AccessListItem, AccessListResult};
use alloy_eips::{BlockId, BlockNumberOrTag};
use alloy_primitives::{Address, B256, Bytes, TxKind, U256};
use alloy_rpc_types_eth::state::StateOverride;
use alloy_rpc_types_eth::{BlockOverrides, FillTransaction, TransactionRequest};
use ledger::State;
use verify::Seqno;

use super::error::RpcError;
use super::{Rpc, overrides};
use crate::chain::{Head, block_number, block_start};
use crate::evm::{self, Call, End, Invalid, Ran};
use crate::limits::{BLOCK_GAS_LIMIT, BRIEF_GAS, TRANSACTION_GAS_MAX};
use ledger::contracts::Rules;

/// A transaction that lacks nothing but a signature, and the bytes to sign.
pub(super) type Filled = FillTransaction<TypedTransaction>;

/// What a caller would like the state to be.
#[derive(Debug, Default)]
pub(super) struct Wished {
    /// Accounts.
    pub(super) state: StateOverride,
    /// The block.
    pub(super) block: BlockOverrides,
}

impl Wished {
    pub(super) fn is_nothing(&self) -> bool {
        self.state.is_empty() && self.block == BlockOverrides::default()
    }
}

/// Precompiles of the forks that there are: those of Ethereum, and P-256 (EIP-7951).
fn is_precompile(address: &Address) -> bool {
    let number = U256::from_be_slice(address.as_slice());
    !number.is_zero() && (number <= U256::from(0x11) || number == U256::from(0x100))
}

/// What any transaction costs.
const LEAST_GAS: u64 = 21_000;
/// An estimate may be too high by one part of this many.
const ESTIMATED_WITHIN: u64 = 64;

impl Rpc {
    /// The number of a block that is asked for by number, name or hash. Nothing is ever undone, so the
    /// newest block is also the last safe one.
    ///
    /// # Errors
    /// There is no such block.
    pub(super) fn number_of(&self, block: BlockId) -> Result<u64, RpcError> {
        let newest = self.history.newest()?;
        let number = match block {
            BlockId::Hash(hash) => {
                let found = block_number(self.node.state(), &hash.block_hash);
                found.map_err(Invalid::from)?
            }
            BlockId::Number(BlockNumberOrTag::Number(number)) => Some(number),
            BlockId::Number(BlockNumberOrTag::Earliest) => Some(0),
            BlockId::Number(_) => Some(newest),
        };
        number
            .filter(|number| *number <= newest)
            .ok_or_else(|| RpcError::server("header not found"))
    }

    /// Looks at the state after a block.
    ///
    /// # Errors
    /// There is no such block, the state cannot be read, or what `look` says.
    pub(super) fn at<T>(
        &self,
        block: BlockId,
        look: impl FnOnce(&dyn State, &Head) -> Result<T, RpcError>,
    ) -> Result<T, RpcError> {
        let moment = self.node.moment();
        let newest = Head::of(&moment).map_err(Invalid::from)?;
        let number = if is_newest(block) {
            newest.number
        } else {
            self.number_of(block)?
        };
        if number == newest.number {
            return look(&moment, &newest);
        }
        let start = block_start(&moment, number).map_err(Invalid::from)?;
        let (head, end) = match start {
            None => (Head::default(), Seqno::ZERO),
            Some(start) => {
                let head = Head {
                    number,
                    time: start.time,
                    randomness: start.randomness,
                    ..Head::default()
                };
                let end = self.node.batch_end(Seqno(start.first));
                (head, end.map_err(crate::history::HistoryError::from)?)
            }
        };
        let past = self.node.past(end);
        let seen = look(&past, &head);
        past.end().map_err(crate::history::HistoryError::from)?;
        seen
    }

    /// Looks at the state after a block, changed as a caller would like it to be.
    fn on<T>(
        &self,
        block: BlockId,
        wished: &Wished,
        look: impl FnOnce(&dyn State, &Head) -> Result<T, RpcError>,
    ) -> Result<T, RpcError> {
        if wished.is_nothing() {
            return self.at(block, look);
        }
        self.at(block, |state, head| {
            let mut tx = overrides::scratch(state);
            overrides::change(&mut tx, &wished.state)?;
            look(&tx, &overrides::changed(head, &wished.block)?)
        })
    }

    /// What a transaction would look at, so that it can announce it (EIP-2930), and its gas then.
    pub(super) fn access_list(
        &self,
        request: TransactionRequest,
        block: BlockId,
    ) -> Result<AccessListResult, RpcError> {
        let mut call = asked(request, TRANSACTION_GAS_MAX)?;
        self.at(block, |state, head| {
            let rules = Rules::of(state);
            let first = evm::call(state, &self.codes, &rules, head, call.clone())?;
            let unlisted = |address: &Address, slots: &[U256]| {
                let is_party = *address == call.from || Some(address) == call.to.to();
                is_precompile(address) || slots.is_empty() && (is_party || address.is_zero())
            };
            let items = first.looked_at().into_iter();
            let items = items
                .filter(|(address, slots)| !unlisted(address, slots))
                .map(|(address, slots)| AccessListItem {
                    address,
                    storage_keys: slots.into_iter().map(B256::from).collect(),
                });
            let access_list = AccessList(items.collect());
            call.access_list = access_list.clone();
            let ran = evm::call(state, &self.codes, &rules, head, call)?;
            Ok(AccessListResult {
                access_list,
                gas_used: U256::from(ran.gas),
                error: match ran.end {
                    End::Returned(_) | End::Created(_) => None,
                    End::Reverted(said) => Some(RpcError::reverted(said).message().to_owned()),
                    End::Halted(why) => Some(why),
                },
            })
        })
    }

    /// A transaction that lacks nothing but a signature.
    pub(super) fn fill(&self, mut request: TransactionRequest) -> Result<Filled, RpcError> {
        let latest = BlockId::default();
        let from = request.from.unwrap_or_default();
        if request.nonce.is_none() {
            request.nonce = Some(self.account(from, latest)?.nonce);
        }
        if request.gas.is_none() {
            request.gas = Some(self.estimate(request.clone(), latest, &Wished::default())?);
        }
        let chain = self.rules().chain_id;
        if let Some(other) = request.chain_id.filter(|id| *id != chain) {
            let message = format!("invalid chain id for signer: have {other} want {chain}");
            return Err(RpcError::server(message));
        }
        request.chain_id = Some(chain);
        if request.gas_price.is_none() {
            request.max_fee_per_gas.get_or_insert(0);
            request.max_priority_fee_per_gas.get_or_insert(0);
        }
        request.to.get_or_insert_default();
        let tx = request.build_typed_tx();
        let tx = tx.map_err(|_| RpcError::params("no type of transaction has all these fields"))?;
        let mut raw = Vec::new();
        tx.encode_for_signing(&mut raw);
        Ok(Filled {
            raw: raw.into(),
            tx,
        })
    }

    /// What a call of the newest state would answer, if that takes little: it is run where it arrived,
    /// because handing it to another thread takes as long. Whoever names no gas leaves it to the node, and
    /// the node gives little first. `None` where that may have made a difference, and for all other calls.
    pub(super) fn call_briefly(
        &self,
        request: &TransactionRequest,
        block: BlockId,
        wished: &Wished,
    ) -> Option<Bytes> {
        if !is_newest(block) || request.gas.is_some() || !wished.is_nothing() {
            return None;
        }
        let call = asked(request.clone(), BRIEF_GAS).ok()?;
        let ran = self.run(call, block, wished).ok()?;
        // Nothing within ran out of gas: that would have taken nearly all of it.
        let felt_no_bound = ran.gas <= BRIEF_GAS / 8;
        match ran.end {
            End::Returned(answer) if felt_no_bound => Some(answer),
            _ => None,
        }
    }

    /// What a call would answer.
    pub(super) fn call(
        &self,
        request: TransactionRequest,
        block: BlockId,
        wished: &Wished,
    ) -> Result<Bytes, RpcError> {
        let call = asked(request, BLOCK_GAS_LIMIT)?;
        match self.run(call, block, wished)?.end {
            End::Returned(answer) => Ok(answer),
            End::Created(_) => Ok(Bytes::new()),
            End::Reverted(said) => Err(RpcError::reverted(said)),
            End::Halted(why) => Err(RpcError::server(why)),
        }
    }

    fn run(&self, call: Call, block: BlockId, wished: &Wished) -> Result<Ran, RpcError> {
        self.on(block, wished, |state, head| {
            let rules = Rules::of(state);
            Ok(evm::call(state, &self.codes, &rules, head, call)?)
        })
    }

    /// The gas that a call has to be given: found by trying, because a call can look at what it has
    /// left.
    pub(super) fn estimate(
        &self,
        request: TransactionRequest,
        block: BlockId,
        wished: &Wished,
    ) -> Result<u64, RpcError> {
        let most = request.gas.unwrap_or(TRANSACTION_GAS_MAX);
        let most = most.min(TRANSACTION_GAS_MAX);
        let call = asked(request, most)?;
        self.on(block, wished, |state, head| {
            let rules = Rules::of(state);
            let run = |gas| -> Result<Option<Ran>, RpcError> {
                let call = Call {
                    gas,
                    ..call.clone()
                };
                match evm::call(state, &self.codes, &rules, head, call) {
                    Ok(ran) => Ok(Some(ran)),
                    Err(Invalid::Gas { .. }) => Ok(None),
                    Err(invalid) => Err(invalid.into()),
                }
            };
            let with_most = run(most)?;
            let Some(ran) = with_most else {
                let message = format!("gas required exceeds allowance ({most})");
                return Err(RpcError::server(message));
            };
            match ran.end {
                End::Reverted(said) => return Err(RpcError::reverted(said)),
                End::Halted(why) if why == "out of gas" => {
                    let message = format!("gas required exceeds allowance ({most})");
                    return Err(RpcError::server(message));
                }
                End::Halted(why) => return Err(RpcError::server(why)),
                End::Returned(_) | End::Created(_) => {}
            }
            // Most calls need what they use, and 63/64 of it arrives at the last of nested ones.
            let (mut low, mut high) = (ran.gas.max(LEAST_GAS) - 1, most);
            let mut tried = ran.gas + ran.gas / 63 + 2_300;
            while low + 1 < high && high - low > high / ESTIMATED_WITHIN {
                let gas = tried.clamp(low + 1, high - 1);
                let enough = run(gas)?.is_some_and(|ran| ran.succeeded());
                if enough {
                    high = gas;
                } else {
                    low = gas;
                }
                tried = low + (high - low) / 2;
            }
            Ok(high)
        })
    }
}

/// Whether the newest block is meant, whichever that is: nothing is pending, and nothing is undone.
const fn is_newest(block: BlockId) -> bool {
    use BlockNumberOrTag::{Earliest, Number};
    !matches!(
        block,
        BlockId::Hash(_) | BlockId::Number(Number(_) | Earliest)
    )
}

/// A request as a call; fees are not looked at.
///
/// # Errors
/// It contradicts itself.
pub(super) fn asked(request: TransactionRequest, gas: u64) -> Result<Call, RpcError> {
    let input = request.input;
    if let (Some(input), Some(data)) = (&input.input, &input.data)
        && input != data
    {
        let message = "both \"data\" and \"input\" are set and not equal: use \"input\"";
        return Err(RpcError::params(message));
    }
    Ok(Call {
        from: request.from.unwrap_or(Address::ZERO),
        to: request.to.unwrap_or(TxKind::Create),
        gas: request.gas.unwrap_or(gas).min(BLOCK_GAS_LIMIT),
        value: request.value.unwrap_or(U256::ZERO),
        input: input.input.or(input.data).unwrap_or_default(),
        access_list: request.access_list.unwrap_or_default(),
        authorizations: request.authorization_list.unwrap_or_default(),
    })
}
