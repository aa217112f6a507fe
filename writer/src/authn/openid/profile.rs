//! What a provider says of a user, and the id that becomes of it.

use serde_json::{Map, Value};
use unicode_normalization::is_nfc;

use crate::config::OpenIdSettings;

/// Longest user id, and longest name of a group, in bytes.
const MAX_BYTES: usize = 512;
/// Most groups of a user: each is looked for in access control lists.
const MAX_GROUPS: usize = 200;

/// The user's id without its prefix, from the member that the settings name; `None` when there is
/// none, or the profile lacks what the settings require.
pub(super) fn user_id(profile: &Map<String, Value>, settings: &OpenIdSettings) -> Option<String> {
    let has = |(name, value): &(String, String)| {
        profile.get(name).and_then(text).is_some_and(|found| found == *value)
    };
    if !settings.required_claims.iter().all(has) {
        return None;
    }
    text(profile.get(&settings.userid_field)?).filter(|id| is_usable(id))
}

/// The user's groups, from the member that the settings name: a text, or a list of them. Names that
/// cannot be one, and those beyond the most, are left out.
pub(super) fn groups(profile: &Map<String, Value>, settings: &OpenIdSettings) -> Vec<String> {
    let claim = settings.groups_claim.as_ref().and_then(|name| profile.get(name));
    let names = match claim {
        Some(Value::Array(names)) => names.as_slice(),
        Some(name) => std::slice::from_ref(name),
        None => &[],
    };
    let names = names.iter().filter_map(Value::as_str).filter(|name| is_usable(name));
    names.take(MAX_GROUPS).map(str::to_owned).collect()
}

fn is_usable(name: &str) -> bool {
    !name.is_empty() && name.len() <= MAX_BYTES && is_unmistakable(name)
}

#[expect(clippy::wildcard_enum_match_arm, reason = "what is neither names nobody")]
fn text(value: &Value) -> Option<String> {
    match value {
        Value::String(text) => Some(text.clone()),
        Value::Number(number) if number.is_i64() || number.is_u64() => Some(number.to_string()),
        Value::Bool(flag) => Some(flag.to_string()),
        _ => None,
    }
}

/// Two ids that differ look different: one form of each character, nothing invisible, and nothing
/// that turns the direction of text.
fn is_unmistakable(id: &str) -> bool {
    let invisible = |c: char| {
        c.is_control()
            || (c.is_whitespace() && c != ' ')
            || matches!(c,
                '\u{ad}' | '\u{61c}' | '\u{180e}' | '\u{200b}'..='\u{200f}'
                | '\u{202a}'..='\u{202e}' | '\u{2060}'..='\u{206f}' | '\u{feff}'
                | '\u{fff0}'..='\u{fffd}' | '\u{e0000}'..='\u{e0fff}')
    };
    id.trim() == id && is_nfc(id) && !id.contains(invisible)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn an_id_is_one_that_people_can_tell_apart() {
        for good in ["a", "jane@example.com", "auth0|12", "José", "日本", "a b"] {
            assert!(is_unmistakable(good), "{good:?}");
        }
        for bad in
            [" a", "a\n", "a\0", "Jose\u{301}", "a\u{200b}", "\u{202e}a", "a\u{feff}", "a\u{a0}b"]
        {
            assert!(!is_unmistakable(bad), "{bad:?}");
        }
    }
}
