//! A person's identities beyond their making: carried elsewhere under a passphrase, and replaced by
//! new ones that the old ones sign.

mod error;
mod export;
mod replace;

pub use error::IdentityError;
pub use export::{MAX_LEN, export, import};
pub use replace::{Replaced, replace};
