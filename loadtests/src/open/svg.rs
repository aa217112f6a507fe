//! Text for HTML and SVG, and how numbers become places and labels. Pure.

use std::fmt::Write as _;

/// Text as content or as a quoted attribute.
pub(crate) fn escape(text: &str) -> String {
    let mut out = String::with_capacity(text.len());
    for character in text.chars() {
        match character {
            '&' => out.push_str("&amp;"),
            '<' => out.push_str("&lt;"),
            '>' => out.push_str("&gt;"),
            '"' => out.push_str("&quot;"),
            '\'' => out.push_str("&#39;"),
            // XML has no way to write these.
            '\t' | '\n' | '\r' => out.push(' '),
            control if control.is_control() => out.push('\u{fffd}'),
            other => out.push(other),
        }
    }
    out
}

/// How values are laid out on an axis.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Scale {
    /// Equal distances are equal differences.
    Linear,
    /// Equal distances are equal ratios; values must be more than zero.
    Log,
}

/// An axis: from which value to which.
#[derive(Debug, Clone)]
pub(crate) struct Axis {
    /// What it shows, with its unit.
    pub(crate) label: String,
    scale: Scale,
    from: f64,
    to: f64,
    /// Values that get a line, and what is written there.
    pub(crate) ticks: Vec<(f64, String)>,
}

impl Axis {
    /// From zero to a little more than the largest value.
    pub(crate) fn linear(label: &str, values: impl Iterator<Item = f64>) -> Self {
        let largest = values.filter(|value| value.is_finite()).fold(0.0, f64::max);
        let step = nice_step(if largest > 0.0 { largest } else { 1.0 });
        let to = (largest / step).ceil().max(1.0) * step;
        let ticks = ticks_of(step, to);
        Self { label: label.to_owned(), scale: Scale::Linear, from: 0.0, to, ticks }
    }

    /// Around all values that are more than zero, in whole steps of 1, 2, 5 and 10.
    pub(crate) fn log(label: &str, values: impl Iterator<Item = f64> + Clone) -> Self {
        let values = values.filter(|value| value.is_finite() && *value > 0.0);
        let smallest = values.clone().fold(f64::INFINITY, f64::min);
        let largest = values.fold(0.0, f64::max);
        let (smallest, largest) = if largest > 0.0 { (smallest, largest) } else { (1.0, 10.0) };
        let steps = log_steps(smallest, largest);
        let (from, to) =
            (steps.first().copied().unwrap_or(1.0), steps.last().copied().unwrap_or(10.0));
        let is_wide = to / from > 100.0;
        let shown = |value: &f64| !is_wide || is_decade(*value);
        let ticks = steps.into_iter().filter(shown).map(|value| (value, number(value))).collect();
        Self { label: label.to_owned(), scale: Scale::Log, from, to, ticks }
    }

    /// With ticks of one's own, from the first to the last.
    pub(crate) fn with_ticks(label: &str, ticks: Vec<(f64, String)>) -> Self {
        let from = ticks.first().map_or(0.0, |tick| tick.0);
        let to = ticks.last().map_or(1.0, |tick| tick.0);
        Self { label: label.to_owned(), scale: Scale::Linear, from, to, ticks }
    }

    /// Where a value is: 0 at the beginning of the axis, 1 at its end.
    pub(crate) fn place(&self, value: f64) -> f64 {
        let at = match self.scale {
            Scale::Linear => (value - self.from) / (self.to - self.from),
            Scale::Log => {
                let value = value.max(f64::MIN_POSITIVE);
                (value / self.from).ln() / (self.to / self.from).ln()
            }
        };
        at.clamp(0.0, 1.0)
    }
}

/// The distance of about five ticks: 1, 2 or 5 times a power of ten.
fn nice_step(largest: f64) -> f64 {
    let rough = largest / 5.0;
    let power = 10_f64.powf(rough.log10().floor());
    let factor = [1.0, 2.0, 5.0, 10.0].into_iter().find(|factor| factor * power >= rough * 0.999);
    factor.unwrap_or(10.0) * power
}

fn ticks_of(step: f64, to: f64) -> Vec<(f64, String)> {
    (0..=20_u32)
        .map(|count| f64::from(count) * step)
        .take_while(|value| *value <= to * 1.001)
        .map(|value| (value, number(value)))
        .collect()
}

/// 1, 2, 5, 10 …, from the last below the smallest to the first above the largest.
fn log_steps(smallest: f64, largest: f64) -> Vec<f64> {
    let mut steps = Vec::new();
    for power in -6..=9 {
        for factor in [1.0, 2.0, 5.0] {
            let value = factor * 10_f64.powi(power);
            if value <= smallest {
                steps.clear();
            }
            steps.push(value);
            if value >= largest && value > smallest {
                return steps;
            }
        }
    }
    steps
}

fn is_decade(value: f64) -> bool {
    let power = value.log10();
    (power - power.round()).abs() < 1e-6
}

/// A number as short as it can be: `0.05`, `1.5`, `20k`.
pub(crate) fn number(value: f64) -> String {
    let (value, unit) = match value.abs() {
        large if large >= 1e6 => (value / 1e6, "M"),
        large if large >= 1e4 => (value / 1e3, "k"),
        _ => (value, ""),
    };
    let mut text = match value.abs() {
        0.0 => "0".to_owned(),
        small if small < 0.1 => format!("{value:.3}"),
        small if small < 10.0 => format!("{value:.2}"),
        small if small < 100.0 => format!("{value:.1}"),
        _ => format!("{value:.0}"),
    };
    if text.contains('.') {
        text.truncate(text.trim_end_matches('0').trim_end_matches('.').len());
    }
    let _ = write!(text, "{unit}");
    text
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    proptest! {
        #[test]
        fn whatever_a_name_holds_it_stays_text(text: String) {
            let escaped = escape(&text);
            prop_assert!(!escaped.contains(['<', '>', '"', '\'']));
            prop_assert!(!escaped.chars().any(char::is_control));
            let entities = ["amp;", "lt;", "gt;", "quot;", "#39;"];
            for (at, _) in escaped.match_indices('&') {
                let rest = &escaped[at + 1..];
                prop_assert!(entities.iter().any(|entity| rest.starts_with(entity)), "{escaped}");
            }
        }

        #[test]
        fn every_value_has_its_place(values in prop::collection::vec(1e-4..1e7_f64, 1..50)) {
            for axis in [
                Axis::linear("x", values.iter().copied()),
                Axis::log("x", values.iter().copied()),
            ] {
                prop_assert!(axis.ticks.len() >= 2 && axis.ticks.len() <= 21, "{axis:?}");
                prop_assert!(axis.from < axis.to);
                for value in &values {
                    prop_assert!(axis.from <= *value && *value <= axis.to * 1.001, "{axis:?}");
                }
            }
        }
    }

    #[test]
    fn what_could_end_an_attribute_or_a_tag_is_escaped() {
        let text = r#"</title><script>alert("x" & 'y')</script>"#;
        let escaped = "&lt;/title&gt;&lt;script&gt;alert(&quot;x&quot; &amp; &#39;y&#39;)\
            &lt;/script&gt;";
        assert_eq!(escape(text), escaped);
        assert_eq!(escape("a\u{0}b\nc"), "a\u{fffd}b c");
    }

    #[test]
    fn numbers_are_short() {
        let cases = [
            (0.0, "0"),
            (0.05, "0.05"),
            (1.5, "1.5"),
            (20.0, "20"),
            (1_000.0, "1000"),
            (20_000.0, "20k"),
            (2.5e6, "2.5M"),
        ];
        for (value, expected) in cases {
            assert_eq!(number(value), expected);
        }
    }

    #[test]
    fn an_axis_without_values_is_an_axis_still() {
        let none = || std::iter::empty::<f64>();
        for axis in [Axis::linear("x", none()), Axis::log("x", none())] {
            assert!(axis.ticks.len() >= 2, "{axis:?}");
            assert!(axis.place(f64::NAN).is_nan() || axis.place(1.0) <= 1.0);
        }
    }
}
