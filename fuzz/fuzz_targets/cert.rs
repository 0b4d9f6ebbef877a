//! Certificates: one spelling each, and no endorsement by a service that gave none.
#![no_main]

use std::sync::LazyLock;

use libfuzzer_sys::fuzz_target;
use verify::Cert;

static SERVICE: LazyLock<Cert> = LazyLock::new(|| {
    Cert::from_pem(include_str!("../../crates/verify/testdata/azure-service-2023.pem")).unwrap()
});
static NODE: LazyLock<Cert> = LazyLock::new(|| {
    Cert::from_pem(include_str!("../../crates/verify/testdata/azure-node-2023.pem")).unwrap()
});

fuzz_target!(|bytes: &[u8]| {
    let pem = std::str::from_utf8(bytes).ok().and_then(|text| Cert::from_pem(text).ok());
    for cert in pem.into_iter().chain(Cert::from_der(bytes)) {
        assert_eq!(Cert::from_pem(&cert.to_pem()).as_ref(), Ok(&cert));
        if cert.is_signed_by(&SERVICE) {
            assert!(cert == *SERVICE || cert == *NODE, "a forged endorsement");
        }
    }
});
