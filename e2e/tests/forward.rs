//! Plain clients at nodes that do not lead: their writes are passed on, for them and nobody else.

use std::fs;
use std::thread;
use std::time::Duration;

use anyhow::{Context, Result, ensure};
use e2e::{Client, Network, client_certificate, one_history};
use reqwest::{Certificate, Identity, RequestBuilder};
use serde_json::{Value, json};

const VERSION: &str = "api-version=2026-07-31-preview";
const FORWARDED: &str = "x-counterfoil-forwarded";

/// A client that follows nothing, with the certificate in this PEM file.
fn client(network: &Network, pem: Option<&[u8]>) -> Result<reqwest::Client> {
    let service = fs::read(&network.nodes[0].ready().service_cert)?;
    let mut builder = reqwest::Client::builder()
        .tls_certs_only([Certificate::from_pem(&service)?])
        .redirect(reqwest::redirect::Policy::none())
        .no_proxy();
    if let Some(pem) = pem {
        builder = builder.identity(Identity::from_pem(pem)?);
    }
    Ok(builder.build()?)
}

async fn answered(request: RequestBuilder) -> Result<(u16, String)> {
    let answer = request.send().await?;
    Ok((answer.status().as_u16(), answer.text().await?))
}

#[tokio::test(flavor = "multi_thread")]
async fn a_write_is_passed_on_for_who_called_and_nobody_speaks_for_another() -> Result<()> {
    let network = Network::of(3)?;
    let leader = network.leader()?;
    let [leads, follows] = [leader, (leader + 1) % 3].map(|node| &network.nodes[node].ready().url);
    let token = &network.nodes[0].ready().token;
    let pem = network.scratch()?.join("user.pem");
    client_certificate(&pem)?;
    let pem = fs::read(pem)?;
    let (plain, holder) = (client(&network, None)?, client(&network, Some(&pem))?);
    let write = |client: &reqwest::Client, url: &str| {
        let url = format!("{url}/app/transactions?{VERSION}");
        client.post(url).json(&json!({ "contents": "passed on" }))
    };

    let (status, said) = answered(write(&plain, follows).bearer_auth(token)).await?;
    ensure!(status == 200, "{status} {said}");
    let url = format!("{follows}/app/transactions/current?{VERSION}");
    let (_, said) = answered(plain.get(url).bearer_auth(token)).await?;
    let current: Value = serde_json::from_str(&said)?;
    ensure!(current["contents"] == "passed on", "{said}");
    let redirected = write(&plain, follows).header("prefer", "redirect");
    ensure!(answered(redirected.bearer_auth(token)).await?.0 == 307);

    // Nobody, by whichever node; and a certificate that nobody registered.
    for url in [leads, follows] {
        let (status, said) = answered(write(&plain, url)).await?;
        ensure!(status == 401, "{status} {said}");
        let (status, said) = answered(write(&holder, url)).await?;
        ensure!(status == 403, "{status} {said}");
    }
    let (_, said) = answered(write(&holder, follows)).await?;
    let told = said
        .split("user ")
        .nth(1)
        .and_then(|rest| rest.split(' ').next());
    let user = told.context("the refusal names the user")?.to_owned();

    let url = format!("{follows}/app/ledgerUsers/{user}?{VERSION}");
    let roles = json!({ "assignedRoles": ["Contributor"] });
    let (status, said) = answered(plain.patch(url).bearer_auth(token).json(&roles)).await?;
    ensure!(status == 200, "{status} {said}");
    for url in [follows, leads] {
        let (status, said) = answered(write(&holder, url)).await?;
        ensure!(status == 200, "{status} {said}");
    }

    // Only nodes are believed about certificates of others.
    client_certificate(&network.scratch()?.join("other.pem"))?;
    let other = fs::read(network.scratch()?.join("other.pem"))?;
    for (client, refusal) in [(plain, 401), (client(&network, Some(&other))?, 403)] {
        let (status, said) = answered(write(&client, leads).header(FORWARDED, &user)).await?;
        ensure!(status == refusal, "{status} {said}");
        let (status, said) = answered(write(&client, follows).header(FORWARDED, &user)).await?;
        ensure!(status == 503, "{status} {said}");
    }
    Ok(())
}

/// Whatever our own commands write through a node, that node shows when it is asked next.
#[test]
fn what_was_written_through_a_node_is_there_at_once() -> Result<()> {
    let network = Network::of(3)?;
    let follows = &network.nodes[(network.leader()? + 1) % 3].ready().url;
    let said = |args: &[&str]| {
        let output = network.command(&[args, &["--url", follows]].concat())?;
        anyhow::Ok(String::from_utf8_lossy(&output.stdout).into_owned())
    };
    for round in 0..20 {
        // Writes, and shows what the node then says.
        let user = format!("somebody-{round}");
        said(&["user", "set", &user, "Reader"])?;
        said(&["user", "set", &user, "Contributor", "--only"])?;
        ensure!(!said(&["user", "show", &user])?.contains("Reader"));
        let entry = format!("entry {round}");
        said(&["entry", "write", &entry])?;
        let newest = said(&["entry", "read"])?;
        ensure!(newest.trim_end() == entry, "{newest}");
    }
    Ok(())
}

#[tokio::test(flavor = "multi_thread")]
async fn a_stream_of_entries_is_passed_on_whole() -> Result<()> {
    let network = Network::of(3)?;
    let leader = network.leader()?;
    let follows = &network.nodes[(leader + 1) % 3].ready();
    let plain = client(&network, None)?;
    let lines: Vec<String> = (0..5_000)
        .map(|number| json!({ "contents": format!("{number} {}", "x".repeat(200)) }).to_string())
        .collect();
    let url = format!(
        "{}/app/transactions:batch?{VERSION}&collectionId=many",
        follows.url
    );
    let post = plain.post(url).bearer_auth(&network.nodes[0].ready().token);
    let post = post.header("content-type", "application/x-ndjson");
    let (status, said) = answered(post.body(lines.join("\n"))).await?;
    ensure!(status == 200, "{status} {said}");
    let answers: Vec<Value> = said
        .lines()
        .map(serde_json::from_str)
        .collect::<Result<_, _>>()?;
    ensure!(answers.len() == lines.len(), "{} answers", answers.len());
    for (answer, line) in [(&answers[0], &lines[0]), (&answers[4_999], &lines[4_999])] {
        let id = answer["transactionId"].as_str().context("an id")?;
        let path = format!("/app/transactions/{id}?collectionId=many");
        let entry: Value = network.nodes[leader].http()?.get_json(&path).await?;
        let sent: Value = serde_json::from_str(line)?;
        ensure!(entry["entry"]["contents"] == sent["contents"], "{entry}");
    }
    Ok(())
}

#[tokio::test(flavor = "multi_thread")]
async fn what_is_sent_again_with_its_key_is_recorded_once_whoever_leads() -> Result<()> {
    let mut network = Network::of(3)?;
    let enough = network.scratch()?.join("enough");
    let stop = enough.to_str().context("a path is text")?.to_owned();
    let urls: Vec<&str> = network
        .nodes
        .iter()
        .map(|node| &*node.ready().url)
        .collect();
    let urls = urls.join(" ");
    let place = network.place(0, "once")?;
    let writers = thread::spawn(move || {
        let more = [("E2E_URLS", &*urls)];
        Client::Python("azure1").run_at("idempotency.py", &[&stop], &more, &place)
    });
    tokio::time::sleep(Duration::from_secs(2)).await;
    for _ in 0..3 {
        let leader = network.leader()?;
        network.nodes[leader].kill()?;
        network.leader()?;
        tokio::time::sleep(Duration::from_millis(300)).await;
        network.nodes[leader].start()?;
        network.caught_up()?;
        tokio::time::sleep(Duration::from_millis(300)).await;
    }
    fs::write(&enough, "")?;
    writers.join().expect("a writer does not panic")?;
    one_history(&mut network)
}
