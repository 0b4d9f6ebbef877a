//! A PostgreSQL server in a folder of its own, on a port of the loopback interface, that can be stopped, killed
//! and started again.

use std::fs::File;
use std::net::TcpListener;
use std::path::{Path, PathBuf};
use std::process::{Child, Command, Stdio};
use std::thread::sleep;
use std::time::{Duration, Instant};

use anyhow::{Context, Result, bail, ensure};
use tempfile::TempDir;

use crate::server::{said, wait};

/// A server that does not answer by then never will.
const READY_WITHIN: Duration = Duration::from_secs(60);

/// A server. Dropping it stops it and removes its data.
#[derive(Debug)]
pub struct Postgres {
    folder: TempDir,
    port: u16,
    process: Option<Child>,
}

impl Postgres {
    /// A new one.
    ///
    /// # Errors
    /// When it is not installed, or does not answer in time.
    pub fn start() -> Result<Self> {
        let folder = TempDir::with_prefix("counterfoil-postgres-").context("making a folder")?;
        if is_root()? {
            // It refuses to run as root; its package brings this user.
            said(Command::new("chown").arg("postgres:").arg(folder.path()))?;
        }
        let mut initdb = command("initdb")?;
        initdb.args(["--username=postgres", "--auth=trust", "--encoding=UTF8"]);
        initdb.args([
            "--locale-provider=icu",
            "--icu-locale=en",
            "--locale=C",
            "--pgdata",
        ]);
        said(initdb.arg(folder.path().join("data")))?;
        let port = TcpListener::bind("127.0.0.1:0")?.local_addr()?.port();
        let mut server = Self {
            folder,
            port,
            process: None,
        };
        server.start_again()?;
        Ok(server)
    }

    /// Where it is, and its first database.
    pub fn url(&self) -> String {
        format!("postgres://postgres@127.0.0.1:{}/postgres", self.port)
    }

    /// Stops it in order, its clients' connections ended.
    ///
    /// # Errors
    /// When it does not stop in time.
    pub fn stop(&mut self) -> Result<()> {
        let mut process = self.process.take().context("the database does not run")?;
        let pid = process.id().to_string();
        said(Command::new("kill").args(["-s", "INT", &pid]))?;
        let stopped = wait(&mut process, READY_WITHIN)?;
        ensure!(stopped.is_some(), "the database does not stop");
        Ok(())
    }

    /// Ends it at once, as a loss of power would.
    ///
    /// # Errors
    /// When there is no process to end.
    pub fn kill(&mut self) -> Result<()> {
        let mut process = self.process.take().context("the database does not run")?;
        process.kill()?;
        process.wait()?;
        Ok(())
    }

    /// Starts it again, and waits until it answers.
    ///
    /// # Errors
    /// When it does not in time.
    pub fn start_again(&mut self) -> Result<()> {
        let start = Instant::now();
        while start.elapsed() < READY_WITHIN {
            let process = match &mut self.process {
                Some(process) => process,
                None => self.process.insert(self.serve()?),
            };
            // What a killed one left may still hold its memory: again, then.
            if process.try_wait()?.is_some() {
                self.process = None;
            } else if self.answers()? {
                return Ok(());
            }
            sleep(Duration::from_millis(50));
        }
        bail!("the database does not answer\n{}", self.log())
    }

    fn serve(&self) -> Result<Child> {
        let mut postgres = command("postgres")?;
        postgres.arg("-D").arg(self.folder.path().join("data"));
        for setting in [
            &format!("port={}", self.port),
            "listen_addresses=127.0.0.1",
            "unix_socket_directories=",
            "max_connections=200",
        ] {
            postgres.args(["-c", setting]);
        }
        let log = File::options()
            .create(true)
            .append(true)
            .open(self.folder.path().join("log"))?;
        let quiet = postgres.stdin(Stdio::null()).stdout(Stdio::null());
        quiet.stderr(log).spawn().context("starting PostgreSQL")
    }

    fn answers(&self) -> Result<bool> {
        let port = self.port.to_string();
        let mut asking = command("pg_isready")?;
        asking.args(["--quiet", "--host=127.0.0.1", "--port", &port]);
        Ok(asking.status()?.success())
    }

    fn log(&self) -> String {
        std::fs::read_to_string(self.folder.path().join("log")).unwrap_or_default()
    }
}

impl Drop for Postgres {
    fn drop(&mut self) {
        if self.process.is_some() {
            // In order, so that none of its own processes is left.
            let _ = self.stop();
        }
        if std::thread::panicking() {
            eprintln!("--- the database's log\n{}", self.log());
        }
    }
}

/// A program of PostgreSQL's, as a user that it runs for, which does not outlive this test.
fn command(name: &str) -> Result<Command> {
    let mut command = Command::new("setpriv");
    command.args(["--pdeathsig", "QUIT"]);
    if is_root()? {
        command.args(["--reuid=postgres", "--regid=postgres", "--init-groups"]);
    }
    command.arg("--").arg(program(name)?).current_dir("/");
    Ok(command)
}

/// Debian has them in a folder for each version, of which the newest counts.
fn program(name: &str) -> Result<PathBuf> {
    let versions = Path::new("/usr/lib/postgresql").read_dir();
    let versions = versions.into_iter().flatten().flatten();
    let version = |path: &PathBuf| path.file_name()?.to_str()?.parse::<u32>().ok();
    let newest = versions
        .map(|entry| entry.path())
        .filter(|path| path.join("bin").join(name).is_file())
        .max_by_key(version);
    let found = newest.map(|folder| folder.join("bin").join(name));
    found.context("PostgreSQL is missing: `apt-get install postgresql` brings it")
}

fn is_root() -> Result<bool> {
    Ok(said(Command::new("id").arg("-u"))?.trim() == "0")
}
