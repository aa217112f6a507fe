//! The schema's versions: numbered files in the binary, applied in order under a lock.

use tokio_postgres::{Client, error::SqlState};

use crate::error::with_causes;

/// The migrations, oldest first; a version is an index plus one.
const MIGRATIONS: &[(&str, &str)] = &[
    ("initial", include_str!("../../migrations/0001_initial.sql")),
    ("platform", include_str!("../../migrations/0002_platform.sql")),
    ("certificate_chains", include_str!("../../migrations/0003_certificate_chains.sql")),
    ("jobs", include_str!("../../migrations/0004_jobs.sql")),
    ("outbox", include_str!("../../migrations/0005_outbox.sql")),
    ("append_only_history", include_str!("../../migrations/0006_append_only_history.sql")),
    ("timestamps_order_lists", include_str!("../../migrations/0007_timestamps_order_lists.sql")),
];

/// The schema version that this binary knows.
pub const VERSION: usize = MIGRATIONS.len();

/// Any number, the same in every writer: one migrates, the others wait.
const LOCK: i64 = 0x436f_756e_7465_7273;

/// The two roles that migrations grant rights to.
const ROLES: &str = "
    do $$ begin
        if not exists (select from pg_roles where rolname = 'countersign_writer') then
            create role countersign_writer login;
        end if;
        if not exists (select from pg_roles where rolname = 'countersign_reader') then
            create role countersign_reader login;
            alter role countersign_reader set default_transaction_read_only = on;
        end if;
    end $$";

/// Why the schema is not usable.
#[derive(Debug, thiserror::Error)]
pub enum SchemaError {
    /// The database is newer than the binary, or was never migrated, or is older.
    #[error("the database has schema version {found}, this binary needs {VERSION}: {hint}")]
    Version {
        /// What the database has; 0 when it was never migrated.
        found: usize,
        /// What to do.
        hint: &'static str,
    },
    /// An applied migration is not the one in the binary.
    #[error("migration {0} was applied with another text: this is not our database")]
    Changed(usize),
    /// PostgreSQL refused or is away.
    #[error("PostgreSQL: {}", describe(.0))]
    Database(#[from] tokio_postgres::Error),
}

fn describe(error: &tokio_postgres::Error) -> String {
    error.as_db_error().map_or_else(|| with_causes(error), ToString::to_string)
}

/// Brings the schema to [`VERSION`] and returns how many migrations it applied. Each is one
/// transaction. Needs the owner's role, and `CREATEROLE` if our two roles do not exist yet.
///
/// # Errors
///
/// [`SchemaError`]; what was applied before the error stays.
pub async fn migrate(client: &mut Client) -> Result<usize, SchemaError> {
    client.execute("select pg_advisory_lock($1)", &[&LOCK]).await?;
    let applied = migrate_locked(client).await;
    client.execute("select pg_advisory_unlock($1)", &[&LOCK]).await?;
    applied
}

async fn migrate_locked(client: &mut Client) -> Result<usize, SchemaError> {
    client
        .batch_execute(
            "create table if not exists schema_migration (
                 version int primary key,
                 name text not null,
                 checksum text not null,
                 applied_at timestamptz not null default now())",
        )
        .await?;
    let found = check_applied(client).await?;
    if found == 0 {
        client.batch_execute(ROLES).await?;
    }
    for (index, (name, text)) in MIGRATIONS.iter().enumerate().skip(found) {
        let version = i32::try_from(index + 1).unwrap_or(i32::MAX);
        let tx = client.transaction().await?;
        tx.batch_execute(text).await?;
        tx.execute(
            "insert into schema_migration (version, name, checksum) values ($1, $2, $3)",
            &[&version, name, &checksum(text)],
        )
        .await?;
        tx.batch_execute(
            "grant select on schema_migration to countersign_writer, countersign_reader",
        )
        .await?;
        tx.commit().await?;
    }
    Ok(VERSION.saturating_sub(found))
}

/// Refuses a schema that this binary does not know.
///
/// # Errors
///
/// [`SchemaError::Version`] with what to do, or the database's error.
pub async fn check(client: &Client) -> Result<(), SchemaError> {
    let found = match check_applied(client).await {
        Err(SchemaError::Database(error)) if error.code() == Some(&SqlState::UNDEFINED_TABLE) => 0,
        found => found?,
    };
    if found < VERSION {
        let hint = "run `countersign-writer migrate`";
        return Err(SchemaError::Version { found, hint });
    }
    Ok(())
}

async fn check_applied(client: &Client) -> Result<usize, SchemaError> {
    let rows = client
        .query_typed("select version, checksum from schema_migration order by version", &[])
        .await?;
    for (index, row) in rows.iter().enumerate() {
        let version = usize::try_from(row.get::<_, i32>("version")).unwrap_or(0);
        let Some((_, text)) = MIGRATIONS.get(index).filter(|_| version == index + 1) else {
            let hint = "use a newer binary";
            return Err(SchemaError::Version { found: version.max(rows.len()), hint });
        };
        if row.get::<_, String>("checksum") != checksum(text) {
            return Err(SchemaError::Changed(index + 1));
        }
    }
    Ok(rows.len())
}

fn checksum(text: &str) -> String {
    use std::fmt::Write as _;
    let digest = aws_lc_rs::digest::digest(&aws_lc_rs::digest::SHA256, text.as_bytes());
    digest.as_ref().iter().fold(String::new(), |mut hex, byte| {
        let _ = write!(hex, "{byte:02x}");
        hex
    })
}

/// One hash of all migrations: names the template of test databases.
pub fn fingerprint() -> String {
    let all: String = MIGRATIONS.iter().map(|(_, text)| *text).collect();
    checksum(&all)[..16].to_owned()
}
