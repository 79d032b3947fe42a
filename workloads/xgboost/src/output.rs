//! The outputs the job declares.

use std::io::Write as _;

use mc2_guest::{Job, Result};

/// Refuses an output that the job does not declare, before hours are spent on what goes there.
pub(crate) fn check_declared<'a>(
    job: &Job,
    names: impl IntoIterator<Item = Option<&'a str>>,
) -> Result {
    names
        .into_iter()
        .flatten()
        .try_for_each(|name| job.check_output(name))
}

/// Writes all of an output at once, so that nothing partial is left where making it failed.
pub(crate) fn write_whole(job: &Job, name: &str, bytes: &[u8]) -> Result {
    let mut output = job.output(name)?;
    output.write_all(bytes)?;
    output.finish()
}
