//! The few TPM 2.0 commands that Azure's virtual TPM is asked with (TCG library, part 3, sections 18,
//! 22 and 31).
//!
//! Commands are authorised with the empty password, which is the owner's and the attestation key's as
//! Azure leaves them.

use std::io;

use attest::HexBytes;
use attest::tpm_quote::{BootRegisters, TpmQuote};

use crate::machine::Tpm;

const NV_DEFINE_SPACE: u32 = 0x12a;
const NV_WRITE: u32 = 0x137;
const NV_READ: u32 = 0x14e;
const NV_READ_PUBLIC: u32 = 0x169;
const QUOTE: u32 = 0x158;
const PCR_READ: u32 = 0x17e;
const OWNER: u32 = 0x4000_0001;
const WITH_SESSION: u16 = 0x8002;
const WITHOUT_SESSION: u16 = 0x8001;
/// No area of that index.
const RC_HANDLE: u32 = 0x18b;
/// Not now, such as during a self test: the same command again.
const RC_RETRY: u32 = 0x922;
const RC_TESTING: u32 = 0x90a;
const ATTEMPTS: u32 = 10;
/// Every TPM reads and writes this much at once.
const CHUNK: u16 = 512;
/// Far more than a report has.
const AREA_MAX: u16 = 16 * 1024;

/// The TPM did not do it.
#[derive(Debug, thiserror::Error)]
pub enum TpmFault {
    /// The device refused. See whether this process may use it; usually group `tss` may.
    #[error("the TPM's device refused; see whether this process may use it")]
    Device(#[from] io::Error),
    /// The TPM answered with an error.
    #[error("the TPM answered {command} with {code:#x}")]
    Code {
        /// Which command.
        command: &'static str,
        /// Its code (TCG library, part 2, section 6.6).
        code: u32,
    },
    /// What came back is no response.
    #[error("the TPM's response to {0} cannot be read")]
    Malformed(&'static str),
}

/// How long the area of an index is; none if there is no such index.
pub(crate) fn area_length(tpm: &mut dyn Tpm, index: u32) -> Result<Option<u16>, TpmFault> {
    const NAME: &str = "NV_ReadPublic";
    let command = command(WITHOUT_SESSION, NV_READ_PUBLIC, &index.to_be_bytes());
    let body = match transmit(tpm, NAME, &command) {
        Err(TpmFault::Code {
            code: RC_HANDLE, ..
        }) => return Ok(None),
        other => other?,
    };
    // NV_PUBLIC: index, name algorithm, attributes, policy, length.
    let public = sized(&body, 0).ok_or(TpmFault::Malformed(NAME))?;
    let policy = sized(public, 10).ok_or(TpmFault::Malformed(NAME))?;
    let length = public
        .get(12 + policy.len()..)
        .and_then(|rest| rest.first_chunk());
    let length = length.ok_or(TpmFault::Malformed(NAME))?;
    Ok(Some(u16::from_be_bytes(*length)))
}

/// All of an area.
pub(crate) fn read_area(tpm: &mut dyn Tpm, index: u32, length: u16) -> Result<Vec<u8>, TpmFault> {
    const NAME: &str = "NV_Read";
    if length > AREA_MAX {
        return Err(TpmFault::Malformed(NAME));
    }
    let mut area = Vec::with_capacity(usize::from(length));
    while area.len() < usize::from(length) {
        // Below `length`, so it fits.
        let offset = u16::try_from(area.len()).unwrap_or(u16::MAX);
        let size = CHUNK.min(length - offset);
        let parameters = [size.to_be_bytes(), offset.to_be_bytes()].concat();
        let body = transmit(
            tpm,
            NAME,
            &authorised(NV_READ, &[OWNER, index], &parameters),
        )?;
        // The parameters' own length comes first, because of the session.
        let data = sized(&body, 4).ok_or(TpmFault::Malformed(NAME))?;
        if data.len() != usize::from(size) {
            return Err(TpmFault::Malformed(NAME));
        }
        area.extend_from_slice(data);
    }
    Ok(area)
}

/// Makes an area that the owner reads and writes.
pub(crate) fn define_area(tpm: &mut dyn Tpm, index: u32, length: u16) -> Result<(), TpmFault> {
    const SHA256: u16 = 0x000b;
    const OWNER_WRITE_AND_READ: u32 = 1 << 1 | 1 << 17;
    let mut public = Vec::new();
    public.extend(index.to_be_bytes());
    public.extend(SHA256.to_be_bytes());
    public.extend(OWNER_WRITE_AND_READ.to_be_bytes());
    public.extend(0_u16.to_be_bytes());
    public.extend(length.to_be_bytes());
    // First the area's own password: none.
    let parameters = [&[0, 0], &with_size(&public)[..]].concat();
    let command = authorised(NV_DEFINE_SPACE, &[OWNER], &parameters);
    transmit(tpm, "NV_DefineSpace", &command).map(|_| ())
}

/// Writes to the beginning of an area; at most [`CHUNK`] bytes.
pub(crate) fn write_area(tpm: &mut dyn Tpm, index: u32, data: &[u8]) -> Result<(), TpmFault> {
    const FROM_THE_START: [u8; 2] = [0, 0];
    let parameters = [&with_size(data)[..], &FROM_THE_START].concat();
    let command = authorised(NV_WRITE, &[OWNER, index], &parameters);
    transmit(tpm, "NV_Write", &command).map(|_| ())
}

/// The registers of the SHA-256 bank, and the TPM's statement about them over a nonce, signed by the
/// key under that handle. A register that changes between the two makes them disagree.
pub(crate) fn quote(tpm: &mut dyn Tpm, key: u32, nonce: &[u8]) -> Result<TpmQuote, TpmFault> {
    const NAME: &str = "Quote";
    /// The key's own scheme.
    const NO_SCHEME: [u8; 2] = [0x00, 0x10];
    let registers = registers(tpm)?;
    let parameters = [
        &with_size(nonce)[..],
        &NO_SCHEME,
        &selection(&ALL_REGISTERS),
    ];
    let body = transmit(tpm, NAME, &authorised(QUOTE, &[key], &parameters.concat()))?;
    let parts = || {
        // After the parameters' own length: the statement, then RSASSA with SHA-256 and its bytes.
        let message = sized(&body, 4)?;
        let at = 4 + 2 + message.len();
        let scheme = body.get(at..at + 4)?;
        let signature = sized(&body, at + 4)?;
        (scheme == [0x00, 0x14, 0x00, 0x0b]).then(|| TpmQuote {
            message: message.to_vec(),
            signature: signature.to_vec(),
            registers,
        })
    };
    parts().ok_or(TpmFault::Malformed(NAME))
}

/// Register 0 to 23, as bits.
const ALL_REGISTERS: [u8; 3] = [0xff; 3];

/// Reads all registers; a TPM gives some at a time.
fn registers(tpm: &mut dyn Tpm) -> Result<BootRegisters, TpmFault> {
    const NAME: &str = "PCR_Read";
    let mut registers = BootRegisters::default();
    let mut missing = ALL_REGISTERS;
    while missing != [0; 3] {
        let body = transmit(
            tpm,
            NAME,
            &command(WITHOUT_SESSION, PCR_READ, &selection(&missing)),
        )?;
        let read = register_values(&body).ok_or(TpmFault::Malformed(NAME))?;
        if read.is_empty() {
            return Err(TpmFault::Malformed(NAME));
        }
        for (number, value) in read {
            missing[usize::from(number / 8)] &= !(1 << (number % 8));
            registers.0.insert(number, value);
        }
    }
    Ok(registers)
}

/// After a counter: which registers, then as many values.
fn register_values(body: &[u8]) -> Option<Vec<(u8, HexBytes<32>)>> {
    const ONE_BANK_OF_24: [u8; 7] = [0, 0, 0, 1, 0, 0x0b, 3];
    let rest = body.get(4..)?.strip_prefix(&ONE_BANK_OF_24)?;
    let (bitmap, rest) = rest.split_first_chunk::<3>()?;
    let numbers =
        (0..24_u8).filter(|number| bitmap[usize::from(number / 8)] >> (number % 8) & 1 == 1);
    let mut rest = rest.get(4..)?;
    let mut values = Vec::new();
    for number in numbers {
        let value = sized(rest, 0)?;
        values.push((number, HexBytes(value.try_into().ok()?)));
        rest = &rest[2 + value.len()..];
    }
    Some(values)
}

/// One bank, SHA-256, and bits for its registers.
fn selection(bitmap: &[u8; 3]) -> Vec<u8> {
    [&[0, 0, 0, 1, 0, 0x0b, 3][..], bitmap].concat()
}

fn authorised(code: u32, handles: &[u32], parameters: &[u8]) -> Vec<u8> {
    const PASSWORD: u32 = 0x4000_0009;
    let mut session = PASSWORD.to_be_bytes().to_vec();
    // No nonce, no attributes, no password.
    session.extend([0, 0, 0, 0, 0]);
    let mut body: Vec<u8> = handles
        .iter()
        .flat_map(|handle| handle.to_be_bytes())
        .collect();
    body.extend((session.len() as u32).to_be_bytes());
    body.extend(session);
    body.extend_from_slice(parameters);
    command(WITH_SESSION, code, &body)
}

fn command(tag: u16, code: u32, body: &[u8]) -> Vec<u8> {
    let length = 10 + body.len() as u32;
    let mut command = tag.to_be_bytes().to_vec();
    command.extend(length.to_be_bytes());
    command.extend(code.to_be_bytes());
    command.extend_from_slice(body);
    command
}

/// What follows the head of a response that says that all is well.
fn transmit(tpm: &mut dyn Tpm, name: &'static str, command: &[u8]) -> Result<Vec<u8>, TpmFault> {
    for _ in 1..ATTEMPTS {
        match transmit_once(tpm, name, command) {
            Err(TpmFault::Code {
                code: RC_RETRY | RC_TESTING,
                ..
            }) => {}
            done => return done,
        }
    }
    transmit_once(tpm, name, command)
}

fn transmit_once(
    tpm: &mut dyn Tpm,
    name: &'static str,
    command: &[u8],
) -> Result<Vec<u8>, TpmFault> {
    let response = tpm.transmit(command)?;
    let malformed = TpmFault::Malformed(name);
    let Some((&[_, _, l0, l1, l2, l3, c0, c1, c2, c3], body)) = response.split_first_chunk() else {
        return Err(malformed);
    };
    if u32::from_be_bytes([l0, l1, l2, l3]) as usize != response.len() {
        return Err(malformed);
    }
    match u32::from_be_bytes([c0, c1, c2, c3]) {
        0 => Ok(body.to_vec()),
        code => Err(TpmFault::Code {
            command: name,
            code,
        }),
    }
}

fn with_size(data: &[u8]) -> Vec<u8> {
    let size = u16::try_from(data.len()).unwrap_or(u16::MAX);
    [&size.to_be_bytes(), data].concat()
}

/// Bytes that their length precedes, from `offset` on.
fn sized(bytes: &[u8], offset: usize) -> Option<&[u8]> {
    let (length, rest) = bytes.get(offset..)?.split_first_chunk()?;
    rest.get(..usize::from(u16::from_be_bytes(*length)))
}
