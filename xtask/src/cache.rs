//! The cache folder: tools and foreign clients that tests need, kept between runs.

use std::env;
use std::path::{Path, PathBuf};

use anyhow::{Context, Result};

/// `$COUNTERFOIL_CACHE`, else `~/.cache/counterfoil`. The e2e tests look in the same place.
pub(crate) fn folder() -> Result<PathBuf> {
    if let Some(folder) = env::var_os("COUNTERFOIL_CACHE") {
        return std::path::absolute(folder).context("finding the folder COUNTERFOIL_CACHE names");
    }
    let home = env::home_dir().context("no home folder: set COUNTERFOIL_CACHE to a folder")?;
    Ok(home.join(".cache/counterfoil"))
}

/// The workspace's root.
pub(crate) fn root() -> &'static Path {
    Path::new(env!("CARGO_MANIFEST_DIR"))
        .parent()
        .expect("xtask stands in the workspace's root")
}
