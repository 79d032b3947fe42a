//! Headers of this protocol's own.

/// Which runtime process asks: 32 lower-case hexadecimal digits, random for each process. An
/// address and no credential.
pub const RUNTIME_ID: &str = "mc2-runtime-id";
