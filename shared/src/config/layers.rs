//! Named texts from several origins, and the typed reading of them.

mod secrets;
mod unknown;

use std::{
    collections::{BTreeMap, BTreeSet},
    fmt,
    path::{Path, PathBuf},
    str::FromStr,
};

use unknown::Guard;

use super::{environment::Environment, ini};

/// Where a value comes from.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Origin {
    /// Compiled in.
    Default,
    /// A file in our own format.
    Toml,
    /// A Kinto file.
    Ini,
    /// The environment variable of this name.
    Environment(String),
    /// A flag.
    CommandLine,
}

impl fmt::Display for Origin {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Default => f.write_str("default"),
            Self::Toml | Self::Ini => f.write_str("file"),
            Self::Environment(name) => write!(f, "environment {name}"),
            Self::CommandLine => f.write_str("command line"),
        }
    }
}

/// All that is wrong with a configuration, one line each.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct Problems(Vec<String>);

impl Problems {
    /// Adds a line.
    pub fn add(&mut self, problem: impl Into<String>) {
        self.0.push(problem.into());
    }

    /// The lines.
    pub fn lines(&self) -> &[String] {
        &self.0
    }
}

impl fmt::Display for Problems {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "the configuration has {} problem(s):", self.0.len())?;
        self.0.iter().try_for_each(|line| write!(f, "\n  - {line}"))
    }
}

impl std::error::Error for Problems {}

/// The layers, and what reading them found.
#[derive(Debug, Default)]
pub struct Layers {
    values: BTreeMap<String, (String, Origin)>,
    environment: Environment,
    asked: BTreeSet<String>,
    problems: Problems,
    warnings: Vec<String>,
    guards: Vec<Guard>,
    path: Option<PathBuf>,
}

impl Layers {
    /// The compiled-in defaults: a TOML text that lists every setting.
    pub fn new(defaults: &str) -> Self {
        let mut layers = Self::default();
        layers.toml(defaults, &Origin::Default);
        layers
    }

    /// Adds a file: a Kinto INI by its extension, else TOML.
    pub fn file(&mut self, path: &Path) {
        self.path = Some(path.to_owned());
        let shown = path.display();
        match std::fs::read_to_string(path) {
            Err(error) => self.problems.add(format!("{shown} cannot be read: {error}")),
            Ok(text) if path.extension().is_some_and(|ending| ending == "ini") => {
                // PasteDeploy's `here` does not depend on where the process was started.
                let whole = std::path::absolute(path).unwrap_or_else(|_| path.to_owned());
                let here = whole.parent().unwrap_or(Path::new(".")).display().to_string();
                match ini::parse(&text, &here) {
                    Ok(pairs) => {
                        for (key, value) in pairs {
                            self.values.insert(key, (value, Origin::Ini));
                        }
                    }
                    Err(problem) => self.problems.add(format!("{shown}: {problem}")),
                }
            }
            Ok(text) => self.toml(&text, &Origin::Toml),
        }
    }

    /// The file that was added last.
    pub fn path(&self) -> Option<&Path> {
        self.path.as_deref()
    }

    /// Adds environment variables; only those named `KINTO_…` and `COUNTERSIGN_…` count, and
    /// others are warned of that Kinto would read.
    pub fn environment(&mut self, variables: impl Iterator<Item = (String, String)>) {
        self.environment = Environment::new(variables);
    }

    /// Sets one value from the command line.
    pub fn set(&mut self, key: &str, text: impl Into<String>) {
        self.values.insert(key.to_owned(), (text.into(), Origin::CommandLine));
    }

    fn toml(&mut self, text: &str, origin: &Origin) {
        match text.parse::<toml::Table>() {
            Ok(table) => self.flatten("", &table, origin),
            Err(error) => self.problems.add(format!("not TOML: {error}")),
        }
    }

    #[expect(clippy::wildcard_enum_match_arm, reason = "every other TOML value is one text")]
    fn flatten(&mut self, prefix: &str, table: &toml::Table, origin: &Origin) {
        for (name, value) in table {
            let key = format!("{prefix}{name}");
            match value {
                toml::Value::Table(table) => self.flatten(&format!("{key}."), table, origin),
                toml::Value::Array(items) => {
                    let lines: Vec<String> = items.iter().map(scalar).collect();
                    self.values.insert(key, (lines.join("\n"), origin.clone()));
                }
                _ => {
                    self.values.insert(key, (scalar(value), origin.clone()));
                }
            }
        }
    }

    /// The text of `key`; empty when it is not set. The environment is asked for this very key:
    /// its text is never given a type by guessing, so the password `0123` stays what it is.
    pub fn text(&mut self, key: &str) -> String {
        self.asked.insert(key.to_owned());
        // Taken in any case: a variable that something else goes before is not unknown.
        let from_environment = self.environment.take(key);
        let from_command_line =
            self.values.get(key).is_some_and(|(_, origin)| *origin == Origin::CommandLine);
        if !from_command_line && let Some(variable) = from_environment {
            match variable.read() {
                Ok(read) => {
                    self.values.insert(key.to_owned(), read);
                }
                Err(problem) => self.problems.add(problem),
            }
        }
        self.values.get(key).map_or_else(String::new, |(text, _)| text.trim().to_owned())
    }

    /// What is left in the environment under names with this beginning and end, by what is between
    /// them: names that no file spells cannot be asked for by [`Self::text`].
    pub fn from_environment(&mut self, start: &str, end: &str) -> BTreeMap<String, String> {
        let mut found = BTreeMap::new();
        for (between, variable) in self.environment.take_between(start, end) {
            match variable.read() {
                Ok((text, _)) => {
                    found.entry(between).or_insert_with(|| text.trim().to_owned());
                }
                Err(problem) => self.problems.add(problem),
            }
        }
        found
    }

    /// The variables that are left for keys that begin with `start`, by name: for who refuses what
    /// [`Self::finish`] would only warn of.
    pub fn left_in_environment(&mut self, start: &str) -> Vec<String> {
        self.environment.take_beginning(start)
    }

    /// The text of `key`, or `None` when it is empty.
    pub fn optional(&mut self, key: &str) -> Option<String> {
        Some(self.text(key)).filter(|text| !text.is_empty())
    }

    /// A text that must not be empty.
    pub fn required(&mut self, key: &str, what: &str) -> String {
        let text = self.text(key);
        if text.is_empty() {
            self.problems.add(format!("{key} is not set: {what}"));
        }
        text
    }

    /// True or false: `true`, `yes`, `on`, `1`, and their opposites.
    pub fn flag(&mut self, key: &str) -> bool {
        let text = self.text(key).to_lowercase();
        match text.as_str() {
            "true" | "yes" | "on" | "1" => true,
            "false" | "no" | "off" | "0" | "" => false,
            _ => {
                self.problems.add(format!("{key} is `{text}`: expected true or false"));
                false
            }
        }
    }

    /// A whole number between `min` and `max`.
    pub fn number(&mut self, key: &str, min: u64, max: u64) -> u64 {
        self.optional_number(key, min, max).unwrap_or_else(|| {
            if self.text(key).is_empty() {
                self.problems.add(format!("{key} is not set: expected a number"));
            }
            min
        })
    }

    /// Seconds, or nothing; less than 0 is as good as nothing.
    pub fn lifetime(&mut self, key: &str) -> Option<u32> {
        let text = self.text(key);
        if text.strip_prefix('-').is_some_and(|rest| rest.parse::<u64>().is_ok()) {
            return None;
        }
        let seconds = self.optional_number(key, 0, u64::from(u32::MAX))?;
        u32::try_from(seconds).ok()
    }

    /// A whole number between `min` and `max`, or nothing.
    pub fn optional_number(&mut self, key: &str, min: u64, max: u64) -> Option<u64> {
        let text = self.optional(key)?;
        match text.parse::<u64>() {
            Ok(number) if (min..=max).contains(&number) => Some(number),
            _ => {
                let range = format!("expected a whole number from {min} to {max}");
                self.problems.add(format!("{key} is `{text}`: {range}"));
                None
            }
        }
    }

    /// Words separated by blanks or line ends.
    pub fn words(&mut self, key: &str) -> Vec<String> {
        self.text(key).split_whitespace().map(str::to_owned).collect()
    }

    /// Lines, blank ones and `#` comments left out.
    pub fn lines(&mut self, key: &str) -> Vec<String> {
        let text = self.text(key);
        let lines = text.lines().map(str::trim);
        lines.filter(|line| !line.is_empty() && !line.starts_with('#')).map(str::to_owned).collect()
    }

    /// A text that must parse as `T`; `expected` says what would.
    pub fn parsed<T: FromStr>(&mut self, key: &str, expected: &str) -> Option<T> {
        let text = self.optional(key)?;
        let parsed = text.parse().ok();
        if parsed.is_none() {
            self.problems.add(format!("{key} is `{text}`: expected {expected}"));
        }
        parsed
    }

    /// One of `choices`; the first is taken when the text is none of them, and a problem told.
    pub fn choice<T: Copy>(&mut self, key: &str, choices: &[(&str, T)]) -> Option<T> {
        let text = self.text(key);
        let found = choices.iter().find(|(name, _)| *name == text).map(|(_, choice)| *choice);
        if found.is_none() {
            let names: Vec<&str> = choices.iter().map(|(name, _)| *name).collect();
            self.problems.add(format!("{key} is `{text}`: expected one of {}", names.join(", ")));
        }
        found
    }

    /// The keys that are set and that `wanted` accepts.
    pub fn keys(&self, wanted: impl Fn(&str) -> bool) -> Vec<String> {
        self.values.keys().filter(|key| wanted(key)).cloned().collect()
    }

    /// Marks keys of Kinto that mean nothing here as known.
    pub fn ignore(&mut self, is_ignored: impl Fn(&str) -> bool) {
        let ignored = self.keys(is_ignored);
        self.asked.extend(ignored);
    }

    /// Adds a problem that a check found.
    pub fn problem(&mut self, problem: impl Into<String>) {
        self.problems.add(problem);
    }

    /// Adds a warning: something was given that means nothing here.
    pub fn warning(&mut self, warning: impl Into<String>) {
        self.warnings.push(warning.into());
    }

    /// Makes a problem, also in a Kinto file, of an unknown key that seems to mean a known one that
    /// begins with `start`; with `all`, of all unknown keys that begin so.
    pub fn guard(&mut self, start: &'static str, all: bool) {
        self.guards.push(Guard { start, all });
    }

    /// Ends the reading: unknown settings are a problem, in a Kinto file a warning.
    ///
    /// # Errors
    ///
    /// Every problem that reading and checking found.
    pub fn finish(&mut self) -> Result<(), Problems> {
        for (key, (_, origin)) in &self.values {
            if self.asked.contains(key) || *origin == Origin::Default {
                continue;
            }
            let meant = unknown::meant(key, &self.asked, &self.guards);
            let hint = meant.as_ref().map_or_else(String::new, |m| format!("; did you mean {m}?"));
            let is_guarded = self.guards.iter().any(|guard| guard.covers(key, meant.as_deref()));
            if *origin == Origin::Ini && !is_guarded {
                self.warnings.push(format!("{key} is not a setting of this service{hint}"));
            } else {
                self.problems.add(format!("{key} is not a setting{hint}"));
            }
        }
        self.tell_what_is_ambiguous();
        for name in self.environment.names() {
            self.warnings.push(format!("environment {name} is not a setting of this service"));
        }
        self.tell_what_has_no_prefix();
        if self.problems.0.is_empty() { Ok(()) } else { Err(self.problems.clone()) }
    }

    /// Settings that were given and mean nothing here, by name.
    pub fn warnings(&self) -> &[String] {
        &self.warnings
    }

    /// The effective configuration, a line each, with its origin; secrets are masked.
    pub fn effective(&self) -> Vec<String> {
        self.values
            .iter()
            .filter(|(key, _)| self.asked.contains(*key))
            .map(|(key, (text, origin))| {
                format!("{key} = {} ({origin})", masked(key, text).replace('\n', " | "))
            })
            .collect()
    }
}

#[expect(clippy::wildcard_enum_match_arm, reason = "TOML's own text serves for all but strings")]
fn scalar(value: &toml::Value) -> String {
    match value {
        toml::Value::String(text) => text.clone(),
        other => other.to_string(),
    }
}

fn masked(key: &str, text: &str) -> String {
    if text.is_empty() {
        return "unset".to_owned();
    }
    // The URL of a webhook is what allows to call it.
    let rest = key.strip_prefix("webhook.").and_then(|rest| rest.rsplit_once('.'));
    let is_webhook = rest.is_some_and(|(_, member)| member == "url");
    let words = ["secret", "password", "webhook_url"];
    // Of a cache, too, all but a few words.
    let rest = key.strip_prefix("purge.").and_then(|rest| rest.rsplit_once('.'));
    let is_purge = rest
        .is_some_and(|(_, member)| ["body", "headers", "token", "url", "urls"].contains(&member));
    let is_secret = is_webhook || is_purge || words.iter().any(|word| key.contains(word));
    if is_secret || text.contains("PRIVATE KEY-----") {
        return "***".to_owned();
    }
    secrets::without_passwords(text)
}

#[cfg(test)]
mod tests;
