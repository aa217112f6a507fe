//! Line charts as SVG, without a script: colours are classes of the page's style sheet.

use std::fmt::Write as _;

use super::svg::{Axis, escape};

const WIDTH: f64 = 480.0;
const HEIGHT: f64 = 272.0;
const LEFT: f64 = 60.0;
const RIGHT: f64 = 24.0;
const TOP: f64 = 14.0;
const BOTTOM: f64 = 44.0;
/// With more points than these, single ones are not marked.
const MARKED: usize = 90;
/// The style sheet has so many colours.
pub(crate) const COLOURS: usize = 6;

/// A chart.
#[derive(Debug)]
pub(crate) struct Chart {
    /// What it shows.
    pub(crate) title: String,
    /// The horizontal axis.
    pub(crate) x: Axis,
    /// The vertical axis.
    pub(crate) y: Axis,
    /// The lines, later ones on top.
    pub(crate) lines: Vec<Line>,
}

/// A line.
#[derive(Debug)]
pub(crate) struct Line {
    /// What it shows.
    pub(crate) name: String,
    /// The number of its colour.
    pub(crate) colour: usize,
    /// It is an accompaniment: thin and dashed.
    pub(crate) is_faint: bool,
    /// Its points, from left to right; what is no number interrupts it.
    pub(crate) points: Vec<(f64, f64)>,
}

impl Chart {
    /// The chart as a `<figure>`.
    pub(crate) fn render(&self) -> String {
        let mut out = String::new();
        let title = escape(&self.title);
        let _ = write!(
            out,
            "<figure><figcaption>{title}</figcaption>\
             <svg viewBox=\"0 0 {WIDTH} {HEIGHT}\" role=\"img\" aria-label=\"{title}\">"
        );
        self.draw_axes(&mut out);
        for line in &self.lines {
            self.draw_line(&mut out, line);
        }
        out.push_str("</svg></figure>\n");
        out
    }

    fn draw_axes(&self, out: &mut String) {
        let (right, bottom) = (WIDTH - RIGHT, HEIGHT - BOTTOM);
        for (value, text) in &self.y.ticks {
            let y = self.y_of(*value);
            let _ = write!(
                out,
                "<line class=\"grid\" x1=\"{LEFT}\" y1=\"{y:.1}\" x2=\"{right}\" y2=\"{y:.1}\"/>\
                 <text class=\"tick\" x=\"{:.1}\" y=\"{:.1}\" text-anchor=\"end\">{}</text>",
                LEFT - 8.0,
                y + 4.0,
                escape(text)
            );
        }
        for (value, text) in &self.x.ticks {
            let x = self.x_of(*value);
            let _ = write!(
                out,
                "<line class=\"grid\" x1=\"{x:.1}\" y1=\"{TOP}\" x2=\"{x:.1}\" y2=\"{bottom}\"/>\
                 <text class=\"tick\" x=\"{x:.1}\" y=\"{:.1}\" text-anchor=\"middle\">{}</text>",
                bottom + 17.0,
                escape(text)
            );
        }
        let middle = f64::midpoint(TOP, bottom);
        let _ = write!(
            out,
            "<line class=\"axis\" x1=\"{LEFT}\" y1=\"{bottom}\" x2=\"{right}\" y2=\"{bottom}\"/>\
             <text class=\"label\" x=\"{:.1}\" y=\"{:.1}\" text-anchor=\"middle\">{}</text>\
             <text class=\"label\" transform=\"translate(13 {middle:.1}) rotate(-90)\" \
             text-anchor=\"middle\">{}</text>",
            f64::midpoint(LEFT, right),
            HEIGHT - 8.0,
            escape(&self.x.label),
            escape(&self.y.label)
        );
    }

    fn draw_line(&self, out: &mut String, line: &Line) {
        let colour = line.colour % COLOURS;
        let faint = if line.is_faint { " faint" } else { "" };
        let name = escape(&line.name);
        let _ = write!(out, "<g class=\"c{colour}{faint}\">");
        let mut path = String::new();
        let mut is_drawing = false;
        for (x, y) in &line.points {
            if !x.is_finite() || !y.is_finite() {
                is_drawing = false;
                continue;
            }
            let command = if is_drawing { 'L' } else { 'M' };
            let _ = write!(path, "{command}{:.1} {:.1}", self.x_of(*x), self.y_of(*y));
            is_drawing = true;
        }
        if !path.is_empty() {
            let _ = write!(out, "<path d=\"{path}\"><title>{name}</title></path>");
        }
        if !line.is_faint && line.points.len() <= MARKED {
            self.draw_marks(out, line, &name);
        }
        out.push_str("</g>");
    }

    fn draw_marks(&self, out: &mut String, line: &Line, name: &str) {
        let points = line.points.iter().filter(|(x, y)| x.is_finite() && y.is_finite());
        for (x, y) in points {
            let _ = write!(
                out,
                "<circle cx=\"{:.1}\" cy=\"{:.1}\" r=\"2.4\"><title>{name}: {}</title></circle>",
                self.x_of(*x),
                self.y_of(*y),
                super::svg::number(*y)
            );
        }
    }

    fn x_of(&self, value: f64) -> f64 {
        LEFT + self.x.place(value) * (WIDTH - LEFT - RIGHT)
    }

    fn y_of(&self, value: f64) -> f64 {
        HEIGHT - BOTTOM - self.y.place(value) * (HEIGHT - TOP - BOTTOM)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_chart_is_well_formed_whatever_names_hold_and_gaps_are_gaps() {
        let name = "<b>\"&'".to_owned();
        let points = vec![(0.0, 1.0), (1.0, f64::NAN), (2.0, 3.0), (3.0, 4.0)];
        let chart = Chart {
            title: name.clone(),
            x: Axis::linear(&name, [3.0].into_iter()),
            y: Axis::log(&name, [1.0, 4.0].into_iter()),
            lines: vec![Line { name: name.clone(), colour: 7, is_faint: false, points }],
        };
        let svg = chart.render();
        assert!(!svg.contains("<b>") && !svg.contains("NaN"), "{svg}");
        assert!(svg.contains("&lt;b&gt;&quot;&amp;&#39;"));
        let path = svg.split("<path d=\"").nth(1).unwrap().split('"').next().unwrap();
        assert_eq!((path.matches('M').count(), path.matches('L').count()), (2, 1), "{path}");
        for tag in ["figure", "svg", "g", "title", "text", "path"] {
            let opened =
                svg.matches(&format!("<{tag}>")).count() + svg.matches(&format!("<{tag} ")).count();
            assert_eq!(opened, svg.matches(&format!("</{tag}>")).count(), "{tag}");
        }
    }
}
