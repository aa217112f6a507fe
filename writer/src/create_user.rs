//! `countersign-writer create-user` (`kinto-http-api.md` §5.3.10).

use std::{
    io::{BufRead, IsTerminal as _, Write as _},
    path::Path,
};

use shared::{
    console::{complain, print},
    error::ApiError,
    model::Id,
};
use writer::{
    app::App,
    config::{Config, Plugin},
    operations,
};

use crate::{Failure, READ_ONLY, check_schema, layers};

/// Kinto's exit codes.
const NOT_SWITCHED_ON: u8 = 52;
const ABORTED: u8 = 53;

/// Makes the account, or gives it a new password.
///
/// # Errors
///
/// What went wrong, with its exit code.
pub(crate) async fn run(
    file: Option<&Path>,
    username: Option<String>,
    password: Option<String>,
) -> Result<(), Failure> {
    let config = Config::read(&mut layers(file, None)).map_err(Failure::configuration)?;
    if config.service.readonly {
        return Err(Failure(READ_ONLY, "the service is read-only (readonly)".to_owned()));
    }
    if !config.plugins.has(Plugin::Accounts) {
        let text = "accounts are not switched on: includes lacks kinto.plugins.accounts";
        return Err(Failure(NOT_SWITCHED_ON, text.to_owned()));
    }
    let app = App::new(config).map_err(Failure::configuration)?;
    check_schema(&app).await?;
    let mut input = std::io::stdin().lock();
    let id = username_from(username, &mut input)?;
    let password = password_from(password, &mut input)?;
    drop(input);
    operations::create_user(&app, id.clone(), &password).await.map_err(told)?;
    print([format!("account {id}: its password is set")]).map_err(Failure::other)
}

fn told(error: ApiError) -> Failure {
    let text = error.body()["message"].as_str().unwrap_or("failed").to_owned();
    if let ApiError::Backend(source) = error {
        return Failure::unavailable(source);
    }
    Failure::other(text)
}

/// A name that was given must be good; one that is typed may be typed again.
fn username_from(given: Option<String>, input: &mut impl BufRead) -> Result<Id, Failure> {
    let refusal = "a name begins with a letter or digit, and has only those and + . @ _ -";
    if let Some(name) = given {
        return Id::account(&name).map_err(|_| Failure::other(format!("{name}: {refusal}")));
    }
    loop {
        match Id::account(&ask("User name: ", input)?) {
            Ok(id) => return Ok(id),
            Err(_) => complain(refusal),
        }
    }
}

/// A password is typed once: it is shown while it is typed.
fn password_from(given: Option<String>, input: &mut impl BufRead) -> Result<String, Failure> {
    match given {
        Some(password) if !password.is_empty() => Ok(password),
        Some(_) => Err(Failure::other("an empty password")),
        None => loop {
            let password = ask("Password (shown as typed): ", input)?;
            if !password.is_empty() {
                return Ok(password);
            }
        },
    }
}

fn ask(prompt: &str, input: &mut impl BufRead) -> Result<String, Failure> {
    if std::io::stdin().is_terminal() {
        let _ = write!(std::io::stderr(), "{prompt}");
    }
    let mut line = String::new();
    match input.read_line(&mut line) {
        Ok(0) => Err(Failure(ABORTED, "aborted".to_owned())),
        Ok(_) => Ok(line.trim_end_matches(['\r', '\n']).to_owned()),
        Err(error) => Err(Failure::other(error)),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_is_typed_may_be_typed_again_until_the_input_ends() {
        let mut input = "bad name\nalice\n\ns3cret\r\n".as_bytes();
        assert_eq!(username_from(None, &mut input).ok().unwrap().as_str(), "alice");
        assert_eq!(password_from(None, &mut input).ok().unwrap(), "s3cret");

        let Err(Failure(code, _)) = username_from(None, &mut input) else { panic!("no end") };
        assert_eq!(code, ABORTED);
        let Err(Failure(code, text)) = username_from(Some("a b".to_owned()), &mut input) else {
            panic!("a bad name")
        };
        assert_eq!(code, 1);
        assert!(text.contains("a b"));
    }
}
