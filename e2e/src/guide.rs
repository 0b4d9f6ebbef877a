//! A page's commands, as a reader would type them: all blocks of `sh`, one after the other.

use std::env;
use std::ffi::OsString;
use std::fs;
use std::os::unix::fs::symlink;
use std::path::Path;
use std::process::Command;

use anyhow::{Context, Result, bail, ensure};
use tempfile::TempDir;

use crate::server::counterfoil;

/// A page with fewer blocks of commands is not the one that is meant.
const BLOCKS_MIN: usize = 5;

/// Runs the commands of `docs/PAGE` in an empty folder, with one shell, until one fails. In it,
/// `counterfoil` is the program under test, and what is in the folders `tools` can be called too.
///
/// # Errors
/// When a command fails, with all that was said.
pub fn run_guide(page: &str, tools: &[&Path]) -> Result<()> {
    let here = env::var_os("CARGO_MANIFEST_DIR").context("run it with cargo")?;
    let page = Path::new(&here).join("../docs").join(page);
    let text = fs::read_to_string(&page).context("reading the guide")?;
    let blocks = text.split("```sh\n").skip(1);
    let commands: Vec<_> = blocks
        .filter_map(|rest| Some(rest.split_once("```")?.0))
        .collect();
    ensure!(commands.len() > BLOCKS_MIN, "the guide has few commands");
    let folder = TempDir::with_prefix("counterfoil-e2e-guide-")?;
    let (ours, home) = (folder.path().join("bin"), folder.path().join("home"));
    fs::create_dir(&ours)?;
    fs::create_dir(&home)?;
    symlink(counterfoil()?.get_program(), ours.join("counterfoil"))?;
    let script = folder.path().join("guide.sh");
    // The servers go with the shell.
    let whole = format!(
        "set -eux\ntrap 'kill -9 $(jobs -p) 2> /dev/null' EXIT\n{}",
        commands.join("\n")
    );
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
        bail!("{} fails: {status}\n{said}\n{logs}", page.display());
    }
    Ok(())
}

fn path(ours: &Path, tools: &[&Path]) -> Result<OsString> {
    let rest = env::var_os("PATH").unwrap_or_default();
    let first = [ours].into_iter().chain(tools.iter().copied());
    let first = first.map(Path::to_owned);
    Ok(env::join_paths(first.chain(env::split_paths(&rest)))?)
}
