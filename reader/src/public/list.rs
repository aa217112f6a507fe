//! The answer to a list's URL (`kinto-http-api.md` §2.9.2 and §3), from rows that are rendered
//! already.

use std::sync::Arc;

use http::{
    HeaderName, HeaderValue, Method, StatusCode, header::ACCESS_CONTROL_EXPOSE_HEADERS,
    request::Parts,
};
use serde_json::{Map, Value};
use shared::{
    config::kept,
    error::{ApiError, merge_problems},
    http::{Query, Reply},
    listing::{
        ListQuery, Params, Schema, alert, counted, next_page,
        token::{self, Binding, Cursor, Token},
    },
    model::{Id, ListPath, Timestamp},
    preconditions::{Preconditions, Verdict},
    wire::SurrogateKey,
};

use super::pages::{count, page, parsed};
use crate::{
    app::App,
    snapshot::{Collection, Draft, Shown, add_keys},
};

/// What scripts in browsers may read of a list's answer (§1.10.3).
const EXPOSED: HeaderValue = HeaderValue::from_static(
    "Backoff, Retry-After, Alert, Content-Length, Content-Type, Next-Page, Last-Modified, ETag, \
     Cache-Control, Expires, Pragma, Total-Objects, Total-Records",
);

/// Lists of so many bytes are looked through where they are asked for.
const INLINE_BYTES: usize = 64 * 1024;

/// Something that holds rows, so that another thread can look through them.
pub trait HasRows: Send + Sync + 'static {
    /// The rows, newest first.
    fn rows(&self) -> &Draft;
}

impl HasRows for Collection {
    fn rows(&self) -> &Draft {
        self.list.draft()
    }
}

impl HasRows for Draft {
    fn rows(&self) -> &Draft {
        self
    }
}

/// A list as it was read from the database.
#[derive(Debug, Clone)]
pub struct Listed {
    /// Its timestamp.
    pub timestamp: Timestamp,
    /// `cache_expires` of a list of records' collection.
    pub attribute: Option<u32>,
    /// What everybody may see of it.
    pub rows: Arc<Draft>,
}

/// A list that everybody may read, or a part of it.
#[derive(Debug)]
pub struct Listing<R> {
    /// Which one.
    pub list: ListPath,
    /// Its timestamp.
    pub timestamp: Timestamp,
    /// `cache_expires` of a list of records' collection.
    pub attribute: Option<u32>,
    /// Its rows.
    pub rows: Arc<R>,
}

impl<R: HasRows> Listing<R> {
    /// Answers GET and HEAD.
    ///
    /// # Errors
    ///
    /// 400 and 412; 503 when too many others ask for what takes long.
    pub async fn reply(self, app: &App, head: &Parts, now: Timestamp) -> Result<Reply, ApiError> {
        let sent = Query::parse(head.uri.query().unwrap_or_default())?;
        let conditions = Preconditions::parse(&head.headers);
        let (conditions, params) = merge_problems(conditions, Params::parse(&sent))?;
        let reply = match conditions.for_read(self.timestamp) {
            Verdict::NotModified => Reply::empty(StatusCode::NOT_MODIFIED),
            Verdict::Failed => {
                let current = Some(self.timestamp);
                return Err(ApiError::ModifiedMeanwhile { existing: None, current });
            }
            Verdict::Proceed => {
                let query = ListQuery::new(params, Schema::of(self.list.resource()), now)?;
                let lifetime = app.config.lifetimes.of_list(&self.list, self.attribute);
                kept(self.answer(app, head, &sent, query).await?, lifetime, now)
            }
        };
        let mut reply = reply.version(self.timestamp);
        reply = reply.header(ACCESS_CONTROL_EXPOSE_HEADERS, EXPOSED);
        add_keys(&mut reply.headers, &self.keys());
        Ok(reply)
    }

    async fn answer(
        &self,
        app: &App,
        head: &Parts,
        sent: &Query,
        query: ListQuery,
    ) -> Result<Reply, ApiError> {
        let (key, uri) = (token_key(), self.list.to_string());
        let query = Arc::new(query);
        let binding = Binding { user_id: None, list: &uri, parameters: &query.bound };
        let token = query.token.as_deref().map(|text| Token::open(text, &key, binding));
        let after = token.transpose()?.map(|token| token.after);
        let reply = if head.method == Method::HEAD {
            counted(self.count(app, query.clone()).await?)
        } else {
            let size = app.config.changes.pages.of(query.limit);
            let limit = usize::try_from(size).unwrap_or(usize::MAX);
            let (body, next) = self.page(app, query.clone(), after, limit).await?;
            let reply = Reply::json_bytes(StatusCode::OK, body);
            match next {
                None => reply,
                Some(after) => {
                    let token = Token::after(after).seal(&key, binding);
                    let url = next_page(&url(app, head), sent, size, &token);
                    reply.header_text(HeaderName::from_static("next-page"), &url)
                }
            }
        };
        Ok(alert(reply, &query))
    }

    async fn count(&self, app: &App, query: Arc<ListQuery>) -> Result<usize, ApiError> {
        if query.filters.is_empty() {
            return Ok(self.rows.rows().live());
        }
        look_through(app, self.rows.clone(), move |rows| count(rows, &query.filters)).await?
    }

    async fn page(
        &self,
        app: &App,
        query: Arc<ListQuery>,
        after: Option<Cursor>,
        limit: usize,
    ) -> Result<(Vec<u8>, Option<Cursor>), ApiError> {
        look_through(app, self.rows.clone(), move |rows| page(rows, &query, after.as_ref(), limit))
            .await?
    }

    fn keys(&self) -> Vec<SurrogateKey> {
        match &self.list {
            ListPath::Records(bucket, collection) => {
                SurrogateKey::of_collection(bucket, collection)
            }
            ListPath::Collections(bucket) => SurrogateKey::of_bucket(bucket),
            ListPath::Buckets | ListPath::Groups(_) | ListPath::Accounts | ListPath::History(_) => {
                SurrogateKey::of_others()
            }
        }
    }
}

/// A row of a list by its id.
///
/// # Errors
///
/// 503 when too many others ask for what takes long.
pub async fn find<R: HasRows>(
    app: &App,
    rows: Arc<R>,
    id: Id,
) -> Result<Option<(Timestamp, Map<String, Value>)>, ApiError> {
    look_through(app, rows, move |rows| {
        // Rows are JSON of ours: an id is written as it is, and most rows need no parser.
        let needle = format!("\"id\":\"{id}\"");
        let is_candidate = |row: &Shown<'_>| {
            !row.deleted && row.json.windows(needle.len()).any(|part| part == needle.as_bytes())
        };
        for (_, row) in rows.rows_from(0).filter(|(_, row)| is_candidate(row)) {
            let object = parsed(row)?;
            if object.get("id").and_then(Value::as_str) == Some(&*id) {
                return Ok(Some((row.last_modified, object)));
            }
        }
        Ok(None)
    })
    .await?
}

/// Runs `work` on rows: on a thread of its own where it may take long, and there on few at once.
async fn look_through<R: HasRows, T: Send + 'static>(
    app: &App,
    owner: Arc<R>,
    work: impl FnOnce(&Draft) -> T + Send + 'static,
) -> Result<T, ApiError> {
    if owner.rows().bytes() <= INLINE_BYTES {
        return Ok(work(owner.rows()));
    }
    let permit = app.public.scan().await?;
    let task = tokio::task::spawn_blocking(move || {
        let _permit = permit;
        work(owner.rows())
    });
    task.await.map_err(|error| ApiError::Internal(error.into()))
}

/// Nothing here is secret, and every reader must know the others' tokens.
fn token_key() -> aws_lc_rs::hmac::Key {
    token::key("public lists")
}

/// The list's URL as clients know it: by the settings, or without a host. The request's own would be
/// kept by caches, for everybody.
fn url(app: &App, head: &Parts) -> String {
    format!("{}{}", app.config.changes.redirects.root, head.uri.path())
}
