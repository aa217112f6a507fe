//! A body, the ones before it, and the differences: for clients that have one of those (RFC 9842).

use std::{
    io::Read as _,
    sync::{Arc, OnceLock},
};

use bytes::Bytes;
use flate2::read::GzDecoder;

use crate::answer::{
    Accepted, Dictionaries, DictionaryId, Dress, Forms, Prepared,
    dictionary::{DCZ, dcz},
};

/// A version that clients may have. As gzip, which was made for them: a sixth of its size.
#[derive(Debug, Clone)]
struct Former {
    id: DictionaryId,
    length: usize,
    gzip: Bytes,
}

/// A version, and what it has in common with those before it.
#[derive(Debug)]
pub struct Lineage {
    this: Former,
    /// The latest first.
    former: Vec<Former>,
    /// Unset until they are made.
    differences: OnceLock<Vec<(DictionaryId, Arc<Prepared>)>>,
}

impl Lineage {
    /// The lineage of a body that follows `old`; of none that may be no dictionary.
    pub fn new(body: &Forms, old: Option<&Arc<Self>>, rules: Dictionaries) -> Option<Arc<Self>> {
        let plain = body.plain();
        let gzip = body.gzip().filter(|_| rules.allow(plain.len()))?;
        let this = Former { id: DictionaryId::of(plain), length: plain.len(), gzip };
        let mut former = Vec::new();
        if let Some(old) = old {
            if old.this.id == this.id {
                return Some(old.clone());
            }
            let before = std::iter::once(&old.this).chain(&old.former);
            // What came back must not take two places.
            former.extend(before.filter(|one| one.id != this.id).take(rules.versions).cloned());
        }
        let differences = OnceLock::new();
        if former.is_empty() {
            // Nothing to wait for.
            let _ = differences.set(Vec::new());
        }
        Some(Arc::new(Self { this, former, differences }))
    }

    /// Makes the differences: about a quarter of a second for each version of 4 MB.
    pub fn complete(&self, plain: &[u8], dress: &Dress) {
        self.differences.get_or_init(|| {
            let made =
                self.former.iter().filter_map(|former| self.difference(former, plain, dress));
            made.collect()
        });
    }

    /// Nothing when it would not be smaller than what every client takes.
    fn difference(
        &self,
        former: &Former,
        plain: &[u8],
        dress: &Dress,
    ) -> Option<(DictionaryId, Arc<Prepared>)> {
        let mut dictionary = Vec::with_capacity(former.length);
        GzDecoder::new(&*former.gzip).read_to_end(&mut dictionary).ok()?;
        let small = dcz(plain, &dictionary, former.id).ok()?;
        let is_worth_it = small.len() < self.this.gzip.len();
        is_worth_it.then(|| (former.id, Arc::new(Prepared::encoded(small, Some(DCZ), dress))))
    }

    /// Whether the differences are made.
    pub fn is_complete(&self) -> bool {
        self.differences.get().is_some()
    }

    /// The difference from what the client has, if it is there.
    pub fn from(&self, accepted: Accepted) -> Option<&Arc<Prepared>> {
        let id = accepted.dictionary()?;
        let made = self.differences.get()?;
        made.iter().find(|(known, _)| *known == id).map(|(_, form)| form)
    }

    /// Whether this is the name of a version that clients may still have.
    pub fn knows(&self, id: DictionaryId) -> bool {
        self.this.id == id || self.former.iter().any(|former| former.id == id)
    }

    /// Memory that former versions and differences take, in bytes.
    pub fn bytes(&self) -> usize {
        let kept: usize = self.former.iter().map(|former| former.gzip.len()).sum();
        let made = self.differences.get().into_iter().flatten();
        kept + made.map(|(_, form)| form.weight()).sum::<usize>()
    }
}

#[cfg(test)]
mod tests {
    use http::HeaderMap;

    use super::*;
    use crate::answer::dictionary::{AVAILABLE_DICTIONARY, tests::decode};

    const RULES: Dictionaries = Dictionaries { versions: 2, max_body: 1 << 20 };

    fn body(version: usize) -> Bytes {
        let rows: Vec<String> = (0..400).map(|row| format!("{row}:{}", row * 7_919)).collect();
        format!("version {version} {}", rows.join(" ")).into()
    }

    fn next(body: &Bytes, old: Option<&Arc<Lineage>>) -> Option<Arc<Lineage>> {
        let forms = Forms::new(body.clone(), &Dress::default(), true);
        let lineage = Lineage::new(&forms, old, RULES)?;
        lineage.complete(body, &Dress::default());
        Some(lineage)
    }

    fn holding(bytes: &Bytes) -> Accepted {
        use base64::{Engine as _, engine::general_purpose::STANDARD};
        let hash = aws_lc_rs::digest::digest(&aws_lc_rs::digest::SHA256, bytes);
        let mut headers = HeaderMap::new();
        let value = format!(":{}:", STANDARD.encode(hash.as_ref()));
        headers.insert(AVAILABLE_DICTIONARY, value.parse().unwrap());
        headers.insert("accept-encoding", "gzip, dcz".parse().unwrap());
        Accepted::of(&headers)
    }

    #[test]
    fn the_last_versions_lead_to_the_newest_and_older_ones_are_forgotten() {
        let bodies: Vec<Bytes> = (0..5).map(body).collect();
        let mut lineage = None;
        for body in &bodies {
            lineage = next(body, lineage.as_ref());
        }
        let lineage = lineage.unwrap();

        for old in &bodies[2..4] {
            let form = lineage.from(holding(old)).unwrap();
            assert_eq!(decode(form.body().bytes(), old), bodies[4]);
            assert!(form.body().bytes().len() < 200);
            assert_eq!(form.headers()["content-encoding"], DCZ);
        }
        let known = |body: &Bytes| lineage.knows(DictionaryId::of(body));
        assert_eq!(bodies.iter().map(known).collect::<Vec<_>>(), [false, false, true, true, true]);
        for unknown in [&bodies[0], &bodies[1], &bodies[4]] {
            assert!(lineage.from(holding(unknown)).is_none());
        }
        assert!(lineage.from(Accepted::PLAIN).is_none());
        assert_eq!(lineage.former.len(), 2);
    }

    #[test]
    fn the_same_body_again_is_the_same_version() {
        let first = next(&body(0), None);
        let second = next(&body(1), first.as_ref()).unwrap();
        let again = next(&body(1), Some(&second)).unwrap();
        let back = next(&body(0), Some(&again)).unwrap();

        assert!(Arc::ptr_eq(&second, &again));
        assert_eq!(back.former.len(), 1);
        assert!(back.from(holding(&body(1))).is_some());
    }

    #[test]
    fn small_and_huge_bodies_are_no_dictionaries() {
        assert!(next(&"countersign ".repeat(300).into(), None).is_none());
        assert!(next(&"countersign ".repeat(400).into(), None).is_some());
        assert!(next(&"countersign ".repeat(100_000).into(), None).is_none());
    }
}
