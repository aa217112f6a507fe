//! The first bytes of connections: what waits for the next one costs nothing.

use std::{fs, time::Duration};

use futures_util::future::join_all;
use tokio::{io::AsyncWriteExt as _, net::TcpStream, time::sleep};

use crate::process::Process;

const NOBODY: &str = "postgresql://countersign_reader@127.0.0.1:9/none";
const CONNECTIONS: usize = 500;

/// The time that a process has had of a CPU, in hundredths of a second.
fn cpu(id: u32) -> u64 {
    let stat = fs::read_to_string(format!("/proc/{id}/stat")).unwrap();
    let fields: Vec<&str> = stat.rsplit(") ").next().unwrap().split(' ').collect();
    // Fields 14 and 15 of proc(5), of which two stand before the bracket.
    fields[11].parse::<u64>().unwrap() + fields[12].parse::<u64>().unwrap()
}

/// What a second costs while so many clients have sent `text`, and nothing else.
async fn second(process: &Process, text: &[u8]) -> u64 {
    let open = (0..CONNECTIONS).map(async |_| {
        let mut stream = TcpStream::connect(process.address).await.unwrap();
        stream.write_all(text).await.unwrap();
        stream
    });
    let open = join_all(open).await;
    sleep(Duration::from_millis(500)).await;
    let before = cpu(process.id());
    sleep(Duration::from_secs(1)).await;
    let cost = cpu(process.id()) - before;
    drop(open);
    cost
}

#[tokio::test]
async fn a_byte_that_may_begin_something_costs_no_more_than_another() {
    for (name, settings, texts) in [
        ("plain", "", [&b"P"[..], b"PR"]),
        ("proxy", "http.proxy_protocol = true", [&b"PROXY TCP4 "[..], b"\r\n\r\n"]),
    ] {
        let name = format!("countersign-first-bytes-{}-{name}", std::process::id());
        let directory = std::env::temp_dir().join(name);
        fs::create_dir_all(&directory).unwrap();
        let text = format!("changes.resources = '/buckets/main'\n{settings}");
        fs::write(directory.join("reader.toml"), text).unwrap();
        let process = Process::start(&directory, NOBODY);
        process.listening().await;

        let nothing = second(&process, b"").await;
        for text in texts {
            let cost = second(&process, text).await;
            println!("{CONNECTIONS} times {:?}: {cost}, without: {nothing}", text.escape_ascii());
            assert!(cost <= nothing + 5, "{cost} hundredths of a second, {nothing} for none");
        }
        drop(process);
        fs::remove_dir_all(directory).unwrap();
    }
}
