//! What went wrong, in the codes and words that Ethereum's clients look for.

use alloy_primitives::Bytes;
use jsonrpsee::types::ErrorObjectOwned;

use crate::evm::Invalid;
use crate::history::HistoryError;
use crate::signed::SignedError;

/// Whatever has no code of its own.
const SERVER: i32 = -32_000;
/// A parameter is not what it should be.
const INVALID_PARAMS: i32 = -32_602;
/// The node is to blame.
const INTERNAL: i32 = -32_603;
/// More is asked for than one answer holds.
const LIMIT: i32 = -32_005;
/// The caller may not do this (EIP-1474 leaves it open; EIP-1193: unauthorized).
const DENIED: i32 = 4_100;
/// A contract refused.
const REVERTED: i32 = 3;

/// An error on its way to a client.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) struct RpcError {
    code: i32,
    message: String,
    data: Option<Bytes>,
}

impl RpcError {
    /// The request cannot be answered; the text says why.
    pub(crate) fn server(message: impl Into<String>) -> Self {
        Self::new(SERVER, message)
    }

    /// More is asked for than the node does at a time.
    pub(crate) fn busy(message: impl Into<String>) -> Self {
        Self::new(LIMIT, message)
    }

    /// A parameter is wrong.
    pub(crate) fn params(message: impl Into<String>) -> Self {
        Self::new(INVALID_PARAMS, message)
    }

    /// The caller may not do this.
    pub(crate) fn denied(message: impl Into<String>) -> Self {
        Self::new(DENIED, message)
    }

    /// What another node answered.
    pub(crate) fn passed_on(code: i32, message: impl Into<String>, data: Option<Bytes>) -> Self {
        Self {
            data,
            ..Self::new(code, message)
        }
    }

    /// A contract refused, and said this.
    pub(crate) fn reverted(said: Bytes) -> Self {
        let message = match reason(&said) {
            Some(reason) => format!("execution reverted: {reason}"),
            None => "execution reverted".to_owned(),
        };
        Self {
            code: REVERTED,
            message,
            data: Some(said),
        }
    }

    /// What it says.
    pub(crate) fn message(&self) -> &str {
        &self.message
    }

    /// Whether this is its text.
    pub(crate) fn says(&self, message: &str) -> bool {
        self.message == message
    }

    fn new(code: i32, message: impl Into<String>) -> Self {
        Self {
            code,
            message: message.into(),
            data: None,
        }
    }
}

/// The text of Solidity's `Error(string)`, or the meaning of its `Panic(uint256)`.
fn reason(said: &[u8]) -> Option<String> {
    let (selector, rest) = said.split_first_chunk::<4>()?;
    match selector {
        [0x08, 0xc3, 0x79, 0xa0] => {
            let length = rest.get(32..64)?;
            let (zeros, length) = length.split_at(24);
            let length = u64::from_be_bytes(length.try_into().ok()?);
            let length = usize::try_from(length).ok()?;
            let text = rest.get(64..64usize.checked_add(length)?)?;
            zeros.iter().all(|byte| *byte == 0).then_some(())?;
            Some(String::from_utf8_lossy(text).into_owned())
        }
        [0x4e, 0x48, 0x7b, 0x71] => {
            let code = rest.get(..32)?.last()?;
            let meaning = match code {
                0x01 => "assert(false)",
                0x11 => "arithmetic underflow or overflow",
                0x12 => "division or modulo by zero",
                0x21 => "enum overflow",
                0x22 => "invalid encoded storage byte array accessed",
                0x31 => "out-of-bounds array access; popping on an empty array",
                0x32 => "out-of-bounds access of an array or bytesN",
                0x41 => "out of memory",
                0x51 => "uninitialized function",
                _ => "unknown code",
            };
            Some(format!("panic: {meaning} (0x{code:02x})"))
        }
        _ => None,
    }
}

impl From<RpcError> for ErrorObjectOwned {
    fn from(error: RpcError) -> Self {
        Self::owned(error.code, error.message, error.data)
    }
}

impl From<SignedError> for RpcError {
    fn from(error: SignedError) -> Self {
        Self::server(error.to_string())
    }
}

impl From<Invalid> for RpcError {
    fn from(error: Invalid) -> Self {
        match error {
            Invalid::Damaged(_) => Self::new(INTERNAL, error.to_string()),
            other => Self::server(other.to_string()),
        }
    }
}

impl From<HistoryError> for RpcError {
    fn from(error: HistoryError) -> Self {
        let code = match error {
            HistoryError::TooManyLogs(_) | HistoryError::TooManyBlocks => LIMIT,
            HistoryError::Damaged(_) | HistoryError::Ledger(_) => INTERNAL,
        };
        Self::new(code, error.to_string())
    }
}

impl From<ErrorObjectOwned> for RpcError {
    fn from(error: ErrorObjectOwned) -> Self {
        let why = error
            .data()
            .map(|data| data.get().trim_matches('"').to_owned());
        Self::new(
            error.code(),
            why.unwrap_or_else(|| error.message().to_owned()),
        )
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use alloy_primitives::hex;

    #[test]
    fn what_a_contract_said_is_told_in_words() {
        let said = hex!(
            "08c379a0 0000000000000000000000000000000000000000000000000000000000000020
             0000000000000000000000000000000000000000000000000000000000000005
             6e6f206f6e000000000000000000000000000000000000000000000000000000"
        );
        let error = RpcError::reverted(said.to_vec().into());
        assert_eq!(error.message, "execution reverted: no on");
        let panic =
            hex!("4e487b71 0000000000000000000000000000000000000000000000000000000000000011");
        let error = RpcError::reverted(panic.to_vec().into());
        let expected = "execution reverted: panic: arithmetic underflow or overflow (0x11)";
        assert_eq!((error.code, &*error.message), (3, expected));
    }

    #[test]
    fn nonsense_that_a_contract_says_is_no_reason() {
        let mut long = hex!("08c379a0").to_vec();
        long.extend([0xff; 64]);
        for said in [vec![], vec![1, 2], vec![0x08, 0xc3, 0x79, 0xa0], long] {
            assert_eq!(reason(&said), None);
        }
    }
}
