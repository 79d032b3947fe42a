//! The format of `/run/mc2/job.json`: what a job is told about itself.
//!
//! Whoever runs a component writes it (the enclave, `mc2-run --bare`), and the guest SDK reads it.
//! It is a crate of its own so that a runtime that writes it links nothing else of the SDK, and it
//! does no I/O. Start with [`Description`].
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
//!   "outputs": [{"name": "result", "media_type": "text/csv", "folder": false}],
//!   "limits": {"memory": 2147483648, "time_ms": 60000, "output": 67108864, "scratch": 1073741824}
//! }
//! ```
//!
//! Every field is present. Fields this version does not know are ignored, unlike in the formats
//! of the protocol: a component is approved by digest and must go on running under a runtime that
//! tells its guests more. A change of meaning gets another `version`, which is refused.

#![forbid(unsafe_code)]

use std::fmt;

use serde::{Deserialize, Serialize};

/// The media type of what nothing is said of.
pub const OCTET_STREAM: &str = "application/octet-stream";

/// What a job is told about itself: the content of `/run/mc2/job.json`.
///
/// ```
/// use mc2_description::Description;
///
/// let text = br#"{
///     "version": 1, "name": "count", "component": "wordcount", "arguments": ["5"],
///     "instance": 0, "instances": 1,
///     "inputs": [{"name": "text", "media_type": "text/plain", "length": 12, "folder": false}],
///     "outputs": [{"name": "counts", "media_type": "text/csv", "folder": false}],
///     "limits": {"memory": 1048576, "time_ms": 1000, "output": 4096, "scratch": 4096}
/// }"#;
/// let description = Description::parse(text)?;
/// assert_eq!(description.inputs[0].length, 12);
/// assert_eq!(Description::parse(&description.to_json())?, description);
/// # Ok::<(), mc2_description::DescriptionError>(())
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

/// Bytes that describe no job.
#[derive(Debug)]
pub enum DescriptionError {
    /// Of another version of the format.
    Version(u64),
    /// Not JSON of this format.
    Json(serde_json::Error),
}

impl Description {
    /// The version of the format this crate reads and writes.
    pub const VERSION: u64 = 1;

    /// Reads the content of `job.json`.
    ///
    /// # Errors
    /// Where it is of another version, is no JSON, or lacks a field.
    pub fn parse(text: &[u8]) -> Result<Self, DescriptionError> {
        #[derive(Deserialize)]
        struct Version {
            version: u64,
        }
        // First, because another version may have other fields.
        let Version { version } = serde_json::from_slice(text)?;
        if version != Self::VERSION {
            return Err(DescriptionError::Version(version));
        }
        Ok(serde_json::from_slice(text)?)
    }

    /// The content of `job.json`: compact, fields in the order of the format.
    pub fn to_json(&self) -> Vec<u8> {
        // Names, texts and numbers always serialise.
        serde_json::to_vec(self).unwrap_or_else(|error| unreachable!("own type: {error}"))
    }
}

impl From<serde_json::Error> for DescriptionError {
    fn from(error: serde_json::Error) -> Self {
        Self::Json(error)
    }
}

impl fmt::Display for DescriptionError {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Version(version) => write!(
                f,
                "version {version} of the job's description; this program reads version {}, so \
                 build it against a newer mc2-guest",
                Description::VERSION
            ),
            Self::Json(error) => error.fmt(f),
        }
    }
}

impl std::error::Error for DescriptionError {}

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
    /// What kind of data whoever runs the job wants there, `application/octet-stream` where that is
    /// not said. A program writes it or says that it cannot.
    #[serde(default = "octet_stream")]
    pub media_type: String,
    /// Whether `/out/NAME` is a folder.
    pub folder: bool,
}

/// What a runtime says that does not know the field.
fn octet_stream() -> String {
    OCTET_STREAM.to_owned()
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

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_guests_read_is_these_bytes() {
        let text = concat!(
            r#"{"version":1,"name":"fraud/train","component":"sql","arguments":["select 1"],"#,
            r#""instance":0,"instances":2,"#,
            r#""inputs":[{"name":"t","media_type":"text/csv","length":3,"folder":false}],"#,
            r#""outputs":[{"name":"r","media_type":"text/csv","folder":true}],"#,
            r#""limits":{"memory":1,"time_ms":2,"output":3,"scratch":4}}"#,
        );
        let description = Description {
            version: Description::VERSION,
            name: "fraud/train".to_owned(),
            component: "sql".to_owned(),
            arguments: vec!["select 1".to_owned()],
            instance: 0,
            instances: 2,
            inputs: vec![InputDescription {
                name: "t".to_owned(),
                media_type: "text/csv".to_owned(),
                length: 3,
                folder: false,
            }],
            outputs: vec![OutputDescription {
                name: "r".to_owned(),
                media_type: "text/csv".to_owned(),
                folder: true,
            }],
            limits: Some(Limits {
                memory: 1,
                time_ms: 2,
                output: 3,
                scratch: 4,
            }),
        };
        assert_eq!(String::from_utf8_lossy(&description.to_json()), text);
    }

    #[test]
    fn a_runtime_that_says_nothing_of_an_output_s_data_is_understood() {
        let text = concat!(
            r#"{"version":1,"name":"n","component":"c","arguments":[],"instance":0,"#,
            r#""instances":1,"inputs":[],"outputs":[{"name":"r","folder":false}],"limits":null}"#,
        );
        let description = Description::parse(text.as_bytes()).unwrap();
        assert_eq!(description.outputs[0].media_type, OCTET_STREAM);
    }
}
