//! How many objects a page has (`kinto-http-api.md` §3.5.1).

use super::Layers;

/// `paginate_by` and `storage_max_fetch_size`.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct PageSize {
    /// Objects a page, unless clients ask for fewer, or for all. 0 counts as unset.
    pub paginate_by: Option<u64>,
    /// Most objects of one reply, or of one DELETE.
    pub max_fetch_size: u64,
}

impl PageSize {
    /// Reads the settings.
    pub fn read(layers: &mut Layers) -> Self {
        Self {
            paginate_by: layers
                .optional_number("paginate_by", 0, 1_000_000)
                .filter(|size| *size > 0),
            max_fetch_size: layers.number("storage_max_fetch_size", 1, 1_000_000),
        }
    }

    /// The size for a client that asked for so many. Nothing, like 0, asks for all that one reply
    /// can hold.
    pub fn of(&self, asked: Option<u64>) -> u64 {
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
    fn pages_of_nothing_are_pages_of_all() {
        let text = "paginate_by = 0\nstorage_max_fetch_size = 5\n";

        assert_eq!(PageSize::read(&mut Layers::new(text)).of(None), 5);
    }

    #[test]
    fn the_smallest_limit_counts_and_zero_asks_for_all() {
        for (paginate_by, asked, size) in [
            (None, None, 100),
            (None, Some(7), 7),
            (None, Some(1_000), 100),
            (Some(10), None, 10),
            (Some(10), Some(7), 7),
            (Some(10), Some(20), 10),
            (Some(10), Some(0), 100),
        ] {
            let pages = PageSize { paginate_by, max_fetch_size: 100 };
            assert_eq!(pages.of(asked), size, "{paginate_by:?} {asked:?}");
        }
    }
}
