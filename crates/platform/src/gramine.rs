//! Gramine: files below `/dev/attestation` that a process in an SGX enclave finds.

use std::io;

use crate::machine::Machine;

/// Says how the enclave can show itself: `dcap`, or `none`.
pub(crate) const KIND: &str = "/dev/attestation/attestation_type";
const REPORT_DATA: &str = "/dev/attestation/user_report_data";
const QUOTE: &str = "/dev/attestation/quote";
const QUOTE_MAX: usize = 32 * 1024;

/// Gramine has not made a quote.
#[derive(Debug, thiserror::Error)]
pub enum GramineFault {
    /// The enclave's manifest does not ask for quotes. Its author should set
    /// `sgx.remote_attestation = "dcap"`.
    #[error(
        "Gramine's attestation type is {0:?}; the manifest should say sgx.remote_attestation = \
         \"dcap\""
    )]
    Kind(String),
    /// A file refused. See whether the host's quoting service runs.
    #[error("{path} refused; see whether the host's quoting service (AESM) runs")]
    Refused {
        /// Which file.
        path: &'static str,
        /// What the system says.
        source: io::Error,
    },
}

/// Has the enclave quoted with 64 bytes of ours.
pub(crate) fn quote(machine: &dyn Machine, data: &[u8; 64]) -> Result<Vec<u8>, GramineFault> {
    let refused = |path| move |source| GramineFault::Refused { path, source };
    let kind = machine.read(KIND, 64).map_err(refused(KIND))?;
    let kind = String::from_utf8_lossy(&kind).trim_end().to_owned();
    if kind != "dcap" {
        return Err(GramineFault::Kind(kind));
    }
    machine
        .write(REPORT_DATA, data)
        .map_err(refused(REPORT_DATA))?;
    machine.read(QUOTE, QUOTE_MAX).map_err(refused(QUOTE))
}
