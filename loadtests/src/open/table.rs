//! Results as text.

use std::fmt::Write as _;

use super::outcome::{Outcome, Row};

/// The heads of the columns.
const HEADS: [&str; 9] =
    ["server", "what", "count", "requests/s", "p50 ms", "p90 ms", "p99 ms", "p99.9 ms", "max ms"];

/// A table for each scenario, and what else there is to say of its runs.
pub(crate) fn render(outcomes: &[Outcome]) -> String {
    let mut out = String::new();
    for group in outcomes.chunk_by(|a, b| a.scenario == b.scenario) {
        let Some(first) = group.first() else { continue };
        let _ = writeln!(out, "\n{}\n", headline(first));
        let mut lines = vec![HEADS.map(str::to_owned)];
        for outcome in group {
            lines.extend(outcome.rows.iter().enumerate().map(|(number, row)| {
                let per_second =
                    if number == 0 { format!("{:.0}", outcome.throughput) } else { String::new() };
                let server = if number == 0 { outcome.server.clone() } else { String::new() };
                cells(server, row, per_second)
            }));
        }
        aligned(&mut out, &lines);
        out.push('\n');
        for outcome in group {
            for remark in remarks(outcome) {
                let _ = writeln!(out, "{}: {remark}", outcome.server);
            }
        }
    }
    out
}

/// What was tried.
pub(crate) fn headline(outcome: &Outcome) -> String {
    let Outcome { scenario, rate, seconds, seed, connections, .. } = outcome;
    if *connections == 0 {
        return format!("{scenario}: {} rounds in {seconds:.0} s", outcome.arrivals);
    }
    format!(
        "{scenario}: {rate:.0} clients/s for {seconds:.0} s, {connections} connections, seed {seed}"
    )
}

fn cells(server: String, row: &Row, per_second: String) -> [String; 9] {
    let count = row.count.to_string();
    let [p50, p90, p99, p999, max] =
        [row.p50, row.p90, row.p99, row.p999, row.max].map(|millis| format!("{millis:.2}"));
    [server, row.name.clone(), count, per_second, p50, p90, p99, p999, max]
}

fn aligned(out: &mut String, lines: &[[String; 9]]) {
    let widths: Vec<usize> = (0..HEADS.len())
        .map(|column| lines.iter().map(|line| line[column].chars().count()).max().unwrap_or(0))
        .collect();
    for (number, line) in lines.iter().enumerate() {
        write_line(out, line, &widths);
        if number == 0 {
            write_line(out, &HEADS.map(|_| String::new()), &widths);
        }
    }
}

/// Texts to the left, numbers to the right; a line without any text is the rule below the heads.
fn write_line(out: &mut String, line: &[String; 9], widths: &[usize]) {
    let is_rule = line.iter().all(String::is_empty);
    for (column, (cell, width)) in line.iter().zip(widths).enumerate() {
        let _ = match (is_rule, column < 2) {
            (true, true) => write!(out, "|{:-<1$}", "", width + 2),
            (true, false) => write!(out, "|{:-<1$}:", "", width + 1),
            (false, true) => write!(out, "| {cell:<width$} "),
            (false, false) => write!(out, "| {cell:>width$} "),
        };
    }
    out.push_str("|\n");
}

/// All that a table of latencies does not tell.
pub(crate) fn remarks(outcome: &Outcome) -> Vec<String> {
    let mut remarks = Vec::new();
    if outcome.connections > 0 {
        remarks.push(answers(outcome));
        remarks.push(pace(outcome));
    }
    remarks.extend(checks(outcome));
    remarks.extend(outcome.notes.iter().cloned());
    remarks
}

fn answers(outcome: &Outcome) -> String {
    let answers: Vec<String> =
        outcome.answers.iter().map(|(what, count)| format!("{what}: {count}")).collect();
    let Outcome { arrivals, bytes, .. } = outcome;
    let failed = match outcome.failed {
        0 => String::new(),
        failed => format!(", {failed} FAILED"),
    };
    format!("{arrivals} clients; {}{failed}; {bytes} bytes of bodies", answers.join(", "))
}

fn pace(outcome: &Outcome) -> String {
    let pace = &outcome.pace;
    let verdict = if pace.is_kept() { "kept" } else { "NOT KEPT by the generator itself" };
    let mut text = format!(
        "schedule {verdict}: own lag p99 {:.2} ms, max {:.2} ms, {:.0} % of a CPU, at most {:.0}",
        pace.lag_p99, pace.lag_max, pace.cpu_percent, pace.cpu_peak
    );
    if pace.queued > 0 {
        let _ = write!(text, "; {} clients found no free connection, and waited", pace.queued);
    }
    if pace.abandoned > 0 {
        let _ = write!(text, "; {} clients were NEVER SERVED", pace.abandoned);
    }
    text
}

fn checks(outcome: &Outcome) -> Option<String> {
    let checks = &outcome.checks;
    let mut text = match checks.verified + checks.broken() {
        0 => return None,
        _ => format!("{} bodies verified", checks.verified),
    };
    if checks.skipped > 0 {
        let _ = write!(text, ", {} not looked at", checks.skipped);
    }
    if checks.stale > 0 {
        let _ = write!(text, ", {} of them older than expected", checks.stale);
    }
    if checks.broken() > 0 {
        let _ = write!(text, "; {} VIOLATIONS: {}", checks.broken(), checks.violations.join("; "));
    }
    Some(text)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_table_has_a_line_for_each_kind_and_says_what_went_wrong() {
        let row = |name: &str| Row { name: name.to_owned(), count: 3, p50: 1.0, ..Row::default() };
        let mut outcome = Outcome {
            scenario: "fleet".to_owned(),
            server: "x".to_owned(),
            connections: 2,
            rows: vec![row("all"), row("monitor")],
            failed: 4,
            ..Outcome::default()
        };
        outcome.pace.lag_p99 = 20.0;
        outcome.checks.violations.push("bad".to_owned());
        let text = render(&[outcome]);
        assert_eq!(text.lines().filter(|line| line.starts_with('|')).count(), 4);
        let widths: std::collections::BTreeSet<usize> =
            text.lines().filter(|line| line.starts_with('|')).map(str::len).collect();
        assert_eq!(widths.len(), 1, "{text}");
        for part in ["4 FAILED", "NOT KEPT", "1 VIOLATIONS: bad"] {
            assert!(text.contains(part), "{part}: {text}");
        }
    }
}
