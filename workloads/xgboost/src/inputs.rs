//! Inputs: which is a table, which a model, which holds parameters.

use std::{
    cell::OnceCell,
    collections::BTreeSet,
    io::{self, Read as _},
};

use mc2_guest::{Context as _, Error, Input, InputFile, Job, RandomReader, Result};
use xgboost_core::{
    data::{Expect, File, Format, ReadAt, Roles, Table, table::Share},
    model::Model,
};

/// A model is read whole; XGBoost's largest are a few hundred mebibytes.
const MAX_MODEL: u64 = 1 << 30;
/// The longest file of parameters.
const MAX_PARAMS: u64 = 1 << 20;

/// The job's inputs, some of which have been asked for by name.
pub(crate) struct Inputs<'j> {
    job: &'j Job,
    taken: BTreeSet<String>,
}

impl<'j> Inputs<'j> {
    pub(crate) fn new(job: &'j Job) -> Self {
        Self {
            job,
            taken: BTreeSet::new(),
        }
    }

    /// The input that `option` names.
    pub(crate) fn take(&mut self, option: &str, name: &str) -> Result<Input> {
        let input = self.job.input(name).context(option)?;
        if !self.taken.insert(name.to_owned()) {
            return Err(Error::new(format!(
                "{option}: the input `{name}` is named twice"
            )));
        }
        Ok(input)
    }

    /// The model that `option` names.
    pub(crate) fn model(&mut self, option: &str, name: &str) -> Result<Model> {
        let input = self.take(option, name)?;
        let doing = || format!("the model `{name}`");
        let bytes = read(&input, MAX_MODEL).with_context(doing)?;
        Model::parse(&bytes).with_context(doing)
    }

    /// The text of the input that `option` names.
    pub(crate) fn text(&mut self, option: &str, name: &str) -> Result<String> {
        let input = self.take(option, name)?;
        let bytes = read(&input, MAX_PARAMS).with_context(|| format!("the input `{name}`"))?;
        String::from_utf8(bytes).with_context(|| format!("the input `{name}`"))
    }

    /// Refuses inputs that nobody asked for where none of them is a table.
    pub(crate) fn finish(&self, command: &str) -> Result {
        match self.tables().next() {
            None => Ok(()),
            Some(input) => Err(Error::new(format!(
                "the input `{}` is of no use to `{command}`; name it by an option or leave it out",
                input.name()
            ))),
        }
    }

    /// Those that nobody asked for: tables.
    pub(crate) fn rest(&self) -> Result<Vec<Input>> {
        let rest: Vec<Input> = self.tables().collect();
        if rest.is_empty() {
            return Err(Error::new(
                "no input is a table: each one is named for something else, or there is none",
            ));
        }
        Ok(rest)
    }

    fn tables(&self) -> impl Iterator<Item = Input> {
        workload_shared::tables(self.job, |name| self.taken.contains(name))
    }
}

fn read(input: &Input, most: u64) -> Result<Vec<u8>> {
    let mut bytes = Vec::new();
    input.reader()?.take(most + 1).read_to_end(&mut bytes)?;
    if bytes.len() as u64 > most {
        return Err(Error::new(format!("it has more than {} MiB", most >> 20)));
    }
    Ok(bytes)
}

/// Inputs as one table.
pub(crate) fn table(
    inputs: &[Input],
    roles: &Roles,
    expect: Expect<'_>,
    share: Share,
) -> Result<Table> {
    let mut files = Vec::new();
    for input in inputs {
        for file in workload_shared::data_files(input)? {
            let name = match input.is_folder() {
                true => format!("{}/{}", input.name(), file.name()),
                false => input.name().to_owned(),
            };
            files.push(open(input, &name, file)?);
        }
    }
    Ok(Table::open(files, roles, expect, share)?)
}

fn open(input: &Input, name: &str, file: InputFile) -> Result<File> {
    let mut start = Vec::new();
    file.reader()?
        .take(Format::START as u64)
        .read_to_end(&mut start)?;
    Ok(File {
        name: name.to_owned(),
        input: input.name().to_owned(),
        format: Format::detect(name, input.media_type(), &start)?,
        bytes: Box::new(Bytes {
            file,
            reader: OnceCell::new(),
        }),
    })
}

/// A file that is opened once it is read.
struct Bytes {
    file: InputFile,
    reader: OnceCell<RandomReader>,
}

impl ReadAt for Bytes {
    fn size(&self) -> u64 {
        self.file.len()
    }

    fn read_at(&self, buffer: &mut [u8], offset: u64) -> io::Result<usize> {
        if let Some(reader) = self.reader.get() {
            return reader.read_at(buffer, offset);
        }
        let reader = self
            .file
            .random()
            .map_err(|error| io::Error::other(error.to_string()))?;
        self.reader.get_or_init(|| reader).read_at(buffer, offset)
    }
}
