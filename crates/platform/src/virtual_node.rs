//! A node without hardware: its own word, asked for by name and never by default.

use std::io;

use attest::insecure_virtual::{VirtualEvidence, measurement};
use attest::{Evidence, HexBytes, ReportData};
use aws_lc_rs::digest;

use crate::machine::Machine;

/// Says about this process what nobody vouches for: the measurement that all virtual nodes claim,
/// and as host data the SHA-256 of the program that runs.
///
/// # Errors
/// When the program's own file cannot be read.
pub fn collect_virtual(machine: &dyn Machine, report_data: &ReportData) -> io::Result<Evidence> {
    let digest = digest::digest(&digest::SHA256, &machine.program()?);
    let mut host_data = HexBytes::ZERO;
    host_data.0.copy_from_slice(digest.as_ref());
    Ok(Evidence::Virtual(VirtualEvidence {
        measurement: measurement(),
        host_data,
        report_data: *report_data,
    }))
}
