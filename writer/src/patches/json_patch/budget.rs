//! What a patch may cost: a few operations can ask for more memory than there is.

use json_patch::PatchOperation;
use serde_json::Value;
use shared::json;

use super::holder;

/// How much more work than the size of one body a patch may ask for.
const WORK_FACTOR: usize = 10;

/// Bounds time, memory and nesting, whatever the operations copy into one another.
pub(super) struct Budget {
    copied: usize,
    work: usize,
}

impl Budget {
    /// What may be copied is what a body may hold.
    pub(super) fn new(max_bytes: usize) -> Self {
        Self { copied: max_bytes, work: max_bytes.saturating_mul(WORK_FACTOR) }
    }

    /// Pays for an operation before it is done.
    ///
    /// # Errors
    ///
    /// Why it must not be done.
    pub(super) fn charge(
        &mut self,
        document: &Value,
        operation: &PatchOperation,
    ) -> Result<(), String> {
        let path = operation.path().as_str();
        let mut size = Size::default();
        match operation {
            PatchOperation::Add(add) => size.add(&add.value, 0),
            PatchOperation::Replace(replace) => size.add(&replace.value, 0),
            PatchOperation::Move(moved) => size.add_at(document, moved.from.as_str()),
            PatchOperation::Copy(copy) => {
                size.add_at(document, copy.from.as_str());
                self.copied = spend(self.copied, size.bytes)?;
            }
            PatchOperation::Remove(_) | PatchOperation::Test(_) => {}
        }
        if size.depth + path.matches('/').count() > json::MAX_DEPTH {
            return Err(json::JsonError::TooDeep.to_string());
        }
        // An array moves its items when one is put into it or taken out.
        let items =
            |path: &str| holder(document, path).and_then(Value::as_array).map_or(0, Vec::len);
        let from = if let PatchOperation::Move(moved) = operation {
            items(moved.from.as_str())
        } else {
            0
        };
        self.work = spend(self.work, 1 + size.bytes + items(path) + from)?;
        Ok(())
    }
}

fn spend(budget: usize, bytes: usize) -> Result<usize, String> {
    budget.checked_sub(bytes).ok_or_else(|| "the result would be too large".to_owned())
}

/// About how many bytes a value takes, and how deep it is.
#[derive(Default)]
struct Size {
    bytes: usize,
    depth: usize,
}

impl Size {
    fn add_at(&mut self, document: &Value, path: &str) {
        if let Some(value) = document.pointer(path) {
            self.add(value, 0);
        }
    }

    fn add(&mut self, value: &Value, depth: usize) {
        self.depth = self.depth.max(depth);
        self.bytes += 4;
        match value {
            Value::String(text) => self.bytes += text.len(),
            Value::Array(items) => items.iter().for_each(|item| self.add(item, depth + 1)),
            Value::Object(members) => {
                for (name, member) in members {
                    self.bytes += name.len();
                    self.add(member, depth + 1);
                }
            }
            Value::Null | Value::Bool(_) | Value::Number(_) => {}
        }
    }
}
