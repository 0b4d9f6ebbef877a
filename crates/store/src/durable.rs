//! Files that are either old or new after power loss, never a mixture.

use std::fs::{File, OpenOptions};
use std::io::{self, Write};
use std::os::unix::fs::OpenOptionsExt;
use std::path::Path;

/// Replaces the file at `path` by one with these `bytes` and the permissions `mode` (for example
/// `0o600`). When this returns, the new content survives power loss; until then the old file is
/// there, whole.
///
/// The content goes to a temporary file in the same folder first, which is synced before it is
/// renamed: otherwise a rename can reach the disk before the bytes do. The folder is synced last,
/// because the rename lives there.
///
/// # Errors
/// The folder does not exist, is not writable, or the disk fails. The old file is still there.
pub fn write_atomically(path: &Path, bytes: &[u8], mode: u32) -> io::Result<()> {
    let folder = folder_of(path);
    let mut name = path
        .file_name()
        .ok_or(io::ErrorKind::InvalidInput)?
        .to_owned();
    name.push(".new");
    let temporary = folder.join(name);
    // A leftover of an interrupted attempt may have other permissions: it goes first.
    match std::fs::remove_file(&temporary) {
        Err(error) if error.kind() != io::ErrorKind::NotFound => return Err(error),
        _ => {}
    }
    let mut file = OpenOptions::new()
        .write(true)
        .create_new(true)
        .mode(mode)
        .open(&temporary)?;
    file.write_all(bytes)?;
    file.sync_all()?;
    drop(file);
    std::fs::rename(&temporary, path)?;
    sync_folder(folder)
}

/// Makes the names in `folder` survive power loss: files created, renamed or removed in it.
pub(crate) fn sync_folder(folder: &Path) -> io::Result<()> {
    File::open(folder)?.sync_all()
}

/// Creates `folder` where it is missing, and makes its name durable.
pub(crate) fn create_folder(folder: &Path) -> io::Result<()> {
    if folder.is_dir() {
        return Ok(());
    }
    std::fs::create_dir_all(folder)?;
    sync_folder(folder_of(folder))
}

fn folder_of(path: &Path) -> &Path {
    match path.parent() {
        Some(parent) if !parent.as_os_str().is_empty() => parent,
        _ => Path::new("."),
    }
}

#[cfg(test)]
mod tests {
    use std::os::unix::fs::PermissionsExt;

    use super::*;

    #[test]
    fn a_file_is_replaced_whole_with_the_permissions_asked_for() {
        let dir = tempfile::tempdir().unwrap();
        let path = dir.path().join("key.pem");
        write_atomically(&path, b"one", 0o644).unwrap();
        write_atomically(&path, b"two", 0o600).unwrap();
        assert_eq!(std::fs::read(&path).unwrap(), b"two");
        let mode = std::fs::metadata(&path).unwrap().permissions().mode();
        assert_eq!(mode & 0o777, 0o600);
        assert_eq!(std::fs::read_dir(dir.path()).unwrap().count(), 1);
    }

    #[test]
    fn a_leftover_of_an_interrupted_attempt_does_no_harm() {
        let dir = tempfile::tempdir().unwrap();
        let path = dir.path().join("key.pem");
        std::fs::write(dir.path().join("key.pem.new"), b"half of a lon").unwrap();
        write_atomically(&path, b"short", 0o600).unwrap();
        assert_eq!(std::fs::read(&path).unwrap(), b"short");
    }
}
