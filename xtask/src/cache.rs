//! The cache folder: tools and foreign clients that tests need, kept between runs.

use std::env;
use std::path::{Path, PathBuf};
use std::sync::LazyLock;

use anyhow::{Context, Result};

/// `$COUNTERFOIL_CACHE`, else `~/.cache/counterfoil`. The e2e tests look in the same place.
pub fn folder() -> Result<PathBuf> {
    if let Some(folder) = env::var_os("COUNTERFOIL_CACHE") {
        return std::path::absolute(folder).context("finding the folder COUNTERFOIL_CACHE names");
    }
    let home = env::home_dir().context("no home folder: set COUNTERFOIL_CACHE to a folder")?;
    Ok(home.join(".cache/counterfoil"))
}

/// The workspace's root: where cargo runs this from, not where it was built, for clones may share
/// what they build.
pub fn root() -> &'static Path {
    static ROOT: LazyLock<PathBuf> = LazyLock::new(|| {
        let xtask = env::var_os("CARGO_MANIFEST_DIR");
        let xtask = PathBuf::from(xtask.expect("start it with `cargo xtask`"));
        let root = xtask.parent();
        root.expect("xtask stands in the workspace's root")
            .to_owned()
    });
    &ROOT
}
