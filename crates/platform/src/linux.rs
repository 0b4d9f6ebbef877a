//! The real machine.

use std::fs::{self, File, OpenOptions};
use std::io::{self, Read, Write};
use std::net::{Ipv4Addr, SocketAddr, SocketAddrV4, TcpStream};
use std::path::PathBuf;
use std::sync::atomic::{AtomicU64, Ordering};
use std::time::Duration;

use crate::ioctl;
use crate::machine::{Machine, SevGuest, Tpm, under};

/// Azure's metadata service, the same address in every virtual machine.
const METADATA: SocketAddr =
    SocketAddr::V4(SocketAddrV4::new(Ipv4Addr::new(169, 254, 169, 254), 80));
/// A TPM's responses are shorter.
const TPM_RESPONSE_MAX: usize = 4096;

/// A Linux system, from some root folder on.
#[derive(Debug, Clone)]
pub struct Linux {
    root: PathBuf,
    metadata: SocketAddr,
    timeout: Duration,
}

impl Default for Linux {
    /// The system that this process runs on.
    fn default() -> Self {
        Self {
            root: PathBuf::from("/"),
            metadata: METADATA,
            timeout: Duration::from_secs(10),
        }
    }
}

impl Linux {
    /// A system whose files are below another folder and whose metadata service is elsewhere, such
    /// as a host's seen from a container, or one made for a test.
    pub fn rooted_at(root: impl Into<PathBuf>, metadata: SocketAddr) -> Self {
        Self {
            root: root.into(),
            metadata,
            ..Self::default()
        }
    }

    fn device(&self, path: &str) -> io::Result<File> {
        let path = under(&self.root, path);
        OpenOptions::new().read(true).write(true).open(path)
    }
}

impl Machine for Linux {
    fn exists(&self, path: &str) -> bool {
        under(&self.root, path).exists()
    }

    fn read(&self, path: &str, limit: usize) -> io::Result<Vec<u8>> {
        read_up_to(File::open(under(&self.root, path))?, limit)
    }

    fn write(&self, path: &str, bytes: &[u8]) -> io::Result<()> {
        let mut file = OpenOptions::new()
            .write(true)
            .open(under(&self.root, path))?;
        // Not `write_all`: a second write would be a second request.
        match file.write(bytes)? {
            written if written == bytes.len() => Ok(()),
            _ => Err(io::ErrorKind::WriteZero.into()),
        }
    }

    fn make_dir(&self, path: &str) -> io::Result<()> {
        fs::create_dir(under(&self.root, path))
    }

    fn remove_dir(&self, path: &str) -> io::Result<()> {
        fs::remove_dir(under(&self.root, path))
    }

    fn sev_guest(&self) -> io::Result<Box<dyn SevGuest>> {
        Ok(Box::new(ioctl::Device(self.device("/dev/sev-guest")?)))
    }

    fn tpm(&self) -> io::Result<Box<dyn Tpm>> {
        Ok(Box::new(TpmDevice(self.device("/dev/tpmrm0")?)))
    }

    fn nsm(&self, request: &[u8]) -> io::Result<Vec<u8>> {
        ioctl::nsm(&self.device("/dev/nsm")?, request)
    }

    fn metadata(&self, request: &[u8], limit: usize) -> io::Result<Vec<u8>> {
        let mut stream = TcpStream::connect_timeout(&self.metadata, self.timeout)?;
        stream.set_read_timeout(Some(self.timeout))?;
        stream.set_write_timeout(Some(self.timeout))?;
        stream.write_all(request)?;
        read_up_to(stream, limit)
    }

    fn program(&self) -> io::Result<Vec<u8>> {
        fs::read(under(&self.root, "/proc/self/exe"))
    }

    fn wait(&self, time: Duration) {
        std::thread::sleep(time);
    }

    fn unique(&self) -> u64 {
        static COUNT: AtomicU64 = AtomicU64::new(0);
        u64::from(std::process::id()) << 32 | COUNT.fetch_add(1, Ordering::Relaxed) & 0xffff_ffff
    }
}

struct TpmDevice(File);

impl Tpm for TpmDevice {
    fn transmit(&mut self, command: &[u8]) -> io::Result<Vec<u8>> {
        self.0.write_all(command)?;
        let mut response = vec![0; TPM_RESPONSE_MAX];
        // The whole response comes in one read.
        let length = self.0.read(&mut response)?;
        response.truncate(length);
        Ok(response)
    }
}

fn read_up_to(from: impl Read, limit: usize) -> io::Result<Vec<u8>> {
    let mut bytes = Vec::new();
    let one_more = u64::try_from(limit).unwrap_or(u64::MAX).saturating_add(1);
    from.take(one_more).read_to_end(&mut bytes)?;
    if bytes.len() > limit {
        return Err(io::ErrorKind::FileTooLarge.into());
    }
    Ok(bytes)
}

#[cfg(test)]
mod tests {
    use std::net::TcpListener;
    use std::thread;

    use super::*;

    fn machine(root: &tempfile::TempDir) -> Linux {
        Linux::rooted_at(root.path(), METADATA)
    }

    #[test]
    fn files_are_read_up_to_a_limit_and_written_at_once() {
        let root = tempfile::tempdir().unwrap();
        let machine = machine(&root);
        machine.make_dir("/dev").unwrap();
        assert!(machine.exists("/dev") && !machine.exists("/dev/file"));
        // An attribute is never made, only written.
        assert!(machine.write("/dev/file", b"four").is_err());
        fs::write(root.path().join("dev/file"), b"").unwrap();
        machine.write("/dev/file", b"four").unwrap();
        assert_eq!(machine.read("/dev/file", 4).unwrap(), b"four");
        let error = machine.read("/dev/file", 3).unwrap_err();
        assert_eq!(error.kind(), io::ErrorKind::FileTooLarge);
        assert!(machine.remove_dir("/dev").is_err());
    }

    #[test]
    fn what_is_no_sev_guest_says_so() {
        let root = tempfile::tempdir().unwrap();
        let machine = machine(&root);
        assert!(machine.sev_guest().is_err());
        fs::create_dir(root.path().join("dev")).unwrap();
        fs::write(root.path().join("dev/sev-guest"), b"").unwrap();
        let mut device = machine.sev_guest().unwrap();
        // The kernel looks at the number, and that file knows no such request.
        const ENOTTY: i32 = 25;
        let fault = device.report(&[0; 96]).unwrap_err();
        assert_eq!(fault.error.raw_os_error(), Some(ENOTTY));
        assert_eq!((fault.firmware, fault.host), (0, 0));
        let fault = device.derived_key(&[0; 32]).unwrap_err();
        assert_eq!(fault.error.raw_os_error(), Some(ENOTTY));
        let mut length = 0;
        let fault = device.extended_report(&[0; 96], &mut [0; 8], &mut length);
        assert_eq!(fault.unwrap_err().error.raw_os_error(), Some(ENOTTY));
    }

    #[test]
    fn what_is_no_security_module_says_so() {
        let root = tempfile::tempdir().unwrap();
        fs::create_dir(root.path().join("dev")).unwrap();
        fs::write(root.path().join("dev/nsm"), b"").unwrap();
        const ENOTTY: i32 = 25;
        let error = machine(&root).nsm(b"request").unwrap_err();
        assert_eq!(error.raw_os_error(), Some(ENOTTY));
    }

    #[test]
    fn the_metadata_service_is_asked_over_tcp() {
        let listener = TcpListener::bind((Ipv4Addr::LOCALHOST, 0)).unwrap();
        let address = listener.local_addr().unwrap();
        let service = thread::spawn(move || {
            let (mut stream, _) = listener.accept().unwrap();
            let mut request = [0; 4];
            stream.read_exact(&mut request).unwrap();
            stream.write_all(b"answer").unwrap();
            request
        });
        let machine = Linux::rooted_at("/", address);
        assert_eq!(machine.metadata(b"asks", 6).unwrap(), b"answer");
        assert_eq!(&service.join().unwrap(), b"asks");
    }

    #[test]
    fn folders_have_names_of_their_own() {
        let machine = Linux::default();
        assert_ne!(machine.unique(), machine.unique());
        assert!(!machine.program().unwrap().is_empty());
    }
}
