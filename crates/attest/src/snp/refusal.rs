//! Why an SNP report is not believed.

use crate::bytes::{HexBytes, HostData, Measurement, ReportData};
use crate::snp::product::{Cpuid, Product};
use crate::time::UnixTime;
use crate::uvm::UvmRefusal;

/// An SNP report, its certificates or its content failed a check. One variant per check; a report
/// that failed one proves nothing.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub enum SnpRefusal {
    /// Whoever sent it cut it, or sent something else. Collect the report again.
    #[error("the SNP report has {0} bytes, not 1184; the sender should collect it again")]
    Length(usize),
    /// Firmware newer or older than this code. Update whichever is behind.
    #[error("the SNP report has version {0}, and versions 2 to 5 are known; update this verifier")]
    UnknownVersion(u32),
    /// Version 2 does not name the processor. Update the platform's firmware, or let the policy
    /// accept version 2.
    #[error(
        "the SNP report has version 2, which the policy does not accept; the operator of that \
         machine should update its firmware"
    )]
    VersionTwo,
    /// A processor that this code does not know. Update this verifier if it is genuine.
    #[error(
        "the processor with CPUID {0} is neither Milan, Genoa nor Turin; this verifier does not \
         know it"
    )]
    UnknownProcessor(Cpuid),
    /// A certificate is damaged or is no certificate. The sender should fetch it again from AMD.
    #[error("{which} cannot be read: {reason}; the sender should fetch it again from AMD")]
    Unreadable {
        /// Which one.
        which: Which,
        /// What is wrong with it.
        reason: &'static str,
    },
    /// The root certificate is not AMD's: somebody made a chain of their own.
    #[error(
        "the root certificate does not hold AMD's key for {0}; the sender made that chain up, or \
         sent the chain of another product"
    )]
    RootKey(Product),
    /// The issuer has not signed that certificate: it was forged, altered or belongs to another
    /// chain.
    #[error("{which} is not signed by {issuer}; it was altered or belongs to another chain")]
    NotIssued {
        /// Which one.
        which: Which,
        /// Who should have signed it.
        issuer: Which,
    },
    /// Not valid yet at the time of judgement. Check that time, then the sender.
    #[error("{which} is valid from {from} only; check the time {now} that it was judged at")]
    NotYetValid {
        /// Which one.
        which: Which,
        /// Its first second.
        from: UnixTime,
        /// When it was judged.
        now: UnixTime,
    },
    /// No longer valid at the time of judgement. The sender should fetch a new one from AMD.
    #[error("{which} was valid until {until}, before {now}; the sender should fetch a new one")]
    Expired {
        /// Which one.
        which: Which,
        /// Its last second.
        until: UnixTime,
        /// When it was judged.
        now: UnixTime,
    },
    /// The policy wants AMD's revocation list beside the report. The sender should fetch it.
    #[error("the policy wants AMD's revocation list, and the sender did not add it")]
    CrlMissing,
    /// AMD has withdrawn the key that certifies the chip. The machine must not be used.
    #[error("AMD has revoked the certificate of its signing key; that machine proves nothing")]
    Revoked,
    /// The report does not say P-384 with SHA-384, which is all that SNP firmware uses.
    #[error("the SNP report is signed with algorithm {0}, which no SNP firmware uses")]
    SignatureAlgorithm(u32),
    /// Bytes that must be zero are not. The report was altered after signing.
    #[error("unused bytes of the report's signature are not zero; the report was altered")]
    SignatureField,
    /// The chip of that certificate did not sign that report: one of them was altered, or they
    /// belong to different chips or firmware versions.
    #[error(
        "the SNP report is not signed by the key of {0}; the report was altered, or the \
         certificate is of another chip or firmware version: the sender should fetch it again"
    )]
    Signature(Which),
    /// The host has switched signing by the chip off. Its operator should switch it on.
    #[error("the host masks the chip's key, so the report is not signed; its operator must not")]
    ChipKeyMasked,
    /// The provider's key signed, not the chip's. Ask for a report by the VCEK, or let the policy
    /// accept a VLEK.
    #[error(
        "the SNP report is signed by a VLEK, a key that the cloud provider holds, and the policy \
         accepts the chip's own key only; ask the provider for VCEK reports"
    )]
    Vlek,
    /// A VLEK's issuer is not built in. The sender should add the provider's chain.
    #[error("the SNP report is signed by a VLEK, and the sender did not add its issuer")]
    VlekIssuerMissing,
    /// Neither the chip's key nor a provider's. The report is unsigned or of a layout unknown here.
    #[error("the SNP report is signed by key kind {0}, neither VCEK nor VLEK")]
    SigningKey(u32),
    /// Software of too low a privilege asked for the report: the guest's user code, say.
    #[error(
        "the SNP report was asked for at VMPL {vmpl}, and the policy accepts up to {max}; less \
         privileged code of that guest speaks for it"
    )]
    Vmpl {
        /// What the report says.
        vmpl: u32,
        /// What is accepted.
        max: u32,
    },
    /// The host can read the guest's memory. Start the guest without debug.
    #[error("the host may debug the guest, so nothing in it is secret; start it without debug")]
    Debug,
    /// A migration agent can read the guest's memory. Start the guest without.
    #[error("the guest may be migrated by an agent of the host; start it without")]
    MigrationAgent,
    /// A neighbour may run on the guest's core. Start the guest without SMT.
    #[error("the guest may share its cores, which the policy forbids; start it without SMT")]
    Smt,
    /// The guest may span sockets. Start it on one.
    #[error("the guest may span sockets, which the policy forbids; start it with single_socket")]
    Sockets,
    /// The certificate is for other firmware than the report names. Fetch the right one.
    #[error(
        "the report says {part} version {reported}, its certificate {certified}; the sender should \
         fetch the certificate for its firmware"
    )]
    TcbDiffers {
        /// Which firmware.
        part: &'static str,
        /// Version in the report.
        reported: u8,
        /// Version in the certificate.
        certified: u8,
    },
    /// The host hides which chip it is, so the certificate cannot be matched.
    #[error("the host hides the chip's id; its operator should clear MASK_CHIP_ID")]
    ChipIdHidden,
    /// The certificate is of another chip than the report.
    #[error("the certificate is of another chip than the report; the sender mixed machines up")]
    ChipDiffers,
    /// The code is not on the list. The guest runs something else, or members must list it.
    #[error(
        "measurement {0} is not accepted; that guest runs other code, or its release is yet to be \
         accepted by the members"
    )]
    Measurement(Measurement),
    /// The workload's policy is not on the list. It was started with other settings.
    #[error("host data {0} is not accepted; that guest was started with another workload policy")]
    HostData(HostData),
    /// The evidence is not about this key, network or question: it was copied from elsewhere.
    #[error(
        "report data {0} is not what was asked for; the evidence was made for another key, network \
         or nonce"
    )]
    ReportData(ReportData),
    /// The measurement is endorsed by nobody who is accepted. See [`UvmRefusal`].
    #[error(transparent)]
    Uvm(#[from] UvmRefusal),
    /// The policy names neither that model of processor nor its product. Members should set its
    /// minimum firmware, or the node should run elsewhere.
    #[error(
        "the policy accepts no {product} with CPUID {cpuid}: it names no minimum firmware for it"
    )]
    CpuidNotAccepted {
        /// Which line.
        product: Product,
        /// Which model.
        cpuid: Cpuid,
    },
    /// The policy does not name the product. Members should set its minimum firmware, or the node
    /// should run elsewhere.
    #[error("the policy accepts no {0}: it names no minimum firmware for it")]
    ProductNotAccepted(Product),
    /// The firmware has known holes. The machine's operator should update it.
    #[error(
        "{part} version {have} is older than {want}, which the policy demands; the operator of \
         that machine should update its firmware"
    )]
    TcbTooOld {
        /// Which firmware.
        part: &'static str,
        /// Its version.
        have: u8,
        /// The oldest that is accepted.
        want: u8,
    },
    /// The guest's id block was signed by somebody else, or by nobody.
    #[error("the id key {0} is not accepted; that guest was released by somebody else")]
    IdKey(HexBytes<48>),
    /// The guest's id key was signed by somebody else, or by nobody.
    #[error("the author key {0} is not accepted; that guest was released by somebody else")]
    AuthorKey(HexBytes<48>),
}

/// A piece of the chain from AMD to the report.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub enum Which {
    /// AMD's root key for a product.
    Ark,
    /// The key that certifies chips (ASK) or providers' keys (ASVK).
    Ask,
    /// The key that signs reports: VCEK or VLEK.
    Vek,
    /// AMD's revocation list.
    Crl,
}

impl std::fmt::Display for Which {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.write_str(match self {
            Self::Ark => "AMD's root certificate (ARK)",
            Self::Ask => "AMD's intermediate certificate (ASK)",
            Self::Vek => "the chip's certificate (VCEK)",
            Self::Crl => "AMD's revocation list",
        })
    }
}
