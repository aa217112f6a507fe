//! What cannot be gets a 4xx with a message that helps, and loses nothing.

use serde_json::json;

use crate::harness::Harness;

const RECORD: &str = "/buckets/b/collections/c/records/r";

async fn refused(harness: &Harness, path: &str, body: impl Into<bytes::Bytes>) -> String {
    let json = [("content-type", "application/json")];
    let reply = harness.alice.raw("PUT", path, &json, body).await;
    assert!((400..500).contains(&reply.status), "{} {}", reply.status, reply.json);
    assert_eq!(reply.json["code"], reply.status);
    reply.json["message"].as_str().unwrap().to_owned()
}

#[tokio::test]
async fn a_record_that_cannot_be_is_refused_with_a_message_that_helps() {
    let harness = Harness::with_collection().await;

    let bad_id = "/buckets/b/collections/c/records/_x";
    assert_eq!(refused(&harness, bad_id, "{}").await, "path: Invalid object id");
    let newline = "/buckets/b/collections/c/records/x%0A";
    assert_eq!(refused(&harness, newline, "{}").await, "path: Invalid object id");
    for (body, text) in [
        ("{\"data\": {\"a\": }}", "Invalid JSON: Parse error at offset 15"),
        ("{\"data\": {\"a\": \"\\u0000\"}}", "U+0000 cannot be stored"),
        ("{\"data\": {\"a\\u0000\": 1}}", "U+0000 cannot be stored"),
        ("{\"data\": {\"a\": 1e400}}", "number out of range"),
        ("{\"data\": {\"a\": NaN}}", "Invalid JSON"),
        ("{\"data\": {\"a\": \"\\ud800\"}}", "Invalid JSON"),
        ("{\"data\": {\"last_modified\": -1}}", "less than minimum value 0"),
        ("{\"data\": {\"id\": \"other\"}}", "Object id does not match existing object"),
    ] {
        let told = refused(&harness, RECORD, body).await;
        assert!(told.contains(text), "{body}: {told}");
    }
    let nested = format!("{{\"data\": {{\"a\": {}", "[".repeat(10_000_000));
    assert!(refused(&harness, RECORD, nested).await.contains("nested deeper than 64"));
    let large = format!("{{\"data\": {{\"a\": \"{}\"}}}}", "x".repeat(11_000_000));
    assert!(refused(&harness, RECORD, large).await.contains("larger than 10485760 bytes"));
    harness.alice.get(RECORD).await.expect(404);
}

#[tokio::test]
async fn what_a_header_gets_wrong_is_told_together_with_the_body() {
    let harness = Harness::with_collection().await;
    let headers = [("if-match", "W/\"1\""), ("content-type", "application/json")];

    let reply = harness.alice.raw("PUT", RECORD, &headers, "{\"foo\": 1}").await.expect(400);

    assert_eq!(reply.json["details"].as_array().unwrap().len(), 2, "{}", reply.json);
    let text = [("content-type", "text/plain")];
    let reply = harness.anonymous.raw("PUT", RECORD, &text, "{").await.expect(415);
    assert_eq!(reply.json["errno"], 107);
    harness.anonymous.raw("PUT", RECORD, &[], "{").await.expect(401);
}

#[tokio::test]
async fn d10_what_clients_cannot_verify_does_not_enter_a_source() {
    let harness = Harness::with_source().await;
    let record = format!("{}/records/r", crate::harness::SOURCE);

    for data in [
        json!({"a": 1.5}),
        json!({"a": [{"b": 1e3}]}),
        json!({"a": 9_007_199_254_740_993_i64}),
        json!({"\u{1f600}": 1}),
        json!({"deleted": true}),
    ] {
        let reply = harness.alice.put(&record, data).await.expect(400);
        assert_eq!(reply.json["errno"], 109, "{}", reply.json);
    }
    harness.alice.get(&record).await.expect(404);
    let json = [("content-type", "application/json")];
    harness.alice.raw("PUT", &record, &json, "{\"data\": {\"a\": -0}}").await.expect(201);
}

#[tokio::test]
async fn ambiguous_messages_are_refused() {
    use tokio::io::{AsyncReadExt as _, AsyncWriteExt as _};
    let harness = Harness::start().await;
    let address = harness.anonymous.address();
    for head in [
        "GET /v1/ HTTP/1.1\r\n\r\n",
        "GET /v1/ HTTP/1.1\r\nHost: a\r\nHost: b\r\n\r\n",
        "POST /v1/batch HTTP/1.1\r\nHost: a\r\nContent-Length: 5\r\nTransfer-Encoding: chunked\r\n\r\n\
         0\r\n\r\n",
    ] {
        let mut stream = tokio::net::TcpStream::connect(address).await.unwrap();
        stream.write_all(head.as_bytes()).await.unwrap();
        let mut answer = vec![0; 12];
        stream.read_exact(&mut answer).await.unwrap();
        assert_eq!(answer, b"HTTP/1.1 400", "{head}");
    }
}
