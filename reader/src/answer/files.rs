//! Files in memory, from which the kernel sends bodies without a copy: as many as may be open beside
//! the connections.

use std::{
    fs::File,
    io::Write as _,
    sync::atomic::{AtomicUsize, Ordering},
};

use rustix::fs::{MemfdFlags, memfd_create};

/// Descriptors are the process's, and so is what is left of them. Until [`allow`] knows better, as few
/// as most systems grant.
static LEFT: Places = Places(AtomicUsize::new(500));

/// How many bodies may have a file, from now on.
pub fn allow(files: usize) {
    LEFT.0.store(files, Ordering::Relaxed);
}

/// A body's file, which takes a place while it is open.
#[derive(Debug)]
pub struct MemoryFile {
    file: File,
    _place: Place<'static>,
}

impl MemoryFile {
    /// The file.
    pub fn file(&self) -> &File {
        &self.file
    }
}

/// A place that has no file yet.
#[derive(Debug)]
pub struct Place<'a>(&'a Places);

impl Place<'static> {
    /// `None` when no further file may be open.
    pub fn take() -> Option<Self> {
        LEFT.take()
    }

    /// A file that holds `bytes`; `None` where the system has no such files, or no descriptor left.
    pub fn fill(self, bytes: &[u8]) -> Option<MemoryFile> {
        let descriptor = memfd_create("countersign", MemfdFlags::CLOEXEC).ok()?;
        let mut file = File::from(descriptor);
        file.write_all(bytes).ok()?;
        Some(MemoryFile { file, _place: self })
    }
}

impl Drop for Place<'_> {
    fn drop(&mut self) {
        self.0.0.fetch_add(1, Ordering::Relaxed);
    }
}

/// How many places are left.
#[derive(Debug)]
struct Places(AtomicUsize);

impl Places {
    fn take(&self) -> Option<Place<'_>> {
        let less = |left: usize| left.checked_sub(1);
        self.0.fetch_update(Ordering::Relaxed, Ordering::Relaxed, less).ok().map(|_| Place(self))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_place_is_free_again_when_its_file_is_closed() {
        let places = Places(AtomicUsize::new(2));

        let (first, second) = (places.take(), places.take());
        assert!(first.is_some() && second.is_some());
        assert!(places.take().is_none());

        drop(first);
        let third = places.take();
        assert!(third.is_some());
        assert!(places.take().is_none());
    }
}
