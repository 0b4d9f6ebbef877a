//! A PostgreSQL server for tests: in a folder of its own, on a free port of the loopback interface, gone when
//! it is dropped.

use std::net::TcpListener;
use std::os::unix::fs::PermissionsExt;
use std::path::{Path, PathBuf};
use std::process::{Child, Command, Stdio};
use std::thread::sleep;
use std::time::{Duration, Instant};

use anyhow::{Context, Result, bail};
use tempfile::TempDir;

use crate::run::{is_root, read, run, works};
use crate::tools::system;

/// A server that does not answer by then never will.
const READY_WITHIN: Duration = Duration::from_secs(60);

/// A running server.
pub(crate) struct Postgres {
    process: Child,
    port: u16,
    _folder: TempDir,
}

impl Postgres {
    /// Makes one and starts it. Its program is installed if it is missing.
    ///
    /// # Errors
    /// When there is none, and it cannot be installed; the message says what would help.
    pub(crate) fn start() -> Result<Self> {
        install()?;
        let folder = TempDir::with_prefix("counterfoil-postgres-")?;
        if is_root() {
            // The server refuses to run as root, and this is the user that its package brings.
            run(Command::new("chown").arg("postgres:").arg(folder.path()))?;
        }
        std::fs::set_permissions(folder.path(), PermissionsExt::from_mode(0o700))?;
        let data = folder.path().join("data");
        let mut initdb = command("initdb")?;
        initdb.args(["--username=postgres", "--auth=trust", "--encoding=UTF8"]);
        initdb.args([
            "--locale-provider=icu",
            "--icu-locale=en",
            "--locale=C",
            "--no-sync",
            "--pgdata",
        ]);
        read(initdb.arg(&data))?;
        let port = TcpListener::bind("127.0.0.1:0")?.local_addr()?.port();
        let process = serve(&data, port)?;
        let mut server = Self {
            process,
            port,
            _folder: folder,
        };
        server.answers()?;
        Ok(server)
    }

    /// Where it is, and its first database.
    pub(crate) fn url(&self) -> String {
        format!("postgres://postgres@127.0.0.1:{}/postgres", self.port)
    }

    fn answers(&mut self) -> Result<()> {
        let start = Instant::now();
        let port = self.port.to_string();
        while start.elapsed() < READY_WITHIN {
            if let Some(status) = self.process.try_wait()? {
                bail!("the PostgreSQL server ended with {status}");
            }
            if works(command("pg_isready")?.args(["--host=127.0.0.1", "--port", &port])) {
                return Ok(());
            }
            sleep(Duration::from_millis(50));
        }
        bail!("the PostgreSQL server does not answer")
    }
}

impl Drop for Postgres {
    fn drop(&mut self) {
        // In order, so that none of its own processes is left; it may have ended already.
        let pid = self.process.id().to_string();
        let _ = Command::new("kill").args(["-s", "INT", &pid]).status();
        let _ = self.process.wait();
    }
}

/// Makes sure that there is a server to start.
///
/// # Errors
/// When it is missing and cannot be installed; the message says what would help.
pub(crate) fn install() -> Result<()> {
    system("PostgreSQL", &["postgresql"], || {
        program("postgres").is_ok_and(|postgres| works(Command::new(postgres).arg("--version")))
    })
}

fn serve(data: &Path, port: u16) -> Result<Child> {
    let mut postgres = command("postgres")?;
    postgres.arg("-D").arg(data);
    for setting in [
        &format!("port={port}"),
        "listen_addresses=127.0.0.1",
        "unix_socket_directories=",
        // Each test has some connections, and its data is gone when it ends.
        "max_connections=500",
        "fsync=off",
        "log_min_messages=fatal",
    ] {
        postgres.args(["-c", setting]);
    }
    let quiet = postgres.stdin(Stdio::null()).stdout(Stdio::null());
    quiet.spawn().context("starting PostgreSQL")
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
        None => bail!("{name} of PostgreSQL is missing; `apt-get install postgresql` brings it"),
    }
}
