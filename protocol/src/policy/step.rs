//! The policy's `[[job.step]]`: one component, its command line, what it reads and what it leaves.

use std::sync::Arc;

use super::{
    argument::Arguments,
    error::{PolicyError, Problem},
    job::Known,
    party::{find_parties, find_party},
    reader::{Entry, Fields, Node},
    units::Size,
};
use crate::{Card, Name, sealed::manifest::MediaType};

/// Names of the streams that are outputs like any other: what the guest prints, its progress, and
/// what it says of its failure.
pub const STREAMS: [&str; 4] = ["stdout", "stderr", "progress", "error"];
/// Name of the figures a guest can steer: bytes it read and wrote, memory, fuel.
pub const USAGE: &str = "usage";
/// Names of outputs that are no files under `/out`: the [`STREAMS`] and [`USAGE`].
pub const RESERVED: [&str; 5] = ["stdout", "stderr", "progress", "error", USAGE];
/// Most instances a step may have: all of them are in one enclave, and each has a stream to every
/// other.
pub const MAX_INSTANCES: u32 = 16;

const MAX_INPUTS: usize = 256;
const MAX_OUTPUTS: usize = 64;
const FIELDS: [&str; 7] = [
    "component",
    "instances",
    "inputs",
    "args",
    "outputs",
    "padding",
    "keys",
];

/// One step of a job.
#[derive(Clone, Debug, PartialEq, Eq)]
#[non_exhaustive]
pub struct Step {
    /// The component's name in the policy.
    pub component: Name,
    /// How many instances run together.
    pub instances: u32,
    /// What the guest finds under `/in`, by name.
    pub inputs: Vec<Input>,
    /// What its command line may be.
    pub arguments: Arguments,
    /// What it may leave, by name. A stream that is not here is dropped.
    pub outputs: Vec<Output>,
    /// How lengths of released outputs are hidden.
    pub padding: Padding,
    /// Keys handed to the guest, in the order of their names.
    pub keys: Vec<GuestKey>,
}

/// One input of a step.
#[derive(Clone, Debug, PartialEq, Eq)]
#[non_exhaustive]
pub struct Input {
    /// Its name under `/in`; `stdin` is the guest's standard input too.
    pub name: Name,
    /// Where it comes from.
    pub from: Origin,
}

/// Where an input comes from.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Origin {
    /// The dataset of this name.
    Dataset(Name),
    /// The output of this name of an earlier step.
    Step(Name),
    /// The output of this name that a job above leaves in custody.
    Custody(Name),
}

/// One output of a step.
#[derive(Clone, Debug, PartialEq, Eq)]
#[non_exhaustive]
pub struct Output {
    /// Its name under `/out`, or a stream's.
    pub name: Name,
    /// Whether it is a folder: the policy writes its name with `/` at the end.
    pub folder: bool,
    /// Where it goes.
    pub to: To,
    /// What kind of data the guest is to write there, which its readers are told;
    /// `application/octet-stream` where the policy is silent.
    pub media_type: MediaType,
}

/// Where an output goes.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum To {
    /// To later steps of the same run, and nowhere else.
    Step,
    /// To these parties; to nobody where the list is empty.
    Parties(Vec<Arc<Card>>),
    /// To nobody: later jobs of the policy take it as an input.
    Custody(Custody),
}

/// Who keeps the key of an output that nobody opens.
#[derive(Clone, Debug, PartialEq, Eq)]
#[non_exhaustive]
pub struct Custody {
    /// The party or broker whose card the key is wrapped to, to be released and not to be opened.
    pub holder: Arc<Card>,
    /// For how many runs it may release the key in all, at least 1.
    pub runs: u32,
}

/// How the length of a released output is hidden.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Padding {
    /// Not at all.
    Exact,
    /// Rounded up to a power of two.
    PowerOfTwo,
    /// Every output has this length; a longer one fails the job.
    Fixed(Size),
}

/// A key handed to the guest under `/run/mc2/keys`.
#[derive(Clone, Debug, PartialEq, Eq)]
#[non_exhaustive]
pub struct GuestKey {
    /// Its name there.
    pub name: Name,
    /// The party that gives it.
    pub from: Arc<Card>,
}

impl Output {
    /// Whether this is one of [`STREAMS`].
    pub fn is_stream(&self) -> bool {
        STREAMS.contains(&self.name.as_str())
    }

    /// Whether it stands under `/out`: it is none of [`RESERVED`].
    pub fn is_file(&self) -> bool {
        !RESERVED.contains(&self.name.as_str())
    }

    /// Who gets it.
    pub fn recipients(&self) -> &[Arc<Card>] {
        match &self.to {
            To::Step | To::Custody(_) => &[],
            To::Parties(cards) => cards,
        }
    }

    /// Who keeps its key, where it is in custody.
    pub const fn custody(&self) -> Option<&Custody> {
        match &self.to {
            To::Custody(custody) => Some(custody),
            To::Step | To::Parties(_) => None,
        }
    }

    /// Whether it outlives its job: somebody gets it, or keeps it in custody.
    pub fn is_released(&self) -> bool {
        !self.recipients().is_empty() || self.custody().is_some()
    }
}

impl Padding {
    /// The length in bytes at which an output of `length` bytes is released; `None` where it does
    /// not fit.
    pub const fn padded(self, length: u64) -> Option<u64> {
        match self {
            Self::Exact => Some(length),
            Self::PowerOfTwo => length.checked_next_power_of_two(),
            Self::Fixed(size) if length <= size.bytes() => Some(size.bytes()),
            Self::Fixed(_) => None,
        }
    }

    /// The longest output that is released at all, in bytes.
    pub const fn most(self) -> u64 {
        match self {
            Self::Exact | Self::PowerOfTwo => u64::MAX,
            Self::Fixed(size) => size.bytes(),
        }
    }

    fn read(node: &Node<'_>) -> Result<Self, PolicyError> {
        const EXPECTED: &str = "\"exact\", \"power-of-two\" or { fixed = \"1MiB\" }";
        match node.as_str() {
            Some("exact") => return Ok(Self::Exact),
            Some("power-of-two") => return Ok(Self::PowerOfTwo),
            Some(other) => return Err(node.error(Problem::value(EXPECTED, other))),
            None => {}
        }
        let node = node
            .table(&["fixed"])?
            .required("fixed", "a length, fixed = \"1MiB\"")?;
        let size: Size = node.parsed()?;
        if size.bytes() == 0 {
            return Err(node.error(Problem::value("more than nothing", "0B")));
        }
        Ok(Self::Fixed(size))
    }
}

impl Step {
    pub(super) fn read(
        node: &Node<'_>,
        known: &Known<'_>,
        earlier: &[Self],
    ) -> Result<Self, PolicyError> {
        let fields = node.table(&FIELDS)?;
        let component = read_component(&fields, known)?;
        let instances = match fields.optional("instances") {
            Some(node) => node.integer(1..=MAX_INSTANCES)?,
            None => 1,
        };
        let inputs = read_inputs(&fields, known, earlier)?;
        let arguments = Arguments::read(&fields.required("args", Arguments::EXPECTED)?)?;
        let outputs = read_outputs(&fields, known, earlier)?;
        let padding = read_padding(&fields, known, &outputs)?;
        let keys = read_keys(&fields, known)?;
        Ok(Self {
            component,
            instances,
            inputs,
            arguments,
            outputs,
            padding,
            keys,
        })
    }

    /// The output `name`, stream or file.
    pub fn output(&self, name: &str) -> Option<&Output> {
        self.outputs
            .iter()
            .find(|output| output.name.as_str() == name)
    }
}

fn read_component(fields: &Fields<'_>, known: &Known<'_>) -> Result<Name, PolicyError> {
    let node = fields.required("component", "the name of a [[component]]")?;
    let name = node.string()?;
    let component = known
        .components
        .iter()
        .find(|component| component.name.as_str() == name);
    component
        .map(|component| component.name.clone())
        .ok_or_else(|| {
            let known = known.components.iter().map(|component| &component.name);
            node.error(Problem::unknown("component", name, known))
        })
}

fn read_inputs(
    fields: &Fields<'_>,
    known: &Known<'_>,
    earlier: &[Step],
) -> Result<Vec<Input>, PolicyError> {
    let entries = match fields.optional("inputs") {
        Some(node) => node.entries(MAX_INPUTS)?,
        None => Vec::new(),
    };
    let read = |entry: &Entry<'_>| {
        Ok(Input {
            name: entry.key.checked(entry.key.name)?,
            from: read_source(&entry.value, known, earlier)?,
        })
    };
    entries.iter().map(read).collect()
}

fn read_source(
    node: &Node<'_>,
    known: &Known<'_>,
    earlier: &[Step],
) -> Result<Origin, PolicyError> {
    const EXPECTED: &str = "\"dataset:NAME\", \"step:OUTPUT\" for an earlier step's output, or \
                            \"custody:OUTPUT\" for what a job above leaves in custody";
    let text = node.string()?;
    match text.split_once(':') {
        Some(("dataset", name)) => {
            let mut datasets = known.datasets.iter().map(|dataset| &dataset.name);
            let found = datasets.clone().find(|dataset| dataset.as_str() == name);
            let found = found.cloned().map(Origin::Dataset);
            found.ok_or_else(|| node.error(Problem::unknown("dataset", name, &mut datasets)))
        }
        Some(("custody", name)) => {
            const WHAT: &str = "output that a job above leaves in custody";
            let names = || known.in_custody().map(|output| &output.name);
            let found = names().find(|output| output.as_str() == name);
            let found = found.cloned().map(Origin::Custody);
            found.ok_or_else(|| node.error(Problem::unknown(WHAT, name, names())))
        }
        Some(("step", name)) => {
            let outputs = earlier.iter().flat_map(|step| &step.outputs);
            let kept = outputs.filter(|output| output.to == To::Step);
            let mut names = kept.map(|output| &output.name);
            let found = names.clone().find(|output| output.as_str() == name);
            let found = found.cloned().map(Origin::Step);
            let what = "output of an earlier step that goes to \"step\" and is called";
            found.ok_or_else(|| node.error(Problem::unknown(what, name, &mut names)))
        }
        _ => Err(node.error(Problem::value(EXPECTED, text))),
    }
}

fn read_outputs(
    fields: &Fields<'_>,
    known: &Known<'_>,
    earlier: &[Step],
) -> Result<Vec<Output>, PolicyError> {
    let entries = match fields.optional("outputs") {
        Some(node) => node.entries(MAX_OUTPUTS)?,
        None => Vec::new(),
    };
    let mut outputs: Vec<Output> = Vec::new();
    for entry in &entries {
        let output = read_output(entry, known)?;
        let same = |other: &Output| other.name == output.name;
        let met_before =
            output.is_file() && earlier.iter().flat_map(|step| &step.outputs).any(same);
        if met_before || outputs.iter().any(same) {
            return Err(entry.key.error(Problem::repeated("output", &output.name)));
        }
        // It is what a dataset is to later jobs: sealed, released and counted under its name.
        let mut datasets = known.datasets.iter();
        if output.custody().is_some()
            && (datasets.any(|dataset| dataset.name == output.name) || known.in_custody().any(same))
        {
            let what = "name of a dataset or of what is in custody";
            return Err(entry.key.error(Problem::repeated(what, &output.name)));
        }
        outputs.push(output);
    }
    // What a lone party's own job prints and uses is that party's.
    if let Some(party) = known.only_party() {
        for name in RESERVED {
            if !outputs.iter().any(|output| output.name.as_str() == name) {
                outputs.push(Output {
                    // Such names are within a name's alphabet.
                    name: name.parse().unwrap_or_else(|error| unreachable!("{error}")),
                    folder: false,
                    to: To::Parties(vec![Arc::clone(party)]),
                    media_type: MediaType::octet_stream(),
                });
            }
        }
    }
    outputs.sort_by(|a, b| a.name.cmp(&b.name));
    Ok(outputs)
}

fn read_output(entry: &Entry<'_>, known: &Known<'_>) -> Result<Output, PolicyError> {
    let (name, folder) = match entry.key.name.strip_suffix('/') {
        Some(name) => (name, true),
        None => (entry.key.name, false),
    };
    let name = entry.key.checked(name)?;
    let mut media_type = MediaType::octet_stream();
    let to = if entry.value.is_table() {
        let fields = entry
            .value
            .table(&["to", "custody", "runs", "media_type"])?;
        if let Some(node) = fields.optional("media_type") {
            media_type = node.checked()?;
        }
        match fields.optional("to") {
            None => To::Custody(read_custody(&fields, known)?),
            Some(to) => {
                if fields
                    .optional("custody")
                    .or(fields.optional("runs"))
                    .is_some()
                {
                    return Err(entry.value.error(Problem::Contradiction(
                        "what goes to parties is in nobody's custody: write either `to` or \
                         `custody` with `runs`",
                    )));
                }
                read_to(&to, known)?
            }
        }
    } else {
        read_to(&entry.value, known)?
    };
    let output = Output {
        name,
        folder,
        to,
        media_type,
    };
    let plain = matches!(output.to, To::Parties(_)) && output.media_type.is_octet_stream();
    if !output.is_file() && (folder || !plain) {
        return Err(entry.key.error(Problem::Contradiction(
            "stdout, stderr, progress, error and usage are no files: they go to parties, and have no \
             media type; for a folder or for a later step give the output another name",
        )));
    }
    Ok(output)
}

fn read_to(node: &Node<'_>, known: &Known<'_>) -> Result<To, PolicyError> {
    const EXPECTED: &str = "\"step\", or a list of parties ([] for nobody), or { custody = \
                            \"bank-a\", runs = 100 }";
    match node.as_str() {
        Some("step") => Ok(To::Step),
        Some(other) => Err(node.error(Problem::value(EXPECTED, other))),
        None => {
            let nodes = node.array(known.parties.len())?;
            Ok(To::Parties(find_parties(&nodes, known.parties)?))
        }
    }
}

fn read_custody(fields: &Fields<'_>, known: &Known<'_>) -> Result<Custody, PolicyError> {
    let holder = fields.required("custody", "the party or broker that keeps the key")?;
    let name = holder.string()?;
    let holder = known.card(name).ok_or_else(|| {
        let cards = known.cards().map(|card| card.name());
        holder.error(Problem::unknown("party or broker", name, cards))
    })?;
    let runs = fields.required(
        "runs",
        "for how many runs its key may be released, runs = 100",
    )?;
    Ok(Custody {
        holder: Arc::clone(holder),
        runs: runs.integer(1..=u32::MAX)?,
    })
}

fn read_padding(
    fields: &Fields<'_>,
    known: &Known<'_>,
    outputs: &[Output],
) -> Result<Padding, PolicyError> {
    const EXPECTED: &str = "padding = \"exact\", \"power-of-two\" or { fixed = \"1MiB\" }: the \
                            host sees how long a result is";
    // Figures have one length, whatever they are.
    let padded = |output: &&Output| output.name.as_str() != USAGE;
    let released = outputs.iter().filter(padded).any(Output::is_released);
    let node = match fields.optional("padding") {
        Some(node) => node,
        None if !released => return Ok(Padding::Exact),
        None if known.only_party().is_some() && !known.padded => return Ok(Padding::Exact),
        None => fields.required("padding", EXPECTED)?,
    };
    let padding = Padding::read(&node)?;
    if known.padded && released && padding == Padding::Exact {
        return Err(node.error(Problem::Contradiction(
            "visible = \"volume\" hides lengths, padding = \"exact\" shows them: write \
             \"power-of-two\" or { fixed = \"1MiB\" }",
        )));
    }
    Ok(padding)
}

fn read_keys(fields: &Fields<'_>, known: &Known<'_>) -> Result<Vec<GuestKey>, PolicyError> {
    let entries = match fields.optional("keys") {
        Some(node) => node.entries(MAX_INPUTS)?,
        None => Vec::new(),
    };
    let read = |entry: &Entry<'_>| {
        Ok(GuestKey {
            name: entry.key.checked(entry.key.name)?,
            from: find_party(&entry.value, known.parties)?,
        })
    };
    entries.iter().map(read).collect()
}
