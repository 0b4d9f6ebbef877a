//! A node, or the audit services, in a process of its own.

use std::fs::File;
use std::io::{BufRead, BufReader, Read};
use std::os::unix::process::CommandExt;
use std::path::{Path, PathBuf};
use std::process::{Child, Command, Stdio};
use std::time::{Duration, Instant};

use anyhow::Result;
use serde::Deserialize;
use serde::de::DeserializeOwned;
use tokio::sync::oneshot;

use crate::join::WAITING;
use crate::report::Failure;

/// What has not happened by then never will.
const WITHIN: Duration = Duration::from_secs(60);
/// Between two looks.
const LOOK: Duration = Duration::from_millis(10);
/// A node that was asked to stop is given this long.
const STOPS_WITHIN: Duration = Duration::from_secs(5);
/// What it logs.
const LOGGED: &str = "info,fjall=warn,lsm_tree=warn";

/// The process. It is killed when this is dropped, and ends by itself when this process does,
/// however that comes: its standard input ends then.
pub(super) struct Process {
    child: Child,
    log: PathBuf,
    line: Option<oneshot::Receiver<String>>,
}

/// What a node prints when it serves.
#[derive(Debug, Deserialize)]
pub(super) struct Ready {
    pub(super) url: String,
    pub(super) service_cert: PathBuf,
    pub(super) token: Option<String>,
}

/// What the audit services print then.
#[derive(Debug, Deserialize)]
pub(super) struct AuditReady {
    pub(super) url: String,
    pub(super) certificate: PathBuf,
}

impl Process {
    /// Starts a node in `dir`, on free ports of this machine. Its log stands beside the folder.
    pub(super) fn start(program: &Path, dir: &Path, args: &[String]) -> Result<Self> {
        let mut command = Command::new(program);
        command.args(["up", "--listen", "127.0.0.1:0", "--peers", "127.0.0.1:0"]);
        Self::spawn(command, dir, args, None)
    }

    /// Starts the audit services in `dir`, in the name of whoever has the token.
    pub(super) fn start_audit(
        program: &Path,
        dir: &Path,
        args: &[String],
        token: &str,
    ) -> Result<Self> {
        let mut command = Command::new(program);
        command.args(["audit", "all"]);
        Self::spawn(command, dir, args, Some(token))
    }

    fn spawn(
        mut command: Command,
        dir: &Path,
        args: &[String],
        token: Option<&str>,
    ) -> Result<Self> {
        let log = dir.with_extension("log");
        let errors = File::options().create(true).append(true).open(&log);
        // What is set for this user's own ledger is not for these.
        for (name, _) in std::env::vars_os() {
            if name.to_string_lossy().starts_with("COUNTERFOIL_") {
                command.env_remove(name);
            }
        }
        command.envs(token.map(|token| ("COUNTERFOIL_TOKEN", token)));
        let program = Path::new(command.get_program()).to_owned();
        let mut child = command
            .args(["--json", "--until-stdin-ends", "--log", LOGGED])
            .arg("--dir")
            .arg(dir)
            .args(args)
            .stdin(Stdio::piped())
            .stdout(Stdio::piped())
            .stderr(errors.map_err(Failure::writing(&log))?)
            // Ctrl-C is for the demo alone, which then ends its nodes.
            .process_group(0)
            .spawn()
            .map_err(|error| {
                Failure::new(format!("{} cannot be started", program.display())).because(error)
            })?;
        let line = child.stdout.take().map(first_line);
        Ok(Self { child, log, line })
    }

    /// Waits until it serves.
    pub(super) async fn ready<T: DeserializeOwned>(&mut self) -> Result<T> {
        let Some(line) = self.line.take() else {
            return Err(self.failed("said already that it is ready").into());
        };
        let line = tokio::time::timeout(WITHIN, line).await;
        let line = line.map(Result::unwrap_or_default).unwrap_or_default();
        serde_json::from_str(&line)
            .map_err(|error| self.failed("did not start").because(error).into())
    }

    /// Waits until the node has asked to join and is told to wait for the members; gives its id.
    pub(super) async fn pending(&self) -> Result<String> {
        let id = until(async || {
            let log = self.log();
            let line = log.lines().find(|line| line.contains(WAITING))?;
            let (_, id) = line.split_once("node=\"")?;
            Some(id.split('"').next()?.to_owned())
        });
        id.await
            .ok_or_else(|| self.failed("does not wait for the members").into())
    }

    /// Waits until the process has ended by itself; gives what it said last.
    pub(super) async fn refused(&mut self) -> Result<String> {
        let status = until(async || self.child.try_wait().ok()?).await;
        match status {
            Some(status) if !status.success() => Ok(self.log()),
            _ => Err(self.failed("was let in, as it should not").into()),
        }
    }

    /// Ends it at once, as a loss of power would.
    pub(super) fn kill(&mut self) {
        // It may have ended already, which is as well.
        let _ = self.child.kill();
        let _ = self.child.wait();
    }

    /// Asks it to stop, and waits until it has.
    pub(super) async fn stop(mut self) {
        drop(self.child.stdin.take());
        let started = Instant::now();
        while started.elapsed() < STOPS_WITHIN && matches!(self.child.try_wait(), Ok(None)) {
            tokio::time::sleep(LOOK).await;
        }
    }

    fn log(&self) -> String {
        std::fs::read_to_string(&self.log).unwrap_or_default()
    }

    fn failed(&self, what: &str) -> Failure {
        let name = self.log.file_stem().unwrap_or_default().to_string_lossy();
        let log = self.log();
        let last = log.lines().last().unwrap_or("it said nothing");
        Failure::new(format!("{name} {what}: {last}"))
    }
}

impl Drop for Process {
    fn drop(&mut self) {
        self.kill();
    }
}

/// Looks until there is something to see; `None` when there is nothing for too long.
pub(super) async fn until<T>(mut look: impl AsyncFnMut() -> Option<T>) -> Option<T> {
    let started = Instant::now();
    while started.elapsed() < WITHIN {
        if let Some(seen) = look().await {
            return Some(seen);
        }
        tokio::time::sleep(LOOK).await;
    }
    None
}

/// The first line that comes; empty where none does.
fn first_line(stdout: impl Read + Send + 'static) -> oneshot::Receiver<String> {
    let (tell, told) = oneshot::channel();
    std::thread::spawn(move || {
        let mut stdout = BufReader::new(stdout);
        let mut line = String::new();
        // Without a line the node has failed, and its log says why.
        let _ = stdout.read_line(&mut line);
        let _ = tell.send(line);
        // Read on, so that the node never writes into a closed pipe.
        let _ = std::io::copy(&mut stdout, &mut std::io::sink());
    });
    told
}
