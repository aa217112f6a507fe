//! The reader's role cannot write.

use crate::fixture::Database;

#[tokio::test]
async fn the_database_forbids_the_reader_to_write() {
    let database = Database::create().await;
    let pool = database.test.pool("countersign_reader");
    let client = pool.get().await.unwrap();
    client.batch_execute("set default_transaction_read_only = off").await.unwrap();

    for sql in [
        "insert into record (bucket_id, collection_id, id, last_modified, data)
             values ('main', 'c', 'r', 1, '{}')",
        "update record set data = '{}'",
        "delete from collection",
        "update publication_clock set last_modified = 9",
        "insert into resource_timestamp values ('main', 'c', 'record', 1)",
        "insert into ace values ('main', '/buckets/main', 'write', 'system.Everyone')",
        "insert into certificate_chain values ('p', 'pem', 1)",
        "delete from certificate_chain",
        "select * from ace",
    ] {
        let refused = client.batch_execute(sql).await.unwrap_err();

        let code = refused.code().unwrap();
        assert_eq!(*code, tokio_postgres::error::SqlState::INSUFFICIENT_PRIVILEGE, "{sql}");
    }
}
