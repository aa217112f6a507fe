//! Who is told of what was changed: the hooks of collections and buckets, and the webhooks of the
//! settings, become entries of the outbox in the transaction of the change
//! (`remote-settings.md` §8).
//!
//! Where nobody can be told of anything, nothing is done. Else a write looks at the metadata of its
//! bucket, too, in the statement that looks up its collection.

pub mod event;
pub mod filter;
pub mod hooks;
pub mod recipients;
pub mod template;

use std::{collections::HashMap, sync::Arc};

use http::header;
use lettre::message::Mailbox;
use serde_json::{Map, Value, json};
use shared::{
    error::ApiError,
    model::{ListPath, ObjectPath},
};

use self::{
    event::{Asked, Event, Project},
    hooks::{Action, Hook},
    recipients::Recipient,
};
use crate::{
    app::App,
    config::Webhook,
    context::{Change, Ctx},
    operations::Operation,
    outbox::Kind,
    service,
    signoff::events::ReviewEvent,
    store::outbox::Entry,
};

/// Most messages of one transaction; the others are dropped, and it is told in the log.
const MAX_MESSAGES: usize = 10_000;
/// Most bytes of one transaction's messages, likewise.
const MAX_BYTES: usize = 64 << 20;
/// Most recipients of one mail; more get several.
const MAX_RECIPIENTS: usize = 100;

/// Checks the hooks that are about to be stored.
///
/// # Errors
///
/// 400, with the first thing that is wrong.
pub fn check(app: &App, path: &ObjectPath, data: &Map<String, Value>) -> Result<(), ApiError> {
    match path.list {
        ListPath::Buckets | ListPath::Collections(_) => {
            hooks::check(&app.config.notifications, path.bucket_id(), data)
        }
        ListPath::Groups(_) | ListPath::Records(..) | ListPath::Accounts | ListPath::History(_) => {
            Ok(())
        }
    }
}

/// The objects whose metadata decides who is told of an operation's changes.
pub fn looks_at(app: &App, operation: &Operation) -> impl Iterator<Item = ObjectPath> {
    let is_told = match operation.list {
        ListPath::Records(..) | ListPath::Collections(_) => app.config.notifications.is_on(),
        ListPath::Buckets | ListPath::Groups(_) | ListPath::Accounts | ListPath::History(_) => {
            false
        }
    };
    let parent = operation.list.parent().filter(|_| is_told);
    parent.into_iter().flat_map(|path| path.ancestors().collect::<Vec<_>>())
}

/// Whether anybody may be told when the object, or what is in it, changes: what sign-off writes
/// need not be noted otherwise.
///
/// # Errors
///
/// [`ApiError::Backend`] when PostgreSQL is away.
pub async fn watch(ctx: &mut Ctx<'_>, path: &ObjectPath) -> Result<bool, ApiError> {
    let settings = &ctx.app.config.notifications;
    let Some(collection) = collection_of(path).filter(|_| settings.is_on()) else {
        return Ok(false);
    };
    if settings.webhooks.values().any(|webhook| webhook.resources.touch(path)) {
        return Ok(true);
    }
    Ok(!read_hooks(ctx, &collection, &[]).await?.is_empty())
}

/// Puts into the outbox what is told of the changes and reviews of the transaction; whether there
/// is anything.
///
/// # Errors
///
/// [`ApiError::Backend`] when PostgreSQL is away.
pub async fn append(ctx: &mut Ctx<'_>) -> Result<bool, ApiError> {
    if !ctx.app.config.notifications.is_on() {
        return Ok(false);
    }
    let changes = std::mem::take(&mut ctx.changes);
    let reviews = std::mem::take(&mut ctx.review_events);
    let told = tell_all(ctx, &changes, &reviews).await;
    (ctx.changes, ctx.review_events) = (changes, reviews);
    let told = told?;
    if told.dropped > 0 {
        tracing::warn!(dropped = told.dropped, "too many messages about one request");
    }
    let any = !told.entries.is_empty();
    ctx.post(told.entries);
    Ok(any)
}

async fn tell_all(
    ctx: &mut Ctx<'_>,
    changes: &[Change],
    reviews: &[ReviewEvent],
) -> Result<Told, ApiError> {
    let mut told = Told::default();
    for (place, change) in changes.iter().enumerate() {
        told.tell(ctx, Happened::Change(change), place, changes).await?;
    }
    for review in reviews {
        let is_its = |change: &Change| {
            change.path == review.triple.source && change.timestamp == review.timestamp
        };
        let place = changes.iter().position(is_its).unwrap_or_default();
        told.tell(ctx, Happened::Review(review), place, changes).await?;
    }
    Ok(told)
}

/// What somebody may want to know.
#[derive(Clone, Copy)]
enum Happened<'a> {
    Change(&'a Change),
    Review(&'a ReviewEvent),
}

impl<'a> Happened<'a> {
    const fn path(self) -> &'a ObjectPath {
        match self {
            Self::Change(change) => &change.path,
            Self::Review(review) => &review.triple.source,
        }
    }

    fn event(self) -> Option<Event> {
        match self {
            Self::Change(change) => Event::of_change(change),
            Self::Review(review) => Event::of_review(review),
        }
    }
}

/// The collection that an object is, or is in.
fn collection_of(path: &ObjectPath) -> Option<ObjectPath> {
    match &path.list {
        ListPath::Collections(_) => Some(path.clone()),
        ListPath::Records(..) => path.list.parent(),
        ListPath::Buckets | ListPath::Groups(_) | ListPath::Accounts | ListPath::History(_) => None,
    }
}

/// The hooks of a collection: as it is, or as it was before it was deleted.
async fn read_hooks(
    ctx: &mut Ctx<'_>,
    collection: &ObjectPath,
    changes: &[Change],
) -> Result<Vec<Hook>, ApiError> {
    let own = metadata(ctx, collection, changes).await?;
    let bucket = match collection.list.parent() {
        Some(bucket) => metadata(ctx, &bucket, changes).await?,
        None => None,
    };
    let settings = &ctx.app.config.notifications;
    Ok(hooks::effective(settings, collection.bucket_id(), own.as_ref(), bucket.as_ref()))
}

async fn metadata(
    ctx: &mut Ctx<'_>,
    path: &ObjectPath,
    changes: &[Change],
) -> Result<Option<Map<String, Value>>, ApiError> {
    let live = ctx.object(path).await?;
    let deleted = || changes.iter().rev().find(|change| change.path == *path)?.old.clone();
    Ok(live.or_else(deleted).map(|object| object.data))
}

/// What a transaction puts into the outbox.
#[derive(Default)]
struct Told {
    hooks: HashMap<ObjectPath, Arc<Vec<Hook>>>,
    entries: Vec<Entry>,
    bytes: usize,
    dropped: usize,
}

impl Told {
    /// Tells all who want to know of one event, which comes with the change at `place`.
    async fn tell(
        &mut self,
        ctx: &mut Ctx<'_>,
        happened: Happened<'_>,
        place: usize,
        changes: &[Change],
    ) -> Result<(), ApiError> {
        let path = happened.path();
        let hooks = self.hooks_of(ctx, path, changes).await?;
        let webhooks = &ctx.app.config.notifications.webhooks;
        let subscribed: Vec<(&String, &Webhook)> =
            webhooks.iter().filter(|(_, webhook)| webhook.resources.contain(path)).collect();
        if hooks.is_empty() && subscribed.is_empty() {
            return Ok(());
        }
        let Some(event) = happened.event() else { return Ok(()) };
        for (name, webhook) in subscribed {
            if webhook.filter.accepts(|field| event.values(field)) {
                self.add(Kind::Webhook.entry(format!("webhook.{name}"), event.body(ctx.now, None)));
            }
        }
        let wanted: Vec<&Hook> = hooks.iter().filter(|hook| wants(hook, &event)).collect();
        if wanted.is_empty() {
            return Ok(());
        }
        let context = context(ctx, &event, place);
        for hook in wanted {
            for entry in entries(ctx, hook, &event, &context).await? {
                self.add(entry);
            }
        }
        Ok(())
    }

    async fn hooks_of(
        &mut self,
        ctx: &mut Ctx<'_>,
        path: &ObjectPath,
        changes: &[Change],
    ) -> Result<Arc<Vec<Hook>>, ApiError> {
        let Some(collection) = collection_of(path) else { return Ok(Arc::default()) };
        if let Some(known) = self.hooks.get(&collection) {
            return Ok(known.clone());
        }
        let found = Arc::new(read_hooks(ctx, &collection, changes).await?);
        self.hooks.insert(collection, found.clone());
        Ok(found)
    }

    fn add(&mut self, entry: Entry) {
        if self.entries.len() < MAX_MESSAGES && self.bytes < MAX_BYTES {
            self.bytes += entry.payload.to_string().len();
            self.entries.push(entry);
        } else {
            self.dropped += 1;
        }
    }
}

/// A withdrawn request is told to those only who ask for it by its name (§8.1).
fn wants(hook: &Hook, event: &Event) -> bool {
    (hook.filter.names_event() || !event.is_cancellation())
        && hook.filter.accepts(|field| event.values(field))
}

/// What placeholders stand for.
fn context(ctx: &Ctx<'_>, event: &Event, place: usize) -> Map<String, Value> {
    let project = &ctx.app.config.service.project;
    let asked = ctx.request_of(place).map(|request| {
        let text = |name: header::HeaderName| {
            let value = request.headers.get(name).and_then(|value| value.to_str().ok());
            value.unwrap_or_default()
        };
        let forwarded = text(header::HeaderName::from_static("x-forwarded-for"));
        let first = forwarded.split(',').next().unwrap_or_default().trim();
        Asked {
            root_url: format!("{}/v1/", service::origin(ctx.app, &request.headers)),
            client: first.parse().ok().or(request.client),
            user_agent: text(header::USER_AGENT).to_owned(),
        }
    });
    let project = Project { name: &project.name, version: &project.version };
    event.context(&asked.unwrap_or_default(), project)
}

/// What a hook makes of an event.
async fn entries(
    ctx: &mut Ctx<'_>,
    hook: &Hook,
    event: &Event,
    context: &Map<String, Value>,
) -> Result<Vec<Entry>, ApiError> {
    Ok(match &hook.action {
        Action::Slack { channel, text } => {
            let Some(slack) = &ctx.app.config.notifications.slack else { return Ok(Vec::new()) };
            let (target, url) = slack.route(channel.as_deref());
            if url.is_none() && slack.debug_dir.is_none() {
                tracing::warn!(channel, "no URL for messages in this channel: slack.webhook_url");
                return Ok(Vec::new());
            }
            let text = text.render(context);
            vec![Kind::Slack.entry(target, json!({"channel": channel, "text": text}))]
        }
        Action::Webhook { name, text } => {
            let text = text.as_ref().map(|text| text.render(context));
            vec![Kind::Webhook.entry(format!("webhook.{name}"), event.body(ctx.now, text))]
        }
        Action::Mail { subject, text, sender, recipients } => {
            let to = expand(ctx, recipients, event, context).await?;
            let mail = |to: &[Mailbox]| {
                let payload = json!({
                    "sender": sender.as_ref().map(ToString::to_string),
                    "to": to.iter().map(ToString::to_string).collect::<Vec<_>>(),
                    "subject": one_line(&subject.render(context)),
                    "text": text.render(context),
                });
                Kind::Mail.entry("mail", payload)
            };
            to.chunks(MAX_RECIPIENTS).map(mail).collect()
        }
    })
}

/// The addresses of a hook, and of the members of its groups; what may not be written to, and what
/// does not exist, is left out.
async fn expand(
    ctx: &mut Ctx<'_>,
    recipients: &[Recipient],
    event: &Event,
    context: &Map<String, Value>,
) -> Result<Vec<Mailbox>, ApiError> {
    let mut found = Vec::new();
    for recipient in recipients {
        if let Recipient::Address(mailbox) = recipient {
            found.push(mailbox.clone());
        }
    }
    for recipient in recipients {
        let Some(group) = recipient.group(&event.bucket, context) else { continue };
        if let Some(group) = ctx.object(&group).await? {
            found.extend(recipients::members(&group.data));
        }
    }
    let domains = &ctx.app.config.notifications.allowed_domains;
    found.retain(|mailbox| recipients::is_allowed(mailbox, domains));
    Ok(recipients::distinct(found))
}

/// A subject is one line, whatever is in it.
fn one_line(text: &str) -> String {
    text.split(char::is_control).collect::<Vec<_>>().join(" ").trim().chars().take(500).collect()
}
