//! What push services poll (`remote-settings.md` §4.1).

use shared::{
    http::Reply,
    model::Timestamp,
    wire::{Entries, broadcasts, candidate},
};

use crate::{app::App, routes::Api};

/// Lifetime below `/v2` (§6.3).
const V2_SECONDS: u32 = 60;

/// The value that the writer has computed for all readers; without any, one of our own.
pub(super) fn get(app: &App, api: Api, now: Timestamp) -> Reply {
    let published = app.board.published();
    if published.as_ref().is_some_and(|published| published.is_empty_handed()) {
        return lived(broadcasts(None), api, now);
    }
    let entries = published.as_ref().map(|published| &published.monitor.entries);
    let (newest, most) = (|| entries.and_then(candidate), entries.and_then(Entries::most));
    let interval_ms = app.config.changes.debounce_ms;
    lived(broadcasts(app.board.broadcast(newest, most, now, interval_ms)), api, now)
}

/// Of the first API nothing is said (§4.1).
fn lived(reply: Reply, api: Api, now: Timestamp) -> Reply {
    if api == Api::V2 { reply.lifetime(V2_SECONDS, now) } else { reply }
}
