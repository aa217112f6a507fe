//! Messages to incoming webhooks, as Slack and its likes have them (`remote-settings.md` §8.1).

use std::{path::Path, time::Duration};

use bytes::Bytes;
use http::{Request, Response, StatusCode, header};
use tokio::time::timeout;

use super::{Failure, Remedy};
use crate::{app::App, outgoing::OutgoingError, store::outbox::Claimed};

/// Longest time for an answer, as in the reference.
const PATIENCE: Duration = Duration::from_secs(5);

pub(super) async fn deliver(app: &App, entry: &Claimed) -> Result<(), Failure> {
    let Some(settings) = &app.config.notifications.slack else {
        return Err(Failure::new("messages are not switched on (includes: kinto_slack)"));
    };
    if let Some(directory) = &settings.debug_dir {
        leave(directory, entry).await?;
    }
    let url = match settings.route(entry.payload["channel"].as_str()) {
        (_, Some(url)) => url,
        (_, None) if settings.debug_dir.is_some() => return Ok(()),
        (_, None) => return Err(Failure::new("slack.webhook_url is not set")),
    };
    let request = Request::post(&url.0)
        .header(header::CONTENT_TYPE, "application/json")
        .body(Bytes::from(entry.payload.to_string()))
        .map_err(|_| Failure::new("the URL is none"))?;
    let sent = timeout(PATIENCE, app.outbox.outgoing.send(request));
    accepted(sent.await.unwrap_or(Err(OutgoingError::Late)))
}

async fn leave(directory: &Path, entry: &Claimed) -> Result<(), Failure> {
    let (directory, text) = (directory.to_owned(), entry.payload.to_string());
    let name = format!("{}.json", entry.id);
    let write = tokio::task::spawn_blocking(move || {
        std::fs::create_dir_all(&directory)?;
        std::fs::write(directory.join(name), text)
    });
    let written = write.await.map_err(Failure::new)?;
    written.map_err(|error| Failure::new(format!("slack.debug_dir: {error}")))
}

/// Whether an endpoint has accepted what it was sent: with 2xx, and nothing else.
pub(super) fn accepted(answer: Result<Response<Bytes>, OutgoingError>) -> Result<(), Failure> {
    let answer = answer.map_err(Failure::new)?;
    let status = answer.status();
    if status.is_success() {
        return Ok(());
    }
    // Slack says in the body what it does not like: `no_service`.
    let body = String::from_utf8_lossy(answer.body());
    let start: String = body.chars().filter(|c| !c.is_control()).take(200).collect();
    let text = format!("answered {} {start}", status.as_u16());
    let remedy = match (status, retry_after(&answer)) {
        (StatusCode::GONE, _) => Remedy::None,
        (_, Some(wait)) => Remedy::RetryAfter(wait),
        (_, None) => Remedy::Retry,
    };
    Err(Failure { text: text.trim_end().to_owned(), remedy })
}

fn retry_after(answer: &Response<Bytes>) -> Option<Duration> {
    let text = answer.headers().get(header::RETRY_AFTER)?.to_str().ok()?;
    text.trim().parse().ok().map(Duration::from_secs)
}

#[cfg(test)]
mod tests {
    use super::*;

    fn answer(status: u16, headers: &[(&str, &str)], body: &'static str) -> Result<(), Failure> {
        let mut response = Response::builder().status(status);
        for (name, value) in headers {
            response = response.header(*name, *value);
        }
        accepted(Ok(response.body(Bytes::from_static(body.as_bytes())).unwrap()))
    }

    #[test]
    fn only_2xx_is_accepted() {
        assert_eq!(answer(200, &[], "ok"), Ok(()));
        assert_eq!(answer(204, &[], ""), Ok(()));
        for (status, remedy) in [(302, Remedy::Retry), (500, Remedy::Retry), (410, Remedy::None)] {
            assert_eq!(answer(status, &[], "").unwrap_err().remedy, remedy);
        }
        assert_eq!(answer(404, &[], "no_service\n").unwrap_err().text, "answered 404 no_service");
        let wait = answer(429, &[("retry-after", "30")], "").unwrap_err().remedy;
        assert_eq!(wait, Remedy::RetryAfter(Duration::from_secs(30)));
    }
}
