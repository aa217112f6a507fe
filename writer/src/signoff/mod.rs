//! Review and publication: edit, request, approve, sign.
//!
//! [`transition()`] and [`Resources`] are pure; [`effects`] carries out what they decide.

mod auto_create;
pub mod deletion;
pub mod effects;
pub mod events;
pub mod guards;
mod noted;
pub mod publish;
mod refusal;
mod resources;
mod review;
mod setup;
pub mod signing;
mod tracking;
mod transition;

pub use auto_create::auto_create;
pub use resources::{Resources, Role, Triple};
pub use review::Review;
pub use transition::{
    Actor, Command, Digest, Effect, Event, Posted, Refusal, Situation, Status, transition,
};
