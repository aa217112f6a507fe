//! Settings of lists and their pages.

use std::time::Duration;

use aws_lc_rs::hmac;
use shared::config::Layers;

use crate::listing::token;

/// Sizes of pages, and what their tokens are signed with.
#[derive(Debug, Clone)]
pub struct Listing {
    /// Objects a page, unless clients ask for fewer, or for all.
    pub paginate_by: Option<u64>,
    /// Most objects of one reply, or of one DELETE.
    pub max_fetch_size: u64,
    /// How long the next page of a DELETE can be asked for.
    pub token_validity: Duration,
    /// The key of pagination tokens.
    pub token_key: hmac::Key,
}

impl Listing {
    /// Reads the settings. All writers must agree on the key: it comes from `userid_hmac_secret`
    /// or, where that is empty, from `storage_url`, which they share with their database.
    pub fn read(layers: &mut Layers) -> Self {
        let secret =
            layers.optional("userid_hmac_secret").unwrap_or_else(|| layers.text("storage_url"));
        let validity = layers.number("pagination_token_validity_seconds", 1, 31_536_000);
        Self {
            paginate_by: layers.optional_number("paginate_by", 1, 1_000_000),
            max_fetch_size: layers.number("storage_max_fetch_size", 1, 1_000_000),
            token_validity: Duration::from_secs(validity),
            token_key: token::key(&secret),
        }
    }

    /// How many objects a page has (§3.5.1). Nothing, like 0, asks for all that one reply can hold.
    pub fn page_size(&self, asked: Option<u64>) -> u64 {
        let size = match asked {
            None => self.paginate_by,
            Some(0) => None,
            Some(asked) => Some(self.paginate_by.map_or(asked, |most| most.min(asked))),
        };
        size.map_or(self.max_fetch_size, |size| size.min(self.max_fetch_size))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_smallest_limit_counts_and_zero_asks_for_all() {
        let listing = |paginate_by| Listing {
            paginate_by,
            max_fetch_size: 100,
            token_validity: Duration::ZERO,
            token_key: token::key(""),
        };

        for (paginate_by, asked, size) in [
            (None, None, 100),
            (None, Some(7), 7),
            (None, Some(1_000), 100),
            (Some(10), None, 10),
            (Some(10), Some(7), 7),
            (Some(10), Some(20), 10),
            (Some(10), Some(0), 100),
        ] {
            assert_eq!(listing(paginate_by).page_size(asked), size, "{paginate_by:?} {asked:?}");
        }
    }
}
