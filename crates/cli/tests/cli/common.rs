//! The real binary, a ledger of its own, and what it says.

use std::io::{BufRead, BufReader};
use std::path::{Path, PathBuf};
use std::process::{Child, Command, Output, Stdio};

use serde_json::Value;
use tempfile::TempDir;

/// The binary, with nothing of the tester's own settings, in a folder where it finds nothing.
pub(crate) fn counterfoil(folder: &Path) -> Command {
    let mut command = Command::new(env!("CARGO_BIN_EXE_counterfoil"));
    for (name, _) in std::env::vars_os() {
        let text = name.to_string_lossy();
        if text.starts_with("COUNTERFOIL_") || text == "RUST_LOG" {
            command.env_remove(&name);
        }
    }
    command
        .env("XDG_CONFIG_HOME", folder)
        .env("HOME", folder)
        .current_dir(folder);
    command.stdin(Stdio::null());
    command
}

/// What a command did.
pub(crate) struct Ran {
    /// Its exit code.
    pub(crate) code: i32,
    /// Its standard output.
    pub(crate) out: String,
    /// Its standard error.
    pub(crate) err: String,
}

impl From<Output> for Ran {
    fn from(output: Output) -> Self {
        let text = |bytes| String::from_utf8(bytes).unwrap();
        Self {
            code: output.status.code().unwrap_or(-1),
            out: text(output.stdout),
            err: text(output.stderr),
        }
    }
}

impl Ran {
    /// Its output, for commands that must succeed.
    #[track_caller]
    pub(crate) fn ok(self) -> String {
        assert_eq!(self.code, 0, "{}{}", self.out, self.err);
        self.out
    }

    /// Its output as JSON, for commands that must succeed.
    #[track_caller]
    pub(crate) fn json(self) -> Value {
        serde_json::from_str(&self.ok()).unwrap()
    }
}

/// A ledger that is being served.
pub(crate) struct Ledger {
    server: Child,
    /// The line that it printed.
    pub(crate) ready: Value,
    folder: TempDir,
}

impl Ledger {
    /// Starts a new one.
    pub(crate) fn start(args: &[&str]) -> Self {
        let folder = tempfile::tempdir().unwrap();
        let (server, ready) = serve(folder.path(), args);
        Self {
            server,
            ready,
            folder,
        }
    }

    /// The folder in which commands run; the ledger is in `ledger` below it.
    pub(crate) fn folder(&self) -> &Path {
        self.folder.path()
    }

    /// A file in the folder of commands.
    pub(crate) fn path(&self, name: &str) -> PathBuf {
        self.folder().join(name)
    }

    /// Runs a command, which finds the ledger by itself.
    pub(crate) fn run(&self, args: &[&str]) -> Ran {
        counterfoil(self.folder())
            .args(args)
            .output()
            .unwrap()
            .into()
    }

    /// Asks the server to stop, and waits; gives its exit code.
    pub(crate) fn stop(&mut self) -> i32 {
        let pid = self.server.id().to_string();
        assert!(
            Command::new("kill")
                .args(["-TERM", &pid])
                .status()
                .unwrap()
                .success()
        );
        self.server.wait().unwrap().code().unwrap_or(-1)
    }

    /// Starts it again in the same folder.
    pub(crate) fn restart(&mut self, args: &[&str]) {
        (self.server, self.ready) = serve(self.folder.path(), args);
    }
}

impl Drop for Ledger {
    fn drop(&mut self) {
        let _ = self.server.kill();
        let _ = self.server.wait();
    }
}

fn serve(folder: &Path, args: &[&str]) -> (Child, Value) {
    let mut server = counterfoil(folder)
        .args(["up", "--json", "--listen", "127.0.0.1:0"])
        .args(args)
        .stdout(Stdio::piped())
        .spawn()
        .unwrap();
    let mut line = String::new();
    BufReader::new(server.stdout.take().unwrap())
        .read_line(&mut line)
        .unwrap();
    let ready = serde_json::from_str(&line).unwrap_or_else(|_| panic!("it says {line:?}"));
    (server, ready)
}
