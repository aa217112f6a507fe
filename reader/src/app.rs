//! What all requests share, and what every answer gets.

use std::{
    sync::{
        Arc,
        atomic::{AtomicBool, Ordering},
    },
    time::Duration,
};

use bytes::Bytes;
use http::{
    HeaderMap, HeaderValue, Method, StatusCode,
    header::{CACHE_CONTROL, RETRY_AFTER},
    request::Parts,
};
use shared::{
    error::ApiError,
    http::{self as server, Reply, SLOWEST, Service},
    model::Timestamp,
    store::Hosts,
};

use crate::{
    answer::Answer,
    budget::Budget,
    cache::{Deltas, FILTERED_BYTES, Filtered, Preparing},
    config::Config,
    disk::Disk,
    gate::{Bounds, Gate},
    handlers,
    link::Link,
    metrics::Metrics,
    public::Database,
    routes::Route,
    snapshot::{Board, Wardrobe, common_headers},
};

/// The methods of every URL.
pub const METHODS: &[Method] = &[Method::GET, Method::HEAD, Method::OPTIONS];

/// Seconds that a cache may keep a refusal: enough to stop a stampede.
const REFUSAL_TTL: HeaderValue = HeaderValue::from_static("max-age=5");

/// Answers that are prepared at once, and how many different ones may wait for it: the threads that
/// serve what is there never do.
const AT_ONCE: Bounds = Bounds { places: 4, seats: 256, patience: Duration::from_secs(1) };

/// Bodies up to this size take no share of the budget: requests take as much.
const SMALL: usize = 4 * 1024;
/// What a client must take of an answer, in bytes each second, while much is under way: 128 kbit/s.
const BRISK: u64 = 16 * 1024;

/// What all requests share. Cheap to clone.
#[derive(Debug, Clone)]
pub struct App {
    /// The settings.
    pub config: Arc<Config>,
    /// What is served.
    pub board: Arc<Board>,
    /// Prepared answers to `_since`.
    pub deltas: Deltas,
    /// Prepared answers to those who want a part of the monitor.
    pub filtered: Filtered,
    /// Where lists get their headers.
    pub wardrobe: Arc<Wardrobe>,
    /// What operators watch.
    pub metrics: Arc<Metrics>,
    /// What is read from the database when somebody asks.
    pub public: Arc<Database>,
    /// Memory for bodies that are made when somebody asks.
    pub budget: Budget,
    /// The headers of every answer.
    common: Arc<HeaderMap>,
    leaving: Arc<AtomicBool>,
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
        let caches = config.delta_cache_bytes.saturating_add(FILTERED_BYTES);
        let budget = Budget::new(caches, config.body_bytes_in_flight, metrics.refused.clone());
        let gate = Gate::new(AT_ONCE, metrics.refused.clone());
        let preparing = Preparing { gate, budget: budget.clone() };
        let common = common_headers(config.site.backoff);
        let hosts = Arc::new(Hosts::new(&config.database, "countersign-reader")?);
        let wardrobe = Wardrobe::new(common.clone(), config.changes.clone(), config.dictionaries);
        Ok(Self {
            public: Arc::new(Database::new(&config.reads, &config.database, &metrics.refused)?),
            link: Arc::new(Link::new(hosts)),
            disk: open_disk(&config, &metrics),
            filtered: Filtered::new(preparing.clone()),
            deltas: Deltas::new(config.delta_cache_bytes, preparing, hits, misses),
            budget,
            board: Arc::default(),
            metrics: Arc::new(metrics),
            wardrobe: Arc::new(wardrobe),
            common: Arc::new(common),
            config: Arc::new(config),
            leaving: Arc::default(),
        })
    }

    /// From now on, load balancers are told to send their requests elsewhere.
    pub fn leave(&self) {
        self.leaving.store(true, Ordering::Relaxed);
    }

    /// Whether the process is about to end.
    pub fn is_leaving(&self) -> bool {
        self.leaving.load(Ordering::Relaxed)
    }

    /// Answers a request: the route's name for metrics, and what to send.
    pub async fn answer(&self, head: &Parts, now: Timestamp) -> (&'static str, Answer) {
        let route = Route::of(head.uri.path());
        let name = route.as_ref().map_or("unknown", Route::name);
        let is_operational = route.as_ref().is_ok_and(Route::is_operational);
        // A probe that met 410 would take the reader away, and clients would never read that it is over.
        let routed = if self.has_ended(now) && !is_operational {
            Err(ApiError::Gone)
        } else {
            self.route(&route, head, now).await
        };
        let answer = match routed {
            Ok(answer) => answer.unless_known(&head.headers, self.config.grace, now),
            Err(error) => refusal(&error).into(),
        };
        let is_new = head.method != Method::HEAD && !matches!(route, Ok(Route::Chain { .. }));
        (name, self.finish(if is_new { self.count(answer) } else { answer }))
    }

    /// Whether the service has ended (`eos`).
    pub fn has_ended(&self, now: Timestamp) -> bool {
        self.config.site.end.as_ref().is_some_and(|end| end.is_over(now))
    }

    /// The answer as a map of headers and a body; over HTTP/1.1 the connection adds `Alert` itself.
    fn reply(&self, answer: Answer, method: &Method, now: Timestamp) -> Reply {
        let reply = answer.into_reply(method, self.config.grace, now);
        match &self.config.site.end {
            Some(end) => end.tell(reply, now),
            None => reply,
        }
    }

    /// Counts a body that was made for this request; parts of lists are counted by their caches.
    fn count(&self, answer: Answer) -> Answer {
        match answer {
            Answer::Made(mut reply) if reply.body.len() > SMALL => {
                match self.budget.take(reply.body.len()) {
                    Ok(share) => {
                        reply.body = share.hold(reply.body);
                        reply.into()
                    }
                    Err(error) => refusal(&error).into(),
                }
            }
            Answer::Made(_) | Answer::Prepared(..) => answer,
        }
    }

    /// What a client must take of a body that was made for it, in bytes each second, so as not to be
    /// left.
    pub fn slowest(&self) -> u64 {
        if self.budget.is_pressed() { BRISK } else { SLOWEST }
    }

    async fn route(
        &self,
        route: &Result<Route<'_>, ApiError>,
        head: &Parts,
        now: Timestamp,
    ) -> Result<Answer, ApiError> {
        if !METHODS.contains(&head.method) {
            let allow = if route.is_ok() { METHODS.to_vec() } else { Vec::new() };
            return Err(ApiError::MethodNotAllowed { allow });
        }
        match route {
            Err(error) => Ok(refusal(error).into()),
            Ok(_) if head.method == Method::OPTIONS => {
                handlers::preflight::answer(head).map(Answer::Made)
            }
            Ok(route) => handlers::answer(self, route, head, now).await,
        }
    }

    /// Adds what every response carries.
    fn finish(&self, answer: Answer) -> Answer {
        let Answer::Made(mut reply) = answer else { return answer };
        let headers = &mut reply.headers;
        for (name, value) in self.common.iter() {
            headers.entry(name).or_insert_with(|| value.clone());
        }
        server::security_headers(reply.status, headers);
        if reply.status == StatusCode::SERVICE_UNAVAILABLE {
            headers.insert(RETRY_AFTER, self.config.site.retry_after.into());
        }
        Answer::Made(reply)
    }

    /// The refusal of a request that is not worth an answer's usual way: malformed, or too much.
    pub fn refuse(&self, error: &ApiError) -> Answer {
        let reply = Reply::from(error);
        // A CDN must not keep it: the next client may send a good request to the same URL.
        let reply = reply.header(CACHE_CONTROL, HeaderValue::from_static("no-store"));
        self.finish(reply.into())
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

/// For HTTP/2, which hyper speaks.
impl Service for App {
    fn slowest(&self) -> u64 {
        self.slowest()
    }

    fn refuse(&self, error: &ApiError, method: &Method) -> Reply {
        self.reply(self.refuse(error), method, Timestamp::now())
    }

    async fn call(&self, head: Parts, _body: Bytes) -> server::Answer {
        let now = Timestamp::now();
        let (route, answer) = self.answer(&head, now).await;
        server::Answer::new(route, self.reply(answer, &head.method, now))
    }
}
