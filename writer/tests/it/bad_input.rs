//! What cannot be gets a 4xx with a message that helps, and loses nothing.

use serde_json::json;
use tokio::{
    io::{AsyncReadExt as _, AsyncWriteExt as _},
    net::TcpStream,
};

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

const REQUEST: &str = "GET /v1/ HTTP/1.1\r\nHost: a\r\n\r\n";

/// Sends bytes on a connection, cut as told, and reads all that comes back.
async fn exchange(address: &str, pieces: &[&[u8]]) -> String {
    let mut stream = TcpStream::connect(address).await.unwrap();
    stream.set_nodelay(true).unwrap();
    for piece in pieces {
        // The server may have hung up.
        if stream.write_all(piece).await.is_err() {
            break;
        }
        tokio::time::sleep(std::time::Duration::from_millis(5)).await;
    }
    let mut answer = Vec::new();
    let read = stream.read_to_end(&mut answer);
    // A connection that stays open has answered all.
    let _ = tokio::time::timeout(std::time::Duration::from_millis(800), read).await;
    String::from_utf8(answer).unwrap()
}

fn statuses(answer: &str) -> Vec<&str> {
    answer.match_indices("HTTP/1.1 ").map(|(at, _)| &answer[at + 9..at + 12]).collect()
}

/// Each is what the test says it is: the same message without what is ambiguous is taken.
#[tokio::test]
async fn ambiguous_messages_are_refused() {
    let harness = Harness::start().await;
    let settings = [("bucket_create_principals", "system.Everyone")];
    let writer = harness.again(&settings).await;
    let address = writer.address();
    writer.put("/buckets/b", json!({})).await.expect(201);
    writer.put("/buckets/b/collections/c", json!({})).await.expect(201);
    let post = "POST /v1/buckets/b/collections/c/records HTTP/1.1\r\nHost: a\r\n\
                Content-Type: application/json\r\n";
    let (plain, chunked) = ("{\"data\":{\"n\":1}}", "10\r\n{\"data\":{\"n\":1}}\r\n0\r\n\r\n");
    let (length, coding) = ("Content-Length: 16\r\n", "Transfer-Encoding: chunked\r\n");
    for clear in [
        REQUEST.to_owned(),
        format!("{post}{length}\r\n{plain}"),
        format!("{post}{coding}\r\n{chunked}"),
    ] {
        let answer = exchange(address, &[clear.as_bytes()]).await;
        assert!(["200", "201"].contains(&statuses(&answer)[0]), "{clear}: {answer}");
    }
    for ambiguous in [
        "GET /v1/ HTTP/1.1\r\n\r\n".to_owned(),
        "GET /v1/ HTTP/1.1\r\nHost: a\r\nHost: b\r\n\r\n".to_owned(),
        "GET /v1/ HTTP/1.1\nHost: a\n\n".to_owned(),
        "GET /v1/ HTTP/1.1\r\nHost: a\r\nX: a\r\n b\r\n\r\n".to_owned(),
        format!("GET /v1/ HTTP/1.1\r\nHost: a\r\n{length}{coding}\r\n0\r\n\r\n"),
        format!("{post}{length}{coding}\r\n{chunked}"),
        format!("{post}{coding}{length}\r\n{chunked}"),
        format!("{post}{length}{length}\r\n{plain}"),
        format!("{post}{coding}{coding}\r\n{chunked}"),
        format!("{post}Transfer-Encoding: identity, chunked\r\n\r\n{chunked}"),
    ] {
        let (first, rest) = ambiguous.as_bytes().split_at(ambiguous.len() / 2);
        // Nothing behind it is read as a request.
        for pieces in [&[ambiguous.as_bytes(), REQUEST.as_bytes()][..], &[first, rest][..]] {
            let answer = exchange(address, pieces).await;
            assert_eq!(statuses(&answer)[0], "400", "{ambiguous}: {answer}");
            assert!(answer.contains("\"errno\":"), "{ambiguous}: {answer}");
        }
    }
    let made = writer.raw("HEAD", "/buckets/b/collections/c/records", &[], "").await;
    assert_eq!(made.header("total-objects"), "2", "only the clear ones");
}

#[tokio::test]
async fn one_connection_serves_many_requests_and_ends_with_an_ambiguous_one() {
    let harness = Harness::start().await;
    let address = harness.anonymous.address();
    let smuggled = format!(
        "POST /v1/batch HTTP/1.1\r\nHost: a\r\nContent-Length: {}\r\n\
         Transfer-Encoding: chunked\r\n\r\n0\r\n\r\n{REQUEST}",
        REQUEST.len() + 5
    );
    let body = "POST /v1/batch HTTP/1.1\r\nHost: a\r\nContent-Length: 2\r\n\r\n{}";
    let all = [REQUEST, body, REQUEST, &smuggled, REQUEST].concat();

    for size in [7, 50, all.len()] {
        let pieces: Vec<&[u8]> = all.as_bytes().chunks(size).collect();
        let answer = exchange(address, &pieces).await;
        assert_eq!(statuses(&answer), ["200", "400", "200", "400"], "{size}: {answer}");
        assert!(answer.contains("exclude each other"), "{answer}");
    }
    // A method of that name is only a method.
    let refused = exchange(address, &[b"REFUSED / HTTP/1.1\r\nHost: a\r\n\r\n"]).await;
    assert_ne!(statuses(&refused), ["400"], "{refused}");
}

#[tokio::test]
async fn a_body_that_breaks_off_is_refused_and_takes_no_earlier_answer_with_it() {
    let harness = Harness::start().await;
    let address = harness.anonymous.address();
    let head = "POST /v1/buckets HTTP/1.1\r\nHost: a\r\nTransfer-Encoding: chunked\r\n\r\n";
    let body = format!("1\na\r\n0\r\n\r\n{REQUEST}");
    let (together, pipelined) = ([head, &body].concat(), [REQUEST, head, &body].concat());

    for (pieces, expected) in [
        (&[head, &body][..], &["400"][..]),
        (&[together.as_str()], &["400"]),
        (&[pipelined.as_str()], &["200", "400"]),
        (&[REQUEST, together.as_str()], &["200", "400"]),
    ] {
        let pieces: Vec<&[u8]> = pieces.iter().map(|piece| piece.as_bytes()).collect();
        let answer = exchange(address, &pieces).await;
        assert_eq!(statuses(&answer), expected, "{pieces:?}: {answer}");
    }
}
