//! Certificates of our own: a root that clients pin, an intermediate that may only speak for one
//! domain, and leaf certificates whose keys sign content (`remote-settings.md` §2.9).
//!
//! | module | what it holds |
//! |---|---|
//! | `certificate` | what the three kinds of certificate say |
//! | `directory` | where they and their keys are |
//! | `options`, `command` | `countersign-writer pki …` |
//! | `publication` | the chains of our keys on their way to readers |

mod certificate;
mod command;
mod directory;
mod options;
pub mod publication;

pub use self::{
    command::run,
    options::{
        Command, DevOptions, IntermediateOptions, LeafOptions, Lifetime, Place, RenewOptions,
        RootOptions,
    },
    publication::Certified,
};
