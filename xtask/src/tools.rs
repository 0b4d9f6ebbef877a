//! Tools that are installed when they are missing: cargo's from their sources, the system's from
//! Debian's packages.

use std::path::PathBuf;
use std::process::Command;

use anyhow::{Context, Result, bail};

use xtask::cache;
use xtask::run::{is_root, run, works};

/// A cargo subcommand of others that we use.
pub(crate) struct CargoTool {
    name: &'static str,
    version: &'static str,
}

/// Runs tests.
pub(crate) const NEXTEST: CargoTool = CargoTool {
    name: "cargo-nextest",
    version: "0.9.143",
};
/// Checks dependencies.
pub(crate) const DENY: CargoTool = CargoTool {
    name: "cargo-deny",
    version: "0.20.2",
};
/// Runs fuzz targets.
pub(crate) const FUZZ: CargoTool = CargoTool {
    name: "cargo-fuzz",
    version: "0.13.2",
};

impl CargoTool {
    /// The tool, as a command in the workspace's root. Built into the cache folder when neither
    /// that nor the search path has it, which takes minutes.
    ///
    /// # Errors
    /// When it is missing and cannot be built.
    pub(crate) fn command(&self) -> Result<Command> {
        let mut command = Command::new(self.find()?);
        let subcommand = self.name.trim_start_matches("cargo-");
        command.arg(subcommand).current_dir(cache::root());
        Ok(command)
    }

    fn find(&self) -> Result<PathBuf> {
        let tools = cache::folder()?.join("tools");
        let ours = tools.join("bin").join(self.name);
        for candidate in [PathBuf::from(self.name), ours.clone()] {
            let subcommand = self.name.trim_start_matches("cargo-");
            if works(Command::new(&candidate).args([subcommand, "--version"])) {
                return Ok(candidate);
            }
        }
        let exact = format!("{}@{}", self.name, self.version);
        eprintln!(
            "{} is missing: building it once, which takes minutes",
            self.name
        );
        let mut install = Command::new(env!("CARGO"));
        install
            .args(["install", "--locked", &exact, "--root"])
            .arg(&tools);
        run(&mut install).with_context(|| {
            format!(
                "{} is missing; `cargo install --locked {exact}` brings it",
                self.name
            )
        })?;
        Ok(ours)
    }
}

/// Makes sure that something of the system works, by installing the Debian packages that bring it.
///
/// # Errors
/// When it does not work and cannot be installed; the message says what would help.
pub(crate) fn system(what: &str, packages: &[&str], probe: impl Fn() -> bool) -> Result<()> {
    if probe() {
        return Ok(());
    }
    let fix = format!("apt-get install --yes {}", packages.join(" "));
    if !(is_root() && works(Command::new("apt-get").arg("--version"))) {
        bail!("{what} is missing; `sudo {fix}` brings it on Debian");
    }
    eprintln!("{what} is missing: {fix}");
    run(apt_get().arg("update"))?;
    run(apt_get()
        .args(["install", "--yes", "--no-install-recommends"])
        .args(packages))?;
    if !probe() {
        bail!("{what} does not work although `{fix}` succeeded");
    }
    Ok(())
}

fn apt_get() -> Command {
    let mut command = Command::new("apt-get");
    command
        .arg("--quiet")
        .env("DEBIAN_FRONTEND", "noninteractive");
    command
}
