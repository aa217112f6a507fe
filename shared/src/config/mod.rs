//! Settings: layers of text, read into types with every problem told at once.
//!
//! Settings keep Kinto's names, without the `kinto.` prefix, where Kinto has the setting. A name
//! is flat text with dots: `signer.to_review_enabled`. Later layers win: the defaults compiled
//! in, the file, `KINTO_…`, `COUNTERSIGN_…`, the command line.

mod changes;
mod common;
mod database;
mod end_of_service;
mod environment;
mod ini;
mod layers;
mod lifetimes;
mod page_size;

pub use changes::{Changes, Redirects, absolute};
pub use common::{CertificateWarnings, Listen, Monitored, RecordCache, Telemetry, ttl};
pub use database::{Database, Target};
pub use end_of_service::EndOfService;
pub use layers::{Layers, Origin, Problems};
pub use lifetimes::{Lifetimes, cache_expires, kept};
pub use page_size::PageSize;
