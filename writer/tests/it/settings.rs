//! Each setting of the service as a whole has an effect (`kinto-http-api.md` §8).

use serde_json::json;
use shared::{
    config::Layers,
    testing::{TestClient, TestReply},
};
use writer::config::{Config, DEFAULTS};

use crate::harness::Harness;

/// Settings, an anonymous request, and what the reply must show.
struct Row {
    settings: &'static [(&'static str, &'static str)],
    request: (&'static str, &'static str),
    headers: &'static [(&'static str, &'static str)],
    shows: fn(&TestReply) -> bool,
}

impl Row {
    async fn ask(&self, client: &TestClient) -> TestReply {
        let (method, path) = self.request;
        client.raw(method, path, self.headers, "").await
    }
}

const fn row(
    settings: &'static [(&'static str, &'static str)],
    request: (&'static str, &'static str),
    shows: fn(&TestReply) -> bool,
) -> Row {
    Row { settings, request, headers: &[], shows }
}

/// Each shows what a writer with the usual settings does not.
const ROWS: [Row; 29] = [
    row(&[("readonly", "true")], ("GET", "/"), |reply| {
        reply.json["settings"]["readonly"] == true
            && reply.header("cache-control") == "max-age=86400"
    }),
    row(&[("readonly", "true"), ("root_cache_expires_seconds", "5")], ("GET", "/"), |reply| {
        reply.header("cache-control") == "max-age=5" && !reply.header("expires").is_empty()
    }),
    row(&[("readonly", "true")], ("POST", "/unknown"), |reply| {
        reply.status == 405 && reply.headers.get("allow").is_none()
    }),
    row(&[("project_name", "n")], ("GET", "/"), |reply| reply.json["project_name"] == "n"),
    row(&[("project_version", "v")], ("GET", "/"), |reply| reply.json["project_version"] == "v"),
    row(&[("project_docs", "d")], ("GET", "/"), |reply| reply.json["project_docs"] == "d"),
    row(&[("batch_max_requests", "3")], ("GET", "/"), |reply| {
        reply.json["settings"]["batch_max_requests"] == 3
    }),
    row(&[("explicit_permissions", "false")], ("GET", "/"), |reply| {
        reply.json["settings"]["explicit_permissions"] == false
    }),
    row(&[("backoff", "7")], ("GET", "/unknown"), |reply| reply.header("backoff") == "7"),
    row(
        &[("eos", "2999-01-01"), ("eos_message", "Bye"), ("eos_url", "http://x")],
        ("GET", "/"),
        |reply| {
            reply.header("alert") == r#"{"code":"soft-eol","message":"Bye","url":"http://x"}"#
                && reply.json["eos"] == "2999-01-01"
        },
    ),
    row(&[("eos", "2001-01-01"), ("project_docs", "http://d")], ("PUT", "/unknown"), |reply| {
        (reply.status, &reply.json["errno"]) == (410, &json!(202))
            && reply.header("alert") == r#"{"code":"hard-eol","message":null,"url":"http://d"}"#
            && reply.headers.get("x-content-type-options").is_none()
            && !reply.header("content-security-policy").is_empty()
    }),
    row(&[("http_scheme", "https"), ("http_host", "public.example")], ("GET", "/"), |reply| {
        reply.json["url"] == "https://public.example/v1/"
    }),
    row(&[("http_scheme", "https"), ("http_host", "p")], ("GET", "/x/?a=b"), |reply| {
        reply.header("location") == "https://p/v1/x?a=b"
    }),
    row(&[("trailing_slash_redirect_enabled", "false")], ("GET", "/buckets/"), |reply| {
        (reply.status, &reply.json["errno"]) == (404, &json!(111))
    }),
    row(&[("trailing_slash_redirect_ttl_seconds", "9")], ("GET", "/buckets/"), |reply| {
        reply.header("cache-control") == "max-age=9"
    }),
    row(&[("trailing_slash_redirect_ttl_seconds", "-1")], ("GET", "/buckets/"), |reply| {
        reply.status == 307 && reply.headers.get("cache-control").is_none()
    }),
    row(&[("trailing_slash_redirect_ttl_seconds", "0")], ("GET", "/buckets/"), |reply| {
        reply.header("cache-control") == "max-age=0, must-revalidate, no-cache, no-store"
            && reply.header("pragma") == "no-cache"
    }),
    row(&[("bucket_cache_expires_seconds", "60")], ("GET", "/buckets/open"), |reply| {
        reply.header("cache-control") == "max-age=60"
    }),
    row(&[("group_cache_expires_seconds", "61")], ("GET", "/buckets/open/groups"), |reply| {
        reply.header("cache-control") == "max-age=61"
    }),
    row(
        &[("collection_cache_expires_seconds", "62")],
        ("GET", "/buckets/open/collections/c"),
        |reply| reply.header("cache-control") == "max-age=62",
    ),
    row(&[("record_cache_expires_seconds", "60")], ("GET", RECORDS), |reply| {
        reply.header("cache-control") == "max-age=60"
    }),
    row(
        &[("record_cache_expires_seconds", "60"), ("open.record_cache_expires_seconds", "30")],
        ("HEAD", RECORDS),
        |reply| reply.header("cache-control") == "max-age=30",
    ),
    row(
        &[
            ("open.record_cache_expires_seconds", "30"),
            ("open.c.record_cache_expires_seconds", "10"),
        ],
        ("GET", RECORDS),
        |reply| reply.header("cache-control") == "max-age=10",
    ),
    row(&[("open_c_record_cache_expires_seconds", "11")], ("GET", RECORDS), |reply| {
        reply.header("cache-control") == "max-age=11"
    }),
    row(&[("object_bucket_patch_enabled", "false")], ("PATCH", "/buckets/open"), |reply| {
        reply.status == 405 && reply.header("allow") == "GET, HEAD, PUT, DELETE, OPTIONS"
    }),
    row(&[("plural_bucket_get_enabled", "false")], ("GET", "/buckets"), |reply| {
        reply.status == 405 && reply.header("allow") == "HEAD, POST, DELETE, OPTIONS"
    }),
    row(&[("includes", "kinto.plugins.flush kinto_unheard_of")], ("GET", "/"), |reply| {
        reply.json["capabilities"].get("flush_endpoint").is_some()
    }),
    Row {
        settings: &[("cors_origins", "https://*.example.com"), ("cors_max_age_seconds", "")],
        request: ("OPTIONS", "/buckets"),
        headers: &[("origin", "https://a.example.com"), ("access-control-request-method", "POST")],
        shows: |reply| {
            reply.header("access-control-allow-origin") == "https://a.example.com"
                && reply.headers.get("access-control-max-age").is_none()
        },
    },
    Row {
        settings: &[("cors_max_age_seconds", "12")],
        request: ("OPTIONS", "/buckets"),
        headers: &[("origin", "http://a"), ("access-control-request-method", "POST")],
        shows: |reply| {
            reply.header("access-control-allow-origin") == "*"
                && reply.header("access-control-max-age") == "12"
        },
    },
];

/// Each shows what the usual settings do, too.
const UNCHANGED: [Row; 4] = [
    row(&[("readonly", "true")], ("GET", "/__heartbeat__"), |reply| reply.status == 200),
    row(&[("backoff", "7"), ("backoff_percentage", "0")], ("GET", "/"), |reply| {
        reply.headers.get("backoff").is_none()
    }),
    row(&[("bucket_cache_expires_seconds", "0")], ("GET", "/buckets/open"), |reply| {
        reply.header("cache-control") == "no-cache, no-store"
            && reply.headers.get("expires").is_none()
    }),
    row(&[("version_json_path", "/nonexistent.json")], ("GET", "/__version__"), |reply| {
        reply.json["version"] == env!("CARGO_PKG_VERSION")
    }),
];

const RECORDS: &str = "/buckets/open/collections/c/records";

/// Everybody may read the bucket `open`.
async fn seed(harness: &Harness) {
    let body = json!({"permissions": {"read": ["system.Everyone"]}});
    harness.alice.send("PUT", "/buckets/open", body).await.expect(201);
    harness.alice.put("/buckets/open/collections/c", json!({})).await.expect(201);
}

#[tokio::test]
async fn each_setting_has_its_effect() {
    let first = Harness::start().await;
    seed(&first).await;

    for row in &ROWS {
        let usual = row.ask(&first.anonymous).await;
        assert!(!(row.shows)(&usual), "{:?} changes nothing", row.settings);
    }
    for row in ROWS.iter().chain(&UNCHANGED) {
        let reply = row.ask(&first.again(row.settings).await).await;
        assert!((row.shows)(&reply), "{:?}: {} {reply:?}", row.settings, reply.status);
    }
}

#[tokio::test]
async fn urls_without_a_version_are_redirected_as_the_settings_say() {
    let first = Harness::start().await;

    let usual = first.anonymous.root("GET", "/buckets?a=b").await.expect(307);
    assert!(usual.header("location").ends_with("/v1/buckets?a=b"));
    assert!(usual.headers.get("cache-control").is_none());
    assert_eq!(usual.header("access-control-expose-headers").split(',').count(), 5);
    let asked = first.anonymous.root("OPTIONS", "/anything").await.expect(200);
    assert!(asked.bytes.is_empty() && asked.header("content-type").starts_with("text/html"));
    let split = first.anonymous.root("GET", "/a%0Ab").await.expect(404);
    assert_eq!(split.json["errno"], 116);
    assert_eq!(usual.header("content-type"), "text/plain; charset=UTF-8");
    for undecodable in ["/buckets?a=%82", "/%82%AC"] {
        first.anonymous.root("GET", undecodable).await.expect(400);
    }

    let kept = first.again(&[("version_prefix_redirect_ttl_seconds", "9")]).await;
    assert_eq!(kept.root("GET", "/buckets").await.header("cache-control"), "max-age=9");
    let never = first.again(&[("version_prefix_redirect_ttl_seconds", "0")]).await;
    let dated = never.root("GET", "/buckets").await;
    assert_eq!(dated.header("last-modified"), dated.header("expires"));
    let off = first.again(&[("version_prefix_redirect_enabled", "false")]).await;
    assert_eq!(off.root("GET", "/buckets").await.expect(404).json["errno"], 116);
}

#[tokio::test]
async fn a_collection_may_lengthen_what_caches_keep_for_everybody() {
    let first = Harness::start().await;
    seed(&first).await;
    let collection = "/buckets/open/collections/c";
    first.alice.patch(collection, json!({"cache_expires": 100})).await.expect(200);
    let short = first.again(&[("record_cache_expires_seconds", "7")]).await;

    assert_eq!(short.get(RECORDS).await.header("cache-control"), "max-age=100");
    let own = first.alice.get(RECORDS).await.expect(200);
    assert_eq!(own.header("cache-control"), "no-cache, no-store", "anonymous only");
    let unchanged = [("if-none-match", own.header("etag"))];
    let unchanged = short.raw("GET", RECORDS, &unchanged, "").await.expect(304);
    assert!(unchanged.headers.get("cache-control").is_none());

    first.alice.patch(collection, json!({"cache_expires": 0})).await.expect(200);
    let zero = first.again(&[("record_cache_expires_seconds", "0")]).await.get(RECORDS).await;
    assert_eq!(zero.header("cache-control"), "max-age=0, must-revalidate, no-cache, no-store");
    assert_eq!(zero.header("pragma"), "no-cache");
}

#[tokio::test]
async fn ids_are_made_and_checked_by_the_generator_of_the_settings() {
    let strict = "kinto.core.storage.generators.UUID4";
    let harness = Harness::with(&[
        ("record_id_generator", strict),
        ("group_id_generator", "kinto.views.RelaxedUUID"),
    ])
    .await;
    seed(&harness).await;

    let made = harness.alice.send("POST", RECORDS, json!({})).await.expect(201);
    let id = made.json["data"]["id"].as_str().unwrap();
    harness.alice.put(&format!("{RECORDS}/{id}"), json!({})).await.expect(200);
    for refused in [
        harness.alice.put(&format!("{RECORDS}/r"), json!({})).await,
        harness.alice.send("POST", RECORDS, json!({"data": {"id": "r"}})).await,
        harness.alice.get(&format!("{RECORDS}/r")).await,
    ] {
        assert_eq!(refused.expect(400).json["message"], "path: Invalid object id");
    }
    let group = harness.alice.send("POST", "/buckets/open/groups", json!({})).await.expect(201);
    assert_eq!(group.json["data"]["id"].as_str().unwrap().len(), 36);
    let bucket = harness.alice.send("POST", "/buckets", json!({})).await.expect(201);
    assert_eq!(bucket.json["data"]["id"].as_str().unwrap().len(), 8);
}

fn read(settings: &[(&str, &str)]) -> Result<Config, shared::config::Problems> {
    let mut layers = Layers::new(DEFAULTS);
    for (key, value) in settings {
        layers.set(key, *value);
    }
    Config::read(&mut layers)
}

#[test]
fn what_cannot_be_meant_is_told_by_name() {
    for (key, value) in [
        ("record_id_generator", "my.generators.Snowflake"),
        ("eos", "soon"),
        ("backoff", "a while"),
        ("backoff_percentage", "half"),
        ("cors_origins", "http://[z-a]"),
        ("batch_max_requests", "0"),
        ("version_prefix_redirect_ttl_seconds", "never"),
        ("version_json_path", "/"),
        ("heartbeat_timeout_seconds", "0"),
        ("object_record_patch_enabled", "maybe"),
    ] {
        let problems = read(&[(key, value)]).unwrap_err();
        assert!(problems.lines().iter().any(|line| line.contains(key)), "{key}: {problems}");
    }
}

/// Whoever wants a review, and says it in words that nobody understands, gets no unreviewed
/// publication (`remote-settings.md` §0.5, trap 62).
#[test]
fn a_signer_s_variable_that_nobody_understands_ends_the_start() {
    const LINES: &str = "/buckets/work -> /buckets/main\n/buckets/own/collections/c-d -> \
        /buckets/others/collections/c-d";
    let read = |resources: &str, name: &str, in_file: &[&str]| {
        let mut layers = Layers::new(DEFAULTS);
        layers.set("signer.ecdsa.private_key", "key.pem");
        layers.set("signer.resources", resources);
        for key in in_file {
            layers.set(key, "false");
        }
        layers.environment([(name.to_owned(), "true".to_owned())].into_iter());
        Config::read(&mut layers)
    };

    for (name, advice) in [
        ("KINTO_SIGNER_WORK_STRICT_TO_REVIEW_ENABLED", ".to_review_enabled in the file"),
        ("COUNTERSIGN_SIGNER_WORK_STRICT_TO_REVIEW_ENABLED", ".to_review_enabled in the file"),
        ("KINTO_SIGNER_WORK_X_ECDSA_PRIVATE_KEY_FILE", ".ecdsa.private_key in the file"),
        ("KINTO_SIGNER_TO_REVIEW_ENABLE", "of a signer"),
    ] {
        let problems = read(LINES, name, &[]).unwrap_err();
        assert_eq!(problems.lines().len(), 1, "{problems}");
        let line = &problems.lines()[0];
        assert!(line.contains(name) && line.ends_with(advice), "{line}");
        let warnings = read("", name, &[]).unwrap().warnings;
        assert!(warnings.iter().any(|line| line.contains(name)), "nothing is signed: {warnings:?}");
    }
    for name in [
        "KINTO_SIGNER_TO_REVIEW_ENABLED",
        "KINTO_SIGNER_WORK_TO_REVIEW_ENABLED",
        "COUNTERSIGN_SIGNER_OWN_C_D_TO_REVIEW_ENABLED",
        "KINTO_SIGNER_CERTS_CHAINS_BASE_URL",
    ] {
        let warnings = read(LINES, name, &[]).unwrap().warnings;
        assert!(!warnings.iter().any(|line| line.contains(name)), "{name}: {warnings:?}");
    }
    // The file names the collection: the variable is about it.
    let strict = "KINTO_SIGNER_WORK_STRICT_TO_REVIEW_ENABLED";
    let config = read(LINES, strict, &["signer.work.strict.autograph.host"]).unwrap();
    let is_reviewed = |id| config.signer.resources.review_enabled("work", id);
    assert!(is_reviewed("strict") && !is_reviewed("other"));
    let resources = "/buckets/work/collections/a-b -> /buckets/main/collections/a-b\n\
        /buckets/work/collections/a_b -> /buckets/main/collections/a_b";
    let problems = read(resources, "KINTO_SIGNER_WORK_A_B_TO_REVIEW_ENABLED", &[]).unwrap_err();
    assert!(problems.to_string().contains("can mean"), "{problems}");
}

/// Settings of Kinto that mean nothing here: who relies on one is told (§8).
#[test]
fn what_has_no_effect_is_told_by_name() {
    for (key, value) in [
        ("transaction_per_request", "false"),
        ("event_listeners.redis.use", "kinto_redis.listeners"),
        ("statsd_url", "udp://localhost:8125"),
        ("statsd_prefix", "kinto"),
    ] {
        let warnings = read(&[(key, value)]).unwrap().warnings;
        assert!(warnings.iter().any(|warning| warning.contains(key)), "{key}: {warnings:?}");
    }
    for (key, value) in [("transaction_per_request", "true"), ("cache_max_size_bytes", "1")] {
        let warnings = read(&[(key, value)]).unwrap().warnings;
        assert!(!warnings.iter().any(|warning| warning.contains(key)), "{key}: {warnings:?}");
    }
}

/// What an operator of Kinto has, with every line of his file that is about the service.
const KINTO_INI: &str = "
[server:main]
use = egg:waitress#main
host = 0.0.0.0
port = %(http_port)s

[app:main]
use = egg:kinto
kinto.readonly = false
kinto.batch_max_requests = 50
kinto.trailing_slash_redirect_enabled = true
kinto.trailing_slash_redirect_ttl_seconds = 3600
kinto.heartbeat_timeout_seconds = 10
kinto.includes = kinto.plugins.default_bucket
                 kinto.plugins.history
kinto.storage_backend = kinto.core.storage.postgresql
kinto.storage_url = postgresql://postgres:postgres@localhost/postgres
kinto.storage_pool_size = 25
kinto.storage_max_overflow = 5
kinto.cache_backend = kinto.core.cache.memory
kinto.cache_prefix =
kinto.permission_backend = kinto.core.permission.postgresql
kinto.permission_url = postgresql://postgres:postgres@localhost/postgres
kinto.bucket_create_principals = system.Authenticated
kinto.userid_hmac_secret = 1234567890
multiauth.policies = basicauth
kinto.event_listeners =
kinto.http_scheme = https
kinto.http_host = settings.example.com
kinto.cors_origins = *
kinto.backoff =
kinto.backoff_percentage =
kinto.retry_after_seconds = 3
kinto.eos =
kinto.eos_message =
kinto.eos_url =
kinto.version_json_path = ./version.json
kinto.error_info_link = https://example.com/issues/
kinto.project_docs = https://example.com/docs
kinto.project_name = settings
kinto.project_version =
kinto.version_prefix_redirect_enabled = true
kinto.root_cache_expires_seconds = 86400
kinto.bucket_cache_expires_seconds = 3600
kinto.collection_cache_expires_seconds = 3600
kinto.group_cache_expires_seconds = 3600
kinto.record_cache_expires_seconds = 3600
kinto.blog_record_cache_expires_seconds = 3600
kinto.blog_article_record_cache_expires_seconds = 3600
kinto.bucket_id_generator = kinto.views.NameGenerator
kinto.plural_bucket_post_enabled = false
kinto.object_record_delete_enabled = true
kinto.statsd_url =
kinto.sentry_dsn =
kinto.newrelic_env = dev
kinto.lightshow_enabled = true

[loggers]
keys = root, kinto
";

#[test]
fn a_file_of_kinto_s_is_read_as_it_is() {
    let path = std::env::temp_dir().join(format!("{}.ini", uuid::Uuid::new_v4()));
    std::fs::write(&path, KINTO_INI).unwrap();
    let mut layers = Layers::new(DEFAULTS);
    layers.file(&path);

    let config = Config::read(&mut layers).unwrap();

    std::fs::remove_file(&path).unwrap();
    let expected = [
        "userid_hmac_secret is shorter than 32 bytes: ids of basicauth tell passwords to whoever \
         guesses it",
        "default_bucket_hmac_secret is empty: whoever knows a user's id can tell the id of the \
         user's bucket",
        "event_listeners has no effect here yet",
        "[server:main] host is not a setting of this service",
        "[server:main] port is not a setting of this service",
        "lightshow_enabled is not a setting of this service",
    ];
    assert_eq!(config.warnings, expected);
    assert_eq!(config.service.batch_max_requests, 50);
    assert!(config.service.disabled.contains("plural_bucket_post_enabled"));
    let file = config.service.file.unwrap();
    assert_eq!(file["path"], path.to_str().unwrap());
    assert_eq!(file["hash"].as_str().unwrap().len(), 64);
    assert!(file["modified"].as_str().unwrap().starts_with("20"));
}
