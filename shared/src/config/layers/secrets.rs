//! Passwords within values, which are shown without them.

/// The text with `***` in the place of each password: `postgresql://user:password@host/database`,
/// `…?password=…`, and `host=h password=…` as libpq reads it.
pub(super) fn without_passwords(text: &str) -> String {
    let is_url = text.contains("://");
    let mut shown = String::with_capacity(text.len());
    let text = without_userinfo(text);
    let mut rest = text.as_str();
    while let Some((before, value)) = next_password(rest) {
        shown.push_str(before);
        shown.push_str("***");
        rest = &value[length(value, is_url)..];
    }
    shown + rest
}

fn without_userinfo(text: &str) -> String {
    match (text.find("://"), text.rfind('@')) {
        (Some(scheme), Some(at)) if text[scheme + 3..at.max(scheme + 3)].contains(':') => {
            let user = text[scheme + 3..at].split(':').next().unwrap_or_default();
            format!("{}{user}:***{}", &text[..scheme + 3], &text[at..])
        }
        _ => text.to_owned(),
    }
}

/// What comes before a password's value, and what begins with it. Also `sslpassword`.
fn next_password(text: &str) -> Option<(&str, &str)> {
    const NAME: &str = "password";
    let lower = text.to_ascii_lowercase();
    lower.match_indices(NAME).find_map(|(at, _)| {
        let value = text[at + NAME.len()..].trim_start().strip_prefix('=')?.trim_start();
        Some(text.split_at(text.len() - value.len()))
    })
}

/// How long a password's value is: to the next parameter of a URL; else to a blank that is not
/// escaped, or to the closing quote.
fn length(value: &str, is_url: bool) -> usize {
    if is_url {
        return value.find('&').unwrap_or(value.len());
    }
    let (quoted, inner) = match value.strip_prefix('\'') {
        Some(inner) => (true, inner),
        None => (false, value),
    };
    let mut is_escaped = false;
    let end = inner.find(|c: char| {
        let ends = if quoted { c == '\'' } else { c.is_whitespace() };
        let is_end = ends && !is_escaped;
        is_escaped = c == '\\' && !is_escaped;
        is_end
    });
    match end {
        None => value.len(),
        Some(end) if quoted => end + 2,
        Some(end) => end,
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn passwords_are_left_out_wherever_libpq_reads_them() {
        for (text, shown) in [
            ("postgresql://u:p@h/d", "postgresql://u:***@h/d"),
            ("postgresql://u@h/d", "postgresql://u@h/d"),
            ("postgresql://u@h/d?password=s3cr3t", "postgresql://u@h/d?password=***"),
            (
                "postgresql://u:p@h/d?sslmode=require&password=s3&x=y",
                "postgresql://u:***@h/d?sslmode=require&password=***&x=y",
            ),
            ("host=h user=u password=s3cr3t dbname=d", "host=h user=u password=*** dbname=d"),
            ("host=h Password = s3cr3t", "host=h Password = ***"),
            (r"password='a b\' c' host=h", "password=*** host=h"),
            (r"password=a\ b host=h", "password=*** host=h"),
            ("password='open host=h", "password=***"),
            ("password=a sslpassword=b", "password=*** sslpassword=***"),
            ("password=", "password=***"),
            ("/etc/password-files/x", "/etc/password-files/x"),
        ] {
            assert_eq!(without_passwords(text), shown, "{text}");
        }
    }
}
