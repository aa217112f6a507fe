//! HTTP dates, formatted once a second.

use shared::model::Timestamp;

/// Length of `Sun, 06 Nov 1994 08:49:37 GMT` (RFC 9110 §5.6.7).
const LENGTH: usize = 29;
/// `Date`, and `Expires` for each of the few lifetimes that are used.
const SLOTS: usize = 4;

/// Dates that were asked for lately. One for each connection: no lock.
#[derive(Debug, Clone)]
pub struct Dates {
    slots: [(i64, [u8; LENGTH]); SLOTS],
    next: usize,
}

impl Default for Dates {
    fn default() -> Self {
        Self { slots: [(i64::MIN, [b' '; LENGTH]); SLOTS], next: 0 }
    }
}

impl Dates {
    /// The date of a moment.
    pub fn at(&mut self, moment: Timestamp) -> &[u8; LENGTH] {
        let seconds = moment.as_millis().div_euclid(1_000);
        let found = self.slots.iter().position(|(known, _)| *known == seconds);
        let index = found.unwrap_or_else(|| {
            let index = self.next % SLOTS;
            self.next = index + 1;
            let text = moment.http_date();
            // Years beyond 9999 have no such date: then none that means anything is sent.
            let date = text.as_bytes().try_into().unwrap_or([b' '; LENGTH]);
            self.slots[index] = (seconds, date);
            index
        });
        &self.slots[index].1
    }
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    proptest! {
        #[test]
        fn a_kept_date_is_the_date(moments in proptest::collection::vec(0..9_000_i64, 1..40)) {
            let mut dates = Dates::default();
            for millis in moments {
                let moment = Timestamp::from_millis(1_795_448_131_494 + millis);
                let expected = moment.http_date();
                prop_assert_eq!(&dates.at(moment)[..], expected.as_bytes());
            }
        }
    }
}
