//! Kinto's metrics for Prometheus, by its names and with its labels (`kinto-http-api.md` §7.5).

use std::time::Duration;

use prometheus::proto::MetricFamily;
use shared::model::{ObjectPath, Timestamp};

use super::{
    answered::Answered,
    family::{Family, Kind},
};
use crate::config::Prometheus;

/// What is counted of requests, users and the storage, under Kinto's names.
#[derive(Debug)]
pub struct KintoMetrics {
    settings: Prometheus,
    requests: Option<Family>,
    durations: Option<Family>,
    sizes: Option<Family>,
    users: Option<Family>,
    authentications: Option<Family>,
    storage: Option<Family>,
    signer: Option<Family>,
    approved: Option<Family>,
}

impl KintoMetrics {
    /// The metrics that the settings leave on.
    pub fn new(settings: &Prometheus) -> Self {
        let family = |name: &str, help, labels: &[&str], kind| {
            let labels = labels.iter().map(|label| (*label).to_owned()).collect();
            (!settings.disabled.contains(name))
                .then(|| Family::new(format!("{}{name}", settings.prefix), help, labels, kind))
        };
        let ids: Vec<&str> = settings.matchdict_fields.iter().map(String::as_str).collect();
        let of_request = [&["method", "endpoint"], ids.as_slice()].concat();
        let with_status = [of_request.as_slice(), &["status"]].concat();
        let histogram = || Kind::Histogram(settings.buckets.clone());
        Self {
            requests: family("request_summary", "Requests.", &with_status, Kind::Counter),
            durations: family(
                "request_duration_seconds",
                "From a request to its response.",
                &of_request,
                histogram(),
            ),
            sizes: family("request_size", "Bytes of responses.", &of_request, Kind::Summary),
            users: family("users", "Requests by user.", &["auth", "userid"], Kind::Counter),
            authentications: family(
                "authentication",
                "Requests by kind of authentication.",
                &["type"],
                Kind::Counter,
            ),
            storage: family(
                "backend_storage_seconds",
                "Transactions with PostgreSQL.",
                &["method"],
                histogram(),
            ),
            signer: family("plugins_signer_seconds", "Signatures.", &[], histogram()),
            approved: family(
                "plugins_signer_approved_changes",
                "Changes that reviewers approved.",
                &["bucket_id", "collection_id"],
                Kind::Counter,
            ),
            settings: settings.clone(),
        }
    }

    /// The settings that the hello view shows.
    pub const fn settings(&self) -> &Prometheus {
        &self.settings
    }

    /// Counts a request.
    pub fn answered(&self, request: &Answered<'_>) {
        let head = vec![request.method_name().to_owned(), request.endpoint().to_owned()];
        let fields = &self.settings.matchdict_fields;
        let blank = [head.clone(), vec![String::new(); fields.len()]].concat();
        let labels = [head, request.ids(fields)].concat();
        let status = || vec![request.status.as_str().to_owned()];
        let (with_status, blank_status) =
            ([labels.clone(), status()].concat(), [blank.clone(), status()].concat());
        let millis = u32::try_from(request.elapsed.as_millis()).unwrap_or(u32::MAX);
        let bytes = u32::try_from(request.bytes).unwrap_or(u32::MAX);
        observe(self.requests.as_ref(), with_status, blank_status, 1.0);
        observe(
            self.durations.as_ref(),
            labels.clone(),
            blank.clone(),
            f64::from(millis) / 1_000.0,
        );
        observe(self.sizes.as_ref(), labels, blank, f64::from(bytes));
    }

    /// Counts a request of the user with this prefixed id.
    pub fn authenticated(&self, user_id: &str) {
        let Some((policy, id)) = user_id.split_once(':') else { return };
        let policy = policy.to_owned();
        let (labels, blank) =
            (vec![policy.clone(), id.replace(':', ".")], vec![policy.clone(), String::new()]);
        observe(self.users.as_ref(), labels, blank, 1.0);
        observe(self.authentications.as_ref(), vec![policy.clone()], vec![policy], 1.0);
    }

    /// Times a transaction.
    pub fn transaction(&self, elapsed: Duration) {
        let label = || vec!["transaction".to_owned()];
        observe(self.storage.as_ref(), label(), label(), elapsed.as_secs_f64());
    }

    /// Times a signature (`remote-settings.md` §1.20).
    pub fn signed(&self, elapsed: Duration) {
        observe(self.signer.as_ref(), Vec::new(), Vec::new(), elapsed.as_secs_f64());
    }

    /// Counts changes that were approved for a destination.
    pub fn approved(&self, destination: &ObjectPath, changes: usize) {
        let labels = vec![destination.bucket_id().to_owned(), destination.id.to_string()];
        let changes = u32::try_from(changes).unwrap_or(u32::MAX);
        let otherwise = vec![String::new(); labels.len()];
        observe(self.approved.as_ref(), labels, otherwise, f64::from(changes));
    }

    /// All that was counted.
    pub fn collect(&self) -> Vec<MetricFamily> {
        [
            &self.requests,
            &self.durations,
            &self.sizes,
            &self.users,
            &self.authentications,
            &self.storage,
            &self.signer,
            &self.approved,
        ]
        .into_iter()
        .flatten()
        .flat_map(|family| family.collect(self.settings.created))
        .collect()
    }
}

fn observe(family: Option<&Family>, labels: Vec<String>, otherwise: Vec<String>, value: f64) {
    if let Some(family) = family {
        #[expect(clippy::cast_precision_loss, reason = "2^53 milliseconds are far away")]
        let now = Timestamp::now().as_millis() as f64 / 1_000.0;
        family.observe(labels, otherwise, value, now);
    }
}
