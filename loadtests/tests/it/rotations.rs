//! Certificates that are exchanged one after the other, as `docs/pki.md` says: at each step, a client
//! that trusts what it should verifies what is served.

use serde_json::Value;
use shared::{chain::Chain, model::Timestamp};
use writer::pki::publication::publish;

use crate::certified::{Certificates, Certified, DOMAIN};

const DAY_MS: i64 = 24 * 3_600 * 1_000;

/// The chains that the signatures of a changeset name, as the reader serves them.
async fn chains(changeset: &Value, servers: &Certified) -> Vec<Chain> {
    let mut chains = Vec::new();
    for signature in changeset["metadata"]["signatures"].as_array().unwrap() {
        let x5u = signature["x5u"].as_str().unwrap();
        let path = &x5u[x5u.find("/cert-chains/").unwrap()..];
        let served = servers.reader.get(path).await.expect(200);
        chains.push(Chain::parse(&served.bytes).unwrap());
    }
    chains
}

/// What SIGHUP does.
async fn reload(servers: &Certified) {
    servers.app.reload_keys();
    publish(&servers.app, Timestamp::now()).await.unwrap();
}

/// The exit codes of `reader verify`, for who trusts one root, the other, and both.
async fn verdicts(servers: &Certified, [old, new]: [&str; 2]) -> [u8; 3] {
    [
        servers.verify(&["--root-hash", old]).await,
        servers.verify(&["--root-hash", new]).await,
        servers.verify(&["--root-hash", old, "--root-hash", new]).await,
    ]
}

#[tokio::test]
async fn leaf_and_intermediate_are_exchanged_below_one_root() {
    let certificates = Certificates::new();
    let servers = Certified::start(&certificates).await;
    let pin = certificates.pin();
    let pinned = ["--root-hash", pin.as_str()];
    let first = chains(&servers.publish("first").await, &servers).await.remove(0);
    assert_eq!(servers.verify(&pinned).await, 0, "at first");

    certificates.run("renew", Timestamp::now().plus_millis(DAY_MS));
    reload(&servers).await;
    assert_eq!(servers.verify(&pinned).await, 0, "before anything is signed by the new leaf");
    let renewed = chains(&servers.refresh().await, &servers).await.remove(0);
    assert_eq!(servers.verify(&pinned).await, 0, "a new leaf");
    assert_ne!(renewed.public_key(), first.public_key());

    // The root's key comes from where it is kept, and goes back.
    for file in ["intermediate.pem", "intermediate-key.pem"] {
        std::fs::rename(certificates.path(file), certificates.path(&format!("old-{file}")))
            .unwrap();
    }
    std::fs::rename(certificates.path("root-key.pem"), certificates.path("away.pem")).unwrap();
    let root_key = certificates.path("away.pem");
    let intermediate = format!("intermediate --root-key {root_key} --domain {DOMAIN}");
    certificates.run(&intermediate, Timestamp::now());
    certificates.run("renew", Timestamp::now().plus_millis(2 * DAY_MS));
    reload(&servers).await;
    assert_eq!(servers.verify(&pinned).await, 0, "the old intermediate's signature is good still");
    let rotated = chains(&servers.refresh().await, &servers).await.remove(0);

    assert_eq!(servers.verify(&pinned).await, 0, "a new intermediate");
    assert_eq!(rotated.root_hash(), first.root_hash());
    let intermediate =
        |chain: &Chain| chain.to_pem().unwrap().split("-----BEGIN").nth(2).map(str::to_owned);
    assert_eq!(intermediate(&renewed), intermediate(&first));
    assert_ne!(intermediate(&rotated), intermediate(&renewed));
    assert_eq!(servers.publish("after").await["changes"][0]["title"], "after");
    assert_eq!(servers.verify(&pinned).await, 0, "an edit later");
}

#[tokio::test]
async fn a_new_root_is_known_before_it_signs_alone() {
    let (old, new) = (Certificates::new(), Certificates::in_folder("second/"));
    let mut servers = Certified::start(&old).await;
    let pins = [old.pin(), new.pin()];
    let pins = [pins[0].as_str(), pins[1].as_str()];
    servers.publish("hello").await;
    assert_eq!(verdicts(&servers, pins).await, [0, 1, 0], "the old root alone");

    // Readers first, then both signatures, the old one first: nothing changes for anybody.
    servers.pin(&[&old, &new]).await;
    servers.sign_with(&[&old, &new]).await;
    let both = servers.refresh().await;
    let roots: Vec<_> = chains(&both, &servers).await.iter().map(Chain::root_hash).collect();
    assert_eq!(roots.iter().map(ToString::to_string).collect::<Vec<_>>(), pins);
    assert_eq!(verdicts(&servers, pins).await, [0, 1, 0], "`verify` reads as old clients do");

    // Clients know both roots now: the new one goes first.
    servers.sign_with(&[&new, &old]).await;
    servers.refresh().await;
    assert_eq!(verdicts(&servers, pins).await, [1, 0, 0], "the new root first");

    // Nobody knows the old root alone: it goes, from signatures and then from readers.
    servers.sign_with(&[&new]).await;
    let alone = servers.refresh().await;
    assert_eq!(alone["metadata"]["signatures"].as_array().unwrap().len(), 1);
    assert_eq!(verdicts(&servers, pins).await, [1, 0, 0], "the new root alone");
    servers.pin(&[&new]).await;
    servers.until(|changeset| changeset["changes"][0]["title"] == "hello").await;
    assert_eq!(verdicts(&servers, pins).await, [1, 0, 0], "and its readers");
}
