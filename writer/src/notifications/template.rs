//! Texts with placeholders, in the safe part of Python's format syntax: `{name}`, `{name[key]}`,
//! and `{{`, `}}` for braces (`remote-settings.md` §8.1).

use serde_json::{Map, Value};

use crate::python;

/// Longest template, in bytes.
pub const MAX_TEMPLATE: usize = 16 << 10;
/// Longest text that a template makes, in bytes; it is cut off there.
pub const MAX_TEXT: usize = 32 << 10;

/// A parsed template.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Template(Vec<Piece>);

#[derive(Debug, Clone, PartialEq, Eq)]
enum Piece {
    Text(String),
    Field { name: String, keys: Vec<String> },
}

/// Why a text is no template.
#[derive(Debug, Clone, Copy, PartialEq, Eq, thiserror::Error)]
pub enum TemplateError {
    /// `{` without its `}`, or the other way round.
    #[error("a single brace: write {{{{ or }}}}")]
    Brace,
    /// `{}` and `{0}`: there are no positions here.
    #[error("a placeholder without a name")]
    NoName,
    /// `{a.b}` would read attributes of objects.
    #[error("attributes cannot be read: write {{name[key]}}")]
    Attribute,
    /// `{a!r}`, `{a:>10}`, or something behind a key.
    #[error("a placeholder is {{name}} or {{name[key]}}")]
    Form,
    /// It is longer than [`MAX_TEMPLATE`].
    #[error("longer than {MAX_TEMPLATE} bytes")]
    TooLong,
}

impl Template {
    /// Parses a text.
    ///
    /// # Errors
    ///
    /// [`TemplateError`], for each form of Python's that is not ours, too.
    pub fn parse(text: &str) -> Result<Self, TemplateError> {
        if text.len() > MAX_TEMPLATE {
            return Err(TemplateError::TooLong);
        }
        let (mut pieces, mut plain, mut rest) = (Vec::new(), String::new(), text);
        while let Some(at) = rest.find(['{', '}']) {
            plain.push_str(&rest[..at]);
            let (brace, after) = rest[at..].split_at(1);
            if let Some(after) = after.strip_prefix(brace) {
                plain.push_str(brace);
                rest = after;
            } else if brace == "{" {
                let (field, after) = parse_field(after)?;
                if !plain.is_empty() {
                    pieces.push(Piece::Text(std::mem::take(&mut plain)));
                }
                pieces.push(field);
                rest = after;
            } else {
                return Err(TemplateError::Brace);
            }
        }
        plain.push_str(rest);
        if !plain.is_empty() {
            pieces.push(Piece::Text(plain));
        }
        Ok(Self(pieces))
    }

    /// Puts values in the place of placeholders: nothing where there is no such value. What is not
    /// a text is shown as Python shows it. Longer than [`MAX_TEXT`], the text is cut off.
    pub fn render(&self, context: &Map<String, Value>) -> String {
        let mut text = String::new();
        for piece in &self.0 {
            match piece {
                Piece::Text(plain) => text.push_str(plain),
                Piece::Field { name, keys } => {
                    let value =
                        keys.iter().fold(context.get(name), |value, key| look_up(value?, key));
                    text.push_str(&shown(value));
                }
            }
            if text.len() > MAX_TEXT {
                text.truncate(text.floor_char_boundary(MAX_TEXT));
                text.push('…');
                break;
            }
        }
        text
    }
}

/// What is behind `{`: a name, and keys in brackets. What is behind its `}`, too.
fn parse_field(text: &str) -> Result<(Piece, &str), TemplateError> {
    let end = text.find(['[', '}', '{', '.', '!', ':']).ok_or(TemplateError::Brace)?;
    let (name, mut rest) = text.split_at(end);
    let mut keys = Vec::new();
    loop {
        let mut characters = rest.chars();
        let next = characters.next();
        rest = characters.as_str();
        match next {
            Some('}') if name.is_empty() || name.bytes().all(|byte| byte.is_ascii_digit()) => {
                return Err(TemplateError::NoName);
            }
            Some('}') => return Ok((Piece::Field { name: name.to_owned(), keys }, rest)),
            Some('[') => {
                let (key, after) = rest.split_once(']').ok_or(TemplateError::Brace)?;
                keys.push(key.to_owned());
                rest = after;
            }
            Some('.') => return Err(TemplateError::Attribute),
            Some('{') | None => return Err(TemplateError::Brace),
            Some(_) => return Err(TemplateError::Form),
        }
    }
}

fn look_up<'v>(value: &'v Value, key: &str) -> Option<&'v Value> {
    match value {
        Value::Object(members) => members.get(key),
        Value::Array(items) => items.get(key.parse::<usize>().ok()?),
        Value::Null | Value::Bool(_) | Value::Number(_) | Value::String(_) => None,
    }
}

fn shown(value: Option<&Value>) -> String {
    value.filter(|value| !value.is_null()).map_or_else(String::new, python::text)
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;
    use serde_json::json;

    use super::*;

    fn rendered(template: &str) -> String {
        let Value::Object(context) = json!({
            "user_id": "account:bob",
            "changes_count": 3,
            "nothing": null,
            "settings": {"project_name": "Remote Settings"},
            "impacted_objects": [{"new": {"id": "r", "tags": ["a", true]}}],
        }) else {
            unreachable!()
        };
        Template::parse(template).unwrap().render(&context)
    }

    #[test]
    fn placeholders_become_values() {
        for (template, text) in [
            ("", ""),
            ("plain", "plain"),
            ("{user_id} changed {changes_count}", "account:bob changed 3"),
            ("{{user_id}} }}{{", "{user_id} }{"),
            ("{{{user_id}}}", "{account:bob}"),
            ("[{settings[project_name]}]", "[Remote Settings]"),
            ("{impacted_objects[0][new][id]}", "r"),
            ("{impacted_objects}", "[{'new': {'id': 'r', 'tags': ['a', True]}}]"),
            ("<{unknown}{settings[secret]}{user_id[x]}{nothing}>", "<>"),
            ("{impacted_objects[x]}{impacted_objects[9]}", ""),
        ] {
            assert_eq!(rendered(template), text, "{template}");
        }
    }

    #[test]
    fn what_reads_more_than_values_is_refused() {
        for (template, error) in [
            ("{user_id.__class__}", TemplateError::Attribute),
            ("{settings[a].b}", TemplateError::Attribute),
            ("{user_id!r}", TemplateError::Form),
            ("{user_id:>10}", TemplateError::Form),
            ("{settings[a]b}", TemplateError::Form),
            ("{}", TemplateError::NoName),
            ("{0}", TemplateError::NoName),
            ("{[a]}", TemplateError::NoName),
            ("{user_id", TemplateError::Brace),
            ("user_id}", TemplateError::Brace),
            ("{a{b}}", TemplateError::Brace),
            ("{a[b", TemplateError::Brace),
        ] {
            assert_eq!(Template::parse(template), Err(error), "{template}");
        }
        assert_eq!(Template::parse(&"a".repeat(MAX_TEMPLATE + 1)), Err(TemplateError::TooLong));
    }

    #[test]
    fn a_text_has_an_end() {
        let template = Template::parse(&"{long}".repeat(100)).unwrap();
        let context = Map::from_iter([("long".to_owned(), json!("é".repeat(1000)))]);

        let text = template.render(&context);

        assert!(text.ends_with("é…") && text.len() <= MAX_TEXT + 3, "{}", text.len());
    }

    proptest! {
        #[test]
        fn any_text_is_a_template_or_refused(text in "[{}\\[\\].!:a-c0é ]{0,40}") {
            if let Ok(template) = Template::parse(&text) {
                template.render(&Map::new());
            }
        }

        #[test]
        fn a_text_whose_braces_are_doubled_stands_for_itself(text in "\\PC{0,60}") {
            let doubled = text.replace('{', "{{").replace('}', "}}");
            prop_assert_eq!(Template::parse(&doubled).unwrap().render(&Map::new()), text);
        }

        #[test]
        fn values_are_never_read_as_templates(value in "[{}\\[\\]a-c]{0,20}") {
            let context = Map::from_iter([("a".to_owned(), json!(value))]);
            let text = Template::parse("<{a}|{a}>").unwrap().render(&context);
            prop_assert_eq!(text, format!("<{value}|{value}>"));
        }

        #[test]
        fn names_and_keys_come_back(name in "[a-z_]{1,8}", key in "[a-z0-9 -]{1,8}", value in "\\PC{1,9}") {
            let context = Map::from_iter([(name.clone(), json!({key.clone(): value.clone()}))]);
            let template = Template::parse(&format!("{{{name}[{key}]}}")).unwrap();
            prop_assert_eq!(template.render(&context), value);
        }
    }
}
