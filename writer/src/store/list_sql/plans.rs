//! Lists in a collection of many records use the indexes.

use serde_json::{Value, json};
use shared::{
    model::{Id, ListPath, Timestamp},
    store::Tx,
    testing::TestDatabase,
};

use super::{Select, Source, page};
use crate::listing::{ListQuery, Params, Schema};

const MANY: &str = "
    insert into record (bucket_id, collection_id, id, last_modified, data)
    select 'b', 'c' || c, 'r' || n, n,
           jsonb_build_object('n', n, 'title', 'title ' || n, 'tags', jsonb_build_array(n, 'x'),
                              'target', jsonb_build_object('name', n % 5000))
    from generate_series(1, 20000) n, generate_series(1, 2) c";

/// The plan of a query string's statement, as PostgreSQL tells it.
async fn plan(database: &TestDatabase, query: &str, after: Option<i64>) -> String {
    let mut client = database.pool("countersign_writer").get().await.unwrap();
    let tx = Tx::reading(&mut client);
    tx.begin().await.unwrap();
    let list = ListPath::Records(Id::new("b").unwrap(), Id::new("c1").unwrap());
    let source = Source::of(&list);
    let params = Params::parse(&shared::http::Query::parse(query).unwrap()).unwrap();
    let schema = Schema::of(list.resource());
    let query = ListQuery::new(params, schema, Timestamp::now()).unwrap();
    let after = after.map(|after| vec![Some(after.to_string())]);
    let select = Select {
        source: &source,
        filters: &query.filters,
        sort: &query.sort,
        after: after.as_ref(),
        with_tombstones: query.with_tombstones,
        limit: 100,
    };
    let statement = page(select).unwrap();
    let text = format!("explain {}", statement.text());
    let rows = tx.query_typed(&text, &statement.parameters()).await.unwrap();
    rows.iter().map(|row| row.get::<_, String>(0)).collect::<Vec<_>>().join("\n")
}

#[tokio::test]
async fn pages_polls_and_filters_use_indexes() {
    let database = TestDatabase::create().await;
    let owner = database.owner().await;
    owner.batch_execute(MANY).await.unwrap();
    owner.batch_execute("vacuum analyze record").await.unwrap();

    for (query, after, index) in [
        ("", None, "record_last_modified"),
        ("", Some(10_000), "record_last_modified"),
        ("_since=19990", None, "record_last_modified"),
        ("_since=0&_sort=last_modified", None, "record_last_modified"),
        ("id=r7", None, "record_pkey"),
        ("in_id=r7,r8", None, "record_pkey"),
        ("_sort=id", None, "record_pkey"),
        ("n=7", None, "record_data"),
        ("title=title 9", None, "record_data"),
        ("target.name=7", None, "record_data"),
        ("in_n=1,2,3", None, "record_data"),
        ("contains_tags=77", None, "record_data"),
    ] {
        let plan = plan(&database, query, after).await;
        assert!(plan.contains(index), "{query}: {plan}");
        assert!(!plan.contains("Seq Scan"), "{query}: {plan}");
        let sorts = plan.contains("Sort");
        assert!(!sorts || index == "record_data" || query.contains("id="), "{query}: {plan}");
    }
}

/// A list that is newer than the statistics is empty to the planner, which then takes any index for the
/// best: an import into it must not walk the list for each id (migration 7).
#[tokio::test]
async fn one_record_is_found_by_its_id_whatever_the_statistics_say() {
    let database = TestDatabase::create().await;
    let owner = database.owner().await;
    let find = async || {
        let text = "explain select from record where bucket_id = 'b' and collection_id = 'new'
                    and id = 'r7' and not deleted limit 1";
        let rows = owner.query_typed(text, &[]).await.unwrap();
        let plan: Vec<String> = rows.iter().map(|row| row.get(0)).collect();
        plan.join("\n")
    };
    owner.batch_execute("set enable_seqscan = off").await.unwrap();
    let mut plans = vec![find().await];
    owner.batch_execute(MANY).await.unwrap();
    plans.push(find().await);
    owner.batch_execute("vacuum analyze record").await.unwrap();
    plans.push(find().await);
    owner
        .batch_execute(&MANY.replace("'c' || c", "'new'").replace(", 2) c", ", 1) c"))
        .await
        .unwrap();
    plans.push(find().await);

    for plan in plans {
        assert!(plan.contains("record_pkey"), "{plan}");
    }
    let text = "select indexdef from pg_indexes where indexname = 'record_last_modified'";
    let row = owner.query_typed_one(text, &[]).await.unwrap();
    assert!(row.get::<_, String>(0).contains("WHERE (last_modified >= 0)"));
}

/// A client's texts are parameters, whatever they hold.
#[test]
fn no_text_of_a_client_is_in_a_statement() {
    let list = ListPath::Records(Id::new("marker").unwrap(), Id::new("marker").unwrap());
    let value = json!({"marker": "marker"});
    let fields = ["", "marker", "mar.ker", "id", "last_modified"];
    let operators =
        ["", "not_", "lt_", "max_", "gt_", "min_", "in_", "exclude_", "like_", "has_", "contains_"];
    let mut texts = Vec::new();
    for (operator, field) in
        operators.iter().flat_map(|operator| fields.iter().map(move |field| (operator, field)))
    {
        for value in [Value::from("marker").to_string(), value.to_string()] {
            let query = format!("{operator}{field}={value}&_sort=marker,-mar.ker");
            let query = shared::http::Query::parse(&query).unwrap();
            let schema = Schema::of(list.resource());
            let Ok(query) = Params::parse(&query)
                .and_then(|params| ListQuery::new(params, schema, Timestamp::now()))
            else {
                continue;
            };
            let source = Source::of(&list).only(vec!["marker".to_owned()]);
            let place = Some("\"marker\"".to_owned());
            let after = vec![place.clone(), place, Some("1".to_owned())];
            let select = Select {
                source: &source,
                filters: &query.filters,
                sort: &query.sort,
                after: Some(&after),
                with_tombstones: query.with_tombstones,
                limit: 100,
            };
            texts.push(page(select).unwrap().text().to_owned());
        }
    }
    assert!(texts.len() > 50);
    for text in texts {
        assert!(!text.contains("mar") && !text.contains("ker"), "{text}");
    }
}
