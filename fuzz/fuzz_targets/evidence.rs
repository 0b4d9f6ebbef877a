//! Hardware evidence: of all that can be made of a real report or quote, only what the hardware
//! signed is believed. The first byte says what the rest is.
#![no_main]

use std::sync::LazyLock;

use attest::azure::HclReport;
use attest::intel::{Collateral, IntelEvidence, SgxPolicy};
use attest::join::JoinTable;
use attest::nitro::{NitroEvidence, NitroPolicy};
use attest::snp::{Endorsements, Product, Report, SnpEvidence, SnpPolicy, Tcb};
use attest::uvm::UvmEndorsement;
use attest::{Evidence, HexBytes, JoinPolicy, UnixTime, intel, nitro, snp, uvm};
use libfuzzer_sys::fuzz_target;

const VCEK: &[u8] = include_bytes!("../../crates/attest/testdata/snp/vcek_milan.der");
const TODAY: UnixTime = UnixTime(1_795_000_000);

static MILAN: LazyLock<(Vec<u8>, SnpPolicy)> = LazyLock::new(|| {
    let text = include_str!("../../crates/attest/testdata/snp/report_milan.hex");
    let digits = text.trim().as_bytes().chunks(2);
    let byte = |pair: &[u8]| u8::from_str_radix(std::str::from_utf8(pair).unwrap(), 16).unwrap();
    let report: Vec<u8> = digits.map(byte).collect();
    let read = Report::parse(&report).unwrap();
    let policy = SnpPolicy {
        measurements: [read.measurement].into(),
        host_data: [read.host_data].into(),
        minimum_tcb: [(Product::Milan, Tcb::from_bytes(Product::Milan, [0; 8]))].into(),
        accept_version_2: true,
        ..SnpPolicy::default()
    };
    (report, policy)
});
static COLLATERAL: LazyLock<Collateral> = LazyLock::new(|| {
    let json = include_str!("../../crates/attest/testdata/intel/sgx_quote_collateral.json");
    serde_json::from_str(json).unwrap()
});

static ENDORSEMENT: LazyLock<UvmEndorsement> = LazyLock::new(|| {
    let real = include_bytes!("../../crates/attest/testdata/snp/caci_uvm.cose");
    uvm::verify(real, TODAY).unwrap()
});

fuzz_target!(|bytes: &[u8]| {
    let Some((kind, bytes)) = bytes.split_first() else {
        return;
    };
    match kind {
        b'r' => {
            let (real, policy) = &*MILAN;
            let evidence = SnpEvidence {
                report: bytes.to_vec(),
                endorsements: Endorsements::of_vcek(VCEK),
                uvm_endorsements: None,
            };
            let said = Report::parse(bytes).map_or(HexBytes::ZERO, |report| report.report_data);
            let believed = snp::verify(&evidence, policy, &said, TODAY).is_ok();
            assert_eq!(believed, bytes == real);
        }
        b'c' => {
            let (real, policy) = &*MILAN;
            let endorsements = Endorsements::of_vcek(bytes);
            let report = real.clone();
            let evidence = SnpEvidence {
                report,
                endorsements,
                uvm_endorsements: None,
            };
            let _ = snp::verify(&evidence, policy, &HexBytes::ZERO, TODAY);
            let _ = Endorsements::from_pem(bytes);
        }
        b'q' => {
            let evidence = IntelEvidence {
                quote: bytes.to_vec(),
                collateral: COLLATERAL.clone(),
            };
            // No enclave is on that policy's list.
            let (_, until) = COLLATERAL.window().unwrap();
            let now = UnixTime(until.0 - 1);
            let none = SgxPolicy::default();
            assert!(intel::verify_sgx(&evidence, &none, &HexBytes::ZERO, now).is_err());
        }
        b'h' => {
            if let Ok(report) = HclReport::parse(bytes) {
                assert_eq!(HclReport::parse(bytes), Ok(report));
            }
        }
        b'u' => {
            if let Ok(endorsement) = uvm::verify(bytes, TODAY) {
                assert_eq!(endorsement, *ENDORSEMENT);
            }
        }
        b'n' => {
            let document = bytes.to_vec();
            // When the seed was made; no image is on that policy's list.
            let then = UnixTime(1_736_179_625);
            let none = NitroPolicy::default();
            let evidence = NitroEvidence { document };
            assert!(nitro::verify(&evidence, &none, &HexBytes::ZERO, then).is_err());
        }
        b't' => {
            let Some((&table, row)) = bytes.split_first() else {
                return;
            };
            let table = JoinTable::ALL[usize::from(table) % JoinTable::ALL.len()];
            let mut parts = row.splitn(2, |&byte| byte == b'\n');
            let (key, value) = (parts.next().unwrap_or(&[]), parts.next().unwrap_or(&[]));
            let mut policy = JoinPolicy::default();
            if policy.add_row(table, key, value).is_ok() {
                let again = serde_json::to_vec(&policy).unwrap();
                assert_eq!(
                    serde_json::from_slice::<JoinPolicy>(&again).unwrap(),
                    policy
                );
            }
        }
        _ => {
            if let Ok(evidence) = Evidence::from_json(bytes) {
                let again = serde_json::to_vec(&evidence).unwrap();
                assert_eq!(Evidence::from_json(&again), Ok(evidence));
            }
        }
    }
});
