//! The end of the service (`eos`): told before, and after.

use http::StatusCode;

use crate::{
    fixture::Database,
    fixture::{Reader, changeset},
    sockets::{bare, exchange},
};

#[tokio::test]
async fn the_end_of_the_service_is_told_before_and_after() {
    let before = [("eos", "2100-01-31"), ("eos_message", "over"), ("eos_url", "https://a.example")];
    let reader = bare(&before).await;
    let soft = r#"{"code":"soft-eol","message":"over","url":"https://a.example"}"#;
    let client = hyper_util::client::legacy::Client::builder(hyper_util::rt::TokioExecutor::new())
        .http2_only(true)
        .build_http::<http_body_util::Empty<bytes::Bytes>>();
    for path in ["/v1/", "/v1/nothing", "/__lbheartbeat__"] {
        assert_eq!(reader.get(path).await.header("alert"), Some(soft), "{path}");
        let uri = format!("http://{}{path}", reader.address).parse().unwrap();
        assert_eq!(client.get(uri).await.unwrap().headers()["alert"], soft, "{path}");
    }
    assert!(exchange(&reader, "x\r\n\r\n").await.contains("\r\nalert: {"));
    assert_eq!(reader.get("/v1/").await.json()["eos"], "2100-01-31");

    let after = bare(&[("eos", "2020-01-31")]).await;
    let gone = after.get("/v1/").await;
    assert_eq!((gone.status, gone.json()["errno"].as_i64()), (StatusCode::GONE, Some(202)));
    assert!(gone.header("alert").unwrap().contains("hard-eol"));
}

#[tokio::test]
async fn probes_go_on_after_the_end() {
    let database = Database::create().await;
    database.publish(1_700_000_000_000).await;
    // Waits until the heartbeat is 200.
    let reader = Reader::of(&database, &[("eos", "2020-01-31")]).await;

    for name in ["__heartbeat__", "__lbheartbeat__", "__version__", "__metrics__"] {
        for path in [format!("/{name}"), format!("/v1/{name}")] {
            let got = reader.get(&path).await;
            assert_eq!(got.status, StatusCode::OK, "{path}");
            assert!(got.header("alert").unwrap().contains("hard-eol"), "{path}");
        }
    }
    for path in ["/v1/__broadcasts__", "/v1/nothing", "/nothing", &changeset("cfr", "_expected=0")]
    {
        assert_eq!(reader.get(path).await.status, StatusCode::GONE, "{path}");
    }
}
