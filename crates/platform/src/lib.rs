//! Reach: whatever runs on confidential hardware can show so from here, be it a node, a clean room
//! or a tool; and all that touches devices for it stands in one place.
//!
//! [`collect`] asks the platform, whichever it is, to sign 64 bytes, and hands out what it says as
//! [`attest::Evidence`]. Where a vendor's statements are missing still, [`Collected`] says which, and
//! takes them: fetching them over the network is the caller's business.
//!
//! Every access to the system goes through [`Machine`]. [`Linux`] is the real one; tests run the same
//! code against machines that behave as the kernel's documentation says.

mod azure;
mod certs;
mod collect;
mod gramine;
mod ioctl;
mod linux;
mod machine;
mod nsm;
mod security_context;
mod sev_guest;
#[cfg(test)]
mod simulated;
mod tpm;
mod tsm;
mod virtual_node;

pub use azure::AzureFault;
pub use collect::{BareQuote, BareReport, CollectFault, Collected, Platform, collect, detect};
pub use gramine::GramineFault;
pub use linux::Linux;
pub use machine::{Machine, SevFault, SevGuest, Tpm};
pub use nsm::NsmFault;
pub use security_context::SecurityContext;
pub use sev_guest::{RootKey, SealingKey, SevGuestFault, sealing_key};
pub use tpm::TpmFault;
pub use tsm::TsmFault;
pub use virtual_node::collect_virtual;
