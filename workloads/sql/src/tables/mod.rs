//! Inputs as tables.
//!
//! [`csv`] and [`binary`] find out what an input's files hold; [`layout`] makes one table of them,
//! matched by their columns' names, [`exact`] keeps digits where their types differ, [`rows`] reads wide ones by fewer rows.

mod binary;
mod csv;
mod exact;
mod layout;
mod rows;
mod statistics;

use std::sync::Arc;

use datafusion::{catalog::TableProvider, common::TableReference};
use mc2_guest::{Input, InputFile};
use sql_core::{
    args::Args,
    format::{HEAD, InputFormat},
    partitions::Partitions,
};

use crate::{failure, session::Session};

/// An input's files, of which there is one at least.
struct Files<'a> {
    input: &'a Input,
    list: Vec<InputFile>,
    partitions: Partitions,
}

/// Makes an input a table of its name.
///
/// # Errors
///
/// Names the table, and of a folder the file, that cannot be read, and says why.
pub(crate) async fn register(
    session: &mut Session,
    input: &Input,
    args: &Args,
) -> Result<(), String> {
    let name = input.name();
    let told = |what: String| format!("table {name:?}: {what}");

    let files = Files::of(input).map_err(told)?;
    let format = files.format().map_err(told)?;
    let table = table(session, &files, format, args).await.map_err(told)?;

    let mut names = vec![name.to_owned()];
    // SQL folds names that are not quoted, so `FROM Orders` asks for `orders`.
    let folded = name.to_lowercase();
    if folded != name && !session.tables.contains(&folded) {
        names.push(folded);
    }
    for name in names {
        let reference = TableReference::bare(name.clone());
        session
            .context
            .register_table(reference, Arc::clone(&table))
            .map_err(|error| told(failure::text(&error)))?;
        session.tables.push(name);
    }
    Ok(())
}

async fn table(
    session: &Session,
    files: &Files<'_>,
    format: InputFormat,
    args: &Args,
) -> Result<Arc<dyn TableProvider>, String> {
    let table = match format {
        InputFormat::Csv { delimiter } => csv::open(files, args, delimiter)?,
        InputFormat::Parquet => binary::parquet(session, files).await?,
        InputFormat::ArrowFile | InputFormat::ArrowStream => binary::arrow(files, format)?,
    };
    if let Some(name) = table.in_path_too(&files.partitions) {
        return Err(format!(
            "the column {name:?} is in the files and in their path; rename one of them"
        ));
    }
    table.provider(session, files).map_err(|error| {
        format!(
            "it is {} that cannot be read: {}",
            format.name(),
            failure::text(&error)
        )
    })
}

impl<'a> Files<'a> {
    fn of(input: &'a Input) -> Result<Self, String> {
        let list = workload_shared::data_files(input).map_err(|error| error.to_string())?;
        if list.is_empty() {
            return Err(
                "the folder has no data files; expected Parquet, CSV or Arrow IPC files".to_owned(),
            );
        }
        let partitions = match input.is_folder() {
            true => Partitions::new(list.iter().map(InputFile::name))
                .map_err(|error| error.to_string())?,
            false => Partitions::default(),
        };
        Ok(Self {
            input,
            list,
            partitions,
        })
    }

    /// What went wrong in a file, which has a name of its own only in a folder.
    fn told(&self, file: &InputFile, what: impl std::fmt::Display) -> String {
        match self.input.is_folder() {
            true => format!("file {:?}: {what}", file.name()),
            false => what.to_string(),
        }
    }

    /// The format that all files have.
    fn format(&self) -> Result<InputFormat, String> {
        let mut common: Option<(InputFormat, &InputFile)> = None;
        for file in &self.list {
            let format = self.detect(file).map_err(|what| self.told(file, what))?;
            match common {
                None => common = Some((format, file)),
                Some((first, _)) if first == format => {}
                Some((first, of)) => {
                    return Err(format!(
                        "a folder holds files of one format, but {:?} is {} and {:?} is {}",
                        of.name(),
                        first.name(),
                        file.name(),
                        format.name()
                    ));
                }
            }
        }
        common
            .map(|(format, _)| format)
            .ok_or_else(|| "there are no files".to_owned())
    }

    fn detect(&self, file: &InputFile) -> Result<InputFormat, String> {
        // At most `HEAD`, which is a `usize`.
        let mut head = vec![0; file.len().min(HEAD as u64) as usize];
        let reader = file.random().map_err(|error| error.to_string())?;
        reader
            .read_exact_at(&mut head, 0)
            .map_err(|error| error.to_string())?;
        // A folder's own media type says nothing of its files.
        let media_type = match self.input.is_folder() {
            true => "",
            false => self.input.media_type(),
        };
        InputFormat::detect(&head, media_type, file.name()).map_err(|error| error.to_string())
    }
}
