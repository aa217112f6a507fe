//! Where the objects of a list are.

use shared::model::{ListPath, Resource};

use super::statement::Parameter;

/// A table, or a query that stands for one, narrowed to one list.
///
/// It has the columns `id`, `last_modified`, `deleted` and `data`.
#[derive(Debug, Clone)]
pub struct Source {
    from: &'static str,
    scope: &'static str,
    id: &'static str,
    parameters: Vec<Parameter>,
    is_indexed: bool,
    only: Option<Vec<String>>,
    readers: Option<Vec<String>>,
}

const IN_BUCKET: &str = "bucket_id = $1 and collection_id = ''";

impl Source {
    /// The table of a list. Its predicate is one that the table's indexes begin with.
    pub fn of(list: &ListPath) -> Self {
        let bucket = || vec![Parameter::text(list.bucket_id())];
        let (from, scope, parameters) = match list.resource() {
            Resource::Bucket => ("bucket", "true", Vec::new()),
            Resource::Account => ("account", "bucket_id = '' and collection_id = ''", Vec::new()),
            Resource::Group => ("\"group\"", IN_BUCKET, bucket()),
            Resource::Collection => ("collection", IN_BUCKET, bucket()),
            Resource::History => ("history", IN_BUCKET, bucket()),
            Resource::Record => (
                "record",
                "bucket_id = $1 and collection_id = $2",
                vec![Parameter::text(list.bucket_id()), Parameter::text(list.collection_id())],
            ),
        };
        Self {
            from,
            scope,
            // The primary key begins with this column, whose value is the bucket's id.
            id: if list.resource() == Resource::Bucket { "bucket_id" } else { "id" },
            parameters,
            is_indexed: list.resource() == Resource::Record,
            only: None,
            readers: None,
        }
    }

    /// A query in parentheses with a name: `(select … where principal = any ($1)) as entry`. Its
    /// parameters are numbered from `$1`. It must have the columns of a table: `id` text,
    /// `last_modified` bigint, `deleted` boolean and `data` jsonb.
    pub fn query(from: &'static str, parameters: Vec<Parameter>) -> Self {
        Self {
            from,
            scope: "true",
            id: "id",
            parameters,
            is_indexed: false,
            only: None,
            readers: None,
        }
    }

    /// Only these ids: a shared list (§4.7).
    #[must_use]
    pub fn only(self, ids: Vec<String>) -> Self {
        Self { only: Some(ids), ..self }
    }

    /// Only entries of history that one of these principals may read (§7.2.5).
    #[must_use]
    pub fn readable_by(self, principals: Vec<String>) -> Self {
        Self { readers: Some(principals), ..self }
    }

    pub(super) fn from(&self) -> &'static str {
        self.from
    }

    pub(super) fn scope(&self) -> &'static str {
        self.scope
    }

    pub(super) fn id(&self) -> &'static str {
        self.id
    }

    pub(super) fn parameters(&self) -> &[Parameter] {
        &self.parameters
    }

    /// Whether there is an index of the members of live objects.
    pub(super) fn is_indexed(&self) -> bool {
        self.is_indexed
    }

    pub(super) fn ids(&self) -> Option<&Vec<String>> {
        self.only.as_ref()
    }

    pub(super) fn readers(&self) -> Option<&Vec<String>> {
        self.readers.as_ref()
    }
}
