//! The pages of an admin console (`kinto-http-api.md` §7.7), beside what the real Kinto answers.

use std::{fs, path::Path};

use serde_json::json;
use writer::admin::Console;

use crate::harness::Harness;

const PLUGIN: (&str, &str) = ("includes", "kinto.plugins.admin");

fn build(directory: &Path) {
    fs::create_dir_all(directory.join("assets")).unwrap();
    for (name, text) in [
        ("index.html", "<html>hi</html>\n"),
        ("VERSION", "3.1.4\n"),
        ("assets/a.js", "a()\n"),
        ("assets/b c.txt", "x"),
        (".env", "secret"),
    ] {
        fs::write(directory.join(name), text).unwrap();
    }
}

async fn harness() -> (Harness, String) {
    let harness = Harness::with(&[]).await;
    let directory = harness.directory.join("console");
    build(&directory);
    (harness, directory.to_str().unwrap().to_owned())
}

#[tokio::test]
async fn a_console_is_served_from_its_directory() {
    let (harness, directory) = harness().await;
    let client = harness.again(&[PLUGIN, ("admin_assets_path", &directory)]).await;

    let index = client.get("/admin/?x=1").await.expect(200);
    assert_eq!(index.bytes, "<html>hi</html>\n");
    assert_eq!(index.header("content-type"), "text/html; charset=UTF-8");
    assert!(index.header("content-security-policy").starts_with("default-src 'self'; "));
    assert_eq!(index.header("x-content-type-options"), "nosniff");
    for absent in ["cache-control", "access-control-expose-headers"] {
        assert_eq!(index.header(absent), "", "{absent}");
    }

    let script = client.get("/admin/assets/a.js").await.expect(200);
    assert_eq!(script.bytes, "a()\n");
    assert_eq!(script.header("content-type"), "text/javascript; charset=UTF-8");
    assert_eq!(script.header("cache-control"), "max-age=3600");
    assert!(script.header("content-security-policy").starts_with("default-src 'none'; "));
    for (since, status) in
        [(script.header("last-modified"), 304), ("Mon, 01 Jan 2001 00:00:00 GMT", 200)]
    {
        let dated = [("if-modified-since", since)];
        client.raw("GET", "/admin/assets/a.js", &dated, "").await.expect(status);
    }

    client.get("/admin/assets/b%20c.txt").await.expect(200);
    let redirect = client.get("/admin?x=1").await.expect(307);
    assert!(redirect.header("location").ends_with("/v1/admin/"));
    let head = client.raw("HEAD", "/admin/assets/a.js", &[], "").await.expect(200);
    assert_eq!((head.header("content-length"), head.bytes.len()), ("4", 0));

    let hello = client.get("/").await.expect(200);
    assert_eq!(hello.json["capabilities"]["admin"]["version"], "3.1.4");
}

#[tokio::test]
async fn nothing_else_is() {
    let (harness, directory) = harness().await;
    let client = harness.again(&[PLUGIN, ("admin_assets_path", &directory)]).await;
    fs::write(harness.directory.join("outside"), "secret").unwrap();

    for path in [
        "/admin/nope",
        "/admin/assets",
        "/admin/.env",
        "/admin/../outside",
        "/admin/%2e%2e/outside",
        "/admin/assets/..%2f..%2foutside",
        "/admin//index.html",
        "/admin/%ff",
    ] {
        let answer = client.get(path).await;
        assert!([400, 404].contains(&answer.status), "{path}: {}", answer.status);
    }
    let posted = client.send("POST", "/admin/", json!({})).await.expect(405);
    assert_eq!(posted.header("allow"), "GET, HEAD");
    // Without the plug-in, the directory is nobody's.
    let client = harness.again(&[("admin_assets_path", &directory)]).await;
    client.get("/admin/").await.expect(307);
    client.get("/admin/index.html").await.expect(404);
}

#[tokio::test]
async fn without_a_directory_a_page_says_what_is_missing() {
    let harness = Harness::with(&[PLUGIN]).await;

    let page = harness.anonymous.get("/admin/").await.expect(200);

    assert!(String::from_utf8_lossy(&page.bytes).contains("admin_assets_path"));
    harness.anonymous.get("/admin/VERSION").await.expect(404);
}

#[test]
fn a_directory_that_is_no_console_is_refused_at_the_start() {
    let directory = std::env::temp_dir().join(format!("console-{}", uuid::Uuid::new_v4()));
    let read = || Console::read(&directory).map(|_| ()).map_err(|error| error.to_string());
    assert!(read().unwrap_err().contains("No such file"));
    build(&directory);
    assert_eq!(read(), Ok(()));
    fs::remove_file(directory.join("VERSION")).unwrap();
    assert_eq!(read().unwrap_err(), "there is no VERSION");
    // A loop has no end.
    fs::write(directory.join("VERSION"), "1").unwrap();
    std::os::unix::fs::symlink(&directory, directory.join("loop")).unwrap();
    assert!(read().unwrap_err().contains("more than a console"));
    fs::remove_dir_all(&directory).unwrap();
}
