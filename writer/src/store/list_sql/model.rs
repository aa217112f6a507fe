//! What PostgreSQL answers is what the specification says, for random values.

use std::cmp::Ordering;

use proptest::{
    prelude::*,
    test_runner::{Config, TestRunner},
};
use serde_json::{Map, Value, json};
use shared::{
    model::{Id, ListPath},
    store::Tx,
    testing::TestDatabase,
};
use tokio_postgres::types::Json;

use super::{Select, Source, read};
use crate::listing::{Comparison, Field, Filter, Sort, Test};

/// §3.2.3: null < string < number < boolean < array < object < missing.
fn rank(value: Option<&Value>) -> u8 {
    match value {
        Some(Value::Null) => 0,
        Some(Value::String(_)) => 1,
        Some(Value::Number(_)) => 2,
        Some(Value::Bool(_)) => 3,
        Some(Value::Array(_)) => 4,
        Some(Value::Object(_)) => 5,
        None => 6,
    }
}

/// Arrays and objects compare by their size first, as `jsonb` does.
fn compare(a: Option<&Value>, b: Option<&Value>) -> Ordering {
    match (a, b) {
        (Some(Value::String(a)), Some(Value::String(b))) => a.cmp(b),
        (Some(Value::Number(a)), Some(Value::Number(b))) => {
            a.as_f64().unwrap().total_cmp(&b.as_f64().unwrap())
        }
        (Some(Value::Bool(a)), Some(Value::Bool(b))) => a.cmp(b),
        (Some(Value::Array(a)), Some(Value::Array(b))) => a.len().cmp(&b.len()).then_with(|| {
            let pairs = a.iter().zip(b);
            pairs
                .map(|(a, b)| compare(Some(a), Some(b)))
                .find(|o| o.is_ne())
                .unwrap_or(Ordering::Equal)
        }),
        (Some(Value::Object(a)), Some(Value::Object(b))) => a.len().cmp(&b.len()).then_with(|| {
            let pairs = a.iter().zip(b);
            pairs
                .map(|(a, b)| a.0.cmp(b.0).then_with(|| compare(Some(a.1), Some(b.1))))
                .find(|o| o.is_ne())
                .unwrap_or(Ordering::Equal)
        }),
        _ => rank(a).cmp(&rank(b)),
    }
}

fn matches(value: Option<&Value>, test: &Test) -> bool {
    let among = |items: &[Value]| items.iter().any(|item| compare(value, Some(item)).is_eq());
    let items = value.and_then(Value::as_array);
    let holds = |wanted: &Value| {
        items
            .is_some_and(|items| items.iter().any(|item| compare(Some(item), Some(wanted)).is_eq()))
    };
    match test {
        Test::Compare(comparison, wanted) => {
            let order = compare(value, Some(wanted));
            match comparison {
                Comparison::Equal => order.is_eq(),
                Comparison::Different => order.is_ne(),
                Comparison::Less => order.is_lt(),
                Comparison::AtMost => order.is_le(),
                Comparison::Greater => order.is_gt(),
                Comparison::AtLeast => order.is_ge(),
            }
        }
        Test::In(items) => among(items),
        Test::Exclude(items) => !among(items),
        Test::Like(pattern) => value.and_then(shown).is_some_and(|shown| {
            let (shown, pattern) = (shown.to_lowercase(), pattern.to_lowercase());
            match pattern.strip_suffix('*') {
                Some(start) => shown.starts_with(start),
                None => shown.contains(&pattern),
            }
        }),
        Test::Has(there) => value.is_some() == *there,
        Test::Contains(wanted) => items.is_some() && wanted.iter().all(holds),
        Test::ContainsAny(wanted) => wanted.iter().any(holds),
    }
}

/// The text that `like_` sees: strings as they are, all others as PostgreSQL shows them.
fn shown(value: &Value) -> Option<String> {
    fn json(value: &Value) -> String {
        match value {
            Value::Array(items) => {
                format!("[{}]", items.iter().map(json).collect::<Vec<_>>().join(", "))
            }
            Value::Object(members) => {
                let pairs =
                    members.iter().map(|(name, value)| format!("\"{name}\": {}", json(value)));
                format!("{{{}}}", pairs.collect::<Vec<_>>().join(", "))
            }
            Value::Null | Value::Bool(_) | Value::Number(_) | Value::String(_) => value.to_string(),
        }
    }
    match value {
        Value::Null => None,
        Value::String(text) => Some(text.clone()),
        Value::Bool(_) | Value::Number(_) | Value::Array(_) | Value::Object(_) => Some(json(value)),
    }
}

fn scalars() -> impl Strategy<Value = Value> {
    prop_oneof![
        Just(Value::Null),
        any::<bool>().prop_map(Value::from),
        (-3_i64..3).prop_map(Value::from),
        (-3_i32..3).prop_map(|n| json!(f64::from(n) / 2.0)),
        prop::sample::select(vec!["", "a", "B", "ab", "é", "%", "_", "\\", "'", "\u{1F600}"])
            .prop_map(Value::from),
    ]
}

fn values() -> impl Strategy<Value = Value> {
    scalars().prop_recursive(2, 6, 3, |inner| {
        prop_oneof![
            prop::collection::vec(inner.clone(), 0..3).prop_map(Value::from),
            prop::collection::btree_map("[xy]", inner, 0..2)
                .prop_map(|members| Value::Object(members.into_iter().collect::<Map<_, _>>())),
        ]
    })
}

fn tests() -> impl Strategy<Value = Test> {
    let comparisons = prop::sample::select(vec![
        Comparison::Equal,
        Comparison::Different,
        Comparison::Less,
        Comparison::AtMost,
        Comparison::Greater,
        Comparison::AtLeast,
    ]);
    // Whole containers in a `contains_` are compared by containment, not by equality.
    let held = || prop::collection::vec(scalars(), 0..3);
    prop_oneof![
        6 => (comparisons, values()).prop_map(|(comparison, value)| Test::Compare(comparison, value)),
        1 => prop::collection::vec(values(), 0..3).prop_map(Test::In),
        1 => prop::collection::vec(values(), 0..3).prop_map(Test::Exclude),
        1 => any::<bool>().prop_map(Test::Has),
        1 => prop::sample::select(vec!["a", "b*", "É", "%", "_*", "\\", "1", "", "*"])
            .prop_map(|pattern| Test::Like(pattern.to_owned())),
        1 => held().prop_map(Test::Contains),
        1 => held().prop_map(Test::ContainsAny),
    ]
}

/// Objects' members `v`, of which some have none; a test of it; and how pages are made.
fn cases() -> impl Strategy<Value = (Vec<Option<Value>>, Test, bool, u64)> {
    let members = prop::collection::vec(prop::option::weighted(0.8, values()), 0..12);
    (members, tests(), any::<bool>(), 1_u64..5)
}

async fn fill(tx: &Tx<'_>, members: &[Option<Value>]) {
    tx.batch_execute("delete from record").await.unwrap();
    for (index, member) in members.iter().enumerate() {
        let data = member.as_ref().map_or_else(|| json!({}), |value| json!({"o": {"v": value}}));
        let number = i64::try_from(index).unwrap();
        tx.execute(
            "insert into record (bucket_id, collection_id, id, last_modified, data)
             values ('b', 'c', $1, $2, $3)",
            &[&number.to_string(), &number, &Json(&data)],
        )
        .await
        .unwrap();
    }
}

/// All ids, page by page.
async fn walk(tx: &Tx<'_>, filters: &[Filter], sort: &[Sort], limit: u64) -> Vec<usize> {
    let source = Source::of(&ListPath::Records(Id::new("b").unwrap(), Id::new("c").unwrap()));
    let mut ids = Vec::new();
    let mut after = None;
    loop {
        let select = Select {
            source: &source,
            filters,
            sort,
            after: after.as_ref(),
            with_tombstones: false,
            limit,
        };
        let next = read(tx, select, |object| {
            ids.push(object.id.parse().unwrap());
            Ok(())
        });
        after = next.await.unwrap();
        if after.is_none() {
            return ids;
        }
    }
}

#[test]
fn filters_orders_and_pages_are_those_of_the_specification() {
    let runtime = tokio::runtime::Runtime::new().unwrap();
    let database = runtime.block_on(TestDatabase::create());
    let pool = database.pool("countersign_writer");
    let path = vec!["o".to_owned(), "v".to_owned()];
    let mut runner = TestRunner::new(Config { cases: 200, ..Config::default() });

    let result = runner.run(&cases(), |(members, test, descending, limit)| {
        let mut expected: Vec<usize> =
            (0..members.len()).filter(|index| matches(members[*index].as_ref(), &test)).collect();
        expected.sort_by(|a, b| {
            let order = compare(members[*a].as_ref(), members[*b].as_ref());
            let order = if descending { order.reverse() } else { order };
            order.then(b.cmp(a))
        });
        let field = Field::Member(path.clone());
        let filters = [Filter { field: field.clone(), test }];
        let sort =
            [Sort { field, descending }, Sort { field: Field::LastModified, descending: true }];
        let found = runtime.block_on(async {
            let mut client = pool.get().await.unwrap();
            let tx = Tx::writing(&mut client);
            tx.begin().await.unwrap();
            fill(&tx, &members).await;
            walk(&tx, &filters, &sort, limit).await
        });
        prop_assert_eq!(found, expected);
        Ok(())
    });

    result.unwrap();
}
