//! `proxy`: the fault proxy, for people.

use std::net::SocketAddr;

use loadtests::proxy::{Proxy, Target};
use tokio::io::{AsyncBufReadExt as _, BufReader, stdin};

use crate::{cli::ProxyArguments, failure::Failure};

/// Passes connections on, and does what the lines of the standard input say, until its end.
///
/// # Errors
///
/// [`Failure`] when the port is taken, or the target is elsewhere than on this machine.
pub(crate) async fn run(arguments: &ProxyArguments) -> Result<(), Failure> {
    let target = target(&arguments.to)?;
    let started = Proxy::start(arguments.port, target).await;
    let proxy = started.map_err(|error| Failure::Unavailable(error.to_string()))?;
    println!("{}", proxy.address);
    let mut lines = BufReader::new(stdin()).lines();
    while let Ok(Some(line)) = lines.next_line().await {
        if let Err(unknown) = proxy.command(&line) {
            eprintln!("unknown: {unknown}");
        }
    }
    Ok(())
}

fn target(text: &str) -> Result<Target, Failure> {
    if text.starts_with('/') {
        return Ok(Target::Unix(text.into()));
    }
    let address: Option<SocketAddr> = text.parse().ok();
    let loopback = address.filter(|address| address.ip().is_loopback());
    let expected =
        || Failure::Usage(format!("{text}: should be 127.0.0.1:PORT or a socket's path"));
    loopback.map(Target::Tcp).ok_or_else(expected)
}
