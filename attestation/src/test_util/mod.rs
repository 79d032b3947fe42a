//! Sessions to appraise, whole and broken; forged vendors; where real evidence is found. For tests
//! only.

#[cfg(feature = "verify")]
pub mod conformance;
#[cfg(feature = "verify")]
pub mod crafted;
pub mod factory;
#[cfg(feature = "verify")]
pub mod forger;
#[cfg(feature = "verify")]
pub mod hostile;
pub mod manipulate;
pub mod samples;
#[cfg(all(test, feature = "verify"))]
mod seeds;
#[cfg(feature = "verify")]
pub mod stamped;
pub mod timestamper;
#[cfg(feature = "verify")]
pub mod trial;
