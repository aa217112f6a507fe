//! Who asks, and what access control entries call them.

use shared::model::{AUTHENTICATED, EVERYONE};

/// Who asks, as far as the credentials tell.
#[derive(Debug, Clone, Default, PartialEq, Eq, Hash)]
pub struct Asker {
    /// The prefixed id, `basicauth:…`; `None` for anonymous requests.
    pub id: Option<String>,
    /// The groups that an OpenID provider says the user is in, as principals.
    pub claimed: Vec<String>,
}

impl Asker {
    /// Who has no groups but those that are stored here.
    pub const fn named(id: Option<String>) -> Self {
        Self { id, claimed: Vec::new() }
    }

    /// Everything that a group's members may call this user; nothing for anonymous requests.
    pub fn names(&self) -> impl Iterator<Item = &str> {
        let id = self.id.as_deref();
        let known = id.into_iter().chain(id.map(|_| AUTHENTICATED));
        known.chain(self.claimed.iter().map(String::as_str))
    }
}

/// Who asks.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct User {
    /// The prefixed id, `basicauth:…`; `None` for anonymous requests.
    pub id: Option<String>,
    /// Everything that access control entries may call this user.
    pub principals: Vec<String>,
    /// Whether this is a job of the service's own: it needs no rights, and the workflow's rules are
    /// the same for it as for everybody.
    pub is_job: bool,
}

impl User {
    /// The user who asks, who is in `groups`; nobody in particular without an id.
    pub fn new(asker: &Asker, groups: impl IntoIterator<Item = String>) -> Self {
        let mut principals = vec![EVERYONE.to_owned()];
        if asker.id.is_some() {
            principals.extend(asker.names().map(str::to_owned));
            principals.extend(groups);
        }
        Self { id: asker.id.clone(), principals, is_job: false }
    }

    /// What workflow attributes store: the id, or everybody.
    pub fn name(&self) -> &str {
        self.id.as_deref().unwrap_or(EVERYONE)
    }

    /// Whether the user is called `principal`.
    pub fn is(&self, principal: &str) -> bool {
        self.principals.iter().any(|known| known == principal)
    }
}
