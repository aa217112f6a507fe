//! `GET` and `HEAD` of a list (`kinto-http-api.md` §2.9.2, §3).

use http::{HeaderName, Method, StatusCode};
use serde_json::{Map, Value};
use shared::{
    error::ApiError,
    http::{Query, Reply},
    model::{ListPath, Resource, Timestamp},
    store::Tx,
};

use super::{Operation, Outcome, merge_problems, not_modified, require_collection};
use crate::{
    authz::{self, Visible},
    body::check_ignored,
    caching,
    context::Ctx,
    listing::{
        Body, ListQuery, Params, Schema, alert, counted, next_page,
        token::{Binding, Cursor, Token},
    },
    pages::{Key, Page},
    preconditions::{Preconditions, Verdict},
    service::{ApiRequest, origin},
    store::{
        clocks,
        list_sql::{self, Select, Source},
        objects::Object,
    },
};

pub(super) async fn list(ctx: &mut Ctx<'_>, operation: &Operation) -> Result<Outcome, ApiError> {
    let list = &operation.list;
    let visible = authz::readable(ctx, list).await?;
    require_collection(ctx, list).await?;
    check_ignored(&operation.request)?;
    let listing = Listing::new(ctx, list, visible, &operation.request);
    let current = ctx.list_time(list).await?;
    // Of history, HEAD is a GET without its body (§7.2.3).
    let counts = operation.method == Method::HEAD && list.resource() != Resource::History;
    match listing.reply(ctx, current, counts).await? {
        Outcome::Ready(reply) if reply.status == StatusCode::OK => {
            Ok(Outcome::Ready(caching::apply(ctx, list, reply).await?))
        }
        other @ (Outcome::Ready(_) | Outcome::Written { .. }) => Ok(other),
    }
}

/// A list that a request asks for, whatever it is a list of.
pub(super) struct Listing<'a> {
    /// Its URI: what tokens are bound to.
    pub(super) uri: String,
    /// Where its objects are.
    pub(super) source: Source,
    /// What its objects are.
    pub(super) schema: &'static Schema,
    /// The list whose live objects are counted as they change, if it is one and is shown whole.
    pub(super) whole: Option<&'a ListPath>,
    /// The request.
    pub(super) request: &'a ApiRequest,
}

impl<'a> Listing<'a> {
    /// What of a stored list the user may see.
    pub(super) fn new(
        ctx: &Ctx<'_>,
        list: &'a ListPath,
        visible: Visible,
        request: &'a ApiRequest,
    ) -> Self {
        let whole = Some(list).filter(|_| visible == Visible::All);
        let source = match visible {
            Visible::All => Source::of(list),
            Visible::Only(_) if list.resource() == Resource::History => {
                Source::of(list).readable_by(ctx.user.principals.clone())
            }
            Visible::Only(ids) => Source::of(list).only(ids),
        };
        let schema = Schema::of(list.resource());
        Self { uri: list.to_string(), source, schema, whole, request }
    }
}

impl Listing<'_> {
    /// Answers a GET, or a HEAD, which counts. `current` is the list's timestamp.
    ///
    /// # Errors
    ///
    /// 400 and 412.
    pub(super) async fn reply(
        &self,
        ctx: &mut Ctx<'_>,
        current: Timestamp,
        is_head: bool,
    ) -> Result<Outcome, ApiError> {
        let sent = self.request.query()?;
        let conditions = Preconditions::parse(&self.request.headers);
        let (conditions, params) = merge_problems(conditions, Params::parse(&sent))?;
        match conditions.for_read(current) {
            Verdict::NotModified => return Ok(not_modified(current)),
            Verdict::Failed => {
                return Err(ApiError::ModifiedMeanwhile { existing: None, current: Some(current) });
            }
            Verdict::Proceed => {}
        }
        let query = ListQuery::new(params, self.schema, ctx.now)?;
        let token = self.token(ctx, &query)?;
        let reply = if is_head {
            counted(self.total(ctx, &query).await?)
        } else {
            self.page(ctx, &sent, &query, token).await?
        };
        Ok(Outcome::Ready(alert(reply, &query).version(current)))
    }

    /// How many live objects there are; nothing is counted where the list itself keeps count, or
    /// where somebody has asked since it was changed.
    async fn total(&self, ctx: &mut Ctx<'_>, query: &ListQuery) -> Result<i64, ApiError> {
        let tx = ctx.settled().await?;
        if let Some(list) = self.whole.filter(|_| query.filters.is_empty()) {
            return Ok(clocks::live(tx, list).await? + ctx.clocks.uncounted(list));
        }
        let Some(key) = self.key(ctx, query) else {
            return list_sql::count(tx, &self.source, &query.filters).await;
        };
        let counts = &ctx.app.pages.counts;
        if let Some(known) = counts.get(&key).await {
            return Ok(known);
        }
        let count = list_sql::count(tx, &self.source, &query.filters).await?;
        counts.insert(key, count).await;
        Ok(count)
    }

    async fn page(
        &self,
        ctx: &mut Ctx<'_>,
        sent: &Query,
        query: &ListQuery,
        token: Option<Token>,
    ) -> Result<Reply, ApiError> {
        let limit = ctx.app.config.listing.pages.of(query.limit);
        let tx = ctx.settled().await?;
        let (pages, key) = (&ctx.app.pages.pages, self.key(ctx, query));
        let known = match &key {
            Some(key) => pages.get(key).await,
            None => None,
        };
        let page = match (known, key) {
            (Some(page), _) => page,
            (None, None) => self.read(tx, query, token, limit).await?,
            (None, Some(key)) => {
                let page = self.read(tx, query, token, limit).await?;
                pages.insert(key, page.clone()).await;
                page
            }
        };
        let reply = Reply::json_bytes(StatusCode::OK, page.body);
        Ok(match page.next {
            Some(after) => self.with_next_page(ctx, reply, sent, query, &Token::after(after)),
            None => reply,
        })
    }

    async fn read(
        &self,
        tx: &Tx<'_>,
        query: &ListQuery,
        token: Option<Token>,
        limit: u64,
    ) -> Result<Page, ApiError> {
        let after = token.map(|token| token.after);
        let mut body = Body::default();
        let next = list_sql::read(tx, self.select(query, after.as_ref(), limit), |object| {
            let members = members(object, self.schema);
            match &query.selection {
                Some(selection) => body.push(&selection.of(&members)),
                None => body.push(&members),
            }
        })
        .await?;
        Ok(Page { body: body.finish().into(), next })
    }

    /// What the reply is kept by, where the list's state says all about it. Tombstones go without
    /// a new timestamp.
    fn key(&self, ctx: &Ctx<'_>, query: &ListQuery) -> Option<Key> {
        let list = self.whole.filter(|list| list.resource() == Resource::Record)?;
        let state = ctx.list_state(list)?.clone();
        let query = (!query.with_tombstones).then(|| self.request.query_text.clone())?;
        Some(Key { list: list.clone(), state, query })
    }

    /// What of the list a query is about.
    pub(super) fn select<'a>(
        &'a self,
        query: &'a ListQuery,
        after: Option<&'a Cursor>,
        limit: u64,
    ) -> Select<'a> {
        Select {
            source: &self.source,
            filters: &query.filters,
            sort: &query.sort,
            after,
            with_tombstones: query.with_tombstones,
            limit,
        }
    }

    /// Reads the token, if there is one.
    ///
    /// # Errors
    ///
    /// 400 when it is not this user's, for this list, with these filters and this order.
    pub(super) fn token(
        &self,
        ctx: &Ctx<'_>,
        query: &ListQuery,
    ) -> Result<Option<Token>, ApiError> {
        let key = &ctx.app.config.listing.token_key;
        let text = query.token.as_deref();
        text.map(|text| Token::open(text, key, self.binding(ctx, query))).transpose()
    }

    /// Adds the URL of the page that `token` begins.
    pub(super) fn with_next_page(
        &self,
        ctx: &Ctx<'_>,
        reply: Reply,
        sent: &Query,
        query: &ListQuery,
        token: &Token,
    ) -> Reply {
        let listing = &ctx.app.config.listing;
        let token = token.seal(&listing.token_key, self.binding(ctx, query));
        let path = format!("{}{}", origin(ctx.app, &self.request.headers), self.request.path);
        let url = next_page(&path, sent, listing.pages.of(query.limit), &token);
        reply.header_text(HeaderName::from_static("next-page"), &url)
    }

    fn binding<'a>(&'a self, ctx: &'a Ctx<'_>, query: &'a ListQuery) -> Binding<'a> {
        Binding { user_id: ctx.user.id.as_deref(), list: &self.uri, parameters: &query.bound }
    }
}

/// An object as clients see it, made of what was read.
fn members(object: Object, schema: &Schema) -> Map<String, Value> {
    let mut members = object.data;
    if object.deleted {
        members.clear();
        members.insert("deleted".to_owned(), true.into());
    }
    if schema.stored {
        members.insert("id".to_owned(), object.id.into());
        members.insert("last_modified".to_owned(), object.last_modified.as_millis().into());
    }
    members
}
