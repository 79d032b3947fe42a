//! A new identity in the place of an old one, which signs the new card.

use std::{
    collections::BTreeMap,
    fs, io,
    os::unix::fs::MetadataExt as _,
    path::{Path, PathBuf},
};

use mc2_protocol::{
    Card, Digest, Identity, Name, documents::replacement::Replacement, policy::Policy,
};

use super::IdentityError;
use crate::{
    files::{failed, folder_of, lock, sync_folder, write_private_new},
    party::Parties,
    state::{State, identity::file_text},
};

/// An identity that took another's place.
pub struct Replaced {
    /// The new identity's card.
    pub card: Card,
    /// The old card's signature over it, to be given to the other parties.
    pub replacement: Replacement,
    /// The file the statement is in.
    pub statement: PathBuf,
    /// The new identity's file, which had the old one's name.
    pub file: PathBuf,
    /// The old identity's file from now on: what was sealed to it opens with it alone.
    pub old_file: PathBuf,
    /// Policies under which something was submitted from here that name the old card: their names
    /// by digest.
    pub policies: BTreeMap<Digest, Name>,
}

/// Makes a new identity in the place of the one called `name`.
///
/// The old one stays under its name and the first digits of its card's digest. Whatever happens on
/// the way, no key is lost: the old file has its second name before the new one takes the first.
///
/// # Errors
/// [`IdentityError`]; the old identity then stays in its place.
pub fn replace(state: &State, name: &str) -> Result<Replaced, IdentityError> {
    let _lock = lock(&state.folder("identities")?.join(".lock"))?;
    let old = state.identity(name)?;
    let card = old.card();
    let new = Identity::generate(card.name().clone(), &mut crate::random());
    let replacement = Replacement::sign(&old, new.card()).map_err(|source| {
        let name = card.name().clone();
        IdentityError::Replacement { name, source }
    })?;
    let file = state.identity_path(name);
    let old_file = state.identity_path(&format!("{name}.{}", card.digest().short()));
    second_name(&file, &old_file)?;
    let mut parties = Parties::load(state)?;
    // The new key is kept before anybody can learn of its card.
    let spare = state.identity_path(&format!("{name}.{}", new.card().digest().short()));
    write_private_new(&spare, file_text(&new).as_bytes())?;
    let statement = parties.keep_replacement(state, &replacement)?;
    fs::rename(&spare, &file).map_err(failed("replace", &file))?;
    sync_folder(folder_of(&file))?;
    state.store_card(new.card())?;
    Ok(Replaced {
        card: new.card().clone(),
        statement,
        file,
        old_file,
        policies: policies_of(state, card)?,
        replacement,
    })
}

/// Gives the file a second name; one that a killed replacement gave already is as good.
fn second_name(file: &Path, name: &Path) -> Result<(), IdentityError> {
    match fs::hard_link(file, name) {
        Err(error) if error.kind() == io::ErrorKind::AlreadyExists => {}
        linked => linked.map_err(failed("name", name))?,
    }
    let place = |path: &Path| fs::metadata(path).map(|found| (found.dev(), found.ino()));
    let same = place(file).and_then(|own| Ok(own == place(name)?));
    if !same.map_err(failed("look at", name))? {
        let text = "another identity has that name already; move it away";
        let error = io::Error::new(io::ErrorKind::AlreadyExists, text);
        return Err(failed("name", name)(error).into());
    }
    Ok(())
}

fn policies_of(state: &State, card: &Card) -> Result<BTreeMap<Digest, Name>, IdentityError> {
    let named = |policy: &Policy| policy.party(card.digest()).is_some();
    let policies = state.submitted_policies()?.into_iter().filter(named);
    Ok(policies
        .map(|policy| (*policy.digest(), policy.name().clone()))
        .collect())
}
