//! `_sort` (§3.4).

use super::schema::{Field, Schema};

/// One criterion.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Sort {
    /// What is compared.
    pub field: Field,
    /// Whether the greatest come first; missing members are greater than all.
    pub descending: bool,
}

/// Most criteria of one order.
pub(super) const MAX: usize = 20;

/// The order that the items of `_sort` ask for, and the names that cannot exist. Malformed items
/// are ignored. It ends with a criterion that is unique in the list, and so it is total; what
/// comes after such a one, or again, decides nothing and is left out.
pub(super) fn parse(items: &[String], schema: &Schema) -> (Vec<Sort>, Vec<String>) {
    let mut order: Vec<Sort> = Vec::new();
    let mut unknown = Vec::new();
    let tie = Sort { field: schema.field(schema.tie), descending: true };
    for item in items.iter().map(|item| item.trim()) {
        let name = item.strip_prefix(['-', '+']).unwrap_or(item);
        if name.is_empty() || !name.chars().all(is_word) {
            continue;
        }
        if !schema.knows(name) {
            unknown.push(name.to_owned());
            continue;
        }
        if name == "last_modified" && !schema.stored {
            continue;
        }
        let sort = Sort { field: schema.field(name), descending: item.starts_with('-') };
        // One too many is enough to be refused.
        if order.len() <= MAX && order.iter().all(|known| known.field != sort.field) {
            order.push(sort);
        }
    }
    order.push(tie.clone());
    let end = order.iter().position(|sort| is_unique(&sort.field) || sort.field == tie.field);
    order.truncate(end.map_or(order.len(), |end| end + 1));
    (order, unknown)
}

fn is_unique(field: &Field) -> bool {
    matches!(field, Field::Id | Field::LastModified)
}

/// `[\w.]`
pub(super) fn is_word(character: char) -> bool {
    character.is_alphanumeric() || matches!(character, '_' | '.')
}

#[cfg(test)]
mod tests {
    use crate::model::Resource;

    use super::*;

    fn shown(text: &str) -> Vec<String> {
        let items: Vec<String> = text.split(',').map(str::to_owned).collect();
        let (order, _) = parse(&items, Schema::of(Resource::Record));
        order
            .iter()
            .map(|sort| {
                let sign = if sort.descending { "-" } else { "" };
                match &sort.field {
                    Field::Id => format!("{sign}id"),
                    Field::LastModified => format!("{sign}last_modified"),
                    Field::Member(path) => format!("{sign}{}", path.join("/")),
                }
            })
            .collect()
    }

    #[test]
    fn every_order_is_total() {
        assert_eq!(shown(""), ["-last_modified"]);
        assert_eq!(shown("a,-b,c.d"), ["a", "-b", "c/d", "-last_modified"]);
        assert_eq!(shown(" a,+b"), ["a", "b", "-last_modified"]);
        assert_eq!(shown("x-y,--n,,-"), ["-last_modified"]);
        assert_eq!(shown("a,-a,last_modified,b"), ["a", "last_modified"]);
        assert_eq!(shown("-id,a"), ["-id"]);
    }

    #[test]
    fn a_strict_list_names_what_it_does_not_know() {
        let items = ["target.x".to_owned(), "foo".to_owned()];
        let (_, unknown) = parse(&items, Schema::of(Resource::History));

        assert_eq!(unknown, ["foo"]);
    }
}
