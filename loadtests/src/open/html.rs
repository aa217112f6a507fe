//! The report: one page that needs nothing but itself.

use std::fmt::Write as _;

use super::{
    chart::{COLOURS, Chart, Line},
    histogram::as_float,
    outcome::{Outcome, Row},
    svg::{Axis, escape, number},
    table,
};

const STYLE: &str = include_str!("report.css");

/// A page with a section for each scenario.
pub(crate) fn page(outcomes: &[Outcome], note: &str) -> String {
    let mut out = String::from("<!doctype html>\n<html lang=\"en\"><head><meta charset=\"utf-8\">");
    out.push_str("<meta name=\"viewport\" content=\"width=device-width, initial-scale=1\">");
    out.push_str("<meta name=\"color-scheme\" content=\"light dark\">");
    let _ = write!(out, "<title>Load report</title><style>{STYLE}</style></head>\n<body><main>");
    out.push_str("<h1>Load report</h1>\n");
    if !note.is_empty() {
        let _ = writeln!(out, "<p class=\"note\">{}</p>", escape(note));
    }
    out.push_str(
        "<p class=\"note\">Clients arrive by a schedule that does not wait for the server. A latency \
         begins when its client was to come, so that whoever had to queue is not forgotten.</p>\n",
    );
    for group in outcomes.chunk_by(|a, b| a.scenario == b.scenario) {
        section(&mut out, group);
    }
    out.push_str("</main></body></html>\n");
    out
}

fn section(out: &mut String, group: &[Outcome]) {
    let Some(first) = group.first() else { return };
    let headline = table::headline(first);
    let (name, load) = headline.split_once(": ").unwrap_or((&headline, ""));
    let _ = writeln!(out, "<section><h2>{} <small>{}</small></h2>", escape(name), escape(load));
    legend(out, group);
    let charts = [percentiles(group), throughput(group), over_time(group)];
    out.push_str("<div class=\"charts\">\n");
    for chart in charts.into_iter().flatten() {
        out.push_str(&chart.render());
    }
    out.push_str("</div>\n");
    rows(out, group);
    remarks(out, group);
    out.push_str("</section>\n");
}

fn legend(out: &mut String, group: &[Outcome]) {
    out.push_str("<ul class=\"legend\">");
    for (number, outcome) in group.iter().enumerate() {
        let colour = number % COLOURS;
        let _ = write!(out, "<li><i class=\"c{colour}\"></i>{}</li>", escape(&outcome.server));
    }
    out.push_str("</ul>\n");
}

/// Latency by percentile: to the right, ever fewer clients saw worse.
fn percentiles(group: &[Outcome]) -> Option<Chart> {
    let nines = |quantile: f64| -(1.0 - quantile).log10();
    let lines: Vec<Line> = group
        .iter()
        .enumerate()
        .map(|(colour, outcome)| Line {
            name: outcome.server.clone(),
            colour,
            is_faint: false,
            points: outcome.curve.iter().map(|(quantile, ms)| (nines(*quantile), *ms)).collect(),
        })
        .collect();
    let ticks = [(0.0, "0"), (nines(0.5), "50"), (1.0, "90"), (2.0, "99"), (3.0, "99.9")];
    let last = (4.0, "99.99");
    let ticks = ticks.into_iter().chain([last]).map(|(at, text)| (at, text.to_owned())).collect();
    let x = Axis::with_ticks("percentile", ticks);
    chart("Latency by percentile", x, Axis::log("ms", values(&lines)), lines)
}

/// Answers by the second, and what was asked for.
fn throughput(group: &[Outcome]) -> Option<Chart> {
    let mut lines = Vec::new();
    for (colour, outcome) in group.iter().enumerate() {
        let offered = whole(outcome).map(|(second, tick)| (second, as_float(tick.offered)));
        let answered = whole(outcome).map(|(second, tick)| (second, as_float(tick.answered)));
        let name = &outcome.server;
        let (offered, answered) = (offered.collect(), answered.collect());
        let asked = format!("{name}: asked for");
        lines.push(Line { name: asked, colour, is_faint: true, points: offered });
        lines.push(Line { name: name.clone(), colour, is_faint: false, points: answered });
    }
    let y = Axis::linear("requests/s", values(&lines));
    chart("Throughput (dashed: asked for)", seconds(group), y, lines)
}

/// Latency by the second in which clients were to come.
fn over_time(group: &[Outcome]) -> Option<Chart> {
    let mut lines = Vec::new();
    for (colour, outcome) in group.iter().enumerate() {
        let of = |quantile: fn(&super::outcome::Tick) -> Option<f64>| {
            whole(outcome).map(|(at, tick)| (at, quantile(tick).unwrap_or(f64::NAN))).collect()
        };
        let (p50, p99) = (of(|tick| tick.p50), of(|tick| tick.p99));
        let name = format!("{} p50", outcome.server);
        lines.push(Line { name, colour, is_faint: true, points: p50 });
        let name = format!("{} p99", outcome.server);
        lines.push(Line { name, colour, is_faint: false, points: p99 });
    }
    let y = Axis::log("ms", values(&lines));
    chart("Latency over time (p99; dashed: p50)", seconds(group), y, lines)
}

/// None where there is nothing to draw.
fn chart(title: &str, x: Axis, y: Axis, lines: Vec<Line>) -> Option<Chart> {
    let has_points = lines.iter().any(|line| !line.points.is_empty());
    has_points.then(|| Chart { title: title.to_owned(), x, y, lines })
}

/// The seconds in which clients came, and those in which the last were served; the second that a run
/// ends in is a part of one, and left out when there is nothing in it but leftovers.
fn whole(outcome: &Outcome) -> impl Iterator<Item = (f64, &super::outcome::Tick)> {
    let ends = outcome.seconds;
    let ticks = outcome.timeline.iter().enumerate();
    let ticks = ticks.map(|(number, tick)| (as_float(number as u64), tick));
    ticks.filter(move |(second, tick)| *second + 1.0 <= ends || tick.answered > 20)
}

fn seconds(group: &[Outcome]) -> Axis {
    let last = group.iter().map(|outcome| as_float(outcome.timeline.len() as u64));
    Axis::linear("second", last.map(|count| (count - 1.0).max(1.0)))
}

fn values(lines: &[Line]) -> impl Iterator<Item = f64> + Clone + '_ {
    lines.iter().flat_map(|line| line.points.iter().map(|(_, value)| *value))
}

fn rows(out: &mut String, group: &[Outcome]) {
    out.push_str("<div class=\"wide\"><table><thead><tr>");
    for head in ["server", "what", "count", "requests/s", "p50", "p90", "p99", "p99.9", "max"] {
        let _ = write!(out, "<th>{head}</th>");
    }
    out.push_str("</tr></thead><tbody>\n");
    for (colour, outcome) in group.iter().enumerate() {
        for (index, row) in outcome.rows.iter().enumerate() {
            let is_first = index == 0;
            let server = if is_first {
                let colour = colour % COLOURS;
                format!("<i class=\"c{colour}\"></i>{}", escape(&outcome.server))
            } else {
                String::new()
            };
            let per_second = is_first.then(|| format!("{:.0}", outcome.throughput));
            let class = if is_first { " class=\"first\"" } else { "" };
            let _ = write!(out, "<tr{class}><td>{server}</td>");
            cells(out, row, &per_second.unwrap_or_default());
        }
    }
    out.push_str("</tbody></table></div>\n<p class=\"unit\">Latencies in milliseconds.</p>\n");
}

fn cells(out: &mut String, row: &Row, per_second: &str) {
    let _ = write!(out, "<td>{}</td>", escape(&row.name));
    let _ = write!(out, "<td class=\"n\">{}</td><td class=\"n\">{per_second}</td>", row.count);
    for millis in [row.p50, row.p90, row.p99, row.p999, row.max] {
        let _ = write!(out, "<td class=\"n\">{}</td>", number(millis));
    }
    out.push_str("</tr>\n");
}

fn remarks(out: &mut String, group: &[Outcome]) {
    out.push_str("<details><summary>Answers, schedule, checks</summary><dl>\n");
    for outcome in group {
        let _ = write!(out, "<dt>{}</dt>", escape(&outcome.server));
        for remark in table::remarks(outcome) {
            let is_bad = ["FAILED", "NOT KEPT", "NEVER", "VIOLATIONS"]
                .iter()
                .any(|word| remark.contains(word));
            let class = if is_bad { " class=\"bad\"" } else { "" };
            let _ = writeln!(out, "<dd{class}>{}</dd>", escape(&remark));
        }
    }
    out.push_str("</dl></details>\n");
}

#[cfg(test)]
mod tests {
    use super::{super::outcome::Tick, *};

    #[test]
    fn a_page_needs_nothing_else_and_names_stay_text() {
        let tick = Tick { offered: 9, answered: 9, failed: 0, p50: Some(1.0), p99: None };
        let outcome = Outcome {
            scenario: "fleet".to_owned(),
            server: "<script>x</script>".to_owned(),
            connections: 1,
            seconds: 2.0,
            curve: vec![(0.0, 0.1), (0.5, 0.2), (0.9, 30.0)],
            timeline: vec![tick.clone(), tick],
            rows: vec![Row { name: "all".to_owned(), ..Row::default() }],
            ..Outcome::default()
        };
        let page = page(&[outcome.clone(), outcome], "<i>");
        assert!(!page.contains("<script") && !page.contains("://"), "{page}");
        assert_eq!(page.matches("<svg ").count(), 3);
        assert_eq!(page.matches("<section>").count(), 1);
    }
}
