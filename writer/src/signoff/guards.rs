//! What a source collection may not hold, because some client could not verify it.

use shared::{
    error::ApiError,
    verifiable::{self, Floats},
};

use crate::store::objects::Object;

/// Checks a record of a source collection.
///
/// # Errors
///
/// The 400 (`remote-settings.md` §1.15, D10).
pub fn check(record: &Object, floats: Floats) -> Result<(), ApiError> {
    verifiable::check_record(&record.data, floats)
        .map_err(|flaw| ApiError::Refused { forbidden: false, message: flaw.to_string() })
}
