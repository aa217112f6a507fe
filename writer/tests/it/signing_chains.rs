//! The certificates behind a service's signatures (`remote-settings.md` §2.9-2.10): what clients
//! would not trust, or cannot have, is not published.

use std::time::{Duration, Instant};

use rcgen::{BasicConstraints, DnType, IsCa};
use serde_json::{Value, json};
use shared::testing::TestReply;

use crate::{
    authority::{Authority, HOST, days, pin},
    autograph::{Autograph, Mood, Page},
    harness::{Harness, SOURCE},
    signing::{MAIN, approve, check_signed, expect_unavailable, harness, under_review},
};

const KEY: &str = "remote-settings";

async fn refresh(harness: &Harness) -> TestReply {
    harness.alice.patch(SOURCE, json!({"status": "to-resign"})).await
}

async fn published(harness: &Harness) -> Value {
    harness.anonymous.get(MAIN).await.expect(200).json
}

/// Whatever is at the URL: 503 and nothing changes, until a good chain is there.
#[tokio::test]
async fn a_chain_that_clients_would_refuse_stops_the_publication() {
    let autograph = Autograph::start().await;
    let harness = under_review(&autograph, &[]).await;
    let before = published(&harness).await;
    let pem = autograph.pem(KEY);
    let (ours, other) = (&autograph.authority, Authority::new());
    let good = ours.chain(pem);
    let (leaf, above) = good.split_at(good.find("-----END").unwrap() + 26);
    let forged = other.chain(pem);
    let stranger = forged.find("-----END").unwrap() + 26;
    let pages = [
        ("expired", Page::Text(ours.chain_with(pem, |leaf| leaf.not_after = days(-1)))),
        ("early", Page::Text(ours.chain_with(pem, |leaf| leaf.not_before = days(1)))),
        ("another-key", Page::Text(ours.chain(autograph.pem("next")))),
        ("no-usage", Page::Text(ours.chain_with(pem, |leaf| leaf.extended_key_usages.clear()))),
        (
            "authority",
            Page::Text(ours.chain_with(pem, |leaf| {
                leaf.is_ca = IsCa::Ca(BasicConstraints::Unconstrained);
            })),
        ),
        (
            "two-names",
            Page::Text(ours.chain_with(pem, |leaf| {
                leaf.distinguished_name.push(DnType::CommonName, "another");
            })),
        ),
        ("leaf-only", Page::Text(leaf.to_owned())),
        ("no-leaf", Page::Text(above.to_owned())),
        ("other-issuer", Page::Text(format!("{}{above}", &forged[..stranger]))),
        ("html", Page::Text("<html>".to_owned())),
        ("empty", Page::Text(String::new())),
        ("huge", Page::Text(good.repeat(2_000))),
        ("status", Page::Status(404)),
        ("broken", Page::Status(500)),
        ("moved", Page::Status(302)),
        ("silent", Page::Nothing),
    ];
    for (name, page) in pages {
        autograph.certify(KEY, name, page);
        let started = Instant::now();
        expect_unavailable(&approve(&harness).await, name);

        assert!(started.elapsed() < Duration::from_secs(4), "{name}");
        assert_eq!(published(&harness).await, before, "{name}");
        assert_eq!(harness.status().await, "to-review", "{name}");
    }
    for elsewhere in ["http://127.0.0.1:9/a.chain", "file:///etc/a.chain", "https://a b/"] {
        autograph.certify(KEY, elsewhere, Page::Status(404));
        expect_unavailable(&approve(&harness).await, elsewhere);
    }
    // An edit signs nothing.
    harness.alice.put("/buckets/work/collections/c/records/r", json!({"n": 2})).await.expect(200);

    autograph.certify(KEY, "good", Page::Text(good));
    harness.publish().await;
    check_signed(&harness.anonymous, MAIN, &[autograph.key(KEY)]).await;
}

#[tokio::test]
async fn a_chain_counts_when_its_root_is_pinned_and_its_name_is_the_expected_one() {
    let autograph = Autograph::start().await;
    let ours = pin(&autograph.authority.chain(autograph.pem(KEY))).to_string();
    let others = pin(&Authority::new().chain(autograph.pem(KEY))).to_string();
    let both = format!("{others} {ours}");
    for (roots, host, status) in [
        (ours.as_str(), "", 201),
        (&both, HOST, 201),
        ("", &HOST.to_uppercase(), 201),
        (&others, "", 503),
        (&ours, "onecrl.content-signature.mozilla.org", 503),
        ("", "settings.mozilla.org", 503),
    ] {
        let more = [("signer.autograph.root_hashes", roots), ("signer.autograph.host", host)];
        let harness = harness(&autograph, &more).await;
        let reply = harness.alice.put(SOURCE, json!({})).await;
        assert_eq!(reply.status, status, "{roots} {host}: {}", reply.json);
    }
}

/// Where chains may be is said by `outgoing.*`: the service chooses the URL, not the operator.
#[tokio::test]
async fn a_chain_at_a_private_address_is_not_fetched() {
    let autograph = Autograph::start().await;
    let harness = harness(&autograph, &[("outgoing.allowed_hosts", "")]).await;

    expect_unavailable(&harness.alice.put(SOURCE, json!({})).await, "a private address");

    assert_eq!(autograph.fetched(), 0);
    let unchecked = harness.again(&settings(&autograph, false)).await.as_user("alice");
    unchecked.put(SOURCE, json!({})).await.expect(201);
    assert_eq!(autograph.fetched(), 0, "`verify_chain` is off");
}

fn settings(autograph: &Autograph, verify_chain: bool) -> Vec<(&'static str, &str)> {
    vec![
        ("signer.signer_backend", "autograph"),
        ("signer.autograph.server_url", &autograph.url),
        ("signer.autograph.hawk_id", crate::autograph::HAWK.0),
        ("signer.autograph.hawk_secret", crate::autograph::HAWK.1),
        ("signer.autograph.verify_chain", if verify_chain { "true" } else { "false" }),
    ]
}

#[tokio::test]
async fn a_chain_is_fetched_once_and_again_when_another_one_is_there() {
    let autograph = Autograph::start().await;
    let harness = under_review(&autograph, &[]).await;
    autograph.fetched();

    approve(&harness).await.expect(200);
    refresh(&harness).await.expect(200);
    assert_eq!(autograph.fetched(), 0, "it is known since the source was made");

    // The service takes another certificate, and then breaks the URL of the first.
    let renewed = autograph.authority.chain(autograph.pem(KEY));
    autograph.certify(KEY, "renewed", Page::Text(renewed.clone()));
    refresh(&harness).await.expect(200);
    assert_eq!(autograph.fetched(), 2, "once each target, at the same time");
    autograph.certify(KEY, "renewed", Page::Status(404));
    refresh(&harness).await.expect(200);
    let signatures = check_signed(&harness.anonymous, MAIN, &[autograph.key(KEY)]).await;
    assert_eq!(signatures[0]["x5u"], format!("{}/chains/renewed", autograph.url));

    // Readers have both: they serve them, and may verify by a root.
    let owner = harness.database.owner().await;
    let rows = owner.query("select path, pem from certificate_chain order by path", &[]).await;
    let rows: Vec<(String, String)> =
        rows.unwrap().iter().map(|row| (row.get(0), row.get(1))).collect();
    let paths: Vec<&str> = rows.iter().map(|(path, _)| path.as_str()).collect();
    assert_eq!(paths, ["chains/remote-settings.chain", "chains/renewed"]);
    assert_eq!(rows[1].1, renewed.replace("\r\n", "\n"));
}

#[tokio::test]
async fn a_heartbeat_tells_when_the_service_s_certificate_ends() {
    let autograph = Autograph::start().await;
    let pem = autograph.pem(KEY);
    let soon = autograph.authority.chain_with(pem, |leaf| leaf.not_after = days(9));
    autograph.certify(KEY, "soon", Page::Text(soon));
    let harness = harness(&autograph, &[]).await;

    let told =
        harness.anonymous.get("/__heartbeat__").await.expect(200).json["certificates"].clone();
    assert_eq!((&told[0]["host"], &told[0]["warning"]), (&json!(HOST), &json!(true)));
    assert!((8..=9).contains(&(told[0]["leaf_seconds"].as_i64().unwrap() / 86_400)), "{told}");
    let metrics = harness.anonymous.get("/__metrics__").await.bytes;
    let line =
        format!("countersign_certificate_expiry_seconds{{certificate=\"leaf\",host=\"{HOST}\"}} 7");
    assert!(String::from_utf8_lossy(&metrics).contains(&line), "777,6xx seconds");

    autograph.certify(KEY, "gone", Page::Status(404));
    autograph.will(&[Mood::Good]);
    let chosen = autograph.settings();
    let chosen: Vec<(&str, &str)> =
        chosen.iter().map(|(key, text)| (*key, text.as_str())).collect();
    let another = harness.again(&chosen).await;
    let ill = another.get("/__heartbeat__").await.expect(503);
    assert_eq!(ill.json["signer"], false);
}
