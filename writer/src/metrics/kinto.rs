//! Kinto's metrics, by its names and with its labels (`kinto-http-api.md` §7.5).

use std::time::Duration;

use http::{Method, StatusCode};
use prometheus::proto::MetricFamily;
use shared::{
    http::segments,
    model::{ObjectPath, Timestamp},
};

use super::family::{Family, Kind};
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

/// One request that was answered, or one of a batch.
#[derive(Debug, Clone, Copy)]
pub struct Answered<'a> {
    /// The method.
    pub method: &'a Method,
    /// The path as sent.
    pub path: &'a str,
    /// The route's name.
    pub route: &'static str,
    /// The reply's status.
    pub status: StatusCode,
    /// The length of the reply's body, in bytes.
    pub bytes: usize,
    /// From the request to its reply.
    pub elapsed: Duration,
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
        let method = known_method(request.method);
        let head = vec![method.to_owned(), endpoint(request).to_owned()];
        let fields = &self.settings.matchdict_fields;
        // What a refused request names need not exist: it would be a series for each guess.
        let is_refused = request.status.as_u16() >= 400;
        let ids = if is_refused { Vec::new() } else { matchdict(request.path) };
        let value = |field: &String| {
            let found = ids.iter().find(|(name, _)| name == field);
            found.map_or_else(String::new, |(_, value)| value.clone())
        };
        let blank = [head.clone(), vec![String::new(); fields.len()]].concat();
        let labels = [head, fields.iter().map(value).collect()].concat();
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

/// Clients may invent methods; they do not get a series each.
fn known_method(method: &Method) -> &'static str {
    match method.as_str() {
        "GET" => "get",
        "HEAD" => "head",
        "POST" => "post",
        "PUT" => "put",
        "PATCH" => "patch",
        "DELETE" => "delete",
        "OPTIONS" => "options",
        _ => "other",
    }
}

/// The name of a route in Kinto (§7.5.4).
fn endpoint(request: &Answered<'_>) -> &'static str {
    match request.route {
        "metrics" => "prometheus_metrics",
        "history" => "history-plural",
        "gone" | "readonly" => "unnamed",
        "unknown" if !request.path.starts_with("/v1") && request.status.is_redirection() => {
            "redirect_to_version"
        }
        "unknown" if request.status != StatusCode::NOT_FOUND => "unnamed",
        known => known,
    }
}

/// The ids of a URL by the names of their labels, `id` being the addressed object's again.
fn matchdict(path: &str) -> Vec<(&'static str, String)> {
    let Ok(segments) = segments(path) else { return Vec::new() };
    let Some((_, segments)) = segments.split_first() else { return Vec::new() };
    let mut ids: Vec<_> = segments
        .chunks(2)
        .filter_map(|pair| {
            let name = match pair.first()?.as_ref() {
                "buckets" => "bucket_id",
                "groups" => "group_id",
                "collections" => "collection_id",
                "records" => "record_id",
                "accounts" => "account_id",
                "__user_data__" => "principal",
                _ => return None,
            };
            Some((name, pair.get(1)?.to_string()))
        })
        .collect();
    if segments.len() % 2 == 0
        && let Some((_, last)) = ids.last().cloned()
    {
        ids.push(("id", last));
    }
    ids
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_url_s_ids_are_labels() {
        let ids = matchdict("/v1/buckets/b/collections/c/records/r%20x");

        let expected =
            [("bucket_id", "b"), ("collection_id", "c"), ("record_id", "r x"), ("id", "r x")];
        assert_eq!(ids, expected.map(|(name, value)| (name, value.to_owned())));
        let list = matchdict("/v1/buckets/b/groups");
        assert_eq!(list, [("bucket_id", "b".to_owned())]);
        assert!(matchdict("/v1/__heartbeat__").is_empty());
    }
}
