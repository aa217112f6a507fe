//! How ids are made where clients send none, and what they may be (`kinto-http-api.md` §2.3).

use std::collections::BTreeMap;

use shared::{
    config::Layers,
    model::{Id, InvalidId, Resource},
};
use uuid::Uuid;

/// A way to make ids.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Generator {
    /// Eight letters, digits, `-` and `_`.
    Name,
    /// A random UUID; any id is accepted.
    RelaxedUuid,
    /// A random UUID; nothing else is accepted.
    StrictUuid,
}

/// The generator of each resource.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct Generators(BTreeMap<Resource, Generator>);

/// Kinto's classes.
const CLASSES: [(&str, Generator); 3] = [
    ("kinto.views.NameGenerator", Generator::Name),
    ("kinto.views.RelaxedUUID", Generator::RelaxedUuid),
    ("kinto.core.storage.generators.UUID4", Generator::StrictUuid),
];

const RESOURCES: [Resource; 4] =
    [Resource::Bucket, Resource::Group, Resource::Collection, Resource::Record];

impl Generators {
    /// Reads `{resource}_id_generator`. A class that is not Kinto's own cannot run here.
    pub fn read(layers: &mut Layers) -> Self {
        let mut generators = BTreeMap::new();
        for resource in RESOURCES {
            let key = format!("{}_id_generator", resource.name());
            if let Some(generator) = layers.choice(&key, &CLASSES) {
                generators.insert(resource, generator);
            }
        }
        Self(generators)
    }

    fn of(&self, resource: Resource) -> Generator {
        let usual = match resource {
            Resource::Record | Resource::History => Generator::RelaxedUuid,
            Resource::Bucket | Resource::Group | Resource::Collection | Resource::Account => {
                Generator::Name
            }
        };
        self.0.get(&resource).copied().unwrap_or(usual)
    }

    /// A new id.
    ///
    /// # Errors
    ///
    /// None: every generator makes valid ids.
    pub fn generate(&self, resource: Resource) -> Result<Id, InvalidId> {
        let text = match self.of(resource) {
            Generator::Name => name(),
            Generator::RelaxedUuid | Generator::StrictUuid => {
                Uuid::new_v4().hyphenated().to_string()
            }
        };
        Id::new(&text)
    }

    /// Whether an object of this kind may have the id.
    pub fn accept(&self, resource: Resource, id: &str) -> bool {
        self.of(resource) != Generator::StrictUuid || is_uuid(id)
    }
}

/// Eight characters, the first of them a letter or digit.
fn name() -> String {
    const CHARACTERS: &[u8; 64] =
        b"ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz0123456789-_";
    // Six bytes at the beginning and six at the end of a UUID are random as a whole.
    let bytes = Uuid::new_v4().into_bytes();
    let first = CHARACTERS[usize::from(bytes[0] % 62)];
    let rest = bytes[9..].iter().map(|byte| CHARACTERS[usize::from(byte & 63)]);
    std::iter::once(first).chain(rest).map(char::from).collect()
}

/// Lower-case hexadecimal in groups of 8, 4, 4, 4 and 12.
fn is_uuid(text: &str) -> bool {
    text.len() == 36
        && text.bytes().enumerate().all(|(at, byte)| match at {
            8 | 13 | 18 | 23 => byte == b'-',
            _ => matches!(byte, b'0'..=b'9' | b'a'..=b'f'),
        })
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn each_generator_accepts_what_it_makes() {
        for (class, generator) in CLASSES {
            let generators = Generators([(Resource::Record, generator)].into());
            for _ in 0..500 {
                let id = generators.generate(Resource::Record).unwrap();
                assert!(generators.accept(Resource::Record, &id), "{class}: {id}");
            }
        }
    }

    #[test]
    fn names_have_eight_characters() {
        let names: std::collections::BTreeSet<String> = (0..1_000).map(|_| name()).collect();

        assert_eq!(names.len(), 1_000);
        assert!(names.iter().all(|name| name.len() == 8 && Id::new(name).is_ok()));
    }

    #[test]
    fn only_a_strict_generator_refuses_other_ids() {
        let strict = Generators([(Resource::Record, Generator::StrictUuid)].into());

        assert!(strict.accept(Resource::Record, "472be9ec-26fe-461b-8282-9c4e4b207ab3"));
        for id in
            ["r", "472BE9EC-26FE-461B-8282-9C4E4B207AB3", "472be9ec026fe-461b-8282-9c4e4b207ab3"]
        {
            assert!(!strict.accept(Resource::Record, id), "{id}");
            assert!(Generators::default().accept(Resource::Record, id), "{id}");
        }
    }
}
