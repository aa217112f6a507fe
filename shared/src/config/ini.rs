//! Kinto's file syntax: Python's `ConfigParser`, section `[app:main]`.

use std::collections::BTreeMap;

/// The settings of `[app:main]`, without their `kinto.` prefix; `here` replaces `%(here)s`.
///
/// # Errors
///
/// What is wrong, with its line.
pub(super) fn parse(text: &str, here: &str) -> Result<BTreeMap<String, String>, String> {
    let mut sections: BTreeMap<String, Vec<(String, String)>> = BTreeMap::new();
    let mut section: Option<String> = None;
    for (index, line) in text.lines().enumerate() {
        let trimmed = line.trim();
        if trimmed.starts_with('#') || trimmed.starts_with(';') {
            continue;
        }
        if trimmed.is_empty() {
            continue;
        }
        let current = section.as_ref().map(|name| sections.entry(name.clone()).or_default());
        if line.starts_with([' ', '\t']) {
            // A continuation line belongs to the value before it.
            match current.and_then(|pairs| pairs.last_mut()) {
                Some((_, value)) => {
                    value.push('\n');
                    value.push_str(trimmed);
                }
                None => return Err(format!("line {}: nothing to continue", index + 1)),
            }
        } else if let Some(name) = trimmed.strip_prefix('[') {
            let name = name.strip_suffix(']').ok_or(format!("line {}: no `]`", index + 1))?;
            section = Some(name.to_owned());
        } else {
            let (key, value) = trimmed
                .split_once(['=', ':'])
                .ok_or(format!("line {}: expected `key = value`", index + 1))?;
            let pair = (key.trim().to_owned(), value.trim().to_owned());
            current.ok_or(format!("line {}: no [section] before it", index + 1))?.push(pair);
        }
    }
    let main = sections.remove("app:main").ok_or("there is no section [app:main]")?;
    let mut names: BTreeMap<String, String> =
        sections.remove("DEFAULT").unwrap_or_default().into_iter().collect();
    names.insert("here".to_owned(), here.to_owned());
    let mut settings = settings(main, &names)?;
    // Where the service listens is the setting `listen`, which writer and reader cannot share.
    for (key, value) in sections.remove("server:main").unwrap_or_default() {
        if ["host", "port", "listen"].contains(&key.as_str()) {
            settings.insert(format!("[server:main] {key}"), value);
        }
    }
    Ok(settings)
}

fn settings(
    main: Vec<(String, String)>,
    defaults: &BTreeMap<String, String>,
) -> Result<BTreeMap<String, String>, String> {
    let mut names = defaults.clone();
    names.extend(main.iter().cloned());
    let mut settings: BTreeMap<String, String> = BTreeMap::new();
    for (key, value) in main {
        let value = interpolate(&value, &names, 0)?;
        let short = key.strip_prefix("kinto.").unwrap_or(&key).to_owned();
        if short == "use" {
            continue;
        }
        match settings.get(&short) {
            Some(other) if *other != value => {
                return Err(format!("{short} is set twice, with and without `kinto.`"));
            }
            _ => settings.insert(short, value),
        };
    }
    Ok(settings)
}

/// Replaces `%(name)s`, and `%%` by `%`.
fn interpolate(
    text: &str,
    names: &BTreeMap<String, String>,
    depth: usize,
) -> Result<String, String> {
    if depth > 10 {
        return Err(format!("`{text}` refers to itself"));
    }
    let mut out = String::with_capacity(text.len());
    let mut rest = text;
    while let Some(at) = rest.find('%') {
        out.push_str(&rest[..at]);
        rest = &rest[at + 1..];
        if let Some(after) = rest.strip_prefix('%') {
            out.push('%');
            rest = after;
        } else if let Some((name, after)) =
            rest.strip_prefix('(').and_then(|reference| reference.split_once(")s"))
        {
            let value = names.get(name).ok_or(format!("%({name})s is not defined"))?;
            out.push_str(&interpolate(value, names, depth + 1)?);
            rest = after;
        } else {
            // Kinto's own sample files hold a bare `%` in log formats.
            out.push('%');
        }
    }
    out.push_str(rest);
    Ok(out)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_setting_may_be_there_with_and_without_its_prefix_but_not_differently() {
        let twice = |value| format!("[app:main]\nkinto.readonly = true\nreadonly = {value}\n");

        assert_eq!(parse(&twice("true"), ".").unwrap()["readonly"], "true");
        assert!(parse(&twice("false"), ".").unwrap_err().contains("readonly is set twice"));
    }

    #[test]
    fn a_kinto_file_is_read_as_it_is() {
        let text = "[server:main]\nuse = egg:waitress\nport = 8888\n[app:main]\nuse = egg:kinto\n\
                    kinto.bucket_create_principals = system.Authenticated\n# comment\n\
                    userid_hmac_secret = 50%%\nkinto.signer.resources =\n    /buckets/a -> /buckets/b\n\
                    \n    /buckets/c -> /buckets/d\nkinto.version_json_path = %(here)s/version.json\n";

        let settings = parse(text, "/etc/kinto").unwrap();

        assert_eq!(settings["bucket_create_principals"], "system.Authenticated");
        assert_eq!(settings["userid_hmac_secret"], "50%");
        assert_eq!(
            settings["signer.resources"],
            "\n/buckets/a -> /buckets/b\n/buckets/c -> /buckets/d"
        );
        assert_eq!(settings["version_json_path"], "/etc/kinto/version.json");
        assert_eq!(settings["[server:main] port"], "8888");
        assert!(!settings.contains_key("use"));
    }

    #[test]
    fn what_is_wrong_is_told_with_its_line() {
        assert!(parse("x = 1", "").unwrap_err().contains("line 1"));
        assert!(parse("[app:main]\nx", "").unwrap_err().contains("line 2"));
        assert!(parse("[other]\n", "").unwrap_err().contains("[app:main]"));
        assert!(parse("[app:main]\na = %(b)s\nb = %(a)s", "").is_err());
        assert!(parse("[app:main]\na = 1\nkinto.a = 2", "").is_err());
    }
}
