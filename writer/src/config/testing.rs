//! What tests of settings begin with.

use shared::config::Layers;

use super::DEFAULTS;

/// The defaults, and these settings over them.
pub(super) fn layers(pairs: &[(&str, &str)]) -> Layers {
    let mut layers = Layers::new(DEFAULTS);
    for (key, value) in pairs {
        layers.set(key, *value);
    }
    layers
}
