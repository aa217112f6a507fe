//! Events for webhooks, signed as Standard Webhooks asks: HMAC-SHA-256 over id, time and body.

use aws_lc_rs::hmac;
use base64::{Engine as _, engine::general_purpose::STANDARD};
use bytes::Bytes;
use http::{Request, header};
use shared::model::Timestamp;

use super::{Failure, slack::accepted};
use crate::{app::App, store::outbox::Claimed};

pub(super) async fn deliver(app: &App, entry: &Claimed) -> Result<(), Failure> {
    let name = entry.target.strip_prefix("webhook.").unwrap_or_default();
    let Some(webhook) = app.config.notifications.webhooks.get(name) else {
        return Err(Failure::new(format!("notifications.webhooks does not name {name}")));
    };
    let body = entry.payload.to_string();
    // Of this attempt: receivers refuse what was sent long ago.
    let seconds = Timestamp::now().as_millis() / 1_000;
    let request = Request::post(&webhook.url.0)
        .header(header::CONTENT_TYPE, "application/json")
        .header("webhook-id", &entry.id)
        .header("webhook-timestamp", seconds)
        .header("webhook-signature", signature(&webhook.key.0, &entry.id, seconds, &body))
        .body(Bytes::from(body))
        .map_err(|_| Failure::new("the URL is none"))?;
    accepted(app.outbox.outgoing.send(request).await)
}

fn signature(key: &[u8], id: &str, seconds: i64, body: &str) -> String {
    let key = hmac::Key::new(hmac::HMAC_SHA256, key);
    let tag = hmac::sign(&key, format!("{id}.{seconds}.{body}").as_bytes());
    format!("v1,{}", STANDARD.encode(tag))
}

#[cfg(test)]
mod tests {
    use super::*;

    /// The example of the specification of Standard Webhooks.
    #[test]
    fn signatures_are_those_of_standard_webhooks() {
        let key = STANDARD.decode("MfKQ9r8GKYqrTwjUPD8ILPZIo2LaLaSw").unwrap();

        let signature = signature(
            &key,
            "msg_p5jXN8AQM9LWM0D4loKWxJek",
            1_614_265_330,
            r#"{"test": 2432232314}"#,
        );

        assert_eq!(signature, "v1,g0hM9SsE+OTPJTGt/tmIKtSyZlE3uFJELVlNIOLJ1OE=");
    }
}
