//! An identity as a file under a passphrase: for a copy elsewhere, or another machine of one's own.

use std::path::{Path, PathBuf};

use mc2_protocol::{Card, Identity, encoding::to_json};
use serde::{Deserialize, Serialize};
use zeroize::Zeroizing;

use super::IdentityError;
use crate::{
    files::{read_capped, write_private_new},
    keys::{Keeper, Wrapped},
    state::State,
};

/// Largest exported identity accepted, in bytes.
pub const MAX_LEN: usize = 64 * 1024;

const VERSION: u32 = 1;
/// What the file is; also what keeps this use of a passphrase apart from every other.
const KIND: &str = "mc2-identity";

/// The file.
#[derive(Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
struct Exported {
    version: u32,
    kind: String,
    /// For people, who see whose it is before they type a passphrase; bound to what is wrapped.
    card: Card,
    /// The identity's text.
    identity: Wrapped,
}

/// Writes `identity` to a new file, wrapped by `keeper`.
///
/// # Errors
/// There is a file of that name, which stays as it is, or the system refused.
pub fn export(identity: &Identity, keeper: &dyn Keeper, path: &Path) -> Result<(), IdentityError> {
    let card = identity.card();
    let exported = Exported {
        version: VERSION,
        kind: KIND.to_owned(),
        card: card.clone(),
        identity: keeper.wrap(&context(card), identity.to_text().as_bytes())?,
    };
    Ok(write_private_new(path, &to_json(&exported))?)
}

/// Takes the identity of an exported file into the state folder, as the name it was made under.
///
/// # Errors
/// It is no such file, the passphrase is another, or an identity of that name is there.
pub fn import(
    state: &State,
    keeper: &dyn Keeper,
    path: &Path,
) -> Result<(Card, PathBuf), IdentityError> {
    let exported = read(path)?;
    let text = keeper.unwrap(&context(&exported.card), &exported.identity)?;
    let identity = parse(&text).filter(|identity| *identity.card() == exported.card);
    let identity = identity.ok_or_else(|| IdentityError::OtherCard {
        path: path.to_owned(),
        stated: exported.card.fingerprint(),
    })?;
    let file = state.keep_identity(&identity)?;
    Ok((exported.card, file))
}

fn read(path: &Path) -> Result<Exported, IdentityError> {
    let bytes = read_capped(path, MAX_LEN)?;
    let refused = |reason: String| IdentityError::Export {
        path: path.to_owned(),
        reason,
    };
    let exported: Exported =
        serde_json::from_slice(&bytes).map_err(|error| refused(error.to_string()))?;
    if (exported.version, exported.kind.as_str()) != (VERSION, KIND) {
        return Err(refused(format!(
            "expected {KIND:?} of version {VERSION}, found {:?} of version {}",
            exported.kind, exported.version
        )));
    }
    Ok(exported)
}

fn parse(text: &Zeroizing<Vec<u8>>) -> Option<Identity> {
    Identity::from_text(std::str::from_utf8(text).ok()?).ok()
}

fn context(card: &Card) -> Vec<u8> {
    [KIND.as_bytes(), card.digest().as_bytes()].concat()
}
