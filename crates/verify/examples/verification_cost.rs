//! Where the time of verifying a receipt goes: the receipt of a real ledger, over and over.
//!
//! ```sh
//! cargo run --release -p counterfoil-verify --example verification_cost
//! ```

use std::hint::black_box;
use std::time::Instant;

use counterfoil_verify::{Cert, ReceiptDocument, Verifier};

const RECEIPT: &[u8] = include_bytes!("../testdata/azure-receipt-2023.json");
const SERVICE: &str = include_str!("../testdata/azure-service-2023.pem");
const ROUNDS: u32 = 2_000;

fn main() -> Result<(), Box<dyn std::error::Error>> {
    let service = Cert::from_pem(SERVICE)?;
    let document = ReceiptDocument::from_json(RECEIPT)?;
    let receipt = &document.receipt;
    let root = Verifier::new(service.clone())
        .verify_document(&document)?
        .root;

    cost("parse the JSON", || ReceiptDocument::from_json(RECEIPT));
    cost("read the certificate", || {
        Cert::from_pem(&receipt.cert.to_pem())
    });
    let key = receipt.cert.public_key();
    cost("verify the signature", || {
        key.verify_prehashed(&root, &receipt.signature)
    });
    let known = Verifier::new(service.clone());
    cost("verify, the node and the root known", || {
        known.verify_document(&document)
    });
    cost("verify, nothing known", || {
        Verifier::new(service.clone()).verify_document(&document)
    });
    Ok(())
}

#[expect(clippy::print_stdout, reason = "it is a program")]
fn cost<T>(what: &str, mut work: impl FnMut() -> T) {
    let start = Instant::now();
    for _ in 0..ROUNDS {
        black_box(work());
    }
    let each = start.elapsed() / ROUNDS;
    println!("{what:<36} {:>8.1} us", each.as_secs_f64() * 1e6);
}
