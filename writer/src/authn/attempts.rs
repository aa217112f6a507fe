//! How often an account's password may be guessed: from one address, and from all together.

use std::time::{Duration, Instant};

/// The wait after the last attempt that is free; it doubles with each further one.
const FIRST_WAIT: Duration = Duration::from_mins(1);
/// The longest wait.
const LONGEST_WAIT: Duration = Duration::from_mins(10);

/// So many times the attempts that are free for one address are free for all together: a stranger's
/// guesses do not lock out who has the password, and many strangers do not guess for ever.
pub(super) const ALL_ADDRESSES: u32 = 20;

/// The attempts on one account, since the last right password or without right ones.
#[derive(Debug, Clone, Default)]
pub(super) struct Attempts {
    made: u32,
    next: Option<Instant>,
}

impl Attempts {
    /// Begins an attempt, if it may be made now. It counts at once, not when it has failed: many
    /// attempts at the same time are many attempts.
    pub(super) fn begin(&mut self, now: Instant, free: u32) -> bool {
        if self.next.is_some_and(|next| now < next) {
            return false;
        }
        self.made += 1;
        if free <= self.made {
            let doublings = (self.made - free).min(10);
            let wait = (FIRST_WAIT * 2_u32.pow(doublings)).min(LONGEST_WAIT);
            self.next = Some(now + wait);
        }
        true
    }

    /// Takes an attempt back: the password was right.
    pub(super) fn forgive(&mut self, free: u32) {
        self.made = self.made.saturating_sub(1);
        if self.made < free {
            self.next = None;
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn some_attempts_are_free_and_the_next_ones_wait_ever_longer() {
        let start = Instant::now();
        let mut attempts = Attempts::default();
        let mut made = Vec::new();

        for second in 0..3_600 {
            if attempts.begin(start + Duration::from_secs(second), 5) {
                made.push(second);
            }
        }

        assert_eq!(made[..5], [0, 1, 2, 3, 4]);
        assert_eq!(made[5..9], [64, 184, 424, 904], "60, 120, 240, 480 seconds later");
        assert_eq!(made[9..11], [1_504, 2_104], "then every ten minutes");
    }

    #[test]
    fn right_passwords_are_no_attempts() {
        let mut attempts = Attempts::default();
        let now = Instant::now();

        for _ in 0..100 {
            assert!(attempts.begin(now, 2));
            attempts.forgive(2);
        }

        assert!(attempts.begin(now, 2) && attempts.begin(now, 2));
        assert!(!attempts.begin(now, 2));
    }

    #[test]
    fn attempts_at_the_same_time_are_counted() {
        let mut attempts = Attempts::default();
        let now = Instant::now();

        let begun = (0..1_000).filter(|_| attempts.begin(now, 5)).count();

        assert_eq!(begun, 5);
    }
}
