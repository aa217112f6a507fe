//! The hooks in the metadata of a collection or a bucket: who is told of what, and in which words
//! (`remote-settings.md` §8).

use lettre::message::Mailbox;
use serde_json::{Map, Value};
use shared::error::{ApiError, Detail, Location};

use super::{
    filter::{FIELDS, Filter},
    recipients::{self, Problem, Recipient},
    template::Template,
};
use crate::{config::Notifications, python};

/// Most hooks in one attribute.
pub const MAX_HOOKS: usize = 100;

/// The attributes that hold hooks.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Attribute {
    Slack,
    Emailer,
    Webhook,
}

const ATTRIBUTES: [Attribute; 3] = [Attribute::Slack, Attribute::Emailer, Attribute::Webhook];

/// Who is told of events, and what.
#[derive(Debug, Clone)]
pub struct Hook {
    /// Of which events.
    pub filter: Filter,
    /// How.
    pub action: Action,
}

/// How somebody is told.
#[derive(Debug, Clone)]
pub enum Action {
    /// By a message in a channel.
    Slack {
        /// The channel, as `#name`; where the settings say, without one.
        channel: Option<String>,
        /// The message.
        text: Template,
    },
    /// By mail.
    Mail {
        /// Its subject.
        subject: Template,
        /// Its text.
        text: Template,
        /// From whom, where it is not the settings' sender.
        sender: Option<Mailbox>,
        /// To whom.
        recipients: Vec<Recipient>,
    },
    /// By a request to one of the settings' webhooks.
    Webhook {
        /// Its name in the settings.
        name: String,
        /// A text beside the event.
        text: Option<Template>,
    },
}

/// Checks the hooks that are about to be stored with an object of `bucket`, or that bucket itself.
///
/// # Errors
///
/// 400, with the first thing that is wrong.
pub fn check(
    settings: &Notifications,
    bucket: &str,
    metadata: &Map<String, Value>,
) -> Result<(), ApiError> {
    for attribute in ATTRIBUTES.into_iter().filter(|attribute| attribute.is_on(settings)) {
        let Some(value) = metadata.get(attribute.name()) else { continue };
        for hook in attribute.hooks(value).map_err(|text| attribute.refusal(text))? {
            attribute
                .hook(settings, bucket, hook)
                .map_err(|text| attribute.refusal(text))?
                .check_domains(settings)
                .map_err(|text| attribute.refusal(text))?;
        }
    }
    Ok(())
}

/// The hooks that count for a collection: for each attribute, the collection's or, where it has
/// none, the bucket's. What was stored before it was checked, and cannot be read, is left out.
pub fn effective(
    settings: &Notifications,
    bucket: &str,
    collection: Option<&Map<String, Value>>,
    bucket_metadata: Option<&Map<String, Value>>,
) -> Vec<Hook> {
    let mut all = Vec::new();
    for attribute in ATTRIBUTES.into_iter().filter(|attribute| attribute.is_on(settings)) {
        let of =
            |metadata: Option<&'_ Map<String, Value>>| metadata?.get(attribute.name()).cloned();
        let Some(value) = of(collection).or_else(|| of(bucket_metadata)) else { continue };
        for hook in attribute.hooks(&value).unwrap_or_default() {
            match attribute.hook(settings, bucket, hook) {
                Ok(hook) => all.push(hook),
                Err(problem) => tracing::warn!(bucket, problem, "a hook cannot be used"),
            }
        }
    }
    all
}

impl Attribute {
    const fn name(self) -> &'static str {
        match self {
            Self::Slack => "kinto-slack",
            Self::Emailer => "kinto-emailer",
            Self::Webhook => "kinto-webhook",
        }
    }

    fn is_on(self, settings: &Notifications) -> bool {
        match self {
            Self::Slack => settings.slack.is_some(),
            Self::Emailer => settings.mail.is_some(),
            Self::Webhook => !settings.webhooks.is_empty(),
        }
    }

    /// As the plug-ins refuse: kinto-emailer names no member.
    fn refusal(self, text: String) -> ApiError {
        let detail = match self {
            Self::Emailer => Detail::whole(Location::Body, text),
            Self::Slack | Self::Webhook => Detail::new(Location::Body, self.name(), text),
        };
        ApiError::Invalid(vec![detail])
    }

    /// The list of hooks in the attribute's value.
    fn hooks(self, value: &Value) -> Result<&[Value], String> {
        let hooks = match (value.get("hooks"), self) {
            (Some(Value::Array(hooks)), _) => hooks,
            (None, Self::Slack) if value.is_object() => return Ok(&[]),
            (None, _) => return Err("Missing \"hooks\".".to_owned()),
            (Some(_), _) => return Err("\"hooks\" is not a list.".to_owned()),
        };
        if hooks.len() > MAX_HOOKS {
            return Err(format!("More than {MAX_HOOKS} hooks."));
        }
        Ok(hooks)
    }

    fn hook(self, settings: &Notifications, bucket: &str, hook: &Value) -> Result<Hook, String> {
        let nothing = Map::new();
        let members = hook.as_object().unwrap_or(&nothing);
        let action = match self {
            Self::Slack => slack(members)?,
            Self::Emailer => mail(members, bucket)?,
            Self::Webhook => webhook(members, settings)?,
        };
        Ok(Hook { filter: filter(members)?, action })
    }
}

fn filter(members: &Map<String, Value>) -> Result<Filter, String> {
    let mut filter = Filter::default();
    for field in FIELDS {
        if let Some(text) = text(members, field)? {
            filter.add(field, text)?;
        }
    }
    Ok(filter)
}

/// A member that is a text, if it is there.
fn text<'m>(members: &'m Map<String, Value>, name: &str) -> Result<Option<&'m str>, String> {
    match members.get(name) {
        None => Ok(None),
        Some(Value::String(text)) => Ok(Some(text)),
        Some(_) => Err(format!("\"{name}\" is not a text.")),
    }
}

fn template(members: &Map<String, Value>, name: &str) -> Result<Option<Template>, String> {
    let Some(text) = text(members, name)? else { return Ok(None) };
    Template::parse(text).map(Some).map_err(|why| format!("Invalid \"{name}\": {why}"))
}

fn slack(members: &Map<String, Value>) -> Result<Action, String> {
    let missing = || "Hook is missing 'template'".to_owned();
    let text_of = template(members, "template")?.ok_or_else(missing)?;
    // Routes need no name at all.
    let channel = match members.get("channel") {
        Some(Value::Null) => None,
        _ => text(members, "channel")?.map(str::to_owned),
    };
    Ok(Action::Slack { channel, text: text_of })
}

fn mail(members: &Map<String, Value>, bucket: &str) -> Result<Action, String> {
    let missing = || "Missing \"template\".".to_owned();
    let body = template(members, "template")?.ok_or_else(missing)?;
    let empty = Vec::new();
    let given = members.get("recipients").and_then(Value::as_array).unwrap_or(&empty);
    if given.is_empty() {
        return Err("Empty list of recipients.".to_owned());
    }
    let (mut recipients, mut invalid, mut elsewhere) = (Vec::new(), Vec::new(), Vec::new());
    for value in given {
        let shown = python::text(value);
        match value.as_str().map_or(Err(Problem::Invalid), |text| Recipient::parse(text, bucket)) {
            Ok(recipient) => recipients.push(recipient),
            Err(Problem::Invalid) => invalid.push(shown),
            Err(Problem::OtherBucket) => elsewhere.push(shown),
        }
    }
    if !invalid.is_empty() {
        return Err(format!("Invalid recipients {}", invalid.join(", ")));
    }
    if !elsewhere.is_empty() {
        return Err(format!("Invalid bucket for groups {}", elsewhere.join(", ")));
    }
    let subject = template(members, "subject")?;
    let subject = subject.map_or_else(|| Template::parse("New message"), Ok);
    let sender = match text(members, "sender")? {
        None => None,
        Some(text) => {
            Some(recipients::mailbox(text).ok_or_else(|| format!("Invalid sender {text}"))?)
        }
    };
    let subject = subject.map_err(|why| why.to_string())?;
    Ok(Action::Mail { subject, text: body, sender, recipients })
}

fn webhook(members: &Map<String, Value>, settings: &Notifications) -> Result<Action, String> {
    let name = text(members, "webhook")?.ok_or("Missing \"webhook\".")?.to_owned();
    if !settings.webhooks.contains_key(&name) {
        return Err(format!("Unknown webhook {name}"));
    }
    Ok(Action::Webhook { name, text: template(members, "template")? })
}

impl Hook {
    /// Members of groups are looked at when mail is sent.
    fn check_domains(&self, settings: &Notifications) -> Result<(), String> {
        let Action::Mail { recipients, .. } = &self.action else { return Ok(()) };
        let outside: Vec<String> = recipients
            .iter()
            .filter_map(|recipient| match recipient {
                Recipient::Address(mailbox) => Some(mailbox),
                Recipient::Group(_) => None,
            })
            .filter(|mailbox| !recipients::is_allowed(mailbox, &settings.allowed_domains))
            .map(|mailbox| mailbox.email.to_string())
            .collect();
        if outside.is_empty() {
            return Ok(());
        }
        Err(format!("Mail cannot be sent to the domains of {}", outside.join(", ")))
    }
}
