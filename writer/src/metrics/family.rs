//! One metric and its series, of which there are never more than a fixed number.

use std::{
    collections::HashMap,
    sync::{Mutex, PoisonError},
};

use prometheus::proto::{
    Bucket, Counter, Gauge, Histogram, LabelPair, Metric, MetricFamily, MetricType, Summary,
};

/// Most series of one metric: labels hold ids that clients choose.
pub(super) const MAX_SERIES: usize = 10_000;

/// How a metric's values are kept.
#[derive(Debug, Clone, PartialEq)]
pub(super) enum Kind {
    /// The sum of the values: how often, where each is 1.
    Counter,
    /// How often, and the sum of the values.
    Summary,
    /// Also how many values were at most each of these bounds, which ascend.
    Histogram(Vec<f64>),
}

/// A metric: its series by the values of their labels.
#[derive(Debug)]
pub(super) struct Family {
    name: String,
    help: &'static str,
    labels: Vec<String>,
    kind: Kind,
    series: Mutex<HashMap<Vec<String>, Series>>,
}

#[derive(Debug, Clone)]
struct Series {
    count: u64,
    sum: f64,
    /// How many values were at most each bound, and above the one before.
    buckets: Vec<u64>,
    /// Seconds since the epoch.
    began: f64,
}

impl Family {
    /// A metric without series yet. A counter's name does not end in `_total`, which is added.
    pub(super) fn new(name: String, help: &'static str, labels: Vec<String>, kind: Kind) -> Self {
        Self { name, help, labels, kind, series: Mutex::default() }
    }

    /// Counts `value` in the series with these label values; once there are [`MAX_SERIES`], in the
    /// one of `otherwise`. `now` is in seconds since the epoch.
    pub(super) fn observe(
        &self,
        values: Vec<String>,
        otherwise: Vec<String>,
        value: f64,
        now: f64,
    ) {
        let mut series = self.series.lock().unwrap_or_else(PoisonError::into_inner);
        let is_full = series.len() >= MAX_SERIES && !series.contains_key(&values);
        let bounds: &[f64] = match &self.kind {
            Kind::Histogram(bounds) => bounds,
            Kind::Counter | Kind::Summary => &[],
        };
        let one = series.entry(if is_full { otherwise } else { values }).or_insert_with(|| {
            Series { count: 0, sum: 0.0, buckets: vec![0; bounds.len()], began: now }
        });
        one.count += 1;
        one.sum += value;
        let bucket = bounds.iter().position(|bound| value <= *bound);
        if let Some(count) = bucket.and_then(|index| one.buckets.get_mut(index)) {
            *count += 1;
        }
    }

    /// The series as Prometheus' encoder takes them: none when there is none. With `created`,
    /// also when each began.
    pub(super) fn collect(&self, created: bool) -> Vec<MetricFamily> {
        let series = self.series.lock().unwrap_or_else(PoisonError::into_inner);
        let mut sorted: Vec<_> = series.iter().collect();
        sorted.sort_by_key(|(values, _)| *values);
        if sorted.is_empty() {
            return Vec::new();
        }
        let (kind, ending) = match self.kind {
            Kind::Counter => (MetricType::COUNTER, "_total"),
            Kind::Summary => (MetricType::SUMMARY, ""),
            Kind::Histogram(_) => (MetricType::HISTOGRAM, ""),
        };
        let metrics = sorted.iter().map(|(values, series)| self.metric(values, series)).collect();
        let mut families = vec![self.family(ending, kind, metrics)];
        if created {
            let began = sorted.iter().map(|(values, series)| {
                let mut gauge = Gauge::default();
                gauge.set_value(series.began);
                let mut metric = Metric::from_label(self.pairs(values));
                metric.set_gauge(gauge);
                metric
            });
            families.push(self.family("_created", MetricType::GAUGE, began.collect()));
        }
        families
    }

    fn family(&self, ending: &str, kind: MetricType, metrics: Vec<Metric>) -> MetricFamily {
        let mut family = MetricFamily::default();
        family.set_name(format!("{}{ending}", self.name));
        family.set_help(self.help.to_owned());
        family.set_field_type(kind);
        family.set_metric(metrics);
        family
    }

    fn metric(&self, values: &[String], series: &Series) -> Metric {
        let mut metric = Metric::from_label(self.pairs(values));
        match &self.kind {
            Kind::Counter => {
                let mut counter = Counter::default();
                counter.set_value(series.sum);
                metric.set_counter(counter);
            }
            Kind::Summary => {
                let mut summary = Summary::default();
                summary.set_sample_count(series.count);
                summary.set_sample_sum(series.sum);
                metric.set_summary(summary);
            }
            Kind::Histogram(bounds) => {
                let mut histogram = Histogram::default();
                histogram.set_sample_count(series.count);
                histogram.set_sample_sum(series.sum);
                histogram.set_bucket(cumulated(bounds, &series.buckets));
                metric.set_histogram(histogram);
            }
        }
        metric
    }

    fn pairs(&self, values: &[String]) -> Vec<LabelPair> {
        let pair = |(name, value): (&String, &String)| {
            let mut pair = LabelPair::default();
            pair.set_name(name.clone());
            pair.set_value(value.clone());
            pair
        };
        self.labels.iter().zip(values).map(pair).collect()
    }
}

fn cumulated(bounds: &[f64], counts: &[u64]) -> Vec<Bucket> {
    let mut sum = 0;
    let bucket = |(bound, count): (&f64, &u64)| {
        sum += count;
        let mut bucket = Bucket::default();
        bucket.set_upper_bound(*bound);
        bucket.set_cumulative_count(sum);
        bucket
    };
    bounds.iter().zip(counts).map(bucket).collect()
}

#[cfg(test)]
mod tests {
    use super::*;

    fn text(family: &Family) -> String {
        use prometheus::Encoder as _;
        let mut text = Vec::new();
        prometheus::TextEncoder::new().encode(&family.collect(false), &mut text).unwrap();
        String::from_utf8(text).unwrap()
    }

    #[test]
    fn a_histogram_counts_up_to_each_bound() {
        let kind = Kind::Histogram(vec![0.1, 1.0]);
        let family = Family::new("x_seconds".to_owned(), "", vec!["method".to_owned()], kind);

        for value in [0.0625, 0.5, 0.5, 8.0] {
            family.observe(vec!["get".to_owned()], Vec::new(), value, 0.0);
        }

        let text = text(&family);
        for line in [
            "x_seconds_bucket{method=\"get\",le=\"0.1\"} 1",
            "x_seconds_bucket{method=\"get\",le=\"1\"} 3",
            "x_seconds_bucket{method=\"get\",le=\"+Inf\"} 4",
            "x_seconds_sum{method=\"get\"} 9.0625",
            "x_seconds_count{method=\"get\"} 4",
        ] {
            assert!(text.contains(line), "{text}");
        }
    }

    #[test]
    fn clients_cannot_make_series_without_end() {
        let family = Family::new("x".to_owned(), "", vec!["id".to_owned()], Kind::Counter);

        for number in 0..MAX_SERIES + 500 {
            family.observe(vec![number.to_string()], vec![String::new()], 1.0, 0.0);
        }

        let families = family.collect(false);
        let lines = text(&family);
        assert_eq!(families[0].get_metric().len(), MAX_SERIES + 1);
        assert!(lines.contains("x_total{id=\"\"} 500"));
    }

    #[test]
    fn each_series_can_tell_when_it_began() {
        let family = Family::new("x".to_owned(), "", Vec::new(), Kind::Summary);
        assert!(family.collect(true).is_empty(), "no series, no metric");

        family.observe(Vec::new(), Vec::new(), 3.0, 12.5);
        family.observe(Vec::new(), Vec::new(), 4.0, 99.0);

        let names: Vec<_> = family.collect(true).iter().map(|f| f.name().to_owned()).collect();
        assert_eq!(names, ["x", "x_created"]);
        assert!(family.collect(true)[1].get_metric()[0].get_gauge().get_value() < 13.0);
    }
}
