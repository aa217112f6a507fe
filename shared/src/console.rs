//! What commands print. A reader of the output may leave before its end (`… | head`), which is no
//! failure of the command, and no reason to leave work undone: the macros of the standard library
//! would panic.

use std::{
    fmt::Display,
    io::{self, ErrorKind, Write as _},
};

/// Prints lines to the standard output, up to its end or until nobody reads it any more.
///
/// # Errors
///
/// What else goes wrong, as a full disk.
pub fn print(lines: impl IntoIterator<Item = impl Display>) -> io::Result<()> {
    let mut output = io::stdout().lock();
    let written = lines
        .into_iter()
        .try_for_each(|line| writeln!(output, "{line}"))
        .and_then(|()| output.flush());
    match written {
        Err(error) if error.kind() == ErrorKind::BrokenPipe => Ok(()),
        other => other,
    }
}

/// Prints a line to the standard error, if somebody reads it: there is no other place to complain.
pub fn complain(line: impl Display) {
    let _ = writeln!(io::stderr(), "{line}");
}
