//! What the load tool's commands and the drills share.

#![forbid(unsafe_code)]

pub mod proxy;
