//! Bad input over JSON-RPC, against a real node: the standard error, at bounded cost, while others are
//! served.

mod rpc;
mod wallet;
mod websocket;

use std::io::{Read, Write};
use std::thread;
use std::time::Duration;

use alloy_consensus::{TxEip2930, TxEip4844, TxLegacy};
use alloy_primitives::{Address, B256, TxKind, hex};
use anyhow::{Context, Result, ensure};
use e2e::Ledger;
use rpc::Rpc;
use serde_json::{Value, json};
use wallet::Wallet;
use websocket::WebSocket;

/// Gas that no call is given.
const ALL_GAS: &str = "0xffffffffffffffff";
/// Answers with nothing.
const SILENT: [u8; 1] = hex!("00");
/// Logs what it is called with.
const ECHO: [u8; 8] = hex!("365f5f37365fa000");

/// Goes round as long as it has gas for more, and answers with how often.
const COUNTS: [u8; 19] = hex!("5f5b60010161c3505a116001575f5260205ff3");

fn start() -> Result<(Ledger, Rpc, Wallet)> {
    let (ledger, rpc) = Rpc::start()?;
    let chain = rpc.answered("eth_chainId", json!([]))?;
    let chain = chain.as_str().context("no chain id")?;
    let chain = u64::from_str_radix(chain.trim_start_matches("0x"), 16)?;
    Ok((ledger, rpc, Wallet::new(1, chain)))
}

/// What makes a contract of this code.
fn deploying(code: &[u8]) -> Vec<u8> {
    let length = u8::try_from(code.len()).expect("short code");
    // PUSH1 length, DUP1, PUSH1 11, PUSH1 0, CODECOPY, PUSH1 0, RETURN
    let head = [0x60, length, 0x80, 0x60, 11, 0x60, 0, 0x39, 0x60, 0, 0xf3];
    [&head, code].concat()
}

fn deployed(rpc: &Rpc, wallet: &Wallet, nonce: u64, code: &[u8]) -> Result<Address> {
    let raw = wallet.send(nonce, TxKind::Create, &deploying(code));
    rpc.answered("eth_sendRawTransactionSync", json!([raw]))?;
    Ok(wallet.address().create(nonce))
}

#[test]
fn a_call_that_looks_at_its_gas_has_all_that_calls_get() -> Result<()> {
    let (_ledger, rpc, wallet) = start()?;
    let counts = deployed(&rpc, &wallet, 0, &COUNTS)?;
    let call = |gas: Value| {
        let mut asked = json!({"to": counts});
        if !gas.is_null() {
            asked["gas"] = gas;
        }
        rpc.answered("eth_call", json!([asked, "latest"]))
    };
    let rounds = call(Value::Null)?;
    let (most, few) = (call(json!("0x1c9c380"))?, call(json!("0xf4240"))?);
    ensure!(
        rounds == most,
        "{rounds} rounds, and {most} with 30,000,000"
    );
    ensure!(rounds != few, "{few} with 1,000,000");
    Ok(())
}

#[test]
fn what_is_no_transaction_is_refused_in_ethereums_words() -> Result<()> {
    let (_ledger, rpc, wallet) = start()?;
    let send =
        |raw: &[u8]| rpc.refused("eth_sendRawTransaction", json!([hex::encode_prefixed(raw)]));
    let right = wallet.transaction(0, Address::ZERO.into(), b"abc");
    let raw = wallet.sign(right.clone());
    rpc.within("pieces of a transaction", 20, 200, || {
        for end in 0..raw.len() {
            let (code, text) = send(&raw[..end])?;
            ensure!(
                code == -32_000 && text.starts_with("rlp: "),
                "{end}: {code} {text}"
            );
        }
        // Other bits can be a right transaction, of somebody else.
        for bit in 0..raw.len() * 8 {
            let mut other = raw.clone();
            other[bit / 8] ^= 1 << (bit % 8);
            let raw = hex::encode_prefixed(other);
            if let Err((code, text)) = rpc.call("eth_sendRawTransaction", json!([raw]))? {
                ensure!(code == -32_000 && !text.is_empty(), "{bit}: {code} {text}");
            }
        }
        Ok(())
    })?;
    let elsewhere = Wallet::new(1, 1);
    let anywhere = TxLegacy {
        gas_limit: 21_000,
        to: Address::ZERO.into(),
        ..TxLegacy::default()
    };
    let blobs = TxEip4844 {
        chain_id: right.chain_id,
        blob_versioned_hashes: vec![B256::repeat_byte(1)],
        ..TxEip4844::default()
    };
    let mut little = right.clone();
    little.gas_limit = 20_000;
    let mut much = right.clone();
    much.gas_limit = u64::MAX;
    let mut rich = right.clone();
    rich.value = alloy_primitives::U256::from(1);
    let mut long = right.clone();
    long.input = vec![1; 128 << 10].into();
    let mut fees = right.clone();
    fees.max_priority_fee_per_gas = 1;
    let making = TxEip2930 {
        chain_id: right.chain_id,
        gas_limit: 1 << 24,
        to: TxKind::Create,
        input: vec![0; 49_153].into(),
        ..TxEip2930::default()
    };
    rpc.answered(
        "eth_sendRawTransaction",
        json!([hex::encode_prefixed(&raw)]),
    )?;
    // The words that ethers and viem look for.
    let words = [
        (
            elsewhere.sign(elsewhere.transaction(0, TxKind::Create, b"")),
            "invalid chain id for signer",
        ),
        (
            wallet.sign(anywhere),
            "only replay-protected (EIP-155) transactions allowed over RPC",
        ),
        (wallet.sign(blobs), "transaction type not supported"),
        (wallet.sign(little), "intrinsic gas too low"),
        (wallet.sign(much), "transaction gas limit too high"),
        (
            wallet.sign(rich),
            "insufficient funds for gas * price + value",
        ),
        (wallet.sign(long), "oversized data"),
        (
            wallet.sign(fees),
            "max priority fee per gas higher than max fee per gas",
        ),
        (wallet.sign(making), "max initcode size exceeded"),
        (
            wallet.sign(wallet.transaction(0, TxKind::Create, b"")),
            "nonce too low",
        ),
        (raw, "already known"),
    ];
    for (raw, words) in words {
        let (code, text) = send(&raw)?;
        // What has the wrong number too is told of that.
        let told = text.contains(words) || text.contains("nonce too low");
        ensure!(code == -32_000 && told, "{words}: {code} {text}");
    }
    for raw in [
        json!("abc"),
        json!("0xabc"),
        json!("0xzz"),
        json!(7),
        json!(null),
        json!({}),
    ] {
        let (code, text) = rpc.refused("eth_sendRawTransaction", json!([raw]))?;
        ensure!(code == -32_602, "{raw}: {code} {text}");
    }
    Ok(())
}

#[test]
fn what_is_no_request_is_refused() -> Result<()> {
    let (_ledger, rpc, _wallet) = start()?;
    let deep = |many: usize| "[".repeat(many) + &"]".repeat(many);
    let request = |params: &str| {
        format!(r#"{{"jsonrpc":"2.0","id":1,"method":"eth_call","params":{params}}}"#).into_bytes()
    };
    let code_of = |body: &[u8]| -> Result<i64> {
        let answer = rpc.ask(body)?;
        // A list is a batch, whatever is in it.
        let (code, text) = rpc::said(answer.get(0).unwrap_or(&answer))?
            .err()
            .context("it was answered")?;
        ensure!(!text.is_empty(), "no words");
        Ok(code)
    };
    rpc.within("what is no JSON", 30, 300, || {
        let mut invalid = request("[\"\u{e4}\"]");
        let at = invalid
            .iter()
            .position(|byte| *byte == 0xc3)
            .context("no such byte")?;
        invalid[at] = 0xff;
        for (body, code) in [
            (b"".to_vec(), -32_700),
            (b"{".to_vec(), -32_700),
            (b"\xff\xfe".to_vec(), -32_700),
            (deep(500_000).into_bytes(), -32_600),
            (b"{}".to_vec(), -32_700),
            (b"[]".to_vec(), -32_600),
            (invalid, -32_600),
            (request(&deep(500_000)), -32_602),
            (request(r#"{"to": 5}"#), -32_602),
            (request("[]"), -32_602),
            (request(r#"[{"to":"0x12"}]"#), -32_602),
            (request(r#"[{"gas":"0x10000000000000000"}]"#), -32_602),
            (request(r#"[{"data":"0x01","input":"0x02"}]"#), -32_602),
            (request(r#"[{}, "0x7fffffffffffffff"]"#), -32_000),
        ] {
            let said = code_of(&body);
            let shown = String::from_utf8_lossy(&body[..body.len().min(100)]).into_owned();
            let said = said.with_context(|| shown.clone())?;
            ensure!(said == code, "{shown}: {said}");
        }
        let (code, _) = rpc.refused("eth_mine", json!([]))?;
        ensure!(code == -32_601, "{code}");
        Ok(())
    })?;
    rpc.within("batches of 10,000 and of 1,000", 30, 300, || {
        let one = json!({"jsonrpc": "2.0", "id": 1, "method": "eth_blockNumber"});
        let many = serde_json::to_vec(&vec![one.clone(); 10_000])?;
        for _ in 0..20 {
            let code = code_of(&many)?;
            ensure!(code == -32_010, "{code}");
        }
        let answers = rpc.ask(&serde_json::to_vec(&vec![one; 1_000])?)?;
        ensure!(
            answers.as_array().is_some_and(|all| all.len() == 1_000),
            "{answers}"
        );
        Ok(())
    })?;
    rpc.within("bodies of 64 MB", 30, 300, || {
        for _ in 0..4 {
            // The node closes the connection, so the answer does not always arrive.
            if let Ok((status, _)) = rpc.post(&vec![b' '; 64 << 20]) {
                ensure!(status == 413, "{status}");
            }
        }
        Ok(())
    })?;
    rpc.within("what is no HTTP, and nothing at all", 30, 300, || {
        let mut idle = Vec::new();
        for _ in 0..200 {
            idle.push(rpc.connect()?);
        }
        let mut stream = rpc.connect()?;
        stream.write_all(&[0xff; 4096])?;
        let mut answer = Vec::new();
        // It is answered or closed.
        let _ = stream.read_to_end(&mut answer);
        Ok(())
    })
}

/// Instructions that take all the gas they get, or all memory, if they may.
fn bombs() -> Vec<(&'static str, Vec<u8>)> {
    let huge = "7fffffffffffffffffffffffffffffffffffffffffffffffffffffffffffffffff";
    let code = |digits: &str| hex::decode(digits).expect("digits");
    vec![
        ("an endless loop", code("5b5f56")),
        ("memory that grows for ever", code("5b5f59525f56")),
        ("memory of 2^32 bytes", code("600163ffffffff52")),
        ("memory of 2^64 bytes", code("600167ffffffffffffffff52")),
        ("an answer of 2^255 bytes", code(&format!("{huge}5ff3"))),
        (
            "a hash of 64 KB, again and again",
            code("5b61ff005f20505f56"),
        ),
        // CODESIZE 0 0 CODECOPY CODESIZE 0 0 CREATE
        ("makers of makers", code("5b385f5f39385f5ff0505f56")),
        ("logs for ever", code("5b6110005fa05f56")),
        (
            "modexp of huge numbers",
            code(&format!(
                "{huge}5f52{huge}602052{huge}60405260205f60605f60055afa00"
            )),
        ),
        // Base, exponent and modulus of 1,024 bytes each, in a loop.
        (
            "modexp in a loop",
            code("6104005f5261040060205261040060405260ff61045f535b60205f610c605f60055afa50601756"),
        ),
        (
            "copies of memory in a loop",
            code("5b620100005f620100005e5f56"),
        ),
        (
            "a precompile in a loop",
            code("5b60205f61ff005f60025afa505f56"),
        ),
    ]
}

#[test]
fn gas_bombs_cost_what_gas_allows() -> Result<()> {
    let (_ledger, rpc, wallet) = start()?;
    let mut nonce = 0;
    // What calls itself for ever: 0 0 0 0 0 ADDRESS GAS CALL.
    let recursive = deployed(&rpc, &wallet, nonce, &hex!("5f5f5f5f5f305af1"))?;
    nonce += 1;
    let to = |to: Address| json!({"to": to.to_string(), "gas": ALL_GAS});
    let mut requests = vec![("calls of calls", to(recursive))];
    for (name, code) in bombs() {
        let input = hex::encode_prefixed(&code);
        requests.push((name, json!({"input": input, "gas": ALL_GAS})));
    }
    for (name, request) in &requests {
        rpc.within(name, 60, 700, || {
            for method in ["eth_call", "eth_estimateGas"] {
                if let Err((code, text)) = rpc.call(method, json!([request]))? {
                    let known = [
                        "out of gas",
                        "gas uint64 overflow",
                        "gas required exceeds allowance",
                        "stack limit reached",
                        "invalid jump destination",
                        "max code size exceeded",
                    ];
                    let known = known.iter().any(|known| text.contains(known));
                    ensure!(code == -32_000 && known, "{name} {method}: {code} {text}");
                }
            }
            Ok(())
        })?;
    }
    rpc.within("all of them as transactions", 120, 700, || {
        for (name, code) in bombs() {
            let raw = wallet.send(nonce, TxKind::Create, &code);
            nonce += 1;
            let receipt = rpc.answered("eth_sendRawTransactionSync", json!([raw]))?;
            ensure!(receipt["gasUsed"].is_string(), "{name}: {receipt}");
        }
        let raw = wallet.send(nonce, recursive.into(), b"");
        rpc.answered("eth_sendRawTransactionSync", json!([raw]))?;
        Ok(())
    })
}

#[test]
fn many_gas_bombs_at_once_do_not_keep_others_from_the_node() -> Result<()> {
    let (_ledger, rpc, wallet) = start()?;
    let memory = json!({"input": "0x5b5f59525f56", "gas": ALL_GAS});
    // One connection can have many requests under way.
    let (done, busy) = rpc.within("600 calls at once", 300, 1_500, || {
        let mut sockets = Vec::new();
        for _ in 0..6 {
            let mut socket = WebSocket::connect(&rpc)?;
            for id in 0..100 {
                socket.send(&json!({"jsonrpc": "2.0", "id": id, "method": "eth_call",
                                    "params": [memory]}))?;
            }
            sockets.push(socket);
        }
        // Transactions are not in their way.
        let raw = wallet.send(0, Address::ZERO.into(), b"");
        rpc.answered("eth_sendRawTransactionSync", json!([raw]))?;
        let (mut done, mut busy) = (0, 0);
        for socket in &mut sockets {
            for _ in 0..100 {
                let answer = socket
                    .next(Duration::from_secs(180))?
                    .context("no answer")?;
                match rpc::said(&answer)? {
                    Err((-32_000, text)) if text == "out of gas" => done += 1,
                    Err((-32_005, _)) => busy += 1,
                    other => anyhow::bail!("{other:?}"),
                }
            }
        }
        Ok((done, busy))
    })?;
    ensure!(
        done + busy == 600 && busy > 0 && done >= 256,
        "{done} done, {busy} told to wait"
    );
    Ok(())
}

#[test]
fn wide_questions_and_too_many_filters_are_refused() -> Result<()> {
    let (_ledger, rpc, wallet) = start()?;
    let echo = deployed(&rpc, &wallet, 0, &ECHO)?;
    let many = |many: u64| -> Vec<Value> {
        let word = |n| json!(B256::from(alloy_primitives::U256::from(n)).to_string());
        (0..many).map(word).collect()
    };
    let address = |n| Address::ZERO.create(n).to_string();
    let addresses: Vec<String> = (0..12_000_u64).map(address).collect();
    rpc.within("wide filters", 30, 500, || {
        let wide = json!([{"fromBlock": "0x0", "address": addresses, "topics": [many(12_000)]}]);
        for method in ["eth_getLogs", "eth_newFilter"] {
            let (code, text) = rpc.refused(method, wide.clone())?;
            ensure!(code == -32_602, "{method}: {code} {text}");
        }
        let widest =
            json!([{"fromBlock": "0x0", "address": addresses[..500], "topics": [many(500)]}]);
        ensure!(
            rpc.answered("eth_getLogs", widest)? == json!([]),
            "there are logs"
        );
        let range = json!([{"fromBlock": "0x0", "toBlock": "0xffffffffffffffff"}]);
        let (code, text) = rpc.refused("eth_getLogs", range)?;
        ensure!(code == -32_005, "{code} {text}");
        rpc.refused(
            "eth_getLogs",
            json!([{"fromBlock": "0x9", "toBlock": "0x1"}]),
        )?;
        Ok(())
    })?;
    rpc.within("long histories of fees", 30, 300, || {
        let history = rpc.answered("eth_feeHistory", json!([ALL_GAS, "latest", vec![1.0; 100]]))?;
        ensure!(
            history["reward"]
                .as_array()
                .is_some_and(|all| all.len() <= 1024),
            "{history}"
        );
        let wide = json!([ALL_GAS, "latest", vec![1; 500_000]]);
        let (code, text) = rpc.refused("eth_feeHistory", wide)?;
        ensure!(
            code == -32_602 && text.contains("percentiles"),
            "{code} {text}"
        );
        Ok(())
    })?;
    rpc.within("5,000 filters", 30, 500, || {
        let (mut made, mut refused) = (0, 0);
        let one = json!({"jsonrpc": "2.0", "id": 1, "method": "eth_newFilter",
                         "params": [{"address": echo.to_string()}]});
        let some = serde_json::to_vec(&vec![one; 1_000])?;
        for _ in 0..5 {
            for answer in rpc.ask(&some)?.as_array().context("no batch")? {
                match rpc::said(answer)? {
                    Ok(_) => made += 1,
                    Err((-32_000, text)) if text.starts_with("too many filters") => refused += 1,
                    other => anyhow::bail!("{other:?}"),
                }
            }
        }
        ensure!(made == 4_096 && refused == 904, "{made} {refused}");
        Ok(())
    })?;
    rpc.within("100 subscriptions", 30, 300, || {
        let mut socket = WebSocket::connect(&rpc)?;
        let mut refused = 0;
        for id in 0..100 {
            socket.send(
                &json!({"jsonrpc": "2.0", "id": id, "method": "eth_subscribe",
                                "params": ["newHeads"]}),
            )?;
            let answer = socket.next(Duration::from_secs(60))?.context("no answer")?;
            refused += usize::from(matches!(rpc::said(&answer)?, Err((-32_006, _))));
        }
        ensure!(refused == 36, "{refused}");
        Ok(())
    })
}

#[test]
fn transactions_that_come_too_early_are_kept_up_to_a_number() -> Result<()> {
    let (_ledger, rpc, wallet) = start()?;
    let chain = wallet.transaction(0, TxKind::Create, b"").chain_id;
    rpc.within("5,000 that come too early", 60, 500, || {
        let (mut waiting, mut full) = (0, 0);
        for number in 1..=50 {
            let wallet = Wallet::new(number, chain);
            let early = |nonce| wallet.send(u64::MAX - 1 - nonce, Address::ZERO.into(), &[7; 1000]);
            let all: Vec<String> = (0..100).map(early).collect();
            for said in rpc.send_all(&all)? {
                match said {
                    Ok(_) => waiting += 1,
                    Err((-32_000, text)) if text.starts_with("txpool is full") => full += 1,
                    other => anyhow::bail!("{other:?}"),
                }
            }
        }
        ensure!(
            waiting == 1_024 && full == 3_976,
            "{waiting} wait, {full} refused"
        );
        Ok(())
    })?;
    // Whoever follows the numbers is not concerned.
    let next = wallet.send(0, Address::ZERO.into(), b"");
    rpc.answered("eth_sendRawTransactionSync", json!([next]))?;
    Ok(())
}

#[test]
fn readers_that_never_read_cost_little_and_are_cut_off() -> Result<()> {
    /// Bytes of each log, so that no buffer of the system holds them all.
    const LOG: usize = 16 << 10;
    let (_ledger, rpc, wallet) = start()?;
    let echo = deployed(&rpc, &wallet, 0, &ECHO)?;
    let silent = deployed(&rpc, &wallet, 1, &SILENT)?;
    let mut lazy = Vec::new();
    for _ in 0..4 {
        let mut socket = WebSocket::connect(&rpc)?;
        for params in [
            json!(["newHeads"]),
            json!(["logs", {"address": echo.to_string()}]),
        ] {
            socket.send(
                &json!({"jsonrpc": "2.0", "id": 1, "method": "eth_subscribe",
                                "params": params}),
            )?;
            let answer = socket.next(Duration::from_secs(60))?.context("no answer")?;
            ensure!(answer["result"].is_string(), "{answer}");
        }
        lazy.push(socket);
    }
    let sent = 2_000;
    // 2,000 logs for each of four readers are 260 MB, as they are written.
    rpc.within("readers that never read", 120, 600, || {
        let all: Vec<String> = (2..2 + sent)
            .map(|nonce| wallet.send(nonce, echo.into(), &[7; LOG]))
            .collect();
        for said in rpc.send_all(&all)? {
            said.map_err(|error| anyhow::anyhow!("{error:?}"))?;
        }
        Ok(())
    })?;
    // They have ten seconds to begin.
    thread::sleep(Duration::from_secs(12));
    let after = wallet.send(2 + sent, silent.into(), b"");
    rpc.answered("eth_sendRawTransactionSync", json!([after]))?;
    for mut socket in lazy {
        let mut logs = 0;
        while let Some(message) = socket.next(Duration::from_secs(3))? {
            logs += u64::from(message["params"]["result"].get("topics").is_some());
        }
        ensure!(
            logs < sent,
            "all {logs} were kept for somebody who did not read"
        );
    }
    Ok(())
}
