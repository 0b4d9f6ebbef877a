//! What Intel says about a platform, fetched by whoever presents a quote: firmware levels, the
//! quoting enclave's identity, revocation lists. Intel renews it every 30 days.

use dcap_qvl::QuoteCollateralV3;
use serde::{Deserialize, Serialize};
use time::OffsetDateTime;
use time::format_description::well_known::Rfc3339;
use x509_parser::prelude::FromDer;
use x509_parser::revocation_list::CertificateRevocationList;

use crate::intel::refusal::IntelRefusal;
use crate::limits::MAX_COLLATERAL_BYTES;
use crate::time::UnixTime;

/// Collateral for one platform and one kind of quote. Its JSON is that of the crate `dcap-qvl`,
/// whose fields are those of Intel's quote verification library, bytes in hexadecimal.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(transparent)]
pub struct Collateral(pub(super) QuoteCollateralV3);

#[derive(Deserialize)]
#[serde(rename_all = "camelCase")]
struct Dates {
    issue_date: String,
    next_update: String,
}

impl Collateral {
    /// The first and last second at which all of Intel's statements and lists are in force. What
    /// certificates say comes on top.
    pub fn window(&self) -> Result<(UnixTime, UnixTime), IntelRefusal> {
        let statements = [
            ("TCB info", &self.0.tcb_info),
            ("QE identity", &self.0.qe_identity),
        ];
        let lists = [
            ("root revocation list", &self.0.root_ca_crl),
            ("PCK revocation list", &self.0.pck_crl),
        ];
        let statements = statements.map(|(which, json)| statement_window(which, json));
        let lists = lists.map(|(which, der)| list_window(which, der));
        let mut window = (UnixTime(0), UnixTime(u64::MAX));
        for part in statements.into_iter().chain(lists) {
            let (from, until) = part?;
            window = (window.0.max(from), window.1.min(until));
        }
        Ok(window)
    }

    pub(super) fn check_size(&self) -> Result<(), IntelRefusal> {
        let texts = [
            &self.0.pck_crl_issuer_chain,
            &self.0.tcb_info_issuer_chain,
            &self.0.tcb_info,
            &self.0.qe_identity_issuer_chain,
            &self.0.qe_identity,
        ];
        let lists = [&self.0.root_ca_crl, &self.0.pck_crl];
        let chain = self.0.pck_certificate_chain.as_ref().map_or(0, String::len);
        let bytes = chain
            + texts.iter().map(|text| text.len()).sum::<usize>()
            + lists.iter().map(|list| list.len()).sum::<usize>();
        if bytes > MAX_COLLATERAL_BYTES {
            return Err(IntelRefusal::Collateral("it is too long"));
        }
        Ok(())
    }

    pub(super) fn check_in_force(&self, now: UnixTime) -> Result<(), IntelRefusal> {
        let (from, until) = self.window()?;
        if now < from {
            return Err(IntelRefusal::CollateralNotYetValid { from, now });
        }
        if until < now {
            return Err(IntelRefusal::CollateralExpired { until, now });
        }
        Ok(())
    }
}

fn statement_window(which: &'static str, json: &str) -> Result<(UnixTime, UnixTime), IntelRefusal> {
    let undated = |_| IntelRefusal::CollateralDates(which);
    let dates: Dates = serde_json::from_str(json).map_err(|error| undated(error.to_string()))?;
    let seconds = |text: &str| {
        let date = OffsetDateTime::parse(text, &Rfc3339);
        date.map(|date| UnixTime::of_certificate(date.unix_timestamp()))
            .map_err(|error| undated(error.to_string()))
    };
    Ok((seconds(&dates.issue_date)?, seconds(&dates.next_update)?))
}

fn list_window(which: &'static str, der: &[u8]) -> Result<(UnixTime, UnixTime), IntelRefusal> {
    let Ok(([], crl)) = CertificateRevocationList::from_der(der) else {
        return Err(IntelRefusal::CollateralDates(which));
    };
    let until = crl
        .next_update()
        .ok_or(IntelRefusal::CollateralDates(which))?;
    Ok((
        UnixTime::of_certificate(crl.last_update().timestamp()),
        UnixTime::of_certificate(until.timestamp()),
    ))
}
