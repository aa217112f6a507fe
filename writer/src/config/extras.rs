//! Settings of the smaller parts: the permissions endpoint, the default bucket, flushing, counting
//! and erasing, Kinto's metrics.

use std::{collections::BTreeSet, path::Path, sync::Arc};

use shared::{config::Layers, telemetry};

use super::{Plugin, Plugins, Secret, Statsd};
use crate::admin::Console;

/// Settings of the smaller parts.
#[derive(Debug, Clone)]
pub struct Extras {
    /// Whether `/permissions` exists: `experimental_permissions_endpoint`, or the admin plug-in.
    pub permissions_endpoint: bool,
    /// Who may ask what they may do: `permissions_read_principals`.
    pub permissions_readers: Vec<String>,
    /// Who may erase what a principal owns: `user-data_delete_principals`.
    pub user_data_deleters: Vec<String>,
    /// Key of the ids of default buckets.
    pub default_bucket_secret: Secret,
    /// The pages of the admin plug-in, where that is switched on.
    pub console: Option<Arc<Console>>,
    /// Kinto's metrics, where the plug-in is switched on.
    pub prometheus: Option<Prometheus>,
    /// Where Kinto's metrics are sent, where that plug-in is switched on.
    pub statsd: Option<Statsd>,
}

/// Names, labels and buckets of Kinto's metrics (`kinto-http-api.md` §7.5).
#[derive(Debug, Clone, PartialEq)]
pub struct Prometheus {
    /// What every name begins with: `kinto_`.
    pub prefix: String,
    /// `prometheus_disabled_metrics` as given, for the hello view.
    pub disabled_as_given: Vec<String>,
    /// The same, without the prefix.
    pub disabled: BTreeSet<String>,
    /// Upper bounds of histograms, in seconds, ascending, the infinite one left out.
    pub buckets: Vec<f64>,
    /// Whether each series has one that tells when it began.
    pub created: bool,
    /// Which ids of the URL are labels: `bucket_id`, `record_id`.
    pub matchdict_fields: Vec<String>,
}

impl Extras {
    /// Reads the settings.
    pub fn read(layers: &mut Layers, plugins: &Plugins) -> Self {
        let endpoint = layers.flag("experimental_permissions_endpoint");
        let default_bucket_secret = Secret(layers.text("default_bucket_hmac_secret"));
        if plugins.has(Plugin::DefaultBucket) && default_bucket_secret.0.is_empty() {
            layers.warning(
                "default_bucket_hmac_secret is empty: whoever knows a user's id can tell the id \
                 of the user's bucket",
            );
        }
        if plugins.has(Plugin::Flush) {
            layers.warning(
                "includes: kinto.plugins.flush lets everybody erase everything, without a \
                 password: for tests only",
            );
        }
        let prometheus = Prometheus::read(layers);
        Self {
            permissions_endpoint: endpoint || plugins.has(Plugin::Admin),
            permissions_readers: layers.words("permissions_read_principals"),
            user_data_deleters: layers.words("user-data_delete_principals"),
            default_bucket_secret,
            console: console(layers, plugins),
            prometheus: prometheus.filter(|_| plugins.has(Plugin::Prometheus)),
            statsd: Statsd::read(layers, plugins),
        }
    }
}

impl Prometheus {
    fn read(layers: &mut Layers) -> Option<Self> {
        let given = layers.optional("prometheus_prefix");
        let prefix = prefix(&given.unwrap_or_else(|| metrics_project(layers)));
        if prefix == format!("{}_", telemetry::PREFIX) {
            let text = "is what this service's own metrics begin with";
            layers.problem(format!("prometheus_prefix: `{}` {text}", telemetry::PREFIX));
        }
        let disabled = layers.words("prometheus_disabled_metrics");
        let texts = layers.words("prometheus_histogram_buckets");
        let buckets = buckets(&texts);
        if buckets.is_none() {
            let expected = "expected ascending numbers of seconds";
            let shown = texts.join(" ");
            layers.problem(format!("prometheus_histogram_buckets is `{shown}`: {expected}"));
        }
        Some(Self {
            disabled: disabled.iter().map(|name| name.replace(&prefix, "")).collect(),
            prefix,
            disabled_as_given: disabled,
            buckets: buckets?,
            created: layers.flag("prometheus_created_metrics_enabled"),
            matchdict_fields: layers.words("metrics_matchdict_fields"),
        })
    }
}

/// What `admin_assets_path` names, which nobody asks for without the plug-in.
fn console(layers: &mut Layers, plugins: &Plugins) -> Option<Arc<Console>> {
    let key = "admin_assets_path";
    let path = layers.optional(key);
    if !plugins.has(Plugin::Admin) {
        return None;
    }
    let Some(path) = path else { return Some(Arc::new(Console::none())) };
    match Console::read(Path::new(&path)) {
        Ok(console) => Some(Arc::new(console)),
        Err(error) => {
            layers.problem(format!("{key}: {path}: {error}"));
            None
        }
    }
}

/// What Kinto's metrics begin with: the project's name, or Kinto's own where that is our default, with
/// which our own metrics begin.
pub(super) fn metrics_project(layers: &mut Layers) -> String {
    let project = layers.text("project_name");
    if project == telemetry::PREFIX { "kinto".to_owned() } else { project }
}

/// `remote-settings` becomes `remotesettings_` (§7.5.2).
fn prefix(name: &str) -> String {
    let kept: String = name.chars().filter(|c| !matches!(c, '-' | '.' | ' ' | '_')).collect();
    format!("{}_", kept.to_lowercase())
}

fn buckets(texts: &[String]) -> Option<Vec<f64>> {
    let parsed: Result<Vec<f64>, _> = texts.iter().map(|text| text.parse()).collect();
    let mut bounds = parsed.ok()?;
    if bounds.last() == Some(&f64::INFINITY) {
        bounds.pop();
    }
    let ascending = bounds.windows(2).all(|pair| pair[0] < pair[1]);
    (ascending && !bounds.is_empty() && bounds.iter().all(|bound| bound.is_finite()))
        .then_some(bounds)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_prefix_is_one_word() {
        assert_eq!(prefix("remote-settings"), "remotesettings_");
        assert_eq!(prefix("kinto_"), "kinto_");
        assert_eq!(prefix("My Project.x"), "myprojectx_");
    }

    #[test]
    fn histogram_buckets_ascend() {
        let words = |text: &str| text.split(' ').map(str::to_owned).collect::<Vec<_>>();

        assert_eq!(buckets(&words("0.01 0.5 Inf")), Some(vec![0.01, 0.5]));
        assert_eq!(buckets(&words("1 3")), Some(vec![1.0, 3.0]));
        for wrong in ["3 1", "Inf", "x", "1 Inf 2", "NaN", "1 1"] {
            assert_eq!(buckets(&words(wrong)), None, "{wrong}");
        }
    }
}
