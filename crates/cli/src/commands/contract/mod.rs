//! `counterfoil contract`: makes contracts and calls them.

mod abi;
mod chain;

use std::path::{Path, PathBuf};
use std::process::ExitCode;

use alloy_primitives::{Address, Bytes, TxKind, eip191_hash_message};
use anyhow::Result;
use clap::{Args, Subcommand};
use serde::Serialize;
use serde_json::{Value, json};

use self::abi::Artifact;
use self::chain::{Chain, Done};
use super::block_on;
use crate::account::Account;
use crate::connection::ConnectionArgs;
use crate::out::{self, bold, faint, say};
use crate::report::Failure;

/// Contracts.
#[derive(Subcommand, Debug)]
pub(crate) enum Contract {
    Account(ShowAccount),
    Deploy(Deploy),
    Call(Call),
    Send(Send),
    Logs(Logs),
}

/// The key file where none is named.
const KEY_FILE: &str = "account.key";

#[derive(Args, Debug)]
struct KeyArgs {
    /// The account's key: a file with 64 hexadecimal digits. It is made if it is missing.
    #[arg(long, env = "COUNTERFOIL_ACCOUNT_KEY", value_name = "FILE", default_value = KEY_FILE)]
    key: PathBuf,
}

impl KeyArgs {
    fn account(&self) -> Result<Account, Failure> {
        if self.key.exists() {
            return Account::read(&self.key);
        }
        let made = Account::make(&self.key)?;
        let (address, path) = (made.address(), self.key.display());
        eprintln!("made the account {address}; its key is in {path}");
        Ok(made)
    }
}

/// Show the account that signs; make it if there is none.
#[derive(Args, Debug)]
#[command(after_help = "\
Examples:
  counterfoil contract account
  counterfoil contract account --bind        it is mine: in a confidential chain that lets me see what is its")]
pub(crate) struct ShowAccount {
    #[command(flatten)]
    key: KeyArgs,
    /// Bind the account to the user who calls.
    #[arg(long)]
    bind: bool,
    #[command(flatten)]
    connection: ConnectionArgs,
}

/// Make a contract.
#[derive(Args, Debug)]
#[command(after_help = "\
Examples:
  counterfoil contract deploy artifacts/contracts/Counter.sol/Counter.json
  counterfoil contract deploy out/Token.sol/Token.json 'Olive oil' OIL 1000000 --receipt made.json")]
pub(crate) struct Deploy {
    /// The compiled contract, as Hardhat or Foundry writes it (JSON).
    artifact: PathBuf,
    /// Arguments of its constructor.
    args: Vec<String>,
    #[command(flatten)]
    sending: Sending,
}

/// Call a contract without changing anything, and print what it answers.
#[derive(Args, Debug)]
#[command(after_help = "\
Examples:
  counterfoil contract call 0x5FbD…0aa3 'balanceOf(address)(uint256)' 0xf39F…2266
  counterfoil contract call 0x5FbD…0aa3 count --abi out/Counter.sol/Counter.json --block 7")]
pub(crate) struct Call {
    /// The contract.
    contract: Address,
    /// The function: its name with --abi, or as 'name(types)(types of the result)'.
    function: String,
    /// Its arguments.
    args: Vec<String>,
    /// The compiled contract (JSON), which knows its functions.
    #[arg(long, value_name = "FILE")]
    abi: Option<PathBuf>,
    /// As whom [default: the first of your accounts in a confidential chain, else nobody].
    #[arg(long, value_name = "ADDRESS")]
    from: Option<Address>,
    /// On the state after this block [default: the newest].
    #[arg(long, value_name = "NUMBER")]
    block: Option<u64>,
    #[command(flatten)]
    connection: ConnectionArgs,
}

/// Send a transaction to a contract, and wait until it is committed.
#[derive(Args, Debug)]
#[command(after_help = "\
Examples:
  counterfoil contract send 0x5FbD…0aa3 'add(uint256)' 5
  counterfoil contract send 0x5FbD…0aa3 add 5 --abi out/Counter.sol/Counter.json --receipt added.json
  counterfoil verify added.json")]
pub(crate) struct Send {
    /// The contract.
    contract: Address,
    /// The function: its name with --abi, or as 'name(types)'.
    function: String,
    /// Its arguments.
    args: Vec<String>,
    /// The compiled contract (JSON), which knows its functions.
    #[arg(long, value_name = "FILE")]
    abi: Option<PathBuf>,
    #[command(flatten)]
    sending: Sending,
}

/// List what a contract left for others to see.
#[derive(Args, Debug)]
#[command(after_help = "\
Examples:
  counterfoil contract logs 0x5FbD…0aa3
  counterfoil contract logs 0x5FbD…0aa3 --event 'Added(address indexed by,uint256 sum)' --from 10
  counterfoil contract logs 0x5FbD…0aa3 --event Added --abi out/Counter.sol/Counter.json --json")]
pub(crate) struct Logs {
    /// The contract.
    contract: Address,
    /// Only those of this event: its name with --abi, or as 'Name(types)'.
    #[arg(long)]
    event: Option<String>,
    /// The compiled contract (JSON), which knows its events.
    #[arg(long, value_name = "FILE")]
    abi: Option<PathBuf>,
    /// From this block on.
    #[arg(long, value_name = "NUMBER", default_value_t = 0)]
    from: u64,
    /// Up to this block [default: the newest].
    #[arg(long, value_name = "NUMBER")]
    to: Option<u64>,
    /// Print each log as one line of JSON.
    #[arg(long)]
    json: bool,
    #[command(flatten)]
    connection: ConnectionArgs,
}

#[derive(Args, Debug)]
struct Sending {
    #[command(flatten)]
    key: KeyArgs,
    /// The gas that it may use [default: what it takes now].
    #[arg(long)]
    gas: Option<u64>,
    /// Keep the receipt, which `counterfoil verify` checks offline, in this file.
    #[arg(long, value_name = "FILE")]
    receipt: Option<PathBuf>,
    /// Print the result as one line of JSON.
    #[arg(long)]
    json: bool,
    #[command(flatten)]
    connection: ConnectionArgs,
}

impl Contract {
    pub(crate) fn run(self) -> Result<ExitCode> {
        match self {
            Self::Account(args) => block_on(args.run()),
            Self::Deploy(args) => block_on(args.run()),
            Self::Call(args) => block_on(args.run()),
            Self::Send(args) => block_on(args.run()),
            Self::Logs(args) => block_on(args.run()),
        }
    }
}

impl ShowAccount {
    async fn run(self) -> Result<ExitCode> {
        let account = self.key.account()?;
        let address = account.address();
        if self.bind {
            let chain = Chain::of(&self.connection)?;
            let message = chain
                .ask("counterfoil_accountMessage", json!([address]))
                .await?;
            let message = message.as_str().unwrap_or_default();
            let signature = account.sign(eip191_hash_message(message));
            let signature = Bytes::copy_from_slice(&signature.as_bytes());
            let bound = chain.ask("counterfoil_bindAccount", json!([message, signature]));
            let bound = bound.await?;
            let user = bound["user"].as_str().unwrap_or_default();
            say!(
                "{address} {}",
                faint(format!("of {}", out::one_line(user, 100)))
            );
        } else {
            say!("{address}");
        }
        Ok(ExitCode::SUCCESS)
    }
}

impl Deploy {
    async fn run(self) -> Result<ExitCode> {
        let artifact = Artifact::read(&self.artifact)?;
        let input = artifact.deploying(&self.args)?;
        self.sending.send(TxKind::Create, input).await
    }
}

impl Call {
    async fn run(self) -> Result<ExitCode> {
        let abi = self.abi.as_deref().map(Artifact::read).transpose()?;
        let abi = abi.as_ref().map(|artifact| &artifact.abi);
        let function = abi::function(&self.function, abi, self.args.len())?;
        let input = abi::calling(&function, &self.args)?;
        let chain = Chain::of(&self.connection)?;
        let mut call = json!({ "to": self.contract, "input": input });
        if let Some(from) = self.from {
            call["from"] = json!(from);
        }
        let block = block(self.block);
        let answer = chain.ask("eth_call", json!([call, block])).await?;
        let answer: Bytes = serde_json::from_value(answer)?;
        for value in abi::answered(&function, &answer)? {
            say!("{value}");
        }
        Ok(ExitCode::SUCCESS)
    }
}

impl Send {
    async fn run(self) -> Result<ExitCode> {
        let abi = self.abi.as_deref().map(Artifact::read).transpose()?;
        let abi = abi.as_ref().map(|artifact| &artifact.abi);
        let function = abi::function(&self.function, abi, self.args.len())?;
        let input = abi::calling(&function, &self.args)?;
        self.sending.send(self.contract.into(), input).await
    }
}

impl Sending {
    async fn send(self, to: TxKind, input: Bytes) -> Result<ExitCode> {
        let account = self.key.account()?;
        let chain = Chain::of(&self.connection)?;
        let done = chain.send(&account, to, input, self.gas).await?;
        if let Some(path) = &self.receipt {
            keep(&chain, &done, path).await?;
        }
        if self.json {
            out::write_json(&done);
        } else {
            show(&done);
        }
        Ok(match done.succeeded {
            true => ExitCode::SUCCESS,
            false => ExitCode::FAILURE,
        })
    }
}

async fn keep(chain: &Chain, done: &Done, path: &Path) -> Result<()> {
    let receipt = chain
        .ask("counterfoil_getReceipt", json!([done.transaction_hash]))
        .await?;
    let text = format!("{receipt}\n");
    std::fs::write(path, text).map_err(Failure::writing(path))?;
    Ok(())
}

fn show(done: &Done) {
    let how = if done.succeeded {
        out::good("committed")
    } else {
        out::bad("committed, and failed")
    };
    say!("{how} in block {}", bold(done.block_number));
    if let Some(made) = done.contract_address {
        say!("  contract {}", bold(made));
    }
    say!("  hash     {}", done.transaction_hash);
    say!("  gas      {} {}", done.gas_used, faint("(costs nothing)"));
    if done.logs > 0 {
        say!("  logs     {}", done.logs);
    }
}

impl Logs {
    async fn run(self) -> Result<ExitCode> {
        let abi = self.abi.as_deref().map(Artifact::read).transpose()?;
        let abi = abi.as_ref().map(|artifact| &artifact.abi);
        let event = self
            .event
            .as_deref()
            .map(|text| abi::event(text, abi))
            .transpose()?;
        let chain = Chain::of(&self.connection)?;
        let topics: Vec<_> = event.iter().map(alloy_json_abi::Event::selector).collect();
        let filter = json!([{
            "address": self.contract,
            "topics": topics,
            "fromBlock": block(Some(self.from)),
            "toBlock": block(self.to),
        }]);
        for log in chain.logs(filter).await? {
            let known = event.as_ref().or_else(|| {
                let mut events = abi?.events();
                events.find(|event| Some(&event.selector()) == log.topics.first())
            });
            let values = known.and_then(|event| {
                let values = abi::logged(event, log.topics.clone(), log.data.clone())?;
                Some((event.name.as_str(), values))
            });
            print_log(&log, values, self.json);
        }
        Ok(ExitCode::SUCCESS)
    }
}

fn print_log(log: &chain::Log, values: Option<(&str, Vec<(String, String)>)>, as_json: bool) {
    #[derive(Serialize)]
    #[serde(rename_all = "camelCase")]
    struct Shown<'a> {
        #[serde(flatten)]
        log: &'a chain::Log,
        #[serde(skip_serializing_if = "Option::is_none")]
        event: Option<&'a str>,
        #[serde(skip_serializing_if = "Value::is_null")]
        values: Value,
    }
    if as_json {
        let (event, values) = match values {
            Some((event, values)) => (Some(event), json!(values)),
            None => (None, Value::Null),
        };
        return out::write_json(&Shown { log, event, values });
    }
    let said = match values {
        Some((event, values)) => {
            let values = values.iter().map(|(name, value)| match name.as_str() {
                "" => value.clone(),
                name => format!("{name}: {value}"),
            });
            format!("{event}({})", values.collect::<Vec<_>>().join(", "))
        }
        None => {
            let topics = log.topics.iter().map(ToString::to_string);
            format!("{} {}", topics.collect::<Vec<_>>().join(" "), log.data)
        }
    };
    say!("{} {}", faint(log.block_number), out::one_line(&said, 500));
}

/// A block as JSON-RPC names it.
fn block(number: Option<u64>) -> String {
    number.map_or_else(|| "latest".to_owned(), |number| format!("0x{number:x}"))
}
