//! The format of logs, and the metrics that both binaries export.

use std::{io::IsTerminal as _, time::Duration};

use http::{Method, StatusCode};
use prometheus::{
    Encoder as _, Histogram, HistogramOpts, HistogramVec, IntCounter, IntCounterVec, Opts,
    PullingGauge, Registry, TextEncoder, proto::MetricFamily,
};
use tracing_subscriber::EnvFilter;

use crate::log_sink::{self, Sink};

/// Prefix of every metric of ours.
pub const PREFIX: &str = "countersign";

/// Seconds: from 1 ms to 10 s.
const BUCKETS: &[f64] =
    &[0.000_25, 0.001, 0.002_5, 0.005, 0.01, 0.025, 0.05, 0.1, 0.25, 0.5, 1.0, 2.5, 5.0, 10.0];

/// How log lines look.
#[derive(Debug, Clone, Copy, PartialEq, Eq, serde::Deserialize)]
#[serde(rename_all = "lowercase")]
pub enum LogFormat {
    /// One JSON object a line: for machines.
    Json,
    /// For people.
    Text,
}

/// Starts logging to standard output. `filter` is a level, or directives of `tracing`'s
/// `EnvFilter` (`info,tokio_postgres=warn`). A second call changes nothing.
///
/// # Errors
///
/// What is wrong with `filter`.
pub fn init(format: LogFormat, filter: &str) -> Result<(), String> {
    let filter = EnvFilter::try_new(filter).map_err(|error| error.to_string())?;
    let builder = tracing_subscriber::fmt().with_env_filter(filter).with_writer(Sink);
    let _ = match format {
        LogFormat::Json => builder
            .json()
            .flatten_event(true)
            .with_current_span(true)
            .with_span_list(false)
            .try_init(),
        // Colours are for terminals.
        LogFormat::Text => {
            builder.with_target(false).with_ansi(std::io::stdout().is_terminal()).try_init()
        }
    };
    Ok(())
}

/// Waits, for a second at most, until the log is written: before the process ends.
pub fn flush() {
    log_sink::flush();
}

/// A registry with the process's own metrics (memory, file descriptors, CPU, log lines lost).
pub fn registry() -> Registry {
    let registry = Registry::new();
    let process = prometheus::process_collector::ProcessCollector::for_self();
    // Fails only on a second registration, and this registry is new.
    let _ = registry.register(Box::new(process));
    let lost = PullingGauge::new(
        format!("{PREFIX}_log_lines_dropped"),
        "Log lines that were dropped because nobody read the log.",
        #[expect(clippy::cast_precision_loss, reason = "gauges are floats; 2^53 is enough")]
        Box::new(|| log_sink::dropped() as f64),
    );
    if let Ok(lost) = lost {
        let _ = registry.register(Box::new(lost));
    }
    registry
}

/// Metrics in Prometheus' text format.
pub fn render(families: &[MetricFamily]) -> Vec<u8> {
    let mut text = Vec::new();
    if let Err(error) = TextEncoder::new().encode(families, &mut text) {
        tracing::error!(%error, "metrics cannot be rendered");
    }
    text
}

/// Requests by method, route and status, and how long they took.
#[derive(Debug)]
pub struct HttpMetrics {
    requests: IntCounterVec,
    seconds: HistogramVec,
}

impl HttpMetrics {
    /// Registers `countersign_requests_total` and `countersign_request_duration_seconds`.
    ///
    /// # Errors
    ///
    /// When the registry has metrics of these names already.
    pub fn new(registry: &Registry) -> Result<Self, prometheus::Error> {
        let requests = IntCounterVec::new(
            Opts::new(format!("{PREFIX}_requests_total"), "Requests answered."),
            &["method", "route", "status"],
        )?;
        let seconds = HistogramVec::new(
            HistogramOpts::new(
                format!("{PREFIX}_request_duration_seconds"),
                "From the end of the request's head to the start of its answer.",
            )
            .buckets(BUCKETS.to_vec()),
            &["method", "route"],
        )?;
        registry.register(Box::new(requests.clone()))?;
        registry.register(Box::new(seconds.clone()))?;
        Ok(Self { requests, seconds })
    }

    /// The counters of one method, route and status, for those who count often.
    pub fn series(&self, method: &str, route: &str, status: StatusCode) -> Series {
        Series {
            requests: self.requests.with_label_values(&[method, route, status.as_str()]),
            seconds: self.seconds.with_label_values(&[method, route]),
        }
    }

    /// Counts one request. `route` is a name from a fixed list, so that the number of series is
    /// bounded whatever clients send.
    pub fn observe(
        &self,
        method: &Method,
        route: &'static str,
        status: StatusCode,
        elapsed: Duration,
    ) {
        let method = known_method(method);
        self.requests.with_label_values(&[method, route, status.as_str()]).inc();
        self.seconds.with_label_values(&[method, route]).observe(elapsed.as_secs_f64());
    }
}

/// Where requests of one kind are counted.
#[derive(Debug)]
pub struct Series {
    requests: IntCounter,
    seconds: Histogram,
}

impl Series {
    /// Counts one request.
    pub fn observe(&self, elapsed: Duration) {
        self.requests.inc();
        self.seconds.observe(elapsed.as_secs_f64());
    }
}

/// Clients may invent methods; they do not get a series each.
fn known_method(method: &Method) -> &'static str {
    match method.as_str() {
        "GET" => "GET",
        "HEAD" => "HEAD",
        "POST" => "POST",
        "PUT" => "PUT",
        "PATCH" => "PATCH",
        "DELETE" => "DELETE",
        "OPTIONS" => "OPTIONS",
        _ => "other",
    }
}

/// Registers a counter `countersign_{name}`.
///
/// # Errors
///
/// When the registry has it already.
pub fn counter(
    registry: &Registry,
    name: &str,
    help: &str,
) -> Result<IntCounter, prometheus::Error> {
    let counter = IntCounter::new(format!("{PREFIX}_{name}"), help)?;
    registry.register(Box::new(counter.clone()))?;
    Ok(counter)
}

/// Registers a gauge `countersign_{name}`.
///
/// # Errors
///
/// When the registry has it already.
pub fn gauge(
    registry: &Registry,
    name: &str,
    help: &str,
) -> Result<prometheus::Gauge, prometheus::Error> {
    let gauge = prometheus::Gauge::new(format!("{PREFIX}_{name}"), help)?;
    registry.register(Box::new(gauge.clone()))?;
    Ok(gauge)
}

/// Registers a histogram `countersign_{name}` of seconds.
///
/// # Errors
///
/// When the registry has it already.
pub fn histogram(
    registry: &Registry,
    name: &str,
    help: &str,
) -> Result<Histogram, prometheus::Error> {
    let opts = HistogramOpts::new(format!("{PREFIX}_{name}"), help).buckets(BUCKETS.to_vec());
    let histogram = Histogram::with_opts(opts)?;
    registry.register(Box::new(histogram.clone()))?;
    Ok(histogram)
}
