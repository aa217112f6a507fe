//! PostgreSQL across a network that others listen to.

use std::{fs, time::Duration};

use rcgen::{BasicConstraints, CertificateParams, IsCa, Issuer, KeyPair};
use tokio::time::sleep;

use crate::{
    cluster::{Cluster, Directory, give_to_server},
    stack::{CHANGESET, Reader, Stack, url_of},
};

/// An authority, and a server's certificate by it for 127.0.0.1, in files that the server may read.
struct Authority(Directory);

impl Authority {
    fn new() -> Self {
        let authority_key = KeyPair::generate().unwrap();
        let mut params = CertificateParams::new(Vec::new()).unwrap();
        params.is_ca = IsCa::Ca(BasicConstraints::Unconstrained);
        let authority = params.self_signed(&authority_key).unwrap();
        let issuer = Issuer::new(params, authority_key);
        let key = KeyPair::generate().unwrap();
        let params = CertificateParams::new(["127.0.0.1".to_owned()]).unwrap();
        let certificate = params.signed_by(&key, &issuer).unwrap();

        let this = Self(Directory::new("tls"));
        this.write("authority.pem", &authority.pem());
        this.write("server.pem", &certificate.pem());
        this.write("server.key", &key.serialize_pem());
        this
    }

    fn write(&self, name: &str, text: &str) {
        use std::os::unix::fs::PermissionsExt as _;
        let path = self.0.0.join(name);
        fs::write(&path, text).unwrap();
        // PostgreSQL takes no key that others can read.
        fs::set_permissions(&path, fs::Permissions::from_mode(0o600)).unwrap();
        give_to_server(&path);
    }

    fn file(&self, name: &str) -> String {
        self.0.0.join(name).to_str().unwrap().to_owned()
    }

    async fn serve(&self) -> Cluster {
        let cluster = Cluster::create(&[]).await;
        for file in ["cert", "key"] {
            let name = if file == "cert" { "server.pem" } else { "server.key" };
            let path = self.file(name);
            cluster.run(&format!("alter system set ssl_{file}_file = '{path}'")).await;
        }
        turn(&cluster, "on").await;
        cluster
    }
}

/// Encryption `on` or `off`, for sessions to come.
async fn turn(cluster: &Cluster, state: &str) {
    cluster.run(&format!("alter system set ssl = {state}")).await;
    cluster.run("select pg_reload_conf()").await;
    // The server reads it a moment later.
    sleep(Duration::from_millis(200)).await;
}

#[tokio::test(flavor = "multi_thread")]
async fn sessions_are_encrypted_where_that_is_required_and_only_with_who_the_server_should_be() {
    let (ours, others) = (Authority::new(), Authority::new());
    let stack = Stack::over(ours.serve().await).await;
    let encrypted = url_of("countersign_reader", &[stack.primary.host()]) + "?sslmode=require";
    let (ours, others) = (ours.file("authority.pem"), others.file("authority.pem"));

    let reader = Reader::start(&encrypted, &stack, &[("storage_tls_ca", &ours)]).await;
    reader.until("ready", |got| got.status == 200).await;
    assert_eq!(reader.client.get(CHANGESET).await.status, 200);
    assert_ne!(reader.client.get("/buckets/main").await.status, 503, "what is not published");
    let sessions = sessions(&stack.primary).await;
    assert!(sessions.len() > 1, "the follower's, and that of requests: {sessions:?}");
    assert!(sessions.iter().all(|version| version.as_deref() == Some("TLSv1.3")), "{sessions:?}");
    reader.stop().await;

    never_ready(&stack, &encrypted, &others).await;
    never_ready(&stack, &encrypted.replace("127.0.0.1", "localhost"), &ours).await;
    turn(&stack.primary, "off").await;
    never_ready(&stack, &encrypted, &ours).await;
}

/// The version of TLS of each session of readers, `None` for those that are not encrypted.
async fn sessions(cluster: &Cluster) -> Vec<Option<String>> {
    let all = "select version from pg_stat_ssl join pg_stat_activity using (pid)
               where usename = 'countersign_reader'";
    let rows = cluster.connect("drill").await.query(all, &[]).await.unwrap();
    rows.iter().map(|row| row.get(0)).collect()
}

async fn never_ready(stack: &Stack, url: &str, authorities: &str) {
    let reader = Reader::start(url, stack, &[("storage_tls_ca", authorities)]).await;
    sleep(Duration::from_millis(1_500)).await;
    assert_eq!(reader.heartbeat().await.status, 503, "{url}");
    assert_eq!(sessions(&stack.primary).await, [], "{url}");
    reader.stop().await;
}
