//! What all requests share.

use std::time::Duration;

use deadpool_postgres::Pool;
use shared::{
    config::Problems,
    error::ApiError,
    model::ListPath,
    store::{self, Tx},
};
use tokio::{sync::Mutex, time::Instant};

use crate::{
    authn::Authenticator,
    config::Config,
    metrics::Metrics,
    outbox::Outbox,
    schema::Validators,
    signer::{LocalSigner, Signer, Signers},
    store::clocks,
};

/// Settings, connections, the signer and the metrics of one process.
#[derive(Debug)]
pub struct App {
    /// Settings.
    pub config: Config,
    /// Connections.
    pub pool: Pool,
    /// Who signs.
    pub signers: Signers,
    /// Who is who.
    pub authn: Authenticator,
    /// What is counted.
    pub metrics: Metrics,
    /// What leaves the service after a commit.
    pub outbox: Outbox,
    /// Compiled JSON schemas.
    pub schemas: Validators,
    /// When the signer last worked, or did not: signing costs more than a heartbeat should.
    signer_health: Mutex<Option<(Instant, bool)>>,
}

/// How long the signer's health is remembered.
const SIGNER_HEALTH: Duration = Duration::from_secs(10);

impl App {
    /// Prepares everything; connects to nothing yet.
    ///
    /// # Errors
    ///
    /// What of the configuration cannot be used: the signer's key.
    pub fn new(config: Config) -> Result<Self, Problems> {
        let mut problems = Problems::default();
        let signer = signer(&config).unwrap_or_else(|problem| {
            problems.add(problem);
            Signer::None
        });
        let pool = store::pool(&config.database, "countersign-writer");
        let metrics = Metrics::new(config.extras.prometheus.as_ref());
        let outbox = Outbox::new(&config).map_err(|problem| problems.add(problem));
        match (pool, metrics, outbox) {
            (Ok(pool), Ok(metrics), Ok(outbox)) if problems.lines().is_empty() => Ok(Self {
                authn: Authenticator::new(&config),
                outbox,
                config,
                pool,
                signers: Signers::new(signer),
                metrics,
                schemas: Validators::default(),
                signer_health: Mutex::default(),
            }),
            (pool, metrics, _) => {
                if let Err(error) = pool {
                    problems.add(format!("storage_url: {error}"));
                }
                if let Err(error) = metrics {
                    problems.add(format!("metrics: {error}"));
                }
                Err(problems)
            }
        }
    }

    /// Whether PostgreSQL takes a write, which is rolled back; in read-only mode, whether it
    /// answers.
    ///
    /// # Errors
    ///
    /// [`ApiError::Backend`] when it does not.
    pub async fn probe_storage(&self) -> Result<(), ApiError> {
        let mut client = self.pool.get().await?;
        if self.config.service.readonly {
            let tx = Tx::reading(&mut client);
            tx.begin().await?;
            clocks::read(&tx, &ListPath::Buckets).await?;
            return Ok(());
        }
        let tx = Tx::writing(&mut client);
        tx.begin().await?;
        clocks::probe(&tx).await
    }

    /// Whether the signer signs, if anything is signed here. The answer may be ten seconds old.
    ///
    /// # Errors
    ///
    /// [`ApiError::Backend`] when it does not.
    pub async fn probe_signer(&self) -> Result<(), ApiError> {
        if self.config.signer.resources.is_empty() {
            return Ok(());
        }
        let mut health = self.signer_health.lock().await;
        let known = health.filter(|(at, _)| at.elapsed() < SIGNER_HEALTH);
        let works = match known {
            Some((_, works)) => works,
            None => self.signers.probe().await.is_ok(),
        };
        if known.is_none() {
            *health = Some((Instant::now(), works));
        }
        if works { Ok(()) } else { Err(ApiError::backend("the signer does not sign")) }
    }
}

fn signer(config: &Config) -> Result<Signer, String> {
    let Some(path) = &config.signer.private_key else { return Ok(Signer::None) };
    let name = "signer.ecdsa.private_key";
    let pem = std::fs::read_to_string(path)
        .map_err(|error| format!("{name}: {}: {error}", path.display()))?;
    LocalSigner::from_pem(&pem)
        .map(|signer| Signer::Local(Box::new(signer)))
        .map_err(|problem| format!("{name}: {}: {problem}", path.display()))
}
