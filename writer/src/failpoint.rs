//! Steps at which a debug build can be held, so that drills can kill it, or PostgreSQL, right there.
//!
//! The environment variable `FAILPOINT_FILE` names a file. A request that comes to the step whose
//! name is in the file makes the file `….reached` beside it, and waits as long as the file is there.
//! Steps of a publication, in their order:
//!
//! | step | what was done |
//! |---|---|
//! | `locked` | the locks are taken; nothing was written |
//! | `judged` | the workflow has accepted the command, and drawn its consequences |
//! | `copied {collection}` | preview, then destination hold the source's records |
//! | `signed` | all targets are signed, and verified |
//! | `before commit` | history and quotas are written as well |
//! | `committed` | the transaction is committed; nobody was answered |
//!
//! A release build has nothing of this: [`at`] and [`at_target`] are empty there.

use std::ffi::OsString;

use shared::model::ObjectPath;

/// Reads the environment.
pub fn arm(environment: impl Iterator<Item = (OsString, OsString)>) {
    #[cfg(debug_assertions)]
    held::arm(environment);
    #[cfg(not(debug_assertions))]
    drop(environment);
}

/// Waits here if this step is armed.
#[cfg_attr(not(debug_assertions), expect(clippy::unused_async, reason = "as in a debug build"))]
pub async fn at(step: &str) {
    #[cfg(debug_assertions)]
    held::at(step).await;
    #[cfg(not(debug_assertions))]
    let _ = step;
}

/// Waits here if this step is armed for this collection.
#[cfg_attr(not(debug_assertions), expect(clippy::unused_async, reason = "as in a debug build"))]
pub async fn at_target(step: &str, target: &ObjectPath) {
    #[cfg(debug_assertions)]
    held::at(&format!("{step} {target}")).await;
    #[cfg(not(debug_assertions))]
    let _ = (step, target);
}

#[cfg(debug_assertions)]
mod held {
    use std::{ffi::OsString, path::PathBuf, sync::OnceLock, time::Duration};

    static FILE: OnceLock<PathBuf> = OnceLock::new();

    pub(super) fn arm(mut environment: impl Iterator<Item = (OsString, OsString)>) {
        let Some((_, file)) = environment.find(|(name, _)| name == "FAILPOINT_FILE") else {
            return;
        };
        tracing::warn!(?file, "requests may be held at steps that this file names");
        let _ = FILE.set(file.into());
    }

    pub(super) async fn at(step: &str) {
        let Some(file) = FILE.get() else { return };
        if std::fs::read_to_string(file).is_ok_and(|armed| armed.trim() == step) {
            tracing::warn!(step, "a request is held");
            let reached = format!("{}.reached", file.display());
            // A drill that cannot be told will give up waiting.
            let _ = std::fs::write(reached, step);
            while file.exists() {
                tokio::time::sleep(Duration::from_millis(2)).await;
            }
        }
    }
}
