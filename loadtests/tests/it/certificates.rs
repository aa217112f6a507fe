//! As Firefox verifies: what the writer signs, by the chain that the reader serves, up to a root
//! that was known before.

use std::time::Duration;

use serde_json::{Value, json};
use shared::model::Timestamp;
use tokio::time::sleep;
use writer::pki::publication::publish;

use crate::certified::{Certificates, Certified, SOURCE};

const HOST: &str = "remote-settings.content-signature.example.net";
const DAY_MS: i64 = 24 * 3_600 * 1_000;

/// Where the chain of a changeset's signature is, below the API's root.
fn chain_of(changeset: &Value, servers: &Certified) -> String {
    let x5u = changeset["metadata"]["signature"]["x5u"].as_str().unwrap();
    assert_eq!(changeset["metadata"]["signatures"][0]["x5u"], x5u);
    let root = format!("http://{}/v1", servers.reader.address());
    x5u.strip_prefix(&root).unwrap().to_owned()
}

#[tokio::test]
async fn what_is_published_verifies_by_the_served_chain_and_the_pinned_root() {
    let (certificates, others) = (Certificates::new(), Certificates::new());
    let servers = Certified::start(&certificates).await;

    let changeset = servers.publish("hello").await;

    let pin = certificates.pin();
    assert_eq!(servers.verify(&["--root-hash", &pin]).await, 0);
    assert_eq!(servers.verify(&["--root-hash", &others.pin()]).await, 1, "another root");
    assert_eq!(servers.verify(&[]).await, 1, "Mozilla's roots");
    assert_eq!(servers.verify(&["--root-hash", &pin, "--host", "a.b"]).await, 1, "another name");
    for (days, code) in [("59", 0), ("61", 1)] {
        let later = ["--root-hash", &pin, "--in-days", days];
        assert_eq!(servers.verify(&later).await, code, "the leaf ends after 60 days: {days}");
    }
    let path = chain_of(&changeset, &servers);
    assert!(path.starts_with(&format!("/cert-chains/{HOST}-")), "{path}");
    let served = servers.reader.get(&path).await.expect(200);
    assert!(served.header("cache-control").contains("immutable"));
    let signature = &changeset["metadata"]["signature"];
    assert_eq!(signature["type"], "contentsignaturepki");
}

#[tokio::test]
async fn a_renewal_changes_what_signs_and_keeps_what_was_signed() {
    let certificates = Certificates::new();
    let servers = Certified::start(&certificates).await;
    let old = chain_of(&servers.publish("old").await, &servers);

    certificates.run("renew", Timestamp::now().plus_millis(DAY_MS));
    // What SIGHUP does.
    servers.app.reload_keys();
    publish(&servers.app, Timestamp::now()).await.unwrap();

    // Readers have the new chain before anything is signed with it.
    let count = async || {
        let owner = servers.database.owner().await;
        let sql = "select path from certificate_chain";
        owner.query(sql, &[]).await.unwrap().iter().map(|row| row.get(0)).collect()
    };
    let paths: Vec<String> = count().await;
    assert_eq!(paths.len(), 2);
    for path in &paths {
        let path = format!("/cert-chains/{path}");
        while servers.reader.get(&path).await.status != 200 {
            sleep(Duration::from_millis(10)).await;
        }
    }
    let pin = certificates.pin();
    let pinned = ["--root-hash", pin.as_str()];
    assert_eq!(servers.verify(&pinned).await, 0, "the old signature is good still");

    let new = chain_of(&servers.publish("new").await, &servers);

    assert_ne!(new, old);
    assert_eq!(servers.verify(&pinned).await, 0);
    servers.reader.get(&old).await.expect(200);
    // A refresh signs with the new key, too, and changes nothing else.
    servers.writer.patch(SOURCE, json!({"status": "to-resign"})).await.expect(200);
    assert_eq!(servers.verify(&pinned).await, 0);
}

#[tokio::test]
async fn a_signature_is_never_published_without_its_chain() {
    let certificates = Certificates::new();
    let servers = Certified::start(&certificates).await;
    certificates.run("renew", Timestamp::now().plus_millis(DAY_MS));
    // A publication before the new chain was published by itself.
    servers.app.reload_keys();

    let path = chain_of(&servers.publish("at once").await, &servers);

    servers.reader.get(&path).await.expect(200);
    assert_eq!(servers.verify(&["--root-hash", &certificates.pin()]).await, 0);
}

#[tokio::test]
async fn another_chain_never_takes_the_place_of_one() {
    let certificates = Certificates::new();
    let servers = Certified::start(&certificates).await;
    let before = servers.publish("before").await;
    certificates.run("renew", Timestamp::now().plus_millis(DAY_MS));
    servers.app.reload_keys();
    let name = servers.app.signers.chains()[0].chain.file_name().unwrap();
    let owner = servers.database.owner().await;
    let taken = format!("insert into certificate_chain values ('{name}', 'another', 9e18::bigint)");
    owner.batch_execute(&taken).await.unwrap();

    let refused = publish(&servers.app, Timestamp::now()).await.unwrap_err();
    servers.writer.put(&format!("{SOURCE}/records/r"), json!({"title": "x"})).await.expect(200);
    let unpublished = servers.writer.patch(SOURCE, json!({"status": "to-sign"})).await;

    let source = std::error::Error::source(&refused).unwrap().to_string();
    assert!(source.contains("another certificate chain"), "{source}");
    assert_eq!(unpublished.status, 503);
    let after = servers.until(|_| true).await;
    assert_eq!(after["changes"], before["changes"]);
}

#[tokio::test]
async fn both_services_tell_when_certificates_end() {
    let certificates = Certificates::new();
    certificates.run("renew --days 1 --skew-days 9", Timestamp::now().plus_millis(1_000));
    let servers = Certified::start(&certificates).await;
    servers.publish("hello").await;

    for client in [&servers.writer, &servers.reader] {
        let told = client.get("/__heartbeat__").await.expect(200).json["certificates"].clone();
        assert_eq!((&told[0]["host"], &told[0]["warning"]), (&json!(HOST), &json!(true)));
        let days = told[0]["leaf_seconds"].as_i64().unwrap() / 86_400;
        assert!((9..=10).contains(&days), "{told}");
        let metrics = client.get("/__metrics__").await.bytes;
        let metrics = String::from_utf8_lossy(&metrics).into_owned();
        for certificate in ["leaf", "intermediate", "root"] {
            let line = format!(
                "countersign_certificate_expiry_seconds{{certificate=\"{certificate}\",host=\"{HOST}\"}}"
            );
            assert!(metrics.contains(&line), "{line}");
        }
    }
}
