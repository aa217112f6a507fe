//! Who can be told of changes, and how they are reached: `notifications.*`, `slack.*`, `mail.*`,
//! `webhook.*` (`remote-settings.md` §8).

use std::{collections::BTreeMap, path::PathBuf};

use base64::{Engine as _, engine::general_purpose::STANDARD};
use http::Uri;
use lettre::message::Mailbox;
use shared::config::Layers;

use super::{OutgoingSettings, Plugin, Plugins, Secret, Subtrees};
use crate::notifications::{filter, recipients};

/// All that can be told of changes.
#[derive(Debug, Clone, Default)]
pub struct Notifications {
    /// Channels, with the plug-in.
    pub slack: Option<Slack>,
    /// Mail, with the plug-in.
    pub mail: Option<Mail>,
    /// Other endpoints, by name.
    pub webhooks: BTreeMap<String, Webhook>,
    /// Domains that mail may be sent to; all, when none is named.
    pub allowed_domains: Vec<String>,
}

/// Where messages in channels are sent.
#[derive(Debug, Clone, Default)]
pub struct Slack {
    /// Where no channel has a URL of its own.
    default: Option<Secret>,
    /// By the channel's name.
    channels: BTreeMap<String, Secret>,
    /// By the channel's name as the environment spells it.
    from_environment: BTreeMap<String, Secret>,
    /// A directory where each message is left as a file, too.
    pub debug_dir: Option<PathBuf>,
}

/// How mail is sent.
#[derive(Debug, Clone)]
pub struct Mail {
    /// The server.
    pub host: String,
    /// Its port.
    pub port: u16,
    /// User and password.
    pub credentials: Option<(String, Secret)>,
    /// How the connection is protected.
    pub security: Security,
    /// From whom mail is, where a hook does not say.
    pub sender: Mailbox,
    /// Where mail is left instead of being sent.
    pub directory: Option<Directory>,
}

/// How a connection to a mail server is protected.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Security {
    /// Not at all.
    None,
    /// From STARTTLS on, which the server must offer.
    StartTls,
    /// From the beginning.
    Tls,
}

/// Where mail is left instead of being sent.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Directory {
    /// `mail.queue_path`: a Maildir, as `repoze.sendmail` queues mail.
    Queue(PathBuf),
    /// `mail.debug_mailer`: a file each in `mail/`.
    Debug(PathBuf),
}

/// An endpoint that gets signed events.
#[derive(Debug, Clone)]
pub struct Webhook {
    /// Where it is.
    pub url: Secret,
    /// The key of its signatures.
    pub key: Secret<Vec<u8>>,
    /// Whose events it gets without a hook that says so.
    pub resources: Subtrees,
    /// Which of these.
    pub filter: filter::Filter,
}

impl Notifications {
    /// Reads them all.
    pub fn read(layers: &mut Layers, plugins: &Plugins, outgoing: &OutgoingSettings) -> Self {
        let slack = Slack::read(layers, outgoing);
        let mail = Mail::read(layers);
        let allowed_domains = layers.words("notifications.allowed_domains");
        if plugins.has(Plugin::Emailer) && allowed_domains.is_empty() {
            layers.warning(
                "notifications.allowed_domains is empty: whoever may write a collection's metadata \
                 can send mail to any address",
            );
        }
        let names = layers.words("notifications.webhooks");
        let webhooks = names.into_iter().filter_map(|name| {
            let webhook = Webhook::read(layers, &name, outgoing)?;
            Some((name, webhook))
        });
        Self {
            webhooks: webhooks.collect(),
            slack: Some(slack).filter(|_| plugins.has(Plugin::Slack)),
            mail: mail.filter(|_| plugins.has(Plugin::Emailer)),
            allowed_domains,
        }
    }

    /// Whether anybody can be told of anything.
    pub fn is_on(&self) -> bool {
        self.slack.is_some() || self.mail.is_some() || !self.webhooks.is_empty()
    }
}

impl Slack {
    fn read(layers: &mut Layers, outgoing: &OutgoingSettings) -> Self {
        const START: &str = "slack.";
        const END: &str = ".webhook_url";
        let default = layers.optional("slack.webhook_url");
        let mut channels = BTreeMap::new();
        for key in layers.keys(|key| key.starts_with(START) && key.ends_with(END)) {
            let Some(name) = key.strip_prefix(START).and_then(|rest| rest.strip_suffix(END)) else {
                continue;
            };
            if let Some(url) = layers.optional(&key) {
                channels.insert(name.to_owned(), url);
            }
        }
        let from_environment = layers.from_environment("SLACK_", "_WEBHOOK_URL");
        let mut urls = default.iter().chain(channels.values()).chain(from_environment.values());
        if urls.any(|url| !is_web_url(url, outgoing)) {
            layers.problem(format!("slack.webhook_url, or a channel's: {EXPECTED}"));
        }
        let secrets = |urls: BTreeMap<String, String>| {
            urls.into_iter().map(|(name, url)| (name, Secret(url))).collect()
        };
        Self {
            default: default.map(Secret),
            channels: secrets(channels),
            from_environment: secrets(from_environment),
            debug_dir: layers.optional("slack.debug_dir").map(PathBuf::from),
        }
    }

    /// Who receives messages to a channel, and at which URL; `None` when there is no URL.
    pub fn route(&self, channel: Option<&str>) -> (String, Option<&Secret>) {
        let name = channel.unwrap_or_default().replace('#', "");
        let spelled = name.to_uppercase().replace(['-', '.'], "_");
        let own = self.from_environment.get(&spelled).or_else(|| self.channels.get(&name));
        match own {
            Some(url) => (format!("slack.{name}"), Some(url)),
            None => ("slack".to_owned(), self.default.as_ref()),
        }
    }
}

impl Mail {
    fn read(layers: &mut Layers) -> Option<Self> {
        let (tls, ssl) = (layers.flag("mail.tls"), layers.flag("mail.ssl"));
        if tls && ssl {
            layers.problem("mail.tls (STARTTLS) and mail.ssl exclude each other");
        }
        let security = match (tls, ssl) {
            (_, true) => Security::Tls,
            (true, false) => Security::StartTls,
            (false, false) => Security::None,
        };
        let password = layers.text("mail.password");
        let credentials = layers.optional("mail.username").map(|user| (user, Secret(password)));
        if credentials.is_some() && security == Security::None {
            layers.warning(
                "mail.username without mail.tls or mail.ssl: the password is sent as it is",
            );
        }
        let queue = layers.optional("mail.queue_path").map(|path| Directory::Queue(path.into()));
        let debug = layers.flag("mail.debug_mailer").then(|| Directory::Debug("mail".into()));
        let host = layers.text("mail.host");
        let port = u16::try_from(layers.number("mail.port", 1, 65_535)).unwrap_or(25);
        let sender = layers.text("mail.default_sender");
        let Some(sender) = recipients::mailbox(&sender) else {
            layers.problem(format!("mail.default_sender is `{sender}`: expected an address"));
            return None;
        };
        // What Kinto's mailer has beside these.
        for key in ["debug", "sendmail_app", "sendmail_template", "keyfile", "certfile"] {
            let key = format!("mail.{key}");
            if layers.optional(&key).is_some() {
                layers.warning(format!("{key} has no effect here"));
            }
        }
        Some(Self { host, port, credentials, security, sender, directory: debug.or(queue) })
    }
}

impl Webhook {
    fn read(layers: &mut Layers, name: &str, outgoing: &OutgoingSettings) -> Option<Self> {
        let key = |member: &str| format!("webhook.{name}.{member}");
        let url = layers.required(&key("url"), "the URL of a webhook");
        if !url.is_empty() && !is_web_url(&url, outgoing) {
            layers.problem(format!("{}: {EXPECTED}", key("url")));
        }
        let secret = layers.text(&key("secret"));
        let bytes = secret_bytes(&secret);
        if bytes.as_ref().is_none_or(|bytes| bytes.len() < 16) {
            let expected = "expected whsec_ and Base64, or another text, of at least 16 bytes";
            layers.problem(format!("{}: {expected}", key("secret")));
        }
        let mut filter = filter::Filter::default();
        for field in filter::FIELDS {
            if let Some(text) = layers.optional(&key(field))
                && let Err(why) = filter.add(field, &text)
            {
                layers.problem(format!("{}: {why}", key(field)));
            }
        }
        let resources = Subtrees::read(layers, &key("resources"));
        Some(Self { url: Secret(url), key: Secret(bytes?), resources, filter })
    }
}

/// The key that a secret stands for: `whsec_` and Base64, as Standard Webhooks writes it, or the
/// text itself.
fn secret_bytes(secret: &str) -> Option<Vec<u8>> {
    match secret.strip_prefix("whsec_") {
        Some(encoded) => STANDARD.decode(encoded).ok(),
        None => Some(secret.as_bytes().to_vec()),
    }
}

/// A URL is not shown: it may be all that is needed to call it.
pub(super) const EXPECTED: &str =
    "expected a URL with https, or of a host that outgoing.allowed_hosts names";

pub(super) fn is_web_url(text: &str, outgoing: &OutgoingSettings) -> bool {
    let Ok(uri) = text.parse::<Uri>() else { return false };
    match (uri.scheme_str(), uri.host()) {
        (Some("https"), Some(_)) => true,
        (Some("http"), Some(host)) => outgoing.trusts(host),
        _ => false,
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::config::testing::layers;

    fn read(layers: &mut Layers) -> Notifications {
        let plugins = Plugins::read(layers);
        let outgoing = OutgoingSettings::read(layers);
        Notifications::read(layers, &plugins, &outgoing)
    }

    #[test]
    fn channels_have_urls_of_their_own_from_files_and_environment() {
        let mut layers = layers(&[
            ("includes", "kinto_slack"),
            ("slack.webhook_url", "https://h/default"),
            ("slack.monitor-alerts.webhook_url", "https://h/monitor"),
        ]);
        let variable = ("KINTO_SLACK_FX_ALERTS_WEBHOOK_URL".to_owned(), "https://h/fx".to_owned());
        layers.environment([variable].into_iter());

        let slack = read(&mut layers).slack.unwrap();

        let route = |channel: Option<&str>| {
            let (target, url) = slack.route(channel);
            (target, url.unwrap().0.clone())
        };
        let expected = |target: &str, url: &str| (target.to_owned(), format!("https://h/{url}"));
        assert_eq!(route(None), expected("slack", "default"));
        assert_eq!(route(Some("#other")), expected("slack", "default"));
        assert_eq!(route(Some("#monitor-alerts")), expected("slack.monitor-alerts", "monitor"));
        assert_eq!(route(Some("fx-alerts")), expected("slack.fx-alerts", "fx"));
        layers.finish().unwrap();
        assert!(!layers.effective().iter().any(|line| line.contains("https://h")));
    }

    #[test]
    fn without_its_plug_in_nothing_is_sent() {
        let notifications = read(&mut layers(&[("slack.webhook_url", "https://h/")]));

        assert!(!notifications.is_on());
    }

    #[test]
    fn a_webhook_needs_a_url_and_a_good_secret() {
        let mut wrong = layers(&[
            ("notifications.webhooks", "a b c"),
            ("webhook.a.url", "http://h/"),
            ("webhook.a.secret", "whsec_!"),
            ("webhook.b.url", "https://h/"),
            ("webhook.b.secret", "short"),
            ("webhook.c.secret", "whsec_MDEyMzQ1Njc4OWFiY2RlZg=="),
            ("webhook.c.event", "^("),
        ]);
        read(&mut wrong);
        assert_eq!(wrong.finish().unwrap_err().lines().len(), 5);

        let mut right = layers(&[
            ("notifications.webhooks", "c"),
            ("webhook.c.url", "https://h/?token=x"),
            ("webhook.c.secret", "whsec_MDEyMzQ1Njc4OWFiY2RlZg=="),
        ]);
        let webhook = read(&mut right).webhooks["c"].clone();
        assert_eq!(webhook.key.0, b"0123456789abcdef");
        assert!(!format!("{webhook:?}").contains("token"));
        assert!(!right.effective().iter().any(|line| line.contains("token")));
    }

    #[test]
    fn mail_is_protected_in_one_way() {
        let mut both = layers(&[("mail.tls", "true"), ("mail.ssl", "true")]);
        read(&mut both);
        assert!(both.finish().is_err());

        let mut tls = layers(&[("includes", "kinto_emailer"), ("mail.tls", "true")]);
        let mail = read(&mut tls).mail.unwrap();
        assert_eq!((mail.security, mail.port), (Security::StartTls, 25));
        let mut wrong = layers(&[("mail.default_sender", "nobody")]);
        read(&mut wrong);
        assert!(wrong.finish().is_err());
    }
}
