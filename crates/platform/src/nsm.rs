//! `/dev/nsm`: the security module of an AWS Nitro enclave, which has AWS's hypervisor sign documents.
//!
//! Requests and responses are CBOR maps of one entry, whose key is the request's name.

use std::io;

use minicbor::{Decoder, Encoder};

use crate::machine::Machine;

/// Where the device is.
pub(crate) const DEVICE: &str = "/dev/nsm";

/// The security module gave no document.
#[derive(Debug, thiserror::Error)]
pub enum NsmFault {
    /// The device refused. See whether this process may use it.
    #[error("{DEVICE} refused; see whether this process may use it")]
    Device(#[from] io::Error),
    /// The module answered with an error.
    #[error("the security module answered {0}")]
    Answer(String),
}

/// A document over 64 bytes of user data.
pub(crate) fn document(machine: &dyn Machine, data: &[u8; 64]) -> Result<Vec<u8>, NsmFault> {
    let response = machine.nsm(&request(data))?;
    read(&response).map_err(NsmFault::Answer)
}

fn request(data: &[u8; 64]) -> Vec<u8> {
    let mut cbor = Encoder::new(Vec::new());
    let written = cbor
        .map(1)
        .and_then(|cbor| cbor.str("Attestation"))
        .and_then(|cbor| cbor.map(3))
        .and_then(|cbor| cbor.str("user_data")?.bytes(data))
        .and_then(|cbor| cbor.str("nonce")?.null())
        .and_then(|cbor| cbor.str("public_key")?.null())
        .map(|_| ());
    written.expect("invariant: writing to memory cannot fail");
    cbor.into_writer()
}

fn read(response: &[u8]) -> Result<Vec<u8>, String> {
    let unreadable = |error: minicbor::decode::Error| error.to_string();
    let mut cbor = Decoder::new(response);
    cbor.map().map_err(unreadable)?;
    match cbor.str().map_err(unreadable)? {
        "Attestation" => {
            cbor.map().map_err(unreadable)?;
            match cbor.str().map_err(unreadable)? {
                "document" => cbor.bytes().map(<[u8]>::to_vec).map_err(unreadable),
                other => Err(other.to_owned()),
            }
        }
        "Error" => Err(cbor.str().map_err(unreadable)?.to_owned()),
        other => Err(other.to_owned()),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn requests_and_responses_have_the_modules_form() {
        let request = request(&[7; 64]);
        let data = hex::encode([7; 64]);
        assert_eq!(
            hex::encode(request),
            format!(
                "a16b4174746573746174696f6ea369757365725f646174615840{data}\
                 656e6f6e6365f66a7075626c69635f6b6579f6"
            )
        );
        // {"Attestation": {"document": h'0102'}}
        let good = hex::decode("a16b4174746573746174696f6ea168646f63756d656e74420102").unwrap();
        assert_eq!(read(&good), Ok(vec![1, 2]));
        // {"Error": "InvalidArgument"}
        let error = hex::decode("a1654572726f726f496e76616c6964417267756d656e74").unwrap();
        assert_eq!(read(&error), Err("InvalidArgument".to_owned()));
        for bad in [&[][..], &[0xa0], &good[..good.len() - 1]] {
            assert!(read(bad).is_err());
        }
    }
}
