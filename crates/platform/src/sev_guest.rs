//! `/dev/sev-guest`: reports and sealing keys of SEV-SNP (kernel document `virt/coco/sev-guest`,
//! AMD document 56860 for the messages).

use std::io;
use std::time::Duration;

use attest::snp::REPORT_BYTES;
use zeroize::Zeroizing;

use crate::machine::{Machine, SevFault, SevGuest};

/// Where the device is.
pub(crate) const DEVICE: &str = "/dev/sev-guest";
/// The host has too little room for its certificates.
const HOST_TOO_SHORT: u32 = 1;
const HOST_BUSY: u32 = 2;
/// The host may be busy with other guests: this many attempts, this long apart.
const ATTEMPTS: u32 = 20;
const PAUSE: Duration = Duration::from_millis(100);
/// What a host may want for its certificates: the kernel's own limit is 16 KiB.
const CERTS_MAX: u32 = 64 * 1024;

/// The device gave no report or no key.
#[derive(Debug, thiserror::Error)]
pub enum SevGuestFault {
    /// It cannot be opened. See whether this process may; usually root may.
    #[error("opening {DEVICE} failed; see whether this process may")]
    Open(#[source] io::Error),
    /// See [`SevFault`].
    #[error(transparent)]
    Refused(#[from] SevFault),
    /// The firmware answered with an error.
    #[error("the SNP firmware answered with status {0:#x}")]
    Status(u32),
    /// The answer is not one of this firmware interface.
    #[error("the answer has {0} bytes of report, not {REPORT_BYTES}; update this program")]
    Length(u32),
}

/// A report over 64 bytes, and the host's certificate table, which may be empty.
pub(crate) fn report(
    machine: &dyn Machine,
    data: &[u8; 64],
) -> Result<(Vec<u8>, Vec<u8>), SevGuestFault> {
    let mut device = machine.sev_guest().map_err(SevGuestFault::Open)?;
    let mut request = [0; 96];
    request[..64].copy_from_slice(data);
    // Privilege level 0 at bytes 64 to 68: this guest runs nothing below itself.
    let mut certs = Vec::new();
    let answer = patiently(machine, || extended(device.as_mut(), &request, &mut certs));
    let answer = match answer {
        Ok(answer) => answer,
        // Some hosts offer no certificates; the plain request is all there is.
        Err(_) => {
            certs.clear();
            patiently(machine, || device.report(&request))?
        }
    };
    Ok((report_in(&answer)?, certs))
}

/// Asks with no room first, to learn how much the host's certificates need.
fn extended(
    device: &mut dyn SevGuest,
    request: &[u8; 96],
    certs: &mut Vec<u8>,
) -> Result<Box<[u8; 4000]>, SevFault> {
    let mut length = 0;
    certs.clear();
    match device.extended_report(request, certs, &mut length) {
        Err(fault) if fault.host == HOST_TOO_SHORT && (1..=CERTS_MAX).contains(&length) => {
            certs.resize(length as usize, 0);
            device.extended_report(request, certs, &mut length)
        }
        other => other,
    }
}

/// Tries again while the host is busy.
fn patiently<T>(
    machine: &dyn Machine,
    mut attempt: impl FnMut() -> Result<T, SevFault>,
) -> Result<T, SevFault> {
    for _ in 1..ATTEMPTS {
        match attempt() {
            Err(fault) if fault.host == HOST_BUSY => machine.wait(PAUSE),
            done => return done,
        }
    }
    attempt()
}

fn report_in(answer: &[u8; 4000]) -> Result<Vec<u8>, SevGuestFault> {
    let word = |at: usize| {
        u32::from_le_bytes([answer[at], answer[at + 1], answer[at + 2], answer[at + 3]])
    };
    match (word(0), word(4)) {
        (0, length) if length as usize == REPORT_BYTES => Ok(answer[32..][..REPORT_BYTES].to_vec()),
        (0, length) => Err(SevGuestFault::Length(length)),
        (status, _) => Err(SevGuestFault::Status(status)),
    }
}

/// What a sealing key is derived from besides the chip.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct SealingKey {
    /// Which secret of the platform.
    pub root: RootKey,
    /// Another guest policy gives another key.
    pub policy: bool,
    /// Another image id gives another key.
    pub image_id: bool,
    /// Another family id gives another key.
    pub family_id: bool,
    /// Other code gives another key.
    pub measurement: bool,
    /// The guest's security version, which must not be above its own: newer code can ask for the
    /// older code's key, but not the other way round.
    pub guest_svn: Option<u32>,
    /// Firmware versions as in a report, which must not be above the committed ones.
    pub tcb: Option<[u8; 8]>,
}

/// A secret of the platform that keys are derived from.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum RootKey {
    /// The chip's: the key is the same on this chip only.
    Chip,
    /// The virtual machine's own, which a migration agent would take along.
    Machine,
}

/// A key that only such a guest on such a platform can ask for again: for what is to survive a
/// restart without members' shares.
///
/// # Errors
/// When there is no SNP or its firmware refuses, such as for versions above its own.
pub fn sealing_key(
    machine: &dyn Machine,
    from: &SealingKey,
) -> Result<Zeroizing<[u8; 32]>, SevGuestFault> {
    let mut device = machine.sev_guest().map_err(SevGuestFault::Open)?;
    let request = from.request();
    let answer = patiently(machine, || device.derived_key(&request))?;
    match u32::from_le_bytes([answer[0], answer[1], answer[2], answer[3]]) {
        0 => {
            let mut key = Zeroizing::new([0; 32]);
            key.copy_from_slice(&answer[32..]);
            Ok(key)
        }
        status => Err(SevGuestFault::Status(status)),
    }
}

impl SealingKey {
    /// The message to the firmware; fields are selected by bits, from policy on upwards.
    fn request(&self) -> [u8; 32] {
        let selected = [
            self.policy,
            self.image_id,
            self.family_id,
            self.measurement,
            self.guest_svn.is_some(),
            self.tcb.is_some(),
        ];
        let bits = selected.iter().rev();
        let fields = bits.fold(0_u64, |fields, selected| fields << 1 | u64::from(*selected));
        let mut request = [0; 32];
        request[0] = match self.root {
            RootKey::Chip => 0,
            RootKey::Machine => 1,
        };
        request[8..16].copy_from_slice(&fields.to_le_bytes());
        // Bytes 16 to 20: privilege level 0.
        request[20..24].copy_from_slice(&self.guest_svn.unwrap_or(0).to_le_bytes());
        request[24..].copy_from_slice(&self.tcb.unwrap_or_default());
        request
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_sealing_keys_fields_are_where_the_firmware_reads_them() {
        let from = SealingKey {
            root: RootKey::Machine,
            policy: true,
            image_id: false,
            family_id: false,
            measurement: true,
            guest_svn: Some(0x0102_0304),
            tcb: Some([1, 2, 3, 4, 5, 6, 7, 8]),
        };
        assert_eq!(
            hex::encode(from.request()),
            "0100000000000000\
             3900000000000000\
             0000000004030201\
             0102030405060708"
        );
    }
}
