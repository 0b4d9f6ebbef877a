//! Machines that behave as the kernel's, the firmware's and the TPM's documents say, and the tests
//! that run this crate's code on them. What their hardware says is what real hardware said.

use std::cell::RefCell;
use std::collections::BTreeMap;
use std::io::{self, ErrorKind};
use std::rc::Rc;
use std::time::Duration;

use zeroize::Zeroizing;

use crate::machine::{Machine, SevFault, SevGuest, Tpm};
use crate::tsm::REPORTS;

mod tests;

/// A machine; without anything set, one without hardware.
#[derive(Default)]
pub(crate) struct Simulated {
    pub(crate) files: RefCell<BTreeMap<String, Vec<u8>>>,
    pub(crate) tsm: Option<RefCell<TsmKernel>>,
    pub(crate) sev: Option<Rc<RefCell<SevFirmware>>>,
    pub(crate) tpm: Option<Rc<RefCell<SimulatedTpm>>>,
    /// What the security module of a Nitro enclave answers.
    pub(crate) nsm: Option<Vec<u8>>,
    /// Answers of the metadata service by method and path.
    pub(crate) metadata: BTreeMap<String, Vec<u8>>,
    pub(crate) asked: RefCell<Vec<String>>,
    pub(crate) waited: RefCell<Duration>,
    count: RefCell<u64>,
}

/// configfs-tsm with a provider behind it.
pub(crate) struct TsmKernel {
    pub(crate) provider: &'static str,
    /// What the hardware makes of the 64 bytes that it knows how to sign.
    pub(crate) knows: [u8; 64],
    pub(crate) outblob: Vec<u8>,
    pub(crate) auxblob: Option<Vec<u8>>,
    /// This many of the next requests are written to by somebody else.
    pub(crate) disturbances: u32,
    pub(crate) requests: BTreeMap<String, TsmRequest>,
    pub(crate) made: u32,
}

#[derive(Default)]
pub(crate) struct TsmRequest {
    generation: u64,
    inblob: Vec<u8>,
}

impl TsmKernel {
    pub(crate) fn new(provider: &'static str, knows: [u8; 64], outblob: &[u8]) -> Self {
        Self {
            provider,
            knows,
            outblob: outblob.to_vec(),
            auxblob: None,
            disturbances: 0,
            requests: BTreeMap::new(),
            made: 0,
        }
    }

    fn read(&self, request: &str, attribute: &str) -> io::Result<Vec<u8>> {
        let request = self.requests.get(request).ok_or(ErrorKind::NotFound)?;
        match attribute {
            "provider" => Ok(format!("{}\n", self.provider).into_bytes()),
            "generation" => Ok(format!("{}\n", request.generation).into_bytes()),
            "outblob" if request.inblob.is_empty() => Err(ErrorKind::InvalidInput.into()),
            "outblob" if request.inblob == self.knows => Ok(self.outblob.clone()),
            "outblob" => Ok(vec![0; self.outblob.len()]),
            "auxblob" => self.auxblob.clone().ok_or(ErrorKind::NotFound.into()),
            "inblob" => Err(ErrorKind::PermissionDenied.into()),
            _ => Err(ErrorKind::NotFound.into()),
        }
    }

    fn write(&mut self, request: &str, attribute: &str, bytes: &[u8]) -> io::Result<()> {
        let request = self.requests.get_mut(request).ok_or(ErrorKind::NotFound)?;
        match attribute {
            "inblob" if bytes.is_empty() || bytes.len() > 64 => Err(ErrorKind::InvalidInput.into()),
            "inblob" => {
                request.generation += 1;
                request.inblob = bytes.to_vec();
                if self.disturbances > 0 {
                    self.disturbances -= 1;
                    request.generation += 1;
                    request.inblob = vec![0xee; 64];
                }
                Ok(())
            }
            _ => Err(ErrorKind::PermissionDenied.into()),
        }
    }
}

/// A request's folder and an attribute in it.
fn request_of(path: &str) -> Option<(&str, Option<&str>)> {
    let below = path.strip_prefix(REPORTS)?.strip_prefix('/')?;
    Some(match below.split_once('/') {
        Some((request, attribute)) => (request, Some(attribute)),
        None => (below, None),
    })
}

/// The secure processor behind `/dev/sev-guest`.
#[derive(Default)]
pub(crate) struct SevFirmware {
    pub(crate) knows: Vec<u8>,
    pub(crate) report: Vec<u8>,
    pub(crate) certs: Vec<u8>,
    /// The host says that many times that it is busy.
    pub(crate) busy: u32,
    pub(crate) status: u32,
    /// A host without extended requests.
    pub(crate) plain_only: bool,
    pub(crate) calls: Vec<&'static str>,
}

fn fault(host: u32) -> SevFault {
    SevFault {
        error: ErrorKind::Other.into(),
        firmware: 0,
        host,
    }
}

struct SevDevice(Rc<RefCell<SevFirmware>>);

impl SevGuest for SevDevice {
    fn report(&mut self, request: &[u8; 96]) -> Result<Box<[u8; 4000]>, SevFault> {
        let mut firmware = self.0.borrow_mut();
        firmware.calls.push("report");
        if firmware.busy > 0 {
            firmware.busy -= 1;
            return Err(fault(2));
        }
        // Reserved bytes must be zero, and the level may not be above the guest's.
        assert!(request[64..].iter().all(|&byte| byte == 0));
        let mut answer = Box::new([0; 4000]);
        answer[..4].copy_from_slice(&firmware.status.to_le_bytes());
        let length = u32::try_from(firmware.report.len()).unwrap();
        answer[4..8].copy_from_slice(&length.to_le_bytes());
        if request[..64] == firmware.knows {
            answer[32..][..firmware.report.len()].copy_from_slice(&firmware.report);
        }
        Ok(answer)
    }

    fn extended_report(
        &mut self,
        request: &[u8; 96],
        certs: &mut [u8],
        certs_len: &mut u32,
    ) -> Result<Box<[u8; 4000]>, SevFault> {
        let table = {
            let mut firmware = self.0.borrow_mut();
            firmware.calls.push("extended");
            if firmware.plain_only {
                return Err(fault(0));
            }
            firmware.certs.clone()
        };
        // The host wants whole pages.
        let pages = table.len().next_multiple_of(4096);
        if certs.len() < pages {
            *certs_len = u32::try_from(pages).unwrap();
            return Err(fault(1));
        }
        let answer = self.report(request)?;
        certs[..table.len()].copy_from_slice(&table);
        Ok(answer)
    }

    fn derived_key(&mut self, request: &[u8; 32]) -> Result<Zeroizing<[u8; 64]>, SevFault> {
        let firmware = self.0.borrow();
        let mut answer = Zeroizing::new([0; 64]);
        answer[..4].copy_from_slice(&firmware.status.to_le_bytes());
        answer[32..].copy_from_slice(request);
        Ok(answer)
    }
}

type Paravisor = fn(&[u8]) -> Vec<u8>;
/// Signs a statement with the attestation key.
type Signer = Box<dyn Fn(&[u8]) -> Vec<u8>>;

/// A TPM with areas; the report's follows the guest's data as Azure's paravisor lets it.
#[derive(Default)]
pub(crate) struct SimulatedTpm {
    pub(crate) areas: BTreeMap<u32, Vec<u8>>,
    /// Makes the report of what the guest wrote.
    pub(crate) paravisor: Option<Paravisor>,
    pub(crate) signer: Option<Signer>,
    /// Register 10 changes that many times between being read and being quoted, as by IMA.
    pub(crate) changes: u8,
    registers: [[u8; 32]; 24],
    /// It is busy with itself for that many commands.
    pub(crate) busy: u8,
}

const RC_HANDLE: u32 = 0x18b;
const RC_RETRY: u32 = 0x922;
const RC_VALUE: u32 = 0x1c4;
const RC_COMMAND: u32 = 0x143;

impl SimulatedTpm {
    fn execute(&mut self, command: &[u8]) -> Result<Vec<u8>, u32> {
        if self.busy > 0 {
            self.busy -= 1;
            return Err(RC_RETRY);
        }
        let word = |at: usize| u32::from_be_bytes(command[at..at + 4].try_into().unwrap());
        let half = |at: usize| u16::from_be_bytes(command[at..at + 2].try_into().unwrap());
        assert_eq!(
            word(2) as usize,
            command.len(),
            "a command says how long it is"
        );
        let code = word(6);
        if code == 0x169 {
            assert_eq!(half(0), 0x8001);
            let area = self.areas.get(&word(10)).ok_or(RC_HANDLE)?;
            let mut public = word(10).to_be_bytes().to_vec();
            public.extend([0, 0x0b, 0, 2, 0, 2, 0, 0]);
            public.extend(u16::try_from(area.len()).unwrap().to_be_bytes());
            let mut body = u16::try_from(public.len()).unwrap().to_be_bytes().to_vec();
            body.extend(public);
            body.extend([0, 2, 0xaa, 0xbb]);
            return Ok(body);
        }
        if code == 0x17e {
            assert_eq!(half(0), 0x8001);
            return Ok(self.read_registers(&command[10..]));
        }
        // The rest is authorised with the empty password of the owner or the attestation key.
        let by = if code == 0x158 {
            0x8100_0003
        } else {
            0x4000_0001
        };
        assert_eq!((half(0), word(10)), (0x8002, by));
        let handles = if matches!(code, 0x12a | 0x158) { 1 } else { 2 };
        let session = 10 + 4 * handles;
        assert_eq!((word(session), word(session + 4)), (9, 0x4000_0009));
        assert_eq!(command[session + 8..session + 13], [0; 5]);
        let at = session + 13;
        let mut parameters = Vec::new();
        match code {
            0x12a => {
                assert_eq!((half(at), half(at + 2)), (0, 14));
                let length = usize::from(half(at + 16));
                self.areas.insert(word(at + 4), vec![0; length]);
            }
            0x137 => {
                let size = usize::from(half(at));
                let data = command[at + 2..][..size].to_vec();
                assert_eq!(half(at + 2 + size), 0);
                let area = self.areas.get_mut(&word(14)).ok_or(RC_HANDLE)?;
                area.get_mut(..size).ok_or(RC_VALUE)?.copy_from_slice(&data);
                if let Some(paravisor) = self.paravisor {
                    self.areas.insert(0x0140_0001, paravisor(&data));
                }
            }
            0x14e => {
                let (size, offset) = (usize::from(half(at)), usize::from(half(at + 2)));
                let area = self.areas.get(&word(14)).ok_or(RC_HANDLE)?;
                let data = area.get(offset..offset + size).ok_or(RC_VALUE)?;
                parameters.extend(half(at).to_be_bytes());
                parameters.extend_from_slice(data);
            }
            0x158 => {
                let size = usize::from(half(at));
                let nonce = &command[at + 2..][..size];
                let rest = &command[at + 2 + size..];
                assert_eq!(rest, [0, 0x10, 0, 0, 0, 1, 0, 0x0b, 3, 0xff, 0xff, 0xff]);
                parameters = self.quote(nonce)?;
            }
            _ => return Err(RC_COMMAND),
        }
        let mut body = u32::try_from(parameters.len())
            .unwrap()
            .to_be_bytes()
            .to_vec();
        body.extend(parameters);
        body.extend([0, 0, 1, 0, 0]);
        Ok(body)
    }
}

impl SimulatedTpm {
    /// Eight registers at a time, as real ones.
    fn read_registers(&self, selection: &[u8]) -> Vec<u8> {
        assert_eq!(selection[..7], [0, 0, 0, 1, 0, 0x0b, 3]);
        let wanted = (0..24_usize).filter(|n| selection[7 + n / 8] >> (n % 8) & 1 == 1);
        let numbers: Vec<usize> = wanted.take(8).collect();
        let mut bitmap = [0; 3];
        for number in &numbers {
            bitmap[number / 8] |= 1 << (number % 8);
        }
        let mut body = vec![0, 0, 0, 1, 0, 0, 0, 1, 0, 0x0b, 3];
        body.extend(bitmap);
        body.extend(u32::try_from(numbers.len()).unwrap().to_be_bytes());
        for number in numbers {
            body.extend([0, 32]);
            body.extend(self.registers[number]);
        }
        body
    }

    fn quote(&mut self, nonce: &[u8]) -> Result<Vec<u8>, u32> {
        if self.changes > 0 {
            self.changes -= 1;
            self.registers[10][0] += 1;
        }
        let digest =
            aws_lc_rs::digest::digest(&aws_lc_rs::digest::SHA256, self.registers.as_flattened());
        let mut message = b"\xffTCG\x80\x18\0\0".to_vec();
        message.extend(u16::try_from(nonce.len()).unwrap().to_be_bytes());
        message.extend(nonce);
        message.extend([0; 25]);
        message.extend([0, 0, 0, 1, 0, 0x0b, 3, 0xff, 0xff, 0xff, 0, 32]);
        message.extend(digest.as_ref());
        let signature = self.signer.as_ref().ok_or(RC_HANDLE)?(&message);
        let mut parameters = u16::try_from(message.len()).unwrap().to_be_bytes().to_vec();
        parameters.extend(message);
        parameters.extend([0, 0x14, 0, 0x0b]);
        parameters.extend(u16::try_from(signature.len()).unwrap().to_be_bytes());
        parameters.extend(signature);
        Ok(parameters)
    }
}

struct TpmDevice(Rc<RefCell<SimulatedTpm>>);

impl Tpm for TpmDevice {
    fn transmit(&mut self, command: &[u8]) -> io::Result<Vec<u8>> {
        let (code, body) = match self.0.borrow_mut().execute(command) {
            Ok(body) => (0, body),
            Err(code) => (code, Vec::new()),
        };
        let mut response = command[..2].to_vec();
        response.extend((10 + u32::try_from(body.len()).unwrap()).to_be_bytes());
        response.extend(code.to_be_bytes());
        response.extend(body);
        Ok(response)
    }
}

impl Machine for Simulated {
    fn exists(&self, path: &str) -> bool {
        let tsm = self.tsm.as_ref();
        let in_tsm = tsm.is_some_and(|tsm| {
            let tsm = tsm.borrow();
            match request_of(path) {
                None => path == REPORTS,
                Some((request, None)) => tsm.requests.contains_key(request),
                Some((request, Some("auxblob"))) => {
                    tsm.requests.contains_key(request) && tsm.auxblob.is_some()
                }
                Some((request, Some(attribute))) => match tsm.read(request, attribute) {
                    Err(error) => error.kind() != ErrorKind::NotFound,
                    Ok(_) => true,
                },
            }
        });
        in_tsm
            || (path == "/dev/sev-guest" && self.sev.is_some())
            || (path == "/dev/nsm" && self.nsm.is_some())
            || (path == "/dev/tpmrm0" && self.tpm.is_some())
            || self.files.borrow().contains_key(path)
    }

    fn read(&self, path: &str, limit: usize) -> io::Result<Vec<u8>> {
        let bytes = match (&self.tsm, request_of(path)) {
            (Some(tsm), Some((request, Some(attribute)))) => {
                tsm.borrow().read(request, attribute)?
            }
            _ => {
                let files = self.files.borrow();
                files.get(path).cloned().ok_or(ErrorKind::NotFound)?
            }
        };
        match bytes.len() <= limit {
            true => Ok(bytes),
            false => Err(ErrorKind::FileTooLarge.into()),
        }
    }

    fn write(&self, path: &str, bytes: &[u8]) -> io::Result<()> {
        if let (Some(tsm), Some((request, Some(attribute)))) = (&self.tsm, request_of(path)) {
            return tsm.borrow_mut().write(request, attribute, bytes);
        }
        let mut files = self.files.borrow_mut();
        *files.get_mut(path).ok_or(ErrorKind::NotFound)? = bytes.to_vec();
        Ok(())
    }

    fn make_dir(&self, path: &str) -> io::Result<()> {
        let (Some(tsm), Some((request, None))) = (&self.tsm, request_of(path)) else {
            return Err(ErrorKind::PermissionDenied.into());
        };
        let mut tsm = tsm.borrow_mut();
        tsm.made += 1;
        match tsm
            .requests
            .insert(request.to_owned(), TsmRequest::default())
        {
            None => Ok(()),
            Some(_) => Err(ErrorKind::AlreadyExists.into()),
        }
    }

    fn remove_dir(&self, path: &str) -> io::Result<()> {
        let (Some(tsm), Some((request, None))) = (&self.tsm, request_of(path)) else {
            return Err(ErrorKind::PermissionDenied.into());
        };
        match tsm.borrow_mut().requests.remove(request) {
            Some(_) => Ok(()),
            None => Err(ErrorKind::NotFound.into()),
        }
    }

    fn sev_guest(&self) -> io::Result<Box<dyn SevGuest>> {
        let firmware = self.sev.as_ref().ok_or(ErrorKind::NotFound)?;
        Ok(Box::new(SevDevice(Rc::clone(firmware))))
    }

    fn tpm(&self) -> io::Result<Box<dyn Tpm>> {
        let tpm = self.tpm.as_ref().ok_or(ErrorKind::NotFound)?;
        Ok(Box::new(TpmDevice(Rc::clone(tpm))))
    }

    fn nsm(&self, request: &[u8]) -> io::Result<Vec<u8>> {
        let text = String::from_utf8_lossy(request).into_owned();
        self.asked.borrow_mut().push(text);
        self.nsm.clone().ok_or(ErrorKind::NotFound.into())
    }

    fn metadata(&self, request: &[u8], limit: usize) -> io::Result<Vec<u8>> {
        let request = std::str::from_utf8(request).unwrap();
        assert!(request.contains("\r\nMetadata: true\r\n"), "{request}");
        self.asked.borrow_mut().push(request.to_owned());
        let line = request.split(" HTTP/").next().unwrap();
        let body = self
            .metadata
            .get(line)
            .ok_or(ErrorKind::ConnectionRefused)?;
        assert!(body.len() < limit);
        Ok([b"HTTP/1.1 200 OK\r\n\r\n", &body[..]].concat())
    }

    fn program(&self) -> io::Result<Vec<u8>> {
        Ok(b"program".to_vec())
    }

    fn wait(&self, time: Duration) {
        *self.waited.borrow_mut() += time;
    }

    fn unique(&self) -> u64 {
        let mut count = self.count.borrow_mut();
        *count += 1;
        *count
    }
}
