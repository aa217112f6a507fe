//! Lists in SQL: the one place where statements are put together at run time.
//!
//! Their texts consist of constants and of the numbers of parameters, never of anything that a
//! client sent: `Statement::sql` takes nothing else. They are as many as there are shapes of
//! queries, so they are not kept prepared.

mod condition;
mod order;
mod source;
mod statement;

use shared::{error::ApiError, model::Timestamp, store::Tx};
pub use source::Source;
pub use statement::Parameter;
use statement::Statement;
use tokio::try_join;
use tokio_postgres::types::Json;

use super::objects::Object;
use crate::listing::{Field, Filter, Sort, token::Cursor};

/// Which objects of a source, in which order.
#[derive(Debug, Clone, Copy)]
pub struct Select<'a> {
    /// Where they are.
    pub source: &'a Source,
    /// What must be true of them.
    pub filters: &'a [Filter],
    /// Their order; the last criterion is unique.
    pub sort: &'a [Sort],
    /// They come after this one.
    pub after: Option<&'a Cursor>,
    /// Tombstones, too.
    pub with_tombstones: bool,
    /// At most so many.
    pub limit: u64,
}

/// Calls `each` for the selected objects. The result is the last one's place in the order, if
/// more objects follow.
///
/// # Errors
///
/// [`ApiError::Backend`] when PostgreSQL is away, and whatever `each` returns.
pub async fn read(
    tx: &Tx<'_>,
    select: Select<'_>,
    mut each: impl FnMut(Object) -> Result<(), ApiError>,
) -> Result<Option<Cursor>, ApiError> {
    let statement = page(select)?;
    let (parameters, planned) = (statement.parameters(), plan_anew(tx));
    let ((), mut rows) = try_join!(planned, tx.query_typed(statement.text(), &parameters))?;
    let limit = usize::try_from(select.limit).unwrap_or(usize::MAX);
    let mut next = None;
    if rows.len() > limit {
        rows.truncate(limit);
        next = rows.last().map(|row| row.try_get("cursor")).transpose()?;
    }
    for row in rows {
        each(Object {
            id: row.try_get("id")?,
            last_modified: Timestamp::from_millis(row.try_get("last_modified")?),
            deleted: row.try_get("deleted")?,
            data: row.try_get::<_, Json<_>>("data")?.0,
        })?;
    }
    Ok(next)
}

/// Has the statements that follow in the transaction planned for their own parameters: how many
/// rows are wanted, and how rare a value is, decide between the indexes.
async fn plan_anew(tx: &Tx<'_>) -> Result<(), tokio_postgres::Error> {
    tx.batch_execute("set local plan_cache_mode = force_custom_plan").await
}

/// How many live objects there are.
///
/// # Errors
///
/// [`ApiError::Backend`] when PostgreSQL is away.
pub async fn count(tx: &Tx<'_>, source: &Source, filters: &[Filter]) -> Result<i64, ApiError> {
    let mut statement = Statement::new(source.parameters());
    statement.sql("select count(*)");
    condition::all(&mut statement, source, filters, false);
    let (parameters, planned) = (statement.parameters(), plan_anew(tx));
    let ((), row) = try_join!(planned, tx.query_typed_one(statement.text(), &parameters))?;
    Ok(row.try_get(0)?)
}

/// One object more than the limit says whether there is another page.
fn page(select: Select<'_>) -> Result<Statement, ApiError> {
    let Select { source, filters, sort, after, with_tombstones, limit } = select;
    let mut statement = Statement::new(source.parameters());
    let keys = order::keys(&mut statement, source, sort, with_tombstones);
    statement.sql("select ").sql(source.id()).sql(" as id, last_modified, deleted, data, ");
    order::cursor(&mut statement, &keys);
    statement.sql(" as cursor");
    condition::all(&mut statement, source, filters, with_tombstones);
    if sort.first().is_some_and(|first| first.field == Field::LastModified) {
        // Always true: it lets the index of timestamps be taken (migration 7).
        statement.sql(" and last_modified >= 0");
    }
    if let Some(after) = after {
        statement.sql(" and ");
        order::after(&mut statement, &keys, after)?;
    }
    order::order_by(&mut statement, &keys);
    let limit = i64::try_from(limit).unwrap_or(i64::MAX).saturating_add(1);
    statement.sql(" limit ").bind(Parameter::number(limit));
    Ok(statement)
}

#[cfg(test)]
mod model;
#[cfg(test)]
mod plans;
#[cfg(test)]
mod sources;
