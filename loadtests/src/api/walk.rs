//! `api walk`: a list, page by page.

use std::{collections::HashSet, time::Instant};

use super::{
    arguments::WalkArguments,
    report::{Report, rate},
};
use crate::{
    client::{Answer, Client},
    failure::Failure,
    stats::Latencies,
};

/// Walks and prints how fast the pages came.
///
/// # Errors
///
/// [`Failure`] when an object comes twice, a page is too long, or the list has another length than
/// expected.
pub(crate) async fn run(arguments: &WalkArguments) -> Result<(), Failure> {
    let WalkArguments { target, path, limit, expect } = arguments;
    let client = target.client()?;
    let separator = if path.contains('?') { '&' } else { '?' };
    let mut next = Some(format!("{path}{separator}_limit={limit}"));
    let (mut seen, mut pages) = (HashSet::new(), 0_u64);
    let mut latencies = Latencies::new()?;
    let begin = Instant::now();
    while let Some(page) = next {
        let start = Instant::now();
        let answer = client.get(&page).await?.success()?;
        latencies.record(start);
        pages += 1;
        let count = remember(&answer, &mut seen)?;
        if count > usize::try_from(*limit).unwrap_or(usize::MAX) {
            return Err(Failure::Failed(format!("{page}: {count} objects on a page of {limit}")));
        }
        next = next_page(&answer, &client)?;
    }
    if let Some(expected) = expect.filter(|expected| *expected != seen.len()) {
        let text = format!("{path}: {} objects in {pages} pages, not {expected}", seen.len());
        return Err(Failure::Failed(text));
    }
    Report::new("walk")
        .with("limit", *limit)
        .with("pages", pages)
        .with("objects", seen.len())
        .with("pages_per_second", rate(pages, begin.elapsed()))
        .with_latencies(&latencies)
        .print(target.json);
    Ok(())
}

/// Notes the ids of a page, and returns how many it has.
fn remember(answer: &Answer, seen: &mut HashSet<String>) -> Result<usize, Failure> {
    let body = answer.json()?;
    let objects = body["data"].as_array().ok_or_else(|| answer.unexpected())?;
    for object in objects {
        let id = object["id"].as_str().ok_or_else(|| answer.unexpected())?;
        if !seen.insert(id.to_owned()) {
            return Err(Failure::Failed(format!("{id} came on two pages")));
        }
    }
    Ok(objects.len())
}

/// The path of the next page, below the URL of the server; `None` after the last one.
fn next_page(answer: &Answer, client: &Client) -> Result<Option<String>, Failure> {
    let Some(header) = answer.headers.get("next-page") else { return Ok(None) };
    let url = header.to_str().unwrap_or_default();
    match url.strip_prefix(client.base()) {
        Some(path) => Ok(Some(path.to_owned())),
        None => Err(Failure::Failed(format!("Next-Page leads to another server: {url}"))),
    }
}
