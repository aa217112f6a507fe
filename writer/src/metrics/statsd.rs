//! Kinto's metrics for StatsD, by its names (`kinto-http-api.md` §7.6): lines over UDP.
//!
//! A request only puts its lines into a queue, of which nobody ever waits for: a thread sends them,
//! several a datagram, and what does not fit, or cannot be sent, is dropped and counted.

use std::{
    fmt::Write as _,
    io,
    net::{Ipv6Addr, SocketAddr, ToSocketAddrs as _, UdpSocket},
    sync::mpsc::{Receiver, SyncSender, sync_channel},
    thread,
    time::{Duration, Instant},
};

use prometheus::IntCounter;
use shared::model::ObjectPath;

use super::answered::Answered;
use crate::config::Statsd as Settings;

/// Bytes of a datagram that no network on the way divides.
const DATAGRAM_BYTES: usize = 1_432;

/// Most lines that wait to be sent.
const WAITING: usize = 8_192;

/// How long an address that was looked up is good, or the lack of one.
const LOOKUP: Duration = Duration::from_mins(1);

/// Who sends what is measured.
#[derive(Debug)]
pub(super) struct Statsd {
    prefix: String,
    fields: Vec<String>,
    lines: SyncSender<String>,
    dropped: IntCounter,
}

impl Statsd {
    /// Starts the thread, which ends with what is returned.
    ///
    /// # Errors
    ///
    /// When the system has no more threads.
    pub(super) fn start(settings: &Settings, dropped: IntCounter) -> io::Result<Self> {
        let (lines, waiting) = sync_channel(WAITING);
        let to = Target::new(settings, dropped.clone());
        thread::Builder::new().name("statsd".to_owned()).spawn(move || deliver(&waiting, to))?;
        let (prefix, fields) = (settings.prefix.clone(), settings.matchdict_fields.clone());
        Ok(Self { prefix, fields, lines, dropped })
    }

    /// Tells of a request.
    pub(super) fn answered(&self, request: &Answered<'_>) {
        let ids = request.ids(&self.fields);
        let mut labels = vec![("method", request.method_name()), ("endpoint", request.endpoint())];
        labels.extend(self.fields.iter().zip(&ids).map(|(name, id)| (name.as_str(), id.as_str())));
        self.timing("request_duration_seconds", &labels, request.elapsed);
        self.send("request_size", &[], &format!("{}|g", request.bytes));
        labels.push(("status", request.status.as_str()));
        self.set("request_summary", &labels);
    }

    /// Tells of a request of the user with this prefixed id.
    pub(super) fn authenticated(&self, user_id: &str) {
        let Some((policy, id)) = user_id.split_once(':') else { return };
        self.set("users", &[("auth", policy), ("userid", &id.replace(':', "."))]);
        self.set("authentication", &[("type", policy)]);
    }

    /// Tells how long a transaction took.
    pub(super) fn transaction(&self, elapsed: Duration) {
        self.timing("backend.storage.seconds", &[("method", "transaction")], elapsed);
    }

    /// Tells how long a signature took (`remote-settings.md` §1.20).
    pub(super) fn signed(&self, elapsed: Duration) {
        self.timing("plugins.signer.seconds", &[], elapsed);
    }

    /// Tells that changes were approved for a destination.
    pub(super) fn approved(&self, to: &ObjectPath) {
        let labels = [("bucket_id", to.bucket_id()), ("collection_id", to.id.as_str())];
        self.set("plugins.signer.approved_changes", &labels);
    }

    fn timing(&self, name: &str, labels: &[(&str, &str)], elapsed: Duration) {
        self.send(name, labels, &format!("{:.6}|ms", elapsed.as_secs_f64() * 1_000.0));
    }

    /// One more of a set's members, which its labels are.
    fn set(&self, name: &str, labels: &[(&str, &str)]) {
        self.send(name, &[], &format!("{}|s", joined(labels)));
    }

    fn send(&self, name: &str, labels: &[(&str, &str)], value: &str) {
        let dot = if labels.is_empty() { "" } else { "." };
        let line = format!("{}.{name}{dot}{}:{value}", self.prefix, joined(labels));
        if self.lines.try_send(line).is_err() {
            self.dropped.inc();
        }
    }
}

/// `method.get.endpoint.hello`. Colons are left out, as in Kinto; what else would end a value, or is
/// not ASCII, becomes `_`.
fn joined(labels: &[(&str, &str)]) -> String {
    let mut joined = String::new();
    for (name, value) in labels {
        let dot = if joined.is_empty() { "" } else { "." };
        let _ = write!(joined, "{dot}{name}.");
        let kept = value.chars().filter(|c| *c != ':');
        joined.extend(kept.map(|c| if c.is_ascii_graphic() && c != '|' { c } else { '_' }));
    }
    joined
}

/// Sends what waits, as many lines in a datagram as there are and as fit.
fn deliver(waiting: &Receiver<String>, mut to: Target) {
    while let Ok(mut datagram) = waiting.recv() {
        let mut lines = 1;
        while let Ok(line) = waiting.try_recv() {
            if datagram.len() + 1 + line.len() > DATAGRAM_BYTES {
                to.send(&datagram, lines);
                (datagram, lines) = (line, 1);
            } else {
                datagram.push('\n');
                datagram.push_str(&line);
                lines += 1;
            }
        }
        to.send(&datagram, lines);
    }
}

/// Where lines go.
#[derive(Debug)]
struct Target {
    host: String,
    port: u16,
    /// What the last look-up found, and when it was.
    found: Option<(Option<(UdpSocket, SocketAddr)>, Instant)>,
    dropped: IntCounter,
}

impl Target {
    fn new(settings: &Settings, dropped: IntCounter) -> Self {
        Self { host: settings.host.clone(), port: settings.port, found: None, dropped }
    }

    fn send(&mut self, datagram: &str, lines: u64) {
        let is_sent = self
            .socket()
            .is_some_and(|(socket, address)| socket.send_to(datagram.as_bytes(), address).is_ok());
        if !is_sent {
            self.dropped.inc_by(lines);
        }
    }

    /// The socket and the address. Names are looked up again now and then: what they stand for may
    /// move, and a service starts without its metrics' receiver.
    fn socket(&mut self) -> Option<&(UdpSocket, SocketAddr)> {
        if self.found.as_ref().is_none_or(|(_, at)| at.elapsed() > LOOKUP) {
            let found = self.look_up().map_err(|error| {
                tracing::warn!(%error, host = self.host, "statsd_url: no address");
            });
            self.found = Some((found.ok(), Instant::now()));
        }
        self.found.as_ref()?.0.as_ref()
    }

    fn look_up(&self) -> io::Result<(UdpSocket, SocketAddr)> {
        let mut addresses = (self.host.as_str(), self.port).to_socket_addrs()?;
        let address = addresses.next().ok_or(io::ErrorKind::NotFound)?;
        let local: SocketAddr = if address.is_ipv4() {
            ([0, 0, 0, 0], 0).into()
        } else {
            (Ipv6Addr::UNSPECIFIED, 0).into()
        };
        Ok((UdpSocket::bind(local)?, address))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn receiver() -> (UdpSocket, Settings) {
        let socket = UdpSocket::bind("127.0.0.1:0").unwrap();
        socket.set_read_timeout(Some(Duration::from_secs(10))).unwrap();
        let settings = Settings {
            host: "127.0.0.1".to_owned(),
            port: socket.local_addr().unwrap().port(),
            prefix: "kinto".to_owned(),
            matchdict_fields: vec!["bucket_id".to_owned(), "record_id".to_owned()],
        };
        (socket, settings)
    }

    fn dropped() -> IntCounter {
        IntCounter::new("dropped", "Lines.").unwrap()
    }

    fn received(socket: &UdpSocket) -> String {
        let mut bytes = [0; 4_096];
        let length = socket.recv(&mut bytes).unwrap();
        String::from_utf8(bytes[..length].to_vec()).unwrap()
    }

    #[test]
    fn lines_are_kinto_s() {
        let (socket, settings) = receiver();
        let statsd = Statsd::start(&settings, dropped()).unwrap();

        statsd.answered(&Answered {
            method: &http::Method::GET,
            path: "/v1/buckets/b",
            route: "bucket-object",
            status: http::StatusCode::OK,
            bytes: 12,
            elapsed: Duration::from_micros(1_500),
        });
        statsd.authenticated("openid:auth0|a:b\ncé x");

        let mut lines = Vec::new();
        while lines.len() < 5 {
            lines.extend(received(&socket).lines().map(str::to_owned));
        }
        let ids = "method.get.endpoint.bucket-object.bucket_id.b.record_id.";
        assert_eq!(
            lines,
            [
                format!("kinto.request_duration_seconds.{ids}:1.500000|ms"),
                "kinto.request_size:12|g".to_owned(),
                format!("kinto.request_summary:{ids}.status.200|s"),
                "kinto.users:auth.openid.userid.auth0_a.b_c__x|s".to_owned(),
                "kinto.authentication:type.openid|s".to_owned(),
            ]
        );
    }

    #[test]
    fn lines_share_datagrams_that_are_not_too_large() {
        let (socket, settings) = receiver();
        let (lines, waiting) = sync_channel(WAITING);
        for number in 0..200 {
            lines.send(format!("kinto.line:{number:020}|s")).unwrap();
        }
        drop(lines);

        deliver(&waiting, Target::new(&settings, dropped()));

        let mut datagrams = Vec::new();
        while datagrams.iter().map(|text: &String| text.lines().count()).sum::<usize>() < 200 {
            datagrams.push(received(&socket));
        }
        assert!(datagrams.iter().all(|text| text.len() <= DATAGRAM_BYTES), "{datagrams:?}");
        assert_eq!(datagrams.len(), 200 / (DATAGRAM_BYTES / 34) + 1, "they are full");
    }

    #[test]
    fn nobody_waits_for_a_receiver_that_is_away() {
        let (_, mut settings) = receiver();
        settings.host = "does-not-exist.invalid".to_owned();
        let dropped = dropped();
        let statsd = Statsd::start(&settings, dropped.clone()).unwrap();

        let started = Instant::now();
        for _ in 0..50_000 {
            statsd.signed(Duration::ZERO);
        }
        assert!(started.elapsed() < Duration::from_secs(5));
        let more_than_may_wait = 50_000 - u64::try_from(WAITING).unwrap();
        // Those that the thread has taken are dropped when it knows that nobody is there.
        while dropped.get() < more_than_may_wait {
            assert!(started.elapsed() < Duration::from_secs(10), "{}", dropped.get());
            thread::sleep(Duration::from_millis(10));
        }
    }
}
