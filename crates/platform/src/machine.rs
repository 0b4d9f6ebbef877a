//! All that this crate asks of the system it runs on.

use std::io;
use std::path::Path;
use std::time::Duration;

use zeroize::Zeroizing;

/// The system as this crate sees it: files, four devices, one service of the host.
///
/// Paths are those of the kernel's documentation, from the root on.
pub trait Machine {
    /// Whether there is a file or folder.
    fn exists(&self, path: &str) -> bool;

    /// The content of a file of at most `limit` bytes; an error if it has more.
    fn read(&self, path: &str, limit: usize) -> io::Result<Vec<u8>>;

    /// Hands all bytes to an existing file in one single write: attributes of the kernel take no
    /// second one.
    fn write(&self, path: &str, bytes: &[u8]) -> io::Result<()>;

    /// Makes a folder.
    fn make_dir(&self, path: &str) -> io::Result<()>;

    /// Removes a folder, in configfs with the attributes in it.
    fn remove_dir(&self, path: &str) -> io::Result<()>;

    /// Opens `/dev/sev-guest`.
    fn sev_guest(&self) -> io::Result<Box<dyn SevGuest>>;

    /// Opens the virtual TPM, `/dev/tpmrm0`.
    fn tpm(&self) -> io::Result<Box<dyn Tpm>>;

    /// Sends one message to `/dev/nsm` and receives its response.
    fn nsm(&self, request: &[u8]) -> io::Result<Vec<u8>>;

    /// Sends a request to Azure's metadata service of this machine (HTTP on 169.254.169.254) and
    /// reads what comes back until it hangs up, `limit` bytes at most.
    fn metadata(&self, request: &[u8], limit: usize) -> io::Result<Vec<u8>>;

    /// The program that runs.
    fn program(&self) -> io::Result<Vec<u8>>;

    /// Lets time pass.
    fn wait(&self, time: Duration);

    /// A number that no other process of this machine uses at this time, for names of folders.
    fn unique(&self) -> u64;
}

/// `/dev/sev-guest`: the guest's channel to AMD's secure processor (kernel document
/// `virt/coco/sev-guest`).
pub trait SevGuest {
    /// `SNP_GET_REPORT`: the answer to a request of 96 bytes.
    fn report(&mut self, request: &[u8; 96]) -> Result<Box<[u8; 4000]>, SevFault>;

    /// `SNP_GET_EXT_REPORT`: the same, and the host's certificates into `certs`. Where these are
    /// longer, the fault says so and `certs_len` is what they need.
    fn extended_report(
        &mut self,
        request: &[u8; 96],
        certs: &mut [u8],
        certs_len: &mut u32,
    ) -> Result<Box<[u8; 4000]>, SevFault>;

    /// `SNP_GET_DERIVED_KEY`: the answer to a request of 32 bytes.
    fn derived_key(&mut self, request: &[u8; 32]) -> Result<Zeroizing<[u8; 64]>, SevFault>;
}

/// The secure processor, or the host in between, did not do it.
#[derive(Debug, thiserror::Error)]
#[error("the secure processor refused (firmware {firmware:#x}, host {host:#x})")]
pub struct SevFault {
    /// What the kernel says.
    #[source]
    pub error: io::Error,
    /// The firmware's own number; 0 for none.
    pub firmware: u32,
    /// The host's own number: 1 if there was too little room, 2 if it is busy.
    pub host: u32,
}

/// A TPM: a command goes in, a response comes out.
pub trait Tpm {
    /// Sends one command and receives its response.
    fn transmit(&mut self, command: &[u8]) -> io::Result<Vec<u8>>;
}

/// A path of the kernel's under another root.
pub(crate) fn under(root: &Path, path: &str) -> std::path::PathBuf {
    root.join(path.trim_start_matches('/'))
}
