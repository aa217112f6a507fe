//! What a running reader makes of signals.

use std::{fs, path::PathBuf, time::Duration};

use tokio::time::sleep;

use crate::{fixture::Database, process::Process};

const NOBODY: &str = "postgresql://countersign_reader@127.0.0.1:9/none";

fn directory(name: &str, settings: &str) -> PathBuf {
    let name = format!("countersign-signals-{}-{name}", std::process::id());
    let path = std::env::temp_dir().join(name);
    fs::create_dir_all(&path).unwrap();
    let text = format!("changes.resources = '/buckets/main'\nlog.level = 'info'\n{settings}");
    fs::write(path.join("reader.toml"), text).unwrap();
    path
}

/// Waits for a line of the log.
async fn tells(process: &Process, text: &str) {
    for _ in 0..500 {
        if process.log().contains(text) {
            return;
        }
        sleep(Duration::from_millis(20)).await;
    }
    panic!("never told: {text}\n{}", process.log());
}

#[tokio::test]
async fn a_hangup_ends_no_reader_that_speaks_no_tls() {
    let directory = directory("plain", "");
    let mut process = Process::start(&directory, NOBODY);
    tells(&process, "listening").await;
    let reader = process.listening().await;

    process.signal("HUP");
    tells(&process, "SIGHUP").await;

    assert!(!process.has_ended());
    assert_eq!(reader.get("/v1/").await.status, 200);
    process.signal("TERM");
    for _ in 0..500 {
        if process.has_ended() {
            break;
        }
        sleep(Duration::from_millis(20)).await;
    }
    assert!(process.has_ended(), "SIGTERM does end it");
    fs::remove_dir_all(directory).unwrap();
}

#[tokio::test]
async fn the_log_tells_when_the_schema_fits_at_last() {
    let database = Database::create().await;
    database
        .run("insert into schema_migration (version, name, checksum) values (99, '', '')")
        .await;
    let directory = directory("schema", "");
    let process = Process::start(&directory, &database.test.url("countersign_reader"));
    tells(&process, "the schema is not this binary's").await;

    database.run("delete from schema_migration where version = 99").await;

    tells(&process, "the schema is this binary's now").await;
    fs::remove_dir_all(directory).unwrap();
}

#[tokio::test]
async fn a_hangup_reads_the_certificate_again() {
    let directory = directory("tls", "");
    let write = || {
        let made = rcgen::generate_simple_self_signed(["localhost".to_owned()]).unwrap();
        fs::write(directory.join("cert.pem"), made.cert.pem()).unwrap();
        fs::write(directory.join("key.pem"), made.signing_key.serialize_pem()).unwrap();
        made
    };
    write();
    let settings = format!(
        "changes.resources = '/buckets/main'\nlog.level = 'info'\n\
         tls.certificate = '{0}/cert.pem'\ntls.key = '{0}/key.pem'\n",
        directory.display()
    );
    fs::write(directory.join("reader.toml"), settings).unwrap();
    let process = Process::start(&directory, NOBODY);
    tells(&process, "listening").await;

    let second = write();
    process.signal("HUP");
    tells(&process, "the certificate was read again").await;

    let stream = crate::front::encrypted_to(process.address, &second).await;
    let text = crate::front::ask(stream, crate::front::PING.as_bytes()).await;
    assert!(text.starts_with("HTTP/1.1 200 OK\r\n"), "{text}");
    let stream = crate::front::encrypted_to(process.address, &second).await;
    let hello = b"GET /v1/ HTTP/1.1\r\nHost: a.example\r\nConnection: close\r\n\r\n";
    let text = crate::front::ask(stream, hello).await;
    assert!(text.contains(r#""url":"https://a.example/v1/""#), "how it is spoken to: {text}");

    fs::write(directory.join("key.pem"), "no key").unwrap();
    process.signal("HUP");
    tells(&process, "the certificate stays as it was").await;
    let stream = crate::front::encrypted_to(process.address, &second).await;
    let text = crate::front::ask(stream, crate::front::PING.as_bytes()).await;
    assert!(text.starts_with("HTTP/1.1 200 OK\r\n"), "{text}");
    drop(process);
    fs::remove_dir_all(directory).unwrap();
}
