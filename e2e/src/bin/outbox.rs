//! A process that anchors roots through an outbox, to be killed at any moment and started again.

use std::path::Path;

use alloy_primitives::{Address, B256};
use anyhow::{Context, Result};
use connector::{Call, FileKey, Network, Outbox, Profile};
use e2e::evm;

#[tokio::main]
async fn main() -> Result<()> {
    let args: Vec<String> = std::env::args().skip(1).collect();
    let [url, chain, dir, key, contract, count] = &args[..] else {
        anyhow::bail!("usage: outbox URL CHAIN DIR KEY CONTRACT COUNT");
    };
    let contract: Address = contract.parse().context("the contract")?;
    let profile = Profile::consortium(url, chain.parse().context("the chain")?);
    let network = Network::connect(evm::priced(profile)).await?;
    let outbox = Outbox::open(Path::new(dir), network, FileKey::read(Path::new(key))?).await?;
    let mut tickets = Vec::new();
    for number in 0..count.parse().context("the count")? {
        let root = evm::numbered(number);
        let data = [&evm::selector("anchor(bytes32)")[..], B256::as_slice(&root)].concat();
        let call = Call::of(contract, data).named(format!("root {number}"));
        tickets.push(outbox.send(call).await?);
    }
    for ticket in tickets {
        outbox.settle(ticket).await?;
    }
    Ok(())
}
