//! A data key, with what it opens.

use crate::{Digest, Name, SecretKey};

/// The key of one object: what an owner uploads, a session holds, and a job opens its inputs with.
/// The secret in it is wiped wherever it is dropped.
#[derive(Clone)]
pub struct DataKey {
    /// The dataset that the object is a version of.
    pub dataset: Name,
    /// The object's id.
    pub object: Digest,
    /// The key its streams are sealed with.
    pub secret: SecretKey,
}
