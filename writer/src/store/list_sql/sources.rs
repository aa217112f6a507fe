//! What is not one of the four tables: accounts, history, and queries that stand for a table.

use shared::{
    http::Query,
    model::{Id, ListPath, Timestamp},
    store::Tx,
    testing::TestDatabase,
};

use super::{Parameter, Select, Source, count, read};
use crate::listing::{ListQuery, Params, Schema};

const ROWS: &str = "
    insert into account (bucket_id, collection_id, id, last_modified, data)
    values ('', '', 'alice', 1, '{\"n\": 1}'), ('', '', 'bob', 2, '{\"n\": 2}');
    insert into history (bucket_id, id, last_modified, data, readers)
    values ('b', 'h1', 1, '{\"record_id\": \"1\", \"target\": {\"data\": {\"x\": 1}}}', '{alice,bob}'),
           ('b', 'h2', 2, '{\"record_id\": \"2\", \"target\": {\"data\": {\"x\": 2}}}', '{bob}'),
           ('b', 'h3', 3, '{\"record_id\": \"1\", \"target\": {\"data\": {\"x\": 3}}}', '{}'),
           ('other', 'h4', 4, '{\"record_id\": \"1\"}', '{alice,bob}')";

/// The ids that a query finds page by page, one on each, and their number.
async fn found(
    database: &TestDatabase,
    source: &Source,
    schema: &Schema,
    query: &str,
) -> (Vec<String>, i64) {
    let mut client = database.pool("countersign_writer").get().await.unwrap();
    let tx = Tx::reading(&mut client);
    tx.begin().await.unwrap();
    let params = Params::parse(&Query::parse(query).unwrap()).unwrap();
    let query = ListQuery::new(params, schema, Timestamp::now()).unwrap();
    let mut ids = Vec::new();
    let mut after = None;
    loop {
        let select = Select {
            source,
            filters: &query.filters,
            sort: &query.sort,
            after: after.as_ref(),
            with_tombstones: query.with_tombstones,
            limit: 1,
        };
        let next = read(&tx, select, |object| {
            let uri = object.text("uri").map(str::to_owned);
            ids.push(uri.unwrap_or(object.id));
            Ok(())
        });
        after = next.await.unwrap();
        if after.is_none() {
            return (ids, count(&tx, source, &query.filters).await.unwrap());
        }
    }
}

#[tokio::test]
async fn entries_of_history_are_seen_by_their_readers() {
    let database = TestDatabase::create().await;
    database.owner().await.batch_execute(ROWS).await.unwrap();
    let list = ListPath::History(Id::new("b").unwrap());
    let schema = Schema::of(list.resource());
    let readers = |names: &[&str]| {
        Source::of(&list).readable_by(names.iter().map(|name| (*name).to_owned()).collect())
    };

    for (source, query, expected) in [
        (Source::of(&list), "", vec!["h3", "h2", "h1"]),
        (Source::of(&list), "record_id=1", vec!["h3", "h1"]),
        (Source::of(&list), "in_record_id=2,3&_sort=uri", vec![]),
        (Source::of(&list), "gt_target.data.x=1&_sort=target.data.x", vec!["h2", "h3"]),
        (readers(&["bob", "system.Everyone"]), "", vec!["h2", "h1"]),
        (readers(&["bob"]), "record_id=1", vec!["h1"]),
        (readers(&["alice"]), "_since=0", vec!["h1"]),
        (readers(&[]), "", vec![]),
    ] {
        let total = i64::try_from(expected.len()).unwrap();
        let expected = expected.into_iter().map(str::to_owned).collect();
        assert_eq!(found(&database, &source, schema, query).await, (expected, total), "{query}");
    }
}

#[tokio::test]
async fn accounts_are_a_list_like_others() {
    let database = TestDatabase::create().await;
    database.owner().await.batch_execute(ROWS).await.unwrap();
    let source = Source::of(&ListPath::Accounts);
    let schema = Schema::of(ListPath::Accounts.resource());

    let (ids, _) = found(&database, &source, schema, "_sort=n").await;
    assert_eq!(ids, ["alice", "bob"]);
    let only = source.only(vec!["bob".to_owned()]);
    assert_eq!(found(&database, &only, schema, "id=bob").await, (vec!["bob".to_owned()], 1));
    assert_eq!(found(&database, &only, schema, "id=alice").await, (Vec::new(), 0));
}

#[tokio::test]
async fn a_query_stands_for_a_table() {
    const ENTRIES: &str = "(
        select '' as id, 0::bigint as last_modified, false as deleted,
               jsonb_build_object('uri', '/buckets/' || name, 'permissions', $2::text[]) as data
        from unnest($1::text[]) as name) as entry";

    let database = TestDatabase::create().await;
    let texts = |texts: &[&str]| Parameter::texts(texts.iter().map(|t| (*t).to_owned()).collect());
    let parameters = vec![texts(&["a", "b", "c"]), texts(&["read"])];
    let source = Source::query(ENTRIES, parameters);
    let found = async |query| found(&database, &source, &Schema::PERMISSIONS, query).await.0;

    assert_eq!(found("").await, ["/buckets/c", "/buckets/b", "/buckets/a"]);
    assert_eq!(found("_sort=uri&not_uri=/buckets/b&_since=7").await, ["/buckets/a", "/buckets/c"]);
    assert_eq!(found("_sort=bucket_id&like_uri=/buckets/*").await.len(), 3);
    assert_eq!(found("like_uri=nothing").await.len(), 0);
}
