//! JSON-RPC as somebody writes it who means no good: bytes on a connection, and what they cost the node.

use std::fs;
use std::io::{Read, Write};
use std::net::TcpStream;
use std::sync::atomic::{AtomicBool, AtomicU32, Ordering};
use std::thread;
use std::time::Duration;

use anyhow::{Context, Result, bail, ensure};
use e2e::Ledger;
use serde_json::{Value, json};

/// The machine may be busy with other tests; no answer at all is what this is for.
const PATIENCE: Duration = Duration::from_secs(180);

/// What the node said: a result, or the code and text of an error.
pub(crate) type Said = Result<Value, (i64, String)>;

/// The plain listener of a node, and its process.
pub(crate) struct Rpc {
    address: String,
    pid: u32,
}

impl Rpc {
    /// A new ledger with a chain, and its listener.
    pub(crate) fn start() -> Result<(Ledger, Self)> {
        let ledger = Ledger::start_with(&["--rpc", "127.0.0.1:0"])?;
        let url = ledger.ready().rpc_url.clone().context("no rpc_url")?;
        let address = url.trim_start_matches("http://").trim_end_matches('/');
        let rpc = Self {
            address: address.to_owned(),
            pid: ledger.ready().pid,
        };
        Ok((ledger, rpc))
    }

    /// A connection.
    pub(crate) fn connect(&self) -> Result<TcpStream> {
        let stream = TcpStream::connect(&self.address).context("connecting")?;
        stream.set_read_timeout(Some(PATIENCE))?;
        stream.set_write_timeout(Some(PATIENCE))?;
        Ok(stream)
    }

    /// Sends a body; returns the status of HTTP and the answer's body.
    pub(crate) fn post(&self, body: &[u8]) -> Result<(u16, Vec<u8>)> {
        let mut stream = self.connect()?;
        let head = format!(
            "POST / HTTP/1.1\r\nhost: {}\r\ncontent-type: application/json\r\n\
             content-length: {}\r\nconnection: close\r\n\r\n",
            self.address,
            body.len()
        );
        stream.write_all(head.as_bytes())?;
        // The node may have answered already, and read no further.
        let sent = stream.write_all(body);
        let mut answer = Vec::new();
        let read = stream.read_to_end(&mut answer);
        if answer.is_empty() {
            sent?;
            read?;
        }
        let end = answer.windows(4).position(|four| four == b"\r\n\r\n");
        let end = end.context("the answer has no head")?;
        let head = str::from_utf8(&answer[..end])?;
        let status = head.split(' ').nth(1).context("the answer has no status")?;
        Ok((status.parse()?, answer.split_off(end + 4)))
    }

    /// Sends a body that JSON is expected to answer.
    pub(crate) fn ask(&self, body: &[u8]) -> Result<Value> {
        let (status, answer) = self.post(body)?;
        serde_json::from_slice(&answer)
            .with_context(|| format!("{status}: {}", String::from_utf8_lossy(&answer)))
    }

    /// Calls a method.
    pub(crate) fn call(&self, method: &str, params: Value) -> Result<Said> {
        let request = json!({"jsonrpc": "2.0", "id": 1, "method": method, "params": params});
        said(&self.ask(&serde_json::to_vec(&request)?)?)
    }

    /// Calls a method that must refuse; returns the code and the text.
    pub(crate) fn refused(&self, method: &str, params: Value) -> Result<(i64, String)> {
        match self.call(method, params)? {
            Err(error) => Ok(error),
            Ok(result) => bail!("{method} answered {result}"),
        }
    }

    /// Calls a method that must answer.
    pub(crate) fn answered(&self, method: &str, params: Value) -> Result<Value> {
        let said = self.call(method, params)?;
        said.map_err(|error| anyhow::anyhow!("{method}: {error:?}"))
    }

    /// Sends transactions, some in a request.
    pub(crate) fn send_all(&self, transactions: &[String]) -> Result<Vec<Said>> {
        let mut all = Vec::new();
        for some in transactions.chunks(40) {
            let requests: Vec<Value> = some
                .iter()
                .zip(1..)
                .map(|(raw, id): (_, u32)| {
                    json!({"jsonrpc": "2.0", "id": id, "method": "eth_sendRawTransaction",
                           "params": [raw]})
                })
                .collect();
            let answers = self.ask(&serde_json::to_vec(&requests)?)?;
            for answer in answers.as_array().context("no batch came back")? {
                all.push(said(answer)?);
            }
        }
        Ok(all)
    }

    /// Does something that may cost the node no more than this, while others are served and afterwards:
    /// seconds of its processor and megabytes beside what it had, orders of magnitude rather than numbers.
    pub(crate) fn within<T>(
        &self,
        what: &str,
        seconds: u64,
        megabytes: u64,
        work: impl FnOnce() -> Result<T>,
    ) -> Result<T> {
        // From here on the peak is counted anew.
        fs::write(format!("/proc/{}/clear_refs", self.pid), "5").context("clearing the peak")?;
        let (before, held) = (self.cpu()?, self.memory("VmRSS")?);
        let (ends, served) = (AtomicBool::new(false), AtomicU32::new(0));
        let done = thread::scope(|scope| {
            let others = scope.spawn(|| -> Result<()> {
                while !ends.load(Ordering::Relaxed) {
                    self.answered("eth_chainId", json!([]))?;
                    self.answered("eth_getBlockByNumber", json!(["latest", false]))?;
                    served.fetch_add(1, Ordering::Relaxed);
                    thread::sleep(Duration::from_millis(50));
                }
                Ok(())
            });
            let done = work();
            ends.store(true, Ordering::Relaxed);
            let others = others.join().expect("it does not panic");
            others.with_context(|| format!("others were not served: {what}"))?;
            done
        })?;
        self.answered("eth_blockNumber", json!([]))?;
        let cost = self.cpu()? - before;
        let grown = self.memory("VmHWM")?.saturating_sub(held);
        eprintln!("{what}: {cost:?}, {grown} MB more, {served:?} others");
        ensure!(
            cost < Duration::from_secs(seconds),
            "{what} took {cost:?} of a processor"
        );
        ensure!(grown < megabytes, "{what} took {grown} MB");
        Ok(done)
    }

    /// Time of processors that the node took so far.
    fn cpu(&self) -> Result<Duration> {
        let stat = fs::read_to_string(format!("/proc/{}/stat", self.pid))?;
        let (_, fields) = stat.rsplit_once(") ").context("an odd line")?;
        let ticks = |at: usize| -> Result<u64> {
            Ok(fields
                .split(' ')
                .nth(at)
                .context("too few fields")?
                .parse()?)
        };
        // In hundredths of a second on every Linux.
        Ok(Duration::from_millis((ticks(11)? + ticks(12)?) * 10))
    }

    /// Megabytes of memory.
    fn memory(&self, which: &str) -> Result<u64> {
        let status = fs::read_to_string(format!("/proc/{}/status", self.pid))?;
        let line = status.lines().find(|line| line.starts_with(which));
        let number = line.and_then(|line| line.split_whitespace().nth(1));
        Ok(number.context("no such line")?.parse::<u64>()? / 1024)
    }
}

/// What an answer says.
pub(crate) fn said(answer: &Value) -> Result<Said> {
    if let Some(error) = answer.get("error") {
        let code = error["code"].as_i64().context("an error without a code")?;
        let text = error["message"]
            .as_str()
            .context("an error without a text")?;
        return Ok(Err((code, text.to_owned())));
    }
    let result = answer.get("result");
    Ok(Ok(result
        .with_context(|| format!("neither result nor error: {answer}"))?
        .clone()))
}
