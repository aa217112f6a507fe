//! Which events a hook wants (`remote-settings.md` §8.1).

use regex::{Regex, RegexBuilder};

/// The names of filters, in metadata and settings.
pub const FIELDS: [&str; 6] =
    ["event", "action", "resource_name", "id", "record_id", "collection_id"];

/// Memory that one pattern may take when it is compiled, in bytes.
const PATTERN_SIZE: usize = 128 << 10;

/// Conditions, all of which an event has to meet.
#[derive(Debug, Clone, Default)]
pub struct Filter(Vec<(&'static str, Test)>);

#[derive(Debug, Clone)]
enum Test {
    Equal(String),
    Pattern(Vec<Condition>),
}

/// Matches, from the start on, or must not.
#[derive(Debug, Clone)]
struct Condition {
    regex: Regex,
    wanted: bool,
}

impl Filter {
    /// Adds a condition: a pattern when the text begins with `^`, else the value itself.
    ///
    /// # Errors
    ///
    /// Why the pattern cannot be used.
    pub fn add(&mut self, field: &'static str, text: &str) -> Result<(), String> {
        let condition = if text.starts_with('^') {
            Test::Pattern(pattern(text).map_err(|why| format!("Invalid pattern '{text}': {why}"))?)
        } else {
            Test::Equal(text.to_owned())
        };
        self.0.push((field, condition));
        Ok(())
    }

    /// Whether `value` of each field meets its condition. A field may have several spellings.
    pub fn accepts<'v>(&self, values: impl Fn(&str) -> Vec<&'v str>) -> bool {
        self.0
            .iter()
            .all(|(field, test)| values(field).into_iter().any(|value| test.accepts(value)))
    }

    /// Whether it asks for one event by its name, or for events whose names have a pattern.
    pub fn names_event(&self) -> bool {
        self.0.iter().any(|(field, _)| *field == "event")
    }
}

impl Test {
    fn accepts(&self, value: &str) -> bool {
        match self {
            Self::Equal(text) => text == value,
            Self::Pattern(all) => all.iter().all(|one| one.regex.is_match(value) == one.wanted),
        }
    }
}

/// Compiles a pattern that begins with `^`. Matching takes linear time, so there is no looking
/// around, except where it can be told apart: `^(?!a)(?!b)c` must not begin with `a`, nor with
/// `b`, and begins with `c`.
fn pattern(text: &str) -> Result<Vec<Condition>, String> {
    let mut rest = text.strip_prefix('^').unwrap_or(text);
    let mut conditions = Vec::new();
    while let Some(after) = rest.strip_prefix("(?!").or_else(|| rest.strip_prefix("(?=")) {
        let wanted = rest.starts_with("(?=");
        let end = closing(after).ok_or("a group is not closed")?;
        conditions.push(Condition { regex: compile(&after[..end])?, wanted });
        rest = &after[end + 1..];
    }
    if !conditions.is_empty() && has_alternatives(rest) {
        return Err("look-around with alternatives beside it is not supported".to_owned());
    }
    conditions.push(Condition { regex: compile(rest)?, wanted: true });
    Ok(conditions)
}

fn compile(pattern: &str) -> Result<Regex, String> {
    let anchored = format!(r"\A(?:{pattern})");
    let built = RegexBuilder::new(&anchored).size_limit(PATTERN_SIZE).build();
    let looks_around = ["(?=", "(?!", "(?<"].iter().any(|sign| pattern.contains(sign));
    built.map_err(|error| {
        let why = if matches!(error, regex::Error::CompiledTooBig(_)) {
            "it is too large"
        } else if looks_around {
            "look-around is supported at its beginning only"
        } else {
            "it is no regular expression"
        };
        why.to_owned()
    })
}

/// Where the group that is open at the beginning ends: at its `)`.
fn closing(text: &str) -> Option<usize> {
    outermost(text)
        .find(|(_, depth, character)| *depth == 0 && *character == ')')
        .map(|found| found.0)
}

fn has_alternatives(text: &str) -> bool {
    outermost(text).any(|(_, depth, character)| depth == 0 && character == '|')
}

/// The characters that are neither escaped nor in a class, each with its place and how many groups
/// were opened and not closed before it.
fn outermost(text: &str) -> impl Iterator<Item = (usize, u32, char)> {
    let (mut depth, mut escaped, mut in_class) = (0_u32, false, false);
    text.char_indices().filter_map(move |(at, character)| {
        let before = depth;
        match character {
            _ if escaped => {
                escaped = false;
                return None;
            }
            '\\' => escaped = true,
            ']' if in_class => in_class = false,
            _ if in_class => return None,
            '[' => in_class = true,
            '(' => depth += 1,
            ')' => depth = depth.saturating_sub(1),
            _ => {}
        }
        Some((at, before, character))
    })
}

#[cfg(test)]
mod tests {
    use super::*;

    fn matches(text: &str, value: &'static str) -> bool {
        let mut filter = Filter::default();
        filter.add("id", text).unwrap();
        filter.accepts(|_| vec![value])
    }

    #[test]
    fn a_text_is_compared_and_a_pattern_is_anchored_at_the_start() {
        for (text, value, expected) in [
            ("abc", "abc", true),
            ("abc", "abcd", false),
            ("a.c", "abc", false),
            ("", "", true),
            ("^ab", "abc", true),
            ("^b", "abc", false),
            ("^a|b", "xb", false),
            ("^a|b", "bx", true),
            ("^experiment-.*$", "experiment-1", true),
            ("^", "anything", true),
        ] {
            assert_eq!(matches(text, value), expected, "{text} {value}");
        }
    }

    #[test]
    fn a_pattern_may_exclude_beginnings() {
        for (text, value, expected) in [
            ("^(?!normandy-recipes$)", "normandy-recipes", false),
            ("^(?!normandy-recipes$)", "normandy-recipes-all", true),
            ("^(?!normandy-recipes$)", "some-normandy-recipes", true),
            ("^(?!a)(?!b)[a-c]", "a", false),
            ("^(?!a)(?!b)[a-c]", "b", false),
            ("^(?!a)(?!b)[a-c]", "c", true),
            (r"^(?!(a|[)]|\))x)\D", "ax", false),
            (r"^(?!(a|[)]|\))x)\D", "ay", true),
            ("^(?=.*z)a", "abz", true),
            ("^(?=.*z)a", "ab", false),
        ] {
            assert_eq!(matches(text, value), expected, "{text} {value}");
        }
    }

    #[test]
    fn what_cannot_be_matched_in_linear_time_is_refused() {
        let mut filter = Filter::default();
        for (text, why) in [
            ("^(a", "no regular expression"),
            ("^a(?!b)", "at its beginning only"),
            (r"^(a)\1", "no regular expression"),
            ("^(?!a)b|c", "alternatives"),
            ("^(?!a", "not closed"),
            ("^(a{1000}){1000}", "too large"),
        ] {
            let told = filter.add("id", text).unwrap_err();
            assert!(told.starts_with("Invalid pattern '^") && told.contains(why), "{told}");
        }
    }

    #[test]
    fn all_conditions_count_and_any_spelling() {
        let mut filter = Filter::default();
        filter.add("action", "update").unwrap();
        filter.add("event", "B").unwrap();
        assert!(filter.names_event());

        let values = |event: Vec<&'static str>| {
            move |field: &str| if field == "event" { event.clone() } else { vec!["update"] }
        };
        assert!(filter.accepts(values(vec!["A", "B"])));
        assert!(!filter.accepts(values(vec!["A"])));
    }
}
