//! Other people's clients, as scripts in `e2e/python`, `e2e/js`, `e2e/hardhat` and `e2e/foundry`.

use std::env;
use std::fs::{self, File};
use std::path::{Path, PathBuf};
use std::process::{Command, Stdio};
use std::time::Duration;

use anyhow::{Context, Result, bail};

use crate::cache;
use crate::server::{self, Ledger, Ready};

/// A script that takes longer hangs.
const SCRIPT_WITHIN: Duration = Duration::from_secs(240);

/// Where a script finds a node.
#[derive(Debug, Clone)]
pub struct Place {
    /// What the node printed when it was ready.
    pub ready: Ready,
    /// The node's folder.
    pub folder: PathBuf,
    /// A folder for the script.
    pub scratch: PathBuf,
}

/// What runs a script.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Client {
    /// Python with the packages of `e2e/python/requirements-NAME.txt`, for scripts beside that.
    Python(&'static str),
    /// Node.js, for scripts of `e2e/js`.
    Node,
    /// Node.js with the packages of `e2e/NAME`, for scripts beside their list.
    NodeWith(&'static str),
}

impl Client {
    /// Runs a script against a ledger. The script learns from `E2E_*` variables where the ledger
    /// is, ends with 0 when all is well, and says what it did.
    ///
    /// # Errors
    /// When the client is not installed, or the script fails or hangs; with all that it said.
    pub fn run(self, script: &str, args: &[&str], ledger: &Ledger) -> Result<()> {
        self.run_with(script, args, &[], ledger)
    }

    /// Runs a script that needs to know more, in variables of its environment.
    ///
    /// # Errors
    /// As [`run`](Self::run).
    pub fn run_with(
        self,
        script: &str,
        args: &[&str],
        more: &[(&str, &str)],
        ledger: &Ledger,
    ) -> Result<()> {
        self.run_at(script, args, more, &ledger.place()?)
    }

    /// Runs a script against one of several nodes.
    ///
    /// # Errors
    /// As [`run`](Self::run).
    pub fn run_at(
        self,
        script: &str,
        args: &[&str],
        more: &[(&str, &str)],
        place: &Place,
    ) -> Result<()> {
        let said = place.scratch.join(format!("{script}.out"));
        let output = File::create(&said).context("keeping what a script says")?;
        let ready = &place.ready;
        let log = || server::log_of(&place.folder);
        let mut command = self.command(script)?;
        command
            .args(args)
            .env("E2E_URL", &ready.url)
            .env("E2E_SERVICE_CERT", &ready.service_cert)
            .env("E2E_TOKEN", &ready.token)
            .env("E2E_DATA", &place.folder)
            .env("E2E_SCRATCH", &place.scratch)
            .envs(ready.rpc_url.as_ref().map(|url| ("E2E_RPC", url)))
            .envs(more.iter().copied())
            .stdin(Stdio::null())
            .stdout(output.try_clone()?)
            .stderr(output);
        let mut child = command
            .spawn()
            .with_context(|| format!("starting {script}"))?;
        let ended = server::wait(&mut child, SCRIPT_WITHIN)?;
        if ended.is_none() {
            child.kill().context("ending a script that hangs")?;
            child.wait()?;
        }
        let said = fs::read_to_string(said).unwrap_or_default();
        match ended {
            Some(status) if status.success() => {
                eprintln!("{self:?} {script} {args:?}\n{said}");
                Ok(())
            }
            Some(status) => bail!("{self:?} {script} {args:?}: {status}\n{said}\n{}", log()),
            None => bail!("{self:?} {script} {args:?} hangs\n{said}\n{}", log()),
        }
    }

    fn command(self, script: &str) -> Result<Command> {
        // Not where this was built: clones may share what they build.
        let scripts = env::var_os("CARGO_MANIFEST_DIR").context("run it with cargo")?;
        let scripts = Path::new(&scripts);
        let cache = cache()?;
        let node = |name: &str| {
            let script = scripts.join(name).join(script);
            (PathBuf::from("node"), script, cache.join(name))
        };
        let (program, script, packages) = match self {
            Self::Python(environment) => {
                let folder = cache.join("python").join(environment);
                (
                    folder.join("bin/python"),
                    scripts.join("python").join(script),
                    folder,
                )
            }
            Self::Node => node("js"),
            Self::NodeWith(name) => node(name),
        };
        if !packages.join("installed.txt").is_file() {
            bail!(
                "{self:?} is not installed in {}: run `cargo xtask test e2e`",
                packages.display()
            );
        }
        let mut command = server::without_settings(&program);
        command.arg(script).env("E2E_PACKAGES", packages);
        // Bytecode would be written beside the scripts.
        command
            .env("PYTHONDONTWRITEBYTECODE", "1")
            .env("PYTHONUNBUFFERED", "1");
        Ok(command)
    }
}

/// The folder in which the packages of `e2e/python/requirements-NAME.txt` are installed.
///
/// # Errors
/// When they are not.
pub fn packages(name: &str) -> Result<PathBuf> {
    let folder = cache()?.join("python").join(name);
    if !folder.join("installed.txt").is_file() {
        let folder = folder.display();
        bail!("{name} is not installed in {folder}: run `cargo xtask test e2e`");
    }
    Ok(folder)
}

/// Makes a self-signed client certificate with its key, as one PEM file.
///
/// # Errors
/// When the file cannot be written.
pub fn client_certificate(file: &Path) -> Result<()> {
    let made =
        rcgen::generate_simple_self_signed(["client".to_owned()]).context("a certificate")?;
    let pem = made.cert.pem() + &made.signing_key.serialize_pem();
    fs::write(file, pem).with_context(|| format!("writing {}", file.display()))
}
