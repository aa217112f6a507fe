//! Where results go: the table, files, and the exit code.

use std::{fs, path::Path};

use super::{
    arguments::{Output, ReportArguments},
    html,
    outcome::Outcome,
    table,
};
use crate::failure::Failure;

/// Prints the table, writes what was asked for, and judges.
///
/// # Errors
///
/// [`Failure::Failed`] when a body was not what was signed, when time went back, or when nothing was
/// answered; [`Failure::Usage`] when a file cannot be written.
pub(crate) fn deliver(output: &Output, outcomes: &[Outcome]) -> Result<(), Failure> {
    print!("{}", table::render(outcomes));
    if let Some(path) = &output.json {
        let text = serde_json::to_string_pretty(outcomes)
            .map_err(|error| Failure::failed(error.to_string()))?;
        write(path, &text)?;
    }
    if let Some(path) = &output.html {
        write(path, &html::page(outcomes, ""))?;
    }
    judge(outcomes)
}

/// Makes one report of several results.
///
/// # Errors
///
/// [`Failure::Usage`] when a file cannot be read or written.
pub(crate) fn merge(arguments: &ReportArguments) -> Result<(), Failure> {
    let mut all = Vec::new();
    for path in &arguments.results {
        let wrong =
            |error: &dyn std::fmt::Display| Failure::Usage(format!("{}: {error}", path.display()));
        let text = fs::read(path).map_err(|error| wrong(&error))?;
        let outcomes: Vec<Outcome> =
            serde_json::from_slice(&text).map_err(|error| wrong(&error))?;
        all.extend(outcomes);
    }
    write(&arguments.html, &html::page(&all, &arguments.note))
}

fn write(path: &Path, text: &str) -> Result<(), Failure> {
    fs::write(path, text).map_err(|error| Failure::Usage(format!("{}: {error}", path.display())))
}

fn judge(outcomes: &[Outcome]) -> Result<(), Failure> {
    for outcome in outcomes {
        let who = format!("{} of {}", outcome.scenario, outcome.server);
        if outcome.answered == 0 {
            return Err(Failure::Failed(format!("{who}: nothing was answered")));
        }
        let broken = outcome.checks.broken();
        if let Some(first) = outcome.checks.violations.first() {
            let text = format!("{who}: {broken} answers no client would believe; first: {first}");
            return Err(Failure::Failed(text));
        }
    }
    Ok(())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_violation_fails_the_run() {
        let good = Outcome { answered: 1, ..Outcome::default() };
        assert!(judge(std::slice::from_ref(&good)).is_ok());
        let mut bad = good.clone();
        bad.checks.violations.push("no signature is good".to_owned());
        assert_eq!(judge(&[good, bad]).unwrap_err().exit_code(), 1);
        assert!(judge(&[Outcome::default()]).is_err(), "nothing was answered");
    }
}
