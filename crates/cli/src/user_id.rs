//! Users as people name them.

use std::path::Path;

use tokio_rustls::rustls::pki_types::CertificateDer;
use tokio_rustls::rustls::pki_types::pem::PemObject;

use crate::report::Failure;

/// A user's id: of a certificate its fingerprint, any other text as it is.
pub(crate) fn user_id(text: &str) -> Result<String, Failure> {
    let path = Path::new(text);
    let is_file = path
        .extension()
        .is_some_and(|ending| ending == "pem" || ending == "crt");
    if !is_file && !path.is_file() {
        return Ok(text.to_owned());
    }
    let pem = std::fs::read(path).map_err(Failure::reading(path))?;
    let der = CertificateDer::from_pem_slice(&pem).map_err(|error| {
        Failure::unreadable(format!("{text} is not a certificate (PEM)")).because(error)
    })?;
    Ok(verify::cert::fingerprint_text(&der))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn an_id_that_is_no_file_is_taken_as_it_is() {
        assert_eq!(user_id("6ff2fb3e-5e2c").unwrap(), "6ff2fb3e-5e2c");
        assert!(user_id("no-such-file.pem").is_err());
    }
}
