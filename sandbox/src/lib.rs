//! The sandbox: where a measured component runs, and all that it can reach.
//!
//! It knows nothing of sessions, policies or the network. It trusts the code
//! around it, which gives it inputs ([`InputFile`]), limits and a place for sealed
//! pages ([`PageStore`]), and it trusts neither the guest nor the host: a guest is
//! given four folders and nothing else, and whatever comes back from the host is
//! authenticated before it is used.
//!
//! Start reading at [`run`](run()), then [`run_together`] for several instances of one
//! component, whose streams are [`peers`]; [`component`] for how bytes become something
//! that can be run, [`vfs`] for the guest's files, [`wasi`] for its calls.

mod budget;
mod cache;
mod cancel;
mod compile;
mod component;
mod engine;
mod failure;
mod inspect;
mod limits;
mod memory;
mod notes;
mod peers;
mod run;
mod together;
mod vfs;
mod wasi;

pub use cache::{CompilationCache, SealedCache};
pub use cancel::Cancellation;
pub use compile::{COMPILE_CHILD, CompileError, CompileLimits, CompileMode, compile_child_main};
pub use component::{CodeOrigin, ComponentStore, MeasureError, MeasuredComponent};
pub use engine::{Engine, EngineError, EngineProfile, UnknownProfile};
pub use failure::Failure;
pub use inspect::{Caps, Refusal};
pub use limits::{Limits, PEERS};
pub use run::{RunOutcome, RunSpec, Usage, run};
pub use together::{TogetherOutcome, run_together};
pub use vfs::{
    BadName, BytesInput, InputError, InputFile, InputTree, Output, OutputFile, OutputTree, PAGE,
    PageStore, PageStoreError, ProgressEvent, ProgressReceiver, progress_channel,
};
