//! `verify`: fetches what a server publishes, as a client would, and checks every signature.

mod check;
mod client;
mod report;

use std::{collections::HashMap, io::IsTerminal as _, path::PathBuf, sync::Arc};

use clap::Args;
use http::Uri;
use indicatif::{ProgressBar, ProgressDrawTarget, ProgressStyle};
use shared::{
    chain::{DOMAIN, RootHash},
    console::complain,
    model::{Id, Timestamp},
    signature::PublicKey,
};
use tokio::task::{Id as TaskId, JoinError, JoinSet};

use self::{
    check::{Trust, check},
    client::{Client, FetchError},
    report::{Line, Report, Verdict},
};
use crate::{cli, config::read_key};

/// Production's root, then that of the other environments (`remote-settings.md` §2.9).
const PINS: [&str; 2] = [
    "C8:A8:0E:9A:FA:EF:4E:21:9B:6F:B5:D7:A7:1D:0F:10:12:23:BA:C5:00:1A:C2:8F:9B:0D:43:DC:59:A1:06:DB",
    "3C:01:44:6A:BE:90:36:CE:A9:A0:9A:CA:A3:A5:20:AC:62:8F:20:A7:AE:32:CE:86:1C:B2:EF:B7:0F:A0:C7:45",
];

/// Collections that are fetched at once.
const IN_FLIGHT: usize = 6;

/// What to verify, and against what.
#[derive(Debug, Clone, Args)]
#[command(after_help = "\
A collection is verified when one of its signatures is good by a --public-key, if any is given.
Otherwise the first must be, which is the one that old clients read, by the certificate chain that it
names (x5u), which must end in a pinned root. Where clients differ, the strictest rule counts: what
one of them could not read, or would canonicalise in another way, is a failure.
A signature that only agrees with the key beside it could be anybody's: see --allow-unpinned.

Examples:
  countersign-reader verify https://firefox.settings.services.mozilla.com/v1
  countersign-reader verify https://rs.example.net/v1 --root-hash C8:A8:… --in-days 10
  countersign-reader verify http://127.0.0.1:8889/v1 --public-key signer.pem --json")]
pub struct Options {
    /// The API root: http://host:port/v1
    url: String,
    /// A PEM public key that may have signed; may be repeated. Chains are not looked at then.
    #[arg(long, value_name = "PEM_FILE")]
    public_key: Vec<PathBuf>,
    /// SHA-256 of a root certificate to trust; may be repeated. Default: Mozilla's two.
    #[arg(long, value_name = "HEX", value_parser = parse_root)]
    root_hash: Vec<RootHash>,
    /// The name that the end entity's certificate must carry. Default: onecrl.DOMAIN for the
    /// buckets of security-state, remote-settings.DOMAIN for all others.
    #[arg(long, value_name = "NAME")]
    host: Option<String>,
    /// The domain of these names.
    #[arg(long, value_name = "DOMAIN", default_value = DOMAIN)]
    domain: String,
    /// Check certificates as if it was so many days later: what fails then, if nothing is renewed.
    #[arg(long, value_name = "DAYS", default_value_t = 0)]
    in_days: u16,
    /// Accept chains from http URLs, as in development.
    #[arg(long)]
    allow_http: bool,
    #[command(flatten)]
    allow: Allow,
    /// Print one JSON object.
    #[arg(long)]
    json: bool,
    /// Print failures only.
    #[arg(long, short)]
    quiet: bool,
}

/// What is a failure unless it is allowed.
#[derive(Debug, Clone, Copy, Default, Args)]
#[expect(clippy::struct_excessive_bools, reason = "each is a flag of the command line")]
struct Allow {
    /// Accept a signature that agrees with the key beside it, when there is nothing else.
    #[arg(long = "allow-unpinned")]
    unpinned: bool,
    /// Accept collections without any signature.
    #[arg(long = "allow-unsigned")]
    unsigned: bool,
    /// Accept collections that are listed, and cannot be read without credentials.
    #[arg(long = "allow-private")]
    private: bool,
    /// Accept a server that lists no collection at all.
    #[arg(long = "allow-empty")]
    empty: bool,
}

fn parse_root(text: &str) -> Result<RootHash, &'static str> {
    RootHash::parse(text)
}

/// One entry of the monitor.
#[derive(Debug, Clone, serde::Deserialize)]
struct Entry {
    bucket: String,
    collection: String,
    last_modified: Timestamp,
}

#[derive(Debug, serde::Deserialize)]
struct Monitor {
    changes: Vec<Entry>,
}

/// Verifies, prints, and returns the exit code.
pub async fn run(options: &Options) -> u8 {
    if !is_api_root(&options.url) {
        complain(format!("'{}' is not a URL like https://rs.example.net/v1", options.url));
        return 2;
    }
    let trust = match trust(options) {
        Ok(trust) => Arc::new(trust),
        Err(problem) => {
            complain(problem);
            return 2;
        }
    };
    let client = Client::new();
    let root = options.url.trim_end_matches('/').to_owned();
    let entries = match monitor(&client, &root).await {
        Ok(entries) => entries,
        Err(error) => {
            complain(format!("{root} cannot be read: {error}"));
            return cli::UNAVAILABLE;
        }
    };
    let bar = progress(options, entries.len());
    let mut lines = Vec::with_capacity(entries.len());
    let mut tasks = JoinSet::new();
    let mut running = HashMap::new();
    for entry in entries {
        if tasks.len() >= IN_FLIGHT
            && let Some(done) = tasks.join_next_with_id().await
        {
            lines.extend(ended(done, &mut running));
            bar.inc(1);
        }
        let task = one(client.clone(), root.clone(), entry.clone(), trust.clone());
        running.insert(tasks.spawn(task).id(), entry);
    }
    while let Some(done) = tasks.join_next_with_id().await {
        lines.extend(ended(done, &mut running));
        bar.inc(1);
    }
    bar.finish_and_clear();
    let report = Report::new(root, lines, options.allow);
    let printed = cli::printed(report.shown(options.json, options.quiet));
    if report.is_good() { printed } else { cli::FAILED }
}

fn is_api_root(url: &str) -> bool {
    url.parse::<Uri>().is_ok_and(|uri| {
        matches!(uri.scheme_str(), Some("http" | "https"))
            && uri.host().is_some_and(|host| !host.is_empty())
    })
}

/// A task's line; one that panicked verified nothing.
fn ended(
    done: Result<(TaskId, Line), JoinError>,
    running: &mut HashMap<TaskId, Entry>,
) -> Option<Line> {
    match done {
        Ok((id, line)) => {
            running.remove(&id);
            Some(line)
        }
        Err(error) => running
            .remove(&error.id())
            .map(|entry| Line::new(&entry).with(Verdict::Failed(format!("not checked: {error}")))),
    }
}

fn trust(options: &Options) -> Result<Trust, String> {
    let keys = options
        .public_key
        .iter()
        .map(|path| read_key(path).map_err(|problem| format!("{}: {problem}", path.display())))
        .collect::<Result<Vec<PublicKey>, _>>()?;
    let mut roots = options.root_hash.clone();
    if roots.is_empty() {
        roots.extend(PINS.iter().filter_map(|pin| RootHash::parse(pin).ok()));
    }
    let later = i64::from(options.in_days) * 86_400_000;
    Ok(Trust {
        keys,
        roots,
        host: options.host.clone(),
        domain: options.domain.clone(),
        now: Timestamp::now().plus_millis(later),
        http: options.allow_http,
    })
}

fn progress(options: &Options, total: usize) -> ProgressBar {
    if options.quiet || options.json || !std::io::stderr().is_terminal() {
        return ProgressBar::hidden();
    }
    let length = u64::try_from(total).unwrap_or_default();
    let bar = ProgressBar::with_draw_target(Some(length), ProgressDrawTarget::stderr());
    match ProgressStyle::with_template("{bar:40} {pos}/{len} collections") {
        Ok(style) => bar.with_style(style),
        Err(_) => bar,
    }
}

async fn monitor(client: &Client, root: &str) -> Result<Vec<Entry>, FetchError> {
    let url = format!("{root}/buckets/monitor/collections/changes/changeset?_expected=0");
    let body = client.get(&url).await?;
    let monitor: Monitor =
        serde_json::from_slice(&body).map_err(|error| FetchError::Content(error.to_string()))?;
    let mut entries = monitor.changes;
    entries.sort_by(|a, b| (&a.bucket, &a.collection).cmp(&(&b.bucket, &b.collection)));
    Ok(entries)
}

async fn one(client: Client, root: String, entry: Entry, trust: Arc<Trust>) -> Line {
    let mut line = Line::new(&entry);
    let (Ok(bucket), Ok(collection)) = (Id::new(&entry.bucket), Id::new(&entry.collection)) else {
        return line.with(Verdict::Failed("the monitor names an id that is none".to_owned()));
    };
    let expected = entry.last_modified;
    let url =
        format!("{root}/buckets/{bucket}/collections/{collection}/changeset?_expected={expected}");
    let verdict = match client.get(&url).await {
        Err(FetchError::Status(401 | 403)) => Verdict::Private,
        Err(error) => Verdict::Failed(error.to_string()),
        Ok(body) => match check::Changeset::parse(&body) {
            Err(problem) => Verdict::Failed(problem),
            Ok(changeset) => {
                line.count(changeset.timestamp, changeset.changes.len());
                check(&client, &entry, &changeset, &trust).await
            }
        },
    };
    line.with(verdict)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn an_api_root_is_http_with_a_host() {
        assert!(is_api_root("http://127.0.0.1:8889/v1"));
        assert!(is_api_root("https://rs.example.net/v1/"));
        for url in ["notaurl", "", "/v1", "rs.example.net/v1", "ftp://rs.example.net/v1", "http://"]
        {
            assert!(!is_api_root(url), "{url}");
        }
    }

    #[tokio::test]
    async fn a_task_that_panics_is_a_failure() {
        let entry = Entry {
            bucket: "main".to_owned(),
            collection: "cfr".to_owned(),
            last_modified: Timestamp::from_millis(7),
        };
        let mut tasks = JoinSet::<Line>::new();
        let id = tasks.spawn(async { std::panic::resume_unwind(Box::new(())) }).id();
        let mut running = HashMap::from([(id, entry)]);

        let line = ended(tasks.join_next_with_id().await.unwrap(), &mut running);

        let everything = Allow { unpinned: true, unsigned: true, private: true, empty: true };
        let report = Report::new(String::new(), line.into_iter().collect(), everything);
        assert!(!report.is_good());
    }
}
