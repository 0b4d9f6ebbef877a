//! Certificates that the host keeps for its guests, in the two forms that there are.

use attest::snp::Endorsements;
use base64::Engine;
use base64::engine::general_purpose::STANDARD;
use serde::Deserialize;

/// GHCB specification, section "SNP Extended Guest Request": entries of a GUID, an offset and a
/// length, up to one that is zero, then the certificates.
const ENTRY: usize = 24;
/// Room for this many entries is more than any host uses.
const MAX_ENTRIES: usize = 32;

const VCEK: [u8; 16] = 0x63da758d_e664_4564_adc5_f4b93be8accd_u128.to_be_bytes();
const VLEK: [u8; 16] = 0xa8074bc2_a25a_483e_aae6_39c045a0b8a1_u128.to_be_bytes();
const ASK: [u8; 16] = 0x4ab7b379_bbac_4fe4_a02f_05aef327c782_u128.to_be_bytes();
const ARK: [u8; 16] = 0xc0b406a4_a803_4952_9743_3fb6014cd0ae_u128.to_be_bytes();
const CRL: [u8; 16] = 0x92f81bc3_5811_4d3d_97ff_d19f88dc67ea_u128.to_be_bytes();

/// The chain in a host's table; none if the table is empty, damaged or without a signing key.
///
/// The host may put there what it likes: whether it is any good, the verifier finds out.
pub(crate) fn from_table(table: &[u8]) -> Option<Endorsements> {
    let mut found = Found::default();
    for entry in table.chunks_exact(ENTRY).take(MAX_ENTRIES) {
        let (guid, place) = entry.split_at(16);
        if guid == [0; 16] {
            break;
        }
        let (offset, length) = place.split_at(4);
        let number = |bytes: &[u8]| {
            let bytes = bytes.try_into().ok()?;
            usize::try_from(u32::from_le_bytes(bytes)).ok()
        };
        let (offset, length) = (number(offset)?, number(length)?);
        let certificate = table.get(offset..offset.checked_add(length)?)?.to_vec();
        found.keep(guid, certificate);
    }
    found.endorsements()
}

#[derive(Default)]
struct Found {
    vcek: Option<Vec<u8>>,
    vlek: Option<Vec<u8>>,
    ask: Option<Vec<u8>>,
    ark: Option<Vec<u8>>,
    crl: Option<Vec<u8>>,
}

impl Found {
    fn keep(&mut self, guid: &[u8], certificate: Vec<u8>) {
        let place = match guid {
            guid if guid == VCEK => &mut self.vcek,
            guid if guid == VLEK => &mut self.vlek,
            guid if guid == ASK => &mut self.ask,
            guid if guid == ARK => &mut self.ark,
            guid if guid == CRL => &mut self.crl,
            _ => return,
        };
        *place = Some(certificate);
    }

    fn endorsements(self) -> Option<Endorsements> {
        Some(Endorsements {
            vek: self.vcek.or(self.vlek)?,
            ask: self.ask,
            ark: self.ark,
            crl: self.crl,
        })
    }
}

/// Azure's form, JSON with PEM in it, from its metadata service and its container groups.
#[derive(Deserialize)]
#[serde(rename_all = "camelCase")]
struct AzureCertificates {
    vcek_cert: String,
    certificate_chain: String,
}

/// The chain in Azure's form; none if it cannot be read.
pub(crate) fn from_azure(json: &[u8]) -> Option<Endorsements> {
    let certificates: AzureCertificates = serde_json::from_slice(json).ok()?;
    let pem = certificates.vcek_cert + &certificates.certificate_chain;
    Endorsements::from_pem(pem.as_bytes()).ok()
}

/// The same in base64, as container groups find it.
pub(crate) fn from_azure_base64(text: &[u8]) -> Option<Endorsements> {
    from_azure(&STANDARD.decode(text.trim_ascii()).ok()?)
}

#[cfg(test)]
pub(crate) mod tests {
    use super::*;

    /// A host's table with these certificates.
    pub(crate) fn table(certificates: &[([u8; 16], &[u8])]) -> Vec<u8> {
        let mut head = Vec::new();
        let mut body = Vec::new();
        let start = (certificates.len() + 1) * ENTRY;
        for (guid, certificate) in certificates {
            head.extend(guid);
            head.extend(u32::try_from(start + body.len()).unwrap().to_le_bytes());
            head.extend(u32::try_from(certificate.len()).unwrap().to_le_bytes());
            body.extend_from_slice(certificate);
        }
        head.extend([0; ENTRY]);
        head.extend(body);
        head
    }

    pub(crate) const GUIDS: [[u8; 16]; 3] = [VCEK, ASK, ARK];

    #[test]
    fn a_hosts_table_is_read() {
        let other = [9; 16];
        let bytes = table(&[(ARK, b"ark"), (other, b"?"), (VCEK, b"vcek"), (ASK, b"ask")]);
        let expected = Endorsements {
            vek: b"vcek".to_vec(),
            ask: Some(b"ask".to_vec()),
            ark: Some(b"ark".to_vec()),
            crl: None,
        };
        assert_eq!(from_table(&bytes), Some(expected.clone()));
        // Pages of zeros follow where the kernel gives whole pages.
        let padded = [&bytes[..], &[0; 4096]].concat();
        assert_eq!(from_table(&padded), Some(expected));
        let provider = from_table(&table(&[(VLEK, b"vlek")])).unwrap();
        assert_eq!(provider.vek, b"vlek");
        assert_eq!(
            hex::encode(VCEK),
            "63da758de6644564adc5f4b93be8accd",
            "as the GHCB specification writes it"
        );
    }

    #[test]
    fn an_empty_or_damaged_table_holds_no_chain() {
        let bytes = table(&[(VCEK, b"vcek")]);
        assert_eq!(from_table(&[]), None);
        assert_eq!(from_table(&[0; 4096]), None);
        assert_eq!(from_table(&bytes[..bytes.len() - 1]), None);
        assert_eq!(from_table(&table(&[(ASK, b"ask")])), None);
        let mut wild = bytes;
        wild[16..24].fill(0xff);
        assert_eq!(from_table(&wild), None);
    }

    #[test]
    fn azures_form_is_read() {
        let pem = |letter: &str| {
            format!("-----BEGIN CERTIFICATE-----\n{letter}\n-----END CERTIFICATE-----\n")
        };
        let json = serde_json::json!({
            "vcekCert": pem("AQ=="),
            "tcbm": "DB18000000000004",
            "certificateChain": pem("Ag==") + &pem("Aw=="),
            "cacheControl": "86400",
        });
        let text = json.to_string();
        let chain = from_azure(text.as_bytes()).unwrap();
        assert_eq!(
            (chain.vek, chain.ask, chain.ark),
            (vec![1], Some(vec![2]), Some(vec![3]))
        );
        let encoded = STANDARD.encode(text) + "\n";
        assert!(from_azure_base64(encoded.as_bytes()).is_some());
        assert_eq!(from_azure(b"{}"), None);
        assert_eq!(from_azure_base64(b"%"), None);
    }
}
