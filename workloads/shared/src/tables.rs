//! Which inputs are tables, and which files of an input hold their rows.

use mc2_guest::{Input, InputFile, Job, Result};

/// The input that is the program's standard input too, and so no table.
const STDIN: &str = "stdin";

/// The inputs that are tables: those that are not `named` for something else.
pub fn tables(job: &Job, named: impl Fn(&str) -> bool) -> impl Iterator<Item = Input> {
    job.inputs()
        .filter(move |input| input.name() != STDIN && !named(input.name()))
}

/// The input's files but those of a folder that only describe others, as `_SUCCESS` and `.crc` do.
///
/// # Errors
/// Where the folder can't be listed.
pub fn data_files(input: &Input) -> Result<Vec<InputFile>> {
    let mut files = input.files()?;
    if input.is_folder() {
        files.retain(|file| !file.name().split('/').any(describes));
    }
    Ok(files)
}

/// Whether this part of a path is a mark that other programs leave. `_day=2026` is a column's value.
fn describes(part: &str) -> bool {
    part.starts_with('.') || (part.starts_with('_') && !part.contains('='))
}

#[cfg(test)]
mod tests {
    use std::fs;

    use super::*;

    #[test]
    fn tables_are_what_nobody_named_and_their_files_what_holds_rows() {
        let root = tempfile::tempdir().unwrap();
        for path in [
            "stdin",
            "model",
            "rows",
            "days/_SUCCESS",
            "days/.a.crc",
            "days/_temporary/0/a",
            "days/_day=1/a",
            "days/b",
        ] {
            let path = root.path().join("in").join(path);
            fs::create_dir_all(path.parent().unwrap()).unwrap();
            fs::write(path, "x").unwrap();
        }
        let job = Job::open_at(root.path()).unwrap();
        let all: Vec<Input> = tables(&job, |name| name == "model").collect();
        let names: Vec<&str> = all.iter().map(Input::name).collect();
        assert_eq!(names, ["days", "rows"]);
        let files = data_files(&all[0]).unwrap();
        let files: Vec<&str> = files.iter().map(InputFile::name).collect();
        assert_eq!(files, ["_day=1/a", "b"]);
        assert_eq!(data_files(&all[1]).unwrap().len(), 1);
    }
}
