//! What all requests share, and the headers of every response.

use std::sync::Arc;

use bytes::Bytes;
use deadpool_postgres::Pool;
use http::{
    HeaderName, HeaderValue, Method, StatusCode,
    header::{
        ACCESS_CONTROL_ALLOW_ORIGIN, ACCESS_CONTROL_EXPOSE_HEADERS, CACHE_CONTROL, CONTENT_LENGTH,
        RETRY_AFTER,
    },
    request::Parts,
};
use shared::{
    error::ApiError,
    http::{Answer, Reply, Service},
    model::Timestamp,
    store::{self, Hosts},
};

use crate::{
    cache::Deltas, config::Config, disk::Disk, handlers, link::Link, metrics::Metrics,
    routes::Route, snapshot::Board,
};

/// The methods of every URL.
pub const METHODS: &[Method] = &[Method::GET, Method::HEAD, Method::OPTIONS];

/// Headers that scripts in browsers may read.
pub const EXPOSED: &str = "Backoff, Retry-After, Alert, Content-Length, Content-Type, \
                           Last-Modified, ETag, Cache-Control, Expires, Pragma";

/// Seconds that a cache may keep a refusal: enough to stop a stampede.
const REFUSAL_TTL: HeaderValue = HeaderValue::from_static("max-age=5");

/// What all requests share. Cheap to clone.
#[derive(Debug, Clone)]
pub struct App {
    /// The settings.
    pub config: Arc<Config>,
    /// What is served.
    pub board: Arc<Board>,
    /// Prepared answers to `_since`.
    pub deltas: Deltas,
    /// What operators watch.
    pub metrics: Arc<Metrics>,
    /// Connections for requests; the follower has its own.
    pub pool: Pool,
    /// The database servers, and which of them is followed.
    pub link: Arc<Link>,
    /// The snapshot on disk, where one is kept.
    pub disk: Option<Arc<Disk>>,
}

impl App {
    /// Puts the parts together. Connects to nothing yet.
    ///
    /// # Errors
    ///
    /// When the database's URL cannot be read, or a metric is defined twice.
    pub fn new(config: Config) -> Result<Self, ApiError> {
        let metrics = Metrics::new().map_err(|error| ApiError::Internal(error.into()))?;
        let (hits, misses) = (metrics.delta_hits.clone(), metrics.delta_misses.clone());
        let hosts = Arc::new(Hosts::new(&config.database, "countersign-reader")?);
        Ok(Self {
            pool: store::pool_of(&config.database, hosts.clone())?,
            link: Arc::new(Link::new(hosts)),
            disk: open_disk(&config, &metrics),
            deltas: Deltas::new(config.delta_cache_bytes, hits, misses),
            board: Arc::default(),
            metrics: Arc::new(metrics),
            config: Arc::new(config),
        })
    }

    async fn reply(
        &self,
        route: &Result<Route<'_>, ApiError>,
        head: &Parts,
        now: Timestamp,
    ) -> Reply {
        let is_known = route.is_ok();
        if !METHODS.contains(&head.method) {
            let allow = if is_known { METHODS.to_vec() } else { Vec::new() };
            return refusal(&ApiError::MethodNotAllowed { allow });
        }
        let answered = match route {
            Err(error) => return refusal(error),
            Ok(_) if head.method == Method::OPTIONS => handlers::preflight::answer(head),
            Ok(route) => handlers::answer(self, route, head, now).await,
        };
        answered.unwrap_or_else(|error| refusal(&error))
    }

    /// Adds what every response carries, and takes the body from an answer to HEAD.
    fn finish(&self, mut reply: Reply, method: &Method) -> Reply {
        let headers = &mut reply.headers;
        headers.insert(ACCESS_CONTROL_ALLOW_ORIGIN, HeaderValue::from_static("*"));
        headers.insert(ACCESS_CONTROL_EXPOSE_HEADERS, HeaderValue::from_static(EXPOSED));
        if let Some(backoff) = self.config.site.backoff {
            headers.insert(HeaderName::from_static("backoff"), backoff.into());
        }
        if reply.status == StatusCode::SERVICE_UNAVAILABLE {
            headers.insert(RETRY_AFTER, self.config.site.retry_after.into());
        }
        if *method == Method::HEAD && !reply.body.is_empty() {
            // hyper would do this for HTTP/1, and not for HTTP/2.
            headers.insert(CONTENT_LENGTH, reply.body.len().into());
            reply.body = Bytes::new();
        }
        reply
    }
}

/// A reader without its directory serves all the same, and says so.
fn open_disk(config: &Config, metrics: &Metrics) -> Option<Arc<Disk>> {
    let directory = config.snapshot_dir.as_ref()?;
    match Disk::open(directory, metrics.disk.clone()) {
        Ok(disk) => Some(Arc::new(disk)),
        Err(error) => {
            metrics.disk.errors.inc();
            tracing::error!(directory = %directory.display(), %error, "snapshot_dir cannot be used");
            None
        }
    }
}

/// An error, with the lifetime that caches may give it.
fn refusal(error: &ApiError) -> Reply {
    let reply = Reply::from(error);
    let is_ours = reply.status.is_server_error();
    let lifetime = if is_ours { HeaderValue::from_static("no-store") } else { REFUSAL_TTL };
    reply.header(CACHE_CONTROL, lifetime)
}

impl Service for App {
    async fn call(&self, head: Parts, _body: Bytes) -> Answer {
        let route = Route::of(head.uri.path());
        let name = route.as_ref().map_or("unknown", Route::name);
        let reply = self.reply(&route, &head, Timestamp::now()).await;
        Answer::new(name, self.finish(reply, &head.method))
    }
}
