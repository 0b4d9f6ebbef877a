//! Contracts in a network of three, over TLS: at every node, for those who may, seen by those who should.

use std::fs;
use std::time::Duration;

use alloy_primitives::eip191_hash_message;
use anyhow::{Context, Result, ensure};
use e2e::wallet::{COUNTER, Raw, Wallet, ask, call, quantity};
use e2e::{Http, Network, client_certificate, counterfoil, one_history};
use serde_json::{Value, json};

/// A user with a certificate: what they show, and how the ledger calls them.
struct User {
    nodes: Vec<Http>,
    id: String,
}

impl User {
    /// Somebody in this role, who reaches all nodes.
    fn new(network: &Network, name: &str, role: &str) -> Result<Self> {
        let pem = network.scratch()?.join(name);
        client_certificate(&pem)?;
        network.command(&["user", "set", &pem.display().to_string(), role])?;
        let shown = ["user", "show", &pem.display().to_string(), "--json"];
        let shown: Value = serde_json::from_slice(&network.command(&shown)?.stdout)?;
        let nodes = network.nodes.iter();
        let nodes = nodes.map(|node| Http::with_certificate(node.ready(), &fs::read(&pem)?));
        Ok(Self {
            nodes: nodes.collect::<Result<_>>()?,
            id: shown["userId"].as_str().context("a user")?.to_owned(),
        })
    }

    /// Binds a wallet's account to this user.
    async fn bind(&self, leader: usize, wallet: &Wallet) -> Result<Value> {
        let node = &self.nodes[leader];
        let message = ask(
            node,
            "counterfoil_accountMessage",
            json!([wallet.address()]),
        )
        .await?;
        let text = message.as_str().context("a message is text")?;
        ensure!(text.contains(&self.id), "{text} is for {}", self.id);
        let signature = wallet.signature(eip191_hash_message(text));
        let params = json!([text, signature]);
        ask(node, "counterfoil_bindAccount", params).await
    }
}

async fn chain_id(node: &Http) -> Result<u64> {
    quantity(&ask(node, "eth_chainId", json!([])).await?)
}

async fn sent(node: &Http, raw: &Raw) -> Result<Value> {
    let receipt = ask(node, "eth_sendRawTransactionSync", json!([raw.bytes])).await?;
    ensure!(receipt["status"] == "0x1", "{receipt}");
    ensure!(
        receipt["transactionHash"] == raw.hash.to_string(),
        "{receipt}"
    );
    Ok(receipt)
}

#[tokio::test(flavor = "multi_thread")]
async fn a_contract_is_called_at_every_node_and_no_call_is_lost_with_the_leader() -> Result<()> {
    let mut network = Network::of(3)?;
    let leader = network.leader()?;
    let nodes = network.all_http()?;
    let chain = chain_id(&nodes[0]).await?;
    let wallet = Wallet::new([7; 32])?;
    let follower = (leader + 1) % 3;

    let counter = wallet.address().create(0);
    let made = sent(&nodes[follower], &wallet.deploying(chain, 0, COUNTER)?).await?;
    ensure!(made["contractAddress"] == format!("{counter:?}"), "{made}");
    for nonce in 1..10 {
        let node = &nodes[usize::try_from(nonce)? % 3];
        let call = wallet.calling(chain, nonce, counter);
        sent(node, &call).await?;
        // What this node said is there, it shows.
        let slot = ask(node, "eth_getStorageAt", json!([counter, "0x0", "latest"])).await?;
        ensure!(quantity(&slot)? == nonce, "{slot} after call {nonce}");
    }
    // The one that is missing is sent to a follower, the one that waits for it to another one.
    let [ten, eleven] = [10, 11].map(|nonce| wallet.calling(chain, nonce, counter));
    ask(
        &nodes[follower],
        "eth_sendRawTransaction",
        json!([eleven.bytes]),
    )
    .await?;
    sent(&nodes[(leader + 2) % 3], &ten).await?;
    // What waits goes with a leader that is lost: it has to be there before that.
    let arrived = async {
        while ask(
            &nodes[follower],
            "eth_getTransactionReceipt",
            json!([eleven.hash]),
        )
        .await?
        .is_null()
        {
            tokio::time::sleep(Duration::from_millis(20)).await;
        }
        anyhow::Ok(())
    };
    tokio::time::timeout(Duration::from_secs(30), arrived).await??;

    network.nodes[leader].kill()?;
    let others = [(leader + 1) % 3, (leader + 2) % 3];
    for (nonce, node) in (12..16).zip(others.into_iter().cycle()) {
        sent(&nodes[node], &wallet.calling(chain, nonce, counter)).await?;
    }
    let again = call(
        &nodes[follower],
        "eth_sendRawTransaction",
        json!([eleven.bytes]),
    )
    .await?;
    ensure!(again == Err("already known".to_owned()), "{again:?}");
    network.nodes[leader].start()?;
    network.caught_up()?;
    let filter = json!([{ "address": counter, "fromBlock": "earliest" }]);
    for node in &network.all_http()? {
        let logs = ask(node, "eth_getLogs", filter.clone()).await?;
        let counted = logs.as_array().context("logs")?.iter();
        let counted = counted
            .map(|log| quantity(&log["data"]))
            .collect::<Result<Vec<_>>>()?;
        ensure!(counted == (1..16).collect::<Vec<_>>(), "{counted:?}");
    }

    // Anybody can check it, and nothing of it can be said otherwise.
    let proof = ask(
        &nodes[follower],
        "counterfoil_getReceipt",
        json!([ten.hash]),
    )
    .await?;
    let file = network.scratch()?.join("proof.json");
    let service = network.nodes[0].ready().service_cert.clone();
    let verify = |proof: &Value| -> Result<std::process::Output> {
        fs::write(&file, proof.to_string())?;
        let mut verify = counterfoil()?;
        verify
            .arg("verify")
            .arg(&file)
            .arg("--service-cert")
            .arg(&service);
        Ok(verify.output()?)
    };
    let verdict = verify(&proof)?;
    let text = String::from_utf8_lossy(&verdict.stdout).into_owned();
    ensure!(
        verdict.status.success() && text.contains("succeeded"),
        "{text}"
    );
    ensure!(text.contains(&ten.hash.to_string()), "{text}");
    for part in ["succeeded", "gasUsed", "from", "to"] {
        let mut forged = proof.clone();
        let claim = &mut forged["applicationClaims"][0]["ethereumTransaction"][part];
        *claim = match claim {
            Value::Bool(_) => json!(false),
            Value::Number(_) => json!(1),
            _ => json!(format!("{:?}", Wallet::new([8; 32])?.address())),
        };
        let verdict = verify(&forged)?;
        ensure!(verdict.status.code() == Some(1), "{part}: {verdict:?}");
    }
    one_history(&mut network)
}

#[tokio::test(flavor = "multi_thread")]
async fn only_those_read_send_and_deploy_who_may() -> Result<()> {
    let network = Network::of(3)?;
    let chain = chain_id(&network.all_http()?[0]).await?;
    let reader = User::new(&network, "reader.pem", "Reader")?;
    let writer = User::new(&network, "writer.pem", "Contributor")?;
    let wallet = Wallet::new([9; 32])?;
    let make = wallet.deploying(chain, 0, COUNTER)?;
    for node in 0..3 {
        let refused = call(
            &reader.nodes[node],
            "eth_sendRawTransaction",
            json!([make.bytes]),
        );
        let refused = refused.await?.unwrap_err();
        ensure!(refused.contains("/contracts/deploy"), "{refused}");
        ask(&reader.nodes[node], "eth_blockNumber", json!([])).await?;
    }
    for (node, nonce) in (0..3).zip(0..) {
        let raw = match nonce {
            0 => make.clone(),
            _ => wallet.calling(chain, nonce, wallet.address().create(0)),
        };
        sent(&writer.nodes[node], &raw).await?;
    }
    // In a batch each call is looked at for itself.
    let batch = json!([
        { "jsonrpc": "2.0", "id": 1, "method": "eth_blockNumber", "params": [] },
        { "jsonrpc": "2.0", "id": 2, "method": "eth_sendRawTransaction", "params": [make.bytes] },
    ]);
    let answer: Value = reader.nodes[1].post("/rpc", &batch).await?.json()?;
    ensure!(answer[0]["result"].is_string(), "{answer}");
    ensure!(answer[1]["error"]["code"] == 4100, "{answer}");
    let stranger = network.scratch()?.join("stranger.pem");
    client_certificate(&stranger)?;
    let stranger = Http::with_certificate(network.nodes[2].ready(), &fs::read(stranger)?)?;
    let refused = call(&stranger, "eth_blockNumber", json!([])).await?;
    ensure!(refused.is_err_and(|error| error.contains("/contracts/read")));
    Ok(())
}

#[tokio::test(flavor = "multi_thread")]
async fn in_a_confidential_chain_each_sees_what_concerns_them() -> Result<()> {
    let network = Network::of(3)?;
    let settings = r#"settings={"mode":"confidential"}"#;
    network.propose(&["set_feature_settings", "feature=contracts", settings])?;
    let leader = network.leader()?;
    let chain = chain_id(&network.all_http()?[0]).await?;
    let alice = User::new(&network, "alice.pem", "Contributor")?;
    let bob = User::new(&network, "bob.pem", "Contributor")?;
    let (hers, his) = (Wallet::new([1; 32])?, Wallet::new([2; 32])?);
    let bound = alice.bind(leader, &hers).await?;
    ensure!(bound["user"] == alice.id, "{bound}");
    bob.bind(leader, &his).await?;
    network.caught_up()?;

    sent(&alice.nodes[0], &hers.deploying(chain, 0, COUNTER)?).await?;
    let counter = hers.address().create(0);
    let called = hers.calling(chain, 1, counter);
    sent(&alice.nodes[1], &called).await?;
    network.caught_up()?;

    for node in 0..3 {
        let (she, he) = (&alice.nodes[node], &bob.nodes[node]);
        let slot = json!([counter, "0x0", "latest"]);
        ensure!(quantity(&ask(she, "eth_getStorageAt", slot.clone()).await?)? == 1);
        let refused = call(he, "eth_getStorageAt", slot).await?;
        ensure!(refused.is_err_and(|error| error.contains("confidential")));
        ensure!(
            call(he, "eth_getCode", json!([counter, "latest"]))
                .await?
                .is_err()
        );
        for method in [
            "eth_getTransactionByHash",
            "eth_getTransactionReceipt",
            "counterfoil_getReceipt",
        ] {
            ensure!(
                !ask(she, method, json!([called.hash])).await?.is_null(),
                "{method}"
            );
            ensure!(
                ask(he, method, json!([called.hash])).await?.is_null(),
                "{method}"
            );
        }
        let filter = json!([{ "fromBlock": "earliest" }]);
        ensure!(ask(she, "eth_getLogs", filter.clone()).await?[0].is_object());
        ensure!(ask(he, "eth_getLogs", filter).await? == json!([]));
        let newest = ask(he, "eth_getBlockByNumber", json!(["latest", true])).await?;
        ensure!(newest["transactions"] == json!([]), "{newest}");

        // Nobody calls in another's name.
        let as_her = json!([{ "from": hers.address(), "to": counter }, "latest"]);
        ask(she, "eth_call", as_her.clone()).await?;
        let forged = call(he, "eth_call", as_her).await?;
        ensure!(forged.is_err_and(|error| error.contains("not allowed to call as")));
        let peek = json!([called.hash, {}]);
        ensure!(call(he, "debug_traceTransaction", peek).await?.is_err());
    }
    // An auditor sees all of it: the administrator is one.
    let auditor = &network.all_http()?[1];
    let slot = json!([counter, "0x0", "latest"]);
    ensure!(quantity(&ask(auditor, "eth_getStorageAt", slot).await?)? == 1);
    let trace = ask(auditor, "debug_traceTransaction", json!([called.hash, {}])).await?;
    ensure!(
        trace["structLogs"]
            .as_array()
            .is_some_and(|steps| steps.len() > 10),
        "{trace}"
    );
    // Who has no account of their own signs for nobody.
    let stolen = ask(
        &alice.nodes[leader],
        "counterfoil_accountMessage",
        json!([his.address()]),
    );
    let stolen = stolen.await?;
    let text = stolen.as_str().context("a message")?;
    let signature = his.signature(eip191_hash_message(text));
    let replayed = call(
        &bob.nodes[leader],
        "counterfoil_bindAccount",
        json!([text, signature]),
    );
    ensure!(
        replayed
            .await?
            .is_err_and(|error| error.contains("is for user"))
    );
    Ok(())
}
