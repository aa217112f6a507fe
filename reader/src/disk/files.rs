//! Files that are whole, or not there.

use std::{
    fs::{self, DirBuilder, File, OpenOptions},
    io::{self, Write as _},
    os::unix::fs::OpenOptionsExt as _,
    path::Path,
};

use aws_lc_rs::digest::{SHA256, digest};

/// Names of collections' files begin so.
const PREFIX: &str = "collection-";
/// Names of unfinished files end so.
const UNFINISHED: &str = ".new";

/// A lock that ends with the process.
pub(super) fn lock(path: &Path) -> io::Result<File> {
    let file =
        OpenOptions::new().write(true).create(true).truncate(false).mode(0o600).open(path)?;
    file.try_lock().map_err(|_| io::Error::other("another process uses this directory"))?;
    Ok(file)
}

/// SHA-256 as hexadecimal digits.
pub(super) fn checksum(bytes: &[u8]) -> String {
    use std::fmt::Write as _;
    let digest = digest(&SHA256, bytes);
    digest.as_ref().iter().fold(String::with_capacity(64), |mut hex, byte| {
        let _ = write!(hex, "{byte:02x}");
        hex
    })
}

/// The name of a file with this content.
pub(super) fn name_of(bytes: &[u8]) -> String {
    format!("{PREFIX}{}", checksum(bytes))
}

/// Writes a file under its final name. It survives the process, and not yet a power cut: see
/// [`sync`].
pub(super) fn write_unsynced(directory: &Path, name: &str, bytes: &[u8]) -> io::Result<()> {
    write_new(directory, name, bytes, |_| Ok(()))
}

/// Puts a file in the place of its predecessor, so that a power cut leaves one of them.
pub(super) fn replace(directory: &Path, name: &str, bytes: &[u8]) -> io::Result<()> {
    write_new(directory, name, bytes, File::sync_all)?;
    sync(directory)
}

fn write_new(
    directory: &Path,
    name: &str,
    bytes: &[u8],
    settle: impl Fn(&File) -> io::Result<()>,
) -> io::Result<()> {
    let unfinished = directory.join(format!("{name}{UNFINISHED}"));
    let write = || {
        let mut file = OpenOptions::new()
            .write(true)
            .create(true)
            .truncate(true)
            .mode(0o600)
            .open(&unfinished)?;
        file.write_all(bytes)?;
        settle(&file)?;
        fs::rename(&unfinished, directory.join(name))
    };
    // On a full disk, what was begun would keep others from being written.
    write().inspect_err(|_| drop(fs::remove_file(&unfinished)))
}

/// Makes a file, or the names in a directory, survive a power cut.
pub(super) fn sync(path: &Path) -> io::Result<()> {
    File::open(path)?.sync_all()
}

/// Deletes the collections' files whose names are not needed, and what was never finished.
pub(super) fn delete_others(directory: &Path, is_needed: impl Fn(&str) -> bool) -> io::Result<()> {
    for entry in fs::read_dir(directory)? {
        let entry = entry?;
        let name = entry.file_name();
        let name = name.to_string_lossy();
        let is_old = name.starts_with(PREFIX) && !is_needed(&name);
        if is_old || name.ends_with(UNFINISHED) {
            fs::remove_file(entry.path())?;
        }
    }
    Ok(())
}

/// Creates a directory that only we can read, with its parents.
pub(super) fn create_directory(directory: &Path) -> io::Result<()> {
    use std::os::unix::fs::DirBuilderExt as _;
    DirBuilder::new().recursive(true).mode(0o700).create(directory)
}
