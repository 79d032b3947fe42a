//! The format of `/run/mc2/job.json`, which the runtime writes and [`Job`](crate::Job) reads.
//!
//! ```json
//! {
//!   "version": 1,
//!   "name": "card-fraud-2026/train",
//!   "component": "sql",
//!   "arguments": ["select count(*) from lineitem"],
//!   "instance": 0,
//!   "instances": 1,
//!   "inputs": [
//!     {"name": "lineitem", "media_type": "application/vnd.apache.parquet", "length": 123, "folder": false}
//!   ],
//!   "outputs": [{"name": "result", "folder": false}],
//!   "limits": {"memory": 2147483648, "time_ms": 60000, "output": 67108864, "scratch": 1073741824}
//! }
//! ```
//!
//! Every field is present. Fields this version does not know are ignored, unlike in the formats
//! of the protocol: a component is approved by digest and must go on running under a runtime that
//! tells its guests more. A change of meaning gets another `version`, which is refused.

use serde::{Deserialize, Serialize};

/// What a job is told about itself: the content of `/run/mc2/job.json`.
///
/// ```
/// let text = r#"{
///     "version": 1, "name": "count", "component": "wordcount", "arguments": ["5"],
///     "instance": 0, "instances": 1,
///     "inputs": [{"name": "text", "media_type": "text/plain", "length": 12, "folder": false}],
///     "outputs": [{"name": "counts", "folder": false}],
///     "limits": {"memory": 1048576, "time_ms": 1000, "output": 4096, "scratch": 4096}
/// }"#;
/// let description: mc2_guest::Description = serde_json::from_str(text)?;
/// assert_eq!(description.inputs[0].length, 12);
/// # Ok::<(), serde_json::Error>(())
/// ```
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Description {
    /// The format's version: 1.
    pub version: u64,
    /// The job's name in the policy.
    pub name: String,
    /// The component's name in the policy.
    pub component: String,
    /// The command line after the program's name.
    pub arguments: Vec<String>,
    /// This instance's number, from 0.
    pub instance: u32,
    /// How many instances run this step.
    pub instances: u32,
    /// What is under `/in`.
    pub inputs: Vec<InputDescription>,
    /// What may be made under `/out`.
    pub outputs: Vec<OutputDescription>,
    /// What all instances of the step may use together; absent only where nothing limits it (plain Wasmtime).
    pub limits: Option<Limits>,
}

impl Description {
    /// The version of the format this crate reads.
    pub const VERSION: u64 = 1;
}

/// One input: a file `/in/NAME`, or a folder of files.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct InputDescription {
    /// The name under `/in`.
    pub name: String,
    /// The media type its owner sealed it with, `application/octet-stream` where unknown.
    pub media_type: String,
    /// Length in bytes; of a folder, the sum over its files.
    pub length: u64,
    /// Whether `/in/NAME` is a folder.
    pub folder: bool,
}

/// One output the job declares.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct OutputDescription {
    /// The name under `/out`.
    pub name: String,
    /// Whether `/out/NAME` is a folder.
    pub folder: bool,
}

/// What all instances of a step may use together.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Limits {
    /// Linear memory and tables together, in bytes.
    pub memory: u64,
    /// Run time, in milliseconds.
    pub time_ms: u64,
    /// All outputs together, in bytes.
    pub output: u64,
    /// `/tmp`, in bytes.
    pub scratch: u64,
}
