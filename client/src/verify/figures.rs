//! What a job used, as far as this reader may see it.

use std::fmt::Write as _;

use mc2_protocol::{
    Digest, Identity, Name,
    documents::{
        figures::{StepObserved, StepOf, StepUsage},
        receipt::Receipt,
        sealed_to::SealedTo,
    },
};
use serde_json::{Value, json};

use crate::terminal::size;

/// Figures of every step of a job.
#[derive(Clone, Debug, Default)]
pub struct Figures(pub Vec<StepFigures>);

/// Figures of one step; `None` where they are not for this reader.
#[derive(Clone, Debug)]
pub struct StepFigures {
    /// The component's name in the policy.
    pub component: Name,
    /// What it used by its own doing: for those whom the policy names under `usage`.
    pub usage: Option<StepUsage>,
    /// What the host saw of it: for owners of the job's data.
    pub observed: Option<StepObserved>,
}

impl Figures {
    /// Opens what a verified receipt holds for one of these identities.
    pub fn open(receipt: &Receipt, session: &Digest, readers: &[Identity]) -> Self {
        let steps = (0_u32..).zip(&receipt.steps).map(|(index, step)| {
            let of = StepOf {
                session,
                job: &receipt.job,
                step: index,
            };
            StepFigures {
                component: step.component.clone(),
                usage: opened(&step.usage, readers, |sealed, reader| {
                    StepUsage::open(of, sealed, reader).ok()
                }),
                observed: opened(&step.observed, readers, |sealed, reader| {
                    StepObserved::open(of, sealed, reader).ok()
                }),
            }
        });
        Self(steps.collect())
    }

    /// The figures for people, a line for each thing there is to tell.
    pub fn to_text(&self) -> String {
        let mut text = String::new();
        for step in &self.0 {
            let component = &step.component;
            for used in step.usage.iter().flat_map(|usage| &usage.0) {
                let fuel = used.fuel.map(|fuel| format!(", fuel {fuel}"));
                let _ = writeln!(
                    text,
                    "usage: {component}: memory {}, read {}, wrote {}{}",
                    size(used.memory_peak),
                    size(used.input_bytes),
                    size(used.output_bytes),
                    fuel.unwrap_or_default()
                );
            }
            let Some(seen) = &step.observed else { continue };
            let _ = writeln!(
                text,
                "the host saw: {component}: {} segments fetched ({}), {} of sealed outputs stored",
                seen.fetched_segments,
                size(seen.fetched_bytes),
                size(seen.stored_bytes)
            );
            for one in &seen.instances {
                let _ = writeln!(
                    text,
                    "the host saw: {component}: {} spilled, {} ms by its own clock",
                    size(one.spilled_bytes),
                    one.untrusted_wall_ms
                );
            }
        }
        text
    }

    /// The figures for programs: one object a step, `null` for what is not for this reader.
    pub fn to_json(&self) -> Value {
        let step = |step: &StepFigures| {
            let usage = step.usage.as_ref().map(|usage| &usage.0[..]);
            let observed = step.observed.as_ref();
            let count = usage.map_or(0, <[_]>::len);
            let count = count.max(observed.map_or(0, |seen| seen.instances.len()));
            let instances = (0..count).map(|rank| {
                let used = usage.and_then(|usage| usage.get(rank));
                let seen = observed.and_then(|seen| seen.instances.get(rank));
                json!({
                    "memory_peak": used.map(|used| used.memory_peak),
                    "input_bytes": used.map(|used| used.input_bytes),
                    "output_bytes": used.map(|used| used.output_bytes),
                    "fuel": used.and_then(|used| used.fuel),
                    "spilled_bytes": seen.map(|seen| seen.spilled_bytes),
                    "untrusted_wall_ms": seen.map(|seen| seen.untrusted_wall_ms),
                })
            });
            json!({
                "component": step.component,
                "instances": instances.collect::<Vec<_>>(),
                "fetched_segments": observed.map(|seen| seen.fetched_segments),
                "fetched_bytes": observed.map(|seen| seen.fetched_bytes),
                "stored_bytes": observed.map(|seen| seen.stored_bytes),
            })
        };
        self.0.iter().map(step).collect()
    }
}

/// What is sealed to one of the readers.
fn opened<T>(
    sealed: &[SealedTo],
    readers: &[Identity],
    open: impl Fn(&SealedTo, &Identity) -> Option<T>,
) -> Option<T> {
    sealed.iter().find_map(|sealed| {
        let own = |reader: &&Identity| *reader.card().digest() == sealed.card;
        open(sealed, readers.iter().find(own)?)
    })
}
