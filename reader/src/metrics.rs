//! What operators watch.

use std::sync::Arc;

use prometheus::{Gauge, GaugeVec, IntCounter, IntCounterVec, Opts, Registry};
use shared::{
    certificates::Watch,
    model::Timestamp,
    telemetry::{self, HttpMetrics, PREFIX},
};

use crate::{app::App, disk::Counts, snapshot::Reason};

/// The reader's metrics.
#[derive(Debug)]
pub struct Metrics {
    registry: Registry,
    /// Requests.
    pub http: Arc<HttpMetrics>,
    /// Answers older than the client expected.
    pub stale_reads: IntCounter,
    /// Answers to `_since` that were prepared already.
    pub delta_hits: IntCounter,
    /// Answers to `_since` that were not.
    pub delta_misses: IntCounter,
    /// Open connections.
    pub connections: Gauge,
    /// Connections that were turned away because there were too many.
    pub shed: IntCounter,
    /// Requests that were refused because too many wanted what takes long.
    pub refused: IntCounter,
    /// Rounds of the follower that failed.
    pub storage_errors: IntCounter,
    /// The snapshot on disk.
    pub disk: Counts,
    /// Reads for those who ask for what is not published.
    pub database_reads: IntCounter,
    /// Those that failed, or were refused.
    pub database_reads_failed: IntCounter,
    /// When certificates end.
    pub certificates: Watch,
    rejected: IntCounterVec,
    gauges: Gauges,
}

/// Read when they are asked for.
#[derive(Debug)]
struct Gauges {
    up: Gauge,
    address: GaugeVec,
    standby: Gauge,
    replay_lag: Gauge,
    switches: Gauge,
    lag: Gauge,
    watermark: Gauge,
    age: Gauge,
    bytes: Gauge,
    delta_bytes: Gauge,
    body_bytes: Gauge,
    dictionary_bytes: Gauge,
    collections: Gauge,
    held_back: Gauge,
    pool_size: Gauge,
    pool_available: Gauge,
}

impl Metrics {
    /// Registers everything.
    ///
    /// # Errors
    ///
    /// When a name is registered twice.
    pub fn new() -> Result<Self, prometheus::Error> {
        let registry = telemetry::registry();
        let rejected = IntCounterVec::new(
            Opts::new(
                format!("{PREFIX}_snapshot_rejected_total"),
                "States of the database that were not good enough to be served.",
            ),
            &["reason"],
        )?;
        registry.register(Box::new(rejected.clone()))?;
        for reason in Reason::ALL {
            rejected.with_label_values(&[reason.name()]);
        }
        let counter = |name, help| telemetry::counter(&registry, name, help);
        Ok(Self {
            http: Arc::new(HttpMetrics::new(&registry)?),
            stale_reads: counter("stale_reads_total", "Answers older than the client expected.")?,
            delta_hits: counter("delta_cache_hits_total", "Deltas that were prepared already.")?,
            delta_misses: counter("delta_cache_misses_total", "Deltas that had to be prepared.")?,
            connections: telemetry::gauge(&registry, "connections", "Open connections.")?,
            shed: counter("connections_shed_total", "Connections turned away: too many.")?,
            refused: counter(
                "requests_shed_total",
                "Requests refused with 503: too many wanted what takes long.",
            )?,
            storage_errors: counter("storage_errors_total", "Failed rounds of the follower.")?,
            disk: Counts {
                saves: counter("disk_snapshot_saves_total", "Snapshots written to disk.")?,
                errors: counter("disk_snapshot_errors_total", "Failures of snapshot_dir.")?,
                watermark: telemetry::gauge(
                    &registry,
                    "disk_snapshot_watermark_timestamp_seconds",
                    "The watermark of the snapshot on disk.",
                )?,
            },
            database_reads: counter("database_reads_total", "Reads of what is not published.")?,
            database_reads_failed: counter(
                "database_reads_failed_total",
                "Those that failed, or were refused: 503.",
            )?,
            certificates: Watch::new(&registry)?,
            rejected,
            gauges: Gauges::new(&registry)?,
            registry,
        })
    }

    /// Counts a state that is not served, or in doubt.
    pub fn reject(&self, reason: Reason) {
        self.rejected.with_label_values(&[reason.name()]).inc();
    }

    /// All metrics in Prometheus' text format.
    pub fn render(&self, app: &App, now: Timestamp) -> Vec<u8> {
        self.gauges.update(app, now);
        telemetry::render(&self.registry.gather())
    }
}

impl Gauges {
    fn new(registry: &Registry) -> Result<Self, prometheus::Error> {
        let gauge = |name, help| telemetry::gauge(registry, name, help);
        let address = GaugeVec::new(
            Opts::new(
                format!("{PREFIX}_storage_address"),
                "1 for the database server that is followed, 0 for the others.",
            ),
            &["address"],
        )?;
        registry.register(Box::new(address.clone()))?;
        Ok(Self {
            up: gauge("storage_up", "1 while the database answers.")?,
            address,
            standby: gauge("storage_standby", "1 while a standby is followed.")?,
            replay_lag: gauge(
                "storage_replay_lag_seconds",
                "How far a standby is behind what it has received.",
            )?,
            switches: gauge("storage_switches", "How often another database server was taken.")?,
            lag: gauge("watermark_lag_seconds", "The database's watermark less the one served.")?,
            watermark: gauge("watermark_timestamp_seconds", "The watermark served.")?,
            age: gauge(
                "snapshot_age_seconds",
                "Time since the database confirmed what is served.",
            )?,
            bytes: gauge("snapshot_bytes", "Memory of the rendered changesets.")?,
            delta_bytes: gauge("delta_cache_bytes", "Memory of the prepared deltas.")?,
            body_bytes: gauge(
                "body_bytes",
                "Memory of bodies that were made for somebody: in caches, or being sent.",
            )?,
            dictionary_bytes: gauge(
                "dictionary_bytes",
                "Memory of former versions, and of what was compressed with them.",
            )?,
            collections: gauge("collections", "Published collections.")?,
            held_back: gauge("collections_held_back", "Those whose present state is refused.")?,
            pool_size: gauge("storage_pool_size", "Connections of the pool.")?,
            pool_available: gauge("storage_pool_available", "Those that are idle.")?,
        })
    }

    #[expect(clippy::cast_precision_loss, reason = "gauges are floats; 2^53 is enough")]
    fn update(&self, app: &App, now: Timestamp) {
        let pool = app.public.pool().status();
        self.up.set(f64::from(u8::from(app.board.is_reachable())));
        let (link, hosts) = (app.link.state(), app.link.hosts());
        for index in 0..hosts.len() {
            let followed = f64::from(u8::from(link.index == Some(index)));
            self.address.with_label_values(&[hosts.name(index)]).set(followed);
        }
        self.standby.set(f64::from(u8::from(link.is_standby)));
        let unknown = if link.is_standby { f64::NAN } else { 0.0 };
        self.replay_lag.set(link.replay_lag_ms.map_or(unknown, |lag| lag as f64 / 1_000.0));
        self.switches.set(link.switches as f64);
        self.lag.set(app.board.lag_ms() as f64 / 1_000.0);
        self.age.set(app.board.age_ms().map_or(f64::NAN, |age| age as f64 / 1_000.0));
        self.delta_bytes.set(app.deltas.bytes() as f64);
        self.body_bytes.set(app.budget.used() as f64);
        self.pool_size.set(pool.size as f64);
        self.pool_available.set(pool.available as f64);
        if let Some(published) = app.board.published() {
            self.watermark.set(published.watermark.as_millis() as f64 / 1_000.0);
            self.bytes.set(published.bytes() as f64);
            self.dictionary_bytes.set(published.dictionary_bytes() as f64);
            self.collections.set(published.iter().count() as f64);
            self.held_back.set(published.refused().count() as f64);
            app.metrics.certificates.measure(&published.certificates(), now);
        }
    }
}
