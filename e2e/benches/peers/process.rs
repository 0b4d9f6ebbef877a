//! Processes, and what the operating system says about them.

use std::fs;
use std::io::{BufRead, BufReader};
use std::process::{Child, ChildStdout, Command, Stdio};
use std::thread;
use std::time::Duration;

use anyhow::{Context, Result, bail};
use serde::de::DeserializeOwned;

/// Linux counts processor time in hundredths of a second for programs, on every machine.
const TICK: Duration = Duration::from_millis(10);

/// A server that is ended when it is dropped.
pub(crate) struct Background {
    child: Child,
    // Open, so that the server never writes into a closed pipe.
    _stdout: BufReader<ChildStdout>,
}

impl Background {
    /// Starts a server and reads the line that it prints when it is ready.
    ///
    /// # Errors
    /// When it does not print that line.
    pub(crate) fn start<T: DeserializeOwned>(command: &mut Command) -> Result<(Self, T)> {
        let mut child = command
            .stdout(Stdio::piped())
            .spawn()
            .context("starting a server")?;
        let mut stdout = BufReader::new(child.stdout.take().expect("standard output is a pipe"));
        let mut line = String::new();
        stdout.read_line(&mut line)?;
        let ready = serde_json::from_str(&line);
        let server = Self {
            child,
            _stdout: stdout,
        };
        Ok((
            server,
            ready.with_context(|| format!("a server said {line:?}"))?,
        ))
    }
}

impl Drop for Background {
    fn drop(&mut self) {
        // It may have ended by itself.
        let _ = self.child.kill();
        let _ = self.child.wait();
    }
}

/// Runs a command that prints JSON.
///
/// # Errors
/// When it fails, or prints something else.
pub(crate) fn json<T: DeserializeOwned>(command: &mut Command) -> Result<T> {
    let out = command
        .stderr(Stdio::inherit())
        .output()
        .context("starting a command")?;
    let said = String::from_utf8_lossy(&out.stdout);
    if !out.status.success() {
        bail!("{command:?} failed: {said}");
    }
    serde_json::from_str(&said).with_context(|| format!("{command:?} said {said:?}"))
}

/// Runs a command that prints JSON; also tells its processor time.
///
/// # Errors
/// When it fails, or prints something else.
pub(crate) fn json_and_cpu<T: DeserializeOwned>(command: &mut Command) -> Result<(T, Duration)> {
    let (mut server, said) = Background::start::<T>(command)?;
    // It has printed its result; what it does until it ends is its own clean-up.
    let spent = cpu(server.child.id())?;
    while server.child.try_wait()?.is_none() {
        thread::sleep(Duration::from_millis(1));
    }
    Ok((said, spent))
}

/// Bytes of memory that the process has in use.
///
/// # Errors
/// When there is no such process.
pub(crate) fn resident(pid: u32) -> Result<u64> {
    memory(pid, "VmRSS:")
}

/// The most of it that there ever was.
///
/// # Errors
/// When there is no such process.
pub(crate) fn resident_at_most(pid: u32) -> Result<u64> {
    memory(pid, "VmHWM:")
}

fn memory(pid: u32, figure: &str) -> Result<u64> {
    let status = fs::read_to_string(format!("/proc/{pid}/status")).context("reading a process")?;
    let line = status
        .lines()
        .find_map(|line| line.strip_prefix(figure))
        .with_context(|| format!("no {figure}"))?;
    let kib: u64 = line.trim().trim_end_matches(" kB").trim().parse()?;
    Ok(kib * 1024)
}

/// Processor time that the process has used so far, its threads and the kernel on its behalf. A
/// process that has ended keeps it until its parent has asked how it ended.
///
/// # Errors
/// When there is no such process.
pub(crate) fn cpu(pid: u32) -> Result<Duration> {
    let stat = fs::read_to_string(format!("/proc/{pid}/stat")).context("reading a process")?;
    // The second field is a name in parentheses and may contain spaces; utime is the 14th.
    let fields = stat.rsplit_once(')').context("reading a process")?.1;
    let mut times = fields.split_whitespace().skip(11).map(str::parse::<u32>);
    let mut time = || {
        times
            .next()
            .context("reading a process's times")?
            .context("parsing them")
    };
    Ok(TICK * (time()? + time()?))
}
