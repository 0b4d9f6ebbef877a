//! Shows this machine's evidence over zeros, as JSON, or says why there is none.
//!
//! `cargo run -p platform --example collect [ROOT]`, where files are looked for below `ROOT`.
#![expect(clippy::print_stdout, reason = "a tool for people")]

use std::error::Error;
use std::net::{Ipv4Addr, SocketAddr};

use attest::HexBytes;
use platform::{Collected, Linux, SecurityContext, collect, detect};

fn main() -> Result<(), Box<dyn Error>> {
    let machine = match std::env::args().nth(1) {
        None => Linux::default(),
        Some(root) => {
            let metadata = SocketAddr::from((Ipv4Addr::new(169, 254, 169, 254), 80));
            Linux::rooted_at(root, metadata)
        }
    };
    let context = std::env::var("UVM_SECURITY_CONTEXT_DIR");
    let context = context.ok().map(SecurityContext);
    eprintln!("through {:?}", detect(&machine)?);
    match collect(&machine, context.as_ref(), &HexBytes::ZERO)? {
        Collected::Complete(evidence) => println!("{}", serde_json::to_string(&evidence)?),
        Collected::Report(bare) => {
            eprintln!(
                "its certificate is at {}",
                attest::snp::vcek_address(&bare.report)?
            );
        }
        Collected::Quote(bare) => {
            let wanted = attest::intel::wanted_collateral(&bare.quote)?;
            eprintln!("its collateral is at {} and so on", wanted.tcb_info);
        }
    }
    Ok(())
}
