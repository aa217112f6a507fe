//! Settings: layers of text, read into types with every problem told at once.
//!
//! Settings keep Kinto's names, without the `kinto.` prefix, where Kinto has the setting. A name
//! is flat text with dots: `signer.to_review_enabled`. Later layers win: the defaults compiled
//! in, the file, `KINTO_…`, `COUNTERSIGN_…`, the command line.

mod common;
mod ini;
mod layers;

pub use common::{CertificateWarnings, Database, Listen, Monitored, RecordCache, Telemetry, ttl};
pub use layers::{Layers, Origin, Problems};
