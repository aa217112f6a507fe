//! Makes the forms of bodies that take long, while nobody waits for them.

use tokio::task::spawn_blocking;

use crate::app::App;

/// Completes the forms of what is served, the smallest bodies first, for ever. What was published
/// meanwhile goes before the rest of what was there.
pub async fn polish(app: App) {
    let mut moves = app.board.moves();
    loop {
        moves.borrow_and_update();
        if let Some(published) = app.board.published() {
            let watch = moves.clone();
            let work = move || {
                for list in published.incomplete() {
                    // A watch whose sender is gone: the process ends.
                    if watch.has_changed().unwrap_or(true) {
                        break;
                    }
                    list.complete();
                }
            };
            if let Err(error) = spawn_blocking(work).await {
                tracing::error!(%error, "compression failed; gzip is served");
            }
        }
        if moves.changed().await.is_err() {
            return;
        }
    }
}
