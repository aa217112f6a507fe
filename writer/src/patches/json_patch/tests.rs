use proptest::prelude::*;
use shared::model::Timestamp;

use super::*;

const LIMIT: usize = 10_000;

fn old() -> Object {
    let data = json!({"n": 1, "a": [1, 2, 3], "o": {"x": {"y": 1}}, "s": "it's", "nul": null});
    Object {
        id: "r".to_owned(),
        last_modified: Timestamp::from_millis(7),
        deleted: false,
        data: data.as_object().unwrap().clone(),
    }
}

fn acl() -> Acl {
    Acl::from([("read", vec!["alice".to_owned(), "bob".to_owned()])])
}

fn patch(operations: &Value) -> Result<Patched, ApiError> {
    let bytes = Bytes::from(operations.to_string());
    Operations::parse(&bytes, Resource::Record)?.apply(&old(), &acl(), Resource::Record, LIMIT)
}

fn message(operations: &Value) -> String {
    let error = patch(operations).unwrap_err();
    assert_eq!(error.contract().0, 400);
    error.body()["message"].as_str().unwrap().to_owned()
}

#[test]
fn operations_change_data_and_say_which_members() {
    let patched = patch(&json!([
        {"op": "test", "path": "/data/n", "value": 1.0},
        {"op": "add", "path": "/data/a/-", "value": 4},
        {"op": "move", "from": "/data/n", "path": "/data/m"},
        {"op": "copy", "from": "/data/o", "path": "/data/o/x/z"},
        {"op": "remove", "path": "/data/nul"},
        {"op": "replace", "path": "/data/s", "value": "b"},
    ]))
    .unwrap();

    let expected = json!({"a": [1, 2, 3, 4], "m": 1, "s": "b", "id": "r", "last_modified": 7,
                          "o": {"x": {"y": 1, "z": {"x": {"y": 1}}}}});
    assert_eq!(Value::from(patched.data), expected);
    let posted: Vec<&str> = patched.posted.keys().map(String::as_str).collect();
    assert_eq!(posted, ["a", "m", "o", "s"]);
}

#[test]
fn permissions_are_sets_of_principals() {
    for (operation, read) in [
        (json!({"op": "add", "path": "/permissions/read/carol"}), vec!["alice", "bob", "carol"]),
        (
            json!({"op": "add", "path": "/permissions/read/a~1b", "value": 5}),
            vec!["a/b", "alice", "bob"],
        ),
        (json!({"op": "remove", "path": "/permissions/read/alice"}), vec!["bob"]),
        (json!({"op": "test", "path": "/permissions/read/bob"}), vec!["alice", "bob"]),
        (json!({"op": "replace", "path": "/permissions/read", "value": {}}), vec![]),
        (json!({"op": "replace", "path": "/permissions/read", "value": ["zoe"]}), vec!["zoe"]),
        (
            json!({"op": "move", "from": "/permissions/read/bob", "path": "/permissions/write/bob"}),
            vec!["alice"],
        ),
    ] {
        let patched = patch(&json!([operation])).unwrap();
        assert_eq!(patched.acl["read"], read, "{operation}");
    }
    let removed = patch(&json!([{"op": "remove", "path": "/permissions/read"}])).unwrap();
    assert_eq!(removed.acl.get("read"), None, "a right that is gone is left as it is");
}

#[test]
fn rights_that_are_not_seen_are_replaced_and_those_to_create_only_when_somebody_gets_them() {
    let make = json!({"op": "add", "path": "/permissions/record:create/zoe"});

    for (operations, rights) in [
        (json!([]), vec!["read", "write"]),
        (json!([make]), vec!["read", "record:create", "write"]),
    ] {
        let bytes = Bytes::from(operations.to_string());
        let operations = Operations::parse(&bytes, Resource::Collection).unwrap();
        let none = Acl::new();
        let patched = operations.apply(&old(), &none, Resource::Collection, LIMIT).unwrap();
        assert_eq!(patched.acl.keys().copied().collect::<Vec<_>>(), rights);
    }
}

#[test]
#[expect(clippy::too_many_lines, reason = "a table")]
fn what_cannot_be_is_refused_with_the_reference_s_texts() {
    let failed = |reason: &str| format!("body: JSON Patch operation failed: {reason}");
    let mapping = "is not a mapping type: Does not implement dict-like functionality.";
    for (operations, text) in [
        (json!({}), "\"{}\" is not iterable".to_owned()),
        (json!([1]), format!("0 in body: \"1\" {mapping}")),
        (json!([{}]), "0.op in body: Required".to_owned()),
        (
            json!([{"op": "bogus", "path": "/data/a"}]),
            "0.op in body: \"bogus\" is not one of test, add, remove, replace, move, copy"
                .to_owned(),
        ),
        (json!([{"op": "add", "path": ""}]), "0.path in body: Required".to_owned()),
        (
            json!([{"op": "add", "path": 5}]),
            "0.path in body: 5 is not a string: {'path': ''}".to_owned(),
        ),
        (
            json!([{"op": "add", "path": "data"}]),
            "0.path in body: String does not match expected pattern".to_owned(),
        ),
        (
            json!([{"op": "add", "path": "/data/q", "value": 1, "foo": 2}]),
            "0 in body: Unrecognized keys in mapping: \"{'foo': 2}\"".to_owned(),
        ),
        (
            json!([{"op": "add", "path": "/data/q"}]),
            failed("The operation does not contain a 'value' member"),
        ),
        (
            json!([{"op": "copy", "path": "/data/q", "from": null}]),
            failed("The operation does not contain a 'from' member"),
        ),
        (
            json!([{"op": "remove", "path": "/data/zz"}]),
            failed("can't remove a non-existent object 'zz'"),
        ),
        (
            json!([{"op": "replace", "path": "/data/zz", "value": 1}]),
            failed("can't replace a non-existent object 'zz'"),
        ),
        (
            json!([{"op": "test", "path": "/data/n", "value": "1"}]),
            failed("1 (<class 'int'>) is not equal to tested value 1 (<class 'str'>)"),
        ),
        (
            json!([{"op": "move", "from": "/data/o", "path": "/data/o/x"}]),
            failed("Cannot move values into their own children"),
        ),
        (
            json!([{"op": "add", "path": "/data/a~2b", "value": 1}]),
            failed("Found invalid escape ~2"),
        ),
        (
            json!([{"op": "add", "path": "/data/a/4", "value": 1}]),
            failed("can't insert outside of list"),
        ),
        (
            json!([{"op": "add", "path": "/data/a/01", "value": 1}]),
            failed("'01' is not a valid sequence index"),
        ),
        (
            json!([{"op": "replace", "path": "/data/a/3", "value": 1}]),
            failed("can't replace outside of list"),
        ),
        (
            json!([{"op": "test", "path": "/data/a/9", "value": 1}]),
            failed("index '9' is out of bounds"),
        ),
        (json!([{"op": "add", "path": "/data/zz/x", "value": 1}]), failed("member 'zz' not found")),
        (json!([{"op": "move", "from": "/data/zz", "path": "/data/y"}]), failed("'zz'")),
        (json!([{"op": "remove", "path": "/data"}]), failed("'data' must stay an object")),
        (json!([{"op": "add", "path": "/data", "value": 3}]), failed("'data' must stay an object")),
        (
            json!([{"op": "remove", "path": "/permissions"}]),
            failed("'permissions' must stay an object"),
        ),
        (
            json!([{"op": "add", "path": "/permissions/bogus", "value": {"x": "x"}}]),
            "permissions in body: \"bogus\" is not one of read, write".to_owned(),
        ),
        (
            json!([{"op": "replace", "path": "/permissions/read", "value": 5}]),
            "permissions.read in body: \"5\" is not iterable".to_owned(),
        ),
        (
            json!([{"op": "add", "path": "/permissions/read/"}]),
            "permissions.read.0 in body: Required".to_owned(),
        ),
    ] {
        assert_eq!(message(&operations), text, "{operations}");
    }
}

/// Each copy doubles: sixty would take an exabyte.
#[test]
fn a_copy_bomb_is_refused() {
    let mut bomb = vec![json!({"op": "add", "path": "/data/b", "value": ["x".repeat(100)]})];
    for _ in 0..60 {
        bomb.push(json!({"op": "copy", "from": "/data/b", "path": "/data/b/-"}));
    }
    assert!(message(&Value::from(bomb)).contains("too large"));
}

#[test]
fn copies_into_themselves_do_not_nest_without_end() {
    let nest = json!({"op": "copy", "from": "/data/o", "path": "/data/o/x/y"});
    let told = message(&Value::from(vec![nest; 40]));
    assert!(told.contains("deeper than 64"), "{told}");
}

#[test]
fn a_long_array_is_not_shifted_without_end() {
    let items: Vec<Value> = vec![json!(0); 2_000];
    let mut shifts = vec![json!({"op": "add", "path": "/data/b", "value": items})];
    shifts.extend(vec![json!({"op": "add", "path": "/data/b/0", "value": 1}); 2_000]);
    assert!(message(&Value::from(shifts)).contains("too large"));
}

fn any_operation() -> impl Strategy<Value = Value> {
    let path = prop_oneof![
        Just("/data".to_owned()),
        Just("/permissions".to_owned()),
        "/(data|permissions)/(n|a|o|s|id|read|write|q)",
        "/data/(a|o)/(-|0|1|7|01|x)(/y)?",
        "/permissions/(read|write|bogus)/(alice|eve|~1x|)",
        "\\PC{0,8}",
    ];
    let op = prop_oneof![
        Just("add"),
        Just("remove"),
        Just("replace"),
        Just("move"),
        Just("copy"),
        Just("test")
    ];
    let value =
        prop_oneof![Just(json!(null)), Just(json!({"y": [1]})), any::<i8>().prop_map(Value::from)];
    (op, path.clone(), path, value).prop_map(
        |(op, path, from, value)| json!({"op": op, "path": path, "from": from, "value": value}),
    )
}

proptest! {
    #[test]
    fn any_operations_are_applied_or_refused_with_a_client_s_error(
        operations in prop::collection::vec(any_operation(), 0..8)
    ) {
        match patch(&Value::from(operations)) {
            Err(refusal) => prop_assert_eq!(refusal.contract().0.as_u16(), 400),
            Ok(patched) => {
                prop_assert!(patched.acl.keys().all(|name| ["read", "write"].contains(name)));
                prop_assert!(patched.acl.values().flatten().all(|id| !id.is_empty()));
                prop_assert!(json::check_storable(&Value::from(patched.data)).is_ok());
            }
        }
    }

    /// Adding and then removing a member changes nothing.
    #[test]
    fn adding_and_removing_is_nothing(name in "[a-z]{2,6}", value in any::<i32>()) {
        let path = format!("/data/{name}");
        let patched = patch(&json!([
            {"op": "add", "path": path, "value": value},
            {"op": "remove", "path": path},
        ])).unwrap();
        let mut expected = old().to_value();
        expected.as_object_mut().unwrap().remove(&name);
        prop_assert_eq!(Value::from(patched.data), expected);
    }

    #[test]
    fn a_member_that_is_added_is_the_only_one_that_changes(name in "\\PC{1,6}", value in any::<i32>()) {
        let token = name.replace('~', "~0").replace('/', "~1");
        let patched = patch(&json!([{"op": "add", "path": format!("/data/{token}"), "value": value}])).unwrap();
        let mut expected = old().to_value();
        expected[&name] = value.into();
        prop_assert_eq!(Value::from(patched.data), expected);
    }
}
