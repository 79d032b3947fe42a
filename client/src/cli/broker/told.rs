//! What is said of what was done, in words or as one JSON object.

use std::io::{self, Write};

use serde_json::{Value, json};

use super::{CommandError, Outcome};
use crate::{
    broker::{Broker, BrokerError, Folder, Held, InCustody},
    cli,
    exit::Exit,
};

/// What is said.
pub(super) struct Told {
    /// What was done, in a word.
    status: &'static str,
    /// With what, for programs.
    fields: Value,
    /// For people.
    text: String,
}

impl Told {
    /// A line.
    pub(super) fn line(status: &'static str, line: &str, fields: Value) -> Self {
        Self {
            status,
            fields,
            text: format!("{line}\n"),
        }
    }

    /// What people are told by nothing being said.
    pub(super) const fn silent(status: &'static str, fields: Value) -> Self {
        Self {
            status,
            fields,
            text: String::new(),
        }
    }

    /// Of a broker that was made.
    pub(super) fn made(folder: &Folder, broker: &Broker) -> Result<Self, BrokerError> {
        let (card, root) = (broker.card(), folder.state().root());
        let head = folder.state().ledger().head()?.last;
        let fingerprint = card.fingerprint();
        Ok(Self {
            status: "made",
            fields: json!({
                "broker": card.name(),
                "folder": root,
                "fingerprint": fingerprint,
                "head": head,
            }),
            text: format!(
                "broker       {}\nfolder       {}\nfingerprint  {fingerprint}\nhead         {head}\n",
                card.name(),
                root.display(),
            ),
        })
    }

    /// Of what a broker took.
    pub(super) fn added(held: Option<&Held>, custody: &[InCustody]) -> Self {
        let lines = held.map(held_text).into_iter();
        let lines = lines.chain(custody.iter().map(custody_text));
        Self {
            status: "added",
            fields: json!({ "held": held, "custody": custody }),
            text: lines.map(|line| format!("{line}\n")).collect(),
        }
    }

    /// Writes it.
    pub(super) fn write(self, json: bool, out: &mut impl Write) -> Outcome {
        let text = match json {
            true => cli::object(self.status, Exit::Success, self.fields),
            false => self.text,
        };
        say(out, &text)
    }
}

pub(super) fn held_text(held: &Held) -> String {
    format!(
        "{} version {} of {}  object {}",
        held.dataset,
        held.number,
        held.owner.short(),
        held.object,
    )
}

pub(super) fn custody_text(one: &InCustody) -> String {
    format!(
        "{} of job {}, for {} runs under policy {}  object {}",
        one.output,
        one.job.short(),
        one.runs,
        one.policy.short(),
        one.object,
    )
}

pub(super) fn say(out: &mut impl Write, text: &str) -> Outcome {
    match out.write_all(text.as_bytes()).and_then(|()| out.flush()) {
        Err(error) if error.kind() != io::ErrorKind::BrokenPipe => {
            Err(CommandError::Terminal(error))
        }
        _ => Ok(()),
    }
}
