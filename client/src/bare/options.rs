//! What a bare run is given.

use std::{path::PathBuf, time::Duration};

use mc2_sandbox::{EngineProfile, GuestKey};

/// What to run and with what.
pub struct BareOptions {
    /// The component's file.
    pub component: PathBuf,
    /// Name and path of each input; a path may be a folder. The input `stdin` is also the guest's
    /// standard input.
    pub inputs: Vec<(String, PathBuf)>,
    /// Name and path of each output; a name that ends in `/` is a folder.
    pub outputs: Vec<(String, PathBuf)>,
    /// The command line after the program's name.
    pub arguments: Vec<String>,
    /// How many instances run together, at least 1.
    pub instances: u32,
    /// Standard input where there is no input called `stdin`.
    pub stdin: BareStdin,
    /// Where the first instance's standard output goes; the others' goes nowhere.
    pub stdout: BareStdout,
    /// Where all instances' standard error goes.
    pub stderr: BareStdout,
    /// What stands below `/run/mc2/keys`.
    pub keys: Vec<GuestKey>,
    /// Bytes of all memories and tables together, over all instances.
    pub memory: u64,
    /// How long the guest may run; compiling is not counted.
    pub timeout: Option<Duration>,
    /// Bytes of outputs, streams and messages together; the disk alone limits them where there is
    /// none.
    pub output: Option<u64>,
    /// Bytes of `/tmp`, the same.
    pub scratch: Option<u64>,
    /// How the engine is configured.
    pub profile: EngineProfile,
    /// Where compiled components are kept; nothing is kept where this is `None`. See
    /// [`default_cache`](super::default_cache).
    pub cache: Option<PathBuf>,
    /// Told what happens while it happens.
    pub events: Box<dyn Fn(BareEvent<'_>) + Send + Sync>,
}

impl BareOptions {
    /// A run of this component with nothing in it: no inputs, outputs or arguments, streams that
    /// are captured, 3 GiB of memory.
    pub fn new(component: impl Into<PathBuf>) -> Self {
        Self {
            component: component.into(),
            inputs: Vec::new(),
            outputs: Vec::new(),
            arguments: Vec::new(),
            instances: 1,
            stdin: BareStdin::Empty,
            stdout: BareStdout::Capture,
            stderr: BareStdout::Capture,
            keys: Vec::new(),
            memory: 3 << 30,
            timeout: None,
            output: None,
            scratch: None,
            profile: EngineProfile::Vm,
            cache: None,
            events: Box::new(|_| ()),
        }
    }
}

/// A guest's standard input.
#[derive(Clone, Copy)]
pub enum BareStdin {
    /// Nothing to read.
    Empty,
    /// The caller's own standard input, read to its end before the guest starts.
    Inherit,
}

/// Where a guest's standard stream goes.
pub enum BareStdout {
    /// The caller's own stream.
    Inherit,
    /// Into [`BareOutcome`](super::BareOutcome).
    Capture,
    /// A file, created or emptied.
    File(PathBuf),
}

/// Something that happens during a run.
#[derive(Debug)]
pub enum BareEvent<'a> {
    /// Compiling has begun; it takes a minute for a large component.
    Compiling,
    /// The guest has started.
    Running,
    /// A line the guest wrote to `/run/mc2/progress`.
    Progress(&'a str),
}
