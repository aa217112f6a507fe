//! The pages of an admin console, below `/v1/admin/` (`kinto-http-api.md` §7.7).
//!
//! They are the files of a directory, such as a build of Kinto Admin, read once at the start: what is
//! asked for is looked up among their names, so no path leads out of the directory, and no request
//! waits for a disk.

use std::{
    collections::BTreeMap,
    fs::{self, Metadata},
    io,
    path::{Path, PathBuf},
};

use bytes::Bytes;
use http::{
    HeaderMap, HeaderValue, Method, StatusCode,
    header::{CONTENT_SECURITY_POLICY, CONTENT_TYPE, LAST_MODIFIED},
};
use percent_encoding::percent_decode_str;
use shared::{
    error::ApiError,
    http::{Reply, is_unmodified_since},
    model::Timestamp,
};

/// Where they are.
pub const ROOT: &str = "/v1/admin/";

/// The file that is shown there.
const INDEX: &str = "index.html";

/// Seconds for which browsers may keep a file; the page at [`ROOT`] is asked for each time.
const LIFETIME: u32 = 3_600;

/// A console is far smaller: what is larger is another directory, given by mistake.
const MOST_BYTES: u64 = 64 << 20;
const MOST_FILES: usize = 10_000;
const DEEPEST: usize = 16;

/// The reference's own policy for this page: a script of its own origin makes all of it.
const POLICY: &str = "default-src 'self'; img-src data: *; \
                      script-src 'self' 'unsafe-inline' 'unsafe-eval'; \
                      style-src 'self' 'unsafe-inline'";

const EXPLANATION: &str = "<!doctype html>
<title>No admin console</title>
<h1>No admin console is installed</h1>
<p>The setting <code>admin_assets_path</code> names a directory with one: its <code>index.html</code>,
   the files that belong to it, and <code>VERSION</code>. A build of Kinto Admin is such a directory.</p>
";

/// The files, by their paths below the directory.
#[derive(Debug, Clone)]
pub struct Console {
    files: BTreeMap<String, Page>,
    version: String,
}

#[derive(Debug, Clone)]
struct Page {
    content: Bytes,
    kind: HeaderValue,
    changed: Timestamp,
}

impl Console {
    /// Reads a directory. Names that begin with a dot, or are not UTF-8, are left out.
    ///
    /// # Errors
    ///
    /// What is missing, too much, or cannot be read.
    pub fn read(directory: &Path) -> io::Result<Self> {
        let mut files = BTreeMap::new();
        let mut left = MOST_BYTES;
        for (name, path, about) in found(directory)? {
            left = left.checked_sub(about.len()).ok_or_else(|| too_much(directory))?;
            let content = fs::read(&path).map_err(|error| of_file(&path, &error))?;
            let changed = about.modified().map(Timestamp::from_system)?;
            files
                .insert(name.clone(), Page { content: content.into(), kind: kind(&name), changed });
        }
        let missing = |name| io::Error::new(io::ErrorKind::NotFound, format!("there is no {name}"));
        if !files.contains_key(INDEX) {
            return Err(missing(INDEX));
        }
        let version = files.get("VERSION").ok_or_else(|| missing("VERSION"))?;
        let version = String::from_utf8_lossy(&version.content).trim().to_owned();
        Ok(Self { files, version })
    }

    /// One page, which says what is missing.
    pub fn none() -> Self {
        let content = Bytes::from_static(EXPLANATION.as_bytes());
        let index = Page { content, kind: kind(INDEX), changed: Timestamp::now() };
        let files = BTreeMap::from([(INDEX.to_owned(), index)]);
        Self { files, version: env!("CARGO_PKG_VERSION").to_owned() }
    }

    /// The console's version, for the hello view.
    pub fn version(&self) -> &str {
        &self.version
    }

    /// Answers what lies at or below [`ROOT`], if there is anything.
    ///
    /// # Errors
    ///
    /// 405 for all but GET and HEAD.
    pub fn answer(
        &self,
        (method, path): (&Method, &str),
        headers: &HeaderMap,
        origin: &str,
    ) -> Option<Result<Reply, ApiError>> {
        let reply = match path.strip_prefix(ROOT) {
            Some("") => self.files.get(INDEX)?.reply().header(CONTENT_SECURITY_POLICY, policy()),
            Some(name) => {
                let name = percent_decode_str(name).decode_utf8().ok()?;
                let page = self.files.get(name.as_ref())?;
                page.conditionally(headers).lifetime(LIFETIME, Timestamp::now())
            }
            // Its query string is dropped (§7.7.1).
            None if path == ROOT.trim_end_matches('/') => {
                Reply::redirect(&format!("{origin}{ROOT}"))
            }
            None => return None,
        };
        let allow = vec![Method::GET, Method::HEAD];
        let allowed = allow.contains(method);
        Some(if allowed { Ok(reply) } else { Err(ApiError::MethodNotAllowed { allow }) })
    }
}

impl Page {
    fn reply(&self) -> Reply {
        Reply { body: self.content.clone(), ..Reply::empty(StatusCode::OK) }
            .header(CONTENT_TYPE, self.kind.clone())
    }

    fn conditionally(&self, headers: &HeaderMap) -> Reply {
        let reply = if is_unmodified_since(headers, self.changed) {
            Reply::empty(StatusCode::NOT_MODIFIED)
        } else {
            self.reply()
        };
        reply.header_text(LAST_MODIFIED, &self.changed.http_date())
    }
}

const fn policy() -> HeaderValue {
    HeaderValue::from_static(POLICY)
}

/// The media type, by the name; texts are UTF-8.
fn kind(name: &str) -> HeaderValue {
    let guess = mime_guess::from_path(name).first_or_octet_stream();
    let is_text =
        guess.type_() == mime_guess::mime::TEXT || guess.suffix() == Some(mime_guess::mime::XML);
    let text = if is_text { format!("{guess}; charset=UTF-8") } else { guess.to_string() };
    HeaderValue::from_str(&text)
        .unwrap_or(const { HeaderValue::from_static("application/octet-stream") })
}

/// The files below a directory: their names there, their paths, and what is known of them.
fn found(directory: &Path) -> io::Result<Vec<(String, PathBuf, Metadata)>> {
    let mut found = Vec::new();
    let mut open = vec![(String::new(), directory.to_owned(), 0)];
    while let Some((prefix, directory, depth)) = open.pop() {
        for entry in fs::read_dir(&directory).map_err(|error| of_file(&directory, &error))? {
            let path = entry?.path();
            let Some(name) = path.file_name().and_then(|name| name.to_str()) else { continue };
            if name.starts_with('.') {
                continue;
            }
            let name = format!("{prefix}{name}");
            let about = fs::metadata(&path).map_err(|error| of_file(&path, &error))?;
            if about.is_file() {
                found.push((name, path, about));
            } else if about.is_dir() {
                open.push((format!("{name}/"), path, depth + 1));
            }
            if found.len() > MOST_FILES || depth > DEEPEST {
                return Err(too_much(&directory));
            }
        }
    }
    Ok(found)
}

fn of_file(path: &Path, error: &io::Error) -> io::Error {
    io::Error::new(error.kind(), format!("{}: {error}", path.display()))
}

fn too_much(directory: &Path) -> io::Error {
    io::Error::other(format!("{} holds more than a console", directory.display()))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn media_types_follow_from_names() {
        for (name, expected) in [
            ("index.html", "text/html; charset=UTF-8"),
            ("assets/a.js", "text/javascript; charset=UTF-8"),
            ("assets/a.css", "text/css; charset=UTF-8"),
            ("a.svg", "image/svg+xml; charset=UTF-8"),
            ("a.json", "application/json"),
            ("a.png", "image/png"),
            ("a.woff2", "font/woff2"),
            ("VERSION", "application/octet-stream"),
        ] {
            assert_eq!(kind(name), expected, "{name}");
        }
    }
}
