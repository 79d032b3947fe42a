//! Where a result goes.

use std::io::{self, BufWriter, Stdout, Write};

use mc2_guest::{Job, Output, Result};

const BUFFER: usize = 64 * 1024;

/// Standard output, or a file the job declares; buffered.
#[derive(Debug)]
#[must_use = "a result is whole only after finish()"]
pub struct Target(Kind);

#[derive(Debug)]
enum Kind {
    Stdout(BufWriter<Stdout>),
    Output(Output),
}

impl Target {
    /// Standard output.
    pub fn stdout() -> Self {
        Self(Kind::Stdout(BufWriter::with_capacity(BUFFER, io::stdout())))
    }

    /// The output called `name`, or standard output.
    ///
    /// # Errors
    /// Where the job declares no such output, or it can't be made.
    pub fn of(job: &Job, name: Option<&str>) -> Result<Self> {
        match name {
            None => Ok(Self::stdout()),
            Some(name) => job.output(name).map(|output| Self(Kind::Output(output))),
        }
    }

    /// Writes a text and nothing more.
    ///
    /// # Errors
    /// Where a write is refused.
    pub fn print(mut self, text: &str) -> Result {
        self.write_all(text.as_bytes())?;
        self.finish()
    }

    /// Writes what is still buffered.
    ///
    /// # Errors
    /// Where a write is refused.
    pub fn finish(self) -> Result {
        match self.0 {
            Kind::Stdout(mut stdout) => Ok(stdout.flush()?),
            Kind::Output(output) => output.finish(),
        }
    }
}

impl Write for Target {
    fn write(&mut self, bytes: &[u8]) -> io::Result<usize> {
        match &mut self.0 {
            Kind::Stdout(stdout) => stdout.write(bytes),
            Kind::Output(output) => output.write(bytes),
        }
    }

    fn flush(&mut self) -> io::Result<()> {
        match &mut self.0 {
            Kind::Stdout(stdout) => stdout.flush(),
            Kind::Output(output) => output.flush(),
        }
    }
}
