//! Who is told of reviews, and of what sign-off publishes (`remote-settings.md` §1.17-1.18).

use serde_json::{Value, json};

use crate::{
    harness::{SOURCE, user_id},
    notifications::{settle, slack, start},
    receivers::{Endpoint, Got, MailServer},
};

const EVENTS: &str = "kinto_remote_settings.signer.events";

#[tokio::test]
async fn reviews_are_told() {
    let (endpoint, server) = (Endpoint::start().await, MailServer::start().await);
    let harness = start(&endpoint, &server, &[]).await;
    let names = ["Requested", "Approved", "Rejected"];
    let mut hooks: Vec<Value> = names
        .iter()
        .map(|name| {
            json!({"event": format!("{EVENTS}.Review{name}"),
                   "template": format!("{name} {{user_id}} {{changes_count}} <{{comment}}>")})
        })
        .collect();
    hooks.push(json!({"template": "any {event}", "user_id": "x", "action": "^(?!create)", "resource_name": "collection"}));
    harness
        .alice
        .put(
            "/buckets/work",
            json!({"kinto-webhook": {"hooks": [
                {"webhook": "ci", "event": "^kinto_remote_settings", "template": "see {uri}"},
            ]}}),
        )
        .await
        .expect(201);
    harness.alice.put(SOURCE, slack(&json!(hooks))).await.expect(201);
    let (alice, bob) = (user_id(&harness.alice).await, user_id(&harness.bob).await);
    let reviewers = "/buckets/work/groups/c-reviewers";
    harness.alice.patch(reviewers, json!({"members": [bob]})).await.expect(200);
    harness.alice.put(&format!("{SOURCE}/records/r"), json!({"n": 1})).await.expect(201);
    let ask = json!({"status": "to-review", "last_editor_comment": "please"});
    harness.alice.patch(SOURCE, ask.clone()).await.expect(200);
    let decline = json!({"status": "work-in-progress", "last_reviewer_comment": "no"});
    harness.bob.patch(SOURCE, decline).await.expect(200);
    harness.alice.patch(SOURCE, ask).await.expect(200);
    harness.bob.patch(SOURCE, json!({"status": "to-sign"})).await.expect(200);

    settle(&harness, &endpoint).await;

    let texts = endpoint.texts("/slack");
    let reviews: Vec<&String> = texts.iter().filter(|text| !text.starts_with("any")).collect();
    assert_eq!(
        reviews,
        [
            &format!("Requested {alice} 1 <please>"),
            &format!("Rejected {bob}  <no>"),
            &format!("Requested {alice} 0 <please>"),
            &format!("Approved {bob} 1 <>"),
        ]
    );
    // A hook without `event` gets the ordinary change, what the plug-in writes, and the review.
    let approval = format!("any {EVENTS}.ReviewApproved");
    assert_eq!(texts.iter().filter(|text| **text == approval).count(), 1);
    let events: Vec<Value> = endpoint.got("/events").iter().map(Got::json).collect();
    assert_eq!(events.len(), 4, "the webhook of the bucket: {events:?}");
    assert_eq!(events[0]["type"], format!("{EVENTS}.ReviewRequested"));
    assert_eq!(events[0]["data"]["changes_count"], 1);
    assert_eq!(events[0]["data"]["text"], format!("see {SOURCE}"));
    assert_eq!(events[3]["data"]["impacted_objects"][0]["new"]["status"], "to-sign");
}

#[tokio::test]
async fn what_is_published_is_told_as_the_plug_in_s() {
    let (endpoint, server) = (Endpoint::start().await, MailServer::start().await);
    // Who may write the bucket of the destinations, and so give it hooks.
    let more = [("signer.destination_write_principals", "system.Authenticated")];
    let harness = start(&endpoint, &server, &more).await;
    let main = slack(&json!([{"template": "{user_id} {action} {id}", "resource_name": "record"}]));
    harness.alice.put("/buckets/main", main).await.expect(201);
    harness.alice.put("/buckets/work", json!({})).await.expect(201);
    harness.alice.put(SOURCE, json!({})).await.expect(201);
    let bob = user_id(&harness.bob).await;
    harness
        .alice
        .patch("/buckets/work/groups/c-reviewers", json!({"members": [bob]}))
        .await
        .expect(200);
    for id in ["r1", "r2"] {
        harness.alice.put(&format!("{SOURCE}/records/{id}"), json!({})).await.expect(201);
    }
    harness.publish().await;
    harness.alice.delete(&format!("{SOURCE}/records/r1")).await.expect(200);
    harness.publish().await;

    settle(&harness, &endpoint).await;

    let mut texts = endpoint.texts("/slack");
    texts[..2].sort();
    let plugin = "plugin:remote-settings";
    assert_eq!(
        texts,
        [
            format!("{plugin} create r1"),
            format!("{plugin} create r2"),
            format!("{plugin} delete r1")
        ]
    );
}
