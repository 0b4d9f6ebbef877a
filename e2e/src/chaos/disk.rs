//! A disk that can be full: a small file system in memory, for one node's folder.

use std::fs::{self, File};
use std::io::Write;
use std::path::{Path, PathBuf};
use std::process::Command;

use anyhow::{Context, Result, ensure};

/// Enough for a run; the state store's files are sparse.
const SIZE: &str = "size=48m,mode=700";
/// Takes what is left.
const FILLER: &str = "filler";

/// A small disk. Dropping it takes it away, and leaves what is on it in the folder if that is wanted.
#[derive(Debug)]
pub(crate) struct SmallDisk {
    folder: PathBuf,
    pub(crate) keep: bool,
}

impl SmallDisk {
    /// A small disk at this folder; `None` where we may not mount one.
    pub(crate) fn at(folder: &Path) -> Result<Option<Self>> {
        fs::create_dir_all(folder).context("making a folder for a small disk")?;
        let mounted = Command::new("mount")
            .args(["-t", "tmpfs", "-o", SIZE, "counterfoil-chaos"])
            .arg(folder)
            .output();
        let mounted = mounted.is_ok_and(|out| out.status.success());
        Ok(mounted.then(|| Self {
            folder: folder.to_owned(),
            keep: false,
        }))
    }

    /// Takes all that is left.
    pub(crate) fn fill(&self) -> Result<()> {
        let mut file = File::create(self.folder.join(FILLER)).context("filling a disk")?;
        for piece in [1 << 20, 4 << 10, 1] {
            let piece = vec![0; piece];
            while file.write_all(&piece).is_ok() {}
        }
        Ok(())
    }

    /// Gives it back.
    pub(crate) fn clear(&self) -> Result<()> {
        let filler = self.folder.join(FILLER);
        if filler.exists() {
            fs::remove_file(filler).context("clearing a disk")?;
        }
        Ok(())
    }
}

impl Drop for SmallDisk {
    fn drop(&mut self) {
        let run = |program: &str, args: &[&Path]| {
            let done = Command::new(program).args(args).status();
            done.is_ok_and(|status| status.success())
        };
        let copy = self.folder.with_extension("disk");
        if self.keep {
            run("cp", &[Path::new("-a"), &self.folder, &copy]);
        }
        let unmounted = run("umount", &[Path::new("-l"), &self.folder]);
        if !unmounted {
            eprintln!("{} is still mounted", self.folder.display());
        }
    }
}

/// Makes sure that there is room for a run: a full disk of ours would look like a fault of the
/// program.
pub(crate) fn enough(folder: &Path) -> Result<()> {
    let out = Command::new("df")
        .args(["--output=avail", "-k"])
        .arg(folder)
        .output()?;
    let said = String::from_utf8_lossy(&out.stdout).into_owned();
    let free: Option<u64> = said
        .lines()
        .nth(1)
        .and_then(|line| line.trim().parse().ok());
    ensure!(
        free.is_none_or(|kib| kib > 1 << 20),
        "less than 1 GiB is free at {}",
        folder.display()
    );
    Ok(())
}
