//! Where AMD keeps the certificates of its chips.

use crate::snp::endorsements::claimed_product;
use crate::snp::product::{Product, Tcb};
use crate::snp::refusal::SnpRefusal;
use crate::snp::report::Report;

/// The address at AMD's key distribution service of the certificate that a report's chip signs with:
/// answers are one certificate in DER. The service limits how often one may ask, and the answer is
/// good until the firmware changes, so keep it.
///
/// Reports of version 2 do not name their product, so they have no address.
pub fn vcek_address(report: &[u8]) -> Result<String, SnpRefusal> {
    let report = Report::parse(report)?;
    let cpuid = report.cpuid.ok_or(SnpRefusal::VersionTwo)?;
    let product = cpuid.product();
    let product = product.ok_or(SnpRefusal::UnknownProcessor(cpuid))?;
    let chip = hex::encode(&report.chip_id.0[..product.chip_id_bytes()]);
    let Tcb {
        fmc,
        bootloader,
        tee,
        snp,
        microcode,
    } = Tcb::from_bytes(product, report.reported_tcb);
    let fmc = fmc.map_or(String::new(), |fmc| format!("fmcSPL={fmc}&"));
    Ok(format!(
        "https://kdsintf.amd.com/vcek/v1/{product}/{chip}?{fmc}blSPL={bootloader}&teeSPL={tee}\
         &snpSPL={snp}&ucodeSPL={microcode}"
    ))
}

/// The address of AMD's revocation list for a product: answers are one list in DER.
pub fn crl_address(product: Product) -> String {
    format!("https://kdsintf.amd.com/vcek/v1/{product}/crl")
}

/// The product that a signing key's certificate is for. Not proven: nothing is verified.
pub fn product_of_vcek(der: &[u8]) -> Result<Product, SnpRefusal> {
    claimed_product(der)
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::snp::forge::Chip;

    #[test]
    fn the_address_names_chip_and_firmware() {
        let milan = include_bytes!("../../testdata/snp/caci_report.bin");
        let chip = "73c6c6b89f5ea0a39339c6d68b176fa99f34c4726e6e0376e545a5d525571393\
                    26fa80d4f1dfd5e0d60dd15272eb0a4c157ab3779b80c207d4b61425ee5e68be";
        assert_eq!(
            vcek_address(milan).unwrap(),
            format!(
                "https://kdsintf.amd.com/vcek/v1/Milan/{chip}\
                 ?blSPL=4&teeSPL=0&snpSPL=24&ucodeSPL=219"
            )
        );
        assert_eq!(
            vcek_address(&Chip::new(Product::Turin).report).unwrap(),
            "https://kdsintf.amd.com/vcek/v1/Turin/1d1d1d1d1d1d1d1d\
             ?fmcSPL=1&blSPL=2&teeSPL=3&snpSPL=4&ucodeSPL=80"
        );
        let old = include_str!("../../testdata/snp/report_milan.hex");
        let old = hex::decode(old.trim()).unwrap();
        assert_eq!(vcek_address(&old), Err(SnpRefusal::VersionTwo));
        let vcek = include_bytes!("../../testdata/snp/vcek_turin.der");
        let product = product_of_vcek(vcek).unwrap();
        assert!(crl_address(product).ends_with("/Turin/crl"));
    }
}
