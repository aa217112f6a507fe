//! `api import`: the sample records, in batches.

use std::{
    ops::Range,
    sync::{
        Arc,
        atomic::{AtomicU64, Ordering},
    },
    time::Instant,
};

use serde_json::{Value, json};
use tokio::task::JoinSet;

use super::{
    arguments::ImportArguments,
    ensure_collection, records,
    report::{Report, rate},
};
use crate::{batch, client::Client, failure::Failure, stats::Latencies};

/// Which records are to be written, and where.
#[derive(Debug)]
struct Import {
    list: String,
    /// The first that nobody has taken yet.
    next: AtomicU64,
    end: u64,
    batch: u64,
}

/// Writes the records and prints how fast.
///
/// # Errors
///
/// [`Failure`] naming the first request that was refused.
pub(crate) async fn run(arguments: &ImportArguments) -> Result<(), Failure> {
    let ImportArguments { target, place, first, records, .. } = arguments;
    let client = target.client()?;
    let collection = ensure_collection(&client, &place.bucket, &place.collection).await?;
    let batch = match arguments.batch {
        Some(batch) => u64::from(batch),
        None => u64::try_from(batch::limit(&client.get_json("/").await?)?).unwrap_or(1),
    };
    let import = Arc::new(Import {
        list: format!("{collection}/records"),
        next: AtomicU64::new(*first),
        end: first + records,
        batch,
    });
    let start = Instant::now();
    let mut connections = JoinSet::new();
    for _ in 0..arguments.connections {
        let (client, import) = (target.client()?, Arc::clone(&import));
        connections.spawn(async move { import.write(&client).await });
    }
    let mut latencies = Latencies::new()?;
    while let Some(one) = connections.join_next().await {
        latencies.add(&one.map_err(|error| Failure::failed(error.to_string()))??);
    }
    Report::new("import")
        .with("connections", arguments.connections)
        .with("batch", batch)
        .with("per_second", rate(*records, start.elapsed()))
        .with_latencies(&latencies)
        .with("records", *records)
        .print(target.json);
    Ok(())
}

impl Import {
    async fn write(&self, client: &Client) -> Result<Latencies, Failure> {
        let mut latencies = Latencies::new()?;
        while let Some(numbers) = self.take() {
            let body = self.body(numbers);
            let start = Instant::now();
            batch::send(client, &body).await?;
            latencies.record(start);
        }
        Ok(latencies)
    }

    /// The next batch.
    fn take(&self) -> Option<Range<u64>> {
        let first = self.next.fetch_add(self.batch, Ordering::Relaxed);
        (first < self.end).then(|| first..self.end.min(first + self.batch))
    }

    fn body(&self, numbers: Range<u64>) -> Value {
        let requests: Vec<Value> = numbers
            .map(|number| {
                let path = format!("{}/{}", self.list, records::id(number));
                json!({"path": path, "body": {"data": records::record(number)}})
            })
            .collect();
        json!({"defaults": {"method": "PUT"}, "requests": requests})
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn every_record_is_in_one_batch() {
        let next = AtomicU64::new(3);
        let import = Import { list: String::new(), next, end: 10, batch: 3 };

        let taken: Vec<u64> = std::iter::from_fn(|| import.take()).flatten().collect();

        assert_eq!(taken, (3..10).collect::<Vec<u64>>());
    }
}
