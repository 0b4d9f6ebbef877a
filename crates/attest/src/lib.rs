//! Rule: a verdict about hardware is a function of the evidence, a policy and a time. Nothing in
//! here reads a clock, asks a vendor's server or draws a random number, so a verdict that was
//! recorded can be reached again years later, by anyone.
//!
//! - [`Evidence`]: what a node shows, of whatever kind, and [`Policy`]: what a network accepts.
//! - [`JoinPolicy`]: what members of a network have accepted, table by table.
//! - [`snp`]: reports of AMD SEV-SNP.
//! - [`intel`]: quotes of Intel TDX and SGX.
//! - [`nitro`]: documents of AWS Nitro enclaves.
//! - [`uvm`]: what a cloud endorses about the measurements of its own releases.
//! - [`azure`]: what Azure's paravisor puts between the two of them and the guest.
//! - [`tpm_quote`]: what a virtual TPM says about how such a guest booted.
//! - [`insecure_virtual`]: the word of a node without hardware, kept apart from all of that.
//! - [`ear`]: verdicts as signed tokens in a format of the IETF.
//! - [`report_data_for`]: what a node has the hardware sign: its key, its network, a nonce.
//!
//! What each check proves and what it trusts: the vendor's root key (in `data/`), and that the
//! vendor certifies only keys that its own firmware holds. Evidence says which code runs, never that
//! the code is good: the policy lists the measurements that somebody has judged.

pub mod azure;
mod binding;
pub mod bytes;
pub mod ccf;
pub mod chain;
mod cose;
pub mod did_x509;
pub mod ear;
pub mod evidence;
pub mod insecure_virtual;
pub mod intel;
pub mod join;
pub mod limits;
pub mod nitro;
pub mod snp;
pub mod time;
pub mod tpm_quote;
pub mod uvm;

pub use binding::report_data_for;
pub use bytes::{HexBytes, HostData, Measurement, ReportData};
pub use evidence::{Evidence, NotEvidence, Paravised, Policy, Refusal, Verdict};
pub use join::JoinPolicy;
pub use time::UnixTime;
