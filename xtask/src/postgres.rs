//! A PostgreSQL server for tests: in a folder of its own, on a port of the loopback interface, gone when it is
//! dropped. It can be stopped, killed and started again.

use std::fs::{File, Permissions, set_permissions};
use std::net::TcpListener;
use std::os::unix::fs::PermissionsExt;
use std::path::{Path, PathBuf};
use std::process::{Child, Command, Stdio};
use std::thread::sleep;
use std::time::{Duration, Instant};

use anyhow::{Context, Result, bail};
use tempfile::TempDir;

use crate::run::{is_root, read, run, works};

/// A server that does not answer, or end, by then never will.
const PATIENCE: Duration = Duration::from_secs(60);

/// What a loss of power leaves of it.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Keeps {
    /// All that it acknowledged.
    Everything,
    /// Nothing, for tests whose data is gone at their end: it is faster.
    Nothing,
}

/// A server. Dropping it stops it and removes its data.
#[derive(Debug)]
pub struct Postgres {
    folder: TempDir,
    port: u16,
    keeps: Keeps,
    process: Option<Child>,
}

impl Postgres {
    /// Makes one, and starts it.
    ///
    /// # Errors
    /// When it is not installed, or does not answer in time.
    pub fn start(keeps: Keeps) -> Result<Self> {
        let folder = TempDir::with_prefix("counterfoil-postgres-").context("making a folder")?;
        if is_root() {
            // It refuses to run as root, and this is the user that its package brings.
            run(Command::new("chown").arg("postgres:").arg(folder.path()))?;
        }
        set_permissions(folder.path(), Permissions::from_mode(0o700))?;
        let mut initdb = command("initdb")?;
        initdb.args(["--username=postgres", "--auth=trust", "--encoding=UTF8"]);
        initdb.args([
            "--locale-provider=icu",
            "--icu-locale=en",
            "--locale=C",
            "--no-sync",
            "--pgdata",
        ]);
        read(initdb.arg(folder.path().join("data")))?;
        let port = TcpListener::bind("127.0.0.1:0")?.local_addr()?.port();
        let mut server = Self {
            folder,
            port,
            keeps,
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
        run(Command::new("kill").args(["-s", "INT", &process.id().to_string()]))?;
        let start = Instant::now();
        while process.try_wait()?.is_none() {
            if start.elapsed() > PATIENCE {
                bail!("the database does not stop");
            }
            sleep(Duration::from_millis(20));
        }
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
        let port = self.port.to_string();
        while start.elapsed() < PATIENCE {
            let process = match &mut self.process {
                Some(process) => process,
                None => self.process.insert(self.serve()?),
            };
            // What a killed one left may still hold its memory: again, then.
            if process.try_wait()?.is_some() {
                self.process = None;
            } else if works(command("pg_isready")?.args(["--host=127.0.0.1", "--port", &port])) {
                return Ok(());
            }
            sleep(Duration::from_millis(50));
        }
        bail!("the database does not answer\n{}", self.log())
    }

    fn serve(&self) -> Result<Child> {
        let mut postgres = command("postgres")?;
        postgres.arg("-D").arg(self.folder.path().join("data"));
        let fast: &[_] = match self.keeps {
            Keeps::Everything => &[],
            Keeps::Nothing => &["fsync=off", "log_min_messages=fatal"],
        };
        let settings = [
            &format!("port={}", self.port),
            "listen_addresses=127.0.0.1",
            "unix_socket_directories=",
            // Each test has some.
            "max_connections=500",
        ];
        for setting in settings.iter().chain(fast) {
            postgres.args(["-c", setting]);
        }
        let log = File::options()
            .create(true)
            .append(true)
            .open(self.folder.path().join("log"))?;
        let quiet = postgres.stdin(Stdio::null()).stdout(Stdio::null());
        quiet.stderr(log).spawn().context("starting PostgreSQL")
    }

    fn log(&self) -> String {
        std::fs::read_to_string(self.folder.path().join("log")).unwrap_or_default()
    }
}

impl Drop for Postgres {
    fn drop(&mut self) {
        if self.process.is_some() {
            // In order, so that none of its own processes is left; it may have ended already.
            let _ = self.stop();
        }
        if std::thread::panicking() {
            eprintln!("--- the database's log\n{}", self.log());
        }
    }
}

/// Whether there is a server to start.
pub fn is_installed() -> bool {
    program("postgres").is_ok_and(|postgres| works(Command::new(postgres).arg("--version")))
}

/// A program of PostgreSQL's, as a user that it runs for, which does not outlive this process.
fn command(name: &str) -> Result<Command> {
    let mut command = Command::new("setpriv");
    command.args(["--pdeathsig", "QUIT"]);
    if is_root() {
        command.args(["--reuid=postgres", "--regid=postgres", "--init-groups"]);
    }
    command.arg("--").arg(program(name)?).current_dir("/");
    Ok(command)
}

/// Debian has them in a folder for each version, of which the newest counts, and not in the search path.
fn program(name: &str) -> Result<PathBuf> {
    let versions = Path::new("/usr/lib/postgresql").read_dir();
    let versions = versions.into_iter().flatten().flatten();
    let version = |path: &PathBuf| path.file_name()?.to_str()?.parse::<u32>().ok();
    let newest = versions
        .map(|entry| entry.path())
        .filter(|path| path.join("bin").join(name).is_file())
        .max_by_key(version);
    match newest {
        Some(folder) => Ok(folder.join("bin").join(name)),
        None if works(Command::new(name).arg("--version")) => Ok(name.into()),
        None => bail!("{name} of PostgreSQL is missing: `apt-get install postgresql` brings it"),
    }
}
