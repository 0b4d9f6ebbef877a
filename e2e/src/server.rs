//! A ledger in a folder of its own, served by the release binary.

use std::env;
use std::ffi::OsString;
use std::fs::{self, File};
use std::io::{BufRead, BufReader, Read, Write};
use std::path::{Path, PathBuf};
use std::process::{Child, Command, ExitStatus, Stdio};
use std::sync::{OnceLock, mpsc};
use std::thread;
use std::time::{Duration, Instant};

use anyhow::{Context, Result, bail, ensure};
use serde::Deserialize;
use tempfile::TempDir;

use crate::client::Place;

/// A server that is not ready by then never will be.
const READY_WITHIN: Duration = Duration::from_secs(60);
/// A server that was asked to stop drains and stops well within this.
pub(crate) const STOPPED_WITHIN: Duration = Duration::from_secs(60);

/// What the server prints when it is ready.
#[derive(Debug, Clone, Deserialize)]
pub struct Ready {
    /// Where it listens.
    pub url: String,
    /// The service certificate: what clients trust.
    pub service_cert: PathBuf,
    /// The bootstrap administrator's bearer token; empty for a node that joined.
    #[serde(deserialize_with = "or_empty")]
    pub token: String,
    /// Where contracts are reached without TLS, if they are.
    #[serde(default)]
    pub rpc_url: Option<String>,
    /// Its process.
    pub pid: u32,
}

fn or_empty<'de, D: serde::Deserializer<'de>>(text: D) -> Result<String, D::Error> {
    Ok(Option::<String>::deserialize(text)?.unwrap_or_default())
}

/// How a server is started, beside its folder.
#[derive(Debug, Clone, Default)]
pub struct Launch {
    /// Arguments of `up`. Without `--listen` it listens on any free port of the loopback interface.
    pub args: Vec<String>,
    /// Variables of its environment.
    pub env: Vec<(String, String)>,
    /// The program, where it is not the one under test.
    pub program: Option<PathBuf>,
}

impl Launch {
    /// With these arguments.
    pub fn with(args: &[&str]) -> Self {
        Self {
            args: args.iter().map(|&arg| arg.to_owned()).collect(),
            ..Self::default()
        }
    }

    /// The same, with these arguments before its own.
    #[must_use]
    pub fn after(&self, args: &[&str]) -> Self {
        let mut all = Self::with(args);
        all.args.extend(self.args.iter().cloned());
        all.env.clone_from(&self.env);
        all.program.clone_from(&self.program);
        all
    }
}

/// A process of the release binary that serves a folder. Dropping it kills it.
#[derive(Debug)]
pub(crate) struct Server {
    process: Child,
    folder: PathBuf,
    line: mpsc::Receiver<std::io::Result<String>>,
    /// What the line said.
    told: OnceLock<Ready>,
}

impl Server {
    /// Starts it in `folder`, and waits until it is ready.
    pub(crate) fn start(folder: &Path, launch: &Launch) -> Result<(Self, Ready)> {
        let server = Self::spawn(folder, launch)?;
        let ready = server.ready()?;
        Ok((server, ready))
    }

    /// Starts it in `folder`.
    pub(crate) fn spawn(folder: &Path, launch: &Launch) -> Result<Self> {
        let errors = File::options()
            .create(true)
            .append(true)
            .open(log(folder))?;
        let mut command = match &launch.program {
            Some(program) => without_settings(program),
            None => counterfoil()?,
        };
        command.args(["up", "--json", "--dir"]).arg(folder);
        if !launch.args.iter().any(|arg| arg == "--listen") {
            command.args(["--listen", "127.0.0.1:0"]);
        }
        let mut process = command
            .args(&launch.args)
            .envs(launch.env.iter().map(|(name, value)| (name, value)))
            .stdin(Stdio::null())
            .stdout(Stdio::piped())
            .stderr(errors)
            .spawn()
            .context("starting the server")?;
        let stdout = process.stdout.take().expect("standard output is a pipe");
        Ok(Self {
            process,
            folder: folder.to_owned(),
            line: first_line(stdout),
            told: OnceLock::new(),
        })
    }

    /// Waits until it is ready.
    pub(crate) fn ready(&self) -> Result<Ready> {
        self.ready_within(READY_WITHIN)
    }

    /// Waits so long at most until it is ready.
    pub(crate) fn ready_within(&self, within: Duration) -> Result<Ready> {
        if let Some(ready) = self.told.get() {
            return Ok(ready.clone());
        }
        let line = self.line.recv_timeout(within);
        let line = line.context("waiting for the server's line");
        let ready: Result<Ready> = line.and_then(|line| {
            let line = line?;
            serde_json::from_str(&line)
                .with_context(|| format!("reading the server's line {line:?}"))
        });
        let ready =
            ready.with_context(|| format!("the server is not ready\n{}", log_of(&self.folder)))?;
        Ok(self.told.get_or_init(|| ready).clone())
    }

    /// Whether it has said that it is ready.
    pub(crate) fn is_ready(&self) -> bool {
        self.ready_within(Duration::ZERO).is_ok()
    }

    /// Its process.
    pub(crate) fn pid(&self) -> u32 {
        self.process.id()
    }

    /// Ends it at once.
    pub(crate) fn kill(&mut self) -> Result<()> {
        self.process.kill().context("killing the server")?;
        self.process
            .wait()
            .context("waiting for the killed server")?;
        Ok(())
    }

    /// Sends it a signal, such as `STOP` or `CONT`.
    pub(crate) fn signal(&self, name: &str) -> Result<()> {
        signal(name, self.process.id())
    }

    /// How it ended, if it has.
    pub(crate) fn ended(&mut self) -> Result<Option<ExitStatus>> {
        self.process.try_wait().context("looking after the server")
    }

    /// Asks it to stop and waits until it has.
    pub(crate) fn stop(&mut self) -> Result<()> {
        self.signal("TERM")?;
        self.stopped()
    }

    /// Waits until it has stopped, as it was asked to.
    pub(crate) fn stopped(&mut self) -> Result<()> {
        match wait(&mut self.process, STOPPED_WITHIN)? {
            Some(status) if status.success() => Ok(()),
            Some(status) => bail!("the server stopped with {status}\n{}", log_of(&self.folder)),
            None => bail!(
                "the server did not stop within {STOPPED_WITHIN:?}\n{}",
                log_of(&self.folder)
            ),
        }
    }
}

impl Drop for Server {
    fn drop(&mut self) {
        // It may have ended already.
        let _ = self.process.kill();
        let _ = self.process.wait();
        if thread::panicking() {
            eprintln!("--- the server's log\n{}", log_of(&self.folder));
        }
    }
}

/// A running server and its ledger. Dropping it kills the server and removes the ledger.
#[derive(Debug)]
pub struct Ledger {
    server: Server,
    ready: Ready,
    folder: TempDir,
    launch: Launch,
}

impl Ledger {
    /// A private ledger, new and empty.
    ///
    /// # Errors
    /// When the server does not say that it is ready.
    pub fn start() -> Result<Self> {
        Self::start_with(&[])
    }

    /// A new ledger, served with more arguments, such as `--public`.
    ///
    /// # Errors
    /// When the server does not say that it is ready.
    pub fn start_with(args: &[&str]) -> Result<Self> {
        let folder = TempDir::with_prefix("counterfoil-e2e-").context("making a folder")?;
        let launch = Launch::with(args).after(&["--dev"]);
        let (server, ready) = Server::start(&data(folder.path()), &launch)?;
        Ok(Self {
            server,
            ready,
            folder,
            launch,
        })
    }

    /// What the server printed when it was ready.
    pub fn ready(&self) -> &Ready {
        &self.ready
    }

    /// Where a script finds it.
    ///
    /// # Errors
    /// When there can be no folder for the script.
    pub fn place(&self) -> Result<Place> {
        Ok(Place {
            ready: self.ready.clone(),
            folder: self.folder(),
            scratch: self.scratch()?,
        })
    }

    /// The folder that was given to the server.
    pub fn folder(&self) -> PathBuf {
        data(self.folder.path())
    }

    /// A folder beside the ledger's, for whoever tests it.
    ///
    /// # Errors
    /// When it cannot be made.
    pub fn scratch(&self) -> Result<PathBuf> {
        let scratch = self.folder.path().join("scratch");
        fs::create_dir_all(&scratch).context("making a scratch folder")?;
        Ok(scratch)
    }

    /// Asks the server to stop and waits until it has; the ledger stays.
    ///
    /// # Errors
    /// When it does not stop in time, or not with success.
    pub fn stop(&mut self) -> Result<()> {
        self.server.stop()
    }

    /// Ends the server at once, as a loss of power would.
    ///
    /// # Errors
    /// When there is no process to end.
    pub fn kill(&mut self) -> Result<()> {
        self.server.kill()
    }

    /// Serves the same ledger again, after [`stop`](Self::stop) or [`kill`](Self::kill).
    ///
    /// # Errors
    /// When the server does not say that it is ready.
    pub fn start_again(&mut self) -> Result<()> {
        (self.server, self.ready) = Server::start(&self.folder(), &self.launch)?;
        Ok(())
    }

    /// Starts a second server on the same folder, and stops it again should it be ready.
    ///
    /// # Errors
    /// When the second server does not say that it is ready, as it should not.
    pub fn start_another(&self) -> Result<()> {
        let (mut second, _) = Server::start(&self.folder(), &self.launch)?;
        second.kill()
    }

    /// What the server wrote to standard error so far.
    pub fn log(&self) -> String {
        log_of(&self.folder())
    }
}

/// The first line that comes, as soon as it is there.
pub(crate) fn first_line(
    stdout: impl Read + Send + 'static,
) -> mpsc::Receiver<std::io::Result<String>> {
    let (tell, told) = mpsc::channel();
    thread::spawn(move || {
        let mut stdout = BufReader::new(stdout);
        let mut line = String::new();
        let read = stdout.read_line(&mut line).map(|_| line);
        // Nobody listens any more after the time is over.
        let _ = tell.send(read);
        // Read on, so that the server never writes into a closed pipe.
        let _ = std::io::copy(&mut stdout, &mut std::io::sink());
    });
    told
}

/// The program under test, with nothing of the tester's own profile.
///
/// # Errors
/// When it was not built.
pub fn counterfoil() -> Result<Command> {
    Ok(without_settings(&binary()?))
}

/// The program under test as another release: in `folder`, and with one byte more behind it, which
/// changes nothing of what it does, and its digest all the same.
///
/// # Errors
/// When it cannot be copied.
pub fn next_release(folder: &Path) -> Result<PathBuf> {
    let next = folder.join("counterfoil-next");
    fs::copy(binary()?, &next).context("copying the program")?;
    let mut file = File::options().append(true).open(&next)?;
    file.write_all(&[0]).context("changing the program")?;
    Ok(next)
}

pub(crate) fn without_settings(program: &Path) -> Command {
    let mut command = Command::new(program);
    let ours = |name: &OsString| {
        name.to_str()
            .is_some_and(|name| name.starts_with("COUNTERFOIL_"))
    };
    for (name, _) in env::vars_os().filter(|(name, _)| ours(name)) {
        command.env_remove(name);
    }
    command
}

fn binary() -> Result<PathBuf> {
    if let Some(program) = env::var_os("COUNTERFOIL_BIN") {
        return Ok(program.into());
    }
    // A test is TARGET/PROFILE/deps/NAME.
    let test = env::current_exe().context("finding this test")?;
    let target = test
        .ancestors()
        .nth(3)
        .context("a test stands in the target folder")?;
    let program = target.join("release/counterfoil");
    if !program.is_file() {
        bail!(
            "{} is missing: `cargo build --release -p counterfoil` makes it",
            program.display()
        );
    }
    Ok(program)
}

/// Waits for a process to end; `None` when it has not within that time.
pub(crate) fn wait(child: &mut Child, within: Duration) -> Result<Option<ExitStatus>> {
    let start = Instant::now();
    loop {
        if let Some(status) = child.try_wait().context("waiting for a process")? {
            return Ok(Some(status));
        }
        if start.elapsed() > within {
            return Ok(None);
        }
        thread::sleep(Duration::from_millis(20));
    }
}

pub(crate) fn signal(name: &str, pid: u32) -> Result<()> {
    let status = Command::new("kill")
        .args(["-s", name, &pid.to_string()])
        .status()?;
    if !status.success() {
        bail!("process {pid} cannot be sent {name}");
    }
    Ok(())
}

fn data(folder: &Path) -> PathBuf {
    folder.join("data")
}

/// The log of the server in this folder stands beside it.
fn log(data: &Path) -> PathBuf {
    data.with_extension("log")
}

/// What the server in this folder wrote to standard error so far.
pub(crate) fn log_of(data: &Path) -> String {
    fs::read_to_string(log(data)).unwrap_or_default()
}

/// What a command says that must succeed.
///
/// # Errors
/// When it does not, with all that it said.
pub fn said(command: &mut Command) -> Result<String> {
    let output = command.output().context("running a command")?;
    let (out, err) = (
        String::from_utf8_lossy(&output.stdout).into_owned(),
        String::from_utf8_lossy(&output.stderr),
    );
    ensure!(output.status.success(), "{command:?}: {out}{err}");
    Ok(out)
}
