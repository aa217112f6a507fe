//! Many requests in one body.

use hyper::Method;
use serde_json::Value;

use crate::{client::Client, failure::Failure};

/// Sends a batch, each of whose requests must succeed.
///
/// # Errors
///
/// [`Failure`] naming the first request that was refused.
pub(crate) async fn send(client: &Client, body: &Value) -> Result<(), Failure> {
    let answer = client.send(Method::POST, "/batch", &[], Some(body)).await?;
    let answer = answer.success()?.json()?;
    let asked = body["requests"].as_array().map_or(0, Vec::len);
    let responses = answer["responses"].as_array().map_or(&[] as &[_], Vec::as_slice);
    if responses.len() != asked {
        let text = format!("a batch of {asked} got {} responses", responses.len());
        return Err(Failure::Failed(text));
    }
    match responses.iter().find(|response| response["status"].as_u64().is_none_or(|s| s >= 400)) {
        None => Ok(()),
        Some(refused) => {
            let (path, status) = (&refused["path"], &refused["status"]);
            let text = format!("in a batch, {path} got {status}: {}", refused["body"]);
            Err(Failure::Failed(text))
        }
    }
}

/// Most requests of a batch, as the hello view tells.
///
/// # Errors
///
/// [`Failure::Failed`] when it does not.
pub(crate) fn limit(hello: &Value) -> Result<usize, Failure> {
    hello["settings"]["batch_max_requests"]
        .as_u64()
        .and_then(|size| usize::try_from(size).ok())
        .filter(|size| *size > 0)
        .ok_or_else(|| Failure::failed("the hello view lacks settings.batch_max_requests"))
}
