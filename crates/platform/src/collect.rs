//! Which platform this is, and its evidence.

use attest::azure::RuntimeClaims;
use attest::intel::{Collateral, IntelEvidence};
use attest::nitro::NitroEvidence;
use attest::snp::{Endorsements, SnpEvidence};
use attest::tpm_quote::TpmQuote;
use attest::{Evidence, Paravised, ReportData};

use crate::azure::{self, AzureFault, AzureHardware};
use crate::certs;
use crate::gramine::{self, GramineFault};
use crate::machine::Machine;
use crate::nsm::{self, NsmFault};
use crate::security_context::SecurityContext;
use crate::sev_guest::{self, SevGuestFault};
use crate::tsm::{self, TsmFault};

/// A way to this machine's hardware. They are looked for in this order.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Platform {
    /// An SGX enclave under Gramine.
    Gramine,
    /// An enclave on AWS Nitro.
    Nitro,
    /// The kernel's common door to SNP and TDX.
    Tsm,
    /// SNP, on kernels without the common door.
    SevGuest,
    /// Azure's paravisor, over SNP or TDX.
    AzureVtpm,
}

/// This machine gave no evidence.
#[derive(Debug, thiserror::Error)]
pub enum CollectFault {
    /// There is no such hardware, or this process cannot see it.
    #[error(
        "this machine offers no hardware evidence: neither {gramine}, {nsm}, {tsm}, {sev} nor a \
         report in {tpm}; run on confidential hardware, or say that the node is virtual",
        gramine = gramine::KIND, nsm = nsm::DEVICE, tsm = tsm::REPORTS, sev = sev_guest::DEVICE, tpm = azure::DEVICE
    )]
    NoPlatform,
    /// A trust domain whose kernel makes reports that only this machine can check.
    #[error(
        "/dev/tdx_guest makes reports that only this machine can check; mount configfs and load \
         tdx_guest of Linux 6.7 or later, so that {tsm} gives quotes", tsm = tsm::REPORTS
    )]
    TdxWithoutQuotes,
    /// The kernel's door leads to hardware that is not known here.
    #[error("the kernel's report provider {0:?} is not known; update this program")]
    Provider(String),
    /// See [`TsmFault`].
    #[error(transparent)]
    Tsm(#[from] TsmFault),
    /// See [`SevGuestFault`].
    #[error(transparent)]
    SevGuest(#[from] SevGuestFault),
    /// See [`GramineFault`].
    #[error(transparent)]
    Gramine(#[from] GramineFault),
    /// See [`NsmFault`].
    #[error(transparent)]
    Nsm(#[from] NsmFault),
    /// See [`AzureFault`].
    #[error(transparent)]
    Azure(#[from] AzureFault),
}

/// What the platform says about itself.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Collected {
    /// All that a verifier needs.
    Complete(Box<Evidence>),
    /// A report whose signing key's certificate is missing: fetch it where
    /// [`attest::snp::vcek_address`] says.
    Report(BareReport),
    /// A quote without Intel's statements: fetch those that [`attest::intel::wanted_collateral`]
    /// names.
    Quote(BareQuote),
}

/// An SNP report that nobody vouches for yet.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct BareReport {
    /// The report.
    pub report: Vec<u8>,
    uvm_endorsements: Option<Vec<u8>>,
    azure: Option<(RuntimeClaims, TpmQuote)>,
}

/// A TDX or SGX quote that nobody vouches for yet.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct BareQuote {
    /// The quote.
    pub quote: Vec<u8>,
    is_enclave: bool,
    azure: Option<(RuntimeClaims, TpmQuote)>,
}

impl BareReport {
    /// The evidence, with AMD's chain.
    pub fn with(self, endorsements: Endorsements) -> Evidence {
        let (azure_claims, tpm_quote) = self.azure.unzip();
        Evidence::Snp(Paravised {
            hardware: SnpEvidence {
                report: self.report,
                endorsements,
                uvm_endorsements: self.uvm_endorsements,
            },
            azure_claims,
            tpm_quote,
        })
    }
}

impl BareQuote {
    /// The evidence, with Intel's statements.
    pub fn with(self, collateral: Collateral) -> Evidence {
        let hardware = IntelEvidence {
            quote: self.quote,
            collateral,
        };
        let (azure_claims, tpm_quote) = self.azure.unzip();
        match self.is_enclave {
            true => Evidence::Sgx(hardware),
            false => Evidence::Tdx(Paravised {
                hardware,
                azure_claims,
                tpm_quote,
            }),
        }
    }
}

/// Finds the way to this machine's hardware.
pub fn detect(machine: &dyn Machine) -> Result<Platform, CollectFault> {
    if machine.exists(gramine::KIND) {
        return Ok(Platform::Gramine);
    }
    if machine.exists(nsm::DEVICE) {
        return Ok(Platform::Nitro);
    }
    if machine.exists(tsm::REPORTS) {
        return Ok(Platform::Tsm);
    }
    if machine.exists(sev_guest::DEVICE) {
        return Ok(Platform::SevGuest);
    }
    if machine.exists(azure::DEVICE) && azure::is_there(machine) {
        return Ok(Platform::AzureVtpm);
    }
    if machine.exists("/dev/tdx_guest") {
        return Err(CollectFault::TdxWithoutQuotes);
    }
    Err(CollectFault::NoPlatform)
}

/// Has this machine's hardware sign `report_data`; see [`attest::report_data_for`].
///
/// In a container group of Azure's, `context` is the folder that the platform put there; its
/// certificates are used where the device brings none.
///
/// A machine without hardware is an error, never a virtual node; for that one asks
/// [`crate::collect_virtual`].
///
/// # Errors
/// When there is no hardware, or it refuses.
pub fn collect(
    machine: &dyn Machine,
    context: Option<&SecurityContext>,
    report_data: &ReportData,
) -> Result<Collected, CollectFault> {
    let data = &report_data.0;
    match detect(machine)? {
        Platform::Gramine => Ok(Collected::Quote(BareQuote {
            quote: gramine::quote(machine, data)?,
            is_enclave: true,
            azure: None,
        })),
        Platform::Nitro => {
            let document = nsm::document(machine, data)?;
            let evidence = Evidence::Nitro(NitroEvidence { document });
            Ok(Collected::Complete(Box::new(evidence)))
        }
        Platform::Tsm => {
            let answer = tsm::request(machine, data)?;
            match answer.provider.as_str() {
                "sev_guest" => Ok(snp(
                    machine,
                    context,
                    answer.report,
                    certs::from_table(&answer.auxiliary),
                )),
                "tdx_guest" => Ok(Collected::Quote(BareQuote {
                    quote: answer.report,
                    is_enclave: false,
                    azure: None,
                })),
                _ => Err(CollectFault::Provider(answer.provider)),
            }
        }
        Platform::SevGuest => {
            let (report, table) = sev_guest::report(machine, data)?;
            Ok(snp(machine, context, report, certs::from_table(&table)))
        }
        Platform::AzureVtpm => {
            let report = azure::report(machine, data)?;
            let azure = Some((report.claims, report.boot));
            Ok(match report.hardware {
                AzureHardware::Snp(report, endorsements) => {
                    let bare = BareReport {
                        report,
                        uvm_endorsements: None,
                        azure,
                    };
                    endorsed(bare, Some(endorsements))
                }
                AzureHardware::Tdx(quote) => Collected::Quote(BareQuote {
                    quote,
                    is_enclave: false,
                    azure,
                }),
            })
        }
    }
}

fn snp(
    machine: &dyn Machine,
    context: Option<&SecurityContext>,
    report: Vec<u8>,
    from_host: Option<Endorsements>,
) -> Collected {
    let bare = BareReport {
        report,
        uvm_endorsements: context.and_then(|context| context.uvm_endorsements(machine)),
        azure: None,
    };
    let endorsements = from_host.or_else(|| context?.endorsements(machine));
    endorsed(bare, endorsements)
}

fn endorsed(bare: BareReport, endorsements: Option<Endorsements>) -> Collected {
    match endorsements {
        Some(endorsements) => Collected::Complete(Box::new(bare.with(endorsements))),
        None => Collected::Report(bare),
    }
}
