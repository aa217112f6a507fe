//! To whom a mail goes: addresses, and the members of groups (`remote-settings.md` §8.2).

use std::collections::HashSet;

use lettre::{Address, message::Mailbox};
use serde_json::{Map, Value};
use shared::model::{Id, ListPath, ObjectPath};

use super::template::Template;

/// One of a hook's recipients.
#[derive(Debug, Clone, PartialEq)]
pub enum Recipient {
    /// `a@b`, or `Name <a@b>`.
    Address(Mailbox),
    /// `/buckets/b/groups/g`, with placeholders.
    Group(Template),
}

/// Why a text is no recipient.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Problem {
    /// It is neither an address nor a group.
    Invalid,
    /// The group is in another bucket than the hook.
    OtherBucket,
}

impl Recipient {
    /// Reads a recipient of a hook in the metadata of `bucket`, or of one of its collections.
    ///
    /// # Errors
    ///
    /// [`Problem`]
    pub fn parse(text: &str, bucket: &str) -> Result<Self, Problem> {
        if let Some(address) = mailbox(text) {
            return Ok(Self::Address(address));
        }
        let named = group_uri(text).ok_or(Problem::Invalid)?;
        if named.0 != bucket {
            return Err(Problem::OtherBucket);
        }
        Template::parse(text).map(Self::Group).map_err(|_| Problem::Invalid)
    }

    /// The group that is meant, where it is one of `bucket`.
    pub fn group(&self, bucket: &Id, context: &Map<String, Value>) -> Option<ObjectPath> {
        let Self::Group(template) = self else { return None };
        let uri = template.render(context);
        let (found, id) = group_uri(&uri)?;
        let id = Id::new(id).ok().filter(|_| found == bucket.as_str())?;
        Some(ListPath::Groups(bucket.clone()).object(id))
    }
}

/// The bucket and the group of a group's URI.
fn group_uri(text: &str) -> Option<(&str, &str)> {
    let (bucket, id) = text.strip_prefix("/buckets/")?.split_once("/groups/")?;
    let is_name = |name: &str| !name.is_empty() && !name.contains('/');
    (is_name(bucket) && is_name(id)).then_some((bucket, id))
}

/// Reads `a@b`, or `Name <a@b>`.
pub fn mailbox(text: &str) -> Option<Mailbox> {
    if text.chars().any(char::is_control) {
        return None;
    }
    let Some((name, address)) = text.strip_suffix('>').and_then(|text| text.rsplit_once('<'))
    else {
        return Some(Mailbox::new(None, text.parse::<Address>().ok()?));
    };
    let name = Some(name.trim()).filter(|name| !name.is_empty()).map(str::to_owned);
    Some(Mailbox::new(name, address.parse::<Address>().ok()?))
}

/// The members of a group that look like an address without their policy's name:
/// `ldap:m@x.org` is `m@x.org`.
pub fn members(group: &Map<String, Value>) -> impl Iterator<Item = Mailbox> {
    let members = group.get("members").and_then(Value::as_array).into_iter().flatten();
    members.filter_map(Value::as_str).filter_map(|member| {
        let name = member.split_once(':').map_or(member, |(_, name)| name);
        mailbox(name)
    })
}

/// Whether mail may be sent there: to any domain, or to those that are named.
pub fn is_allowed(mailbox: &Mailbox, domains: &[String]) -> bool {
    let domain = mailbox.email.domain();
    domains.is_empty() || domains.iter().any(|allowed| allowed.eq_ignore_ascii_case(domain))
}

/// Each address once, the first of its kind.
pub fn distinct(mailboxes: Vec<Mailbox>) -> Vec<Mailbox> {
    let mut known = HashSet::new();
    let is_new = |mailbox: &Mailbox| known.insert(mailbox.email.to_string().to_lowercase());
    mailboxes.into_iter().filter(is_new).collect()
}

#[cfg(test)]
mod tests {
    use serde_json::json;

    use super::*;

    #[test]
    fn recipients_are_addresses_or_groups_of_the_bucket() {
        for text in [
            "me@you.com",
            "a@b",
            "My friend alice <alice@wonderland.com>",
            "Jürgen, really <j@x.org>",
            "<t.h.i.s+that@some.crazy.moderndomainnameyouknow>",
        ] {
            assert!(matches!(Recipient::parse(text, "b"), Ok(Recipient::Address(_))), "{text}");
        }
        for text in ["/buckets/b/groups/g", "/buckets/b/groups/{collection_id}-reviewers"] {
            assert!(matches!(Recipient::parse(text, "b"), Ok(Recipient::Group(_))), "{text}");
        }
        for text in [
            "me",
            "",
            "a@b@c",
            "two@x.org, three@x.org",
            "alice <alice>",
            "a@b\r\nBcc: c@d",
            "x\n<a@b>",
            "/buckets/b/groups/",
            "/buckets/b/groups/g/h",
            "/buckets/b",
            "/buckets/b/groups/{a.b}",
        ] {
            assert_eq!(Recipient::parse(text, "b"), Err(Problem::Invalid), "{text:?}");
        }
        for text in ["/buckets/bcd/groups/g", "/buckets/{bucket_id}/groups/g"] {
            assert_eq!(Recipient::parse(text, "b"), Err(Problem::OtherBucket), "{text}");
        }
    }

    #[test]
    fn a_group_s_placeholders_cannot_leave_the_bucket() {
        let bucket = Id::new("b").unwrap();
        let group = Recipient::parse("/buckets/b/groups/{x}-reviewers", "b").unwrap();
        let found = |value: &str| {
            let context = Map::from_iter([("x".to_owned(), json!(value))]);
            group.group(&bucket, &context).map(|path| path.to_string())
        };

        assert_eq!(found("cfr"), Some("/buckets/b/groups/cfr-reviewers".to_owned()));
        assert_eq!(found("a/../../c/groups/d"), None);
        assert_eq!(found(" "), None);
    }

    #[test]
    fn members_with_an_address_count() {
        let group =
            json!({"members": ["ldap:m@x.org", "account:bob", "n@y.org", "a:b:c@z.org", 3]});

        let found: Vec<String> =
            members(group.as_object().unwrap()).map(|one| one.email.to_string()).collect();

        assert_eq!(found, ["m@x.org", "n@y.org"]);
        assert_eq!(members(&Map::new()).count(), 0);
    }

    #[test]
    fn domains_are_compared_whole_and_addresses_once() {
        let domains = ["X.org".to_owned()];
        for (text, expected) in [("a@x.ORG", true), ("a@y.org", false), ("a@sub.x.org", false)] {
            assert_eq!(is_allowed(&mailbox(text).unwrap(), &domains), expected, "{text}");
            assert!(is_allowed(&mailbox(text).unwrap(), &[]));
        }
        let all = ["A <a@x.org>", "b@x.org", "A@X.org"].map(|text| mailbox(text).unwrap());
        assert_eq!(distinct(all.to_vec()).len(), 2);
    }
}
