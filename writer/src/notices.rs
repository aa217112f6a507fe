//! What the operator tells all clients: `Backoff` (`kinto-http-api.md` §1.8).

use aws_lc_rs::rand;
use http::{HeaderName, HeaderValue};
use shared::{config::Layers, http::Reply};

/// Asks clients to slow down.
#[derive(Debug, Clone, Copy, PartialEq)]
pub struct Backoff {
    /// Seconds.
    pub seconds: u64,
    /// How many in a hundred responses say so.
    pub percentage: f64,
}

const BACKOFF: HeaderName = HeaderName::from_static("backoff");

impl Backoff {
    /// Reads `backoff` and `backoff_percentage`.
    pub fn read(layers: &mut Layers) -> Option<Self> {
        let percentage = layers.parsed("backoff_percentage", "a number from 0 to 100");
        let seconds = layers.optional_number("backoff", 0, 86_400)?;
        Some(Self { seconds, percentage: percentage.unwrap_or(100.0) })
    }

    /// The reply, with the header if this is one of those that get it.
    pub fn tell(self, reply: Reply) -> Reply {
        if self.percentage < 100.0 && self.percentage <= dice() {
            return reply;
        }
        reply.header(BACKOFF, HeaderValue::from(self.seconds))
    }
}

/// A number from 0 on and below 100.
fn dice() -> f64 {
    let mut bytes = [0; 4];
    // Without randomness every response says it, which is the safe side.
    if rand::fill(&mut bytes).is_err() {
        return 0.0;
    }
    f64::from(u32::from_ne_bytes(bytes)) / (f64::from(u32::MAX) + 1.0) * 100.0
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_percentage_is_a_share_of_the_responses() {
        let told = |percentage| {
            let backoff = Backoff { seconds: 10, percentage };
            let replies =
                (0..1_000).map(|_| backoff.tell(Reply::empty(http::StatusCode::OK)).headers);
            replies.filter(|headers| headers.contains_key("backoff")).count()
        };

        assert_eq!((told(0.0), told(100.0)), (0, 1_000));
        assert!((350..650).contains(&told(50.0)));
    }
}
