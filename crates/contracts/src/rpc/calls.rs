//! Calls that are not sent: results and costs.

use alloy_eips::{BlockId, BlockNumberOrTag};
use alloy_primitives::{Address, Bytes, TxKind, U256};
use alloy_rpc_types_eth::TransactionRequest;
use ledger::State;
use verify::Seqno;

use super::Rpc;
use super::error::RpcError;
use crate::chain::{Head, block_number, block_start};
use crate::evm::{self, Call, End, Invalid, Ran};
use crate::limits::{BLOCK_GAS_LIMIT, TRANSACTION_GAS_MAX};
use ledger::contracts::Rules;

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
        let number = match block {
            BlockId::Number(BlockNumberOrTag::Number(_) | BlockNumberOrTag::Earliest)
            | BlockId::Hash(_) => self.number_of(block)?,
            BlockId::Number(_) => newest.number,
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

    /// What a call would answer.
    pub(super) fn call(
        &self,
        request: TransactionRequest,
        block: BlockId,
    ) -> Result<Bytes, RpcError> {
        let call = asked(request, BLOCK_GAS_LIMIT)?;
        let ran = self.at(block, |state, head| {
            let rules = Rules::of(state);
            Ok(evm::call(state, &self.codes, &rules, head, call)?)
        })?;
        match ran.end {
            End::Returned(answer) => Ok(answer),
            End::Created(_) => Ok(Bytes::new()),
            End::Reverted(said) => Err(RpcError::reverted(said)),
            End::Halted(why) => Err(RpcError::server(why)),
        }
    }

    /// The gas that a call has to be given: found by trying, because a call can look at what it has
    /// left.
    pub(super) fn estimate(
        &self,
        request: TransactionRequest,
        block: BlockId,
    ) -> Result<u64, RpcError> {
        let most = request.gas.unwrap_or(TRANSACTION_GAS_MAX);
        let most = most.min(TRANSACTION_GAS_MAX);
        let call = asked(request, most)?;
        self.at(block, |state, head| {
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

/// A request as a call; fees are not looked at.
fn asked(request: TransactionRequest, gas: u64) -> Result<Call, RpcError> {
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
