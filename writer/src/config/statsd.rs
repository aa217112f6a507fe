//! Where Kinto's metrics are sent (`kinto-http-api.md` §7.6).

use shared::config::Layers;
use url::Url;

use super::{Plugin, Plugins, extras::metrics_project};

/// A server of StatsD's, and the names that it gets.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Statsd {
    /// Its name or address.
    pub host: String,
    /// Its port for UDP.
    pub port: u16,
    /// What every name begins with: the project's name.
    pub prefix: String,
    /// Which ids of the URL are in the names: `bucket_id`, `record_id`.
    pub matchdict_fields: Vec<String>,
}

const KEY: &str = "statsd_url";
const USUAL_PORT: u16 = 8_125;

impl Statsd {
    /// Reads `statsd_*`; `None` where the plug-in is not switched on.
    pub fn read(layers: &mut Layers, plugins: &Plugins) -> Option<Self> {
        let url = layers.optional(KEY);
        check_the_others(layers);
        if !plugins.has(Plugin::Statsd) {
            if url.is_some() {
                layers.warning(format!("{KEY}: `includes` lacks kinto.plugins.statsd"));
            }
            return None;
        }
        let expected = "expected udp://HOST:PORT";
        let Some(url) = url else {
            layers
                .problem(format!("{KEY} is missing, which kinto.plugins.statsd needs: {expected}"));
            return None;
        };
        let parsed = Url::parse(&url).ok().filter(|parsed| parsed.scheme() == "udp");
        let Some((host, port)) =
            parsed.as_ref().and_then(|url| Some((url.host_str()?, url.port())))
        else {
            layers.problem(format!("{KEY} is `{url}`: {expected}"));
            return None;
        };
        Some(Self {
            host: host.trim_matches(['[', ']']).to_owned(),
            port: port.unwrap_or(USUAL_PORT),
            prefix: metrics_project(layers),
            matchdict_fields: layers.words("metrics_matchdict_fields"),
        })
    }
}

/// Settings that change nothing here, or nothing any more in Kinto.
fn check_the_others(layers: &mut Layers) {
    if layers.optional("statsd_prefix").is_some() {
        layers.warning("statsd_prefix has no effect: names begin with project_name, as in Kinto");
    }
    let backend = layers.optional("statsd_backend");
    let ours = ["kinto.core.statsd", "kinto.plugins.statsd"];
    if let Some(backend) = backend.filter(|backend| !ours.contains(&backend.as_str())) {
        layers.problem(format!("statsd_backend is `{backend}`: only Kinto's own is there"));
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn read(settings: &[(&str, &str)]) -> (Option<Statsd>, Layers) {
        let defaults = "project_name = \"countersign\"\nincludes = \"kinto.plugins.statsd\"\n\
                        metrics_matchdict_fields = \"bucket_id\"";
        let mut layers = Layers::new(defaults);
        for (key, value) in settings {
            layers.set(key, *value);
        }
        let plugins = Plugins::read(&mut layers);
        (Statsd::read(&mut layers, &plugins), layers)
    }

    #[test]
    fn a_server_has_a_host_and_perhaps_a_port() {
        let server = |host: &str, port, prefix: &str| {
            let (host, prefix) = (host.to_owned(), prefix.to_owned());
            Some(Statsd { host, port, prefix, matchdict_fields: vec!["bucket_id".to_owned()] })
        };
        let url = |url| read(&[("statsd_url", url)]).0;

        assert_eq!(url("udp://stats.example.com:1"), server("stats.example.com", 1, "kinto"));
        assert_eq!(url("udp://[::1]"), server("::1", 8_125, "kinto"));
        let named = read(&[("statsd_url", "udp://h:2"), ("project_name", "remote-settings")]).0;
        assert_eq!(named, server("h", 2, "remote-settings"));
    }

    #[test]
    fn what_cannot_be_sent_is_told_before_the_start() {
        for (settings, problem) in [
            (&[][..], "statsd_url is missing"),
            (&[("statsd_url", "http://h:1")], "statsd_url is `http://h:1`"),
            (&[("statsd_url", "h")], "statsd_url is `h`"),
            (&[("statsd_url", "udp://h"), ("statsd_backend", "my.module")], "statsd_backend"),
        ] {
            let problems = read(settings).1.finish().unwrap_err();
            assert!(problems.to_string().contains(problem), "{problems}");
        }
    }

    #[test]
    fn settings_without_effect_are_told() {
        for (settings, warning) in [
            (&[("includes", ""), ("statsd_url", "udp://h:1")], "lacks kinto.plugins.statsd"),
            (&[("statsd_prefix", "x"), ("statsd_url", "udp://h:1")], "statsd_prefix"),
        ] {
            let warnings = read(settings).1.warnings().to_vec();
            assert!(warnings.iter().any(|line| line.contains(warning)), "{warnings:?}");
        }
    }
}
