//! Azure's confidential virtual machines: the paravisor's report in the virtual TPM, and the two
//! statements that Azure's metadata service adds.

use std::io;
use std::time::Duration;

use attest::azure::{AzureRefusal, HardwareReport, HclReport, RuntimeClaims};
use attest::snp::Endorsements;
use attest::tpm_quote::{TpmQuote, TpmQuoteFault};
use attest::{HexBytes, ReportData};
use base64::Engine;
use base64::engine::general_purpose::URL_SAFE_NO_PAD;
use serde::{Deserialize, Serialize};

use crate::certs;
use crate::machine::{Machine, Tpm};
use crate::tpm::{self, TpmFault};

/// Where the virtual TPM is.
pub(crate) const DEVICE: &str = "/dev/tpmrm0";
const REPORT: u32 = 0x0140_0001;
const GUEST_DATA: u32 = 0x0140_0002;
const ATTESTATION_KEY: u32 = 0x8100_0003;
/// The paravisor renews the report this long after the guest wrote its data, at the latest.
const RENEWAL: Duration = Duration::from_secs(3);
/// A register may change between reading and quoting it: this many attempts.
const ATTEMPTS: u32 = 3;
const ANSWER_MAX: usize = 256 * 1024;

/// Azure gave no evidence.
#[derive(Debug, thiserror::Error)]
pub enum AzureFault {
    /// See [`TpmFault`].
    #[error(transparent)]
    Tpm(#[from] TpmFault),
    /// This virtual machine has a TPM without a report: it is not a confidential one.
    #[error("the TPM holds no report; this is not one of Azure's confidential virtual machines")]
    NoReport,
    /// The report cannot be read, or is not about what was asked.
    #[error(transparent)]
    Report(#[from] AzureRefusal),
    /// The metadata service cannot be reached. See whether a proxy or firewall is in its way.
    #[error("Azure's metadata service did not answer; see what is between it and this machine")]
    Unreachable(#[source] io::Error),
    /// It answered something else.
    #[error("Azure's metadata service answered {0}")]
    Answer(String),
}

/// What Azure has for a guest that asked with 64 bytes.
#[derive(Debug)]
pub(crate) struct AzureReport {
    pub(crate) hardware: AzureHardware,
    pub(crate) claims: RuntimeClaims,
    pub(crate) boot: TpmQuote,
}

/// What the hardware signed, and Azure's statements about it.
#[derive(Debug)]
pub(crate) enum AzureHardware {
    Snp(Vec<u8>, Endorsements),
    Tdx(Vec<u8>),
}

/// Whether the TPM is one with a report in it.
pub(crate) fn is_there(machine: &dyn Machine) -> bool {
    let area = machine
        .tpm()
        .map_err(TpmFault::from)
        .and_then(|mut tpm| tpm::area_length(tpm.as_mut(), REPORT));
    matches!(area, Ok(Some(_)))
}

/// Has the paravisor report 64 bytes of ours.
pub(crate) fn report(machine: &dyn Machine, data: &[u8; 64]) -> Result<AzureReport, AzureFault> {
    let mut tpm = machine.tpm().map_err(TpmFault::from)?;
    let report = fresh_report(machine, tpm.as_mut(), data)?;
    let boot = boot(tpm.as_mut(), &report.claims, &HexBytes(*data))?;
    let hardware = match report.hardware {
        HardwareReport::Snp(report) => AzureHardware::Snp(report, endorsements(machine)?),
        HardwareReport::Tdx(td_report) => AzureHardware::Tdx(quote(machine, &td_report)?),
    };
    Ok(AzureReport {
        hardware,
        claims: report.claims,
        boot,
    })
}

/// What the TPM says about the boot, by the key that the paravisor vouches for.
fn boot(
    tpm: &mut dyn Tpm,
    claims: &RuntimeClaims,
    report_data: &ReportData,
) -> Result<TpmQuote, AzureFault> {
    let key = claims.attestation_key()?;
    let nonce = TpmQuote::nonce_for(report_data);
    let mut attempts = 1..=ATTEMPTS;
    loop {
        let quote = tpm::quote(tpm, ATTESTATION_KEY, &nonce)?;
        match quote.verify(&key, &nonce) {
            Ok(()) => return Ok(quote),
            Err(TpmQuoteFault::Registers) if attempts.next().is_some() => {}
            Err(fault) => return Err(AzureRefusal::from(fault).into()),
        }
    }
}

fn fresh_report(
    machine: &dyn Machine,
    tpm: &mut dyn Tpm,
    data: &[u8; 64],
) -> Result<HclReport, AzureFault> {
    if tpm::area_length(tpm, GUEST_DATA)?.is_none() {
        tpm::define_area(tpm, GUEST_DATA, 64)?;
    }
    tpm::write_area(tpm, GUEST_DATA, data)?;
    machine.wait(RENEWAL);
    let length = tpm::area_length(tpm, REPORT)?.ok_or(AzureFault::NoReport)?;
    let report = HclReport::parse(&tpm::read_area(tpm, REPORT, length)?)?;
    // A report from before our data would be refused far away; say so here.
    report.claims.hardware_data_for(&HexBytes(*data))?;
    Ok(report)
}

fn endorsements(machine: &dyn Machine) -> Result<Endorsements, AzureFault> {
    let answer = ask(machine, "GET", "/metadata/THIM/amd/certification", "")?;
    certs::from_azure(&answer)
        .ok_or_else(|| AzureFault::Answer("certificates that cannot be read".to_owned()))
}

fn quote(machine: &dyn Machine, td_report: &[u8]) -> Result<Vec<u8>, AzureFault> {
    #[derive(Serialize)]
    struct Request {
        report: String,
    }
    #[derive(Deserialize)]
    struct Answer {
        quote: String,
    }
    let report = URL_SAFE_NO_PAD.encode(td_report);
    let body = serde_json::to_string(&Request { report });
    let body = body.map_err(|error| AzureFault::Answer(error.to_string()))?;
    let answer = ask(machine, "POST", "/acc/tdquote", &body)?;
    let unreadable = || AzureFault::Answer("a quote that cannot be read".to_owned());
    let answer: Answer = serde_json::from_slice(&answer).map_err(|_| unreadable())?;
    URL_SAFE_NO_PAD
        .decode(answer.quote.trim_end_matches('='))
        .map_err(|_| unreadable())
}

/// One request to the metadata service, which refuses those that a browser could have sent.
fn ask(machine: &dyn Machine, method: &str, path: &str, body: &str) -> Result<Vec<u8>, AzureFault> {
    let length = body.len();
    let request = format!(
        "{method} {path} HTTP/1.0\r\nHost: 169.254.169.254\r\nMetadata: true\r\n\
         Content-Type: application/json\r\nContent-Length: {length}\r\n\r\n{body}"
    );
    let answer = machine
        .metadata(request.as_bytes(), ANSWER_MAX)
        .map_err(AzureFault::Unreachable)?;
    body_of(&answer).map_err(AzureFault::Answer)
}

/// The body of an answer in HTTP/1.0: all that comes until the service hangs up. A service that
/// answers in chunks all the same is understood too.
fn body_of(answer: &[u8]) -> Result<Vec<u8>, String> {
    let end = answer.windows(4).position(|bytes| bytes == b"\r\n\r\n");
    let end = end.ok_or("no HTTP")?;
    let (head, body) = (&answer[..end], &answer[end + 4..]);
    let head = str::from_utf8(head).map_err(|_| "no HTTP")?;
    let mut lines = head.split("\r\n");
    let status = lines.next().unwrap_or_default();
    if status.split(' ').nth(1) != Some("200") {
        return Err(status.chars().take(100).collect());
    }
    let chunked = lines.any(|line| {
        let (name, value) = line.split_once(':').unwrap_or_default();
        name.eq_ignore_ascii_case("transfer-encoding") && value.trim() == "chunked"
    });
    match chunked {
        true => unchunked(body).ok_or_else(|| "a body that was cut".to_owned()),
        false => Ok(body.to_vec()),
    }
}

fn unchunked(mut body: &[u8]) -> Option<Vec<u8>> {
    let mut whole = Vec::new();
    loop {
        let line = body.windows(2).position(|bytes| bytes == b"\r\n")?;
        let size = str::from_utf8(&body[..line]).ok()?;
        let size = usize::from_str_radix(size.split(';').next()?.trim(), 16).ok()?;
        body = &body[line + 2..];
        if size == 0 {
            return Some(whole);
        }
        whole.extend_from_slice(body.get(..size)?);
        body = body.get(size..)?.strip_prefix(b"\r\n")?;
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn answers_are_read_whole_or_in_chunks() {
        let whole = b"HTTP/1.1 200 OK\r\nContent-Length: 4\r\n\r\nbody";
        assert_eq!(body_of(whole).unwrap(), b"body");
        let chunked = b"HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\n3;x=y\r\nbod\r\n1\r\ny\r\n0\r\n\r\n";
        assert_eq!(body_of(chunked).unwrap(), b"body");
        for cut in [&chunked[..chunked.len() - 8], &chunked[..60], b"HTTP"] {
            assert!(body_of(cut).is_err());
        }
        let refused = b"HTTP/1.1 404 Not Found\r\n\r\n{}";
        assert_eq!(body_of(refused).unwrap_err(), "HTTP/1.1 404 Not Found");
        let endless = b"HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\nffffffffffffffff\r\n";
        assert!(body_of(endless).is_err());
    }
}
