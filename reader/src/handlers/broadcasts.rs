//! What push services poll (`remote-settings.md` §4.1).

use shared::{
    http::Reply,
    model::Timestamp,
    wire::{broadcasts, candidate},
};

use crate::app::App;

/// The value that the writer has computed for all readers; without any, one of our own.
pub(super) fn get(app: &App, now: Timestamp) -> Reply {
    let published = app.board.published();
    let newest = || published.as_ref().and_then(|now| candidate(&now.monitor.entries));
    broadcasts(app.board.broadcast(newest, now, app.config.changes.debounce_ms))
}
