//! Settings of lists and their pages.

use std::time::Duration;

use aws_lc_rs::hmac;
use shared::config::{Layers, PageSize};

use crate::listing::token;

/// Sizes of pages, and what their tokens are signed with.
#[derive(Debug, Clone)]
pub struct Listing {
    /// How many objects a page has.
    pub pages: PageSize,
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
            pages: PageSize::read(layers),
            token_validity: Duration::from_secs(validity),
            token_key: token::key(&secret),
        }
    }
}
