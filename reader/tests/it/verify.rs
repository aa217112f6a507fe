//! The command that checks a server from outside.

use clap::Parser as _;
use reader::cli::{Arguments, run};
use serde_json::json;

use crate::fixture::{Database, Reader, Signer};

const T: i64 = 1_700_000_000_000;

pub(crate) async fn verify(arguments: &[&str]) -> u8 {
    let words = ["countersign-reader", "verify"].iter().chain(arguments);
    run(Arguments::try_parse_from(words).unwrap(), std::iter::empty()).await
}

#[tokio::test]
async fn the_exit_code_says_whether_everything_verified() {
    let (database, signer, other) = (Database::create().await, Signer::new(), Signer::new());
    database.signed("cfr", &signer, "ours", T).await;
    database.publish(T).await;
    let reader = Reader::of(&database, &[("signature.verify", "off")]).await;
    let url = format!("http://{}/v1", reader.address);
    let key = |name: &str, signer: &Signer| {
        let path = std::env::temp_dir().join(format!("verify-{name}-{}.pem", std::process::id()));
        std::fs::write(&path, signer.pem()).unwrap();
        path.to_str().unwrap().to_owned()
    };
    let (ours, theirs) = (key("ours", &signer), key("theirs", &other));

    assert_eq!(verify(&[&url, "--public-key", &ours]).await, 0);
    assert_eq!(verify(&[&url, "--public-key", &theirs, "--public-key", &ours, "--json"]).await, 0);
    assert_eq!(verify(&[&url, "--public-key", &theirs]).await, 1);
    assert_eq!(verify(&[&url]).await, 1, "nothing vouches for the key beside the signature");
    assert_eq!(verify(&[&url, "--allow-unpinned"]).await, 0);
    assert_eq!(verify(&[&url, "--public-key", "/nowhere"]).await, 2);
    assert_eq!(verify(&["http://127.0.0.1:9/v1"]).await, 69);
    assert_eq!(verify(&["notaurl"]).await, 2);

    // A record changes behind the signature: a reader that does not look would serve it.
    database.run(r#"update record set data = '{"title": "evil"}'"#).await;
    let path = crate::fixture::changeset("cfr", "_expected=0");
    reader.until(&path, |got| got.json()["changes"][0]["title"] == "evil").await;
    assert_eq!(verify(&[&url, "--public-key", &ours]).await, 1);
    assert_eq!(verify(&[&url, "--allow-unpinned", "--quiet"]).await, 1);

    database.collection("cfr", T + 9, &json!({}), T).await;
    database.publish(T + 9).await;
    reader.until(&path, |got| got.json()["metadata"].get("signatures").is_none()).await;
    assert_eq!(verify(&[&url, "--public-key", &ours]).await, 1);
    assert_eq!(verify(&[&url, "--public-key", &ours, "--allow-unsigned"]).await, 0);
    std::fs::remove_file(ours).unwrap();
    std::fs::remove_file(theirs).unwrap();
}

#[tokio::test]
async fn a_server_that_lists_nothing_is_not_good() {
    let database = Database::create().await;
    database.publish(T).await;
    let reader = Reader::of(&database, &[("signature.verify", "off")]).await;
    let url = format!("http://{}/v1", reader.address);

    assert_eq!(verify(&[&url]).await, 1);
    assert_eq!(verify(&[&url, "--quiet"]).await, 1);
    assert_eq!(verify(&[&url, "--allow-empty"]).await, 0);
}
