//! The sample records: 300 bytes each, with members of every type that clients filter by.
//!
//! `deploy/dev/bench-api.sh` makes the same ones in SQL, for a server that takes too long to be
//! filled through its API.

use serde_json::{Value, json};

/// Bytes of a record's JSON, without `id` and `last_modified`.
const BYTES: usize = 300;

/// The id of sample record `number`.
pub(crate) fn id(number: u64) -> String {
    format!("r{number:07}")
}

/// Sample record `number`.
pub(crate) fn record(number: u64) -> Value {
    const CHANNELS: [&str; 3] = ["release", "beta", "nightly"];
    let channel = CHANNELS[usize::try_from(number % 3).unwrap_or(0)];
    let mut data = json!({
        "status": format!("s{}", number % 5),
        // Every number below it once, in no order.
        "rank": number * 7_919 % 1_000_003,
        "enabled": number.is_multiple_of(2),
        "filter": {"channel": channel, "minimum": number % 120},
        "tags": [format!("t{}", number % 10), format!("u{}", number % 7)],
        "title": "",
    });
    let missing = BYTES.saturating_sub(data.to_string().len());
    data["title"] = "x".repeat(missing).into();
    data
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_sample_has_its_size_whatever_its_number() {
        for number in [0, 1, 99, 12_345, 799_999] {
            assert_eq!(record(number).to_string().len(), BYTES, "{number}");
        }
    }
}
