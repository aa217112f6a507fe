//! `api`: measures of Kinto's HTTP API, through nothing but that API.

mod arguments;
mod create;
mod first_requests;
mod get;
mod import;
mod mixed;
mod pressure;
mod records;
mod report;
mod walk;

use hyper::{Method, StatusCode};
use serde_json::json;

pub(crate) use self::arguments::ApiCommand;
use crate::{client::Client, failure::Failure};

/// Runs one of the measures.
///
/// # Errors
///
/// [`Failure`] when the server does not answer, or breaks a promise.
pub(crate) async fn run(command: &ApiCommand) -> Result<(), Failure> {
    match command {
        ApiCommand::Create(arguments) => create::run(arguments).await,
        ApiCommand::Import(arguments) => import::run(arguments).await,
        ApiCommand::Get(arguments) => get::run(arguments).await,
        ApiCommand::Walk(arguments) => walk::run(arguments).await,
        ApiCommand::Mixed(arguments) => mixed::run(arguments).await,
        ApiCommand::FirstRequests(arguments) => first_requests::run(arguments).await,
    }
}

/// Makes sure that a bucket and a collection exist, and returns the path of the collection.
///
/// # Errors
///
/// [`Failure`] when the server refuses.
async fn ensure_collection(client: &Client, bucket: &str, name: &str) -> Result<String, Failure> {
    let bucket = format!("/buckets/{bucket}");
    let collection = format!("{bucket}/collections/{name}");
    for path in [&bucket, &collection] {
        let only_new = [("If-None-Match", "*")];
        let answer = client.send(Method::PUT, path, &only_new, Some(&json!({}))).await?;
        if answer.status != StatusCode::PRECONDITION_FAILED {
            answer.success()?;
        }
    }
    Ok(collection)
}
