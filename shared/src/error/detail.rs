//! What is wrong with a request, one thing at a time (`kinto-http-api.md` §0.2.3).

use std::fmt;

use serde::Serialize;

/// Which part of the request a [`Detail`] is about.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize)]
#[serde(rename_all = "lowercase")]
pub enum Location {
    /// A header.
    Header,
    /// The query string.
    QueryString,
    /// The path.
    Path,
    /// The body.
    Body,
}

impl Location {
    const fn name(self) -> &'static str {
        match self {
            Self::Header => "header",
            Self::QueryString => "querystring",
            Self::Path => "path",
            Self::Body => "body",
        }
    }
}

/// What a [`Detail`] is about: the name of a member, or the place of an item in its list.
#[derive(Debug, Clone, PartialEq, Eq, Serialize)]
#[serde(untagged)]
pub enum Name {
    /// A header, a parameter, or a member of an object.
    Member(String),
    /// An item, counted from 0.
    Item(usize),
}

impl fmt::Display for Name {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Member(name) => f.write_str(name),
            Self::Item(index) => write!(f, "{index}"),
        }
    }
}

/// One thing that is wrong with a request.
#[derive(Debug, Clone, PartialEq, Eq, Serialize)]
pub struct Detail {
    /// Where.
    pub location: Location,
    /// Which header, parameter or member; `null` for the part as a whole.
    pub name: Option<Name>,
    /// What is wrong, and what would be right.
    pub description: String,
}

impl Detail {
    /// A detail about the member `name`.
    pub fn new(location: Location, name: &str, description: impl Into<String>) -> Self {
        let name = Some(Name::Member(name.to_owned()));
        Self { location, name, description: description.into() }
    }

    /// A detail about the whole of `location`.
    pub fn whole(location: Location, description: impl Into<String>) -> Self {
        Self { location, name: None, description: description.into() }
    }

    /// §0.2.4. An empty name always occurs in the description.
    pub(super) fn message(&self) -> String {
        let (place, text) = (self.location.name(), &self.description);
        match &self.name {
            None => format!("{place}: {text}"),
            Some(name) if text.contains(&name.to_string()) => text.clone(),
            Some(name) => format!("{name} in {place}: {text}"),
        }
    }
}
