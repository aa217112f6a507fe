//! Who is told of what (`remote-settings.md` §1.17, §8): hooks, filters, templates, recipients.

use serde_json::{Value, json};

use crate::{
    harness::{Harness, user_id},
    receivers::{Endpoint, MailServer},
};

const COLLECTION: &str = "/buckets/b/collections/c";
const RECORD: &str = "/buckets/b/collections/c/records/r";

/// A writer that sends messages to `endpoint`, and mail to `server`.
pub(crate) async fn start(
    endpoint: &Endpoint,
    server: &MailServer,
    more: &[(&str, &str)],
) -> Harness {
    let (url, port) = (endpoint.url("/slack"), server.address.port().to_string());
    let (alerts, events) = (endpoint.url("/alerts"), endpoint.url("/events"));
    let mut settings = vec![
        ("includes", "kinto_slack kinto_emailer"),
        ("outgoing.allowed_hosts", "127.0.0.1"),
        ("slack.webhook_url", url.as_str()),
        ("slack.alerts.webhook_url", alerts.as_str()),
        ("notifications.webhooks", "ci"),
        ("webhook.ci.url", events.as_str()),
        ("webhook.ci.secret", "0123456789abcdef"),
        ("mail.host", "127.0.0.1"),
        ("mail.port", port.as_str()),
        ("mail.default_sender", "Settings <settings@example.com>"),
        ("outbox.poll_ms", "50"),
        ("outbox.retry_min_ms", "20"),
    ];
    settings.extend(more);
    Harness::with(&settings).await
}

pub(crate) fn slack(hooks: &Value) -> Value {
    json!({"kinto-slack": {"hooks": hooks}})
}

/// Makes bucket and collection with these metadata.
async fn make(harness: &Harness, bucket: Value, collection: Value) {
    harness.alice.put("/buckets/b", bucket).await.expect(201);
    harness.alice.put(COLLECTION, collection).await.expect(201);
}

/// Writes once more, and waits for the message about it: whatever came before has been sent then.
pub(crate) async fn settle(harness: &Harness, endpoint: &Endpoint) {
    let hooks = slack(
        &json!([{"channel": "#alerts", "template": "end", "action": "create", "resource_name": "record"}]),
    );
    harness.alice.put("/buckets/end", json!({})).await.expect(201);
    harness.alice.put("/buckets/end/collections/c", hooks).await.expect(201);
    harness.alice.put("/buckets/end/collections/c/records/r", json!({})).await.expect(201);
    endpoint.wait("/alerts", 1).await;
    let all = async || {
        let row = harness.database.owner().await;
        let row = row.query_one("select count(*) from outbox", &[]).await.unwrap();
        (row.get::<_, i64>(0) == 0).then_some(())
    };
    crate::receivers::eventually("an empty outbox", all).await;
}

#[tokio::test]
async fn what_is_switched_on_is_a_capability() {
    let off = Harness::start().await;
    let capabilities = off.anonymous.get("/").await.json["capabilities"].clone();
    assert!(capabilities.get("slack").is_none() && capabilities.get("emailer").is_none());

    let on = start(&Endpoint::start().await, &MailServer::start().await, &[]).await;
    let capabilities = on.anonymous.get("/").await.json["capabilities"].clone();
    assert_eq!(
        capabilities["emailer"],
        json!({
            "description": "Provide emailing capabilities to the server.",
            "url": "https://github.com/Kinto/kinto-emailer/",
        })
    );
    assert_eq!(capabilities["slack"]["description"], "Slack notifications plugin for Kinto");
}

#[tokio::test]
async fn hooks_are_checked_when_they_are_written() {
    let more = [("notifications.allowed_domains", "example.com example.org")];
    let harness = start(&Endpoint::start().await, &MailServer::start().await, &more).await;
    harness.alice.put("/buckets/b", json!({})).await.expect(201);
    let mail = |hook: Value| json!({"kinto-emailer": {"hooks": [hook]}});
    let to = |recipients: Value| mail(json!({"template": "x", "recipients": recipients}));
    let webhook = |hook: Value| json!({"kinto-webhook": {"hooks": [hook]}});

    for (data, message) in [
        (slack(&json!([{}])), "kinto-slack in body: Hook is missing 'template'"),
        (slack(&json!([{"channel": "#x"}])), "kinto-slack in body: Hook is missing 'template'"),
        (json!({"kinto-emailer": {}}), "body: Missing \"hooks\"."),
        (mail(json!({"recipients": ["a@example.com"]})), "body: Missing \"template\"."),
        (mail(json!({"template": "x"})), "body: Empty list of recipients."),
        (to(json!([])), "body: Empty list of recipients."),
        (to(json!(["a", "b@example.com", "c d"])), "body: Invalid recipients a, c d"),
        (
            to(json!(["/buckets/b/groups/g", "/buckets/c/groups/g"])),
            "body: Invalid bucket for groups /buckets/c/groups/g",
        ),
        // Where the reference fails later, or does not look.
        (
            to(json!(["a@example.com", "a@evil.net"])),
            "body: Mail cannot be sent to the domains of a@evil.net",
        ),
        (
            slack(&json!([{"template": "{user_id.__class__}"}])),
            "kinto-slack in body: Invalid \"template\": attributes cannot be read: write {name[key]}",
        ),
        (
            slack(&json!([{"template": "x", "collection_id": "^("}])),
            "kinto-slack in body: Invalid pattern '^(': it is no regular expression",
        ),
        (
            slack(&json!([{"template": "x", "action": 3}])),
            "kinto-slack in body: \"action\" is not a text.",
        ),
        (slack(&json!("x")), "kinto-slack in body: \"hooks\" is not a list."),
        (webhook(json!({})), "kinto-webhook in body: Missing \"webhook\"."),
        (webhook(json!({"webhook": "x"})), "kinto-webhook in body: Unknown webhook x"),
        (
            webhook(json!({"webhook": "https://evil.net/"})),
            "kinto-webhook in body: Unknown webhook https://evil.net/",
        ),
    ] {
        for path in [COLLECTION, "/buckets/b"] {
            let refused = harness.alice.put(path, data.clone()).await.expect(400).json;
            assert_eq!((&refused["errno"], &refused["message"]), (&json!(107), &json!(message)));
            assert_eq!(refused["details"][0]["location"], "body");
        }
    }
    let good = json!({
        "kinto-slack": {},
        "kinto-emailer": {"hooks": [{
            "template": "{user_id} requested review on {uri}.",
            "recipients": ["Alice <a@example.com>", "/buckets/b/groups/{collection_id}-reviewers"],
        }]},
    });
    harness.alice.put(COLLECTION, good).await.expect(201);
    let patch = json!({"kinto-emailer": {"hooks": [{}]}});
    harness.alice.patch(COLLECTION, patch).await.expect(400);
}

#[tokio::test]
async fn a_wrong_hook_is_one_failed_reply_of_its_batch() {
    let harness = start(&Endpoint::start().await, &MailServer::start().await, &[]).await;
    let request =
        |path: &str, data: Value| json!({"method": "PUT", "path": path, "body": {"data": data}});
    let batch = json!({"requests": [
        request("/buckets/b", json!({})),
        request(COLLECTION, slack(&json!([{}]))),
        request(COLLECTION, json!({})),
    ]});

    let replies = harness.alice.send("POST", "/batch", batch).await.expect(200).json;

    let statuses: Vec<_> =
        replies["responses"].as_array().unwrap().iter().map(|r| &r["status"]).collect();
    assert_eq!(statuses, [201, 400, 201]);
}

#[tokio::test]
async fn a_collection_s_hooks_go_before_its_bucket_s() {
    let (endpoint, server) = (Endpoint::start().await, MailServer::start().await);
    let harness = start(&endpoint, &server, &[]).await;
    let bucket = slack(&json!([{"template": "bucket {action} {resource_name} {id}"}]));
    make(&harness, bucket, slack(&json!([{"template": "own {action} {resource_name} {id}"}])))
        .await;
    harness.alice.put(RECORD, json!({})).await.expect(201);
    harness.alice.put("/buckets/b/collections/d", json!({})).await.expect(201);
    harness.alice.put("/buckets/b/collections/d/records/r", json!({})).await.expect(201);
    harness.alice.put("/buckets/b/collections/e", slack(&json!([]))).await.expect(201);
    harness.alice.delete(RECORD).await.expect(200);
    harness.alice.delete(COLLECTION).await.expect(200);
    harness.alice.put("/buckets/b/groups/g", json!({"members": []})).await.expect(201);

    settle(&harness, &endpoint).await;

    assert_eq!(
        endpoint.texts("/slack"),
        [
            "own create collection c",
            "own create record r",
            "bucket create collection d",
            "bucket create record r",
            "own delete record r",
            "own delete collection c",
        ]
    );
}

#[tokio::test]
async fn filters_choose_events() {
    let (endpoint, server) = (Endpoint::start().await, MailServer::start().await);
    let harness = start(&endpoint, &server, &[]).await;
    let hooks = json!([
        {"template": "1", "action": "create"},
        {"template": "2", "event": "kinto.core.events.ResourceChanged", "resource_name": "record"},
        {"template": "3", "event": "kinto.core.events.AfterResourceChanged", "id": "r"},
        {"template": "4", "event": "^kinto[.]core[.]events[.]After", "action": "^(up|cre)"},
        {"template": "5", "record_id": "r"},
        {"template": "6", "record_id": "^(?!r)"},
        {"template": "7", "collection_id": "^(?!c$)"},
        {"template": "8", "event": "^kinto_remote"},
        {"template": "9", "unknown": "x", "resource_name": "collection"},
    ]);
    make(&harness, json!({}), slack(&hooks)).await;
    harness.alice.put(RECORD, json!({})).await.expect(201);
    harness.alice.patch(RECORD, json!({"n": 1})).await.expect(200);

    settle(&harness, &endpoint).await;

    // Of the collection, of the new record, of its change. The reference's `{record_id}` of a
    // collection is matched by 6.
    assert_eq!(endpoint.texts("/slack").join(""), "1469".to_owned() + "12345" + "2345");
}

#[tokio::test]
async fn templates_tell_of_event_and_request() {
    let (endpoint, server) = (Endpoint::start().await, MailServer::start().await);
    let harness = start(&endpoint, &server, &[("project_name", "Remote Settings")]).await;
    let template = "{{{user_id}}} {bucket_id}/{collection_id}/{record_id} {uri} {event} \
                    {settings[project_name]} {settings[userid_hmac_secret]} {root_url} \
                    {client_address} {user_agent} {impacted_objects[0][new][n]} <{nothing}>";
    make(&harness, json!({}), slack(&json!([{"template": template, "resource_name": "record"}])))
        .await;
    let headers =
        [("content-type", "application/json"), ("user-agent", "tests/1"), ("host", "h.org")];
    let data = json!({"data": {"n": [1, "é"]}}).to_string();
    harness.alice.raw("PUT", RECORD, &headers, data).await.expect(201);

    settle(&harness, &endpoint).await;

    let alice = user_id(&harness.alice).await;
    let expected = format!(
        "{{{alice}}} b/c/r {RECORD} kinto.core.events.ResourceChanged Remote Settings  \
         http://h.org/v1/ 127.0.0.1 tests/1 [1, 'é'] <>"
    );
    assert_eq!(endpoint.texts("/slack"), [expected]);
    let body = endpoint.got("/slack")[0].json();
    assert_eq!(body["channel"], Value::Null, "without a channel");
}

#[tokio::test]
async fn each_message_tells_of_its_own_request() {
    let (endpoint, server) = (Endpoint::start().await, MailServer::start().await);
    let harness = start(&endpoint, &server, &[]).await;
    let hooks = json!([{"template": "{id} {user_agent}", "resource_name": "record"}]);
    make(&harness, json!({}), slack(&hooks)).await;
    // They wait for each other, and are committed together.
    let writes = (0..40).map(|number| {
        let (alice, id) = (harness.alice.clone(), format!("r{number}"));
        async move {
            let path = format!("/buckets/b/collections/c/records/{id}");
            let headers = [("content-type", "application/json"), ("user-agent", id.as_str())];
            alice.raw("PUT", &path, &headers, "{}").await.expect(201);
        }
    });
    futures_util::future::join_all(writes).await;

    settle(&harness, &endpoint).await;

    let texts = endpoint.texts("/slack");
    assert_eq!(texts.len(), 40);
    for text in texts {
        let (id, agent) = text.split_once(' ').unwrap();
        assert_eq!(id, agent);
    }
}

#[tokio::test]
async fn channels_are_routed() {
    let (endpoint, server) = (Endpoint::start().await, MailServer::start().await);
    let harness = start(&endpoint, &server, &[]).await;
    let hooks = json!([
        {"template": "routed", "channel": "#alerts", "resource_name": "record"},
        {"template": "not routed", "channel": "#other", "resource_name": "record"},
    ]);
    make(&harness, json!({}), slack(&hooks)).await;
    harness.alice.put(RECORD, json!({})).await.expect(201);

    let alerts = endpoint.wait("/alerts", 1).await;
    let others = endpoint.wait("/slack", 1).await;

    assert_eq!(alerts[0].json(), json!({"channel": "#alerts", "text": "routed"}));
    assert_eq!(others[0].json(), json!({"channel": "#other", "text": "not routed"}));
}

#[tokio::test]
async fn mail_goes_to_addresses_and_members_of_groups() {
    let (endpoint, server) = (Endpoint::start().await, MailServer::start().await);
    let more = [("notifications.allowed_domains", "x.org")];
    let harness = start(&endpoint, &server, &more).await;
    let hook = |recipients: Value| {
        json!({"template": "{user_agent}: {id} of {collection_id} changed: {nothing}é", "subject": "{action} {id}",
               "recipients": recipients, "resource_name": "record"})
    };
    let hooks = json!([
        hook(json!(["Ann <ann@x.org>", "/buckets/b/groups/{collection_id}-reviewers"])),
        hook(json!(["/buckets/b/groups/missing"])),
        {"template": "second", "recipients": ["last@x.org"], "sender": "Other <o@y.org>", "resource_name": "record"},
    ]);
    make(&harness, json!({}), json!({"kinto-emailer": {"hooks": hooks}})).await;
    let members = ["ldap:m@x.org", "account:bob", "ANN@x.org", "n@elsewhere.org"];
    harness
        .alice
        .put("/buckets/b/groups/c-reviewers", json!({"members": members}))
        .await
        .expect(201);
    harness.alice.put(RECORD, json!({})).await.expect(201);

    let letters = server.wait(2).await;
    settle(&harness, &endpoint).await;

    assert_eq!(server.letters().len(), 2, "no recipients, no mail");
    assert_eq!(letters[0].from, "settings@example.com");
    assert_eq!(letters[0].to, ["ann@x.org", "m@x.org"]);
    for line in [
        "From: Settings <settings@example.com>\r\n",
        "Subject: create r\r\n",
        "To: Ann <ann@x.org>, m@x.org\r\n",
    ] {
        assert!(letters[0].text.contains(line), "{}", letters[0].text);
    }
    assert!(letters[0].text.contains(": r of c changed: =C3=A9"), "{}", letters[0].text);
    assert_eq!(
        (letters[1].from.as_str(), &letters[1].to[..]),
        ("o@y.org", &["last@x.org".to_owned()][..])
    );
    assert!(letters[1].text.contains("Subject: New message\r\n"));
}

#[tokio::test]
async fn a_batch_is_told_completely_or_not_at_all() {
    let (endpoint, server) = (Endpoint::start().await, MailServer::start().await);
    let harness = start(&endpoint, &server, &[]).await;
    let hooks = json!([{"template": "{action} {id}", "subject": "{action} {id}", "recipients": ["a@x.org"]}]);
    let bucket = json!({"kinto-slack": {"hooks": hooks}, "kinto-emailer": {"hooks": hooks}});
    harness.alice.put("/buckets/work", json!({})).await.expect(201);
    harness.alice.put("/buckets/b", bucket).await.expect(201);
    harness.alice.put("/buckets/b/collections/plain", json!({})).await.expect(201);
    let records = "/buckets/b/collections/plain/records";
    let request = |method: &str, path: &str, data: Value| json!({"method": method, "path": path, "body": {"data": data}});
    let mut requests = vec![
        request("PUT", &format!("{records}/a"), json!({})),
        request("PUT", &format!("{records}/a"), json!({"n": 2})),
        request("PUT", &format!("{records}/b"), json!({})),
        request("DELETE", &format!("{records}/b"), json!({})),
        request("PUT", "/buckets/b/collections/other", json!({})),
    ];
    harness.alice.send("POST", "/batch", json!({"requests": requests})).await.expect(200);
    server.wait(6).await;
    // A refusal of the workflow rolls all back, so that nobody hears of it.
    requests.truncate(1);
    requests[0]["path"] = format!("{records}/never").into();
    requests.push(request("PUT", "/buckets/work/collections/c", json!({"status": "signed"})));
    harness.alice.send("POST", "/batch", json!({"requests": requests})).await.expect(400);

    settle(&harness, &endpoint).await;

    let told = ["create plain", "create a", "update a", "create b", "delete b", "create other"];
    let texts = endpoint.texts("/slack");
    assert_eq!(texts[..6], told[..]);
    assert!(!texts.iter().any(|text| text.contains("never")), "{texts:?}");
    let subjects: Vec<String> = server
        .letters()
        .iter()
        .map(|letter| {
            let subject = letter.text.lines().find(|line| line.starts_with("Subject: ")).unwrap();
            subject.replace("Subject: ", "")
        })
        .collect();
    assert_eq!(subjects, told, "mail, too, tells all");
}

#[tokio::test]
async fn webhooks_of_the_settings_need_no_hook() {
    let (endpoint, server) = (Endpoint::start().await, MailServer::start().await);
    let more = [
        ("includes", ""),
        ("webhook.ci.resources", "/buckets/b/collections/c"),
        ("webhook.ci.action", "^(create|delete)"),
    ];
    let harness = start(&endpoint, &server, &more).await;
    make(&harness, slack(&json!([{}])), json!({"kinto-emailer": "anything: the plug-in is off"}))
        .await;
    harness.alice.put("/buckets/b/collections/d", json!({})).await.expect(201);
    harness.alice.put(RECORD, json!({"n": 1})).await.expect(201);
    harness.alice.put(RECORD, json!({"n": 2})).await.expect(200);
    harness.alice.delete(RECORD).await.expect(200);

    let got = endpoint.wait("/events", 3).await;

    let uris: Vec<Value> = got.iter().map(|one| one.json()["data"]["uri"].clone()).collect();
    assert_eq!(uris, [COLLECTION, RECORD, RECORD]);
    assert_eq!(got[2].json()["data"]["impacted_objects"][0]["old"]["n"], 2);
}
