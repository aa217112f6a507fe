//! One step of a transaction: what a request asks for, as far as it is known before the transaction
//! begins.

use std::{
    sync::atomic::{AtomicU64, Ordering},
    time::Duration,
};

use http::{HeaderMap, HeaderValue, Method, header};
use serde_json::{Value, json};
use shared::{
    error::{ApiError, Detail},
    model::{Id, ObjectPath, Permission},
};

use crate::{
    app::App,
    asides::Aside,
    authn::Identities,
    negotiation,
    operations::{self, Operation, View},
    plugins::default_bucket::{self, Resolved},
    routes::{Parent, Route},
    service::ApiRequest,
    signoff::effects::PLUGIN_USER,
    store::objects::Object,
    user::Asker,
};

/// One request of a transaction: an operation, or what it was refused with beforehand.
#[derive(Debug)]
pub struct Step {
    /// Who asks.
    pub asker: Asker,
    /// What is wrong with the origin, which only those are told who may do the rest (§1.10.2).
    pub refused_origin: Option<Detail>,
    /// What is to be done, or why it is not.
    pub operation: Result<Operation, Refusal>,
    /// What is to be done where it is no operation.
    pub aside: Option<Aside>,
    /// The credentials that are judged in the transaction, where they were not right before it.
    pub signs_in: Option<SignIn>,
    /// What the default bucket makes first, where it is missing.
    pub implied: Vec<ObjectPath>,
    /// Whose rights the user has, too.
    pub acts_for: Option<String>,
    /// Whether a job asks for it: then it fails together with all others of its transaction.
    pub by_job: bool,
    /// How long it took, in milliseconds.
    pub elapsed: AtomicU64,
}

/// Credentials of an account that a former step of the batch may have written.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct SignIn {
    /// The account.
    pub account: Id,
    /// The hash that they were judged by; `None` as long as there was none.
    pub hash: Option<String>,
}

/// Refusals known from the URL alone; made anew for each attempt.
#[derive(Debug)]
pub enum Refusal {
    /// The parent is malformed, and the method tells everybody.
    Parent(Parent),
    /// The parent is malformed, and only those are told who have the right around it (§2.4).
    Hidden(Parent, Permission),
    /// Likewise, but what is accepted is no JSON, which is told to everybody.
    NotAcceptable(Box<ApiRequest>),
    /// The time of a snapshot is none.
    Time(String),
    /// The URL is not that of a list or an object.
    NoOperation,
    /// It is below the default bucket, and cannot be.
    DefaultBucket(default_bucket::Refusal),
}

impl Refusal {
    /// The refusal as a client sees it who has no right around a malformed parent.
    pub fn error(&self, user_id: Option<&String>) -> ApiError {
        match self {
            Self::Parent(Parent::Malformed { resource, id, .. }) => {
                ApiError::NoSuchParent { resource: *resource, id: id.clone() }
            }
            Self::Hidden(..) if user_id.is_some() => ApiError::Forbidden,
            Self::Hidden(..) => ApiError::MissingAuth,
            Self::NotAcceptable(request) => {
                negotiation::check(request).err().unwrap_or(ApiError::NoSuchEndpoint)
            }
            Self::Time(text) => operations::invalid_time(text),
            Self::NoOperation | Self::Parent(Parent::Known(_)) => ApiError::NoSuchEndpoint,
            Self::DefaultBucket(refusal) => refusal.error(),
        }
    }
}

impl Step {
    /// The step that a request asks for: who asks, in which bucket, and with a password's hash.
    ///
    /// # Errors
    ///
    /// [`ApiError::Backend`] when PostgreSQL, or a provider of users, is away.
    pub async fn new(
        app: &App,
        identities: &mut Identities,
        route: Route,
        request: ApiRequest,
    ) -> Result<Self, ApiError> {
        let identity = identities.of(app, &request).await?;
        let (asker, profile) = identity.map(|found| (found.asker, found.profile)).unzip();
        let asker = asker.unwrap_or_default();
        app.metrics.authenticated(asker.id.as_deref());
        let refused_origin = app.config.service.cors.check(&request.headers).err();
        if let Some(aside) = Aside::new(app, &route, &request, profile.flatten()).await {
            let step = Self::with(asker, Err(Refusal::NoOperation));
            return Ok(Self { aside: Some(aside), refused_origin, ..step });
        }
        let mut step = match default_bucket::resolve(app, asker.id.as_deref(), &request) {
            Ok(None) => Self::with(asker, Self::operation(route, request)),
            Ok(Some(Resolved { request, implied })) => {
                let operation = match Route::find(&app.config, &request.path) {
                    Ok(route) => Self::operation(route, request),
                    Err(_) => Err(Refusal::NoOperation),
                };
                Self { implied, ..Self::with(asker, operation) }
            }
            Err(refusal) => Self::with(asker, Err(Refusal::DefaultBucket(refusal))),
        };
        if let Ok(operation) = &mut step.operation {
            operations::hash_password(app, step.asker.id.as_ref(), operation).await?;
        }
        Ok(Self { refused_origin, ..step })
    }

    /// A step without anything special.
    pub fn with(asker: Asker, operation: Result<Operation, Refusal>) -> Self {
        let (implied, elapsed) = (Vec::new(), AtomicU64::new(0));
        let (refused_origin, acts_for, by_job) = (None, None, false);
        let (aside, signs_in) = (None, None);
        Self {
            asker,
            refused_origin,
            operation,
            aside,
            signs_in,
            implied,
            acts_for,
            by_job,
            elapsed,
        }
    }

    /// What a job asks for, as a request would: it needs no rights, and the rules of the workflow
    /// are the same for it. All steps of its transaction succeed together.
    ///
    /// # Errors
    ///
    /// [`ApiError::Internal`] for what is no method.
    pub fn of_job(method: &str, path: &ObjectPath, data: Option<&Value>) -> Result<Self, ApiError> {
        let method: Method = method.parse().map_err(|_| ApiError::internal("not a method"))?;
        let json = HeaderValue::from_static("application/json");
        let body = data.map(|data| json!({"data": data}).to_string());
        let request = ApiRequest {
            method: method.clone(),
            path: format!("/v1{path}"),
            query_text: String::new(),
            headers: HeaderMap::from_iter([(header::CONTENT_TYPE, json)]),
            body: body.unwrap_or_default().into(),
            client: None,
        };
        let (list, id) = (path.list.clone(), Some(path.id.to_string()));
        let (view, password_hash) = (View::Itself, None);
        let operation = Operation { method, list, id, view, request, password_hash };
        let asker = Asker::named(Some(PLUGIN_USER.to_owned()));
        Ok(Self { by_job: true, ..Self::with(asker, Ok(operation)) })
    }

    /// The same on the condition that the object is still as it was, or still does not exist.
    pub fn unless_changed(mut self, old: Option<&Object>) -> Self {
        let (name, value) = match old {
            Some(old) => (header::IF_MATCH, old.last_modified.etag()),
            None => (header::IF_NONE_MATCH, "*".to_owned()),
        };
        if let (Ok(operation), Ok(value)) = (&mut self.operation, HeaderValue::from_str(&value)) {
            operation.request.headers.insert(name, value);
        }
        self
    }

    /// Whether it looks at nothing but an object that exists already, or does not.
    pub fn reads_one_object(&self) -> bool {
        let reads = |operation: &Operation| {
            !operation.is_write() && operation.id.is_some() && operation.view == View::Itself
        };
        self.implied.is_empty() && self.operation.as_ref().is_ok_and(reads)
    }

    /// Whether the other steps are done although this one is refused: in a batch unless sign-off
    /// refuses, never in a job, and always where a user's data is erased, since what is published
    /// stays.
    pub fn goes_on_after(&self, refusal: &ApiError) -> bool {
        let by_sign_off = matches!(refusal, ApiError::Refused { .. });
        !self.by_job && (refusal.is_clients_fault() || (self.acts_for.is_some() && by_sign_off))
    }

    /// Whether it may write.
    pub fn is_write(&self) -> bool {
        self.operation.as_ref().is_ok_and(Operation::is_write)
            || self.aside.as_ref().is_some_and(Aside::is_write)
    }

    /// Notes how long it took.
    pub fn took(&self, elapsed: Duration) {
        let millis = u64::try_from(elapsed.as_millis()).unwrap_or(u64::MAX);
        self.elapsed.store(millis, Ordering::Relaxed);
    }

    /// How long it took.
    pub fn elapsed(&self) -> Duration {
        Duration::from_millis(self.elapsed.load(Ordering::Relaxed))
    }

    #[expect(
        clippy::wildcard_enum_match_arm,
        reason = "only lists and objects are steps of a transaction"
    )]
    fn operation(route: Route, request: ApiRequest) -> Result<Operation, Refusal> {
        let (parent, id, view) = match route {
            Route::List(parent) => (parent, None, View::Itself),
            Route::Object(parent, id) => (parent, Some(id), View::Itself),
            Route::Quota(parent, id) => (parent, Some(id), View::Quota),
            Route::Changeset(parent) => (parent, None, View::Changeset),
            Route::Snapshot(parent, time) => match operations::parse_time(&time) {
                Some(at) => (parent, None, View::Snapshot(at)),
                None => return Err(Refusal::Time(time)),
            },
            _ => return Err(Refusal::NoOperation),
        };
        let tells_everybody = match request.method {
            Method::POST | Method::PUT | Method::PATCH => true,
            Method::DELETE => id.is_some(),
            _ => matches!(view, View::Snapshot(_)),
        };
        match parent {
            Parent::Known(list) => {
                let (method, password_hash) = (request.method.clone(), None);
                Ok(Operation { method, list, id, view, request, password_hash })
            }
            malformed @ Parent::Malformed { .. } if tells_everybody => {
                Err(Refusal::Parent(malformed))
            }
            Parent::Malformed { .. } if negotiation::check(&request).is_err() => {
                Err(Refusal::NotAcceptable(Box::new(request)))
            }
            malformed @ Parent::Malformed { .. } => {
                let deletes = request.method == Method::DELETE;
                let needed = if deletes { Permission::Write } else { Permission::Read };
                Err(Refusal::Hidden(malformed, needed))
            }
        }
    }
}
