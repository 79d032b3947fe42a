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
//! that can be run, [`files`] for the guest's files, [`wasi`] for its calls.

mod cancel;
mod component;
mod engine;
mod failure;
mod files;
mod hex;
mod limits;
mod peers;
mod run;
mod wasi;

pub use cancel::Cancellation;
#[cfg(feature = "compile")]
pub use component::compile_child_main;
pub use component::{
    COMPILE_CHILD, CodeCache, CodeName, CodeOrigin, CompileError, CompileLimits, CompileMode,
    ComponentStore, MeasureError, MeasuredComponent, Refusal,
};
pub use engine::{Engine, EngineError, EngineProfile, UnknownProfile};
pub use failure::Failure;
pub use files::{
    BadName, BytesInput, GuestKey, InputError, InputFile, InputTree, Output, OutputFile,
    OutputTree, PAGE, PageStore, PageStoreError, PageTag, Print, ProgressEvent, ProgressReceiver,
    progress_channel,
};
pub use limits::{Caps, Limits, PEERS};
pub use run::{RunOutcome, RunSpec, TogetherOutcome, Usage, Used, run, run_together};
