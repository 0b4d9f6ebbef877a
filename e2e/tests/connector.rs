//! The same contracts and the same calls on a foreign chain and on ours, through the connector.

use std::path::Path;
use std::process::{Command, Stdio};
use std::time::Duration;

use alloy_consensus::TxEip1559;
use alloy_primitives::{Address, B256, Bytes, Signature, U256};
use anyhow::{Context, Result, bail, ensure};
use connector::{
    Anchors, Batch, Batching, Bundle, Call, Collector, Fees, FileKey, Finality, Market, Network,
    NetworkError, Outbox, OutboxError, Presigned, PresignedError, Profile, Replace, Status, Trust,
};
use e2e::evm::{bytecode, key_file, numbered, priced, selector, text, word};
use e2e::wallet::Wallet;
use e2e::{Anvil, Ledger, Random, rpc};
use serde_json::json;
use tempfile::TempDir;
use verify::{Cert, Verifier};

const GWEI: u128 = 1_000_000_000;
/// An account of nobody.
const KEY: &str = "4646464646464646464646464646464646464646464646464646464646464646";

fn market() -> Market {
    Market {
        cap: 50 * GWEI,
        tip_max: 2 * GWEI,
        percentile: 50,
        replace: None,
    }
}

async fn outbox(dir: &Path, profile: Profile, key: &str) -> Result<Outbox> {
    let key = FileKey::read(&key_file(dir, key)?)?;
    let network = Network::connect(profile).await?;
    Ok(Outbox::open(&dir.join("outbox"), network, key).await?)
}

async fn deploy(outbox: &Outbox, code: Bytes) -> Result<Address> {
    let ticket = outbox.send(Call::deploying(code)).await?;
    let settled = outbox.settle(ticket).await?;
    settled.receipt.contract_address.context("no contract")
}

/// Deploys a tree of the audit contracts, adds an administrator, and is refused what is forbidden.
async fn the_same_calls(outbox: &Outbox) -> Result<()> {
    let hash = numbered(7);
    let offset = B256::left_padding_from(&64_u64.to_be_bytes());
    let arguments = [offset.as_slice(), hash.as_slice(), &text("here")].concat();
    let code = [bytecode("Root")?.to_vec(), arguments].concat();
    let root = deploy(outbox, code.into()).await?;
    let administrator = word(Address::repeat_byte(0xad));
    let offset = B256::left_padding_from(&96_u64.to_be_bytes());
    let add = [
        &selector("addAdministrator(address,string,bytes32)")[..],
        administrator.as_slice(),
        offset.as_slice(),
        hash.as_slice(),
        &text("there"),
    ]
    .concat();
    let call = Call::of(root, add).named("administrator");
    let ticket = outbox.send(call.clone()).await?;
    let settled = outbox.settle(ticket).await?;
    ensure!(settled.receipt.logs.len() >= 2, "{settled:?}");
    let kind = [&selector("kindOf(address)")[..], administrator.as_slice()].concat();
    let kind = outbox.network().read(root, &kind.into()).await?;
    ensure!(kind[..] == numbered(1)[..], "its kind is {kind}");
    // Under the same name it is not sent again; under another the contract refuses, and nothing is
    // recorded.
    ensure!(outbox.send(call.clone()).await? == ticket);
    let again = outbox.send(call.clone().named("again")).await;
    let Err(OutboxError::Network(NetworkError::Refused { .. })) = again else {
        bail!("{again:?}");
    };
    // With gas of its own it is mined, and known to have failed.
    let forced = Call {
        gas: Some(1_000_000),
        ..call
    }
    .named("forced");
    let forced = outbox.send(forced).await?;
    ensure!(forced.nonce == ticket.nonce + 1, "a number was skipped");
    let failed = outbox.settle(forced).await;
    ensure!(
        matches!(failed, Err(OutboxError::Failed { .. })),
        "{failed:?}"
    );
    Ok(())
}

async fn many_proofs(outbox: &Outbox, dir: &Path, count: usize) -> Result<Vec<Bundle>> {
    let contract = deploy(outbox, bytecode("Anchor")?).await?;
    let anchors = Anchors::open(&dir.join("anchors"), outbox.clone(), contract).await?;
    let batching = Batching {
        records: count / 4,
        wait: Duration::from_secs(5),
    };
    let collector = Collector::start(anchors.clone(), batching);
    let mut adding = tokio::task::JoinSet::new();
    for number in 0..count as u64 {
        let collector = collector.clone();
        adding.spawn(async move { (number, collector.add(numbered(number)).await) });
    }
    let mut bundles = Vec::new();
    while let Some(added) = adding.join_next().await {
        let (number, bundle) = added?;
        let bundle = bundle?;
        ensure!(bundle.record.digest == numbered(number), "another's proof");
        bundles.push(bundle);
    }
    let mut roots: Vec<_> = bundles.iter().map(|bundle| bundle.root).collect();
    roots.sort();
    roots.dedup();
    ensure!(roots == anchors.roots()?, "{} roots", roots.len());
    ensure!(roots.len() == 4, "{} roots", roots.len());
    Ok(bundles)
}

#[tokio::test]
async fn the_same_contracts_run_on_a_foreign_chain_and_on_ours() -> Result<()> {
    let dir = TempDir::new()?;
    let anvil = Anvil::start(&[])?;
    let profile = Profile {
        fees: Fees::Market(market()),
        ..priced(Profile::consortium(anvil.url(), Anvil::CHAIN))
    };
    the_same_calls(&outbox(dir.path(), profile, Anvil::KEY).await?).await?;

    let (ledger, profile) = ours().await?;
    the_same_calls(&outbox(&ledger.scratch()?, profile, KEY).await?).await
}

#[tokio::test]
async fn what_somebody_else_signed_is_delivered_once_on_a_foreign_chain_and_on_ours() -> Result<()>
{
    let dir = TempDir::new()?;
    let anvil = Anvil::start(&["--base-fee", "0", "--gas-price", "0"])?;
    let profile = Profile {
        fees: Fees::Market(market()),
        ..priced(Profile::consortium(anvil.url(), Anvil::CHAIN))
    };
    delivered_once(&outbox(dir.path(), profile, KEY).await?).await?;

    let (ledger, profile) = ours().await?;
    delivered_once(&outbox(&ledger.scratch()?, profile, KEY).await?).await
}

async fn delivered_once(outbox: &Outbox) -> Result<()> {
    let network = outbox.network();
    let contract = deploy(outbox, bytecode("Anchor")?).await?;
    let anchoring = |root: B256| [&selector("anchor(bytes32)")[..], root.as_slice()].concat();
    let owner = Wallet::new([7; 32])?;
    let call = Call::of(contract, anchoring(numbered(1)));
    let to_sign = network.to_sign(owner.address(), &call).await?;
    let signature = Signature::from_raw(&owner.signature(to_sign.digest()))?;
    let first = Presigned::decode(&to_sign.signed(signature))?;
    let chain_id = network.profile().chain_id;
    first.check(owner.address(), chain_id, &call)?;
    network.is_next(&first).await?;
    let settled = network.deliver(&first).await?;
    ensure!(settled.receipt.from == owner.address(), "{settled:?}");
    ensure!(settled.receipt.transaction_hash == first.hash());
    // Again it is the same, as it would be after a crash.
    network.is_next(&first).await?;
    ensure!(network.deliver(&first).await?.block == settled.block);
    let other = |nonce, gas_limit, root| {
        let transaction = TxEip1559 {
            chain_id,
            nonce,
            gas_limit,
            to: contract.into(),
            input: anchoring(root).into(),
            ..TxEip1559::default()
        };
        Presigned::decode(&owner.sign(transaction).bytes)
    };
    let late = other(0, 300_000, numbered(2))?;
    let refused = network.is_next(&late).await;
    let Err(PresignedError::NonceTooLow { nonce: 0, next: 1 }) = refused else {
        bail!("{refused:?}");
    };
    let refused = network.deliver(&late).await;
    ensure!(
        matches!(refused, Err(PresignedError::Replaced(0))),
        "{refused:?}"
    );
    let refused = network.is_next(&other(2, 300_000, numbered(2))?).await;
    let Err(PresignedError::NonceTooHigh { nonce: 2, next: 1 }) = refused else {
        bail!("{refused:?}");
    };
    let poor = other(1, 100, numbered(2))?;
    let refused = network.deliver(&poor).await;
    ensure!(
        matches!(refused, Err(PresignedError::Refused(_))),
        "{refused:?}"
    );
    // What one node refuses, another may have.
    let impatient = Profile {
        patience: Duration::from_secs(2),
        ..network.profile().clone()
    };
    let in_doubt = Network::connect(impatient)
        .await?
        .deliver_again(&poor)
        .await;
    ensure!(
        matches!(in_doubt, Err(PresignedError::Patience { .. })),
        "{in_doubt:?}"
    );
    let doomed = network.deliver(&other(1, 300_000, B256::ZERO)?).await;
    ensure!(
        matches!(doomed, Err(PresignedError::Failed { .. })),
        "{doomed:?}"
    );
    let second = network.deliver(&other(2, 300_000, numbered(2))?).await?;
    ensure!(second.receipt.succeeded(), "{second:?}");
    Ok(())
}

async fn ours() -> Result<(Ledger, Profile)> {
    let ledger = Ledger::start_with(&["--rpc", "127.0.0.1:0"])?;
    let url = ledger.ready().rpc_url.clone().context("no address")?;
    let id = rpc(&url, "eth_chainId", json!([])).await?;
    let id: U256 = serde_json::from_value(id)?;
    Ok((ledger, Profile::counterfoil(url, id.to())))
}

#[tokio::test]
async fn another_chain_is_refused_before_anything_is_signed() -> Result<()> {
    let anvil = Anvil::start(&[])?;
    let refused = Network::connect(Profile::consortium(anvil.url(), 1)).await;
    let Err(NetworkError::WrongChain {
        configured: 1,
        found: Anvil::CHAIN,
        ..
    }) = refused
    else {
        bail!("{refused:?}");
    };
    // Nor does an outbox go on with another chain that has the same id.
    let dir = TempDir::new()?;
    let profile = |anvil: &Anvil| priced(Profile::consortium(anvil.url(), Anvil::CHAIN));
    drop(outbox(dir.path(), profile(&anvil), Anvil::KEY).await?);
    drop(outbox(dir.path(), profile(&anvil), Anvil::KEY).await?);
    let other = Anvil::start(&["--timestamp", "1700000000"])?;
    match outbox(dir.path(), profile(&other), Anvil::KEY).await {
        Err(error) => ensure!(error.to_string().contains("belongs to"), "{error:?}"),
        Ok(_) => bail!("the outbox went on with another chain"),
    }
    Ok(())
}

#[tokio::test]
async fn a_key_that_is_used_elsewhere_is_noticed() -> Result<()> {
    let anvil = Anvil::start(&[])?;
    let profile = || priced(Profile::consortium(anvil.url(), Anvil::CHAIN));
    let (one, two) = (TempDir::new()?, TempDir::new()?);
    let first = outbox(one.path(), profile(), Anvil::KEY).await?;
    let second = outbox(two.path(), profile(), Anvil::KEY).await?;
    deploy(&first, bytecode("Anchor")?).await?;
    drop(first);
    // The number is gone, and whoever used it did not sign here.
    // (The same call would be the same transaction, byte for byte.)
    let other = [&bytecode("Anchor")?[..], &[0]].concat();
    let late = deploy(&second, other.into()).await;
    let late = late.err().context("two transactions with one number")?;
    ensure!(late.to_string().contains("number 0 was used"), "{late:?}");
    deploy(&second, bytecode("Anchor")?).await?;
    // The first knows of one transaction, and the chain of two.
    match outbox(one.path(), profile(), Anvil::KEY).await {
        Err(error) => ensure!(error.to_string().contains("used elsewhere"), "{error:?}"),
        Ok(_) => bail!("a number would have been used twice"),
    }
    Ok(())
}

#[tokio::test]
async fn a_killed_sender_skips_and_doubles_nothing() -> Result<()> {
    let anvil = Anvil::start(&["--block-time", "1"])?;
    killed_sender(anvil.url(), Anvil::CHAIN, Anvil::KEY).await
}

#[tokio::test]
async fn a_killed_sender_skips_and_doubles_nothing_on_a_ledger_of_ours() -> Result<()> {
    let (ledger, profile) = ours().await?;
    killed_sender(&profile.url, profile.chain_id, KEY).await?;
    drop(ledger);
    Ok(())
}

/// Anchors roots one by one from a process that is killed again and again.
async fn killed_sender(url: &str, chain: u64, key: &str) -> Result<()> {
    const COUNT: u64 = 400;
    let dir = TempDir::new()?;
    let profile = || priced(Profile::consortium(url, chain));
    let deployer = TempDir::new()?;
    let deployer = outbox(deployer.path(), profile(), key).await?;
    let contract = deploy(&deployer, bytecode("Anchor")?).await?;
    let address = deployer.address();
    drop(deployer);

    let key = key_file(dir.path(), key)?;
    let start = || {
        Command::new(env!("CARGO_BIN_EXE_outbox"))
            .args([url, &chain.to_string()])
            .arg(dir.path().join("outbox"))
            .arg(&key)
            .args([contract.to_string(), COUNT.to_string()])
            .stdin(Stdio::null())
            .spawn()
            .context("starting the sender")
    };
    let mut random = Random::seeded()?;
    for _ in 0..8 {
        let mut sender = start()?;
        tokio::time::sleep(Duration::from_millis(50 + random.next() % 350)).await;
        sender.kill()?;
        sender.wait()?;
        let known = std::fs::read_to_string(dir.path().join("outbox/outbox"));
        let lines = known.unwrap_or_default().lines().count();
        eprintln!("killed with {lines} lines in the outbox");
    }
    let mut sender = start()?;
    let status = tokio::task::spawn_blocking(move || sender.wait());
    ensure!(status.await??.success(), "the last sender failed");

    let count = rpc(url, "eth_getTransactionCount", json!([address, "latest"])).await?;
    ensure!(count == json!(format!("0x{:x}", COUNT + 1)), "{count}");
    let network = Network::connect(profile()).await?;
    for number in 0..COUNT {
        let root = numbered(number);
        let call = [&selector("anchoredAt(bytes32)")[..], root.as_slice()].concat();
        let block = network.read(contract, &call.into()).await?;
        ensure!(block.iter().any(|&byte| byte != 0), "{number} is missing");
    }
    Ok(())
}

#[tokio::test]
async fn a_thousand_records_are_anchored_and_proven_offline() -> Result<()> {
    let dir = TempDir::new()?;
    let bundles = {
        let anvil = Anvil::start(&[])?;
        let profile = priced(Profile::consortium(anvil.url(), Anvil::CHAIN));
        let outbox = outbox(dir.path(), profile, Anvil::KEY).await?;
        many_proofs(&outbox, dir.path(), 1000).await?
    };
    ensure!(bundles.len() == 1000);
    // The chain is gone; a block's hash is all that is left of it.
    for bundle in &bundles {
        let json = bundle.to_json();
        let bundle = Bundle::from_json(json.as_bytes())?;
        let (record, trust) = (bundle.record.digest, Trust::Block(bundle.anchor.block_hash));
        bundle.verify(record, trust)?;
        let other = B256::repeat_byte(1);
        ensure!(bundle.verify(other, trust).is_err(), "another record");
        ensure!(
            bundle.verify(record, Trust::Block(other)).is_err(),
            "another block"
        );
        let mut changed = bundle.clone();
        changed.record.salt.0[31] ^= 1;
        ensure!(changed.verify(record, trust).is_err(), "another salt");
        let mut changed = bundle.clone();
        changed.anchor.transaction_hash.0[0] ^= 1;
        ensure!(
            changed.verify(record, trust).is_err(),
            "another transaction"
        );
    }
    Ok(())
}

#[tokio::test]
async fn records_are_anchored_in_a_ledger_of_ours() -> Result<()> {
    let (ledger, profile) = ours().await?;
    let dir = ledger.scratch()?;
    let outbox = outbox(&dir, profile, KEY).await?;
    let bundles = many_proofs(&outbox, &dir, 100).await?;
    let pem = std::fs::read_to_string(&ledger.ready().service_cert)?;
    let verifier = Verifier::new(Cert::from_pem(&pem)?);
    drop(ledger);
    for bundle in bundles {
        let record = bundle.record.digest;
        bundle.verify(record, Trust::Service(&verifier))?;
        let mut changed = bundle.clone();
        changed.root.0[0] ^= 1;
        ensure!(changed.verify(record, Trust::Service(&verifier)).is_err());
        let hash = bundle.anchor.block_hash;
        ensure!(bundle.verify(record, Trust::Block(hash)).is_err());
        let mut changed = bundle;
        changed.anchor.contract.0[0] ^= 1;
        ensure!(changed.verify(record, Trust::Service(&verifier)).is_err());
    }
    Ok(())
}

#[tokio::test]
async fn a_replaced_block_is_noticed_and_its_transaction_sent_again() -> Result<()> {
    let dir = TempDir::new()?;
    let anvil = Anvil::start(&[])?;
    let profile = Profile {
        finality: Finality::Confirmations(4),
        ..priced(Profile::consortium(anvil.url(), Anvil::CHAIN))
    };
    let outbox = outbox(dir.path(), profile, Anvil::KEY).await?;
    let code = bytecode("Anchor")?;
    let deployed = outbox.send(Call::deploying(code)).await?;
    mine(&anvil, 4).await?;
    let settled = outbox.settle(deployed).await?;
    let contract = settled.receipt.contract_address.context("no contract")?;

    let anchors = Anchors::open(&dir.path().join("anchors"), outbox.clone(), contract).await?;
    let batch = Batch::new(&[numbered(1), numbered(2)])?;
    let ticket = anchors.submit(&batch).await?;
    let Status::Mined { block: before } = outbox.status(ticket).await? else {
        bail!("it is not mined");
    };
    // One more block, and both are replaced by empty ones.
    mine(&anvil, 1).await?;
    anvil.ask("anvil_reorg", json!([2, []])).await?;
    let status = outbox.status(ticket).await?;
    ensure!(!status.is_settled(), "{status:?}");
    ensure!(
        outbox.reorganisations() == 1,
        "{}",
        outbox.reorganisations()
    );
    let Status::Mined { block: after } = outbox.status(ticket).await? else {
        bail!("it was not sent again: {status:?}");
    };
    ensure!(after != before, "the same block");
    mine(&anvil, 4).await?;
    let bundles = anchors.settle(batch.root()).await?;
    ensure!(bundles[0].anchor.block_hash == after.hash, "another block");
    // Submitted again it is known.
    ensure!(anchors.submit(&batch).await? == ticket);
    Ok(())
}

#[tokio::test]
async fn all_transactions_of_replaced_blocks_come_back_in_their_order() -> Result<()> {
    const COUNT: u64 = 5;
    let dir = TempDir::new()?;
    let anvil = Anvil::start(&["--slots-in-an-epoch", "1"])?;
    let profile = Profile {
        finality: Finality::Tag,
        ..priced(Profile::consortium(anvil.url(), Anvil::CHAIN))
    };
    let outbox = outbox(dir.path(), profile, Anvil::KEY).await?;
    mine(&anvil, 3).await?;
    let mut tickets = Vec::new();
    for number in 0..COUNT {
        let deploying = [&bytecode("Anchor")?[..], numbered(number).as_slice()].concat();
        let ticket = outbox.send(Call::deploying(deploying)).await?;
        mined(&outbox, ticket).await?;
        tickets.push(ticket);
    }
    anvil.ask("anvil_reorg", json!([COUNT, []])).await?;
    // Those before the last are sent again for its sake, without being asked about.
    let last = *tickets.last().context("a ticket")?;
    mined(&outbox, last).await?;
    mine(&anvil, 8).await?;
    for (nonce, ticket) in (0..).zip(tickets) {
        ensure!(ticket.nonce == nonce, "a number was skipped");
        let settled = outbox.settle(ticket).await?;
        ensure!(settled.receipt.succeeded());
    }
    ensure!(outbox.unsettled().await.is_empty());
    Ok(())
}

/// Waits until a transaction is in a block.
async fn mined(outbox: &Outbox, ticket: connector::Ticket) -> Result<()> {
    for _ in 0..200 {
        if let Status::Mined { .. } = outbox.status(ticket).await? {
            return Ok(());
        }
        tokio::time::sleep(Duration::from_millis(50)).await;
    }
    anyhow::bail!("{:?} is in no block", outbox.status(ticket).await?)
}

async fn mine(anvil: &Anvil, blocks: u64) -> Result<()> {
    for _ in 0..blocks {
        anvil.ask("evm_mine", json!([])).await?;
    }
    Ok(())
}

#[tokio::test]
async fn a_transaction_that_nobody_mines_offers_more() -> Result<()> {
    let dir = TempDir::new()?;
    let anvil = Anvil::start(&["--no-mining"])?;
    let replace = Some(Replace {
        after: Duration::from_millis(300),
        bump_percent: 13,
        cap: 10 * GWEI,
    });
    let profile = Profile {
        fees: Fees::Market(Market {
            replace,
            ..market()
        }),
        ..priced(Profile::consortium(anvil.url(), Anvil::CHAIN))
    };
    let outbox = outbox(dir.path(), profile, Anvil::KEY).await?;
    let ticket = outbox.send(Call::deploying(bytecode("Anchor")?)).await?;
    let behind = [&bytecode("Anchor")?[..], &[0]].concat();
    let behind = outbox.send(Call::deploying(behind)).await?;
    let first = pending_price(&anvil).await?;
    tokio::time::sleep(Duration::from_millis(400)).await;
    // The one behind it waits for it, so who asks about that one helps both.
    ensure!(outbox.status(behind).await? == Status::Sent);
    let second = pending_price(&anvil).await?;
    ensure!(second >= first * 113 / 100, "{first} and then {second}");
    mine(&anvil, 1).await?;
    let settled = outbox.settle(ticket).await?;
    ensure!(settled.receipt.succeeded());
    ensure!(outbox.settle(behind).await?.receipt.succeeded());
    Ok(())
}

/// What the first transaction that waits offers at most.
async fn pending_price(anvil: &Anvil) -> Result<u128> {
    let pool = anvil.ask("txpool_content", json!([])).await?;
    let senders = pool["pending"].as_object().context("no pool")?;
    let mut waiting = senders.values().filter_map(|sent| sent.as_object());
    let sent = waiting.next().context("nothing waits")?;
    let price = &sent.get("0").context("the first")?["maxFeePerGas"];
    let price: U256 = serde_json::from_value(price.clone())?;
    Ok(price.to())
}
