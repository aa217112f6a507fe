//! Signing what a transaction has published, once each target, at its end.
//!
//! A service takes the time of a journey, or its whole timeout, and a transaction holds locks that
//! editors wait for. So a transaction that needs a service runs once to learn what is to be signed,
//! and is rolled back; the service is asked while nothing is locked; then the transaction runs
//! again, judging everything anew, by the clock of the first run. It comes to the same documents,
//! unless somebody has published meanwhile. After `ROUNDS` of that, the service is asked under
//! the locks, so that a busy service goes on; they are held for two tries at most
//! (`remote-settings.md` §1.16, `docs/adr/0008-services-sign-while-nothing-is-locked.md`).

use std::time::Instant;

use futures_util::future::try_join_all;
use shared::{
    canonical,
    error::ApiError,
    model::{ObjectPath, Timestamp},
    signature::ContentSignature,
    verifiable,
};

use super::Triple;
use crate::{
    app::App,
    context::Ctx,
    signer::{Signer, SigningError},
    store::objects::{self, Object},
};

/// How often a service is asked without locks.
const ROUNDS: usize = 2;

/// What is to be signed: the canonical form of what a target holds.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Document {
    /// The collection whose signer signs.
    source: ObjectPath,
    bytes: Vec<u8>,
}

/// The transaction runs again when these are signed.
#[derive(Debug, thiserror::Error)]
#[error("something is to be signed first")]
pub struct Unsigned {
    documents: Vec<Document>,
    /// By which clock they were made.
    now: Timestamp,
}

/// What was signed for a transaction before it runs.
#[derive(Debug, Default)]
pub struct Presigned {
    signed: Vec<(Document, Vec<ContentSignature>)>,
    now: Option<Timestamp>,
    rounds: usize,
}

impl Document {
    /// Reads back what is stored, since that is what is served.
    ///
    /// # Errors
    ///
    /// 400 when some client could not verify it; [`ApiError::Backend`] when PostgreSQL is away.
    pub(super) async fn read(
        ctx: &mut Ctx<'_>,
        source: ObjectPath,
        target: &ObjectPath,
    ) -> Result<Self, ApiError> {
        let list = Triple::records(target);
        let live = objects::records(ctx.settled().await?, &list).await?;
        let timestamp = ctx.hold(&list).await?;
        let records: Vec<_> = live.iter().map(Object::to_value).collect();
        let floats = ctx.app.config.signer.sign_off.floats;
        verifiable::check(&records, timestamp, floats).map_err(|problem| {
            let message = format!("{target} cannot be published: {problem}");
            ApiError::Refused { forbidden: false, message }
        })?;
        Ok(Self { source, bytes: canonical::document(&records, timestamp) })
    }
}

impl Unsigned {
    /// Finds it among errors; any other is given back.
    ///
    /// # Errors
    ///
    /// The other.
    pub fn in_error(error: ApiError) -> Result<Self, ApiError> {
        let ApiError::Backend(source) = error else { return Err(error) };
        match source.downcast::<Self>() {
            Ok(unsigned) => Ok(*unsigned),
            Err(source) => Err(ApiError::Backend(source)),
        }
    }
}

impl Presigned {
    /// The clock of the first run, by which the next one must run.
    pub const fn now(&self) -> Option<Timestamp> {
        self.now
    }

    /// Has documents signed, all at the same time.
    ///
    /// # Errors
    ///
    /// [`SigningError`], the first.
    pub async fn add(&mut self, app: &App, unsigned: Unsigned) -> Result<(), SigningError> {
        let Unsigned { documents, now } = unsigned;
        let signatures = try_join_all(
            documents
                .iter()
                .map(async |document| ask(app, app.signers.of(&document.source)?, document).await),
        )
        .await?;
        self.signed = documents.into_iter().zip(signatures).collect();
        self.now = self.now.or(Some(now));
        self.rounds += 1;
        Ok(())
    }

    fn of(&self, document: &Document) -> Option<&Vec<ContentSignature>> {
        let found = self.signed.iter().find(|(signed, _)| signed == document);
        found.map(|(_, signatures)| signatures)
    }
}

/// The signatures of each document, made before or now.
///
/// # Errors
///
/// [`Unsigned`], when a service is to be asked first; else [`ApiError::Backend`].
pub(super) async fn sign(
    ctx: &Ctx<'_>,
    documents: &[Document],
) -> Result<Vec<Vec<ContentSignature>>, ApiError> {
    let signers = documents.iter().map(|document| ctx.app.signers.of(&document.source));
    let signers = signers.collect::<Result<Vec<_>, _>>()?;
    let work = || documents.iter().zip(&signers);
    if let Some(presigned) = ctx.presigned
        && presigned.rounds < ROUNDS
    {
        let is_missing = |(document, signer): &(&Document, &&Signer)| {
            signer.is_remote() && presigned.of(document).is_none()
        };
        let missing = work().filter(is_missing).map(|(document, _)| document.clone());
        let documents: Vec<Document> = missing.collect();
        if !documents.is_empty() {
            return Err(ApiError::Backend(Box::new(Unsigned { documents, now: ctx.now })));
        }
    }
    let signatures = try_join_all(work().map(async |(document, signer)| {
        match ctx.presigned.and_then(|presigned| presigned.of(document)) {
            Some(signatures) => Ok(signatures.clone()),
            None => ask(ctx.app, signer, document).await,
        }
    }));
    Ok(signatures.await?)
}

async fn ask(
    app: &App,
    signer: &Signer,
    document: &Document,
) -> Result<Vec<ContentSignature>, SigningError> {
    let started = Instant::now();
    let result = signer.sign(&document.bytes).await;
    app.metrics.signed(started.elapsed(), result.is_ok());
    result
}
