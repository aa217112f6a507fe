//! `includes`: which of Kinto's plug-ins are switched on (`kinto-http-api.md` §7).

use std::collections::BTreeSet;

use shared::config::Layers;

/// A plug-in of Kinto's. Each is a part of this binary that is there or not.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord)]
pub enum Plugin {
    /// Users with passwords (§5.3).
    Accounts,
    /// The admin console (§7.7), and with it the permissions endpoint.
    Admin,
    /// Files of records.
    Attachments,
    /// `monitor/changes`, and changesets.
    Changes,
    /// `/__counters__` (§7.3).
    Counters,
    /// A bucket of each user's own (§7.1).
    DefaultBucket,
    /// Mail about changes (`remote-settings.md` §8.2).
    Emailer,
    /// `/__flush__` (§7.3), for tests.
    Flush,
    /// What was changed by whom (§7.2).
    History,
    /// OpenID Connect (§5.4).
    OpenId,
    /// Metrics for Prometheus (§7.5).
    Prometheus,
    /// Limits of what a bucket or collection holds (§7.4).
    Quotas,
    /// Review and signatures.
    Signer,
    /// Messages in channels about changes (`remote-settings.md` §8.1).
    Slack,
    /// Metrics for StatsD (§7.6).
    Statsd,
}

/// The plug-ins that are switched on. Their order means nothing here.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct Plugins(BTreeSet<Plugin>);

/// The names that Kinto knows, Remote Settings' former ones among them.
const NAMES: [(&str, &[Plugin]); 20] = [
    ("kinto.plugins.accounts", &[Plugin::Accounts]),
    ("kinto.plugins.admin", &[Plugin::Admin]),
    ("kinto.plugins.counters", &[Plugin::Counters]),
    ("kinto.plugins.default_bucket", &[Plugin::DefaultBucket]),
    ("kinto.plugins.flush", &[Plugin::Flush]),
    ("kinto.plugins.history", &[Plugin::History]),
    ("kinto.plugins.openid", &[Plugin::OpenId]),
    ("kinto.plugins.prometheus", &[Plugin::Prometheus]),
    ("kinto.plugins.quotas", &[Plugin::Quotas]),
    ("kinto.plugins.statsd", &[Plugin::Statsd]),
    ("kinto_accounts", &[Plugin::Accounts]),
    ("kinto_admin", &[Plugin::Admin]),
    ("kinto_attachment", &[Plugin::Attachments]),
    ("kinto_changes", &[Plugin::Changes]),
    ("kinto_emailer", &[Plugin::Emailer]),
    ("kinto_remote_settings", &[Plugin::Changes, Plugin::Signer]),
    ("kinto_remote_settings.changes", &[Plugin::Changes]),
    ("kinto_remote_settings.signer", &[Plugin::Signer]),
    ("kinto_signer", &[Plugin::Signer]),
    ("kinto_slack", &[Plugin::Slack]),
];

/// Plug-ins that are known, and do nothing or not all yet.
const NOT_YET: [(Plugin, &str); 1] = [(Plugin::Attachments, "attachments")];

impl Plugins {
    /// Reads `includes`. A name that is not known is warned about: what it would add is missed,
    /// and the rest is served.
    pub fn read(layers: &mut Layers) -> Self {
        let words = layers.words("includes");
        let (plugins, unknown) = Self::parse(&words);
        for (plugin, what) in NOT_YET {
            if plugins.has(plugin) {
                layers.warning(format!("includes: {what} are not there yet"));
            }
        }
        for name in unknown {
            layers.warning(format!("includes: `{name}` is not a plug-in of this service"));
        }
        plugins
    }

    fn parse(words: &[String]) -> (Self, Vec<&str>) {
        let mut plugins = BTreeSet::new();
        let mut unknown = Vec::new();
        for word in words {
            match NAMES.iter().find(|(name, _)| name == word) {
                Some((_, found)) => plugins.extend(*found),
                None => unknown.push(word.as_str()),
            }
        }
        (Self(plugins), unknown)
    }

    /// Whether the plug-in is switched on.
    pub fn has(&self, plugin: Plugin) -> bool {
        self.0.contains(&plugin)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn kinto_s_names_switch_our_parts_on() {
        let words = ["kinto.plugins.history", "kinto_remote_settings", "kinto_lightshow"]
            .map(str::to_owned);

        let (plugins, unknown) = Plugins::parse(&words);

        assert!(plugins.has(Plugin::History));
        assert!(plugins.has(Plugin::Signer) && plugins.has(Plugin::Changes));
        assert!(!plugins.has(Plugin::Accounts));
        assert_eq!(unknown, ["kinto_lightshow"]);
    }

    #[test]
    fn each_name_is_there_once() {
        assert!(NAMES.windows(2).all(|pair| pair[0].0 < pair[1].0), "sorted, without duplicates");
    }
}
