//! The table of endpoints. From it follow which methods a URL has (405 and `Allow`), what
//! browsers may read (CORS), what settings switch off, and the OpenAPI document.
//!
//! To add an endpoint: a variant of [`Route`](crate::routes::Route) with its arms in
//! `Route::parse` and `Route::endpoint`, and in `table.rs` a `static` that is also in [`ALL`]. Its
//! path is OpenAPI's, below `/v1`. `is_on` says for which settings it exists: elsewhere it is a 404, and
//! not documented. A kind of action that is not there yet is a variant of [`Does`], which the
//! compiler then asks about in `openapi` and `cors`.

mod table;

use http::Method;
use shared::model::Resource;

pub use self::table::*;
use crate::config::Config;

/// One URL, with what can be done there.
#[derive(Debug)]
pub struct Endpoint {
    /// The name in metrics and logs, `record-object`; tags and operation ids follow from it.
    pub name: &'static str,
    /// OpenAPI's path template, without the version.
    pub path: &'static str,
    /// Which settings switch its methods off, if any do.
    pub scope: Scope,
    /// Whether the endpoint exists with these settings.
    pub is_on: fn(&Config) -> bool,
    /// What can be done, by method.
    pub actions: &'static [Action],
}

/// What `{plural,object}_{resource}_{method}_enabled` may switch off (`kinto-http-api.md` §1.7.3).
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Scope {
    /// Nothing.
    Service,
    /// A list.
    Plural(Resource),
    /// An object.
    Object(Resource),
}

/// One method of an endpoint.
#[derive(Debug)]
pub struct Action {
    /// The method.
    pub method: Method,
    /// OpenAPI's operation id, where it does not follow from the endpoint's name.
    pub id: Option<&'static str>,
    /// What it does.
    pub does: Does,
}

/// What an action does: its parameters, bodies, responses and exposed headers follow from it.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Does {
    /// Shows the objects of a list.
    List,
    /// Counts them.
    Count,
    /// Adds an object to a list.
    Create,
    /// Deletes the objects of a list.
    DeleteList,
    /// Shows an object.
    Get,
    /// Creates or replaces it.
    Update,
    /// Changes it.
    Patch,
    /// Deletes it.
    Delete,
    /// Shows a JSON object to everybody.
    Show,
    /// Shows a JSON object to those who may read what it is about.
    Inspect,
    /// Shows what changed since a time.
    Changes,
    /// Shows to everybody what works.
    Probe,
    /// Shows a text to everybody.
    ShowText,
    /// Runs many requests.
    Batch,
    /// Does something to the service as a whole, and answers 202.
    Command,
    /// Sends the browser elsewhere.
    Redirect,
    /// Deletes what the settings allow few to delete, and answers 200.
    Purge,
}

impl Endpoint {
    /// The methods that it has with these settings, in the order of `Allow`. `HEAD` is there
    /// where `GET` is (§0.3.6), `OPTIONS` everywhere.
    pub fn methods(&self, config: &Config) -> Vec<Method> {
        let counts = self.actions.iter().any(|action| action.method == Method::HEAD);
        let mut methods = Vec::new();
        for action in self.actions.iter().filter(|action| self.is_enabled(config, action)) {
            methods.push(action.method.clone());
            if action.method == Method::GET && !counts {
                methods.push(Method::HEAD);
            }
        }
        methods.push(Method::OPTIONS);
        methods
    }

    /// The actions that exist with these settings.
    pub fn enabled(&self, config: &Config) -> impl Iterator<Item = &'static Action> {
        self.actions.iter().filter(|action| self.is_enabled(config, action))
    }

    /// What `method` does here; `HEAD` does what `GET` does, where it is nothing of its own.
    pub fn does(&self, config: &Config, method: &Method) -> Option<Does> {
        let find = |method: &Method| self.enabled(config).find(|action| action.method == *method);
        let found = find(method).or_else(|| {
            let head = *method == Method::HEAD;
            head.then(|| find(&Method::GET)).flatten()
        });
        found.map(|action| action.does)
    }

    fn is_enabled(&self, config: &Config, action: &Action) -> bool {
        let service = &config.service;
        let (kind, resource) = match self.scope {
            // They exist, and are refused, on a read-only server, too.
            Scope::Service => return true,
            Scope::Plural(_) | Scope::Object(_) if service.readonly && !is_safe(&action.method) => {
                return false;
            }
            Scope::Plural(resource) => ("plural", resource),
            Scope::Object(resource) => ("object", resource),
        };
        let method = action.method.as_str().to_lowercase();
        !service.disabled.contains(&format!("{kind}_{}_{method}_enabled", resource.name()))
    }
}

/// Whether the method is allowed in read-only mode (§1.9.1).
pub fn is_safe(method: &Method) -> bool {
    matches!(*method, Method::GET | Method::HEAD | Method::OPTIONS)
}

#[cfg(test)]
mod tests {
    use std::collections::BTreeSet;

    use super::*;

    #[test]
    fn names_and_paths_are_unique() {
        let names: BTreeSet<_> = ALL.iter().map(|endpoint| endpoint.name).collect();
        let paths: BTreeSet<_> = ALL.iter().map(|endpoint| endpoint.path).collect();

        assert_eq!((names.len(), paths.len()), (ALL.len(), ALL.len()));
    }
}
