//! What Azure's container groups find beside `/dev/sev-guest`: a folder with the chip's certificates
//! and the endorsement of the utility machine.

use attest::snp::Endorsements;
use base64::Engine;
use base64::engine::general_purpose::STANDARD;

use crate::certs;
use crate::machine::Machine;

/// Far more than any of the files has.
const FILE_MAX: usize = 256 * 1024;

/// A folder of that kind. Azure names it in the environment variable `UVM_SECURITY_CONTEXT_DIR`.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct SecurityContext(pub String);

impl SecurityContext {
    /// The chip's certificates, which may be those for older firmware: none if they cannot be read.
    pub(crate) fn endorsements(&self, machine: &dyn Machine) -> Option<Endorsements> {
        certs::from_azure_base64(&self.file(machine, "host-amd-cert-base64")?)
    }

    /// The endorsement of the utility machine: none if it cannot be read.
    pub(crate) fn uvm_endorsements(&self, machine: &dyn Machine) -> Option<Vec<u8>> {
        let text = self.file(machine, "reference-info-base64")?;
        STANDARD.decode(text.trim_ascii()).ok()
    }

    fn file(&self, machine: &dyn Machine, name: &str) -> Option<Vec<u8>> {
        let folder = self.0.trim_end_matches('/');
        machine.read(&format!("{folder}/{name}"), FILE_MAX).ok()
    }
}
