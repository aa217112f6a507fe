//! What a list costs PostgreSQL: as many statements for one entry as for a thousand, whoever asks. They
//! are counted on the wire between the two.

use std::sync::{
    Arc,
    atomic::{AtomicUsize, Ordering},
};

use serde_json::{Value, json};
use shared::testing::TestClient;
use tokio::{
    io::{AsyncRead, AsyncReadExt as _, AsyncWrite, AsyncWriteExt as _, BufReader, split},
    net::{TcpListener, TcpStream, UnixStream},
};
use tokio_postgres::config::Host;

use crate::harness::{Harness, ids, user_id};

/// How many statements a writer has sent to its database.
type Sent = Arc<AtomicUsize>;

/// The URL of a way to the database on which everything is counted.
async fn count_on_the_way(url: &str) -> (String, Sent) {
    let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
    let port = listener.local_addr().unwrap().port();
    let (role, database) = (url.split_once('@').unwrap().0, url.rsplit_once('/').unwrap().1);
    let counted = format!("{role}@127.0.0.1:{port}/{database}");
    let config: tokio_postgres::Config = url.parse().unwrap();
    let sent = Sent::default();
    let counts = sent.clone();
    tokio::spawn(async move {
        while let Ok((client, _)) = listener.accept().await {
            client.set_nodelay(true).unwrap();
            let port = config.get_ports().first().copied().unwrap_or(5432);
            match &config.get_hosts()[0] {
                Host::Tcp(name) => {
                    let server = TcpStream::connect((name.as_str(), port)).await.unwrap();
                    server.set_nodelay(true).unwrap();
                    tokio::spawn(relay(client, server, counts.clone()));
                }
                Host::Unix(directory) => {
                    let socket = directory.join(format!(".s.PGSQL.{port}"));
                    let server = UnixStream::connect(socket).await.unwrap();
                    tokio::spawn(relay(client, server, counts.clone()));
                }
            }
        }
    });
    (counted, sent)
}

async fn relay(
    client: TcpStream,
    server: impl AsyncRead + AsyncWrite + Send + 'static,
    counts: Sent,
) {
    let (from_client, mut to_client) = client.into_split();
    let (mut from_server, to_server) = split(server);
    tokio::spawn(async move { tokio::io::copy(&mut from_server, &mut to_client).await });
    // It ends when one of the two hangs up.
    let _ = forward(BufReader::new(from_client), to_server, &counts).await;
}

/// Messages have a kind, a length that counts itself, and a body; those before the first of version 3.0
/// have no kind.
async fn forward(
    mut from: impl AsyncRead + Unpin,
    mut to: impl AsyncWrite + Unpin,
    counts: &AtomicUsize,
) -> std::io::Result<()> {
    let mut greeted = false;
    loop {
        let mut message = Vec::new();
        if greeted {
            message.push(from.read_u8().await?);
            // The protocol's Execute and Query.
            counts.fetch_add(usize::from(matches!(message[0], b'E' | b'Q')), Ordering::SeqCst);
        }
        let length = from.read_u32().await?;
        message.extend(length.to_be_bytes());
        let start = message.len();
        message.resize(start + length as usize - 4, 0);
        from.read_exact(&mut message[start..]).await?;
        greeted = greeted || message[start..].starts_with(&196_608_u32.to_be_bytes());
        to.write_all(&message).await?;
    }
}

/// What is asked, where `_limit` follows, and whether the number of objects is the one that was made.
const ASKED: [(&str, &str, bool); 9] = [
    ("GET", "/buckets?", false),
    ("GET", "/buckets/b/groups?", true),
    ("GET", "/buckets/b/collections?", false),
    ("GET", "/buckets/b/collections/c/records?", true),
    ("GET", "/buckets/b/collections/c/records?gt_n=0&_sort=-n,id&", true),
    ("GET", "/buckets/b/collections/c/records?_since=0&_fields=n&", true),
    ("HEAD", "/buckets/b/collections/c/records?", false),
    ("GET", "/buckets/b/history?", false),
    ("GET", "/permissions?", false),
];

/// The fewest statements of some attempts: now and then a background task asks, too, and
/// a statement's first use on a connection prepares it. Each asks for a page that nobody has asked for.
async fn cost(
    client: &TestClient,
    sent: &AtomicUsize,
    (method, path, all): (&str, &str, bool),
    made: usize,
) -> usize {
    let mut least = usize::MAX;
    for attempt in 0..4 {
        let path = format!("{path}_limit={}", 9_000 + attempt);
        let before = sent.load(Ordering::SeqCst);
        let reply = client.raw(method, &path, &[], "").await.expect(200);
        let after = sent.load(Ordering::SeqCst);
        if all {
            assert_eq!(ids(&reply.json).len(), made, "{path}");
        }
        least = least.min(after - before);
    }
    least
}

/// Makes the objects with these numbers: who has only rights on the objects themselves may read each, as
/// may the groups, of which carol is in all.
async fn make(
    client: &TestClient,
    numbers: std::ops::RangeInclusive<usize>,
    bob: &str,
    carol: &str,
) {
    let mut requests: Vec<Value> = Vec::new();
    for n in numbers {
        let group = format!("/buckets/b/groups/g{n}");
        let rights = json!({"read": [bob, group, "/buckets/b/groups/g1"]});
        let mut objects = vec![
            (group.clone(), json!({"members": [carol]})),
            (format!("/buckets/b/collections/c/records/r{n}"), json!({"n": n})),
        ];
        // A tenth of these is many, too.
        if n <= 100 {
            objects.push((format!("/buckets/b/collections/c{n}"), json!({})));
            objects.push((format!("/buckets/b{n}"), json!({})));
        }
        for (path, data) in objects {
            let body = json!({"data": data, "permissions": rights});
            requests.push(json!({"method": "PUT", "path": path, "body": body}));
        }
    }
    for requests in requests.chunks(200) {
        let reply = client.send("POST", "/batch", json!({"requests": requests})).await.expect(200);
        for response in reply.json["responses"].as_array().unwrap() {
            assert_eq!(response["status"], 201, "{response}");
        }
    }
}

#[tokio::test]
async fn a_list_of_a_thousand_costs_as_many_statements_as_a_list_of_one() {
    let harness = Harness::start().await;
    let (url, sent) = count_on_the_way(&harness.database.url("countersign_writer")).await;
    let anonymous = harness
        .again(&[
            ("storage_url", &url),
            ("batch_max_requests", "200"),
            ("includes", "kinto.plugins.history"),
            ("experimental_permissions_endpoint", "true"),
            ("signer.resources", ""),
        ])
        .await;
    let [alice, bob, carol] = ["alice", "bob", "carol"].map(|name| anonymous.as_user(name));
    let (bob_id, carol_id) = (user_id(&bob).await, user_id(&carol).await);
    alice.put("/buckets/b", json!({})).await.expect(201);
    alice.put("/buckets/b/collections/c", json!({})).await.expect(201);
    let mut costs = Vec::new();
    let mut made = 0;

    for size in [1, 10, 1_000] {
        make(&alice, made + 1..=size, &bob_id, &carol_id).await;
        made = size;
        let mut table = Vec::new();
        for (who, client) in [("owner", &alice), ("shared", &bob), ("by groups", &carol)] {
            for asked in ASKED {
                table.push((who, asked.0, asked.1, cost(client, &sent, asked, made).await));
            }
        }
        costs.push(table);
    }

    for (one, (ten, thousand)) in costs[0].iter().zip(costs[1].iter().zip(&costs[2])) {
        assert!(one == ten && ten == thousand, "{one:?} {ten:?} {thousand:?}");
        assert!(one.3 > 0, "nothing was counted: {one:?}");
    }
    println!("{:?}", costs[0]);
}
