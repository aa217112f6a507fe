//! The PROXY protocol, versions 1 and 2: what a load balancer of the transport layer says before the
//! client's own bytes (HAProxy's `proxy-protocol.txt`, §2).
//!
//! Nothing here depends on who asks: the header is taken off, and shown to those who debug.

use std::{io, net::IpAddr, str::FromStr};

use shared::http::look;
use tokio::{io::AsyncReadExt as _, net::TcpStream};

/// The longest header of version 1, with its CR LF (§2.1).
const MAX_LINE: usize = 107;
/// The first bytes of version 2 (§2.2).
const SIGNATURE: &[u8; 12] = b"\r\n\r\n\0\r\nQUIT\n";
/// The fixed part of version 2; its last two bytes are the length of what follows.
const FIXED: usize = 16;
/// Addresses and what else is said, in version 2: more than this is nothing that we know.
const MAX_REST: usize = 2 * 1024;

/// What the bytes at the beginning of a connection are.
#[derive(Debug, PartialEq, Eq)]
enum Header {
    /// Not enough of them are there.
    Partial,
    /// A header of so many bytes.
    Of(usize),
    /// No header.
    None,
}

/// Takes the header off. A connection without one is not of the load balancer.
///
/// # Errors
///
/// When there is no header, or the client has left.
pub(super) async fn strip(stream: &mut TcpStream) -> io::Result<()> {
    let mut bytes = vec![0; MAX_REST + FIXED];
    let found = look(stream, &mut bytes, |first| match header(first) {
        Header::Of(length) => Some(Some(length)),
        Header::None => Some(None),
        Header::Partial => None,
    });
    let Some(found) = found.await else { return Err(io::ErrorKind::UnexpectedEof.into()) };
    let Some(length) = found else { return Err(io::ErrorKind::InvalidData.into()) };
    stream.read_exact(&mut bytes[..length]).await?;
    let said = String::from_utf8_lossy(&bytes[..length]);
    tracing::debug!(header = %said.escape_debug(), "a connection through a proxy");
    Ok(())
}

fn header(bytes: &[u8]) -> Header {
    let begins = |with: &[u8]| bytes.iter().zip(with).all(|(byte, known)| byte == known);
    if begins(SIGNATURE) {
        let Some(fixed) = bytes.get(..FIXED) else { return Header::Partial };
        // Version 2, commands LOCAL and PROXY.
        if !matches!(fixed[12], 0x20 | 0x21) {
            return Header::None;
        }
        let rest = usize::from(u16::from_be_bytes([fixed[14], fixed[15]]));
        return match rest {
            0..=MAX_REST if bytes.len() >= FIXED + rest => Header::Of(FIXED + rest),
            0..=MAX_REST => Header::Partial,
            _ => Header::None,
        };
    }
    if begins(b"PROXY ") {
        let line = &bytes[..bytes.len().min(MAX_LINE)];
        return match line.windows(2).position(|two| two == b"\r\n") {
            Some(end) if is_line(&line[..end]) => Header::Of(end + 2),
            None if line.len() < MAX_LINE => Header::Partial,
            Some(_) | None => Header::None,
        };
    }
    Header::None
}

/// Whether a line of version 1 names what it must: two addresses of its kind and two ports, or that
/// they are not known, with anything behind it (§2.1).
fn is_line(line: &[u8]) -> bool {
    let Ok(line) = str::from_utf8(line) else { return false };
    let mut words = line.split(' ').skip(1);
    let is_address: fn(&str) -> bool = match words.next() {
        Some("TCP4") => |word| IpAddr::from_str(word).is_ok_and(|address| address.is_ipv4()),
        Some("TCP6") => |word| IpAddr::from_str(word).is_ok_and(|address| address.is_ipv6()),
        Some("UNKNOWN") => return true,
        _ => return false,
    };
    let is_port =
        |word: &str| word.bytes().all(|byte| byte.is_ascii_digit()) && u16::from_str(word).is_ok();
    let words: Vec<&str> = words.collect();
    matches!(*words.as_slice(), [from, to, source, port]
        if is_address(from) && is_address(to) && is_port(source) && is_port(port))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn both_versions_are_known() {
        let second = [&SIGNATURE[..], &[0x21, 0x11, 0, 12], &[9; 12]].concat();
        let local = [&SIGNATURE[..], &[0x20, 0, 0, 0]].concat();
        for (bytes, expected) in [
            (&b""[..], Header::Partial),
            (b"PRO", Header::Partial),
            (b"PROXY TCP4 1.2.3.4 5.6.7.8 9 10\r\nGET /", Header::Of(33)),
            (b"PROXY TCP6 ::1 2001:db8::1 9 65535\r\n", Header::Of(36)),
            (b"PROXY UNKNOWN ::1 anything\r\n", Header::Of(28)),
            (b"PROXY garbage stuff here\r\n", Header::None),
            (b"PROXY TCP4 ::1 ::1 9 10\r\n", Header::None),
            (b"PROXY TCP6 1.2.3.4 5.6.7.8 9 10\r\n", Header::None),
            (b"PROXY TCP4 1.2.3.4 5.6.7.8 9 65536\r\n", Header::None),
            (b"PROXY TCP4 1.2.3.4 5.6.7.8 9 +1\r\n", Header::None),
            (b"PROXY TCP4 1.2.3.4 5.6.7.8 9\r\n", Header::None),
            (b"PROXY TCP4 1.2.3.4 5.6.7.8 9 10 11\r\n", Header::None),
            (b"PROXY \xff\r\n", Header::None),
            (b"PROXY UNKNOWN\r\n", Header::Of(15)),
            (b"GET / HTTP/1.1\r\n", Header::None),
            (&[b"PROXY ", &[b'x'; 200][..]].concat(), Header::None),
            (&second, Header::Of(28)),
            (&second[..27], Header::Partial),
            (&second[..13], Header::Partial),
            (&local, Header::Of(16)),
            (&[&SIGNATURE[..], &[0x31, 0x11, 0, 0]].concat(), Header::None),
            (&[&SIGNATURE[..], &[0x21, 0x11, 0xff, 0xff]].concat(), Header::None),
        ] {
            assert_eq!(header(bytes), expected, "{bytes:?}");
        }
    }
}
