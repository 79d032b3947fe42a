//! Parties, components and datasets: who and what a policy is about.

use std::{fmt, str::FromStr, sync::Arc};

use super::{
    error::{PolicyError, Problem},
    reader::{Fields, Node},
};
use crate::{Card, Digest, Name, PartyName, documents::broker::BrokerCard};

const MAX_PARTIES: usize = 64;
const MAX_COMPONENTS: usize = 64;
const MAX_DATASETS: usize = 1024;

/// A component the policy approves by digest.
#[derive(Clone, Debug, PartialEq, Eq)]
#[non_exhaustive]
pub struct Component {
    /// Its name in the policy.
    pub name: Name,
    /// SHA-256 of the exact `.wasm` bytes.
    pub sha256: Digest,
}

/// A dataset and who may release its key.
#[derive(Clone, Debug, PartialEq, Eq)]
#[non_exhaustive]
pub struct Dataset {
    /// Its name, which is also in its manifest.
    pub name: Name,
    /// The party that owns it.
    pub owner: Arc<Card>,
    /// The only version accepted, where the policy pins one.
    pub object: Option<Digest>,
    /// A card that may release its key and do nothing else.
    pub broker: Option<Arc<Card>>,
}

/// The parties of the policy, none of whom shares a name or a key with another.
pub(super) fn read_parties(fields: &Fields<'_>) -> Result<Vec<Arc<Card>>, PolicyError> {
    const EXPECTED: &str = "[[party]] with card = \"mc2card1…\", once for each party";
    let mut parties: Vec<Arc<Card>> = Vec::new();
    for node in fields.required_list("party", MAX_PARTIES, EXPECTED)? {
        let party = node.table(&["card"])?;
        let node = party.required("card", "the party's whole card, card = \"mc2card1…\"")?;
        let card: Card = read_spelt(&node, "mc2 keygen")?;
        for other in &parties {
            refuse_twin(&node, &card, other)?;
        }
        parties.push(Arc::new(card));
    }
    Ok(parties)
}

/// The components of the policy, unique by name and by digest.
pub(super) fn read_components(fields: &Fields<'_>) -> Result<Vec<Component>, PolicyError> {
    const EXPECTED: &str = "[[component]] with name and sha256, once for each component";
    let mut components: Vec<Component> = Vec::new();
    for node in fields.required_list("component", MAX_COMPONENTS, EXPECTED)? {
        let component = node.table(&["name", "sha256"])?;
        let name_node = component.required("name", "a name for the component")?;
        let name: Name = name_node.checked()?;
        let digest_node = component.required(
            "sha256",
            "the SHA-256 of the exact .wasm bytes in hexadecimal",
        )?;
        let sha256: Digest = digest_node.checked()?;
        if components.iter().any(|other| other.name == name) {
            return Err(name_node.error(Problem::repeated("component name", name)));
        }
        if components.iter().any(|other| other.sha256 == sha256) {
            return Err(digest_node.error(Problem::repeated("component digest", sha256)));
        }
        components.push(Component { name, sha256 });
    }
    Ok(components)
}

/// The datasets of the policy, unique by name.
pub(super) fn read_datasets(
    fields: &Fields<'_>,
    parties: &[Arc<Card>],
) -> Result<Vec<Dataset>, PolicyError> {
    let mut datasets: Vec<Dataset> = Vec::new();
    for node in fields.list("dataset", MAX_DATASETS)? {
        let dataset = node.table(&["name", "owner", "object", "broker"])?;
        let name_node = dataset.required("name", "the name the dataset was sealed under")?;
        let name: Name = name_node.checked()?;
        if datasets.iter().any(|other| other.name == name) {
            return Err(name_node.error(Problem::repeated("dataset name", name)));
        }
        let owner = dataset.required("owner", "the name of the party that owns it")?;
        let owner = find_party(&owner, parties)?;
        let object = dataset.optional("object");
        let object = object.map(|node| node.checked()).transpose()?;
        let broker = match dataset.optional("broker") {
            Some(node) => Some(read_broker(&node, &owner, parties, &datasets)?),
            None => None,
        };
        datasets.push(Dataset {
            name,
            owner,
            object,
            broker,
        });
    }
    Ok(datasets)
}

/// The party this value names.
pub(super) fn find_party(node: &Node<'_>, parties: &[Arc<Card>]) -> Result<Arc<Card>, PolicyError> {
    let name = node.string()?;
    let found = parties.iter().find(|card| card.name().as_str() == name);
    found.cloned().ok_or_else(|| {
        let known = parties.iter().map(|card| card.name());
        node.error(Problem::unknown("party", name, known))
    })
}

/// The parties this list names, each once; it may be empty.
pub(super) fn find_parties(
    nodes: &[Node<'_>],
    parties: &[Arc<Card>],
) -> Result<Vec<Arc<Card>>, PolicyError> {
    let mut found: Vec<Arc<Card>> = Vec::new();
    for node in nodes {
        let card = find_party(node, parties)?;
        if found.contains(&card) {
            return Err(node.error(Problem::repeated("party", card.name())));
        }
        found.push(card);
    }
    Ok(found)
}

/// The names of `cards`, for people.
pub(super) fn names(cards: &[Arc<Card>]) -> impl Iterator<Item = &PartyName> {
    cards.iter().map(|card| card.name())
}

/// A broker is its owner's by signature and nobody's twin; one card may be the broker of several
/// datasets of one owner.
fn read_broker(
    node: &Node<'_>,
    owner: &Card,
    parties: &[Arc<Card>],
    datasets: &[Dataset],
) -> Result<Arc<Card>, PolicyError> {
    let signed: BrokerCard = read_spelt(node, "mc2 broker sign")?;
    let card = signed
        .signed_by(owner)
        .map_err(|error| node.error(Problem::Refused(error.to_string())))?;
    let is_this = |set: &&Dataset| set.broker.as_deref() == Some(card);
    if let Some(other) = datasets.iter().find(is_this)
        && *other.owner != *owner
    {
        let (broker, other) = (card.name(), other.owner.name());
        let refused = format!("{broker} is {other}'s broker: a broker stands for one owner");
        return Err(node.error(Problem::Refused(refused)));
    }
    let brokers = datasets.iter().filter_map(|other| other.broker.as_ref());
    for other in parties
        .iter()
        .chain(brokers.clone().filter(|other| ***other != *card))
    {
        refuse_twin(node, card, other)?;
    }
    let known = brokers.into_iter().find(|other| ***other == *card).cloned();
    Ok(known.unwrap_or_else(|| Arc::new(card.clone())))
}

/// A card, or a broker's, as the command prints it. It has one spelling here, so that two policies
/// that differ only in blanks or in the unused bits of base64 do not look alike to a reader.
fn read_spelt<T: FromStr<Err: fmt::Display> + fmt::Display>(
    node: &Node<'_>,
    command: &str,
) -> Result<T, PolicyError> {
    let text = node.string()?;
    let card: T = node.checked()?;
    if card.to_string() != text {
        let refused = format!("the card is not spelt as `{command}` prints it");
        return Err(node.error(Problem::Refused(refused)));
    }
    Ok(card)
}

fn refuse_twin(node: &Node<'_>, card: &Card, other: &Card) -> Result<(), PolicyError> {
    let repeated = |what, found: &dyn fmt::Display| Err(node.error(Problem::repeated(what, found)));
    if card.name() == other.name() {
        return repeated("party name", card.name());
    }
    if card.verifying_key() == other.verifying_key() {
        return repeated("signing key, now of party", card.name());
    }
    if card.public_key().as_bytes() == other.public_key().as_bytes() {
        return repeated("X-Wing key, now of party", card.name());
    }
    Ok(())
}
