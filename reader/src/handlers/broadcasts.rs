//! What push services poll (`remote-settings.md` §4.1).

use shared::{
    http::Reply,
    model::Timestamp,
    wire::{broadcasts, candidate},
};

use crate::{app::App, routes::Api};

/// Lifetime below `/v2` (§6.3).
const V2_SECONDS: u32 = 60;

/// The value that the writer has computed for all readers; without any, one of our own.
pub(super) fn get(app: &App, api: Api, now: Timestamp) -> Reply {
    let published = app.board.published();
    let newest = || published.as_ref().and_then(|now| candidate(&now.monitor.entries));
    let reply = broadcasts(app.board.broadcast(newest, now, app.config.changes.debounce_ms));
    // Of the first API nothing is said (§4.1).
    if api == Api::V2 { reply.lifetime(V2_SECONDS, now) } else { reply }
}
