//! Evidence collected on simulated machines; where the hardware's words are real, it is believed.

use std::sync::LazyLock;

use attest::intel::{Collateral, PlatformPolicy, SgxPolicy, SgxSigner, TcbStatus};
use attest::snp::{Endorsements, Report, SnpPolicy, Tcb};
use attest::tpm_quote::BootRegisters;
use attest::uvm::{UvmFeed, UvmPolicy};
use attest::{Evidence, HexBytes, Policy, ReportData, UnixTime, Verdict};
use aws_lc_rs::rand::SystemRandom;
use aws_lc_rs::rsa::KeySize;
use aws_lc_rs::signature::{KeyPair, RSA_PKCS1_SHA256, RsaKeyPair};
use base64::Engine;
use base64::engine::general_purpose::{STANDARD, URL_SAFE_NO_PAD};

use super::*;
use crate::azure::AzureFault;
use crate::certs::tests::{GUIDS, table};
use crate::collect::{CollectFault, Collected, Platform, collect, detect};
use crate::gramine::{self, GramineFault};
use crate::security_context::SecurityContext;
use crate::sev_guest::{RootKey, SealingKey, SevGuestFault, sealing_key};
use crate::tsm::TsmFault;
use crate::virtual_node::collect_virtual;

const SNP_REPORT: &[u8] = include_bytes!("../../../attest/testdata/snp/caci_report.bin");
const VCEK: &[u8] = include_bytes!("../../../attest/testdata/snp/caci_vcek.der");
const UVM: &[u8] = include_bytes!("../../../attest/testdata/snp/caci_uvm.cose");
const SGX_QUOTE: &[u8] = include_bytes!("../../../attest/testdata/intel/sgx_quote");
const TDX_QUOTE: &[u8] = include_bytes!("../../../attest/testdata/intel/tdx_quote");
const HCL_TDX: &[u8] = include_bytes!("../../../attest/testdata/azure/hcl-report-tdx.bin");
const TODAY: UnixTime = UnixTime(1_795_000_000);
/// What the real report is over, and the real trust domain's paravisor.
const NOTHING: ReportData = HexBytes::ZERO;

/// A policy for the real SNP report, by its endorsement.
fn accepting() -> Policy {
    let report = Report::parse(SNP_REPORT).unwrap();
    let product = report.cpuid.unwrap().product().unwrap();
    let feed = "ContainerPlat-AMD-UVM".to_owned();
    let issuer = "did:x509:0:sha256:I__iuL25oXEVFdTP_aBLx_eT1RPHbCQ_ECBQfYZpt9s::eku:1.3.6.1.4.1.311.76.59.1.2";
    let feeds = [(feed, UvmFeed { svn: 100 })].into();
    Policy {
        snp: Some(SnpPolicy {
            measurements: [report.measurement].into(),
            uvm_endorsements: UvmPolicy([(issuer.to_owned(), feeds)].into()),
            host_data: [report.host_data].into(),
            minimum_tcb: [(product, Tcb::from_bytes(product, [0; 8]))].into(),
            ..SnpPolicy::default()
        }),
        ..Policy::default()
    }
}

fn tsm(kernel: TsmKernel) -> Simulated {
    Simulated {
        tsm: Some(RefCell::new(kernel)),
        ..Simulated::default()
    }
}

fn snp_kernel() -> TsmKernel {
    TsmKernel {
        auxblob: Some(table(&[(GUIDS[0], VCEK)])),
        ..TsmKernel::new("sev_guest", NOTHING.0, SNP_REPORT)
    }
}

fn firmware() -> SevFirmware {
    SevFirmware {
        knows: NOTHING.0.to_vec(),
        report: SNP_REPORT.to_vec(),
        certs: table(&[(GUIDS[0], VCEK)]),
        ..SevFirmware::default()
    }
}

fn sev(firmware: SevFirmware) -> Simulated {
    Simulated {
        sev: Some(Rc::new(RefCell::new(firmware))),
        ..Simulated::default()
    }
}

fn complete(machine: &Simulated, context: Option<&SecurityContext>) -> Evidence {
    match collect(machine, context, &NOTHING).unwrap() {
        Collected::Complete(evidence) => *evidence,
        other => panic!("{other:?}"),
    }
}

fn is_believed(evidence: &Evidence) {
    let verdict = evidence.verify(&accepting(), &NOTHING, TODAY).unwrap();
    assert!(matches!(verdict, Verdict::Snp(_)));
}

#[test]
fn a_report_through_the_kernels_common_door_is_believed() {
    let machine = tsm(snp_kernel());
    assert_eq!(detect(&machine).unwrap(), Platform::Tsm);
    is_believed(&complete(&machine, None));
    let kernel = machine.tsm.unwrap().into_inner();
    assert!(
        kernel.requests.is_empty(),
        "the request's folder is removed"
    );
    assert_eq!(kernel.made, 1);
}

#[test]
fn a_request_that_somebody_else_wrote_to_is_made_again() {
    let machine = tsm(TsmKernel {
        disturbances: 2,
        ..snp_kernel()
    });
    is_believed(&complete(&machine, None));
    let kernel = machine.tsm.unwrap().into_inner();
    assert_eq!((kernel.made, kernel.requests.len()), (3, 0));

    let machine = tsm(TsmKernel {
        disturbances: 9,
        ..snp_kernel()
    });
    let fault = collect(&machine, None, &NOTHING).unwrap_err();
    assert!(
        matches!(fault, CollectFault::Tsm(TsmFault::Disturbed)),
        "{fault}"
    );
    assert!(machine.tsm.unwrap().into_inner().requests.is_empty());
}

#[test]
fn a_report_without_certificates_waits_for_them() {
    for auxblob in [None, Some(Vec::new()), Some(vec![0; 4096])] {
        let machine = tsm(TsmKernel {
            auxblob,
            ..snp_kernel()
        });
        let Collected::Report(bare) = collect(&machine, None, &NOTHING).unwrap() else {
            panic!("there is no certificate");
        };
        let address = attest::snp::vcek_address(&bare.report).unwrap();
        assert!(
            address.ends_with("?blSPL=4&teeSPL=0&snpSPL=24&ucodeSPL=219"),
            "{address}"
        );
        is_believed(&bare.with(Endorsements::of_vcek(VCEK)));
    }
}

#[test]
fn a_quote_through_the_kernels_common_door_waits_for_intels_statements() {
    let knows = TDX_QUOTE[48 + 520..48 + 584].try_into().unwrap();
    let machine = tsm(TsmKernel::new("tdx_guest", knows, TDX_QUOTE));
    let Collected::Quote(bare) = collect(&machine, None, &HexBytes(knows)).unwrap() else {
        panic!("there is no collateral");
    };
    assert_eq!(bare.quote, TDX_QUOTE);
    let collateral = include_str!("../../../attest/testdata/intel/tdx_quote_collateral.json");
    let collateral: Collateral = serde_json::from_str(collateral).unwrap();
    assert!(matches!(bare.with(collateral), Evidence::Tdx(_)));
}

#[test]
fn an_unknown_provider_and_a_refusing_kernel_say_so() {
    let machine = tsm(TsmKernel::new("arm_cca_guest", NOTHING.0, b"token"));
    let fault = collect(&machine, None, &NOTHING).unwrap_err();
    assert!(matches!(fault, CollectFault::Provider(name) if name == "arm_cca_guest"));

    let machine = tsm(TsmKernel::new("tdx_guest", NOTHING.0, &[0; 32 * 1024 + 1]));
    let fault = collect(&machine, None, &NOTHING).unwrap_err();
    assert!(fault.to_string().contains("/outblob"), "{fault}");
    assert!(machine.tsm.unwrap().into_inner().requests.is_empty());
}

#[test]
fn a_report_by_the_device_is_believed() {
    let machine = sev(firmware());
    assert_eq!(detect(&machine).unwrap(), Platform::SevGuest);
    is_believed(&complete(&machine, None));
    let firmware = machine.sev.unwrap();
    // First how much room the certificates need, then all of it.
    assert_eq!(firmware.borrow().calls, ["extended", "extended", "report"]);
}

#[test]
fn a_busy_host_is_asked_again_and_a_plain_one_plainly() {
    let machine = sev(SevFirmware {
        busy: 3,
        ..firmware()
    });
    is_believed(&complete(&machine, None));
    assert_eq!(*machine.waited.borrow(), Duration::from_millis(300));

    let machine = sev(SevFirmware {
        plain_only: true,
        ..firmware()
    });
    let collected = collect(&machine, None, &NOTHING).unwrap();
    assert!(matches!(collected, Collected::Report(_)));

    let machine = sev(SevFirmware {
        busy: 99,
        ..firmware()
    });
    let fault = collect(&machine, None, &NOTHING).unwrap_err();
    let busy = matches!(
        fault,
        CollectFault::SevGuest(SevGuestFault::Refused(SevFault { host: 2, .. }))
    );
    assert!(busy, "{fault}");
}

#[test]
fn a_firmware_that_refuses_is_quoted() {
    let machine = sev(SevFirmware {
        status: 0x16,
        ..firmware()
    });
    let fault = collect(&machine, None, &NOTHING).unwrap_err();
    let status = matches!(fault, CollectFault::SevGuest(SevGuestFault::Status(0x16)));
    assert!(status, "{fault}");
    let mut short = firmware();
    short.report.pop();
    let fault = collect(&sev(short), None, &NOTHING).unwrap_err();
    let length = matches!(fault, CollectFault::SevGuest(SevGuestFault::Length(1183)));
    assert!(length, "{fault}");
}

#[test]
fn a_container_group_brings_its_endorsements() {
    let machine = sev(SevFirmware {
        certs: Vec::new(),
        ..firmware()
    });
    let pem = |der: &[u8]| {
        let body = STANDARD.encode(der);
        format!("-----BEGIN CERTIFICATE-----\n{body}\n-----END CERTIFICATE-----\n")
    };
    let json = serde_json::json!({"vcekCert": pem(VCEK), "certificateChain": ""});
    let files = [
        ("host-amd-cert-base64", STANDARD.encode(json.to_string())),
        ("reference-info-base64", STANDARD.encode(UVM) + "\n"),
    ];
    for (name, text) in files {
        let path = format!("/security-context-1/{name}");
        machine.files.borrow_mut().insert(path, text.into_bytes());
    }
    let context = SecurityContext("/security-context-1/".to_owned());
    let evidence = complete(&machine, Some(&context));
    let verdict = evidence.verify(&accepting(), &NOTHING, TODAY).unwrap();
    let Verdict::Snp(verdict) = verdict else {
        panic!("it is SNP");
    };
    assert_eq!(verdict.uvm.unwrap().svn, 101);
}

#[test]
fn a_sealing_key_is_what_the_firmware_derives() {
    let from = SealingKey {
        root: RootKey::Chip,
        policy: true,
        image_id: false,
        family_id: false,
        measurement: true,
        guest_svn: None,
        tcb: None,
    };
    let key = sealing_key(&sev(firmware()), &from).unwrap();
    // This firmware hands back the request.
    assert_eq!(key[8], 0b1001);
    let refusing = sev(SevFirmware {
        status: 0x16,
        ..firmware()
    });
    assert!(sealing_key(&refusing, &from).is_err());
    assert!(sealing_key(&Simulated::default(), &from).is_err());
}

fn enclave(kind: &[u8]) -> Simulated {
    let machine = Simulated::default();
    let files = [
        (gramine::KIND, kind),
        ("/dev/attestation/user_report_data", &[]),
        ("/dev/attestation/quote", SGX_QUOTE),
    ];
    let files = files.map(|(path, bytes)| (path.to_owned(), bytes.to_vec()));
    machine.files.borrow_mut().extend(files);
    machine
}

#[test]
fn a_quote_of_gramine_is_believed() {
    let machine = enclave(b"dcap\n");
    assert_eq!(detect(&machine).unwrap(), Platform::Gramine);
    let report_data = HexBytes(SGX_QUOTE[48 + 320..48 + 384].try_into().unwrap());
    let Collected::Quote(bare) = collect(&machine, None, &report_data).unwrap() else {
        panic!("there is no collateral");
    };
    let written = machine.files.borrow()["/dev/attestation/user_report_data"].clone();
    assert_eq!(written, report_data.0);

    let collateral = include_str!("../../../attest/testdata/intel/sgx_quote_collateral.json");
    let collateral: Collateral = serde_json::from_str(collateral).unwrap();
    let (_, until) = collateral.window().unwrap();
    let signer = SgxSigner {
        signer: HexBytes(SGX_QUOTE[48 + 128..48 + 160].try_into().unwrap()),
        product_id: 0,
        minimum_svn: 0,
    };
    let policy = Policy {
        sgx: Some(SgxPolicy {
            platform: PlatformPolicy {
                statuses: [TcbStatus::ConfigurationAndSwHardeningNeeded].into(),
                ..PlatformPolicy::default()
            },
            signers: [signer].into(),
            ..SgxPolicy::default()
        }),
        ..Policy::default()
    };
    let evidence = bare.with(collateral);
    let verdict = evidence.verify(&policy, &report_data, UnixTime(until.0 - 1));
    assert!(matches!(verdict, Ok(Verdict::Sgx(_))), "{verdict:?}");
}

#[test]
fn a_manifest_without_quotes_is_named() {
    let fault = collect(&enclave(b"none\n"), None, &NOTHING).unwrap_err();
    let kind = matches!(&fault, CollectFault::Gramine(GramineFault::Kind(kind)) if kind == "none");
    assert!(kind, "{fault}");
}

/// The attestation key of the simulated TPMs.
static ATTESTATION_KEY: LazyLock<RsaKeyPair> =
    LazyLock::new(|| RsaKeyPair::generate(KeySize::Rsa2048).unwrap());

/// What a paravisor makes of the guest's data: a real report with another binding, which breaks its
/// signature but not its form.
fn paravisor(kind: u32, report: &[u8], report_data: usize, user_data: &[u8]) -> Vec<u8> {
    // RSAPublicKey in DER: nine bytes of framing, the modulus, and 65537.
    let modulus = &ATTESTATION_KEY.public_key().as_ref()[9..][..256];
    let claims = serde_json::json!({
        "keys": [{"kid": "HCLAkPub", "kty": "RSA", "e": "AQAB", "n": URL_SAFE_NO_PAD.encode(modulus)}],
        "user-data": hex::encode_upper(user_data),
    });
    let claims = claims.to_string();
    let digest = aws_lc_rs::digest::digest(&aws_lc_rs::digest::SHA256, claims.as_bytes());
    let mut report = report.to_vec();
    report[report_data..][..32].copy_from_slice(digest.as_ref());
    report[report_data + 32..][..32].fill(0);
    report.resize(1184, 0);
    let mut hcl = b"HCLA".to_vec();
    hcl.resize(32, 0);
    hcl.extend(report);
    for word in [0, 1, kind, 1, u32::try_from(claims.len()).unwrap()] {
        hcl.extend(word.to_le_bytes());
    }
    hcl.extend(claims.as_bytes());
    hcl.resize(2600, 0);
    hcl
}

fn on_snp(user_data: &[u8]) -> Vec<u8> {
    paravisor(2, SNP_REPORT, 0x50, user_data)
}

fn on_tdx(user_data: &[u8]) -> Vec<u8> {
    paravisor(4, &HCL_TDX[32..][..1024], 0x80, user_data)
}

fn azure(paravisor: fn(&[u8]) -> Vec<u8>) -> Simulated {
    let sign = |message: &[u8]| {
        let mut signature = vec![0; 256];
        let random = SystemRandom::new();
        let signed = ATTESTATION_KEY.sign(&RSA_PKCS1_SHA256, &random, message, &mut signature);
        signed.unwrap();
        signature
    };
    let tpm = SimulatedTpm {
        areas: [(0x0140_0001, paravisor(&[0; 64]))].into(),
        paravisor: Some(paravisor),
        signer: Some(Box::new(sign)),
        ..SimulatedTpm::default()
    };
    let pem = format!(
        "-----BEGIN CERTIFICATE-----\n{}\n-----END CERTIFICATE-----\n",
        STANDARD.encode(VCEK)
    );
    let certificates = serde_json::json!({"vcekCert": pem, "certificateChain": ""});
    let quote = serde_json::json!({"quote": URL_SAFE_NO_PAD.encode(TDX_QUOTE)});
    let metadata = [
        ("GET /metadata/THIM/amd/certification", certificates),
        ("POST /acc/tdquote", quote),
    ];
    let metadata =
        metadata.map(|(path, answer)| (path.to_owned(), answer.to_string().into_bytes()));
    Simulated {
        tpm: Some(Rc::new(RefCell::new(tpm))),
        metadata: metadata.into(),
        ..Simulated::default()
    }
}

fn change_tpm(machine: &Simulated, change: impl FnOnce(&mut SimulatedTpm)) {
    change(&mut machine.tpm.as_ref().unwrap().borrow_mut());
}

#[test]
fn azures_paravisor_is_asked_through_the_tpm() {
    let machine = azure(on_snp);
    assert_eq!(detect(&machine).unwrap(), Platform::AzureVtpm);
    let asked = HexBytes([5; 64]);
    // The first time the area of the guest's data is made, the second time it is there.
    for _ in 0..2 {
        // A register may change while it is read; then it is read again.
        change_tpm(&machine, |tpm| (tpm.changes, tpm.busy) = (2, 3));
        let collected = collect(&machine, None, &asked).unwrap();
        let Collected::Complete(evidence) = collected else {
            panic!("{collected:?}");
        };
        let Evidence::Snp(guest) = *evidence else {
            panic!("{evidence:?}");
        };
        let claims = guest.azure_claims.unwrap();
        let bound = claims.hardware_data_for(&asked).unwrap();
        let report = Report::parse(&guest.hardware.report).unwrap();
        assert_eq!(report.report_data, bound);
        assert_eq!(guest.hardware.endorsements.vek, VCEK);
        let zero = BootRegisters([(7, HexBytes::ZERO)].into());
        let booted = claims.check_boot(guest.tpm_quote.as_ref(), [&zero].into_iter(), &asked);
        assert_eq!(booted, Ok(()));
    }
    assert_eq!(*machine.waited.borrow(), Duration::from_secs(6));
}

#[test]
fn azures_trust_domains_get_their_quote_from_the_host() {
    let machine = azure(on_tdx);
    let Collected::Quote(bare) = collect(&machine, None, &HexBytes([1; 64])).unwrap() else {
        panic!("there is no collateral");
    };
    assert_eq!(bare.quote, TDX_QUOTE);
    let asked = machine.asked.borrow()[0].clone();
    let body = asked.split("\r\n\r\n").nth(1).unwrap();
    let body: serde_json::Value = serde_json::from_str(body).unwrap();
    let report = URL_SAFE_NO_PAD
        .decode(body["report"].as_str().unwrap())
        .unwrap();
    assert_eq!(report.len(), 1024);
    assert_eq!(report[..0x80], HCL_TDX[32..][..0x80]);
}

#[test]
fn a_paravisor_or_tpm_that_answers_another_question_is_noticed_here_already() {
    let fault = |machine: &Simulated| collect(machine, None, &HexBytes([1; 64])).unwrap_err();
    // That real domain had asked with zeros.
    let stale = azure(|_| HCL_TDX.to_vec());
    let unwanted = fault(&stale);
    assert!(
        matches!(unwanted, CollectFault::Azure(AzureFault::Report(_))),
        "{unwanted}"
    );
    // A key that the paravisor does not vouch for.
    let machine = azure(on_snp);
    change_tpm(&machine, |tpm| {
        tpm.signer = Some(Box::new(|_| vec![1; 256]))
    });
    let forged = fault(&machine);
    assert!(forged.to_string().contains("has not signed"), "{forged}");
    // Registers that never stand still.
    let machine = azure(on_snp);
    change_tpm(&machine, |tpm| tpm.changes = 99);
    let moving = fault(&machine);
    assert!(moving.to_string().contains("other registers"), "{moving}");
    let machine = azure(on_snp);
    change_tpm(&machine, |tpm| tpm.signer = None);
    let keyless = fault(&machine);
    assert!(
        matches!(keyless, CollectFault::Azure(AzureFault::Tpm(_))),
        "{keyless}"
    );
}

#[test]
fn a_silent_metadata_service_is_named() {
    let mut machine = azure(on_snp);
    machine.metadata.clear();
    let fault = collect(&machine, None, &NOTHING).unwrap_err();
    let unreachable = matches!(fault, CollectFault::Azure(AzureFault::Unreachable(_)));
    assert!(unreachable, "{fault}");
}

#[test]
fn a_document_of_a_nitro_enclave_is_handed_out() {
    let real = include_bytes!("../../../attest/testdata/nitro/document.cose");
    // {"Attestation": {"document": ...}}
    let mut answer = hex::decode("a16b4174746573746174696f6ea168646f63756d656e7459").unwrap();
    answer.extend(u16::try_from(real.len()).unwrap().to_be_bytes());
    answer.extend(real);
    let machine = Simulated {
        nsm: Some(answer),
        ..Simulated::default()
    };
    assert_eq!(detect(&machine).unwrap(), Platform::Nitro);
    let evidence = complete(&machine, None);
    let Evidence::Nitro(enclave) = evidence else {
        panic!("{evidence:?}");
    };
    assert_eq!(enclave.document, real);
    assert!(machine.asked.borrow()[0].contains("user_data"));
    let machine = Simulated {
        nsm: Some(hex::decode("a1654572726f726f496e76616c6964417267756d656e74").unwrap()),
        ..Simulated::default()
    };
    let fault = collect(&machine, None, &NOTHING).unwrap_err();
    assert!(fault.to_string().contains("InvalidArgument"), "{fault}");
}

#[test]
fn an_ordinary_machine_has_no_evidence_and_is_not_virtual_by_itself() {
    let machine = Simulated::default();
    let fault = collect(&machine, None, &NOTHING).unwrap_err();
    assert!(matches!(fault, CollectFault::NoPlatform), "{fault}");
    // An ordinary TPM holds no report.
    let machine = Simulated {
        tpm: Some(Rc::default()),
        ..Simulated::default()
    };
    assert!(matches!(detect(&machine), Err(CollectFault::NoPlatform)));

    let machine = Simulated::default();
    machine
        .files
        .borrow_mut()
        .insert("/dev/tdx_guest".to_owned(), Vec::new());
    let fault = detect(&machine).unwrap_err();
    assert!(matches!(fault, CollectFault::TdxWithoutQuotes), "{fault}");
}

#[test]
fn a_virtual_node_says_which_program_runs() {
    let evidence = collect_virtual(&Simulated::default(), &HexBytes([7; 64])).unwrap();
    let Evidence::Virtual(said) = evidence else {
        panic!("{evidence:?}");
    };
    assert_eq!(said.measurement, attest::insecure_virtual::measurement());
    assert_eq!(
        said.host_data.to_string(),
        "1310ca2c8932dbd118668bd97442558a3e1f546b5e15c69699dfbd6024f548d8"
    );
    assert_eq!(said.report_data, HexBytes([7; 64]));
}
