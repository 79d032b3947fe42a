//! What a guest is told about its job: `/run/mc2/job.json` (docs/workloads.md).

use mc2_description::{Description, InputDescription, Limits, OutputDescription};
use mc2_protocol::policy::{AdmittedJob, AdmittedStep};

use super::remaining::Remaining;

/// The bytes of `job.json` for one instance of a step, which earlier ones left so much.
pub(crate) fn describe(
    job: &AdmittedJob,
    step: &AdmittedStep,
    instance: u32,
    inputs: &[InputDescription],
    remaining: Remaining,
) -> Vec<u8> {
    let outputs = step.outputs.iter().filter(|output| output.is_file());
    let description = Description {
        version: Description::VERSION,
        name: job.name.to_string(),
        component: step.component.name.to_string(),
        arguments: step.arguments.clone(),
        instance,
        instances: step.instances,
        inputs: inputs.to_vec(),
        outputs: outputs
            .map(|output| OutputDescription {
                name: output.name.to_string(),
                media_type: output.media_type.as_str().to_owned(),
                folder: output.folder,
            })
            .collect(),
        limits: Some(Limits {
            memory: remaining.memory,
            time_ms: remaining.time.as_millis() as u64,
            output: remaining.output,
            scratch: remaining.scratch,
        }),
    };
    description.to_json()
}
