//! The ledger's identity: its service certificate.

use reqwest::Url;
use serde::Deserialize;

use crate::builder::{Client, parse_url, plain, setup};
use crate::error::ClientError;

#[derive(Deserialize)]
#[serde(rename_all = "camelCase")]
struct LedgerIdentity {
    ledger_tls_certificate: String,
}

impl Client {
    /// The service certificate, PEM, as the ledger says it. The connection was checked against the
    /// one that this client trusts.
    ///
    /// # Errors
    /// The ledger cannot be reached.
    pub async fn identity(&self) -> Result<String, ClientError> {
        let id = ledger_id(&self.base);
        let request = self.http.get(self.address(&["ledgerIdentity", &id]));
        Ok(self
            .json::<LedgerIdentity>(request)
            .await?
            .ledger_tls_certificate)
    }
}

/// Asks a ledger that is not trusted yet for its service certificate, PEM, and checks that the
/// server there serves under it.
///
/// That proves who answered, not that it is the ledger one means: compare the certificate's
/// fingerprint with one that came another way before relying on it.
///
/// # Errors
/// The ledger cannot be reached, or the server does not serve under the certificate it shows.
pub async fn fetch_identity_on_first_use(url: &str) -> Result<String, ClientError> {
    let base = parse_url(url)?;
    let Ok(http) = plain(&base).tls_danger_accept_invalid_certs(true).build() else {
        return setup("TLS cannot be set up");
    };
    let unchecked = Client {
        http,
        base,
        proof: None,
    };
    let pem = unchecked.identity().await?;
    let checked = Client::builder(url).service_cert(&pem).build()?;
    match checked.identity().await? {
        again if again == pem => Ok(pem),
        _ => Err(crate::http::unexpected(
            url,
            "it changes from one question to the next",
        )),
    }
}

/// How the vendor's clients name a ledger: its host, up to the first dot.
fn ledger_id(base: &Url) -> String {
    let host = base.host_str().unwrap_or_default();
    host.split('.').next().unwrap_or_default().to_owned()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_ledger_is_named_by_its_host_up_to_the_first_dot() {
        let id = |text| ledger_id(&Url::parse(text).unwrap());
        assert_eq!(
            id("https://my-ledger.confidential-ledger.azure.com"),
            "my-ledger"
        );
        assert_eq!(id("https://127.0.0.1:8443"), "127");
        assert_eq!(id("https://localhost:8443"), "localhost");
    }
}
