//! The domain's values: pure, without I/O, clock or `async`.

mod id;
mod path;
mod permission;
mod timestamp;

pub use id::{Id, InvalidId};
pub use path::{ListPath, ObjectPath, Resource};
pub use permission::{AUTHENTICATED, EVERYONE, Permission, granting};
pub use timestamp::{InvalidTimestamp, Timestamp};
