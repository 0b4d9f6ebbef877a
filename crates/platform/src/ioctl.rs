//! The three requests of `/dev/sev-guest` and the one of `/dev/nsm`: the only unsafe code of the house.
//!
//! `linux/sev-guest.h`: each request is a structure of 32 bytes that holds the addresses of a
//! request and of room for the response. The kernel reads and writes exactly as many bytes behind
//! them as the request's number says. `linux/nsm.h`: the structure holds two addresses with their
//! lengths, and the kernel says in the second how much it wrote.
#![expect(
    unsafe_code,
    reason = "an ioctl that takes addresses has no safe form; each is made and used in one function"
)]

use std::fs::File;
use std::io;

use rustix::ioctl::{Opcode, Updater, ioctl, opcode};
use zeroize::Zeroizing;

use crate::machine::{SevFault, SevGuest};

const GET_REPORT: Opcode = opcode::read_write::<GuestRequest>(b'S', 0);
const GET_DERIVED_KEY: Opcode = opcode::read_write::<GuestRequest>(b'S', 1);
const GET_EXT_REPORT: Opcode = opcode::read_write::<GuestRequest>(b'S', 2);

const NSM: Opcode = opcode::read_write::<NsmMessage>(0x0a, 0);
/// The longest response of the security module (`NSM_RESPONSE_MAX_SIZE`).
const NSM_RESPONSE_MAX: usize = 0x3000;

/// `struct nsm_iovec`, twice: the request and room for the response.
#[repr(C)]
struct NsmMessage {
    request: u64,
    request_length: u64,
    response: u64,
    response_length: u64,
}

/// `struct snp_guest_request_ioctl`.
#[repr(C)]
struct GuestRequest {
    message_version: u8,
    request: u64,
    response: u64,
    /// The firmware's error below, the host's above.
    errors: u64,
}

/// `struct snp_ext_report_req`.
#[repr(C)]
struct ExtendedRequest {
    request: [u8; 96],
    certs: u64,
    certs_len: u32,
}

/// An open `/dev/sev-guest`, or a file that should have been one.
pub(crate) struct Device(pub(crate) File);

impl SevGuest for Device {
    fn report(&mut self, request: &[u8; 96]) -> Result<Box<[u8; 4000]>, SevFault> {
        let mut response = Box::new([0; 4000]);
        // SAFETY: the kernel reads 96 bytes (`struct snp_report_req`) and writes 4,000 bytes at most
        // (`struct snp_report_resp`), which both live until the call returns.
        unsafe {
            self.request::<GET_REPORT>(
                address(std::ptr::from_ref(request)),
                address(response.as_mut_ptr()),
            )
        }?;
        Ok(response)
    }

    fn extended_report(
        &mut self,
        request: &[u8; 96],
        certs: &mut [u8],
        certs_len: &mut u32,
    ) -> Result<Box<[u8; 4000]>, SevFault> {
        let mut response = Box::new([0; 4000]);
        let room = u32::try_from(certs.len()).unwrap_or(u32::MAX);
        let mut extended = ExtendedRequest {
            request: *request,
            certs: address(certs.as_mut_ptr()),
            certs_len: room,
        };
        // SAFETY: the kernel reads `struct snp_ext_report_req`, of which it rewrites the length, and
        // writes up to `certs_len` bytes of certificates and 4,000 bytes of response; all three live
        // until the call returns.
        let result = unsafe {
            self.request::<GET_EXT_REPORT>(
                address(std::ptr::from_mut(&mut extended)),
                address(response.as_mut_ptr()),
            )
        };
        *certs_len = extended.certs_len;
        result.map(|()| response)
    }

    fn derived_key(&mut self, request: &[u8; 32]) -> Result<Zeroizing<[u8; 64]>, SevFault> {
        // `struct snp_derived_key_req` has grown to 40 bytes; older kernels read the first 32.
        let mut long = [0; 40];
        long[..32].copy_from_slice(request);
        let mut response = Zeroizing::new([0; 64]);
        // SAFETY: the kernel reads 40 bytes at most and writes 64 (`struct snp_derived_key_resp`),
        // which both live until the call returns.
        unsafe {
            self.request::<GET_DERIVED_KEY>(address(long.as_ptr()), address(response.as_mut_ptr()))
        }?;
        Ok(response)
    }
}

/// An address for the kernel. Exposed, so that the compiler knows that what is there may change.
fn address<T>(pointer: *const T) -> u64 {
    pointer.expose_provenance() as u64
}

impl Device {
    /// # Safety
    /// `request` and `response` are addresses of what the request with that number reads and writes.
    unsafe fn request<const NUMBER: Opcode>(
        &self,
        request: u64,
        response: u64,
    ) -> Result<(), SevFault> {
        let mut call = GuestRequest {
            message_version: 1,
            request,
            response,
            errors: 0,
        };
        // SAFETY: `GuestRequest` is what all requests of this device take and update; the caller
        // answers for the addresses in it.
        let result = unsafe { ioctl(&self.0, Updater::<NUMBER, _>::new(&mut call)) };
        let [a, b, c, d, e, f, g, h] = call.errors.to_le_bytes();
        result.map_err(|error| SevFault {
            error: io::Error::from(error),
            firmware: u32::from_le_bytes([a, b, c, d]),
            host: u32::from_le_bytes([e, f, g, h]),
        })
    }
}

/// Sends one message to the security module of a Nitro enclave and receives its response.
pub(crate) fn nsm(device: &File, request: &[u8]) -> io::Result<Vec<u8>> {
    let mut response = vec![0; NSM_RESPONSE_MAX];
    let mut message = NsmMessage {
        request: address(request.as_ptr()),
        request_length: request.len() as u64,
        response: address(response.as_mut_ptr()),
        response_length: response.len() as u64,
    };
    // SAFETY: `NsmMessage` is what that request takes and updates; the kernel reads `request_length`
    // bytes of the request and writes up to `response_length` bytes of response, which both live
    // until the call returns.
    unsafe { ioctl(device, Updater::<NSM, _>::new(&mut message)) }?;
    let length = usize::try_from(message.response_length).unwrap_or(usize::MAX);
    response.truncate(length);
    Ok(response)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_numbers_and_layouts_are_the_kernels() {
        // As `linux/sev-guest.h` has them on every 64-bit architecture with SNP.
        assert_eq!(GET_REPORT, 0xc020_5300);
        assert_eq!(GET_DERIVED_KEY, 0xc020_5301);
        assert_eq!(GET_EXT_REPORT, 0xc020_5302);
        assert_eq!(NSM, 0xc020_0a00);
        assert_eq!(std::mem::offset_of!(GuestRequest, request), 8);
        assert_eq!(std::mem::offset_of!(GuestRequest, errors), 24);
        assert_eq!(std::mem::offset_of!(ExtendedRequest, certs), 96);
        assert_eq!(std::mem::offset_of!(ExtendedRequest, certs_len), 104);
        assert_eq!(size_of::<ExtendedRequest>(), 112);
    }
}
