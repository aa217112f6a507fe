use std::time::{Duration, Instant};

use serde_json::json;

use super::{budget::Budget, compile::compile, *};

/// What the schema says about an instance, as `name: text`.
fn told(schema: Value, instance: &Value) -> Option<String> {
    let compiled = compile(schema).unwrap();
    let failure = compiled.validate(instance).err()?;
    Some(format!("{}: {}", failure.name, failure.text))
}

#[test]
#[expect(clippy::too_many_lines, reason = "a table")]
fn failures_are_told_as_the_reference_tells_them() {
    let draft7 = "http://json-schema.org/draft-07/schema#";
    for (schema, value, text) in [
        (json!({"type": "integer"}), json!("no"), "'no' is not of type 'integer'"),
        (json!({"type": ["string", "null"]}), json!(1), "1 is not of type 'string', 'null'"),
        (json!({"required": ["q"]}), json!({}), "'q' is a required property"),
        (json!({"enum": ["x", 1, null]}), json!("y"), "'y' is not one of ['x', 1, None]"),
        (json!({"const": {"k": [1]}}), json!(1), "{'k': [1]} was expected"),
        (json!({"pattern": "^[a-z]+$"}), json!("A1"), "'A1' does not match '^[a-z]+$'"),
        (json!({"minimum": 3}), json!(2.5), "2.5 is less than the minimum of 3"),
        (json!({"maximum": 5.5}), json!(6), "6 is greater than the maximum of 5.5"),
        (json!({"exclusiveMinimum": 3}), json!(3), "3 is less than or equal to the minimum of 3"),
        (
            json!({"exclusiveMaximum": 5}),
            json!(5),
            "5 is greater than or equal to the maximum of 5",
        ),
        (json!({"multipleOf": 3}), json!(4), "4 is not a multiple of 3"),
        (json!({"multipleOf": 0.5}), json!(4.2), "4.2 is not a multiple of 0.5"),
        (json!({"minLength": 1}), json!(""), "'' should be non-empty"),
        (json!({"minLength": 3}), json!("é"), "'é' is too short"),
        (json!({"maxLength": 2}), json!("abc"), "'abc' is too long"),
        (json!({"maxLength": 0}), json!("abc"), "'abc' is expected to be empty"),
        (json!({"minItems": 3}), json!([1]), "[1] is too short"),
        (json!({"maxItems": 1}), json!([1, 2]), "[1, 2] is too long"),
        (json!({"uniqueItems": true}), json!([1, 2, 1]), "[1, 2, 1] has non-unique elements"),
        (json!({"minProperties": 2}), json!({"x": 1}), "{'x': 1} does not have enough properties"),
        (
            json!({"maxProperties": 1}),
            json!({"x": 1, "y": 2}),
            "{'x': 1, 'y': 2} has too many properties",
        ),
        (
            json!({"additionalProperties": false}),
            json!({"c": 2, "b": 1}),
            "Additional properties are not allowed ('b', 'c' were unexpected)",
        ),
        (
            json!({"patternProperties": {"^a": {}}, "additionalProperties": false}),
            json!({"b": 1}),
            "'b' does not match any of the regexes: '^a'",
        ),
        (
            json!({"anyOf": [{"type": "string"}, {"minimum": 5}]}),
            json!(1),
            "1 is not valid under any of the given schemas",
        ),
        (
            json!({"oneOf": [{"type": "integer"}, {"minimum": 2}]}),
            json!(3),
            "3 is valid under each of {'minimum': 2}, {'type': 'integer'}",
        ),
        (
            json!({"oneOf": [{"type": "integer"}]}),
            json!("x"),
            "'x' is not valid under any of the given schemas",
        ),
        (
            json!({"not": {"type": "string"}}),
            json!("s"),
            "'s' should not be valid under {'type': 'string'}",
        ),
        (
            json!({"contains": {"type": "string"}}),
            json!([1]),
            "[1] does not contain items matching the given schema",
        ),
        (json!({"propertyNames": {"pattern": "^x"}}), json!({"y": 1}), "'y' does not match '^x'"),
        (json!({"dependentRequired": {"x": ["y"]}}), json!({"x": 1}), "'y' is a dependency of 'x'"),
        (json!({"dependencies": {"x": ["y"]}}), json!({"x": 1}), "'y' is a dependency of 'x'"),
        (
            json!({"items": [{}], "additionalItems": false}),
            json!([1, 2, "z"]),
            "Additional items are not allowed (2, 'z' were unexpected)",
        ),
        (
            json!({"properties": {"x": {}}, "unevaluatedProperties": false}),
            json!({"y": 1}),
            "Unevaluated properties are not allowed ('y' was unexpected)",
        ),
        (json!(false), json!(1), "False schema does not allow 1"),
    ] {
        let dialect = if text.contains("dependency") || text.contains("Additional items") {
            json!(draft7)
        } else {
            json!("https://json-schema.org/draft/2020-12/schema")
        };
        let is_dependent = schema.get("dependentRequired").is_some();
        let mut document = json!({"properties": {"a": schema}});
        if !is_dependent {
            document["$schema"] = dialect;
        }
        assert_eq!(told(document, &json!({"a": value})), Some(format!("a: {text}")));
    }
}

#[test]
fn dependencies_are_no_keyword_of_the_latest_dialect() {
    let schema = json!({"dependencies": {"a": ["b"]}});
    let draft7 =
        json!({"$schema": "http://json-schema.org/draft-07/schema#", "dependencies": {"a": ["b"]}});

    assert_eq!(told(schema, &json!({"a": 1})), None);
    assert!(told(draft7, &json!({"a": 1})).is_some());
}

#[test]
fn at_the_root_the_keyword_says_what_is_missing() {
    for (schema, instance, text) in [
        (json!({"required": ["a", "z"]}), json!({}), "z: 'a' is a required property"),
        (json!({"minProperties": 1}), json!({}), "minProperties: {} should be non-empty"),
        (
            json!({"dependentRequired": {"a": ["b"]}}),
            json!({"a": 1}),
            "dependentRequired: 'b' is a dependency of 'a'",
        ),
        (
            json!({"not": {"required": ["a"]}}),
            json!({"a": 1}),
            "not: {'a': 1} should not be valid under {'required': ['a']}",
        ),
        (
            json!({"properties": {"l": {"items": {"type": "integer"}}}}),
            json!({"l": [1, "x"]}),
            "1: 'x' is not of type 'integer'",
        ),
        (
            json!({"definitions": {"p": {"type": "integer"}}, "properties": {"a": {"$ref": "#/definitions/p"}}}),
            json!({"a": "x"}),
            "a: 'x' is not of type 'integer'",
        ),
    ] {
        assert_eq!(told(schema, &instance).as_deref(), Some(text));
    }
}

#[test]
fn a_reference_that_leads_nowhere_fails_only_where_it_is_used() {
    for (reference, text) in [
        (
            "#/definitions/nope",
            "schema: PointerToNowhere: '/definitions/nope' does not exist within",
        ),
        ("#nope", "schema: NoSuchAnchor: 'nope' does not exist within"),
        ("http://127.0.0.1:1/x", "schema: Unresolvable: http://127.0.0.1:1/x"),
        ("file:///etc/passwd", "schema: Unresolvable: file:///etc/passwd"),
        ("other.json#/x", "schema: Unresolvable: other.json#/x"),
    ] {
        let schema = json!({"properties": {"a": {"$ref": reference}}});
        assert_eq!(told(schema.clone(), &json!({"b": 1})), None);
        let told = told(schema, &json!({"a": 1})).unwrap();
        assert!(told.starts_with(text), "{told}");
    }
}

#[test]
fn a_schema_without_a_dialect_may_be_of_draft_7() {
    let tuple = json!({"properties": {"a": {"items": [{"type": "integer"}]}}});

    assert_eq!(check_document(&tuple), Ok(()));
    assert_eq!(told(tuple, &json!({"a": ["x"]})).unwrap(), "0: 'x' is not of type 'integer'");
    let dynamic = json!({"properties": {"a": {"dependentRequired": {"x": ["y"]}}}});
    assert!(told(dynamic, &json!({"a": {"x": 1}})).is_some(), "else of the latest");
}

#[test]
fn formats_are_not_enforced() {
    assert_eq!(told(json!({"properties": {"a": {"format": "email"}}}), &json!({"a": "x"})), None);
}

#[test]
fn schemas_are_checked_when_they_are_saved() {
    for (schema, text) in [
        (
            json!({"type": "Washmachine"}),
            "type'Washmachine' is not valid under any of the given schemas",
        ),
        (
            json!({"properties": {"a": {"type": 5}}}),
            "type5 is not valid under any of the given schemas",
        ),
        (json!({"properties": 5}), "properties5 is not of type 'object'"),
        (json!({"properties": {"a": 5}}), "a5 is not of type 'object', 'boolean'"),
        (json!({"required": ["a", "a"]}), "required['a', 'a'] has non-unique elements"),
        (json!({"pattern": "("}), "pattern'(' is not a 'regex'"),
        (json!({"properties": {"a": {"pattern": "("}}}), "pattern'(' is not a 'regex'"),
        (json!({"patternProperties": {"(": {}}}), "patternProperties'(' is not a 'regex'"),
        (json!({"minLength": -1}), "minLength-1 is less than the minimum of 0"),
        (json!({"multipleOf": 0}), "multipleOf0 is less than or equal to the minimum of 0"),
        (json!({"anyOf": []}), "anyOf[] should be non-empty"),
        (json!({"title": 5}), "title5 is not of type 'string'"),
        (json!({"$ref": 5}), "$ref5 is not of type 'string'"),
        (json!({"uniqueItems": "yes"}), "uniqueItems'yes' is not of type 'boolean'"),
    ] {
        assert_eq!(check_document(&schema), Err(text.to_owned()));
    }
    for schema in [
        json!({}),
        json!({"required": [], "enum": []}),
        json!({"$schema": "http://json-schema.org/draft-04/schema#", "minimum": 3, "exclusiveMinimum": true}),
        json!({"properties": {"a": {"$ref": "#"}}}),
        json!({"properties": {"a": {"$ref": "#/definitions/nope"}}}),
    ] {
        assert_eq!(check_document(&schema), Ok(()), "{schema}");
    }
}

#[test]
fn what_is_beyond_the_limits_is_refused() {
    let told = |schema: &Value| check_document(schema).unwrap_err();

    assert!(told(&json!({"title": "x".repeat(300_000)})).contains("larger than"));
    assert!(told(&json!({"pattern": "(a{1000}){1000}"})).contains("regex"));
    let many: Map<String, Value> =
        (0..300).map(|n| (n.to_string(), json!({"pattern": "a"}))).collect();
    assert!(told(&json!({"properties": many})).contains("more than 200 patterns"));
    assert!(told(&json!({"allOf": [{"$ref": "#"}]})).contains("refers to itself"));
    assert!(told(&json!({"$ref": "#"})).contains("refers to itself"));
    let chain: Map<String, Value> = (0..1_000)
        .map(|n| (format!("d{n}"), json!({"$ref": format!("#/definitions/d{}", n + 1)})))
        .collect();
    assert!(told(&json!({"definitions": chain})).contains("refers to itself"));
    let nested = json!({"properties": {"a": {"$id": "http://x/y"}}});
    assert!(told(&nested).contains("not supported"));
}

#[test]
fn patterns_take_linear_time() {
    let subject = json!({"a": format!("{}b", "a".repeat(1 << 20))});
    for pattern in ["(a+)+$", "^(a|aa)+$", "(.*)*x", "^(a|a)*$", "([a-zA-Z]+)*$"] {
        let compiled = compile(json!({"properties": {"a": {"pattern": pattern}}})).unwrap();

        let start = Instant::now();
        let _ = compiled.validate(&subject);

        // Fifty milliseconds in an optimized build.
        assert!(start.elapsed() < Duration::from_millis(500), "{pattern} {:?}", start.elapsed());
    }
}

/// A pattern of so many states that the engine has no tables for it, and a text that needs them all.
fn states(count: usize, bytes: usize) -> (String, String) {
    let mut state = 1_u32;
    let text = (0..bytes).map(|_| {
        state = state.wrapping_mul(1_664_525).wrapping_add(1_013_904_223);
        if state >> 31 == 0 { 'a' } else { 'b' }
    });
    (format!("(^|[ab])[ab]*a[ab]{{{count}}}[^ab0]"), text.collect())
}

/// Linear in the text, but 100 KB took nine seconds.
#[test]
fn a_text_counts_for_each_state_of_its_pattern() {
    let too_long = Some("schema: Validation with this schema takes too long".to_owned());
    for (count, bytes, is_quick, is_possible) in
        [(100, 5_000, true, true), (100, 100_000, false, true), (3_000, 100_000, false, false)]
    {
        let (pattern, text) = states(count, bytes);
        let named = json!({"a": {&text: 1}});
        let valued = json!({"a": text});
        for (schema, instance) in [
            (json!({"pattern": pattern}), &valued),
            (json!({"not": {"pattern": pattern}}), &valued),
            (json!({"propertyNames": {"pattern": pattern}}), &named),
            (json!({"patternProperties": {&pattern: false}}), &named),
        ] {
            let schema = json!({"properties": {"a": schema}});
            let compiled = compile(schema.clone()).unwrap();
            let start = Instant::now();
            let quickly = compiled.validate_quickly(instance);
            let elapsed = start.elapsed();

            assert_eq!(quickly.is_ok(), is_quick, "{count} {bytes} {schema}");
            assert!(elapsed < Duration::from_millis(500), "{elapsed:?} {count} {bytes} {schema}");
            if !is_possible {
                assert_eq!(told(schema, instance), too_long);
            } else if !is_quick {
                assert_ne!(told(schema, instance), too_long);
            }
            assert!(start.elapsed() < Duration::from_secs(5), "{:?}", start.elapsed());
        }
    }
}

/// Without limits, these take minutes or more: each level evaluates the next again and again,
/// and in vain; or each of many items is compared with each of many others.
#[test]
fn an_evaluation_that_explodes_is_given_up() {
    let branches = json!([1, 2, 3, 4, 5, 6, 7, 8]);
    let mut definitions = json!({"d7": {"type": "string"}});
    for level in 0..7 {
        let next = json!({"$ref": format!("#/definitions/d{}", level + 1)});
        let both: Vec<Value> =
            (0..8).map(|n| json!({"anyOf": [next, {"const": n + 100}]})).collect();
        definitions[format!("d{level}")] = json!({"anyOf": both});
    }
    let explosive =
        json!({"definitions": definitions, "properties": {"a": {"$ref": "#/definitions/d0"}}});
    let options: Vec<usize> = (0..20_000).collect();
    let compared = json!({"properties": {"a": {"contains": {"enum": options}}}});
    for (schema, instance) in
        [(explosive, json!({"a": branches})), (compared, json!({"a": vec![-1; 100_000]}))]
    {
        let start = Instant::now();
        let told = told(schema, &instance).unwrap();

        assert!(told.contains("takes too long"), "{told}");
        assert!(start.elapsed() < Duration::from_secs(10), "{:?}", start.elapsed());
    }
}

/// Each level of the object has two branches that fail, and tells of all that is wrong in both.
fn two_branches() -> Value {
    let branch = |name| json!({"properties": {"x": {"$ref": "#/$defs/t"}}, "required": [name]});
    json!({
        "$defs": {"t": {"anyOf": [branch("q"), branch("r")]}},
        "properties": {"a": {"$ref": "#/$defs/t"}},
    })
}

/// `depth` members, each within the other.
fn nested(depth: usize) -> Value {
    json!({"a": (0..depth).fold(json!({}), |below, _| json!({"x": below}))})
}

#[test]
fn a_tree_of_errors_is_not_built_beyond_its_budget() {
    let compiled = compile(two_branches()).unwrap();

    let told = compiled.validate_quickly(&nested(2)).unwrap().unwrap_err();
    assert_eq!(told.text, "{'x': {'x': {}}} is not valid under any of the given schemas");
    for depth in [14, 16, 18, 55] {
        let start = Instant::now();
        assert_eq!(compiled.validate_quickly(&nested(depth)), Err(budget::Exhausted), "{depth}");
        let told = compiled.validate(&nested(depth)).unwrap_err();

        assert!(told.text.contains("takes too much memory"), "{depth}: {}", told.text);
        assert!(start.elapsed() < Duration::from_secs(5), "{depth}: {:?}", start.elapsed());
    }
    // The same, but valid, costs nothing.
    let mut valid = nested(55);
    valid["a"]["q"] = json!(1);
    valid["a"]["x"] = json!({"q": 1});
    assert_eq!(compiled.validate_quickly(&valid), Ok(Ok(())));
}

/// Values and names are copied into each error.
#[test]
fn large_values_and_names_count_once_for_each_error() {
    let branches: Vec<Value> = (0..200).map(|n| json!({"required": [n.to_string()]})).collect();
    let compiled = compile(json!({"properties": {"a": {"anyOf": branches}}})).unwrap();
    let with = |member: &str, text: &str| json!({"a": {member: text}});

    let small = compiled.validate_quickly(&with("x", "y")).unwrap().unwrap_err();
    assert!(small.text.contains("is not valid under any"), "{}", small.text);
    let large = "x".repeat(1 << 20);
    for instance in [with("x", &large), with(&large, "y")] {
        let told = compiled.validate(&instance).unwrap_err();
        assert!(told.text.contains("takes too much memory"), "{}", &told.text[..100]);
    }
}

/// What an ordinary record of a schema like those of experiments needs: many branches, and lists.
#[test]
fn ordinary_schemas_need_a_small_part_of_what_is_quick() {
    let branches: Vec<Value> = (0..20)
        .map(|n| {
            let items = json!({"type": "object", "required": ["slug"], "properties": {
                "slug": {"type": "string"}, "ratio": {"type": "integer", "minimum": 0}}});
            json!({"type": "object", "required": ["kind", "slug"], "properties": {
                "kind": {"const": format!("kind-{n}")}, "slug": {"type": "string"},
                "branches": {"type": "array", "items": items}}})
        })
        .collect();
    let schema = json!({"properties": {"arguments": {"anyOf": branches}}});
    let compiled = compile(schema).unwrap();
    let arms: Vec<Value> =
        (0..10).map(|n| json!({"slug": format!("arm-{n}"), "ratio": 1})).collect();
    let record = |kind: &str| {
        let arguments = json!({"kind": kind, "slug": "a-slug", "branches": arms});
        json!({"arguments": arguments})
    };

    assert_eq!(compiled.is_valid(&record("kind-19"), Budget::TENTH), Ok(true));
    let told = compiled.validate_quickly(&record("none")).unwrap().unwrap_err();
    assert!(told.text.ends_with("is not valid under any of the given schemas"), "{}", told.text);
}

#[test]
fn ordinary_patterns_need_a_small_part_of_what_is_quick() {
    let uuid = "^[0-9a-f]{8}-[0-9a-f]{4}-[0-9a-f]{4}-[0-9a-f]{4}-[0-9a-f]{12}$";
    let label = "[a-zA-Z0-9](?:[a-zA-Z0-9-]{0,61}[a-zA-Z0-9])?";
    let email = format!(r"^[a-zA-Z0-9.!#$%&'*+/=?^_`{{|}}~-]+@{label}(?:\.{label})*$");
    let schema = json!({"properties": {
        "id": {"pattern": uuid},
        "email": {"pattern": email},
        "day": {"pattern": r"^\d{4}-\d{2}-\d{2}T\d{2}:\d{2}:\d{2}(\.\d+)?Z$"},
        "url": {"pattern": "^https://.{1,100}$"},
        "text": {"pattern": "^.{1,2000}$"},
        "hash": {"pattern": "^[a-f0-9]{64}$"},
        "names": {"patternProperties": {r"^[a-z]{2}(-[A-Z]{2})?$": {"pattern": r"^\p{L}[\p{L} ]*$"}}},
    }});
    let record = json!({
        "id": "6f7c2b1e-0a4d-4a6e-9a51-1c9d0f3b7e21",
        "email": "somebody.with-a-long.name@mail.example.com",
        "day": "2026-01-02T03:04:05.678Z",
        "url": format!("https://example.com/{}", "x".repeat(80)),
        "text": "é".repeat(1_000),
        "hash": "0".repeat(64),
        "names": {"de": "Deutsch", "pt-BR": "português brasileiro", "el": "ελληνικά"},
    });

    let compiled = compile(schema).unwrap();
    assert_eq!(compiled.validate_quickly(&record), Ok(Ok(())));
    assert_eq!(compiled.is_valid(&record, Budget::TENTH), Ok(true));
}

/// The deepest that the limits allow, on a thread like those that it runs on.
#[test]
fn the_deepest_evaluation_fits_the_stack() {
    let mut inner = json!({"properties": {"c": {"$ref": "#"}}});
    for _ in 0..21 {
        inner = json!({"allOf": [inner]});
    }
    let mut deep = json!(1);
    for _ in 0..64 {
        deep = json!({"c": deep});
    }
    check_document(&inner).unwrap();
    let run = move || compile(inner).unwrap().validate(&deep);
    let thread = std::thread::Builder::new().stack_size(2 << 20).spawn(run).unwrap();

    assert_eq!(thread.join().unwrap(), Ok(()));
}
