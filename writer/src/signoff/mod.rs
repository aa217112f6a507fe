//! Review and publication: edit, request, approve, sign.
//!
//! [`transition()`] and [`Resources`] are pure; [`effects`] carries out what they decide.

pub mod effects;
pub mod events;
pub mod guards;
mod noted;
pub mod publish;
mod resources;
pub mod signing;
mod transition;

pub use resources::{Resources, Role, Triple};
pub use transition::{Actor, Command, Effect, Refusal, Status, transition};
