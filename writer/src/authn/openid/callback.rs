//! Where a login may return to with its tokens (§5.4.5): URLs that browsers and we read alike,
//! and that match a pattern of the settings.

/// A URL, or a pattern with `*` in host, port and what follows.
struct Parts<'a> {
    scheme: &'static str,
    host: String,
    port: &'a str,
    /// Path, query and fragment as they are.
    rest: &'a str,
}

/// Whether `callback` matches one of the patterns, part by part, so that a star in one part
/// never reaches into another. What is malformed matches nothing.
pub fn is_trusted(callback: &str, patterns: &[String]) -> bool {
    let Some(url) = Parts::parse(callback, "") else { return false };
    patterns.iter().filter_map(|pattern| Parts::parse(pattern, "*")).any(|pattern| {
        url.scheme == pattern.scheme
            && glob(&pattern.host, &url.host)
            && glob(pattern.port, url.port)
            && glob(pattern.rest, url.rest)
    })
}

impl<'a> Parts<'a> {
    /// Reads what no browser could read otherwise; `star` is allowed in host and port as well.
    fn parse(text: &'a str, star: &str) -> Option<Self> {
        if !text.bytes().all(|byte| byte.is_ascii_graphic()) {
            return None;
        }
        let (scheme, after) = text.split_once("://")?;
        let (scheme, default_port) = match scheme.to_ascii_lowercase().as_str() {
            "http" => ("http", "80"),
            "https" => ("https", "443"),
            _ => return None,
        };
        let (authority, rest) = after.split_at(after.find(['/', '?', '#']).unwrap_or(after.len()));
        let (host, port) = split_port(authority)?;
        let host = host.to_ascii_lowercase();
        let all_of = |text: &str, known: &str| {
            text.chars().all(|c| c.is_ascii_digit() || known.contains(c) || star.contains(c))
        };
        let known = match host.strip_prefix('[') {
            Some(_) => "abcdef:.[]",
            None => "abcdefghijklmnopqrstuvwxyz.-",
        };
        let good = !host.is_empty() && all_of(&host, known) && all_of(port, "");
        let rest = if rest.is_empty() { "/" } else { rest };
        (good && !has_dot_segments(rest)).then_some(Self {
            scheme,
            host,
            port: if port.is_empty() { default_port } else { port },
            rest,
        })
    }
}

/// `[::1]:80` and `example.com:80`; user info has an `@`, which no host has.
fn split_port(authority: &str) -> Option<(&str, &str)> {
    let end = match authority.strip_prefix('[') {
        Some(literal) => literal.find(']')? + 2,
        None => authority.find(':').unwrap_or(authority.len()),
    };
    let (host, port) = authority.split_at(end);
    if port.is_empty() { Some((host, "")) } else { Some((host, port.strip_prefix(':')?)) }
}

/// Browsers resolve `..`, encoded or with backslashes, and so leave the path that matched.
fn has_dot_segments(rest: &str) -> bool {
    let path = rest.split(['?', '#']).next().unwrap_or_default();
    let path = path.to_ascii_lowercase().replace("%2e", ".").replace('\\', "/");
    path.split('/').any(|segment| segment == "." || segment == "..")
}

/// Whether `text` is `pattern`, where `*` stands for any text; in time linear in each star.
fn glob(pattern: &str, text: &str) -> bool {
    let mut pieces = pattern.split('*');
    let first = pieces.next().unwrap_or_default();
    let Some(mut rest) = text.strip_prefix(first) else { return false };
    let Some(last) = pieces.next_back() else { return rest.is_empty() };
    for piece in pieces {
        match rest.find(piece) {
            Some(at) => rest = &rest[at + piece.len()..],
            None => return false,
        }
    }
    rest.ends_with(last)
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    fn trusted(callback: &str, pattern: &str) -> bool {
        is_trusted(callback, &[pattern.to_owned()])
    }

    #[test]
    fn each_part_matches_its_own_part_of_the_pattern() {
        for (callback, pattern) in [
            ("http://localhost:3000/#tok=", "http://localhost:*/*"),
            ("http://localhost/", "http://localhost:*/*"),
            ("HTTP://LocalHost:1", "http://localhost:*/*"),
            ("https://a.example.com/x?y#z", "https://*.example.com/*"),
            ("https://example.com:443/x", "https://example.com/x"),
            ("http://[::1]:8000/", "http://[::1]:*/*"),
            ("https://example.com/a/b/c", "https://example.com/a/*/c"),
        ] {
            assert!(trusted(callback, pattern), "{callback} {pattern}");
        }
    }

    #[test]
    fn what_a_browser_could_read_otherwise_is_refused() {
        let pattern = "https://*.trusted.com/*";
        assert!(trusted("https://a.trusted.com/", pattern));
        for callback in [
            "http://a.trusted.com/",
            "https://a.trusted.com:8443/",
            "https://trusted.com/",
            "https://evil.com/.trusted.com/",
            "https://evil.com?.trusted.com/",
            "https://evil.com#.trusted.com/",
            "https://evil.com\\.trusted.com/",
            "https://evil.com@a.trusted.com/",
            "https://a.trusted.com@evil.com/",
            "https://a.trusted.com:x@evil.com/",
            "https://evil.com:.trusted.com/",
            "https://a.trusted.com /",
            "https://a.trusted.com/\n",
            "https://a.trusted.com/\u{202e}",
            "https://é.trusted.com/",
            "https://*.trusted.com/",
            "https://%65vil.trusted.com/",
            "https://a_b.trusted.com/",
            "https://[::1].trusted.com/",
            "https://",
            "https:/a.trusted.com/",
            "//a.trusted.com/",
            "javascript://a.trusted.com/%0aalert(1)",
            "data:text/html,x",
            "",
        ] {
            assert!(!trusted(callback, pattern), "{callback}");
        }
    }

    #[test]
    fn a_path_cannot_be_left() {
        let pattern = "https://a.com/admin/*";
        assert!(trusted("https://a.com/admin/#/auth/", pattern));
        assert!(trusted("https://a.com/admin/a..b?x=/../", pattern));
        for path in ["../x", "..", "%2e%2e/x", ".%2E/x", "..\\x", "./x", "a/%2e"] {
            assert!(!trusted(&format!("https://a.com/admin/{path}"), pattern), "{path}");
        }
    }

    proptest! {
        #[test]
        fn any_text_gets_an_answer(callback in ".{0,60}", pattern in ".{0,30}") {
            trusted(&callback, &pattern);
        }

        #[test]
        fn a_star_stands_for_any_text(before in "[a-b]{0,4}", middle in "[a-b*]{0,6}", after in "[a-b]{0,4}") {
            let pattern = format!("{before}*{after}");
            let text = format!("{before}{middle}{after}");
            prop_assert!(glob(&pattern, &text));
        }
    }
}
