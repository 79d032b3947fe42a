//! The outputs the job declares.

use std::io::Write as _;

use mc2_guest::{Error, Job, Result};

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

/// How the output `name` is written: as the command line says and the job wants it, where they say or want
/// something, else as its name ends, or as it is by default.
///
/// # Errors
/// The job wants a media type there that is not one of these formats, or not the one that is said.
pub(crate) fn format_of<F: Copy + PartialEq>(
    job: &Job,
    name: &str,
    said: Option<F>,
    of_media_type: impl Fn(&str) -> Option<F>,
    of_name: impl Fn(&str) -> Option<F>,
    default: F,
) -> Result<F> {
    let Some(media_type) = job.output_media_type(name) else {
        return Ok(said.or_else(|| of_name(name)).unwrap_or(default));
    };
    match (of_media_type(media_type), said) {
        (Some(wanted), Some(said)) if wanted != said => Err(Error::new(format!(
            "the output `{name}`: the job wants {media_type} there, by its policy or the ending of the \
             file it goes to, and the command line says another format; leave that out"
        ))),
        (Some(wanted), _) => Ok(wanted),
        (None, _) => Err(Error::new(format!(
            "the output `{name}`: the job wants {media_type} there, by its policy or the ending of the \
             file it goes to, and this command does not write that; --help lists what it writes"
        ))),
    }
}

/// Writes all of an output at once, so that nothing partial is left where making it failed.
pub(crate) fn write_whole(job: &Job, name: &str, bytes: &[u8]) -> Result {
    let mut output = job.output(name)?;
    output.write_all(bytes)?;
    output.finish()
}
