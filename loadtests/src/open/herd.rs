//! `herd`: what a publication does to those who are told of it.

use std::{
    sync::{Arc, mpsc::Sender},
    time::{Duration, Instant},
};

use super::{
    arguments::HerdArguments, catalogue::Catalogue, mix, pace::Burst, publisher::Publisher,
    schedule::Schedule,
};
use crate::failure::Failure;

/// Who comes, and when.
#[derive(Debug)]
pub(crate) struct Herd {
    after: Duration,
    within: Duration,
    clients: u32,
    process: super::schedule::Process,
    seed: u64,
    catalogue: Arc<Catalogue>,
    prefix: String,
}

impl Herd {
    /// As the arguments say.
    pub(crate) fn new(
        arguments: &HerdArguments,
        catalogue: Arc<Catalogue>,
        prefix: String,
    ) -> Self {
        Self {
            after: Duration::from_secs(arguments.at),
            within: Duration::from_secs(arguments.within),
            clients: arguments.clients,
            process: arguments.load.arrivals,
            seed: arguments.load.seed,
            catalogue,
            prefix,
        }
    }

    /// Waits, publishes, and sends everybody. With a publication the clients come as soon as the
    /// approval is answered: the reader may not have it yet, which is the harder case.
    ///
    /// # Errors
    ///
    /// [`Failure`] when the writer refuses.
    pub(crate) async fn come(
        self,
        publisher: Option<Publisher>,
        bursts: Sender<Burst>,
    ) -> Result<String, Failure> {
        let begins = Instant::now() + self.after;
        if let Some(publisher) = &publisher {
            publisher.propose(1).await?;
        }
        tokio::time::sleep_until(begins.into()).await;
        let (collection, [before, now]) = match &publisher {
            Some(publisher) => self.publish(publisher).await?,
            None => self.newest(),
        };
        let plan = mix::herd(&self.catalogue, &self.prefix, collection, [before, now]);
        let rate = f64::from(self.clients) / self.within.as_secs_f64();
        let schedule = Schedule::new(self.process, rate, self.within, self.seed.wrapping_add(1));
        let burst = Burst { begins: Instant::now(), plan: Arc::new(plan), schedule };
        bursts.send(burst).map_err(|_| Failure::failed("the run was over before the herd came"))?;
        let what = if publisher.is_some() { "a publication" } else { "no publication: a new URL" };
        let (clients, within, after) = (self.clients, self.within, self.after);
        Ok(format!("{what}, then {clients} clients in {within:?}, from {after:?} on"))
    }

    async fn publish(&self, publisher: &Publisher) -> Result<(usize, [i64; 2]), Failure> {
        let (bucket, id) = Publisher::name();
        let number = self.catalogue.find(bucket, id);
        let number =
            number.ok_or_else(|| Failure::failed(format!("{bucket}/{id} is not listed")))?;
        publisher.approve().await?;
        let now = publisher.timestamp().await?;
        Ok((number, [self.catalogue.collections[number].timestamp, now]))
    }

    /// The collection that was published last.
    fn newest(&self) -> (usize, [i64; 2]) {
        let newest = &self.catalogue.collections[0];
        (0, [newest.before(1), newest.timestamp])
    }
}
