//! What a process takes, as Linux tells.

use std::{
    collections::BTreeMap,
    fs::{self, File},
    io::Write as _,
    os::unix::fs::MetadataExt as _,
    path::Path,
    sync::{PoisonError, atomic::Ordering},
    time::Duration,
};

use super::Soak;
use crate::{client::Client, failure::Failure};

const HEAD: &str = "seconds,process,rss_mib,own_mib,files_mib,memory_mib,descriptors,threads,\
                    publications,polls,problems,collections_mib,dictionaries_mib,deltas_mib";
/// What a reader says that it keeps, in bytes.
const KEPT: [&str; 3] = ["snapshot_bytes", "dictionary_bytes", "delta_cache_bytes"];

/// What a process takes at one moment.
#[derive(Debug, Clone, Default, PartialEq)]
pub(super) struct Sample {
    /// Which process.
    pub(super) name: String,
    /// Its resident memory, shared pages counted in full.
    pub(super) rss_mib: f64,
    /// Its part of the resident memory.
    pub(super) own_mib: f64,
    /// Its files in memory: mapped nowhere, they are in none of the above.
    pub(super) files_mib: f64,
    /// Open files.
    pub(super) descriptors: u32,
    /// Threads.
    pub(super) threads: u32,
}

impl Sample {
    /// What only the process keeps, and what it writes there. Pages of its program are others', too.
    pub(super) fn memory_mib(&self) -> f64 {
        self.own_mib + self.files_mib
    }

    fn of(name: &str, pid: u32) -> std::io::Result<Self> {
        let process = Path::new("/proc").join(pid.to_string());
        let status = fs::read_to_string(process.join("status"))?;
        let (descriptors, bytes) = files(&process)?;
        Ok(Self {
            name: name.to_owned(),
            rss_mib: number(&status, "VmRSS:") / 1_024.0,
            own_mib: number(&status, "RssAnon:") / 1_024.0,
            files_mib: mib(bytes),
            descriptors,
            threads: whole(&status, "Threads:"),
        })
    }
}

/// How many files a process has open, and the bytes of those in memory, each counted once.
fn files(process: &Path) -> std::io::Result<(u32, u64)> {
    let (mut count, mut in_memory) = (0, BTreeMap::new());
    for entry in fs::read_dir(process.join("fd"))?.flatten() {
        count += 1;
        let is_memfd = fs::read_link(entry.path())
            .is_ok_and(|target| target.to_string_lossy().starts_with("/memfd:"));
        // It may have been closed meanwhile.
        if let Some(file) = is_memfd.then(|| fs::metadata(entry.path()).ok()).flatten() {
            in_memory.insert(file.ino(), file.len());
        }
    }
    Ok((count, in_memory.values().sum()))
}

/// What the reader says that it keeps, in MiB: why a process takes what it takes.
fn kept(metrics: &str) -> [f64; 3] {
    KEPT.map(|name| number(metrics, &format!("countersign_{name} ")) / 1_048_576.0)
}

#[expect(clippy::cast_precision_loss, reason = "memory is less than 2^53 bytes")]
fn mib(bytes: u64) -> f64 {
    bytes as f64 / 1_048_576.0
}

fn text<'a>(file: &'a str, name: &str) -> &'a str {
    let line = file.lines().find_map(|line| line.strip_prefix(name)).unwrap_or_default();
    line.trim().trim_end_matches(" kB")
}

fn number(file: &str, name: &str) -> f64 {
    text(file, name).parse().unwrap_or(f64::NAN)
}

fn whole(file: &str, name: &str) -> u32 {
    text(file, name).parse().unwrap_or_default()
}

/// Takes samples of some processes, and writes each down.
#[derive(Debug)]
pub(super) struct Observer {
    csv: File,
    watched: Vec<(String, u32)>,
    reader: Client,
}

impl Observer {
    /// Begins a file.
    ///
    /// # Errors
    ///
    /// [`Failure::Usage`] when it cannot be written.
    pub(super) fn create(
        path: &Path,
        watched: &[(String, u32)],
        reader: Client,
    ) -> Result<Self, Failure> {
        let wrong = |error| Failure::Usage(format!("{}: {error}", path.display()));
        let mut csv = File::create(path).map_err(wrong)?;
        writeln!(csv, "{HEAD}").map_err(wrong)?;
        Ok(Self { csv, watched: watched.to_vec(), reader })
    }

    /// One sample of each process.
    ///
    /// # Errors
    ///
    /// [`Failure::Failed`] when one has ended.
    pub(super) async fn take(&mut self, soak: &Soak, at: Duration) -> Result<Vec<Sample>, Failure> {
        let metrics = self.reader.get("/__metrics__").await?.success()?.body;
        let [collections, dictionaries, deltas] = kept(&String::from_utf8_lossy(&metrics));
        let problems = soak.problems.lock().unwrap_or_else(PoisonError::into_inner).count;
        let publications = soak.publications.load(Ordering::Relaxed);
        let polls = soak.polls.load(Ordering::Relaxed);
        let mut samples = Vec::new();
        for (name, pid) in &self.watched {
            let gone = |error| Failure::Failed(format!("{name} ({pid}): {error}"));
            let sample = Sample::of(name, *pid).map_err(gone)?;
            let Sample { rss_mib, own_mib, files_mib, descriptors, threads, .. } = &sample;
            let (seconds, memory) = (at.as_secs(), sample.memory_mib());
            writeln!(
                self.csv,
                "{seconds},{name},{rss_mib:.1},{own_mib:.1},{files_mib:.1},{memory:.1},{descriptors},\
                 {threads},{publications},{polls},{problems},{collections:.1},{dictionaries:.1},{deltas:.1}"
            )
            .map_err(gone)?;
            samples.push(sample);
        }
        Ok(samples)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_a_reader_keeps_is_read() {
        let metrics = "# HELP countersign_snapshot_bytes x\ncountersign_snapshot_bytes 1048576\n\
                       countersign_dictionary_bytes 0\ncountersign_delta_cache_bytes 524288\n";
        assert!(kept(metrics).iter().eq(&[1.0, 0.0, 0.5]));
    }

    #[test]
    fn a_process_is_seen() {
        let sample = Sample::of("this", std::process::id()).unwrap();

        assert!(sample.rss_mib > 1.0 && sample.own_mib > 0.5, "{sample:?}");
        assert!(sample.descriptors > 2 && sample.threads > 0, "{sample:?}");
    }
}
