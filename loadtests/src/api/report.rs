//! What a measure found, for people or for machines.

use serde_json::{Map, Value};

use crate::stats::Latencies;

/// Named figures, in the order in which they are shown.
#[derive(Debug)]
pub(crate) struct Report {
    figures: Vec<(&'static str, Value)>,
}

impl Report {
    /// A report of `what`.
    pub(crate) fn new(what: &str) -> Self {
        Self { figures: vec![("measure", what.into())] }
    }

    /// The same, with one more figure.
    pub(crate) fn with(mut self, name: &'static str, figure: impl Into<Value>) -> Self {
        self.figures.push((name, figure.into()));
        self
    }

    /// The same, with the usual quantiles, in milliseconds.
    pub(crate) fn with_latencies(self, latencies: &Latencies) -> Self {
        self.with("p50_ms", latencies.millis(0.5))
            .with("p95_ms", latencies.millis(0.95))
            .with("p99_ms", latencies.millis(0.99))
    }

    /// Prints a table of one line, or one JSON object.
    pub(crate) fn print(&self, json: bool) {
        println!("{}", if json { self.json() } else { self.table() });
    }

    fn json(&self) -> String {
        let members =
            self.figures.iter().map(|(name, figure)| ((*name).to_owned(), figure.clone()));
        Value::Object(members.collect::<Map<_, _>>()).to_string()
    }

    fn table(&self) -> String {
        let columns: Vec<[String; 3]> =
            self.figures.iter().map(|(name, figure)| column(name, figure)).collect();
        [0, 1, 2]
            .map(|line| {
                let cells: Vec<&str> = columns.iter().map(|cells| cells[line].as_str()).collect();
                format!("| {} |", cells.join(" | "))
            })
            .join("\n")
    }
}

/// Name, rule and figure, equally wide.
fn column(name: &str, figure: &Value) -> [String; 3] {
    let figure = figure.as_str().map_or_else(|| figure.to_string(), str::to_owned);
    let width = name.len().max(figure.len());
    [format!("{name:width$}"), "-".repeat(width), format!("{figure:width$}")]
}

/// How many in a second, to a tenth.
#[expect(clippy::cast_precision_loss, reason = "a rate needs no more digits")]
pub(crate) fn rate(count: u64, elapsed: std::time::Duration) -> f64 {
    (count as f64 / elapsed.as_secs_f64() * 10.0).round() / 10.0
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_table_is_as_wide_as_its_widest_cells() {
        let report = Report::new("get").with("connections", 1).with("per_second", 123_456.7);

        let expected = "| measure | connections | per_second |\n\
                        | ------- | ----------- | ---------- |\n\
                        | get     | 1           | 123456.7   |";
        assert_eq!(report.table(), expected);
    }
}
