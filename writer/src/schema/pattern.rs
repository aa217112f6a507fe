//! How much a pattern's scan of a text may take. It is linear in the text, whatever the pattern; but
//! where a pattern has too many states for the engine's tables, each byte costs a step for each state.

use jsonschema_regex::{Search, search_form, to_rust_regex};
use regex_syntax::hir::{Class, Hir, HirKind};

/// The states of a pattern that cannot be read, and so will not compile.
const UNREADABLE: usize = 1 << 16;

/// The most states that the engine has of a pattern at once, about.
pub(super) fn states(pattern: &str) -> usize {
    let Ok(translated) = to_rust_regex(pattern) else { return UNREADABLE };
    let searched = match search_form(pattern, &translated) {
        Some(Search::RepeatedClass(_)) => return 1,
        Some(Search::Collapsed(collapsed)) => collapsed.into(),
        None => translated,
    };
    regex_syntax::parse(&searched).map_or(UNREADABLE, |parsed| of(&parsed))
}

fn of(part: &Hir) -> usize {
    let sum = |parts: &[Hir]| parts.iter().map(of).fold(0, usize::saturating_add);
    match part.kind() {
        HirKind::Empty | HirKind::Look(_) => 1,
        HirKind::Literal(literal) => literal.0.len(),
        HirKind::Class(class) => of_class(class),
        HirKind::Capture(group) => of(&group.sub).saturating_add(2),
        HirKind::Concat(parts) => sum(parts),
        HirKind::Alternation(parts) => sum(parts).saturating_add(1),
        HirKind::Repetition(repeated) => {
            let copies = repeated.max.unwrap_or(repeated.min).max(1);
            of(&repeated.sub).saturating_add(1).saturating_mul(copies as usize)
        }
    }
}

/// A character has up to four bytes.
fn of_class(class: &Class) -> usize {
    match class.maximum_len() {
        Some(longest) => longest.max(1),
        None => 1,
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn states_are_counted_with_their_repetitions() {
        for (pattern, expected) in [
            ("^abc$", 5),
            ("[a-z]", 1),
            ("^[a-z]+$", 4),
            (".", 4),
            ("a[ab]{3000}b", 6_002),
            ("((a?b?){50}){20}c", 7_061),
            ("^.{1,500}$", 1),
            ("a{5000}{5000}{5000}b", 250_025_005_001),
            ("(", UNREADABLE),
            (r"(a)\1", UNREADABLE),
        ] {
            assert_eq!(states(pattern), expected, "{pattern}");
        }
    }
}
