//! What a job used, told to those whom it concerns (protocol.md §12).
//!
//! A guest can steer what it reads, writes and holds, so those figures are an output like any
//! other: they go to whom the policy names under [`USAGE`](crate::policy::USAGE). What the host saw
//! of a step goes to the owners of the data it may have told the host about. Both travel in the
//! receipt, sealed, in an encoding whose length is the number of instances and nothing else.

use crate::{
    Card, Digest, Identity,
    crypto::{hpke::HpkeError, label},
    documents::sealed_to::{SealTo, SealedTo},
};

/// Bytes of one instance's usage.
const USAGE_LEN: usize = 32;
/// Bytes of a step's part of what the host saw, and of each instance's.
const STEP_LEN: usize = 24;
const INSTANCE_LEN: usize = 16;
/// Stands for fuel that was not counted.
const NOT_COUNTED: u64 = u64::MAX;

/// What one instance of a step used, by its own doing.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct InstanceUsage {
    /// Most bytes of memories and tables it had at once.
    pub memory_peak: u64,
    /// Plaintext bytes it read from inputs.
    pub input_bytes: u64,
    /// Plaintext bytes it left in outputs and streams.
    pub output_bytes: u64,
    /// Fuel used, where the policy asked for metering.
    pub fuel: Option<u64>,
}

/// What all instances of a step used, in the order of ranks.
///
/// ```
/// use mc2_protocol::{
///     Digest, Identity,
///     documents::figures::{InstanceUsage, StepOf, StepUsage},
/// };
///
/// # let mut rng = rand_core::UnwrapErr(getrandom::SysRng);
/// let reader = Identity::generate("bank-a".parse()?, &mut rng);
/// let (session, job) = (Digest::of(b"the session record"), Digest::of(b"the job"));
/// let of = |step| StepOf { session: &session, job: &job, step };
/// let usage = StepUsage(vec![InstanceUsage { memory_peak: 1 << 20, ..Default::default() }]);
/// let sealed = usage.seal(of(0), reader.card(), &mut rng);
/// assert_eq!(StepUsage::open(of(0), &sealed, &reader)?, usage);
/// assert!(StepUsage::open(of(1), &sealed, &reader).is_err());
/// # Ok::<(), Box<dyn std::error::Error>>(())
/// ```
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct StepUsage(pub Vec<InstanceUsage>);

/// What the host saw of a step.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct StepObserved {
    /// Segments of inputs that were fetched, again where they were fetched again.
    pub fetched_segments: u64,
    /// Sealed bytes of inputs that were fetched, with lists of digests.
    pub fetched_bytes: u64,
    /// Sealed bytes of outputs that were stored, padding included.
    pub stored_bytes: u64,
    /// What it saw of each instance, in the order of ranks.
    pub instances: Vec<InstanceObserved>,
}

/// What the host saw of one instance.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct InstanceObserved {
    /// Bytes of scratch pages written to the host.
    pub spilled_bytes: u64,
    /// Milliseconds it ran by the host's clock.
    pub untrusted_wall_ms: u64,
}

/// Which step of which job figures are of.
#[derive(Clone, Copy, Debug)]
pub struct StepOf<'a> {
    /// The session's digest.
    pub session: &'a Digest,
    /// The job's digest.
    pub job: &'a Digest,
    /// The step, from 0.
    pub step: u32,
}

impl StepUsage {
    /// Seals the figures to one of those whom the policy names.
    pub fn seal(&self, of: StepOf<'_>, to: &Card, by: &mut impl SealTo) -> SealedTo {
        let mut bytes = Vec::with_capacity(self.0.len() * USAGE_LEN);
        for one in &self.0 {
            let fuel = one.fuel.unwrap_or(NOT_COUNTED);
            for figure in [one.memory_peak, one.input_bytes, one.output_bytes, fuel] {
                bytes.extend_from_slice(&figure.to_be_bytes());
            }
        }
        SealedTo::seal(&of.info(label::USAGE, to.digest()), to, &bytes, by)
    }

    /// Opens the figures.
    ///
    /// # Errors
    /// [`HpkeError`] when they are sealed to another card or for another step.
    pub fn open(of: StepOf<'_>, sealed: &SealedTo, with: &Identity) -> Result<Self, HpkeError> {
        let bytes = sealed.open(&of.info(label::USAGE, &sealed.card), with)?;
        let (instances, rest) = bytes.as_chunks::<USAGE_LEN>();
        let instances = instances.iter().map(|bytes| {
            let [memory_peak, input_bytes, output_bytes, fuel] = figures(bytes);
            InstanceUsage {
                memory_peak,
                input_bytes,
                output_bytes,
                fuel: (fuel != NOT_COUNTED).then_some(fuel),
            }
        });
        match rest {
            [] => Ok(Self(instances.collect())),
            _ => Err(HpkeError::Open),
        }
    }
}

impl StepObserved {
    /// Seals the figures to an owner of the job's data.
    pub fn seal(&self, of: StepOf<'_>, to: &Card, by: &mut impl SealTo) -> SealedTo {
        let step = [self.fetched_segments, self.fetched_bytes, self.stored_bytes];
        let instances = self
            .instances
            .iter()
            .flat_map(|one| [one.spilled_bytes, one.untrusted_wall_ms]);
        let bytes: Vec<u8> = step
            .into_iter()
            .chain(instances)
            .flat_map(u64::to_be_bytes)
            .collect();
        SealedTo::seal(&of.info(label::OBSERVED, to.digest()), to, &bytes, by)
    }

    /// Opens the figures.
    ///
    /// # Errors
    /// [`HpkeError`] when they are sealed to another card or for another step.
    pub fn open(of: StepOf<'_>, sealed: &SealedTo, with: &Identity) -> Result<Self, HpkeError> {
        let bytes = sealed.open(&of.info(label::OBSERVED, &sealed.card), with)?;
        let (step, rest) = bytes
            .split_first_chunk::<STEP_LEN>()
            .ok_or(HpkeError::Open)?;
        let [fetched_segments, fetched_bytes, stored_bytes] = figures(step);
        let (instances, rest) = rest.as_chunks::<INSTANCE_LEN>();
        let instances = instances.iter().map(|bytes| {
            let [spilled_bytes, untrusted_wall_ms] = figures(bytes);
            InstanceObserved {
                spilled_bytes,
                untrusted_wall_ms,
            }
        });
        match rest {
            [] => Ok(Self {
                fetched_segments,
                fetched_bytes,
                stored_bytes,
                instances: instances.collect(),
            }),
            _ => Err(HpkeError::Open),
        }
    }
}

impl StepOf<'_> {
    fn info(self, label: &str, card: &Digest) -> Vec<u8> {
        let step = self.step.to_be_bytes();
        let parts: [&[u8]; 4] = [
            self.session.as_bytes(),
            self.job.as_bytes(),
            &step,
            card.as_bytes(),
        ];
        label::context(label, &parts)
    }
}

/// `N` figures of eight bytes each.
fn figures<const BYTES: usize, const N: usize>(bytes: &[u8; BYTES]) -> [u64; N] {
    const { assert!(BYTES == 8 * N) }
    let (words, _) = bytes.as_chunks::<8>();
    std::array::from_fn(|at| u64::from_be_bytes(words[at]))
}

#[cfg(test)]
mod tests {
    use super::*;

    fn rng() -> rand_core::UnwrapErr<getrandom::SysRng> {
        rand_core::UnwrapErr(getrandom::SysRng)
    }

    #[test]
    fn figures_reach_their_reader_and_their_length_tells_nothing() {
        let mut rng = rng();
        let reader = Identity::generate("reader".parse().unwrap(), &mut rng);
        let other = Identity::generate("other".parse().unwrap(), &mut rng);
        let (session, job) = (Digest::of(b"session"), Digest::of(b"job"));
        let of = |step| StepOf {
            session: &session,
            job: &job,
            step,
        };
        let mut lengths = std::collections::BTreeSet::new();
        for figure in [0, 1, u64::MAX - 1] {
            let usage = StepUsage(vec![
                InstanceUsage {
                    memory_peak: figure,
                    input_bytes: figure,
                    output_bytes: figure,
                    fuel: (figure > 0).then_some(figure),
                };
                2
            ]);
            let sealed = usage.seal(of(1), reader.card(), &mut rng);
            assert_eq!(StepUsage::open(of(1), &sealed, &reader).unwrap(), usage);
            assert!(StepUsage::open(of(2), &sealed, &reader).is_err());
            assert!(StepUsage::open(of(1), &sealed, &other).is_err());
            assert!(StepObserved::open(of(1), &sealed, &reader).is_err());
            let observed = StepObserved {
                fetched_segments: figure,
                fetched_bytes: figure,
                stored_bytes: figure,
                instances: vec![
                    InstanceObserved {
                        spilled_bytes: figure,
                        untrusted_wall_ms: figure,
                    };
                    2
                ],
            };
            let both = observed.seal(of(1), reader.card(), &mut rng);
            assert_eq!(StepObserved::open(of(1), &both, &reader).unwrap(), observed);
            assert!(StepUsage::open(of(1), &both, &reader).is_err());
            lengths.insert([sealed, both].map(|it| it.sealed.ciphertext.0.len()));
        }
        assert_eq!(lengths.len(), 1);
    }
}
