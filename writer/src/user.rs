//! Who asks, and what access control entries call them.

use shared::model::{AUTHENTICATED, EVERYONE};

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
    /// The user `id`, who is in `groups`; nobody in particular without an id.
    pub fn new(id: Option<String>, groups: Vec<String>) -> Self {
        let mut principals = vec![EVERYONE.to_owned()];
        if let Some(id) = &id {
            principals.extend([id.clone(), AUTHENTICATED.to_owned()]);
            principals.extend(groups);
        }
        Self { id, principals, is_job: false }
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
