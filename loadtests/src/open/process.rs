//! What a process uses, as Linux tells.

use std::{
    fs,
    time::{Duration, Instant},
};

/// Ticks a second in `/proc`: USER_HZ, the same on every Linux of today.
const TICKS: f64 = 100.0;

/// CPU seconds of this process so far; 0 where nobody tells.
pub(crate) fn cpu_seconds() -> f64 {
    let stat = fs::read_to_string("/proc/self/stat").unwrap_or_default();
    ticks(&stat).unwrap_or_default() / TICKS
}

/// How busy this process is, second by second.
#[derive(Debug)]
pub(crate) struct Meter {
    since: Instant,
    cpu: f64,
}

impl Meter {
    /// From now on.
    pub(crate) fn start() -> Self {
        Self { since: Instant::now(), cpu: cpu_seconds() }
    }

    /// Percent of one CPU since the last time; none before a second is over.
    pub(crate) fn percent(&mut self) -> Option<f64> {
        let elapsed = self.since.elapsed();
        if elapsed < Duration::from_secs(1) {
            return None;
        }
        let before = std::mem::replace(self, Self::start());
        Some((self.cpu - before.cpu) / elapsed.as_secs_f64() * 100.0)
    }
}

/// The sum of `utime` and `stime` (proc(5)), whatever the name of the program contains.
fn ticks(stat: &str) -> Option<f64> {
    let (_, fields) = stat.rsplit_once(')')?;
    let mut fields = fields.split_ascii_whitespace().skip(11);
    let user: f64 = fields.next()?.parse().ok()?;
    let system: f64 = fields.next()?.parse().ok()?;
    Some(user + system)
}

/// Resident memory of a process, in MiB; none when there is no such process.
pub(crate) fn resident_mib(pid: u32) -> Option<f64> {
    resident(&fs::read_to_string(format!("/proc/{pid}/status")).ok()?)
}

fn resident(status: &str) -> Option<f64> {
    let line = status.lines().find_map(|line| line.strip_prefix("VmRSS:"))?;
    let kib: f64 = line.trim().strip_suffix("kB")?.trim().parse().ok()?;
    Some(kib / 1_024.0)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn proc_is_read() {
        assert_eq!(ticks("1 (a) b) S 1 2 3 4 5 6 7 8 9 10 30 12 0"), Some(42.0));
        assert_eq!(resident("Name:\tx\nVmRSS:\t    2048 kB\n"), Some(2.0));
        assert!(resident_mib(std::process::id()).is_some_and(|mib| mib > 0.5));
    }
}
