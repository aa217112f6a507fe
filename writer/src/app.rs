//! What all requests share.

use deadpool_postgres::Pool;
use shared::{
    config::Problems,
    error::ApiError,
    model::ListPath,
    store::{self, Tx},
};

use crate::{
    authn::Authenticator,
    config::Config,
    group_commit::GroupCommit,
    metrics::Metrics,
    outbox::Outbox,
    pages::Pages,
    pki::publication::Known,
    schema::{Turns, Validators},
    signer::Signers,
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
    /// Which certificate chains are known to be published.
    pub chains: Known,
    /// Writes that wait for each other.
    pub group_commit: GroupCommit,
    /// Pages of lists.
    pub pages: Pages,
    /// What leaves the service after a commit.
    pub outbox: Outbox,
    /// Compiled JSON schemas.
    pub schemas: Validators,
    /// The turns of validations that take long.
    pub turns: Turns,
}

impl App {
    /// Prepares everything; connects to nothing yet.
    ///
    /// # Errors
    ///
    /// What of the configuration cannot be used: the signer's key.
    pub fn new(config: Config) -> Result<Self, Problems> {
        let signers = Signers::new(&config.signer.signing, &config.outgoing);
        let pool = store::pool(&config.database, "countersign-writer");
        let metrics = Metrics::new(&config.extras);
        let outbox = Outbox::new(&config);
        match (signers, pool, metrics, outbox) {
            (Ok(signers), Ok(pool), Ok(metrics), Ok(outbox)) => Ok(Self {
                authn: Authenticator::new(&config),
                outbox,
                config,
                pool,
                signers,
                metrics,
                chains: Known::default(),
                group_commit: GroupCommit::default(),
                pages: Pages::default(),
                schemas: Validators::default(),
                turns: Turns::default(),
            }),
            (signers, pool, metrics, outbox) => {
                let mut problems = Problems::default();
                signers.err().into_iter().flatten().for_each(|problem| problems.add(problem));
                outbox.err().into_iter().for_each(|problem| problems.add(problem));
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
        if self.signers.probe().await {
            Ok(())
        } else {
            Err(ApiError::backend("the signer does not sign"))
        }
    }

    /// Reads the signers' keys and chains again, as on SIGHUP. What cannot be read stays as it is:
    /// the log tells, and a metric until the next time.
    pub fn reload_keys(&self) {
        match self.signers.reload() {
            Ok(()) => {
                self.metrics.old_keys.set(0.0);
                tracing::info!("the signers' keys are read again");
            }
            Err(problems) => {
                self.metrics.old_keys.set(1.0);
                for problem in problems {
                    tracing::error!(problem, "a signer keeps its old keys");
                }
            }
        }
    }
}
