//! Mail: to servers that are busy, away, or speak TLS, and into directories
//! (`remote-settings.md` §8.2).

use std::sync::Arc;

use serde_json::{Value, json};
use shared::testing::TestDatabase;
use tokio::net::TcpListener;

use crate::{
    harness::Harness,
    outbox::{Running, entries, outbox, pairs, quick, until_dead, until_empty, write},
    receivers::{MailServer, Tls, eventually},
};

/// Settings for mail about every record to these recipients, by a hook.
async fn mail_harness(server: &MailServer, recipients: Value, more: &[(&str, &str)]) -> Harness {
    let port = server.address.port().to_string();
    let quick = quick("");
    let mut settings = pairs(&quick);
    settings.extend([
        ("includes", "kinto_emailer"),
        ("mail.host", "127.0.0.1"),
        ("mail.port", port.as_str()),
    ]);
    settings.extend(more);
    let harness = Harness::with(&settings).await;
    harness.alice.put("/buckets/b", json!({})).await.expect(201);
    harness.alice.put("/buckets/b/collections/c", hook(&recipients)).await.expect(201);
    harness
}

fn hook(recipients: &Value) -> Value {
    json!({"kinto-emailer": {"hooks": [
        {"template": "{uri}", "recipients": recipients, "resource_name": "record"},
    ]}})
}

#[tokio::test]
async fn a_busy_mail_server_is_asked_again_and_a_refused_recipient_harms_no_other() {
    let server = MailServer::start().await;
    let recipients = json!(["good@x.org", "refused@x.org", "busy@x.org"]);
    let harness = mail_harness(&server, recipients, &[("outbox.max_attempts", "6")]).await;

    write(&harness.alice, "r").await;
    let letters = server.wait(2).await;
    let (_, _, error) = until_dead(&harness.database).await;

    let mut to: Vec<&String> = letters.iter().flat_map(|letter| &letter.to).collect();
    to.sort();
    assert_eq!(to, ["busy@x.org", "good@x.org"]);
    let head = "To: good@x.org, refused@x.org, busy@x.org\r\n";
    assert!(letters.iter().all(|letter| letter.text.contains(head)), "{letters:?}");
    assert!(error.contains("no such user"), "{error}");
    eventually("one is left", async || (entries(&harness.database).await.len() == 1).then_some(()))
        .await;
    assert_eq!(server.letters().len(), 2);
}

#[tokio::test]
async fn a_mail_server_that_is_away_gets_its_mail_later() {
    let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
    let away = MailServer::start().await;
    let port = listener.local_addr().unwrap().port().to_string();
    drop(listener);
    let harness = mail_harness(&away, json!(["a@x.org"]), &[("mail.port", &port)]).await;
    write(&harness.alice, "r").await;
    let (attempts, ..) = until_dead(&harness.database).await;
    assert_eq!(attempts, 3);

    // Another writer knows the right port.
    let right = away.address.port().to_string();
    let quick = quick("");
    let mut settings = pairs(&quick);
    settings.extend([
        ("includes", "kinto_emailer"),
        ("mail.host", "127.0.0.1"),
        ("mail.port", &right),
    ]);
    let (_running, _) = Running::start(&harness.database, &settings).await;
    let repeat = async || {
        outbox(&harness.database, &["retry", "--dead"]);
        Some(away.letters()).filter(|letters| !letters.is_empty())
    };
    let letters = eventually("mail", repeat).await;
    assert_eq!(letters[0].to, ["a@x.org"]);
}

#[tokio::test]
async fn a_wrong_password_is_the_operator_s_not_the_mail_s() {
    let server = MailServer::start().await;
    let more = [("mail.username", "robot"), ("mail.password", "wrong-password")];
    let harness = mail_harness(&server, json!(["a@x.org", "b@x.org"]), &more).await;
    write(&harness.alice, "r").await;

    let (attempts, _, error) = until_dead(&harness.database).await;

    assert_eq!(attempts, 3, "it was repeated: {error}");
    assert!(error.contains("bad") && !error.contains("wrong-password"), "{error}");
    assert_eq!(entries(&harness.database).await.len(), 1, "for all recipients together");
}

#[tokio::test]
async fn mail_is_sent_through_tls_with_a_password() {
    let directory = std::env::temp_dir().join(format!("mail-test-{}", uuid::Uuid::new_v4()));
    std::fs::create_dir_all(&directory).unwrap();
    let file = directory.join("root.pem");
    let tls = acceptor(&file);
    for (when, setting) in [(Tls::OnRequest, "mail.tls"), (Tls::Always, "mail.ssl")] {
        let server = MailServer::with(when, Some(tls.clone())).await;
        let database = TestDatabase::create().await;
        let port = server.address.port().to_string();
        let quick = quick("");
        let mut settings = pairs(&quick);
        settings.extend([
            ("includes", "kinto_emailer"),
            ("mail.host", "localhost"),
            ("mail.port", port.as_str()),
            ("mail.username", "robot"),
            ("mail.password", "right-password"),
            (setting, "true"),
            ("SSL_CERT_FILE", file.to_str().unwrap()),
        ]);
        let (_running, alice) = Running::start(&database, &settings).await;
        alice.put("/buckets/b", json!({})).await.expect(201);
        alice.put("/buckets/b/collections/c", hook(&json!(["a@x.org"]))).await.expect(201);
        write(&alice, "r").await;

        let letters = server.wait(1).await;

        assert_eq!(letters[0].to, ["a@x.org"], "{when:?}");
        let commands = server.commands.lock().unwrap().clone();
        assert!(commands.iter().any(|line| line.starts_with("AUTH PLAIN ")), "{commands:?}");
        let starts = commands.iter().filter(|line| *line == "STARTTLS").count();
        assert_eq!(starts, usize::from(when == Tls::OnRequest));
    }
    // A server that does not offer TLS gets nothing: neither mail nor password.
    let plain = MailServer::start().await;
    let more = [("mail.tls", "true"), ("mail.username", "robot"), ("mail.password", "x")];
    let harness = mail_harness(&plain, json!(["a@x.org"]), &more).await;
    write(&harness.alice, "r").await;
    until_dead(&harness.database).await;
    let commands = plain.commands.lock().unwrap().clone();
    assert!(!commands.iter().any(|line| line.starts_with("AUTH")), "{commands:?}");
    std::fs::remove_dir_all(directory).unwrap();
}

/// A certificate for `localhost` that is its own root, which is written to `file`.
fn acceptor(file: &std::path::Path) -> tokio_rustls::TlsAcceptor {
    let made = rcgen::generate_simple_self_signed(["localhost".to_owned()]).unwrap();
    std::fs::write(file, made.cert.pem()).unwrap();
    let key = rustls::pki_types::PrivateKeyDer::try_from(made.signing_key.serialize_der()).unwrap();
    let provider = Arc::new(rustls::crypto::aws_lc_rs::default_provider());
    let config = rustls::ServerConfig::builder_with_provider(provider)
        .with_safe_default_protocol_versions()
        .unwrap()
        .with_no_client_auth()
        .with_single_cert(vec![made.cert.der().clone()], key)
        .unwrap();
    Arc::new(config).into()
}

#[tokio::test]
async fn mail_and_messages_can_be_left_in_directories() {
    let server = MailServer::start().await;
    let directory = std::env::temp_dir().join(format!("queue-test-{}", uuid::Uuid::new_v4()));
    let (queue, messages) = (directory.join("queue"), directory.join("slack"));
    let more = [
        ("includes", "kinto_emailer kinto_slack"),
        ("mail.queue_path", queue.to_str().unwrap()),
        ("slack.debug_dir", messages.to_str().unwrap()),
    ];
    let harness = mail_harness(&server, json!(["A <a@x.org>"]), &more).await;
    let hooks = json!({"kinto-slack": {"hooks": [{"template": "{id}", "action": "create"}]}});
    harness.alice.patch("/buckets/b/collections/c", hooks).await.expect(200);
    write(&harness.alice, "r").await;
    until_empty(&harness.database).await;

    let only = |path: &std::path::Path| {
        let mut files = std::fs::read_dir(path).unwrap();
        let file = files.next().unwrap().unwrap().path();
        assert!(files.next().is_none());
        std::fs::read_to_string(file).unwrap()
    };
    let mail = only(&queue.join("new"));
    assert!(
        mail.starts_with("X-Actually-From: countersign@localhost\r\nX-Actually-To: a@x.org\r\n"),
        "{mail}"
    );
    assert!(mail.contains("To: A <a@x.org>\r\n"));
    assert_eq!(only(&messages), json!({"channel": null, "text": "r"}).to_string());
    assert!(server.letters().is_empty());
    std::fs::remove_dir_all(directory).unwrap();
}
