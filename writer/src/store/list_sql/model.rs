//! What PostgreSQL answers is what lists in memory answer, for random values.

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
use crate::listing::{
    Comparison, Field, Filter, Sort, Test,
    memory::{compare, matches},
};

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
