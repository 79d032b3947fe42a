//! The guest's folders on this machine: a temporary folder that is gone when the run is.

use std::{
    cell::RefCell,
    collections::BTreeSet,
    fs, io,
    io::{Read as _, Seek as _, SeekFrom},
    path::{Path, PathBuf},
};

use mc2_guest::{Description, InputDescription, Limits, OutputDescription};
use mc2_protocol::policy::MAX_INSTANCES;

use super::{BareError, BareEvent, BareOptions, default_cache, io_error};
use crate::{
    files::FileError,
    locked::{LockedFolder, remove_abandoned},
    media,
};

/// What the folders' names start with.
const PREFIX: &str = "mc2-bare-";
/// The largest number the job's description may hold: no limit.
const FOREVER: u64 = (1 << 53) - 1;

/// The folders that stand for `/in`, which all instances share, and for each one's `/out`, `/tmp`
/// and `/run/mc2`.
pub(super) struct Stage {
    root: LockedFolder,
    instances: u32,
}

impl Stage {
    /// Checks the names, makes the folders and puts the inputs in.
    pub(super) fn build(options: &BareOptions) -> Result<Self, BareError> {
        let inputs = resolve_inputs(&options.inputs)?;
        check_outputs(&options.outputs)?;
        if !(1..=MAX_INSTANCES).contains(&options.instances) {
            return Err(BareError::Invalid(format!(
                "{} instances, expected 1 to {MAX_INSTANCES}",
                options.instances
            )));
        }

        let root = make_root(&inputs)?;
        let stage = Self {
            root,
            instances: options.instances,
        };
        let make =
            |folder: &Path| fs::create_dir_all(folder).map_err(io_error("cannot make", folder));
        make(&stage.input())?;
        let mut sizes = Vec::new();
        for (name, path) in &inputs {
            sizes.push(link_tree(path, &stage.input().join(name))?);
        }
        for instance in 0..options.instances {
            make(&stage.output(instance))?;
            make(&stage.scratch(instance))?;
            make(&stage.control(instance))?;
            for (name, _) in &options.outputs {
                if let Some(folder) = name.strip_suffix('/') {
                    make(&stage.output(instance).join(folder))?;
                }
            }
            stage.write_control(instance, options, &inputs, &sizes)?;
        }
        Ok(stage)
    }

    pub(super) fn input(&self) -> PathBuf {
        self.root.path().join("in")
    }

    pub(super) fn output(&self, instance: u32) -> PathBuf {
        self.own(instance, "out")
    }

    pub(super) fn scratch(&self, instance: u32) -> PathBuf {
        self.own(instance, "tmp")
    }

    pub(super) fn control(&self, instance: u32) -> PathBuf {
        self.own(instance, "mc2")
    }

    fn own(&self, instance: u32, folder: &str) -> PathBuf {
        self.root.path().join(instance.to_string()).join(folder)
    }

    /// The staged file that is the guest's standard input, if there is one.
    pub(super) fn stdin(&self) -> Option<PathBuf> {
        Some(self.input().join("stdin")).filter(|path| path.is_file())
    }

    /// What an instance said about its failure.
    pub(super) fn error_text(&self, instance: u32) -> Option<String> {
        let bytes = fs::read(self.control(instance).join("error")).ok()?;
        let text = String::from_utf8_lossy(&bytes).trim_end().to_owned();
        (!text.is_empty()).then_some(text)
    }

    /// The first instance's, which speaks for all.
    pub(super) fn progress(&self) -> Progress {
        Progress {
            path: self.control(0).join("progress"),
            ..Progress::default()
        }
    }

    /// Moves what the instances wrote to where the caller wants it, or nothing at all.
    pub(super) fn release_outputs(&self, outputs: &[(String, PathBuf)]) -> Result<(), BareError> {
        let declared: BTreeSet<&str> = outputs
            .iter()
            .map(|(name, _)| name.trim_end_matches('/'))
            .collect();
        for instance in 0..self.instances {
            let folder = self.output(instance);
            for entry in fs::read_dir(&folder).map_err(io_error("cannot list", &folder))? {
                let name = entry.map_err(io_error("cannot list", &folder))?.file_name();
                let name = name.to_string_lossy();
                if !declared.contains(&*name) {
                    return Err(BareError::UndeclaredOutput {
                        name: name.into_owned(),
                    });
                }
            }
        }
        let found: Result<Vec<PathBuf>, BareError> =
            outputs.iter().map(|(name, _)| self.written(name)).collect();
        for (from, (_, to)) in found?.iter().zip(outputs) {
            move_to(from, to)?;
        }
        Ok(())
    }

    /// Where an output is, put together from all instances: a file is one instance's, a folder has
    /// files of any of them.
    fn written(&self, name: &str) -> Result<PathBuf, BareError> {
        let folder = name.ends_with('/');
        let missing = || BareError::MissingOutput {
            name: name.to_owned(),
        };
        let place = |instance| self.output(instance).join(name.trim_end_matches('/'));
        let mut written = (0..self.instances).map(place).filter(|path| path.exists());
        let first = written.next().ok_or_else(missing)?;
        if first.is_dir() != folder {
            return Err(missing());
        }
        for another in written {
            if !folder || !another.is_dir() {
                return Err(BareError::RepeatedOutput {
                    name: name.to_owned(),
                });
            }
            merge(&another, &first, name)?;
        }
        Ok(first)
    }

    fn write_control(
        &self,
        instance: u32,
        options: &BareOptions,
        inputs: &[(String, PathBuf)],
        sizes: &[u64],
    ) -> Result<(), BareError> {
        let inputs = inputs
            .iter()
            .zip(sizes)
            .map(|((name, path), &length)| InputDescription {
                name: name.clone(),
                media_type: media_type(path),
                length,
                folder: path.is_dir(),
            });
        let outputs = options.outputs.iter().map(|(name, _)| OutputDescription {
            name: name.trim_end_matches('/').to_owned(),
            folder: name.ends_with('/'),
        });
        let name = options
            .component
            .file_stem()
            .map(|stem| stem.to_string_lossy());
        let name = name.as_deref().unwrap_or("bare").to_owned();
        let job = Description {
            version: Description::VERSION,
            name: name.clone(),
            component: name,
            arguments: options.arguments.clone(),
            instance,
            instances: options.instances,
            inputs: inputs.collect(),
            outputs: outputs.collect(),
            limits: Some(Limits {
                memory: options.memory,
                time_ms: options.timeout.map_or(FOREVER, |time| {
                    u64::try_from(time.as_millis())
                        .unwrap_or(FOREVER)
                        .min(FOREVER)
                }),
                // Files of this machine: nothing but the disk limits them.
                output: FOREVER,
                scratch: FOREVER,
            }),
        };
        // A description of names, texts and numbers always serialises.
        let job = serde_json::to_string(&job).unwrap_or_default();
        for (name, text) in [
            ("job.json", job),
            ("progress", String::new()),
            ("error", String::new()),
        ] {
            let path = self.control(instance).join(name);
            fs::write(&path, text).map_err(io_error("cannot write", &path))?;
        }
        Ok(())
    }
}

/// The lines of `/run/mc2/progress` not yet passed on.
#[derive(Default)]
pub(super) struct Progress {
    path: PathBuf,
    read: u64,
    partial: RefCell<String>,
}

impl Progress {
    /// Passes on the last whole line written since the last time. A guest may write each line at
    /// the file's start or at its end.
    pub(super) fn pass_on(&mut self, events: &dyn Fn(BareEvent<'_>)) {
        let Ok(mut file) = fs::File::open(&self.path) else {
            return;
        };
        let mut bytes = Vec::new();
        let start = if file.metadata().is_ok_and(|m| m.len() < self.read) {
            0
        } else {
            self.read
        };
        if file.seek(SeekFrom::Start(start)).is_err() || file.read_to_end(&mut bytes).is_err() {
            return;
        }
        self.read = start + bytes.len() as u64;
        let mut partial = self.partial.borrow_mut();
        partial.push_str(&String::from_utf8_lossy(&bytes));
        if let Some(end) = partial.rfind('\n') {
            let whole: String = partial.drain(..=end).collect();
            if let Some(line) = whole.lines().rfind(|line| !line.trim().is_empty()) {
                events(BareEvent::Progress(line));
            }
        }
    }
}

fn resolve_inputs(inputs: &[(String, PathBuf)]) -> Result<Vec<(String, PathBuf)>, BareError> {
    let mut seen = BTreeSet::new();
    inputs
        .iter()
        .map(|(name, path)| {
            check_name("input", name)?;
            if !seen.insert(name) {
                return Err(BareError::Invalid(format!(
                    "two inputs are called {name:?}"
                )));
            }
            let path = fs::canonicalize(path).map_err(io_error("cannot read", path))?;
            Ok((name.clone(), path))
        })
        .collect()
}

fn check_outputs(outputs: &[(String, PathBuf)]) -> Result<(), BareError> {
    let mut seen = BTreeSet::new();
    for (name, path) in outputs {
        let bare = name.strip_suffix('/').unwrap_or(name);
        check_name("output", bare)?;
        if !seen.insert(bare) {
            return Err(BareError::Invalid(format!(
                "two outputs are called {bare:?}"
            )));
        }
        // Known now, so that a long run does not end in vain.
        let wrong = if name.ends_with('/') {
            path.exists() && fs::read_dir(path).map_or(true, |mut list| list.next().is_some())
        } else {
            path.is_dir()
        };
        let parent = path
            .parent()
            .filter(|parent| !parent.as_os_str().is_empty());
        if wrong || parent.is_some_and(|parent| !parent.is_dir()) {
            return Err(BareError::Invalid(format!(
                "the output {name:?} cannot go to {}: expected {} in a folder that exists",
                path.display(),
                if name.ends_with('/') {
                    "a new or empty folder"
                } else {
                    "a file"
                },
            )));
        }
    }
    Ok(())
}

fn check_name(what: &str, name: &str) -> Result<(), BareError> {
    match name.parse::<mc2_protocol::Name>() {
        Ok(_) => Ok(()),
        Err(error) => Err(BareError::Invalid(format!("{what}: {error}"))),
    }
}

/// A folder on the file system of the largest input, where linking it costs nothing; else the
/// system's folder for temporary files.
fn make_root(inputs: &[(String, PathBuf)]) -> Result<LockedFolder, BareError> {
    let largest = inputs
        .iter()
        .filter_map(|(_, path)| largest_file(path))
        .max_by_key(|(n, _)| *n);
    let system = std::env::temp_dir();
    // Beside the compiled components, not among them: that folder is made private.
    let cache = default_cache().and_then(|folder| Some(folder.parent()?.to_owned()));
    let cache = cache.filter(|folder| fs::create_dir_all(folder).is_ok());
    if let Some((_, probe)) = &largest {
        for folder in [Some(&system), cache.as_ref()].into_iter().flatten() {
            let Ok(root) = private_folder(folder) else {
                continue;
            };
            let link = root.path().join("probe");
            if fs::hard_link(probe, &link).is_ok() && fs::remove_file(&link).is_ok() {
                return Ok(root);
            }
        }
    }
    private_folder(&system)
        .map_err(|error| io_error("cannot make a folder in", &system)(error.source))
}

/// The largest file at or below a path, and its size.
fn largest_file(path: &Path) -> Option<(u64, PathBuf)> {
    if path.is_dir() {
        let entries = fs::read_dir(path).ok()?.filter_map(Result::ok);
        return entries
            .filter_map(|e| largest_file(&e.path()))
            .max_by_key(|(size, _)| *size);
    }
    Some((fs::metadata(path).ok()?.len(), fs::canonicalize(path).ok()?))
}

fn private_folder(parent: &Path) -> Result<LockedFolder, FileError> {
    remove_abandoned(parent, PREFIX);
    LockedFolder::create(parent, PREFIX, 0o700)
}

/// Puts a file or folder at `to` by links, or by copies where links cannot be made, and says how
/// many bytes it holds.
fn link_tree(from: &Path, to: &Path) -> Result<u64, BareError> {
    let metadata = fs::metadata(from).map_err(io_error("cannot read", from))?;
    if metadata.is_file() {
        // The link is to the file itself: the sandbox resolves no links out of its folders.
        let file = fs::canonicalize(from).map_err(io_error("cannot read", from))?;
        fs::File::open(&file).map_err(io_error("cannot read", from))?;
        if fs::hard_link(&file, to).is_err() {
            fs::copy(&file, to).map_err(io_error("cannot copy", from))?;
        }
        return Ok(metadata.len());
    }
    if !metadata.is_dir() {
        return Err(BareError::Invalid(format!(
            "{} is neither a file nor a folder",
            from.display()
        )));
    }
    fs::create_dir(to).map_err(io_error("cannot make", to))?;
    let mut size = 0;
    for entry in fs::read_dir(from).map_err(io_error("cannot list", from))? {
        let entry = entry.map_err(io_error("cannot list", from))?;
        size += link_tree(&entry.path(), &to.join(entry.file_name()))?;
    }
    Ok(size)
}

/// Moves a file or folder, over a file system's edge too; a file appears under its name whole.
fn move_to(from: &Path, to: &Path) -> Result<(), BareError> {
    if from.is_dir() && to.is_dir() {
        // Known to be empty, see `check_outputs`.
        fs::remove_dir(to).map_err(io_error("cannot replace", to))?;
    }
    if fs::rename(from, to).is_ok() {
        return Ok(());
    }
    if from.is_dir() {
        fs::create_dir(to).map_err(io_error("cannot make", to))?;
        for entry in fs::read_dir(from).map_err(io_error("cannot list", from))? {
            let entry = entry.map_err(io_error("cannot list", from))?;
            move_to(&entry.path(), &to.join(entry.file_name()))?;
        }
        return Ok(());
    }
    let parent = to
        .parent()
        .filter(|p| !p.as_os_str().is_empty())
        .unwrap_or(Path::new("."));
    let mut copy =
        tempfile::NamedTempFile::new_in(parent).map_err(io_error("cannot write", parent))?;
    let mut file = fs::File::open(from).map_err(io_error("cannot read", from))?;
    io::copy(&mut file, &mut copy).map_err(io_error("cannot write", to))?;
    copy.persist(to)
        .map_err(|error| io_error("cannot write", to)(error.error))?;
    Ok(())
}

/// Moves what one instance left in a folder to what another did.
fn merge(from: &Path, to: &Path, output: &str) -> Result<(), BareError> {
    for entry in fs::read_dir(from).map_err(io_error("cannot list", from))? {
        let entry = entry.map_err(io_error("cannot list", from))?;
        let (from, to) = (entry.path(), to.join(entry.file_name()));
        if from.is_dir() && to.is_dir() {
            merge(&from, &to, output)?;
        } else if to.exists() {
            return Err(BareError::RepeatedOutput {
                name: format!("{output}{}", entry.file_name().to_string_lossy()),
            });
        } else {
            fs::rename(&from, &to).map_err(io_error("cannot move", &from))?;
        }
    }
    Ok(())
}

/// The media type sealing would give the file; of a folder nothing is known.
fn media_type(path: &Path) -> String {
    let mut head = Vec::new();
    let read =
        fs::File::open(path).and_then(|file| file.take(media::HEAD as u64).read_to_end(&mut head));
    let name = if read.is_ok() { path } else { Path::new("") };
    media::detect(name, &head).as_str().to_owned()
}

#[cfg(test)]
mod tests {
    use std::os::unix::fs::MetadataExt as _;

    use super::*;
    use crate::bare::{BareStdin, BareStdout};

    fn options(inputs: &[(&str, &Path)], outputs: &[(&str, &Path)]) -> BareOptions {
        let owned = |list: &[(&str, &Path)]| {
            list.iter()
                .map(|(name, path)| ((*name).to_owned(), path.to_path_buf()))
                .collect()
        };
        BareOptions {
            component: "x.wasm".into(),
            inputs: owned(inputs),
            outputs: owned(outputs),
            arguments: vec!["a".to_owned()],
            instances: 1,
            stdin: BareStdin::Empty,
            stdout: BareStdout::Capture,
            stderr: BareStdout::Capture,
            memory: 1 << 20,
            timeout: None,
            cache: None,
            events: Box::new(|_| {}),
        }
    }

    #[test]
    fn inputs_are_linked_and_described() {
        let folder = tempfile::tempdir().unwrap();
        let file = folder.path().join("t.csv");
        let tree = folder.path().join("tree");
        fs::write(&file, "a\n1\n").unwrap();
        fs::create_dir_all(tree.join("deep")).unwrap();
        fs::write(tree.join("deep/x"), "xyz").unwrap();
        std::os::unix::fs::symlink(&file, tree.join("link")).unwrap();

        let stage = Stage::build(&options(&[("t", &file), ("tree", &tree)], &[])).unwrap();
        let inode = |path: &Path| fs::metadata(path).unwrap().ino();
        assert_eq!(inode(&stage.input().join("t")), inode(&file));
        assert_eq!(fs::read(stage.input().join("tree/deep/x")).unwrap(), b"xyz");
        assert!(
            fs::symlink_metadata(stage.input().join("tree/link"))
                .unwrap()
                .is_file()
        );

        let job = fs::read(stage.control(0).join("job.json")).unwrap();
        let job: Description = serde_json::from_slice(&job).unwrap();
        assert_eq!(job.inputs[0].media_type, "text/csv");
        assert_eq!((job.inputs[1].folder, job.inputs[1].length), (true, 7));
        assert_eq!(job.arguments, ["a"]);
    }

    #[test]
    fn bad_names_and_places_are_refused() {
        let folder = tempfile::tempdir().unwrap();
        let file = folder.path().join("f");
        fs::write(&file, "x").unwrap();
        let missing = folder.path().join("no/such");
        for (inputs, outputs, said) in [
            (&[("a", &*file), ("a", &*file)][..], &[][..], "two inputs"),
            (&[("../a", &file)], &[], "\"../a\""),
            (&[("a", &missing)], &[], "no/such"),
            (&[], &[("r", &*file), ("r/", &*missing)], "two outputs"),
            (&[], &[("r", &missing)], "folder that exists"),
            (&[], &[("r", folder.path())], "expected a file"),
            (&[], &[("r/", folder.path())], "empty folder"),
        ] {
            let error = Stage::build(&options(inputs, outputs))
                .err()
                .unwrap()
                .to_string();
            assert!(error.contains(said), "{said}: {error}");
        }
    }

    #[test]
    fn outputs_are_moved_all_or_none() {
        let folder = tempfile::tempdir().unwrap();
        let (file, tree) = (folder.path().join("r"), folder.path().join("parts"));
        let options = options(&[], &[("r", &file), ("parts/", &tree)]);
        let stage = Stage::build(&options).unwrap();
        let missing = stage.release_outputs(&options.outputs).unwrap_err();
        assert!(
            matches!(missing, BareError::MissingOutput { .. }),
            "{missing}"
        );

        fs::write(stage.output(0).join("r"), "1").unwrap();
        fs::write(stage.output(0).join("parts/p"), "2").unwrap();
        fs::write(stage.output(0).join("more"), "3").unwrap();
        let undeclared = stage.release_outputs(&options.outputs).unwrap_err();
        assert!(undeclared.to_string().contains("/out/more"), "{undeclared}");
        assert!(!file.exists() && !tree.exists());

        fs::remove_file(stage.output(0).join("more")).unwrap();
        stage.release_outputs(&options.outputs).unwrap();
        assert_eq!(fs::read(&file).unwrap(), b"1");
        assert_eq!(fs::read(tree.join("p")).unwrap(), b"2");
    }

    #[test]
    fn outputs_of_several_instances_are_put_together() {
        let folder = tempfile::tempdir().unwrap();
        let (file, tree) = (folder.path().join("r"), folder.path().join("parts"));
        let mut options = options(&[], &[("r", &file), ("parts/", &tree)]);
        options.instances = 2;
        let stage = Stage::build(&options).unwrap();
        let write = |instance, name: &str, text: &str| {
            let path = stage.output(instance).join(name);
            fs::create_dir_all(path.parent().unwrap()).unwrap();
            fs::write(path, text).unwrap();
        };
        write(1, "r", "1");
        write(0, "parts/deep/0", "zero");
        write(1, "parts/deep/1", "one");
        write(1, "parts/deep/0", "again");
        let repeated = |stage: &Stage| {
            let error = stage.release_outputs(&options.outputs).unwrap_err();
            assert!(matches!(error, BareError::RepeatedOutput { .. }), "{error}");
            assert!(!file.exists() && !tree.exists());
        };
        repeated(&stage);
        fs::remove_file(stage.output(1).join("parts/deep/0")).unwrap();
        write(0, "r", "0");
        repeated(&stage);
        fs::remove_file(stage.output(0).join("r")).unwrap();
        stage.release_outputs(&options.outputs).unwrap();
        assert_eq!(fs::read(&file).unwrap(), b"1");
        assert_eq!(fs::read(tree.join("deep/0")).unwrap(), b"zero");
        assert_eq!(fs::read(tree.join("deep/1")).unwrap(), b"one");

        let job = fs::read(stage.control(1).join("job.json")).unwrap();
        let job: Description = serde_json::from_slice(&job).unwrap();
        assert_eq!((job.instance, job.instances), (1, 2));
    }

    #[test]
    fn of_several_lines_of_progress_the_last_whole_one_counts() {
        let stage = Stage::build(&options(&[], &[])).unwrap();
        let mut progress = stage.progress();
        let told = RefCell::new(Vec::new());
        let tell = |event: BareEvent<'_>| {
            if let BareEvent::Progress(line) = event {
                told.borrow_mut().push(line.to_owned());
            }
        };
        let path = stage.control(0).join("progress");
        fs::write(&path, "0.1 a\n0.2 b\n0.3").unwrap();
        progress.pass_on(&tell);
        fs::write(&path, "0.1 a\n0.2 b\n0.3 c\n").unwrap();
        progress.pass_on(&tell);
        progress.pass_on(&tell);
        assert_eq!(*told.borrow(), ["0.2 b", "0.3 c"]);
    }
}
