//! Migrations: applied once, and an unknown schema is refused.

use shared::{
    store::migrate::{self, SchemaError, VERSION},
    testing::TestDatabase,
};

#[tokio::test]
async fn migrating_again_changes_nothing() {
    let database = TestDatabase::create().await;
    let mut owner = database.owner().await;

    assert_eq!(migrate::migrate(&mut owner).await.unwrap(), 0);
    migrate::check(&owner).await.unwrap();
    let writer = database.pool("countersign_writer").get().await.unwrap();
    migrate::check(&writer).await.unwrap();
}

#[tokio::test]
async fn an_unknown_schema_is_refused() {
    let database = TestDatabase::create().await;
    let owner = database.owner().await;

    owner.batch_execute("insert into schema_migration values (99, 'future', 'x')").await.unwrap();
    let newer = migrate::check(&owner).await.unwrap_err();
    assert!(matches!(newer, SchemaError::Version { found, .. } if found > VERSION));
    let other = "delete from schema_migration where version = 99;
                 update schema_migration set checksum = 'other'";
    owner.batch_execute(other).await.unwrap();
    assert!(matches!(migrate::check(&owner).await.unwrap_err(), SchemaError::Changed(1)));
    owner.batch_execute("drop table schema_migration").await.unwrap();
    let unmigrated = migrate::check(&owner).await.unwrap_err();
    assert!(unmigrated.to_string().contains("countersign-writer migrate"), "{unmigrated}");
}
