//! A policy on its way: each value checked by itself, in the spelling it has in the file.

use std::path::Path;

use mc2_protocol::{
    Card, Digest, Name, PartyName,
    policy::{Duration, Platform, Size, TcbStatus, Tee},
};

use crate::{
    party::{Parties, read_card},
    policy::rfc3339,
    terminal::chain,
    workload::Workload,
};

const DAY: u64 = 24 * 60 * 60;

/// What was answered so far.
pub(super) struct Draft<'k> {
    known: &'k Parties,
    now: u64,
    pub(super) name: String,
    pub(super) expires: String,
    pub(super) cards: Vec<Card>,
    pub(super) components: Vec<(Name, Digest)>,
    pub(super) datasets: Vec<DraftDataset>,
    pub(super) tee: Vec<Tee>,
    pub(super) platforms: Vec<String>,
    pub(super) tcb: Vec<String>,
    pub(super) visible: String,
    pub(super) job: String,
    pub(super) submit: Vec<PartyName>,
    pub(super) approve: Approvers,
    pub(super) at_least: usize,
    pub(super) when: String,
    pub(super) runs: u32,
    pub(super) memory: String,
    pub(super) time: String,
    pub(super) output: String,
    /// As TOML.
    pub(super) errors: String,
    pub(super) steps: Vec<DraftStep>,
}

/// A dataset, its owner, and its only version.
pub(super) struct DraftDataset {
    pub(super) name: Name,
    pub(super) owner: PartyName,
    pub(super) object: Option<Digest>,
}

/// Whose approval the job needs.
pub(super) enum Approvers {
    None,
    All,
    Named(Vec<PartyName>),
}

/// One step.
pub(super) struct DraftStep {
    pub(super) component: Name,
    pub(super) inputs: Vec<(Name, String)>,
    pub(super) args: String,
    /// By name, with `/` where it is a folder; what it goes to as TOML.
    pub(super) outputs: Vec<(String, String)>,
    pub(super) padding: Option<String>,
}

type Taken = Result<(), String>;

impl<'k> Draft<'k> {
    pub(super) const fn new(known: &'k Parties, now: u64) -> Self {
        Self {
            known,
            now,
            name: String::new(),
            expires: String::new(),
            cards: Vec::new(),
            components: Vec::new(),
            datasets: Vec::new(),
            tee: Vec::new(),
            platforms: Vec::new(),
            tcb: Vec::new(),
            visible: String::new(),
            job: String::new(),
            submit: Vec::new(),
            approve: Approvers::None,
            at_least: 0,
            when: String::new(),
            runs: 0,
            memory: String::new(),
            time: String::new(),
            output: String::new(),
            errors: String::new(),
            steps: Vec::new(),
        }
    }

    pub(super) const fn now(&self) -> u64 {
        self.now
    }

    /// The names of the cards that can be named.
    pub(super) fn known_names(&self) -> Vec<String> {
        let cards = self.known.own().iter().chain(self.known.others());
        cards.map(|card| card.name().to_string()).collect()
    }

    pub(super) fn party_names(&self) -> Vec<String> {
        self.cards
            .iter()
            .map(|card| card.name().to_string())
            .collect()
    }

    pub(super) const fn of_one_party(&self) -> bool {
        self.cards.len() == 1
    }

    pub(super) fn simulated(&self) -> bool {
        self.tee.contains(&Tee::Sim)
    }

    pub(super) fn take_expires(&mut self, text: &str) -> Taken {
        let days = text
            .strip_suffix('d')
            .and_then(|days| days.parse::<u32>().ok());
        if let Some(days) = days {
            self.expires = rfc3339(self.now + u64::from(days) * DAY);
            return Ok(());
        }
        let time = text.parse::<toml::value::Datetime>().ok();
        let whole = time.is_some_and(|time| {
            time.date.is_some() && time.time.is_some() && time.offset.is_some()
        });
        if !whole {
            return Err(format!(
                "expected a time such as 2027-01-31T00:00:00Z, or days from now such as 90d, found \
                 {text}"
            ));
        }
        text.clone_into(&mut self.expires);
        Ok(())
    }

    pub(super) fn take_parties(&mut self, values: &[String]) -> Taken {
        let mut cards: Vec<Card> = Vec::new();
        for value in values {
            let known = self.known.own().iter().chain(self.known.others());
            let mut named = known.filter(|card| card.name().as_str() == value);
            let card = match named.next() {
                Some(card) => card.clone(),
                None if Path::new(value).is_file() => {
                    read_card(Path::new(value), None).map_err(|error| chain(&error))?
                }
                None => {
                    return Err(format!(
                        "{value} is neither a known card (known: {}) nor a card's file",
                        self.known_names().join(", ")
                    ));
                }
            };
            if cards.iter().any(|other| other.name() == card.name()) {
                return Err(format!("{} is named twice", card.name()));
            }
            cards.push(card);
        }
        if cards.is_empty() {
            return Err("a policy has at least one party".to_owned());
        }
        self.cards = cards;
        Ok(())
    }

    pub(super) fn take_components(&mut self, values: &[String]) -> Taken {
        let mut components = Vec::new();
        for value in values {
            let (name, file) = named(value, "NAME=FILE.wasm or NAME=SHA256")?;
            let sha256 = match file.parse::<Digest>() {
                Ok(digest) => digest,
                Err(_) => {
                    let read = Workload::read(Path::new(file));
                    read.map_err(|error| chain(&error))?.sha256
                }
            };
            components.push((name, sha256));
        }
        if components.is_empty() {
            return Err("a policy has at least one component".to_owned());
        }
        self.components = components;
        Ok(())
    }

    pub(super) fn take_datasets(&mut self, values: &[String]) -> Taken {
        let mut datasets = Vec::new();
        for value in values {
            let (name, owner) = named(value, "NAME=OWNER or NAME=OWNER:OBJECT")?;
            let (owner, object) = match owner.split_once(':') {
                Some((owner, object)) => {
                    let object = object
                        .parse::<Digest>()
                        .map_err(|error| format!("object {object}: {error}"))?;
                    (owner, Some(object))
                }
                None => (owner, None),
            };
            let owner = self.party(owner)?;
            datasets.push(DraftDataset {
                name,
                owner,
                object,
            });
        }
        self.datasets = datasets;
        Ok(())
    }

    pub(super) fn take_tees(&mut self, values: &[String]) -> Taken {
        let tees = values.iter().map(|value| {
            let tee = value.parse::<Tee>();
            tee.map_err(|error| format!("expected {error}, found {value}"))
        });
        let tees: Vec<Tee> = tees.collect::<Result<_, _>>()?;
        if tees.is_empty() {
            return Err("name at least one kind of enclave".to_owned());
        }
        if tees.contains(&Tee::Sim) && tees.len() > 1 {
            return Err("sim is no protection at all, so it stands alone".to_owned());
        }
        self.tee = tees;
        Ok(())
    }

    pub(super) fn take_platforms(&mut self, values: &[String]) -> Taken {
        if values != ["any"] {
            for value in values {
                let platform = value.parse::<Platform>();
                let platform =
                    platform.map_err(|error| format!("expected any, or {error}; found {value}"))?;
                if !self.tee.iter().any(|tee| platform.fits(*tee)) {
                    let tees: Vec<&str> = self.tee.iter().map(|tee| tee.as_str()).collect();
                    return Err(format!("{value} is no machine with {}", tees.join(" or ")));
                }
            }
        }
        if values.is_empty() {
            return Err("name the machines, or any".to_owned());
        }
        self.platforms = values.to_vec();
        Ok(())
    }

    pub(super) fn take_tcb(&mut self, values: &[String]) -> Taken {
        if values != ["up-to-date"] {
            for value in values {
                let status = value.parse::<TcbStatus>();
                status
                    .map_err(|error| format!("expected up-to-date, or {error}; found {value}"))?;
            }
        }
        if values.is_empty() {
            return Err("name the accepted statuses, or up-to-date".to_owned());
        }
        self.tcb = values.to_vec();
        Ok(())
    }

    pub(super) fn take_submit(&mut self, values: &[String]) -> Taken {
        self.submit = self.parties(values)?;
        if self.submit.is_empty() {
            return Err("name at least one party that may submit it".to_owned());
        }
        Ok(())
    }

    pub(super) fn take_approve(&mut self, values: &[String]) -> Taken {
        self.approve = match values {
            [one] if one == "all" => Approvers::All,
            [one] if one == "none" && self.of_one_party() => Approvers::None,
            [one] if one == "none" => {
                return Err(
                    "a policy of several parties says whose approval a job needs".to_owned(),
                );
            }
            [] => return Err("name those whose approval it needs, or all".to_owned()),
            names => Approvers::Named(self.parties(names)?),
        };
        self.at_least = self.approvers();
        Ok(())
    }

    /// How many there are whose approval counts.
    pub(super) fn approvers(&self) -> usize {
        match &self.approve {
            Approvers::None => 0,
            Approvers::All => self.cards.len(),
            Approvers::Named(names) => names.len(),
        }
    }

    pub(super) fn take_at_least(&mut self, text: &str) -> Taken {
        let most = self.approvers();
        let number = text.parse::<usize>().ok();
        let number = number.filter(|number| (1..=most).contains(number));
        self.at_least = number.ok_or_else(|| format!("expected 1 to {most}, found {text}"))?;
        Ok(())
    }

    pub(super) fn take_errors(&mut self, values: &[String]) -> Taken {
        self.errors = match values {
            [one] if one == "full" || one == "none" => format!("\"{one}\""),
            [] => return Err("say full, none, or the codes that may pass".to_owned()),
            codes => {
                let codes: Vec<String> = codes
                    .iter()
                    .map(|code| name(code))
                    .collect::<Result<_, _>>()?;
                format!("{{ codes = {} }}", list(codes))
            }
        };
        Ok(())
    }

    pub(super) fn take_steps(&mut self, values: &[String]) -> Taken {
        let mut steps = Vec::new();
        for value in values {
            let known = self.components.iter().map(|(name, _)| name);
            let found = known.clone().find(|name| name.as_str() == value);
            let component = found.cloned().ok_or_else(|| {
                let known: Vec<&str> = known.map(Name::as_str).collect();
                format!(
                    "there is no component {value}; there are {}",
                    known.join(", ")
                )
            })?;
            steps.push(DraftStep {
                component,
                inputs: Vec::new(),
                args: String::new(),
                outputs: Vec::new(),
                padding: None,
            });
        }
        if steps.is_empty() {
            return Err("a job has at least one step".to_owned());
        }
        self.steps = steps;
        Ok(())
    }

    pub(super) fn take_inputs(&mut self, step: usize, values: &[String]) -> Taken {
        let mut inputs = Vec::new();
        // An empty list is spelt: with no answer at all somebody may have forgotten it.
        for value in values.iter().filter(|value| *value != "none") {
            let (name, from) = named(value, "NAME=dataset:DATASET or NAME=step:OUTPUT")?;
            let source: Option<(&str, Name)> = from
                .split_once(':')
                .and_then(|(kind, name)| Some((kind, name.parse().ok()?)));
            let there = match &source {
                Some(("dataset", dataset)) => {
                    self.datasets.iter().any(|known| known.name == *dataset)
                }
                Some(("step", output)) => self.steps[..step].iter().any(|earlier| {
                    let kept = earlier.outputs.iter().filter(|(_, to)| to == "\"step\"");
                    kept.into_iter()
                        .any(|(name, _)| name.trim_end_matches('/') == output.as_str())
                }),
                _ => false,
            };
            if !there {
                return Err(format!(
                    "{from} is neither dataset:NAME of a dataset of this policy nor step:NAME of an \
                     output that an earlier step leaves to \"step\""
                ));
            }
            inputs.push((name, from.to_owned()));
        }
        self.steps[step].inputs = inputs;
        Ok(())
    }

    pub(super) fn take_args(&mut self, step: usize, text: &str) -> Taken {
        let text = if text == "any" { "\"any\"" } else { text };
        // One value of TOML and nothing behind it.
        let table = format!("args = {text}").parse::<toml::Table>();
        let table = table.map_err(|error| format!("it is no list: {}", error.message()))?;
        if table.len() != 1 || text.contains('\n') {
            return Err("it is more than a list".to_owned());
        }
        text.clone_into(&mut self.steps[step].args);
        Ok(())
    }

    pub(super) fn take_outputs(&mut self, step: usize, values: &[String]) -> Taken {
        let mut outputs = Vec::new();
        for value in values.iter().filter(|value| *value != "none") {
            let (name, to) = value
                .split_once('=')
                .ok_or_else(|| format!("expected NAME=PARTY,PARTY or NAME=step, found {value}"))?;
            let checked = name.strip_suffix('/').unwrap_or(name).parse::<Name>();
            checked.map_err(|error| format!("output {name}: {error}"))?;
            let to = match to {
                "step" => "\"step\"".to_owned(),
                "" => "[]".to_owned(),
                names => {
                    let names: Vec<String> = names.split(',').map(str::to_owned).collect();
                    list(self.parties(&names)?)
                }
            };
            outputs.push((name.to_owned(), to));
        }
        self.steps[step].outputs = outputs;
        Ok(())
    }

    pub(super) fn take_padding(&mut self, step: usize, text: &str) -> Taken {
        self.steps[step].padding = Some(match text {
            "none" => return Ok(()),
            "exact" | "power-of-two" => format!("\"{text}\""),
            size => {
                let size = size.parse::<Size>();
                let size = size.map_err(|error| {
                    format!("expected exact, power-of-two or {error}; found {text}")
                })?;
                format!("{{ fixed = \"{size}\" }}")
            }
        });
        Ok(())
    }

    /// Whether anybody gets anything that this step leaves.
    pub(super) fn releases(&self, step: usize) -> bool {
        let kept = ["\"step\"", "[]"];
        let mut to = self.steps[step].outputs.iter().map(|(_, to)| to.as_str());
        self.of_one_party() || to.any(|to| !kept.contains(&to))
    }

    fn party(&self, name: &str) -> Result<PartyName, String> {
        let cards = self.cards.iter();
        let mut names = cards.map(Card::name);
        let found = names.find(|known| known.as_str() == name).cloned();
        found.ok_or_else(|| {
            let known = self.party_names().join(", ");
            format!("{name} is no party of this policy, whose parties are {known}")
        })
    }

    fn parties(&self, names: &[String]) -> Result<Vec<PartyName>, String> {
        names.iter().map(|name| self.party(name)).collect()
    }
}

/// A value of one spelling.
pub(super) fn one<'v>(values: &'v [String], expected: &str) -> Result<&'v str, String> {
    match values {
        [one] => Ok(one),
        _ => Err(format!("expected one answer: {expected}")),
    }
}

/// One of these words.
pub(super) fn word(values: &[String], words: &[&str]) -> Result<String, String> {
    let expected = words.join(" or ");
    let text = one(values, &expected)?;
    if words.contains(&text) {
        return Ok(text.to_owned());
    }
    Err(format!("expected {expected}, found {text}"))
}

/// A size as it is written.
pub(super) fn size(text: &str) -> Result<String, String> {
    let size = text.parse::<Size>();
    size.map(|size| size.to_string())
        .map_err(|error| format!("expected {error}; found {text}"))
}

/// A duration as it is written.
pub(super) fn duration(text: &str) -> Result<String, String> {
    let time = text.parse::<Duration>();
    time.map(|time| time.to_string())
        .map_err(|error| format!("expected {error}; found {text}"))
}

/// A name as it is written.
pub(super) fn name(text: &str) -> Result<String, String> {
    let name = text.parse::<Name>();
    name.map(|name| name.to_string())
        .map_err(|error| format!("{text}: {error}"))
}

/// Names as a list of TOML.
pub(super) fn list<T: ToString>(values: impl IntoIterator<Item = T>) -> String {
    let values: Vec<String> = values
        .into_iter()
        .map(|value| format!("\"{}\"", value.to_string()))
        .collect();
    format!("[{}]", values.join(", "))
}

fn named<'v>(value: &'v str, expected: &str) -> Result<(Name, &'v str), String> {
    let (name, rest) = value
        .split_once('=')
        .ok_or_else(|| format!("expected {expected}, found {value}"))?;
    let name = name.parse().map_err(|error| format!("{name}: {error}"))?;
    Ok((name, rest))
}
