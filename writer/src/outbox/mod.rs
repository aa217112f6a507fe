//! What leaves the service after a commit: entries are written with the change that they follow
//! from (`notifications`), and delivered here, at least once, by any writer.
//!
//! Each receiver has a lane of its own, in which one entry follows the other: one that hangs delays
//! its own only. A writer that dies leaves its entries to the others, when their lease ends.

mod deliver;
mod lanes;
mod mail;
mod purge;
mod slack;
mod webhook;

use std::{fmt, sync::Arc, time::Duration};

pub use lanes::run;
use serde_json::Value;
use tokio::{sync::Notify, time::sleep};

use crate::{config::Config, outgoing::Outgoing, store::outbox::Entry};

/// What can be done with an entry. A writer leaves kinds alone that it does not know: they are
/// those of newer writers.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Kind {
    /// A mail.
    Mail,
    /// A message in a channel.
    Slack,
    /// An event for a webhook.
    Webhook,
    /// What a cache is to forget.
    Purge,
}

impl Kind {
    /// All of them.
    pub const ALL: [Self; 4] = [Self::Mail, Self::Slack, Self::Webhook, Self::Purge];

    /// Its name in the database and in metrics.
    pub const fn name(self) -> &'static str {
        match self {
            Self::Mail => "mail",
            Self::Slack => "slack",
            Self::Webhook => "webhook",
            Self::Purge => "purge",
        }
    }

    /// An entry of this kind.
    pub fn entry(self, target: impl Into<String>, payload: Value) -> Entry {
        Entry { kind: self.name(), target: target.into(), payload, delay: Duration::ZERO }
    }
}

/// The way out of one process.
#[derive(Debug)]
pub struct Outbox {
    wake: Arc<Notify>,
    outgoing: Outgoing,
    mailer: Option<mail::Mailer>,
}

impl Outbox {
    /// Prepares the ways that the settings know; calls nobody yet.
    ///
    /// # Errors
    ///
    /// What of the mail settings cannot be used.
    pub fn new(config: &Config) -> Result<Self, String> {
        let mailer = config.notifications.mail.as_ref();
        let timeout = config.outbox.timeout;
        Ok(Self {
            wake: Arc::default(),
            outgoing: Outgoing::new(&config.outgoing),
            mailer: mailer.map(|mail| mail::Mailer::new(mail, timeout)).transpose()?,
        })
    }

    /// Says that there is something to deliver.
    pub fn wake(&self) {
        self.wake.notify_one();
    }

    /// Says that there will be something to deliver.
    pub fn wake_after(&self, delay: Duration) {
        // The database's clock decides what is due: it may be a moment behind.
        const MARGIN: Duration = Duration::from_millis(10);

        let wake = self.wake.clone();
        tokio::spawn(async move {
            sleep(delay + MARGIN).await;
            wake.notify_one();
        });
    }

    async fn woken(&self) {
        self.wake.notified().await;
    }
}

/// Why an attempt failed.
#[derive(Debug, Clone, PartialEq)]
struct Failure {
    /// For operators. No secrets: neither URLs nor passwords.
    text: String,
    remedy: Remedy,
}

/// What may help.
#[derive(Debug, Clone, PartialEq)]
enum Remedy {
    /// Another try, later.
    Retry,
    /// Another try, not before this time.
    RetryAfter(Duration),
    /// Nothing but another entry.
    None,
    /// These payloads, each on its own.
    Split(Vec<Value>),
}

impl Failure {
    fn new(text: impl fmt::Display) -> Self {
        Self { text: text.to_string(), remedy: Remedy::Retry }
    }

    fn permanent(text: impl fmt::Display) -> Self {
        Self { text: text.to_string(), remedy: Remedy::None }
    }
}
