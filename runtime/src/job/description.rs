//! `/run/mc2/job.json`: what a guest is told about its job (docs/workloads.md). The guest SDK
//! reads it; a test here has the SDK read what this writes.

use mc2_protocol::{
    encoding::to_json,
    policy::{AdmittedJob, AdmittedStep},
};
use serde::Serialize;

use super::remaining::Remaining;

#[derive(Serialize)]
struct Description<'a> {
    version: u32,
    name: &'a str,
    component: &'a str,
    arguments: &'a [String],
    instance: u32,
    instances: u32,
    inputs: &'a [InputDescription],
    outputs: Vec<OutputDescription<'a>>,
    limits: LimitsDescription,
}

/// One input as the guest is told of it.
#[derive(Clone, Debug, Serialize)]
pub(crate) struct InputDescription {
    pub(crate) name: String,
    pub(crate) media_type: String,
    pub(crate) length: u64,
    pub(crate) folder: bool,
}

#[derive(Serialize)]
struct OutputDescription<'a> {
    name: &'a str,
    folder: bool,
}

#[derive(Serialize)]
struct LimitsDescription {
    memory: u64,
    time_ms: u64,
    output: u64,
    scratch: u64,
}

/// The bytes of `job.json` for one instance of a step, which earlier ones left so much.
pub(crate) fn describe(
    job: &AdmittedJob,
    step: &AdmittedStep,
    instance: u32,
    inputs: &[InputDescription],
    remaining: Remaining,
) -> Vec<u8> {
    to_json(&Description {
        version: 1,
        name: job.name.as_str(),
        component: step.component.name.as_str(),
        arguments: &step.arguments,
        instance,
        instances: step.instances,
        inputs,
        outputs: step
            .outputs
            .iter()
            .filter(|output| output.is_file())
            .map(|output| OutputDescription {
                name: output.name.as_str(),
                folder: output.folder,
            })
            .collect(),
        limits: LimitsDescription {
            memory: job.limits.memory.bytes(),
            time_ms: remaining.time.as_millis() as u64,
            output: remaining.output,
            scratch: remaining.scratch,
        },
    })
}
