//! What a transaction should do, and the transaction that does it.

use alloy_consensus::{TxEip1559, TxEnvelope, TxLegacy, TypedTransaction};
use alloy_eips::eip2718::Decodable2718;
use alloy_primitives::{Address, B256, Bytes, TxKind, U256, keccak256};
use serde_json::{Value, json};

use crate::fees::Price;

/// What a transaction should do.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct Call {
    /// Whom to call; nobody, to make a contract.
    pub to: Option<Address>,
    /// The input: selector and arguments, or the code that makes a contract.
    pub data: Bytes,
    /// Ether to hand over, in wei.
    pub value: U256,
    /// The gas that it may use; `None`: the node's estimate and the profile's margin.
    pub gas: Option<u64>,
    /// The caller's name for it. A call with a name that is known is not sent again: its ticket is
    /// given. So a caller that crashed before it had the ticket just sends again.
    pub reference: Option<String>,
}

impl Call {
    /// A call of a contract.
    pub fn of(to: Address, data: impl Into<Bytes>) -> Self {
        Self {
            to: Some(to),
            data: data.into(),
            ..Self::default()
        }
    }

    /// A new contract: its code, with the constructor's arguments behind it.
    pub fn deploying(code: impl Into<Bytes>) -> Self {
        Self {
            data: code.into(),
            ..Self::default()
        }
    }

    /// The same, under a name.
    #[must_use]
    pub fn named(mut self, reference: impl Into<String>) -> Self {
        self.reference = Some(reference.into());
        self
    }

    pub(crate) fn digest(&self) -> B256 {
        let to = self.to.unwrap_or_default().into_word();
        let some = [u8::from(self.to.is_some())];
        let value: [u8; 32] = self.value.to_be_bytes();
        keccak256([&some, to.as_slice(), &value, &self.data].concat())
    }

    pub(crate) fn as_json(&self, from: Address) -> Value {
        let mut call =
            json!({"from": from, "data": self.data, "input": self.data, "value": self.value});
        if let Some(to) = self.to {
            call["to"] = json!(to);
        }
        call
    }
}

/// The transaction, to be signed.
pub(crate) fn unsigned(
    chain_id: u64,
    nonce: u64,
    call: &Call,
    gas: u64,
    price: Price,
) -> TypedTransaction {
    let to = call.to.map_or(TxKind::Create, TxKind::Call);
    let (value, input) = (call.value, call.data.clone());
    match price {
        Price::Legacy(gas_price) => TypedTransaction::Legacy(TxLegacy {
            chain_id: Some(chain_id),
            nonce,
            gas_price,
            gas_limit: gas,
            to,
            value,
            input,
        }),
        Price::Dynamic { max, tip } => TypedTransaction::Eip1559(TxEip1559 {
            chain_id,
            nonce,
            gas_limit: gas,
            max_fee_per_gas: max,
            max_priority_fee_per_gas: tip,
            to,
            value,
            input,
            ..TxEip1559::default()
        }),
    }
}

/// The same transaction at another price, to be signed; `None` if there is no other price.
pub(crate) fn repriced(
    raw: &Bytes,
    price: impl FnOnce(Price) -> Option<Price>,
) -> Option<TypedTransaction> {
    let old = match TxEnvelope::decode_2718_exact(raw).ok()? {
        TxEnvelope::Legacy(signed) => TypedTransaction::Legacy(signed.strip_signature()),
        TxEnvelope::Eip1559(signed) => TypedTransaction::Eip1559(signed.strip_signature()),
        _ => return None,
    };
    match old {
        TypedTransaction::Legacy(mut legacy) => {
            legacy.gas_price = price(Price::Legacy(legacy.gas_price))?.max();
            Some(TypedTransaction::Legacy(legacy))
        }
        TypedTransaction::Eip1559(mut dynamic) => {
            let old = Price::Dynamic {
                max: dynamic.max_fee_per_gas,
                tip: dynamic.max_priority_fee_per_gas,
            };
            let Price::Dynamic { max, tip } = price(old)? else {
                return None;
            };
            (dynamic.max_fee_per_gas, dynamic.max_priority_fee_per_gas) = (max, tip);
            Some(TypedTransaction::Eip1559(dynamic))
        }
        _ => None,
    }
}

/// Whether a node refuses because it has the transaction, or something with its number: what became
/// of it is found by its hash.
pub(crate) fn is_known(message: &str) -> bool {
    const KNOWN: [&str; 10] = [
        "already known",
        "already imported",
        "known transaction",
        "already exists",
        "already in mempool",
        "nonce too low",
        "nonce is too low",
        "nonce has already been used",
        // EIP-7966, of what is not in a block in time.
        "added to the mempool",
        "added to the pool",
    ];
    let message = message.to_lowercase();
    KNOWN.iter().any(|words| message.contains(words))
}

#[cfg(test)]
mod tests {
    use alloy_consensus::SignableTransaction;
    use alloy_eips::eip2718::Encodable2718;

    use super::*;

    #[test]
    fn a_raised_transaction_differs_in_its_price_alone() {
        let call = Call::of(Address::repeat_byte(7), vec![1, 2, 3]);
        let (max, tip) = (100, 10);
        let old = unsigned(4711, 5, &call, 21_000, Price::Dynamic { max, tip });
        let signature = alloy_primitives::Signature::test_signature();
        let envelope = TxEnvelope::from(old.into_signed(signature));
        let raw: Bytes = envelope.encoded_2718().into();
        let new = repriced(&raw, |price| {
            assert_eq!(price, Price::Dynamic { max, tip });
            Some(Price::Dynamic { max: 200, tip: 20 })
        });
        let wanted = unsigned(4711, 5, &call, 21_000, Price::Dynamic { max: 200, tip: 20 });
        assert_eq!(new, Some(wanted));
        assert_eq!(repriced(&raw, |_| None), None);
    }

    #[test]
    fn what_nodes_say_of_a_transaction_that_they_have_is_understood() {
        for message in [
            "already known",
            "Known transaction",
            "transaction already imported",
            "nonce too low: next nonce 8, tx nonce 3",
            "Nonce too low",
        ] {
            assert!(is_known(message), "{message}");
        }
        for message in [
            "insufficient funds",
            "nonce too high",
            "intrinsic gas too low",
        ] {
            assert!(!is_known(message), "{message}");
        }
    }

    #[test]
    fn calls_that_differ_have_different_digests() {
        let call = Call::of(Address::ZERO, vec![1]);
        let others = [
            Call::deploying(vec![1]),
            Call::of(Address::ZERO, vec![]),
            Call {
                value: U256::ONE,
                ..call.clone()
            },
            Call::of(Address::repeat_byte(1), vec![1]),
        ];
        assert!(others.iter().all(|other| other.digest() != call.digest()));
        let named = Call {
            gas: Some(5),
            ..call.clone()
        }
        .named("x");
        assert_eq!(named.digest(), call.digest());
    }
}
