//! The TPM commands, against a TPM that others wrote: Debian's `swtpm` and `tpm2-tools`, which
//! `cargo xtask test` installs.
#![expect(clippy::unwrap_used, reason = "a test that cannot go on panics")]

use std::io::{self, ErrorKind, Read, Write};
use std::net::{Ipv4Addr, TcpListener, TcpStream};
use std::path::Path;
use std::process::{Child, Command};
use std::time::Duration;

use attest::tpm_quote::BootRegisters;
use attest::{Evidence, HexBytes, ReportData};
use aws_lc_rs::digest;
use base64::Engine;
use base64::engine::general_purpose::{STANDARD, URL_SAFE_NO_PAD};
use platform::{Collected, Machine, Platform, SevGuest, Tpm, collect, detect};

const REPORT: &[u8] = include_bytes!("../../attest/testdata/snp/caci_report.bin");
const VCEK: &[u8] = include_bytes!("../../attest/testdata/snp/caci_vcek.der");
const ASKED: ReportData = HexBytes([7; 64]);

#[test]
fn evidence_is_collected_through_a_real_tpm() {
    let machine = SwTpm::start();
    assert!(detect(&machine).is_err(), "it holds no report yet");
    let key = machine.attestation_key();
    machine.write_report(&hcl_report(&key));
    assert_eq!(detect(&machine).unwrap(), Platform::AzureVtpm);
    // The first time the area of the guest's data is made, the second time it is there.
    for _ in 0..2 {
        let Collected::Complete(evidence) = collect(&machine, None, &ASKED).unwrap() else {
            panic!("certificates are there");
        };
        let Evidence::Snp(guest) = *evidence else {
            panic!("it is SNP");
        };
        let claims = guest.azure_claims.unwrap();
        let quote = guest.tpm_quote.unwrap();
        assert_eq!(quote.registers.0.len(), 24);
        // A register that nobody extended: zeros, and ones in those for dynamic launches.
        let state = [(16, HexBytes::ZERO), (17, HexBytes([0xff; 32]))];
        let state = BootRegisters(state.into());
        claims
            .check_boot(Some(&quote), [&state].into_iter(), &ASKED)
            .unwrap();
    }
}

/// What a paravisor would have written, for that key and [`ASKED`].
fn hcl_report(modulus: &[u8]) -> Vec<u8> {
    let claims = serde_json::json!({
        "keys": [{"kid": "HCLAkPub", "e": "AQAB", "n": URL_SAFE_NO_PAD.encode(modulus)}],
        "user-data": ASKED,
    });
    let claims = claims.to_string();
    let digest = digest::digest(&digest::SHA256, claims.as_bytes());
    let mut hcl = b"HCLA".to_vec();
    hcl.resize(32, 0);
    hcl.extend(REPORT);
    hcl[32 + 0x50..][..32].copy_from_slice(digest.as_ref());
    for word in [0, 1, 2, 1, u32::try_from(claims.len()).unwrap()] {
        hcl.extend(word.to_le_bytes());
    }
    hcl.extend(claims.as_bytes());
    hcl
}

/// A software TPM in a process of its own, ended with this.
struct SwTpm {
    process: Child,
    port: u16,
    folder: tempfile::TempDir,
}

impl Drop for SwTpm {
    fn drop(&mut self) {
        let _ = self.process.kill();
        let _ = self.process.wait();
    }
}

impl SwTpm {
    fn start() -> Self {
        let folder = tempfile::tempdir().unwrap();
        let port = free_port();
        let process = Command::new("swtpm")
            .args(["socket", "--tpm2", "--flags", "not-need-init,startup-clear"])
            .arg(format!("--tpmstate=dir={}", folder.path().display()))
            .arg(format!("--server=type=tcp,port={port}"))
            .arg(format!("--ctrl=type=tcp,port={}", port + 1))
            .spawn()
            .unwrap();
        let tpm = Self {
            process,
            port,
            folder,
        };
        for _ in 0..100 {
            if TcpStream::connect((Ipv4Addr::LOCALHOST, port)).is_ok() {
                return tpm;
            }
            std::thread::sleep(Duration::from_millis(50));
        }
        panic!("swtpm does not answer");
    }

    fn tool(&self, name: &str, arguments: &[&str]) {
        let status = Command::new(name)
            .args(arguments)
            .arg(format!("--tcti=swtpm:port={}", self.port))
            .current_dir(self.folder.path())
            .status()
            .unwrap();
        assert!(status.success(), "{name} {arguments:?}");
    }

    /// Makes the key that Azure's TPMs have, and gives its modulus.
    fn attestation_key(&self) -> Vec<u8> {
        let attributes = "fixedtpm|fixedparent|sensitivedataorigin|userwithauth|restricted|sign";
        let scheme = "rsa2048:rsassa-sha256:null";
        let primary = ["-C", "o", "-G", scheme, "-a", attributes, "-c", "ak.ctx"];
        self.tool("tpm2_createprimary", &primary);
        self.tool(
            "tpm2_evictcontrol",
            &["-C", "o", "-c", "ak.ctx", "0x81000003"],
        );
        self.tool("tpm2_flushcontext", &["-t"]);
        let public = ["-c", "0x81000003", "-f", "der", "-o", "ak.der"];
        self.tool("tpm2_readpublic", &public);
        let der = self.file("ak.der");
        // SubjectPublicKeyInfo ends with the modulus and 65537.
        let end = der.len() - 5;
        der[end - 256..end].to_vec()
    }

    fn write_report(&self, report: &[u8]) {
        std::fs::write(self.folder.path().join("report"), report).unwrap();
        let size = report.len().to_string();
        let attributes = "ownerread|ownerwrite";
        self.tool(
            "tpm2_nvdefine",
            &["0x01400001", "-C", "o", "-s", &size, "-a", attributes],
        );
        self.tool("tpm2_nvwrite", &["0x01400001", "-C", "o", "-i", "report"]);
    }

    fn file(&self, name: &str) -> Vec<u8> {
        std::fs::read(self.folder.path().join(Path::new(name))).unwrap()
    }
}

/// Two in a row, because the tools expect the control channel behind the other.
fn free_port() -> u16 {
    loop {
        let one = TcpListener::bind((Ipv4Addr::LOCALHOST, 0)).unwrap();
        let port = one.local_addr().unwrap().port();
        if port < u16::MAX && TcpListener::bind((Ipv4Addr::LOCALHOST, port + 1)).is_ok() {
            return port;
        }
    }
}

struct Channel(TcpStream);

impl Tpm for Channel {
    fn transmit(&mut self, command: &[u8]) -> io::Result<Vec<u8>> {
        self.0.write_all(command)?;
        let mut head = [0; 10];
        self.0.read_exact(&mut head)?;
        let length = u32::from_be_bytes([head[2], head[3], head[4], head[5]]);
        let mut response = head.to_vec();
        response.resize(usize::try_from(length).unwrap(), 0);
        self.0.read_exact(&mut response[10..])?;
        Ok(response)
    }
}

impl Machine for SwTpm {
    fn exists(&self, path: &str) -> bool {
        path == "/dev/tpmrm0"
    }

    fn tpm(&self) -> io::Result<Box<dyn Tpm>> {
        let stream = TcpStream::connect((Ipv4Addr::LOCALHOST, self.port))?;
        Ok(Box::new(Channel(stream)))
    }

    fn metadata(&self, _: &[u8], _: usize) -> io::Result<Vec<u8>> {
        let body = STANDARD.encode(VCEK);
        let pem = format!("-----BEGIN CERTIFICATE-----\n{body}\n-----END CERTIFICATE-----\n");
        let json = serde_json::json!({"vcekCert": pem, "certificateChain": ""});
        Ok(format!("HTTP/1.1 200 OK\r\n\r\n{json}").into_bytes())
    }

    fn wait(&self, _: Duration) {}

    fn unique(&self) -> u64 {
        0
    }

    fn read(&self, _: &str, _: usize) -> io::Result<Vec<u8>> {
        Err(ErrorKind::NotFound.into())
    }

    fn write(&self, _: &str, _: &[u8]) -> io::Result<()> {
        Err(ErrorKind::NotFound.into())
    }

    fn make_dir(&self, _: &str) -> io::Result<()> {
        Err(ErrorKind::NotFound.into())
    }

    fn remove_dir(&self, _: &str) -> io::Result<()> {
        Err(ErrorKind::NotFound.into())
    }

    fn sev_guest(&self) -> io::Result<Box<dyn SevGuest>> {
        Err(ErrorKind::NotFound.into())
    }

    fn nsm(&self, _: &[u8]) -> io::Result<Vec<u8>> {
        Err(ErrorKind::NotFound.into())
    }

    fn program(&self) -> io::Result<Vec<u8>> {
        Err(ErrorKind::NotFound.into())
    }
}
