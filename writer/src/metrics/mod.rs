//! What is counted: this service's own metrics and, where the plug-in is switched on, Kinto's.

mod answered;
mod family;
mod kinto;
mod outbox;
mod statsd;

use std::{collections::BTreeMap, sync::Arc, time::Duration};

use deadpool_postgres::Pool;
use prometheus::{Gauge, IntCounter, Registry};
use shared::{
    certificates::{Ends, Watch},
    model::{ObjectPath, Timestamp},
    telemetry::{self, HttpMetrics},
};

use self::statsd::Statsd;
pub use self::{answered::Answered, kinto::KintoMetrics, outbox::OutboxMetrics};
use crate::config::Extras;

/// The format of the metrics, as Kinto names it; what is written is valid in the older one, too.
pub const FORMAT: &str = "text/plain; version=1.0.0; charset=utf-8";

/// The writer's metrics.
#[derive(Debug)]
pub struct Metrics {
    registry: Registry,
    /// Requests.
    pub http: Arc<HttpMetrics>,
    /// Collections signed and published.
    pub publications: IntCounter,
    /// Transactions run again after a deadlock.
    pub retries: IntCounter,
    /// Mail, messages and webhooks.
    pub outbox: OutboxMetrics,
    /// Documents that were to be signed and were not.
    pub signing_failures: IntCounter,
    /// 1 while keys are in use that could not be read again.
    pub old_keys: Gauge,
    /// When the certificates of our keys end.
    pub certificates: Watch,
    /// Kinto's own for Prometheus, where they are switched on.
    pub kinto: Option<KintoMetrics>,
    statsd: Option<Statsd>,
    pool: BTreeMap<&'static str, Gauge>,
}

impl Metrics {
    /// Metrics of which nothing has been counted yet.
    ///
    /// # Errors
    ///
    /// When two have the same name, or no thread can be started.
    pub fn new(settings: &Extras) -> Result<Self, prometheus::Error> {
        let registry = telemetry::registry();
        let mut pool = BTreeMap::new();
        for (name, help) in [
            ("size", "Open connections to PostgreSQL."),
            ("available", "Connections that nobody uses."),
            ("waiting", "Requests that wait for a connection."),
        ] {
            pool.insert(name, telemetry::gauge(&registry, &format!("db_pool_{name}"), help)?);
        }
        Ok(Self {
            http: Arc::new(HttpMetrics::new(&registry)?),
            publications: telemetry::counter(
                &registry,
                "publications_total",
                "Previews and destinations signed and written.",
            )?,
            retries: telemetry::counter(
                &registry,
                "transaction_retries_total",
                "Transactions run again after a deadlock.",
            )?,
            outbox: OutboxMetrics::new(&registry)?,
            signing_failures: telemetry::counter(
                &registry,
                "signing_failures_total",
                "Documents that a signer was asked to sign, and did not.",
            )?,
            old_keys: telemetry::gauge(
                &registry,
                "signer_keys_old",
                "1 while keys or chains are in use that could not be read again on SIGHUP.",
            )?,
            certificates: Watch::new(&registry)?,
            kinto: settings.prometheus.as_ref().map(KintoMetrics::new),
            statsd: statsd(settings, &registry)?,
            registry,
            pool,
        })
    }

    /// Counts a request, or one of a batch.
    pub fn answered(&self, request: &Answered<'_>) {
        if let Some(kinto) = &self.kinto {
            kinto.answered(request);
        }
        if let Some(statsd) = &self.statsd {
            statsd.answered(request);
        }
    }

    /// Counts a request of a user, if there is one.
    pub fn authenticated(&self, user_id: Option<&str>) {
        let Some(id) = user_id else { return };
        if let Some(kinto) = &self.kinto {
            kinto.authenticated(id);
        }
        if let Some(statsd) = &self.statsd {
            statsd.authenticated(id);
        }
    }

    /// Times a transaction.
    pub fn transaction(&self, elapsed: Duration) {
        if let Some(kinto) = &self.kinto {
            kinto.transaction(elapsed);
        }
        if let Some(statsd) = &self.statsd {
            statsd.transaction(elapsed);
        }
    }

    /// Times a signature, or the lack of one.
    pub fn signed(&self, elapsed: Duration, is_good: bool) {
        if !is_good {
            self.signing_failures.inc();
        }
        if let Some(kinto) = &self.kinto {
            kinto.signed(elapsed);
        }
        if let Some(statsd) = &self.statsd {
            statsd.signed(elapsed);
        }
    }

    /// Counts so many changes that were approved for a destination.
    pub fn approved(&self, destination: &ObjectPath, changes: usize) {
        if let Some(kinto) = &self.kinto {
            kinto.approved(destination, changes);
        }
        if let Some(statsd) = &self.statsd {
            statsd.approved(destination);
        }
    }

    /// The metrics as Prometheus reads them.
    #[expect(clippy::cast_precision_loss, reason = "a pool has far fewer than 2^52 connections")]
    pub fn render(&self, pool: &Pool, certificates: &Ends) -> Vec<u8> {
        self.certificates.measure(certificates, Timestamp::now());
        let status = pool.status();
        for (name, value) in
            [("size", status.size), ("available", status.available), ("waiting", status.waiting)]
        {
            if let Some(gauge) = self.pool.get(name) {
                gauge.set(value as f64);
            }
        }
        let mut families = self.registry.gather();
        families.extend(self.kinto.iter().flat_map(KintoMetrics::collect));
        telemetry::render(&families)
    }
}

fn statsd(settings: &Extras, registry: &Registry) -> Result<Option<Statsd>, prometheus::Error> {
    let Some(settings) = &settings.statsd else { return Ok(None) };
    let dropped = telemetry::counter(
        registry,
        "statsd_lines_dropped_total",
        "Lines for StatsD that could not be sent, or were too many.",
    )?;
    let started = Statsd::start(settings, dropped);
    started.map(Some).map_err(|error| prometheus::Error::Msg(format!("StatsD: {error}")))
}
