//! `api create`: new records, each in a request of its own.

use rand::RngExt as _;
use serde_json::json;

use super::{
    arguments::{CreateArguments, Creation},
    ensure_collection,
    pressure::{Ask, press},
    records,
};
use crate::failure::Failure;

/// Creates records and prints how fast.
///
/// # Errors
///
/// [`Failure`] when the server takes none.
pub(crate) async fn run(arguments: &CreateArguments) -> Result<(), Failure> {
    let CreateArguments { target, place, duration, method } = arguments;
    let collection = ensure_collection(&target.client()?, &place.bucket, &place.collection).await?;
    let list = format!("{collection}/records");
    let run = rand::rng().random::<u32>();
    let how = *method;
    let outcome = press(target, *duration, move |number| Ask {
        method: how.method(),
        path: match how {
            Creation::Post => list.clone(),
            Creation::Put => format!("{list}/{run:08x}-{number}"),
        },
        body: Some(json!({"data": records::record(number)})),
    });
    outcome.await?.report("create", *duration).print(target.json);
    Ok(())
}
