//! What waits to be done outside, after the commit that it follows from.
//!
//! Statements that take or settle an entry are transactions of their own: nothing is locked while
//! the world outside is waited for. The database's clock decides, for all writers alike.

use std::time::Duration;

use deadpool_postgres::ClientWrapper;
use serde_json::Value;
use shared::{
    error::ApiError,
    parameters,
    store::{Tx, Write},
};
use tokio_postgres::{
    Row,
    types::{Json, ToSql},
};
use uuid::Uuid;

/// Something to be done.
#[derive(Debug, Clone, PartialEq)]
pub struct Entry {
    /// What: how the payload is read.
    pub kind: &'static str,
    /// Who receives it.
    pub target: String,
    /// What is sent.
    pub payload: Value,
    /// How long after the commit it is due.
    pub delay: Duration,
}

/// An entry that this writer has taken, for some time.
#[derive(Debug, Clone)]
pub struct Claimed {
    /// Its id, by which receivers know repetitions.
    pub id: String,
    /// What it is.
    pub kind: String,
    /// Who receives it.
    pub target: String,
    /// What is sent.
    pub payload: Value,
    /// How often it was taken, this time included.
    pub attempts: i32,
}

/// An entry as operators see it.
#[derive(Debug, Clone, serde::Serialize)]
pub struct Shown {
    /// Its id.
    pub id: String,
    /// What it is.
    pub kind: String,
    /// Who receives it.
    pub target: String,
    /// How often it was tried.
    pub attempts: i32,
    /// When it was made.
    pub created_at: String,
    /// When it is tried next.
    pub due_at: String,
    /// When it was given up.
    pub dead_at: Option<String>,
    /// What went wrong last.
    pub last_error: Option<String>,
    /// What is sent.
    pub payload: Value,
}

/// How much waits.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Counts {
    /// Entries that will be tried, again or for the first time.
    pub waiting: i64,
    /// Entries that were given up.
    pub dead: i64,
    /// Age of the oldest that waits, in seconds.
    pub oldest: i64,
}

/// So many entries go in one statement: a message to PostgreSQL stays well below its limit.
const CHUNK: usize = 500;

/// Adds entries.
///
/// # Errors
///
/// [`ApiError::Backend`] when PostgreSQL is away.
pub async fn append(tx: &Tx<'_>, mut entries: Vec<Entry>) -> Result<Vec<Write>, ApiError> {
    const SQL: &str = "
        insert into outbox (id, kind, target, payload, due_at)
        select id, kind, target, payload, clock_timestamp() + delay * interval '1 second'
        from unnest($1::text[], $2::text[], $3::text[], $4::jsonb[], $5::float8[])
             as entry (id, kind, target, payload, delay)";

    let mut writes = Vec::new();
    while !entries.is_empty() {
        let (mut ids, mut kinds) = (Vec::new(), Vec::new());
        let (mut targets, mut payloads, mut delays) = (Vec::new(), Vec::new(), Vec::new());
        for entry in entries.drain(..entries.len().min(CHUNK)) {
            ids.push(Uuid::now_v7().to_string());
            kinds.push(entry.kind);
            targets.push(entry.target);
            payloads.push(Json(entry.payload));
            delays.push(entry.delay.as_secs_f64());
        }
        writes.push(tx.write(SQL, parameters![ids, kinds, targets, payloads, delays]).await?);
    }
    Ok(writes)
}

/// The receivers for whom something of these kinds is due.
///
/// # Errors
///
/// [`ApiError::Backend`] when PostgreSQL is away.
pub async fn due_targets(client: &ClientWrapper, kinds: &[&str]) -> Result<Vec<String>, ApiError> {
    // One look into the index for each receiver, however much waits for it.
    const SQL: &str = "
        with recursive known (target) as (
            (select target from outbox where dead_at is null order by target limit 1)
            union all
            select (select o.target from outbox o
                    where o.dead_at is null and o.target > known.target
                    order by o.target limit 1)
            from known where known.target is not null)
        select target from known
        where exists (select from outbox o
                      where o.target = known.target and o.dead_at is null and o.due_at <= now()
                        and o.kind = any($1))";

    let statement = client.prepare_cached(SQL).await?;
    let rows = client.query(&statement, &[&kinds]).await?;
    rows.iter().map(|row| Ok(row.try_get(0)?)).collect()
}

/// Takes the oldest entry that is due for a receiver, for the time of `lease`: no other writer
/// takes it in the meantime.
///
/// # Errors
///
/// [`ApiError::Backend`] when PostgreSQL is away.
pub async fn claim(
    client: &ClientWrapper,
    target: &str,
    kinds: &[&str],
    lease: Duration,
) -> Result<Option<Claimed>, ApiError> {
    const SQL: &str = "
        update outbox
           set attempts = attempts + 1, due_at = now() + $3::float8 * interval '1 second'
        where id = (select id from outbox
                    where target = $1 and dead_at is null and due_at <= now() and kind = any($2)
                    order by due_at, id limit 1 for update skip locked)
        returning id, kind, target, payload, attempts";

    let statement = client.prepare_cached(SQL).await?;
    let row = client.query_opt(&statement, &[&target, &kinds, &lease.as_secs_f64()]).await?;
    row.as_ref().map(claimed).transpose()
}

fn claimed(row: &Row) -> Result<Claimed, ApiError> {
    Ok(Claimed {
        id: row.try_get("id")?,
        kind: row.try_get("kind")?,
        target: row.try_get("target")?,
        payload: row.try_get::<_, Json<Value>>("payload")?.0,
        attempts: row.try_get("attempts")?,
    })
}

/// Takes the `keys` of what else is due for the same receiver into an entry, and deletes it: one
/// purge does for all.
///
/// # Errors
///
/// [`ApiError::Backend`] when PostgreSQL is away.
pub async fn merge_keys(client: &ClientWrapper, entry: &mut Claimed) -> Result<(), ApiError> {
    // What failed before is left alone: it is somebody's, or waits for its time.
    const SQL: &str = "
        with others as (
            delete from outbox where id in (
                select id from outbox
                where target = $1 and kind = $2 and dead_at is null and due_at <= now()
                  and attempts = 0 and id <> $3
                order by due_at, id limit 100 for update skip locked)
            returning payload),
        keys as (
            select jsonb_array_elements(payload -> 'keys') as key from others
            union
            select jsonb_array_elements(payload -> 'keys') from outbox where id = $3)
        update outbox set payload = jsonb_build_object('keys', (select jsonb_agg(key) from keys))
        where id = $3 and attempts = $4 and exists (select from others)
        returning payload";

    let statement = client.prepare_cached(SQL).await?;
    let about: [&(dyn ToSql + Sync); 4] = [&entry.target, &entry.kind, &entry.id, &entry.attempts];
    if let Some(row) = client.query_opt(&statement, &about).await? {
        entry.payload = row.try_get::<_, Json<Value>>(0)?.0;
    }
    Ok(())
}

/// The entry is done.
///
/// # Errors
///
/// [`ApiError::Backend`] when PostgreSQL is away; it will be done again then.
pub async fn delivered(client: &ClientWrapper, id: &str) -> Result<(), ApiError> {
    let statement = client.prepare_cached("delete from outbox where id = $1").await?;
    client.execute(&statement, &[&id]).await?;
    Ok(())
}

/// The entry failed, and is tried again after `wait`, or up to half of it less: what failed
/// together is not tried together.
///
/// # Errors
///
/// [`ApiError::Backend`] when PostgreSQL is away.
pub async fn postpone(
    client: &ClientWrapper,
    entry: &Claimed,
    wait: Duration,
    error: &str,
) -> Result<(), ApiError> {
    const SQL: &str = "
        update outbox
           set due_at = now() + $3::float8 * (1 - random() / 2) * interval '1 second',
               last_error = $4
        where id = $1 and attempts = $2 and dead_at is null";

    let statement = client.prepare_cached(SQL).await?;
    let wait = wait.as_secs_f64();
    client.execute(&statement, &[&entry.id, &entry.attempts, &wait, &error]).await?;
    Ok(())
}

/// The entry is given up.
///
/// # Errors
///
/// [`ApiError::Backend`] when PostgreSQL is away.
pub async fn bury(client: &ClientWrapper, entry: &Claimed, error: &str) -> Result<(), ApiError> {
    const SQL: &str = "
        update outbox set dead_at = now(), last_error = $3
        where id = $1 and attempts = $2 and dead_at is null";

    let statement = client.prepare_cached(SQL).await?;
    client.execute(&statement, &[&entry.id, &entry.attempts, &error]).await?;
    Ok(())
}

/// Puts several entries in the place of one.
///
/// # Errors
///
/// [`ApiError::Backend`] when PostgreSQL is away.
pub async fn split(
    client: &ClientWrapper,
    entry: &Claimed,
    payloads: Vec<Value>,
) -> Result<(), ApiError> {
    const SQL: &str = "
        with gone as (delete from outbox where id = $1 and attempts = $2
                      returning kind, target, created_at)
        insert into outbox (id, kind, target, payload, created_at)
        select part.id, gone.kind, gone.target, part.payload, gone.created_at
        from gone cross join unnest($3::text[], $4::jsonb[]) as part (id, payload)";

    let ids: Vec<String> = payloads.iter().map(|_| Uuid::now_v7().to_string()).collect();
    let payloads: Vec<Json<Value>> = payloads.into_iter().map(Json).collect();
    let statement = client.prepare_cached(SQL).await?;
    client.execute(&statement, &[&entry.id, &entry.attempts, &ids, &payloads]).await?;
    Ok(())
}

/// How much waits, and how much was given up.
///
/// # Errors
///
/// [`ApiError::Backend`] when PostgreSQL is away.
pub async fn counts(client: &ClientWrapper) -> Result<Counts, ApiError> {
    const SQL: &str = "
        select count(*) filter (where dead_at is null) as waiting, count(dead_at) as dead,
               coalesce(extract(epoch from now() - min(created_at) filter (where dead_at is null)),
                        0)::bigint as oldest
        from outbox";

    let statement = client.prepare_cached(SQL).await?;
    let row = client.query_one(&statement, &[]).await?;
    Ok(Counts {
        waiting: row.try_get("waiting")?,
        dead: row.try_get("dead")?,
        oldest: row.try_get("oldest")?,
    })
}

/// Erases what was given up longer ago than `age`, and says how much.
///
/// # Errors
///
/// [`ApiError::Backend`] when PostgreSQL is away.
pub async fn forget_dead(client: &ClientWrapper, age: Duration) -> Result<u64, ApiError> {
    const SQL: &str = "
        delete from outbox where dead_at < now() - $1::float8 * interval '1 second'";

    let statement = client.prepare_cached(SQL).await?;
    Ok(client.execute(&statement, &[&age.as_secs_f64()]).await?)
}

/// The entries, oldest first; of all, or of those that were given up.
///
/// # Errors
///
/// [`ApiError::Backend`] when PostgreSQL is away.
pub async fn list(
    client: &ClientWrapper,
    only_dead: bool,
    most: i64,
) -> Result<Vec<Shown>, ApiError> {
    const SQL: &str = r#"
        select id, kind, target, payload, attempts, last_error,
               to_char(created_at, 'YYYY-MM-DD"T"HH24:MI:SS"Z"') as created_at,
               to_char(due_at, 'YYYY-MM-DD"T"HH24:MI:SS"Z"') as due_at,
               to_char(dead_at, 'YYYY-MM-DD"T"HH24:MI:SS"Z"') as dead_at
        from outbox where dead_at is not null or not $1 order by id limit $2"#;

    let statement = client.prepare_cached(SQL).await?;
    let rows = client.query(&statement, &[&only_dead, &most]).await?;
    rows.iter().map(shown).collect()
}

fn shown(row: &Row) -> Result<Shown, ApiError> {
    Ok(Shown {
        id: row.try_get("id")?,
        kind: row.try_get("kind")?,
        target: row.try_get("target")?,
        attempts: row.try_get("attempts")?,
        created_at: row.try_get("created_at")?,
        due_at: row.try_get("due_at")?,
        dead_at: row.try_get("dead_at")?,
        last_error: row.try_get("last_error")?,
        payload: row.try_get::<_, Json<Value>>("payload")?.0,
    })
}

/// Makes entries due now, as if they were new: these, or all that were given up. How many.
///
/// # Errors
///
/// [`ApiError::Backend`] when PostgreSQL is away.
pub async fn retry(client: &ClientWrapper, ids: Option<&[String]>) -> Result<u64, ApiError> {
    const SQL: &str = "
        update outbox set dead_at = null, attempts = 0, due_at = now()
        where case when $1::text[] is null then dead_at is not null else id = any($1) end";

    let statement = client.prepare_cached(SQL).await?;
    Ok(client.execute(&statement, &[&ids]).await?)
}

/// Erases entries: these, or all that were given up. How many.
///
/// # Errors
///
/// [`ApiError::Backend`] when PostgreSQL is away.
pub async fn discard(client: &ClientWrapper, ids: Option<&[String]>) -> Result<u64, ApiError> {
    const SQL: &str = "
        delete from outbox
        where case when $1::text[] is null then dead_at is not null else id = any($1) end";

    let statement = client.prepare_cached(SQL).await?;
    Ok(client.execute(&statement, &[&ids]).await?)
}
