//! The last good snapshot on disk, from which a reader starts without its database.
//!
//! What is stored is the source, as the database had it: it is verified and rendered again when it
//! is loaded, so that neither a damaged file nor an older release decides what clients get. One
//! file for each state of a collection, named by its checksum, and one list of them (`snapshot`),
//! which replaces its predecessor in one step: whoever is killed leaves the old snapshot or the new
//! one, and perhaps files that the list does not name. What somebody takes away is written again.

mod content;
mod files;
mod list;
mod told;

use std::{
    collections::{HashMap, HashSet},
    fs::File,
    io,
    path::{Path, PathBuf},
    sync::{Arc, Mutex, PoisonError, RwLock},
    time::Duration,
};

use prometheus::{Gauge, IntCounter};
use serde_json::{Map, Value};
use shared::{
    model::Timestamp,
    store::published::{Row, Version},
};
use tokio::{sync::Notify, task::spawn_blocking, time::sleep};

pub use self::list::{Stored, StoredCollection};
use self::told::Told;
use crate::snapshot::{Change, Published, Source};

/// The file that only one process can lock.
const LOCK: &str = "lock";
/// Shortest time between two snapshots.
const PAUSE: Duration = Duration::from_secs(1);

/// Why there is no snapshot to start from.
#[derive(Debug)]
pub enum Problem {
    /// A file is missing, cannot be read, or cannot be written.
    Io(io::Error),
    /// A file is not what was written.
    Damaged(&'static str),
}

impl std::fmt::Display for Problem {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        match self {
            Self::Io(error) => error.fmt(f),
            Self::Damaged(what) => f.write_str(what),
        }
    }
}

impl From<io::Error> for Problem {
    fn from(error: io::Error) -> Self {
        Self::Io(error)
    }
}

/// What operators watch.
#[derive(Debug, Clone)]
pub struct Counts {
    /// Snapshots that were written.
    pub saves: IntCounter,
    /// Failures, at reading or writing.
    pub errors: IntCounter,
    /// The watermark of the snapshot on disk.
    pub watermark: Gauge,
}

/// A directory that one reader has for itself.
#[derive(Debug)]
pub struct Disk {
    directory: PathBuf,
    counts: Counts,
    /// The file of each collection's last state. Who writes a file or adds it here holds it for
    /// reading, who deletes what is not here for writing.
    known: RwLock<Mutex<HashMap<(String, String), StoredCollection>>>,
    /// What is to be written next.
    pending: Mutex<Option<Stored>>,
    wake: Notify,
    writing: Mutex<Written>,
    told: Told,
    lock: Mutex<File>,
}

/// What was written last.
#[derive(Debug, Default)]
struct Written {
    list: Option<Stored>,
    /// Files that survive a power cut.
    synced: HashSet<String>,
}

impl Disk {
    /// Opens the directory, and creates it where it is missing.
    ///
    /// # Errors
    ///
    /// When that is not possible, or another process has it.
    pub fn open(directory: &Path, counts: Counts) -> io::Result<Self> {
        files::create_directory(directory)?;
        let lock = files::lock(&directory.join(LOCK))?;
        Ok(Self {
            directory: directory.to_owned(),
            counts,
            known: RwLock::default(),
            pending: Mutex::default(),
            wake: Notify::new(),
            writing: Mutex::default(),
            told: Told::default(),
            lock: Mutex::new(lock),
        })
    }

    /// The list that was written last; `None` in an empty directory.
    ///
    /// # Errors
    ///
    /// When it is damaged: then the reader starts as if there were none.
    pub fn load(&self) -> Result<Option<Stored>, Problem> {
        let stored = match std::fs::read(self.directory.join(list::NAME)) {
            Err(error) if error.kind() == io::ErrorKind::NotFound => return Ok(None),
            bytes => Stored::parse(&bytes?)?,
        };
        self.counts.watermark.set(seconds(stored.watermark()));
        Ok(Some(stored))
    }

    /// One collection of the list.
    ///
    /// # Errors
    ///
    /// When its file is missing or damaged.
    pub fn read(&self, stored: &StoredCollection) -> Result<Source<Vec<Row>>, Problem> {
        let bytes = std::fs::read(self.directory.join(&stored.file))?;
        if files::name_of(&bytes) != stored.file {
            return Err(Problem::Damaged("a collection's checksum is wrong"));
        }
        let source = content::parse(&bytes, stored.version())?;
        self.with_known(|known| known.insert(stored.key(), stored.clone()));
        Ok(source)
    }

    /// Whether this state of a collection is not on disk.
    pub fn lacks(&self, version: &Version) -> bool {
        self.with_known(|known| {
            let key = (version.bucket.clone(), version.collection.clone());
            known.get(&key).is_none_or(|stored| !stored.is_of(version))
        })
    }

    /// Writes a collection's state, which becomes part of the next snapshot. Blocks.
    pub fn keep(&self, version: &Version, metadata: &Map<String, Value>, changes: &[Change]) {
        let bytes = content::render(metadata, changes);
        let name = files::name_of(&bytes);
        // Nothing is deleted between the writing and the remembering.
        let guard = self.known.read().unwrap_or_else(PoisonError::into_inner);
        let written = self.prepare_directory();
        match written.and_then(|()| files::write_unsynced(&self.directory, &name, &bytes)) {
            Ok(()) => {
                let stored = StoredCollection::new(version, name);
                let mut known = guard.lock().unwrap_or_else(PoisonError::into_inner);
                known.insert(stored.key(), stored);
            }
            Err(error) => self.failed("a collection could not be written", &error.into()),
        }
    }

    /// Has what is served now written, soon.
    pub fn save(&self, published: &Published, broadcast: Option<Timestamp>, now: Timestamp) {
        let list = self.with_known(|known| {
            known.retain(|(bucket, id), _| published.get(bucket, id).is_some());
            Stored::new(published, broadcast, now, known)
        });
        let Some(list) = list else {
            tracing::debug!("a collection is not on disk: the snapshot waits for it");
            return;
        };
        *self.pending.lock().unwrap_or_else(PoisonError::into_inner) = Some(list);
        self.wake.notify_one();
    }

    /// Writes what is pending, for ever.
    pub async fn write_snapshots(self: Arc<Self>) {
        loop {
            self.wake.notified().await;
            let disk = self.clone();
            // A panic of ours was logged by its hook; the next snapshot is another try.
            let _ = spawn_blocking(move || disk.flush()).await;
            sleep(PAUSE).await;
        }
    }

    /// Writes what is pending, now. Blocks.
    pub fn flush(&self) {
        let mut written = self.writing.lock().unwrap_or_else(PoisonError::into_inner);
        let pending = self.pending.lock().unwrap_or_else(PoisonError::into_inner).take();
        let Some(list) = pending else { return };
        let missing = self.missing(&list);
        if !missing.is_empty() {
            self.forget(&missing);
            *written = Written::default();
            let problem =
                Problem::Damaged("files have gone; the next look at everything writes them");
            return self.failed("the snapshot could not be written", &problem);
        }
        let is_there = self.directory.join(list::NAME).exists();
        if is_there && written.list.as_ref().is_some_and(|last| last.is_same_as(&list)) {
            return;
        }
        match self.write(&list, &mut written.synced) {
            Ok(()) => {
                if self.told.forget() {
                    tracing::info!(directory = %self.directory.display(), "the snapshot is written again");
                }
                self.counts.saves.inc();
                self.counts.watermark.set(seconds(list.watermark()));
                self.clean(&list);
                written.synced.retain(|name| list.names(name));
                written.list = Some(list);
            }
            Err(error) => {
                self.failed("the snapshot could not be written", &error.into());
                // Tried again with the next publication, or the next look at everything.
                written.list = None;
            }
        }
    }

    /// The files of the list that are not there: somebody took them away.
    fn missing(&self, list: &Stored) -> HashSet<String> {
        let is_gone = |name: &&String| !self.directory.join(name).exists();
        list.files().filter(is_gone).cloned().collect()
    }

    /// So that [`Self::lacks`] tells what has to be written again.
    fn forget(&self, missing: &HashSet<String>) {
        self.with_known(|known| known.retain(|_, stored| !missing.contains(&stored.file)));
    }

    /// Makes the directory, and takes it for this process, where somebody took them away.
    fn prepare_directory(&self) -> io::Result<()> {
        let path = self.directory.join(LOCK);
        let mut lock = self.lock.lock().unwrap_or_else(PoisonError::into_inner);
        if !path.exists() {
            files::create_directory(&self.directory)?;
            *lock = files::lock(&path)?;
        }
        Ok(())
    }

    /// The files first, then the list that names them.
    fn write(&self, list: &Stored, synced: &mut HashSet<String>) -> io::Result<()> {
        self.prepare_directory()?;
        for name in list.files().filter(|name| !synced.contains(*name)) {
            files::sync(&self.directory.join(name))?;
        }
        synced.extend(list.files().cloned());
        files::replace(&self.directory, list::NAME, &list.render())
    }

    /// Deletes what neither the list nor the next one needs.
    fn clean(&self, list: &Stored) {
        let known = self.known.write().unwrap_or_else(PoisonError::into_inner);
        let known = known.lock().unwrap_or_else(PoisonError::into_inner);
        let needed: HashSet<&String> =
            known.values().map(|stored| &stored.file).chain(list.files()).collect();
        if let Err(error) = files::delete_others(&self.directory, |name| {
            needed.iter().any(|needed| *needed == name)
        }) {
            self.failed("old files could not be deleted", &error.into());
        }
    }

    /// Counts every time, and logs once until a snapshot is written.
    pub fn failed(&self, what: &'static str, problem: &Problem) {
        self.counts.errors.inc();
        if self.told.is_news(what, problem) {
            tracing::error!(directory = %self.directory.display(), %problem, "snapshot on disk: {what}");
        }
    }

    fn with_known<T>(
        &self,
        act: impl FnOnce(&mut HashMap<(String, String), StoredCollection>) -> T,
    ) -> T {
        let guard = self.known.read().unwrap_or_else(PoisonError::into_inner);
        let mut known = guard.lock().unwrap_or_else(PoisonError::into_inner);
        act(&mut known)
    }
}

#[expect(clippy::cast_precision_loss, reason = "gauges are floats; 2^53 is enough")]
fn seconds(watermark: Timestamp) -> f64 {
    watermark.as_millis() as f64 / 1_000.0
}
