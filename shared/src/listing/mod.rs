//! Lists: what a query string asks for (`kinto-http-api.md` §3), pure.
//!
//! [`Params`] reads the query string's form, which is judged with the headers; [`ListQuery`] is
//! what it means for the objects of a [`Schema`], which is judged after the preconditions (§0.4).
//! The writer's `store::list_sql` makes it a statement; [`memory`] answers it without a database.

mod body;
mod filter;
mod json;
pub mod memory;
mod page;
mod params;
mod query;
mod schema;
mod select;
mod sort;
pub mod token;

pub use body::Body;
pub use filter::{Comparison, Filter, Test};
pub use page::{alert, counted, next_page};
pub use params::Params;
pub use query::ListQuery;
pub use schema::{Field, Schema};
pub use select::Selection;
pub use sort::Sort;
