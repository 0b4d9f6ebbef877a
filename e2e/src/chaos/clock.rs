//! A node's clock, moved by libfaketime where that is installed. Time that only goes forward
//! (`CLOCK_MONOTONIC`) is left alone: a clock that is set does not move it either.

use std::fs;
use std::path::{Path, PathBuf};

use anyhow::{Context, Result};

/// Where distributions put it.
const LIBRARIES: [&str; 4] = [
    "/usr/lib/x86_64-linux-gnu/faketime/libfaketime.so.1",
    "/usr/lib/aarch64-linux-gnu/faketime/libfaketime.so.1",
    "/usr/lib64/faketime/libfaketime.so.1",
    "/usr/lib/faketime/libfaketime.so.1",
];

/// A clock that can be set.
#[derive(Debug)]
pub(crate) struct Clock {
    file: PathBuf,
    library: &'static str,
}

impl Clock {
    /// A clock that is right; `None` where libfaketime is missing. `file` keeps by how much it is
    /// wrong.
    pub(crate) fn right(file: &Path) -> Result<Option<Self>> {
        let Some(library) = LIBRARIES.into_iter().find(|path| Path::new(path).exists()) else {
            return Ok(None);
        };
        let clock = Self {
            file: file.to_owned(),
            library,
        };
        clock.set(0)?;
        Ok(Some(clock))
    }

    /// What a process that is to use it must have in its environment.
    pub(crate) fn environment(&self) -> Vec<(String, String)> {
        let file = self.file.display().to_string();
        [
            ("LD_PRELOAD", self.library),
            ("FAKETIME_TIMESTAMP_FILE", &file),
            ("FAKETIME_NO_CACHE", "1"),
            ("FAKETIME_DONT_FAKE_MONOTONIC", "1"),
            ("DONT_FAKE_MONOTONIC", "1"),
            // Killed processes would leave it behind.
            ("FAKETIME_DISABLE_SHM", "1"),
        ]
        .map(|(name, value)| (name.to_owned(), value.to_owned()))
        .to_vec()
    }

    /// From now on it is wrong by so many seconds. The file is replaced as a whole: it is read all
    /// the time.
    pub(crate) fn set(&self, seconds: i64) -> Result<()> {
        let new = self.file.with_extension("new");
        fs::write(&new, format!("{seconds:+}\n")).context("setting a clock")?;
        fs::rename(&new, &self.file).context("setting a clock")
    }
}
