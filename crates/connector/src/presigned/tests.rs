use alloy_consensus::{TxEip1559, TxEip7702};
use alloy_primitives::U256;
use proptest::prelude::*;

use super::*;
use crate::fees::Price;
use crate::signer::{HeldKey, Signer};

const CHAIN: u64 = 4711;
const FREE: Price = Price::Legacy(0);
const DEAR: Price = Price::Dynamic { max: 9, tip: 1 };

fn key(byte: u8) -> HeldKey {
    HeldKey::from_bytes(&[byte; 32]).unwrap()
}

fn call() -> Call {
    Call::of(Address::repeat_byte(7), vec![1, 2, 3])
}

async fn signed_by(key: &HeldKey, transaction: TypedTransaction) -> Bytes {
    let to_sign = ToSign(transaction);
    to_sign.signed(key.sign(to_sign.digest()).await.unwrap())
}

fn checked(raw: &[u8]) -> Result<(), PresignedError> {
    Presigned::decode(raw)?.check(key(1).address(), CHAIN, &call())
}

#[tokio::test]
async fn what_there_is_to_sign_comes_back_signed_whatever_its_number_gas_and_fees() {
    for (price, nonce, gas) in [(FREE, 0, 21_000), (DEAR, 7, 50_000)] {
        let to_sign = ToSign(unsigned(CHAIN, nonce, &call(), gas, price));
        assert_eq!(to_sign.digest(), keccak256(to_sign.encoded()));
        let fields = to_sign.fields();
        assert_eq!(fields["chainId"], "0x1267", "{fields}");
        assert_eq!(fields["input"], "0x010203", "{fields}");
        assert_eq!(fields["nonce"], format!("0x{nonce:x}"), "{fields}");
        assert_eq!(fields["gas"], format!("0x{gas:x}"), "{fields}");
        let (kind, fee) = match price {
            FREE => ("0x0", "gasPrice"),
            _ => ("0x2", "maxFeePerGas"),
        };
        assert_eq!(fields["type"], kind, "{fields}");
        assert_eq!(fields[fee], format!("0x{:x}", price.max()), "{fields}");
        let raw = signed_by(&key(1), to_sign.0).await;
        checked(&raw).unwrap();
        assert_eq!(Presigned::decode(&raw).unwrap().hash(), keccak256(&raw));
    }
}

#[tokio::test]
async fn what_differs_is_named() {
    let others = [
        ("chain id", unsigned(1, 0, &call(), 21_000, DEAR)),
        (
            "receiver",
            unsigned(CHAIN, 0, &Call::of(Address::ZERO, vec![1, 2, 3]), 1, FREE),
        ),
        (
            "receiver",
            unsigned(CHAIN, 0, &Call::deploying(vec![1, 2, 3]), 1, FREE),
        ),
        (
            "input",
            unsigned(
                CHAIN,
                0,
                &Call::of(Address::repeat_byte(7), vec![1, 2]),
                1,
                DEAR,
            ),
        ),
        (
            "value",
            unsigned(
                CHAIN,
                0,
                &Call {
                    value: U256::ONE,
                    ..call()
                },
                1,
                FREE,
            ),
        ),
    ];
    for (what, other) in others {
        let raw = signed_by(&key(1), other).await;
        let refused = checked(&raw);
        assert!(
            matches!(refused, Err(PresignedError::Altered(found)) if found == what),
            "{what}: {refused:?}"
        );
    }
    let raw = signed_by(&key(2), unsigned(CHAIN, 0, &call(), 21_000, FREE)).await;
    let refused = checked(&raw);
    assert!(
        matches!(refused, Err(PresignedError::Signer { found, .. }) if found == key(2).address()),
        "{refused:?}"
    );
}

#[tokio::test]
async fn a_transaction_for_any_chain_and_one_that_does_more_are_refused() {
    let TypedTransaction::Legacy(mut legacy) = unsigned(CHAIN, 0, &call(), 21_000, FREE) else {
        panic!("it is free");
    };
    legacy.chain_id = None;
    let raw = signed_by(&key(1), legacy.into()).await;
    assert!(matches!(
        checked(&raw),
        Err(PresignedError::Altered("chain id"))
    ));
    let delegating = TxEip7702 {
        chain_id: CHAIN,
        to: Address::repeat_byte(7),
        input: call().data,
        ..TxEip7702::default()
    };
    let raw = signed_by(&key(1), delegating.into()).await;
    assert!(matches!(checked(&raw), Err(PresignedError::Kind(4))));
}

#[tokio::test]
async fn bytes_that_are_cut_longer_or_signed_the_second_way_are_refused() {
    let raw = signed_by(&key(1), unsigned(CHAIN, 0, &call(), 21_000, DEAR)).await;
    for end in 0..raw.len() {
        Presigned::decode(&raw[..end]).unwrap_err();
    }
    let more = [&raw[..], &[0]].concat();
    let refused = Presigned::decode(&more);
    assert!(matches!(refused, Err(PresignedError::Malformed(_))));
    let long = vec![2; PRESIGNED_BYTES_MAX + 1];
    let refused = Presigned::decode(&long);
    assert!(matches!(refused, Err(PresignedError::TooLong(_))));
    // s and the curve's order less s are both signatures; one of them counts.
    let TxEnvelope::Eip1559(signed) = Presigned::decode(&raw).unwrap().envelope else {
        panic!("it is of type 2");
    };
    let (transaction, signature, _): (TxEip1559, Signature, _) = signed.into_parts();
    let order = "0xfffffffffffffffffffffffffffffffebaaedce6af48a03bbfd25e8cd0364141";
    let order: U256 = order.parse().unwrap();
    let twin = Signature::new(signature.r(), order - signature.s(), !signature.v());
    let twin = TxEnvelope::from(transaction.into_signed(twin)).encoded_2718();
    let refused = Presigned::decode(&twin);
    assert!(matches!(refused, Err(PresignedError::Signature)));
}

#[test]
fn what_a_signer_has_to_mend_is_told_from_what_may_pass() {
    for message in [
        "insufficient funds for gas * price + value: balance 0, tx cost 1",
        "intrinsic gas too low: gas 1, minimum needed 21000",
        "transaction gas limit too high (cap: 1, tx: 2)",
        "replacement transaction underpriced",
        "max fee per gas less than block base fee",
    ] {
        assert!(is_senders_fault(message), "{message}");
    }
    for message in ["nonce too low", "already known", "txpool is full", "busy"] {
        assert!(!is_senders_fault(message), "{message}");
    }
}

proptest! {
    /// No byte of a transaction can be changed so that it still is the one to sign by the one to sign it, unless
    /// it is number, gas or fees.
    #[test]
    fn a_changed_byte_is_another_transaction(at in 0..1_000_usize, by in 1..=255_u8) {
        let runtime = tokio::runtime::Builder::new_current_thread().build().unwrap();
        let raw = runtime.block_on(signed_by(&key(1), unsigned(CHAIN, 3, &call(), 21_000, DEAR)));
        let mut raw = raw.to_vec();
        let at = at % raw.len();
        raw[at] ^= by;
        prop_assert!(checked(&raw).is_err());
    }
}
