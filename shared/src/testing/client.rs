//! A small HTTP client for tests.

use std::net::SocketAddr;

use base64::{Engine as _, engine::general_purpose::STANDARD};
use bytes::Bytes;
use http::{HeaderMap, Request, header};
use http_body_util::{BodyExt as _, Full};
use hyper_util::{
    client::legacy::{Client, connect::HttpConnector},
    rt::TokioExecutor,
};
use serde_json::Value;

/// A client of one server.
#[derive(Debug, Clone)]
pub struct TestClient {
    root: String,
    user: Option<String>,
    client: Client<HttpConnector, Full<Bytes>>,
}

/// What came back.
#[derive(Debug, Clone)]
pub struct TestReply {
    /// The status code.
    pub status: u16,
    /// The headers.
    pub headers: HeaderMap,
    /// The body as JSON; null when it is none.
    pub json: Value,
    /// The body as sent.
    pub bytes: Bytes,
}

impl TestClient {
    /// An anonymous client of the server at `address`.
    pub fn new(address: SocketAddr) -> Self {
        let client = Client::builder(TokioExecutor::new()).build_http();
        Self { root: format!("http://{address}"), user: None, client }
    }

    /// Where the server listens, as `127.0.0.1:1234`.
    pub fn address(&self) -> &str {
        self.root.trim_start_matches("http://")
    }

    /// The same client as a basicauth user with the password `secret`.
    pub fn as_user(&self, name: &str) -> Self {
        let token = STANDARD.encode(format!("{name}:secret"));
        Self { user: Some(format!("Basic {token}")), ..self.clone() }
    }

    /// The same client with a user's name and password.
    pub fn with_password(&self, name: &str, password: &str) -> Self {
        let token = STANDARD.encode(format!("{name}:{password}"));
        self.with_authorization(&format!("Basic {token}"))
    }

    /// The same client with this `Authorization`.
    pub fn with_authorization(&self, header: &str) -> Self {
        Self { user: Some(header.to_owned()), ..self.clone() }
    }

    /// The client's `Authorization`; none when it is anonymous.
    pub fn authorization(&self) -> Option<&str> {
        self.user.as_deref()
    }

    /// Sends a request to a path below `/v1`, with headers and raw bytes.
    pub async fn raw(
        &self,
        method: &str,
        path: &str,
        headers: &[(&str, &str)],
        body: impl Into<Bytes>,
    ) -> TestReply {
        let mut request = Request::builder().method(method).uri(format!("{}/v1{path}", self.root));
        for (name, value) in headers {
            request = request.header(*name, *value);
        }
        self.finish(request, body.into()).await
    }

    async fn finish(&self, request: http::request::Builder, body: Bytes) -> TestReply {
        self.try_finish(request, body).await.unwrap()
    }

    /// `None` when the server hangs up.
    async fn try_finish(
        &self,
        mut request: http::request::Builder,
        body: Bytes,
    ) -> Option<TestReply> {
        if let Some(user) = &self.user {
            request = request.header(header::AUTHORIZATION, user);
        }
        let request = request.body(Full::new(body)).unwrap();
        let (head, body) = self.client.request(request).await.ok()?.into_parts();
        let bytes = body.collect().await.ok()?.to_bytes();
        let json = serde_json::from_slice(&bytes).unwrap_or_default();
        Some(TestReply { status: head.status.as_u16(), headers: head.headers, json, bytes })
    }

    /// Sends a request without body to a path of the server, `/v1` or not.
    pub async fn root(&self, method: &str, path: &str) -> TestReply {
        let request = Request::builder().method(method).uri(format!("{}{path}", self.root));
        self.finish(request, Bytes::new()).await
    }

    /// Sends JSON.
    pub async fn send(&self, method: &str, path: &str, body: Value) -> TestReply {
        self.raw(method, path, &[("content-type", "application/json")], body.to_string()).await
    }

    /// Sends JSON to a server that may die; then `None` is its status.
    pub async fn try_send(&self, method: &str, path: &str, body: Value) -> Option<u16> {
        let request = Request::builder()
            .method(method)
            .uri(format!("{}/v1{path}", self.root))
            .header(header::CONTENT_TYPE, "application/json");
        let reply = self.try_finish(request, body.to_string().into()).await?;
        Some(reply.status)
    }

    /// `GET`.
    pub async fn get(&self, path: &str) -> TestReply {
        self.raw("GET", path, &[], "").await
    }

    /// `PUT` of `{"data": data}`.
    pub async fn put(&self, path: &str, data: Value) -> TestReply {
        self.send("PUT", path, serde_json::json!({"data": data})).await
    }

    /// `PATCH` of `{"data": data}`.
    pub async fn patch(&self, path: &str, data: Value) -> TestReply {
        self.send("PATCH", path, serde_json::json!({"data": data})).await
    }

    /// `DELETE`.
    pub async fn delete(&self, path: &str) -> TestReply {
        self.raw("DELETE", path, &[], "").await
    }
}

impl TestReply {
    /// A header's text; empty when it is not there.
    pub fn header(&self, name: &str) -> &str {
        self.headers.get(name).map_or("", |value| value.to_str().unwrap())
    }

    /// The reply itself when it has this status; fails with all of it otherwise.
    #[track_caller]
    pub fn expect(self, status: u16) -> Self {
        assert_eq!(self.status, status, "{}", self.json);
        self
    }
}
