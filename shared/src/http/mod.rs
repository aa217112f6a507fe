//! HTTP as both binaries speak it.

mod framing;
mod http2;
mod look;
mod observe;
mod reply;
mod request;
mod serve;
pub mod tls;

pub use http2::{Http2, Patience};
pub use look::{look, sniff};
pub use observe::{REQUEST_ID, RequestLog, log, request_id};
pub use reply::{Reply, security_headers};
pub use request::{Query, is_unmodified_since, segments};
pub use serve::{Answer, Limits, Peer, SLOWEST, Service, serve, shutdown_signal};
