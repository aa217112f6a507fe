//! A signing service that speaks Autograph's protocol: it checks Hawk as the real one does, and
//! fails in the ways that a test wants.

use std::{
    collections::{BTreeMap, HashSet, VecDeque},
    sync::{
        Arc, Mutex,
        atomic::{AtomicUsize, Ordering},
    },
    time::Duration,
};

use aws_lc_rs::{digest, hmac};
use base64::{Engine as _, engine::general_purpose::STANDARD};
use bytes::Bytes;
use http::{Method, StatusCode, header, request::Parts};
use serde_json::{Value, json};
use shared::{
    http::{Answer, Limits, Reply, RequestLog, Service, serve},
    model::Timestamp,
    signature::PublicKey,
    telemetry::{self, HttpMetrics},
};
use tokio::{net::TcpListener, time::sleep};
use writer::signer::LocalSigner;

use crate::authority::Authority;

/// Whom it knows, and by which secret.
pub(crate) const HAWK: (&str, &str) =
    ("countersign", "fs5wgcer9qj819kfptdlp8gm227ewxnzvsuj9ztycsx08hfhzu");
/// How far a client's clock may be off, in seconds.
const SKEW: i64 = 600;

/// What it does with a request whose Hawk is right.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Mood {
    /// Signs.
    Good,
    /// Answers with this status.
    Status(u16),
    /// Signs after so many milliseconds; many, and everybody has gone.
    Late(u64),
    /// Answers with this text.
    Text(&'static str),
    /// Signs something else.
    OtherDocument,
    /// Signs with another key than it says.
    OtherKey,
    /// Leaves a member of its answer out.
    Without(&'static str),
    /// Makes a member of its answer another one.
    With(&'static str, &'static str),
}

/// What is at the URL of a chain.
#[derive(Debug, Clone)]
pub(crate) enum Page {
    /// This text.
    Text(String),
    /// Nothing but a status.
    Status(u16),
    /// Silence.
    Nothing,
}

/// What it is and was.
pub(crate) struct State {
    keys: BTreeMap<&'static str, LocalSigner>,
    /// The same, as PEM.
    pems: BTreeMap<&'static str, String>,
    /// The pages below `/chains/`, by name.
    pages: Mutex<BTreeMap<String, Page>>,
    /// Which of them signatures of a key name; by default the one of the key's name.
    names: Mutex<BTreeMap<String, String>>,
    /// How often one was fetched.
    fetched: AtomicUsize,
    /// What it does next, one each request; then it does the last one again.
    moods: Mutex<VecDeque<Mood>>,
    nonces: Mutex<HashSet<String>>,
    /// Requests whose Hawk was right.
    pub(crate) asked: AtomicUsize,
    /// Requests that it refused, and why.
    pub(crate) refused: Mutex<Vec<&'static str>>,
}

/// The running service.
#[derive(Clone)]
pub(crate) struct Autograph {
    pub(crate) url: String,
    pub(crate) authority: Arc<Authority>,
    pub(crate) state: Arc<State>,
}

impl Autograph {
    /// One with the keys `remote-settings` and `next`.
    pub(crate) async fn start() -> Self {
        let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
        Self::on(listener)
    }

    /// One that listens there.
    pub(crate) fn on(listener: TcpListener) -> Self {
        let url = format!("http://{}", listener.local_addr().unwrap());
        let path = concat!(env!("CARGO_MANIFEST_DIR"), "/../shared/tests/vectors/signatures.json");
        let vectors: Value = serde_json::from_slice(&std::fs::read(path).unwrap()).unwrap();
        let pems = vectors["keys"].as_object().unwrap().values();
        let pems = pems.map(|key| key["private_key_pkcs8_pem"].as_str().unwrap().to_owned());
        let pems: BTreeMap<_, _> = ["remote-settings", "next"].into_iter().zip(pems).collect();
        let signer =
            |(id, pem): (&&'static str, &String)| (*id, LocalSigner::from_pem(pem).unwrap());
        let authority = Arc::new(Authority::new());
        let page =
            |(id, pem): (&&str, &String)| (format!("{id}.chain"), Page::Text(authority.chain(pem)));
        let state = Arc::new(State {
            keys: pems.iter().map(signer).collect(),
            pages: Mutex::new(pems.iter().map(page).collect()),
            pems,
            names: Mutex::default(),
            fetched: AtomicUsize::new(0),
            moods: Mutex::new(VecDeque::from([Mood::Good])),
            nonces: Mutex::default(),
            asked: AtomicUsize::new(0),
            refused: Mutex::default(),
        });
        let service = Self { url, authority, state };
        let limits = Limits {
            max_body_bytes: 1 << 24,
            max_connections: 100,
            head_timeout: Duration::from_secs(5),
            body_timeout: Duration::from_secs(5),
            grace: Duration::from_secs(1),
            log: RequestLog::Errors,
        };
        let metrics = Arc::new(HttpMetrics::new(&telemetry::registry()).unwrap());
        tokio::spawn(serve(listener, service.clone(), limits, metrics, std::future::pending()));
        service
    }

    /// The settings of a writer that uses it.
    pub(crate) fn settings(&self) -> Vec<(&'static str, String)> {
        [
            ("signer.signer_backend", "kinto_remote_settings.signer.backends.autograph"),
            // A path counts for nothing.
            ("signer.autograph.server_url", &format!("{}/ignored", self.url)),
            ("signer.autograph.hawk_id", HAWK.0),
            ("signer.autograph.hawk_secret", HAWK.1),
            ("signer.autograph.timeout_seconds", "1"),
            ("outgoing.allowed_hosts", "127.0.0.1"),
        ]
        .map(|(key, text)| (key, text.to_owned()))
        .to_vec()
    }

    /// From now on it does these, one each request, and the last one again and again.
    pub(crate) fn will(&self, moods: &[Mood]) {
        *self.state.moods.lock().unwrap() = moods.iter().copied().collect();
    }

    /// Puts a page below `/chains/`, which signatures of the key name from now on.
    pub(crate) fn certify(&self, id: &str, name: &str, page: Page) {
        self.state.pages.lock().unwrap().insert(name.to_owned(), page);
        self.state.names.lock().unwrap().insert(id.to_owned(), name.to_owned());
    }

    /// A key's private half, in PEM.
    pub(crate) fn pem(&self, id: &str) -> &str {
        &self.state.pems[id]
    }

    /// Where the signatures of a key say that its chain is.
    pub(crate) fn x5u(&self, id: &str) -> String {
        let names = self.state.names.lock().unwrap();
        let name = names.get(id).cloned().unwrap_or_else(|| format!("{id}.chain"));
        // An absolute one is not ours.
        if name.contains("://") { name } else { format!("{}/chains/{name}", self.url) }
    }

    /// How often chains were fetched since the last time.
    pub(crate) fn fetched(&self) -> usize {
        self.state.fetched.swap(0, Ordering::SeqCst)
    }

    async fn page(&self, name: &str) -> Reply {
        self.state.fetched.fetch_add(1, Ordering::SeqCst);
        let page = self.state.pages.lock().unwrap().get(name).cloned();
        match page {
            Some(Page::Text(text)) => Reply::text(StatusCode::OK, text),
            Some(Page::Status(status)) => Reply::empty(StatusCode::from_u16(status).unwrap()),
            Some(Page::Nothing) => std::future::pending().await,
            None => Reply::empty(StatusCode::NOT_FOUND),
        }
    }

    pub(crate) fn key(&self, id: &str) -> PublicKey {
        self.state.keys[id].public_key().clone()
    }

    /// How often it was asked since the last time.
    pub(crate) fn asked(&self) -> usize {
        self.state.asked.swap(0, Ordering::SeqCst)
    }

    fn next(&self) -> Mood {
        let mut moods = self.state.moods.lock().unwrap();
        if moods.len() > 1 { moods.pop_front().unwrap() } else { moods[0] }
    }

    async fn sign(&self, body: &[u8]) -> Reply {
        let mood = self.next();
        match mood {
            Mood::Status(status) => return Reply::empty(StatusCode::from_u16(status).unwrap()),
            Mood::Late(millis) => sleep(Duration::from_millis(millis)).await,
            Mood::Text(text) => return Reply::text(StatusCode::CREATED, text),
            Mood::Good
            | Mood::OtherDocument
            | Mood::OtherKey
            | Mood::Without(_)
            | Mood::With(..) => {}
        }
        let requests: Value = serde_json::from_slice(body).unwrap();
        let id = requests[0]["keyid"].as_str().unwrap();
        let mut document = STANDARD.decode(requests[0]["input"].as_str().unwrap()).unwrap();
        assert!(document.len() >= 10, "the real one refuses less");
        if mood == Mood::OtherDocument {
            document.push(b' ');
        }
        let Some(key) = self.state.keys.get(id) else {
            return Reply::empty(StatusCode::UNAUTHORIZED);
        };
        let other = if id == "next" { "remote-settings" } else { "next" };
        let signer = if mood == Mood::OtherKey { &self.state.keys[other] } else { key };
        let mut answer = json!({
            "ref": "1881ks1du39bi26cfmfczu6pf3",
            "type": "contentsignaturepki",
            "mode": "p384ecdsa",
            "signer_id": id,
            "public_key": key.sign(b"").public_key,
            "signature": signer.sign(&document).signature,
            "x5u": self.x5u(id),
            "signed_file": "",
        });
        match mood {
            Mood::Without(name) => drop(answer.as_object_mut().unwrap().remove(name)),
            Mood::With(name, text) => answer[name] = text.into(),
            Mood::Good
            | Mood::Late(_)
            | Mood::Status(_)
            | Mood::Text(_)
            | Mood::OtherDocument
            | Mood::OtherKey => {}
        }
        Reply::json(StatusCode::CREATED, &json!([answer]))
    }

    /// Why the request is refused: MAC, hash of the body, time, nonce, as `remote-settings.md` §2.7
    /// has them. Not the writer's code, so that one does not excuse the other.
    fn refusal(&self, head: &Parts, body: &[u8]) -> Option<&'static str> {
        if (head.method.as_str(), head.uri.path()) != ("POST", "/sign/data") {
            return Some("another URL");
        }
        let header = |name| head.headers.get(name).and_then(|value| value.to_str().ok());
        let content_type = header(header::CONTENT_TYPE)?;
        if content_type != "application/json" {
            return Some("another content type");
        }
        let hawk = header(header::AUTHORIZATION).unwrap_or_default().strip_prefix("Hawk ");
        let Some(hawk) = hawk else { return Some("no Hawk") };
        let fields: BTreeMap<&str, &str> = hawk
            .split(", ")
            .filter_map(|field| field.split_once('='))
            .map(|(name, value)| (name, value.trim_matches('"')))
            .collect();
        let field = |name: &str| fields.get(name).copied().unwrap_or_default();
        if field("id") != HAWK.0 {
            return Some("unknown id");
        }
        let payload = [b"hawk.1.payload\napplication/json\n", body, b"\n"].concat();
        let hash = STANDARD.encode(digest::digest(&digest::SHA256, &payload));
        if field("hash") != hash {
            return Some("another body");
        }
        let (host, port) = header(header::HOST)?.split_once(':')?;
        let (ts, nonce) = (field("ts"), field("nonce"));
        let lines = ["hawk.1.header", ts, nonce, "POST", "/sign/data", host, port, &hash, "", ""];
        let key = hmac::Key::new(hmac::HMAC_SHA256, HAWK.1.as_bytes());
        let mac = STANDARD.decode(field("mac")).unwrap_or_default();
        if hmac::verify(&key, lines.join("\n").as_bytes(), &mac).is_err() {
            return Some("another MAC");
        }
        let now = Timestamp::now().as_millis() / 1_000;
        if ts.parse().map_or(true, |ts: i64| (now - ts).abs() > SKEW) {
            return Some("another time");
        }
        let is_new = self.state.nonces.lock().unwrap().insert(nonce.to_owned());
        (!is_new).then_some("an old nonce")
    }
}

impl Service for Autograph {
    async fn call(&self, head: Parts, body: Bytes) -> Answer {
        if let (&Method::GET, Some(name)) = (&head.method, head.uri.path().strip_prefix("/chains/"))
        {
            return Answer::new("chain", self.page(name).await);
        }
        let reply = if let Some(reason) = self.refusal(&head, &body) {
            self.state.refused.lock().unwrap().push(reason);
            Reply::empty(StatusCode::UNAUTHORIZED)
        } else {
            self.state.asked.fetch_add(1, Ordering::SeqCst);
            self.sign(&body).await
        };
        Answer::new("autograph", reply)
    }
}
