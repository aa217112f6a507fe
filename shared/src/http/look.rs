//! The first bytes of a connection, looked at before anybody takes them.

use std::io;

use http::Version;
use rustix::net::{RecvFlags, recv};
use tokio::{io::Interest, net::TcpStream};

/// Looks at the bytes that came, without taking them, until `judge` knows what they mean. It sees them
/// from the first on, `space` of them at most, and once for each time that more arrive: it costs the
/// client a packet. `None` when the client has left, or says nothing more.
pub async fn look<T>(
    stream: &TcpStream,
    space: &mut [u8],
    judge: impl Fn(&[u8]) -> Option<T>,
) -> Option<T> {
    loop {
        let ready = stream.ready(Interest::READABLE).await.ok()?;
        let looked = stream.try_io(Interest::READABLE, || {
            let (count, _) = recv(stream, &mut *space, RecvFlags::PEEK)?;
            if count == 0 {
                return Ok(None);
            }
            // Said to be not ready, it is waited for again: else what lies there would wake us at once.
            judge(&space[..count]).map(Some).ok_or_else(|| io::ErrorKind::WouldBlock.into())
        });
        match looked {
            Ok(known) => return known,
            Err(error) if error.kind() != io::ErrorKind::WouldBlock => return None,
            // Nothing follows.
            Err(_) if ready.is_read_closed() => return None,
            Err(_) => (),
        }
    }
}

/// Which protocol the client speaks, by the first bytes of HTTP/2's preface (RFC 9113 §3.4).
/// hyper's own detection waits for them without a limit. `None` when the client has left.
pub async fn sniff(stream: &TcpStream) -> Option<Version> {
    const PREFACE: &[u8; 3] = b"PRI";
    look(stream, &mut [0; 3], |first| {
        if first == PREFACE {
            Some(Version::HTTP_2)
        } else if PREFACE.starts_with(first) {
            None
        } else {
            Some(Version::HTTP_11)
        }
    })
    .await
}

#[cfg(test)]
mod tests {
    use std::{
        sync::atomic::{AtomicUsize, Ordering},
        time::Duration,
    };

    use tokio::{
        io::AsyncWriteExt as _,
        net::TcpListener,
        time::{sleep, timeout},
    };

    use super::*;

    async fn pair() -> (TcpStream, TcpStream) {
        let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
        let client = TcpStream::connect(listener.local_addr().unwrap());
        let (client, accepted) = tokio::join!(client, listener.accept());
        let client = client.unwrap();
        client.set_nodelay(true).unwrap();
        (client, accepted.unwrap().0)
    }

    #[tokio::test]
    async fn what_lies_there_is_looked_at_once() {
        let (mut client, server) = pair().await;
        let looks = AtomicUsize::new(0);
        let mut space = [0; 3];
        let known = look(&server, &mut space, |bytes| {
            looks.fetch_add(1, Ordering::Relaxed);
            (bytes.len() == 3).then_some(())
        });
        let writing = async {
            for byte in [b"P", b"R", b"I"] {
                client.write_all(byte).await.unwrap();
                sleep(Duration::from_millis(300)).await;
            }
        };
        let (known, ()) = tokio::join!(known, writing);

        assert_eq!(known, Some(()));
        assert!(looks.load(Ordering::Relaxed) <= 6, "{looks:?} looks at three bytes");
    }

    #[tokio::test]
    async fn who_says_no_more_is_not_waited_for() {
        for text in ["", "P", "PR"] {
            let (mut client, server) = pair().await;
            client.write_all(text.as_bytes()).await.unwrap();
            client.shutdown().await.unwrap();
            let sniffed = timeout(Duration::from_secs(5), sniff(&server)).await;
            assert_eq!(sniffed, Ok(None), "{text:?}");
        }
    }

    #[tokio::test]
    async fn both_versions_are_known_by_their_first_bytes() {
        for (pieces, version) in [
            (&["GET / "][..], Version::HTTP_11),
            (&["PRI * HTTP/2.0"], Version::HTTP_2),
            (&["P", "R", "I"], Version::HTTP_2),
            (&["P", "OST"], Version::HTTP_11),
        ] {
            let (mut client, server) = pair().await;
            let writing = async {
                for piece in pieces {
                    client.write_all(piece.as_bytes()).await.unwrap();
                    sleep(Duration::from_millis(20)).await;
                }
            };
            let (sniffed, ()) =
                tokio::join!(timeout(Duration::from_secs(5), sniff(&server)), writing);
            assert_eq!(sniffed, Ok(Some(version)), "{pieces:?}");
        }
    }
}
