//! CPU time of one verification of each kind, over real evidence.
//!
//! `cargo run --release -p attest --example speed`
#![expect(
    clippy::print_stdout,
    clippy::unwrap_used,
    reason = "a tool for people; its evidence is known to be good"
)]

use std::fs;
use std::time::Instant;

use attest::intel::{Collateral, IntelEvidence, SgxPolicy, TdxPolicy};
use attest::nitro::{NitroEvidence, NitroPolicy};
use attest::snp::{Endorsements, Report, SnpEvidence, SnpPolicy, Tcb};
use attest::uvm::{UvmFeed, UvmPolicy};
use attest::{HexBytes, UnixTime, intel, nitro, snp, uvm};

/// Within the validity of the chip's certificate.
const TODAY: UnixTime = UnixTime(1_795_000_000);
/// When the Nitro document was made.
const THEN: UnixTime = UnixTime(1_736_179_625);
const ROUNDS: u32 = 300;

const REPORT: &[u8] = include_bytes!("../testdata/snp/caci_report.bin");
const VCEK: &[u8] = include_bytes!("../testdata/snp/caci_vcek.der");
const UVM: &[u8] = include_bytes!("../testdata/snp/caci_uvm.cose");

fn main() {
    println!("{:44} {:>9} {:>9}", "", "CPU ms", "target");
    let (mut evidence, policy) = container();
    let data = HexBytes::ZERO;
    measure("SNP report, UVM endorsement", None, || {
        assert!(snp::verify(&evidence, &policy, &data, TODAY).is_ok());
    });
    measure("UVM endorsement alone", None, || {
        assert!(uvm::verify(UVM, TODAY).is_ok());
    });
    evidence.uvm_endorsements = None;
    measure("SNP report", Some(5.0), || {
        assert!(snp::verify(&evidence, &policy, &data, TODAY).is_ok());
    });
    for (name, quote, collateral) in quotes() {
        let (_, until) = collateral.window().unwrap();
        let evidence = IntelEvidence { quote, collateral };
        let now = UnixTime(until.0 - 86_400);
        // The policies accept nothing, which is found out after everything else.
        let (tdx, sgx) = (TdxPolicy::default(), SgxPolicy::default());
        measure(name, Some(2.0), || {
            let refused = match name.starts_with("TDX") {
                true => intel::verify_tdx(&evidence, &tdx, &data, now).is_err(),
                false => intel::verify_sgx(&evidence, &sgx, &data, now).is_err(),
            };
            assert!(refused);
        });
    }
    let document = include_bytes!("../testdata/nitro/document.cose").to_vec();
    let enclave = NitroEvidence { document };
    let none = NitroPolicy::default();
    measure("Nitro document", None, || {
        assert!(nitro::verify(&enclave, &none, &data, THEN).is_err());
    });
}

fn container() -> (SnpEvidence, SnpPolicy) {
    let report = Report::parse(REPORT).unwrap();
    let product = report.cpuid.unwrap().product().unwrap();
    let endorsement = uvm::verify(UVM, TODAY).unwrap();
    let feeds = [(endorsement.feed, UvmFeed { svn: 0 })].into();
    let policy = SnpPolicy {
        measurements: [report.measurement].into(),
        uvm_endorsements: UvmPolicy([(endorsement.issuer, feeds)].into()),
        host_data: [report.host_data].into(),
        minimum_tcb: [(product, Tcb::from_bytes(product, [0; 8]))].into(),
        ..SnpPolicy::default()
    };
    let evidence = SnpEvidence {
        report: REPORT.to_vec(),
        endorsements: Endorsements::of_vcek(VCEK),
        uvm_endorsements: Some(UVM.to_vec()),
    };
    (evidence, policy)
}

fn quotes() -> [(&'static str, Vec<u8>, Collateral); 3] {
    let collateral = |json| serde_json::from_str(json).unwrap();
    [
        (
            "TDX quote, version 4",
            include_bytes!("../testdata/intel/tdx_quote").to_vec(),
            collateral(include_str!("../testdata/intel/tdx_quote_collateral.json")),
        ),
        (
            "TDX quote, version 5",
            include_bytes!("../testdata/intel/tdx_quote_td15ex").to_vec(),
            collateral(include_str!(
                "../testdata/intel/tdx_quote_td15ex_collateral.json"
            )),
        ),
        (
            "SGX quote, version 3",
            include_bytes!("../testdata/intel/sgx_quote").to_vec(),
            collateral(include_str!("../testdata/intel/sgx_quote_collateral.json")),
        ),
    ]
}

fn measure(name: &str, target_ms: Option<f64>, mut verify: impl FnMut()) {
    verify();
    let clock = Instant::now();
    let before = cpu_nanoseconds();
    for _ in 0..ROUNDS {
        verify();
    }
    let spent = match (before, cpu_nanoseconds()) {
        (Some(before), Some(after)) => (after - before) as f64,
        // Where the system does not say, the wall clock has to do.
        _ => clock.elapsed().as_nanos() as f64,
    };
    let each = spent / f64::from(ROUNDS) / 1e6;
    let target = target_ms.map_or_else(String::new, |target| format!("{target:.1}"));
    println!("{name:44} {each:9.2} {target:>9}");
}

/// What this thread has computed so far, by the scheduler's own account.
fn cpu_nanoseconds() -> Option<u64> {
    let text = fs::read_to_string("/proc/thread-self/schedstat").ok()?;
    text.split(' ').next()?.parse().ok()
}
