//! `bare`: a server that does nothing but read and send, with the system calls of a reader.
//!
//! It looks at no byte that it reads, keeps no time and counts nothing. What it reaches is what the
//! kernel, and the client, leave to any server on the machine: the floor beside which a reader is
//! measured. For clients that wait for each answer.

use std::{
    convert::Infallible,
    fs::File,
    io::{self, IoSlice, Write as _},
    net::{Ipv4Addr, TcpListener, TcpStream},
    os::fd::{AsFd as _, AsRawFd},
    path::Path,
};

use rustix::{
    buffer::spare_capacity,
    event::epoll::{self, CreateFlags, EventData, EventFlags},
    fs::{MemfdFlags, memfd_create, sendfile},
    net::{
        RecvFlags, SendAncillaryBuffer, SendFlags, recv, sendmsg,
        sockopt::set_socket_send_buffer_size,
    },
};

use crate::{cli::BareArguments, failure::Failure};

/// From this length on, a body is sent from a file in memory; as in readers.
const FILE_BYTES: usize = 8 * 1024;
/// As readers ask for.
const SEND_BUFFER: usize = 208 * 1024;

/// Answers until it is ended.
///
/// # Errors
///
/// When a file cannot be read, or the system refuses something.
pub(crate) fn run(arguments: &BareArguments) -> Result<(), Failure> {
    let read = |path: &Path| {
        std::fs::read(path).map_err(|error| Failure::Usage(format!("{}: {error}", path.display())))
    };
    let answer = Answer::new(read(&arguments.head)?, read(&arguments.body)?);
    let listener = TcpListener::bind((Ipv4Addr::LOCALHOST, arguments.port));
    let Err(error) = answer.and_then(|answer| serve(&listener?, &answer));
    Err(Failure::failed(error.to_string()))
}

/// The same for everybody.
struct Answer {
    head: Vec<u8>,
    body: Vec<u8>,
    file: Option<File>,
}

/// A client, and how much of the answer under way it has got.
struct Connection {
    stream: TcpStream,
    sent: Option<usize>,
}

fn serve(listener: &TcpListener, answer: &Answer) -> io::Result<Infallible> {
    let waiting = epoll::create(CreateFlags::CLOEXEC)?;
    epoll::add(&waiting, listener, data(listener), EventFlags::IN)?;
    let mut connections: Vec<Option<Connection>> = Vec::new();
    let mut events = Vec::with_capacity(1_024);
    loop {
        epoll::wait(&waiting, spare_capacity(&mut events), None)?;
        for event in events.drain(..) {
            let number = usize::try_from(event.data.u64()).unwrap_or_default();
            if event.data.u64() == data(listener).u64() {
                let stream = accept(listener)?;
                let number = usize::try_from(data(&stream).u64()).unwrap_or_default();
                let flags = EventFlags::IN | EventFlags::OUT | EventFlags::ET;
                epoll::add(&waiting, &stream, data(&stream), flags)?;
                connections.resize_with(connections.len().max(number + 1), || None);
                connections[number] = Some(Connection { stream, sent: None });
            } else if let Some(place) = connections.get_mut(number)
                && let Some(connection) = place
                && connection.go_on(answer).is_err()
            {
                *place = None;
            }
        }
    }
}

fn accept(listener: &TcpListener) -> io::Result<TcpStream> {
    let (stream, _) = listener.accept()?;
    stream.set_nonblocking(true)?;
    stream.set_nodelay(true)?;
    set_socket_send_buffer_size(&stream, SEND_BUFFER)?;
    Ok(stream)
}

/// Descriptors are small numbers, and no two are alike.
fn data(socket: &impl AsRawFd) -> EventData {
    EventData::new_u64(socket.as_raw_fd().unsigned_abs().into())
}

impl Connection {
    /// Does what can be done now. An error is the end.
    fn go_on(&mut self, answer: &Answer) -> io::Result<()> {
        let mut sent = match self.sent {
            Some(sent) => sent,
            None => match recv(&self.stream, &mut [0; 2_048], RecvFlags::empty()) {
                Ok((0, _)) => return Err(io::ErrorKind::UnexpectedEof.into()),
                Ok(_) => 0,
                Err(rustix::io::Errno::AGAIN) => return Ok(()),
                Err(error) => return Err(error.into()),
            },
        };
        self.sent = loop {
            if sent == answer.length() {
                break None;
            }
            match answer.send(&self.stream, sent) {
                Ok(count) => sent += count,
                Err(rustix::io::Errno::AGAIN) => break Some(sent),
                Err(error) => return Err(error.into()),
            }
        };
        Ok(())
    }
}

impl Answer {
    fn new(head: Vec<u8>, body: Vec<u8>) -> io::Result<Self> {
        let file = if body.len() < FILE_BYTES {
            None
        } else {
            let mut file = File::from(memfd_create("bare", MemfdFlags::CLOEXEC)?);
            file.write_all(&body)?;
            Some(file)
        };
        Ok(Self { head, body, file })
    }

    fn length(&self) -> usize {
        self.head.len() + self.body.len()
    }

    /// Sends what follows the first `sent` bytes, as much of it as one call takes.
    fn send(&self, stream: &TcpStream, sent: usize) -> rustix::io::Result<usize> {
        let (head, of_body) = match sent.checked_sub(self.head.len()) {
            Some(of_body) => (&[][..], of_body),
            None => (&self.head[sent..], 0),
        };
        let mut no_control = SendAncillaryBuffer::default();
        let mut message = |parts: &[IoSlice<'_>], flags| {
            sendmsg(stream.as_fd(), parts, &mut no_control, flags | SendFlags::NOSIGNAL)
        };
        match &self.file {
            Some(_) if !head.is_empty() => message(&[IoSlice::new(head)], SendFlags::MORE),
            Some(file) => {
                let mut offset = of_body as u64;
                sendfile(stream, file, Some(&mut offset), self.body.len() - of_body)
            }
            None => {
                let parts = [IoSlice::new(head), IoSlice::new(&self.body[of_body..])];
                message(&parts, SendFlags::empty())
            }
        }
    }
}

#[cfg(test)]
mod tests {
    use std::{io::Read as _, thread};

    use super::*;

    #[test]
    fn each_request_is_answered_with_the_same_bytes() {
        for length in [10, FILE_BYTES, 4 * SEND_BUFFER] {
            let (head, body) = (b"HTTP/1.1 200 OK\r\n\r\n".to_vec(), vec![b'x'; length]);
            let expected = [head.clone(), body.clone()].concat();
            let answer = Answer::new(head, body).unwrap();
            let listener = TcpListener::bind((Ipv4Addr::LOCALHOST, 0)).unwrap();
            let address = listener.local_addr().unwrap();
            thread::spawn(move || serve(&listener, &answer));

            let mut client = TcpStream::connect(address).unwrap();
            for _ in 0..3 {
                client.write_all(b"GET / HTTP/1.1\r\n\r\n").unwrap();
                let mut read = vec![0; expected.len()];
                client.read_exact(&mut read).unwrap();
                assert!(read == expected, "{length}");
            }
        }
    }
}
