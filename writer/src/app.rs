//! What all requests share.

use deadpool_postgres::Pool;
use shared::{config::Problems, error::ApiError, store};

use crate::{
    config::Config,
    metrics::Metrics,
    signer::{LocalSigner, Signer},
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
    pub signer: Signer,
    /// What is counted.
    pub metrics: Metrics,
}

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
        match (pool, metrics) {
            (Ok(pool), Ok(metrics)) if problems.lines().is_empty() => {
                Ok(Self { config, pool, signer, metrics })
            }
            (pool, metrics) => {
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

    /// Whether PostgreSQL takes a write, which is rolled back.
    ///
    /// # Errors
    ///
    /// [`ApiError::Backend`] when it does not.
    pub async fn probe_storage(&self) -> Result<(), ApiError> {
        let mut client = self.pool.get().await?;
        let tx = client.transaction().await?;
        clocks::probe(&tx).await?;
        tx.rollback().await?;
        Ok(())
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
