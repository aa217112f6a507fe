//! The OpenAPI document says what the service does (`kinto-http-api.md` §1.3).

use std::collections::BTreeSet;

use serde_json::{Value, json};
use writer::endpoints;

use crate::harness::Harness;

/// A URL of the template's kind.
fn example(path: &str) -> String {
    path.replace("{bucket_id}", "b").replace("{collection_id}", "c").replace("{id}", "x1")
}

#[tokio::test]
async fn the_document_says_what_clients_look_for() {
    let harness = Harness::start().await;

    let document = harness.anonymous.get("/__api__").await.expect(200).json;

    assert_eq!(document["swagger"], "2.0");
    assert_eq!(document["info"], json!({"title": "countersign", "version": "1.23"}));
    assert_eq!(document["basePath"], "/v1");
    assert_eq!(document["host"], harness.anonymous.address());
    assert_eq!(document["securityDefinitions"], json!({"basicauth": {"type": "basic"}}));
    let ids: BTreeSet<&str> = document["paths"]
        .as_object()
        .unwrap()
        .values()
        .flat_map(|item| item.as_object().unwrap().values())
        .filter_map(|operation| operation["operationId"].as_str())
        .collect();
    let mut expected = BTreeSet::from(
        [
            "server_info",
            "get_openapi_spec",
            "__heartbeat__",
            "__lbheartbeat__",
            "__version__",
            "contribute",
            "batch",
        ]
        .map(str::to_owned),
    );
    for name in ["bucket", "group", "collection", "record"] {
        for verb in ["create", "get", "update", "patch", "delete"] {
            expected.insert(format!("{verb}_{name}"));
        }
        expected.extend([format!("get_{name}s"), format!("delete_{name}s")]);
    }
    for id in expected {
        assert!(ids.contains(id.as_str()), "{id}");
    }
    assert_eq!(document["paths"]["/"]["get"]["security"], json!([]));
    assert_eq!(document["paths"]["/buckets"]["get"]["security"], json!([{"basicauth": []}]));
    let since = json!({"name": "_since", "in": "query", "required": false, "type": "integer",
                       "minimum": 0, "maximum": 9_223_372_036_854_775_808_u64});
    let parameters = document["paths"]["/buckets"]["get"]["parameters"].as_array().unwrap();
    assert!(parameters.contains(&since));
}

#[tokio::test]
async fn what_is_documented_exists_and_what_exists_is_documented() {
    let harness = Harness::start().await;
    harness.alice.put("/buckets/b", json!({})).await.expect(201);
    harness.alice.put("/buckets/b/collections/c", json!({})).await.expect(201);
    let document = harness.anonymous.get("/__api__").await.expect(200).json;
    let paths = document["paths"].as_object().unwrap();

    for (path, item) in paths {
        let methods: Vec<&String> =
            item.as_object().unwrap().keys().filter(|key| *key != "parameters").collect();
        for method in &methods {
            let reply = harness.alice.raw(&method.to_uppercase(), &example(path), &[], "").await;
            assert_ne!(reply.status, 405, "{method} {path}");
            let unknown = reply.status == 404 && reply.json["details"] == Value::Null;
            assert!(!unknown || **method == "head", "{method} {path}: {}", reply.json);
        }
        let refused = harness.alice.raw("LOCK", &example(path), &[], "").await.expect(405);
        for allowed in refused.header("allow").split(", ") {
            let implied = allowed == "OPTIONS"
                || (allowed == "HEAD" && methods.iter().any(|method| *method == "get"));
            let documented = methods.iter().any(|method| method.to_uppercase() == allowed);
            assert!(implied || documented, "{allowed} {path}");
        }
    }
    for endpoint in endpoints::ALL {
        let off = harness.alice.get(&example(endpoint.path)).await;
        let is_there = off.status != 404 || off.json["details"] != Value::Null;
        assert_eq!(is_there, paths.contains_key(endpoint.path), "{}", endpoint.name);
    }
}

#[tokio::test]
async fn methods_that_are_switched_off_are_not_documented() {
    let harness = Harness::with(&[("object_bucket_patch_enabled", "false")]).await;

    let document = harness.anonymous.get("/__api__").await.expect(200).json;

    assert_eq!(document["paths"]["/buckets/{id}"].get("patch"), None);
    assert!(document["paths"]["/buckets/{id}"].get("put").is_some());
    let first = harness.again(&[("readonly", "true")]).await;
    let document = first.get("/__api__").await.expect(200).json;
    assert_eq!(document["paths"]["/buckets"].get("post"), None);
}

/// What validators of Swagger 2.0 ask of a schema.
#[tokio::test]
async fn what_is_required_is_defined() {
    let harness = Harness::start().await;
    let document = harness.anonymous.get("/__api__").await.expect(200).json;
    let mut waiting = vec![&document];
    let mut schemas = 0;

    while let Some(value) = waiting.pop() {
        if let Some(required) = value.get("required").and_then(Value::as_array) {
            schemas += 1;
            for name in required {
                assert!(value["properties"].get(name.as_str().unwrap()).is_some(), "{value}");
            }
        }
        let items = value.as_array().into_iter().flatten();
        waiting.extend(items.chain(value.as_object().into_iter().flat_map(|map| map.values())));
    }

    assert!(schemas > 5, "{schemas}");
}
