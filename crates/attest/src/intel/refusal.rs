//! Why a quote is not believed.

use crate::bytes::{HexBytes, ReportData};
use crate::intel::policy::{TcbStatus, TdxImage};
use crate::time::UnixTime;

/// A quote, Intel's collateral or what they say failed a check. One variant per check; a quote that
/// failed one proves nothing.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub enum IntelRefusal {
    /// No platform makes quotes that long.
    #[error("the quote has {0} bytes, above the limit of {max}", max = crate::limits::MAX_QUOTE_BYTES)]
    TooLong(usize),
    /// The collateral is damaged. The sender should fetch it again from Intel.
    #[error("Intel's collateral is not usable: {0}; the sender should fetch it again")]
    Collateral(&'static str),
    /// A part of the collateral does not say from when to when it is in force. The sender should
    /// fetch it again from Intel.
    #[error("Intel's {0} bears no dates; the sender should fetch it again")]
    CollateralDates(&'static str),
    /// The collateral is newer than the time of judgement. Check that time.
    #[error("Intel's collateral is in force from {from} only; check the time {now} of judgement")]
    CollateralNotYetValid {
        /// Its first second.
        from: UnixTime,
        /// When it was judged.
        now: UnixTime,
    },
    /// The collateral was not renewed. The sender should fetch it again from Intel.
    #[error(
        "Intel's collateral was in force until {until}, before {now}; the sender should fetch it again"
    )]
    CollateralExpired {
        /// Its last second.
        until: UnixTime,
        /// When it was judged.
        now: UnixTime,
    },
    /// A signature, certificate, identity or firmware level is not Intel's or does not fit: quote or
    /// collateral were altered, belong to different platforms, or the platform is too old for Intel.
    #[error("the quote is not believed: {0}; the sender should collect quote and collateral again")]
    Quote(String),
    /// A quote of the other kind. The sender mixed them up.
    #[error("the quote is not of a {0}; the sender mixed up the kinds of evidence")]
    OtherKind(&'static str),
    /// The operator can read the memory. Start it without debug.
    #[error("it runs under debug or profiling, so nothing in it is secret; start it without")]
    Debug,
    /// The platform's firmware or settings are not good enough. Its operator should update them.
    #[error(
        "Intel calls the platform {status} (advisories: {advisories:?}), which the policy does not \
         accept; the operator of that machine should update it"
    )]
    Status {
        /// What Intel says.
        status: TcbStatus,
        /// Why.
        advisories: Vec<String>,
    },
    /// A hole that the policy names applies. The platform's operator should close it.
    #[error("{0} applies to the platform, which the policy refuses; its operator should update it")]
    Advisory(String),
    /// The collateral is from before the holes became known that the policy has in mind. The sender
    /// should fetch newer.
    #[error(
        "the collateral has evaluation number {have}, and the policy demands {want}; the sender should fetch newer"
    )]
    Evaluation {
        /// What the collateral says.
        have: u32,
        /// The oldest that is accepted.
        want: u32,
    },
    /// The code is not on the list. Other code runs, or members must list it.
    #[error(
        "MRTD {mrtd} with RTMRs {rtmrs:?} is not accepted; other code runs, or its release is yet \
         to be accepted by the members", mrtd = .0.mrtd, rtmrs = .0.rtmrs
    )]
    Image(Box<TdxImage>),
    /// The settings are not on the list.
    #[error("MRCONFIGID {0} is not accepted; that domain was started with other settings")]
    ConfigId(HexBytes<48>),
    /// Neither the code nor its signer is on the list, or its version is too old.
    #[error(
        "enclave {enclave}, product {product_id} version {svn} of signer {signer}, is not accepted; \
         other code runs, or its release is yet to be accepted by the members"
    )]
    Enclave {
        /// MRENCLAVE.
        enclave: HexBytes<32>,
        /// MRSIGNER.
        signer: HexBytes<32>,
        /// ISVPRODID.
        product_id: u16,
        /// ISVSVN.
        svn: u16,
    },
    /// The evidence is not about this key, network or question: it was copied from elsewhere.
    #[error(
        "report data {0} is not what was asked for; the evidence was made for another key, network \
         or nonce"
    )]
    ReportData(ReportData),
}
