//! The PROXY protocol, versions 1 and 2: what a load balancer of the transport layer says before the
//! client's own bytes (HAProxy's `proxy-protocol.txt`, §2).
//!
//! Nothing here depends on who asks: the header is taken off, and shown to those who debug.

use std::{io, time::Duration};

use tokio::{io::AsyncReadExt as _, net::TcpStream, time::sleep};

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
    loop {
        let count = stream.peek(&mut bytes).await?;
        match header(&bytes[..count]) {
            Header::Of(length) => {
                stream.read_exact(&mut bytes[..length]).await?;
                let said = String::from_utf8_lossy(&bytes[..length]);
                tracing::debug!(header = %said.escape_debug(), "a connection through a proxy");
                return Ok(());
            }
            Header::None => return Err(io::ErrorKind::InvalidData.into()),
            Header::Partial if count == 0 => return Err(io::ErrorKind::UnexpectedEof.into()),
            // Peeking does not wait for more than there is.
            Header::Partial => sleep(Duration::from_millis(5)).await,
        }
    }
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
            Some(end) => Header::Of(end + 2),
            None if line.len() < MAX_LINE => Header::Partial,
            None => Header::None,
        };
    }
    Header::None
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
