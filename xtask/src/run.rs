//! Running other programs.

use std::io::{BufRead, BufReader, Read, Write};
use std::path::Path;
use std::process::{Command, ExitStatus, Stdio};
use std::sync::Mutex;
use std::thread;

use anyhow::{Context, Result, bail};

use crate::cache;

/// `cargo` in the workspace's root, with these arguments.
pub fn cargo(args: &[&str]) -> Command {
    let mut command = Command::new(env!("CARGO"));
    command.args(args).current_dir(cache::root());
    command
}

/// Runs it, its output passed through.
///
/// # Errors
/// When it cannot be started or says that it failed.
pub fn run(command: &mut Command) -> Result<()> {
    let status = command
        .status()
        .with_context(|| format!("starting {}", line(command)))?;
    if !status.success() {
        bail!("failed ({status}): {}", line(command));
    }
    Ok(())
}

/// Its standard output, without the white space around.
///
/// # Errors
/// When it cannot be started or says that it failed.
pub fn read(command: &mut Command) -> Result<String> {
    let out = command
        .output()
        .with_context(|| format!("starting {}", line(command)))?;
    if !out.status.success() {
        let said = String::from_utf8_lossy(&out.stderr);
        bail!(
            "failed ({}): {}\n{}",
            out.status,
            line(command),
            said.trim()
        );
    }
    Ok(String::from_utf8_lossy(&out.stdout).trim().to_owned())
}

/// Whether it can be started and says that it succeeded; its output is dropped.
pub fn works(command: &mut Command) -> bool {
    command
        .stdin(Stdio::null())
        .stdout(Stdio::null())
        .stderr(Stdio::null())
        .status()
        .is_ok_and(|status| status.success())
}

/// Runs it, passes its output on line by line, and keeps a copy.
///
/// # Errors
/// When it cannot be started.
pub fn tee(command: &mut Command) -> Result<(ExitStatus, String)> {
    let mut child = command
        .stdout(Stdio::piped())
        .stderr(Stdio::piped())
        .spawn()
        .with_context(|| format!("starting {}", line(command)))?;
    let stdout = child.stdout.take().expect("standard output is a pipe");
    let stderr = child.stderr.take().expect("standard error is a pipe");
    let said = Mutex::new(String::new());
    thread::scope(|scope| {
        scope.spawn(|| pass_on(stderr, &said));
        pass_on(stdout, &said);
    });
    let status = child.wait().context("waiting for a child process")?;
    Ok((
        status,
        said.into_inner()
            .expect("no thread panics while it holds the text"),
    ))
}

fn pass_on(from: impl Read, said: &Mutex<String>) {
    let mut lines = BufReader::new(from);
    let mut bytes = Vec::new();
    while lines
        .read_until(b'\n', &mut bytes)
        .is_ok_and(|read| read > 0)
    {
        // Nobody may be reading any more; the run goes on.
        let _ = std::io::stderr().write_all(&bytes);
        let mut said = said
            .lock()
            .expect("no thread panics while it holds the text");
        said.push_str(&String::from_utf8_lossy(&bytes));
        bytes.clear();
    }
}

/// Whether we may install system packages.
pub fn is_root() -> bool {
    read(Command::new("id").arg("-u")).is_ok_and(|id| id == "0")
}

/// The files in a folder, sorted by name.
///
/// # Errors
/// When the folder cannot be read.
pub fn files(folder: &Path) -> Result<Vec<std::path::PathBuf>> {
    let entries = folder
        .read_dir()
        .with_context(|| format!("reading {}", folder.display()))?;
    let mut files = entries
        .map(|entry| entry.map(|entry| entry.path()))
        .collect::<Result<Vec<_>, _>>()
        .with_context(|| format!("reading {}", folder.display()))?;
    files.sort();
    Ok(files)
}

fn line(command: &Command) -> String {
    let mut words = vec![command.get_program().to_string_lossy().into_owned()];
    words.extend(
        command
            .get_args()
            .map(|arg| arg.to_string_lossy().into_owned()),
    );
    words.join(" ")
}
