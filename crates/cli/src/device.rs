//! Members' keys in devices that never show them: smart cards, security modules, key services, over
//! PKCS#11 (OASIS, version 2.40 and later), named by URIs (RFC 7512).

use std::fmt;
use std::path::{Path, PathBuf};
use std::str::FromStr;

use aws_lc_rs::digest::{SHA256, SHA384, digest};
use cryptoki::context::{CInitializeArgs, CInitializeFlags, Pkcs11};
use cryptoki::error::Error;
use cryptoki::mechanism::Mechanism;
use cryptoki::object::{Attribute, ObjectClass, ObjectHandle};
use cryptoki::session::{Session, UserType};
use cryptoki::types::AuthPin;
use verify::{Cert, CoseAlgorithm};

use crate::report::Failure;
use crate::signer::{Signer, certificate};

/// What the URI of a key begins with.
const SCHEME: &str = "pkcs11:";
/// Longest URI, bytes.
const URI_BYTES_MAX: usize = 4_096;
/// Has the PIN where the URI says nothing of it.
const PIN: &str = "COUNTERFOIL_PIN";

/// Which key, in which device, reached with which library.
#[derive(Clone, PartialEq, Eq, Default)]
pub(crate) struct DeviceUri {
    /// The token's label.
    token: Option<String>,
    /// The token's serial number.
    serial: Option<String>,
    /// The key's label.
    object: Option<String>,
    /// The key's id.
    id: Option<Vec<u8>>,
    /// The library that speaks to the device.
    module: PathBuf,
    pin_source: Option<PathBuf>,
    pin_value: Option<String>,
}

/// The URI that stands where a key's file could: `None` where it is a file.
pub(crate) fn uri(key: &Path) -> Option<&str> {
    key.to_str().filter(|key| key.starts_with(SCHEME))
}

impl FromStr for DeviceUri {
    type Err = String;

    fn from_str(uri: &str) -> Result<Self, String> {
        if uri.len() > URI_BYTES_MAX {
            return Err(format!("a URI has at most {URI_BYTES_MAX} bytes"));
        }
        let rest = uri
            .strip_prefix(SCHEME)
            .ok_or("it does not begin with pkcs11:")?;
        let (path, query) = rest.split_once('?').unwrap_or((rest, ""));
        let mut device = Self::default();
        let parts = path.split(';').chain(query.split('&'));
        for part in parts.filter(|part| !part.is_empty()) {
            let (name, value) = part
                .split_once('=')
                .ok_or_else(|| format!("{part} is no NAME=VALUE"))?;
            let bytes = decoded(value)
                .ok_or_else(|| format!("the value of {name} is not percent-encoded"))?;
            let text = || {
                String::from_utf8(bytes.clone())
                    .map_err(|_| format!("the value of {name} is no text"))
            };
            match name {
                "token" => device.token = Some(text()?),
                "serial" => device.serial = Some(text()?),
                "object" => device.object = Some(text()?),
                "id" => device.id = Some(bytes),
                "type" if text()? == "private" => {}
                "module-path" => device.module = text()?.into(),
                "pin-source" => {
                    let source = text()?;
                    device.pin_source =
                        Some(source.strip_prefix("file:").unwrap_or(&source).into());
                }
                "pin-value" => device.pin_value = Some(text()?),
                // A part that is not understood could be what tells two keys apart.
                _ => return Err(format!("{name} is not known here")),
            }
        }
        if device.module.as_os_str().is_empty() {
            return Err("it says no module-path: which library speaks to the device".to_owned());
        }
        if device.object.is_none() && device.id.is_none() {
            return Err("it says neither object nor id: which key".to_owned());
        }
        Ok(device)
    }
}

/// Percent-decoding (RFC 3986).
fn decoded(text: &str) -> Option<Vec<u8>> {
    let mut bytes = text.bytes();
    let mut decoded = Vec::with_capacity(text.len());
    while let Some(byte) = bytes.next() {
        decoded.push(match byte {
            b'%' => {
                let digits = [bytes.next()?, bytes.next()?];
                hex::decode(digits).ok()?[0]
            }
            other => other,
        });
    }
    Some(decoded)
}

impl fmt::Display for DeviceUri {
    /// Without the PIN.
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let key = match (&self.object, &self.id) {
            (Some(object), _) => object.clone(),
            (None, id) => format!("id {}", hex::encode(id.as_deref().unwrap_or_default())),
        };
        match self.token.as_ref().or(self.serial.as_ref()) {
            Some(token) => write!(f, "the key {key} of the token {token}"),
            None => write!(f, "the key {key}"),
        }
    }
}

impl fmt::Debug for DeviceUri {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "DeviceUri({self})")
    }
}

impl DeviceUri {
    /// Opens the device, and finds the key of the certificate.
    ///
    /// # Errors
    /// The library, the token or the key is not there, or the PIN is wrong.
    pub(crate) fn open(&self, cert_file: &Path) -> Result<Box<dyn Signer>, Failure> {
        let cert = certificate(cert_file)?;
        let module = self.module.display();
        let failed = |what: String| move |error: Error| Failure::unreadable(what).because(error);
        let library =
            Pkcs11::new(&self.module).map_err(failed(format!("{module} is no PKCS#11 library")))?;
        library
            .initialize(CInitializeArgs::new(CInitializeFlags::OS_LOCKING_OK))
            .map_err(failed(format!("{module} does not begin")))?;
        let asking = || format!("asking {module} for its tokens");
        let mut slots = Vec::new();
        for slot in library.get_slots_with_token().map_err(failed(asking()))? {
            let token = library.get_token_info(slot).map_err(failed(asking()))?;
            let is = |wanted: &Option<String>, there: &str| {
                wanted
                    .as_ref()
                    .is_none_or(|wanted| wanted == there.trim_end())
            };
            if is(&self.token, token.label()) && is(&self.serial, token.serial_number()) {
                slots.push(slot);
            }
        }
        let [slot] = slots[..] else {
            let what = format!("{module} has {} tokens for {self}, not one", slots.len());
            let hint = "name the token with token=LABEL or serial=NUMBER";
            return Err(Failure::unreadable(what).hint(hint));
        };
        let session = library
            .open_ro_session(slot)
            .map_err(failed(format!("opening the token of {self}")))?;
        if let Some(pin) = self.pin()? {
            session
                .login(UserType::User, Some(&pin))
                .map_err(failed(format!("the token of {self} refuses the PIN")))?;
        }
        let key = self.find(&session)?;
        Ok(Box::new(DeviceKey {
            cert,
            what: self.to_string(),
            session,
            key,
        }))
    }

    fn find(&self, session: &Session) -> Result<ObjectHandle, Failure> {
        let mut wanted = vec![Attribute::Class(ObjectClass::PRIVATE_KEY)];
        wanted.extend(
            self.object
                .iter()
                .map(|label| Attribute::Label(label.clone().into())),
        );
        wanted.extend(self.id.iter().map(|id| Attribute::Id(id.clone())));
        let found = session
            .find_objects(&wanted)
            .map_err(|error| Failure::unreadable(format!("looking for {self}")).because(error))?;
        match found[..] {
            [key] => Ok(key),
            [] => Err(Failure::unreadable(format!("{self} is not there")).hint(format!(
                "a private key is seen with the PIN only: set {PIN}, or say pin-source=file:PATH"
            ))),
            _ => Err(Failure::unreadable(format!(
                "{} private keys could be {self}",
                found.len()
            ))
            .hint("name one with id=")),
        }
    }

    fn pin(&self) -> Result<Option<AuthPin>, Failure> {
        let pin = match (&self.pin_value, &self.pin_source) {
            (Some(pin), _) => Some(pin.clone()),
            (None, Some(file)) => {
                let text = std::fs::read_to_string(file).map_err(Failure::reading(file))?;
                Some(text.trim_end_matches(['\r', '\n']).to_owned())
            }
            (None, None) => std::env::var(PIN).ok(),
        };
        Ok(pin.map(|pin| AuthPin::new(pin.into())))
    }
}

/// A key in a device.
struct DeviceKey {
    cert: Cert,
    what: String,
    session: Session,
    key: ObjectHandle,
}

impl Signer for DeviceKey {
    fn certificate(&self) -> &Cert {
        &self.cert
    }

    fn sign(&self, message: &[u8]) -> Result<Vec<u8>, Failure> {
        let public = self.cert.public_key();
        let algorithm = match public.cose_algorithm() {
            CoseAlgorithm::Es256 => &SHA256,
            CoseAlgorithm::Es384 => &SHA384,
        };
        // Every device signs a digest; not every one hashes as well.
        let hashed = digest(algorithm, message);
        let signature = self
            .session
            .sign(&Mechanism::Ecdsa, self.key, hashed.as_ref())
            .map_err(|error| Failure::new(format!("{} does not sign", self.what)).because(error))?;
        // The device shows no key to compare with the certificate's; its signature tells.
        match public.verify_cose(public.cose_algorithm(), message, &signature) {
            Ok(()) => Ok(signature),
            Err(_) => Err(Failure::unreadable(format!(
                "{} is not the key of the member's certificate",
                self.what
            ))),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn parse(uri: &str) -> Result<DeviceUri, String> {
        uri.parse()
    }

    #[test]
    fn a_uri_says_where_the_key_is() {
        let uri = "pkcs11:token=The%20bank;object=member;id=%01%af;type=private\
                   ?module-path=/usr/lib/device.so&pin-source=file:/run/pin";
        let device = parse(uri).unwrap();
        let expected = DeviceUri {
            token: Some("The bank".to_owned()),
            object: Some("member".to_owned()),
            id: Some(vec![1, 0xaf]),
            module: "/usr/lib/device.so".into(),
            pin_source: Some("/run/pin".into()),
            ..DeviceUri::default()
        };
        assert!(device == expected);
        assert_eq!(device.to_string(), "the key member of the token The bank");
    }

    #[test]
    fn a_pin_is_not_printed() {
        let device = parse("pkcs11:object=a?module-path=/m.so&pin-value=9876").unwrap();
        assert!(!format!("{device:?} {device}").contains("9876"));
    }

    #[test]
    fn a_uri_that_is_not_understood_is_refused() {
        for (uri, why) in [
            ("file:a", "begin"),
            ("pkcs11:object=a", "module-path"),
            ("pkcs11:token=a?module-path=/m.so", "which key"),
            ("pkcs11:object=%4?module-path=/m.so", "percent"),
            ("pkcs11:object=%ff?module-path=/m.so", "no text"),
            ("pkcs11:object?module-path=/m.so", "NAME=VALUE"),
            ("pkcs11:object=a;slot-id=1?module-path=/m.so", "not known"),
            ("pkcs11:object=a;type=public?module-path=/m.so", "not known"),
        ] {
            let error = parse(uri).unwrap_err();
            assert!(error.contains(why), "{uri}: {error}");
        }
        assert!(parse(&format!("pkcs11:object={}", "a".repeat(URI_BYTES_MAX))).is_err());
    }
}
