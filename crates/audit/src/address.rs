//! Addresses that an operator names, or a provider for them: which of them may be asked at all.

use std::net::IpAddr;

use reqwest::Url;

/// A URL that may be asked: over TLS, or, where `loopback` is said, on this machine.
pub(crate) fn address(text: &str, loopback: bool) -> Option<Url> {
    let url = Url::parse(text).ok()?;
    let host = url.host_str()?;
    let ip = host.trim_matches(['[', ']']).parse::<IpAddr>();
    let here = host == "localhost" || ip.is_ok_and(|ip| ip.is_loopback());
    let kept_to_itself = url.scheme() == "https" || (loopback && here && url.scheme() == "http");
    let nobody = url.username().is_empty() && url.password().is_none();
    (kept_to_itself && nobody && url.fragment().is_none()).then_some(url)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn nobody_is_asked_in_the_clear_but_on_this_machine() {
        for text in [
            "https://idp.example",
            "https://idp.example:8443/realm?a=b",
            "https://127.0.0.1",
        ] {
            assert!(address(text, false).is_some(), "{text}");
        }
        for text in [
            "http://localhost:4318",
            "http://127.0.0.1:4318",
            "http://[::1]/realm",
        ] {
            assert!(address(text, true).is_some(), "{text}");
            assert!(address(text, false).is_none(), "{text}");
        }
        for text in [
            "",
            "idp.example",
            "ftp://localhost",
            "http://idp.example",
            "http://localhost.example",
            "https://u@idp.example",
            "https://:p@idp.example",
            "https://idp.example/#f",
        ] {
            assert!(address(text, true).is_none(), "{text}");
        }
    }
}
