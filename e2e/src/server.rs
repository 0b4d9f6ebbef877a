//! A ledger in a folder of its own, served by the release binary.

use std::env;
use std::ffi::OsString;
use std::fs::{self, File};
use std::io::{BufRead, BufReader, Read};
use std::path::{Path, PathBuf};
use std::process::{Child, Command, ExitStatus, Stdio};
use std::sync::mpsc;
use std::thread;
use std::time::{Duration, Instant};

use anyhow::{Context, Result, bail};
use serde::Deserialize;
use tempfile::TempDir;

/// A server that is not ready by then never will be.
const READY_WITHIN: Duration = Duration::from_secs(60);
/// A server that was asked to stop drains and stops well within this.
const STOPPED_WITHIN: Duration = Duration::from_secs(60);

/// What the server prints when it is ready.
#[derive(Debug, Clone, Deserialize)]
pub struct Ready {
    /// Where it listens.
    pub url: String,
    /// The service certificate: what clients trust.
    pub service_cert: PathBuf,
    /// The bootstrap administrator's bearer token.
    pub token: String,
    /// Its process.
    pub pid: u32,
}

/// A running server and its ledger. Dropping it kills the server and removes the ledger.
#[derive(Debug)]
pub struct Ledger {
    server: Child,
    ready: Ready,
    folder: TempDir,
    args: Vec<String>,
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
        let args: Vec<String> = args.iter().map(|&arg| arg.to_owned()).collect();
        let (server, ready) = serve(folder.path(), &args)?;
        Ok(Self {
            server,
            ready,
            folder,
            args,
        })
    }

    /// What the server printed when it was ready.
    pub fn ready(&self) -> &Ready {
        &self.ready
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
        signal("TERM", self.server.id())?;
        let status = wait(&mut self.server, STOPPED_WITHIN)?;
        match status {
            Some(status) if status.success() => Ok(()),
            Some(status) => bail!("the server stopped with {status}\n{}", self.log()),
            None => bail!(
                "the server did not stop within {STOPPED_WITHIN:?}\n{}",
                self.log()
            ),
        }
    }

    /// Ends the server at once, as a loss of power would.
    ///
    /// # Errors
    /// When there is no process to end.
    pub fn kill(&mut self) -> Result<()> {
        self.server.kill().context("killing the server")?;
        self.server
            .wait()
            .context("waiting for the killed server")?;
        Ok(())
    }

    /// Serves the same ledger again, after [`stop`](Self::stop) or [`kill`](Self::kill).
    ///
    /// # Errors
    /// When the server does not say that it is ready.
    pub fn start_again(&mut self) -> Result<()> {
        (self.server, self.ready) = serve(self.folder.path(), &self.args)?;
        Ok(())
    }

    /// Starts a second server on the same folder, and stops it again should it be ready.
    ///
    /// # Errors
    /// When the second server does not say that it is ready, as it should not.
    pub fn start_another(&self) -> Result<()> {
        let (mut second, _) = serve(self.folder.path(), &self.args)?;
        second.kill().context("killing the second server")?;
        second.wait().context("waiting for the second server")?;
        Ok(())
    }

    /// What the server wrote to standard error so far.
    pub fn log(&self) -> String {
        fs::read_to_string(log(self.folder.path())).unwrap_or_default()
    }
}

impl Drop for Ledger {
    fn drop(&mut self) {
        // It may have stopped already.
        let _ = self.server.kill();
        let _ = self.server.wait();
        if thread::panicking() {
            eprintln!("--- the server's log\n{}", self.log());
        }
    }
}

fn serve(folder: &Path, args: &[String]) -> Result<(Child, Ready)> {
    let errors = File::options()
        .create(true)
        .append(true)
        .open(log(folder))?;
    let mut server = counterfoil()?
        .args(["up", "--dev", "--json", "--listen", "127.0.0.1:0", "--dir"])
        .arg(data(folder))
        .args(args)
        .stdin(Stdio::null())
        .stdout(Stdio::piped())
        .stderr(errors)
        .spawn()
        .context("starting the server")?;
    let stdout = server.stdout.take().expect("standard output is a pipe");
    let ready = ready_line(stdout).and_then(|line| {
        serde_json::from_str(&line).with_context(|| format!("reading the server's line {line:?}"))
    });
    match ready {
        Ok(ready) => Ok((server, ready)),
        Err(error) => {
            // It may have ended by itself.
            let _ = server.kill();
            let _ = server.wait();
            let said = fs::read_to_string(log(folder)).unwrap_or_default();
            Err(error.context(format!("the server is not ready\n{said}")))
        }
    }
}

fn ready_line(stdout: impl Read + Send + 'static) -> Result<String> {
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
    Ok(told
        .recv_timeout(READY_WITHIN)
        .context("waiting for the server's line")??)
}

/// The program under test, with nothing of the tester's own profile.
///
/// # Errors
/// When it was not built.
pub fn counterfoil() -> Result<Command> {
    Ok(without_settings(&binary()?))
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

fn signal(name: &str, pid: u32) -> Result<()> {
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

fn log(folder: &Path) -> PathBuf {
    folder.join("server.log")
}
