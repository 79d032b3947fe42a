//! Where results go.

use std::io::{self, BufWriter, Stdout, Write};

use mc2_guest::{Error, Job, Output, Result};

const BUFFER: usize = 64 * 1024;

/// Standard output, or a file the job declares.
pub(crate) enum Target {
    Stdout(BufWriter<Stdout>),
    Output(Output),
}

impl Target {
    pub(crate) fn stdout() -> Self {
        Self::Stdout(BufWriter::with_capacity(BUFFER, io::stdout()))
    }

    /// The output called `name`, or standard output.
    pub(crate) fn of(job: &Job, name: Option<&str>) -> Result<Self> {
        name.map_or_else(
            || Ok(Self::stdout()),
            |name| job.output(name).map(Self::Output),
        )
    }

    /// Writes a text and nothing more.
    pub(crate) fn print(mut self, text: &str) -> Result {
        self.write_all(text.as_bytes())?;
        self.finish()
    }

    pub(crate) fn finish(self) -> Result {
        match self {
            Self::Stdout(mut stdout) => Ok(stdout.flush()?),
            Self::Output(output) => output.finish(),
        }
    }
}

impl Write for Target {
    fn write(&mut self, bytes: &[u8]) -> io::Result<usize> {
        match self {
            Self::Stdout(stdout) => stdout.write(bytes),
            Self::Output(output) => output.write(bytes),
        }
    }

    fn flush(&mut self) -> io::Result<()> {
        match self {
            Self::Stdout(stdout) => stdout.flush(),
            Self::Output(output) => output.flush(),
        }
    }
}

/// Refuses an output that the job does not declare, before hours are spent on what goes there.
pub(crate) fn check_declared<'a>(
    job: &Job,
    names: impl IntoIterator<Item = Option<&'a str>>,
) -> Result {
    let declared = &job.description().outputs;
    for name in names.into_iter().flatten() {
        // Without a runtime nothing is declared and anything may be written.
        if !declared.is_empty() && !declared.iter().any(|output| output.name == name) {
            let names: Vec<&str> = declared.iter().map(|output| &*output.name).collect();
            return Err(Error::new(format!(
                "the job declares no output `{name}`; it declares {}",
                names.join(", ")
            )));
        }
    }
    Ok(())
}

/// Writes all of an output at once, so that nothing partial is left where making it failed.
pub(crate) fn write_whole(job: &Job, name: &str, bytes: &[u8]) -> Result {
    let mut output = job.output(name)?;
    output.write_all(bytes)?;
    output.finish()
}
