//! Pages' commands, as a reader would type them: all blocks of `sh`, one after the other.

use std::env;
use std::ffi::OsString;
use std::fs;
use std::os::unix::fs::symlink;
use std::path::Path;
use std::process::Command;

use anyhow::{Context, Result, bail, ensure};
use tempfile::TempDir;

use crate::server::counterfoil;

/// The blocks of commands of `PAGE`, a path from the project's folder.
///
/// # Errors
/// When there are none.
pub fn commands(page: &str) -> Result<Vec<String>> {
    let here = env::var_os("CARGO_MANIFEST_DIR").context("run it with cargo")?;
    let path = Path::new(&here).join("..").join(page);
    let text = fs::read_to_string(&path).with_context(|| format!("reading {page}"))?;
    let blocks = text.split("```sh\n").skip(1);
    let commands: Vec<_> = blocks
        .filter_map(|rest| Some(rest.split_once("```")?.0.to_owned()))
        .collect();
    ensure!(!commands.is_empty(), "{page} has no commands");
    Ok(commands)
}

/// Runs the commands of these pages of `docs/`, those of one behind those of the other, in an empty
/// folder, with one shell, until one fails. In it, `counterfoil` is the program under test, and what
/// is in the folders `tools` can be called too.
///
/// # Errors
/// When a command fails, with all that was said.
pub fn run_guide(pages: &[&str], tools: &[&Path]) -> Result<()> {
    let mut blocks = Vec::new();
    for page in pages {
        blocks.extend(commands(&format!("docs/{page}"))?);
    }
    let ran = run_commands(&blocks.join("\n"), tools);
    ran.with_context(|| pages.join(", "))
}

/// Runs these commands in an empty folder, as [`run_guide`] does.
///
/// # Errors
/// When a command fails, with all that was said.
pub fn run_commands(commands: &str, tools: &[&Path]) -> Result<()> {
    let folder = TempDir::with_prefix("counterfoil-e2e-guide-")?;
    let (ours, home) = (folder.path().join("bin"), folder.path().join("home"));
    fs::create_dir(&ours)?;
    fs::create_dir(&home)?;
    symlink(counterfoil()?.get_program(), ours.join("counterfoil"))?;
    let script = folder.path().join("guide.sh");
    // The servers go with the shell.
    let whole = format!("set -eux\ntrap 'kill -9 $(jobs -p) 2> /dev/null' EXIT\n{commands}");
    fs::write(&script, whole)?;
    let output = fs::File::create(folder.path().join("said"))?;
    let mut command = Command::new("bash");
    command
        .arg(&script)
        .current_dir(&home)
        .env("PATH", path(&ours, tools)?)
        .env("HOME", &home)
        .env_remove("XDG_CONFIG_HOME")
        .stdout(output.try_clone()?)
        .stderr(output);
    for (name, _) in env::vars_os() {
        if name.to_string_lossy().starts_with("COUNTERFOIL_") {
            command.env_remove(name);
        }
    }
    let status = command.status().context("running the guide")?;
    if !status.success() {
        let said = fs::read_to_string(folder.path().join("said")).unwrap_or_default();
        let mut logs = String::new();
        for file in fs::read_dir(&home)? {
            let file = file?.path();
            if file.extension().is_some_and(|it| it == "log") {
                let log = fs::read_to_string(&file).unwrap_or_default();
                logs += &format!("--- {}\n{log}\n", file.display());
            }
        }
        bail!("the commands fail: {status}\n{said}\n{logs}");
    }
    Ok(())
}

fn path(ours: &Path, tools: &[&Path]) -> Result<OsString> {
    let rest = env::var_os("PATH").unwrap_or_default();
    let first = [ours].into_iter().chain(tools.iter().copied());
    let first = first.map(Path::to_owned);
    Ok(env::join_paths(first.chain(env::split_paths(&rest)))?)
}
