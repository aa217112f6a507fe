//! When the certificates of chains in use end, told before they do: in metrics, heartbeats, logs.

use std::{
    collections::{BTreeMap, btree_map::Entry},
    sync::Mutex,
    time::Duration,
};

use prometheus::{GaugeVec, Opts, Registry};
use serde_json::{Value, json};

use crate::{
    chain::{Chain, Role},
    config::CertificateWarnings,
    model::Timestamp,
    telemetry::PREFIX,
};

/// How often what is due is logged.
const REMINDER: Duration = Duration::from_hours(1);

/// The ends of the chains in use: for each name of an end entity, the earliest of each role.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct Ends(BTreeMap<String, [Timestamp; 3]>);

impl Ends {
    /// Takes a chain into account.
    pub fn add(&mut self, chain: &Chain) {
        let ends = Role::ALL.map(|role| chain.validity(role).1);
        match self.0.entry(chain.host().unwrap_or_default()) {
            Entry::Vacant(entry) => {
                entry.insert(ends);
            }
            Entry::Occupied(mut entry) => {
                for (known, new) in entry.get_mut().iter_mut().zip(ends) {
                    *known = new.min(*known);
                }
            }
        }
    }

    /// Whether no chain is in use.
    pub fn is_empty(&self) -> bool {
        self.0.is_empty()
    }

    /// As heartbeats show them: seconds left, and whether somebody must act.
    pub fn to_json(&self, rules: CertificateWarnings, now: Timestamp) -> Value {
        let of = |(host, ends): (&String, &[Timestamp; 3])| {
            let [leaf, intermediate, root] = ends.map(|end| seconds(now, end));
            json!({
                "host": host,
                "leaf_seconds": leaf,
                "intermediate_seconds": intermediate,
                "root_seconds": root,
                "warning": Role::ALL.into_iter().zip(ends).any(|(role, end)| {
                    rules.is_due(role, *end, now)
                }),
            })
        };
        self.0.iter().map(of).collect()
    }

    /// What ends soon, or has ended: host, role, seconds left.
    pub fn due(
        &self,
        rules: CertificateWarnings,
        now: Timestamp,
    ) -> impl Iterator<Item = (&str, Role, i64)> {
        self.0.iter().flat_map(move |(host, ends)| {
            Role::ALL
                .into_iter()
                .zip(ends)
                .filter(move |(role, end)| rules.is_due(*role, **end, now))
                .map(move |(role, end)| (host.as_str(), role, seconds(now, *end)))
        })
    }
}

const fn seconds(now: Timestamp, end: Timestamp) -> i64 {
    (end.as_millis() - now.as_millis()) / 1_000
}

/// Tells of ends, in metrics and logs.
#[derive(Debug)]
pub struct Watch {
    gauges: GaugeVec,
    logged: Mutex<Option<Timestamp>>,
}

impl Watch {
    /// Registers `countersign_certificate_expiry_seconds`.
    ///
    /// # Errors
    ///
    /// When the registry has it already.
    pub fn new(registry: &Registry) -> Result<Self, prometheus::Error> {
        let gauges = GaugeVec::new(
            Opts::new(
                format!("{PREFIX}_certificate_expiry_seconds"),
                "Time until a certificate behind the signatures in use ends.",
            ),
            &["host", "certificate"],
        )?;
        registry.register(Box::new(gauges.clone()))?;
        Ok(Self { gauges, logged: Mutex::default() })
    }

    /// Updates the metric: chains that are not in use any more are forgotten.
    #[expect(clippy::cast_precision_loss, reason = "gauges are floats; 2^53 is enough")]
    pub fn measure(&self, ends: &Ends, now: Timestamp) {
        self.gauges.reset();
        for (host, ends) in &ends.0 {
            for (role, end) in Role::ALL.into_iter().zip(ends) {
                let gauge = self.gauges.with_label_values(&[host.as_str(), role.name()]);
                gauge.set(seconds(now, *end) as f64);
            }
        }
    }

    /// Logs what ends soon, once an hour.
    pub fn remind(&self, ends: &Ends, rules: CertificateWarnings, now: Timestamp) {
        let Ok(mut logged) = self.logged.lock() else { return };
        let reminder = i64::try_from(REMINDER.as_millis()).unwrap_or(i64::MAX);
        if logged.is_some_and(|at| now < at.plus_millis(reminder)) {
            return;
        }
        for (host, role, seconds) in ends.due(rules, now) {
            let days = seconds / 86_400;
            if seconds < 0 {
                tracing::error!(host, certificate = role.name(), days, "a certificate has ended");
            } else {
                tracing::warn!(host, certificate = role.name(), days, "a certificate ends soon");
            }
            *logged = Some(now);
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::config::Layers;

    const DAY: i64 = 86_400_000;

    fn rules() -> CertificateWarnings {
        let text = "[certificates]\nleaf_warning_days = 20\nauthority_warning_days = 180\n";
        CertificateWarnings::read(&mut Layers::new(text))
    }

    fn good() -> (Chain, Timestamp) {
        let path = concat!(env!("CARGO_MANIFEST_DIR"), "/tests/vectors/signatures.json");
        let vectors: Value = serde_json::from_slice(&std::fs::read(path).unwrap()).unwrap();
        let chain = Chain::parse(vectors["chains"][0]["chain_pem"].as_str().unwrap().as_bytes());
        let chain = chain.unwrap();
        let end = chain.validity(Role::Leaf).1;
        (chain, end)
    }

    #[test]
    fn what_ends_within_its_days_is_due() {
        let (chain, end) = good();
        let mut ends = Ends::default();
        assert!(ends.is_empty());
        ends.add(&chain);
        ends.add(&chain);

        assert_eq!(ends.due(rules(), end.plus_millis(-21 * DAY)).count(), 0);
        let due: Vec<_> = ends.due(rules(), end.plus_millis(-20 * DAY)).collect();
        assert_eq!(
            due,
            [("remote-settings.content-signature.mozilla.org", Role::Leaf, 20 * 86_400)]
        );
        let shown = ends.to_json(rules(), end.plus_millis(DAY));
        assert_eq!(shown[0]["leaf_seconds"], -86_400);
        assert_eq!(shown[0]["warning"], true);
        assert_eq!(ends.to_json(rules(), Timestamp::ZERO)[0]["warning"], false);
    }

    #[test]
    fn the_metric_forgets_what_is_not_used_any_more() {
        let registry = Registry::new();
        let watch = Watch::new(&registry).unwrap();
        let (chain, end) = good();
        let mut ends = Ends::default();
        ends.add(&chain);

        watch.measure(&ends, end.plus_millis(-DAY));

        let text = String::from_utf8(crate::telemetry::render(&registry.gather())).unwrap();
        let line = "countersign_certificate_expiry_seconds{certificate=\"leaf\",\
                    host=\"remote-settings.content-signature.mozilla.org\"} 86400";
        assert!(text.contains(line), "{text}");
        watch.measure(&Ends::default(), end);
        assert!(registry.gather().is_empty());
    }
}
