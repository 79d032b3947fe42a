//! The job this program is: `/run/mc2/job.json`, or what can be said without it.

use std::env;
use std::fs;
use std::io;
use std::path::{Path, PathBuf};
use std::sync::{Mutex, PoisonError};

use mc2_description::{Description, InputDescription, Limits, OCTET_STREAM};

use crate::progress::Progress;
use crate::root::root;
use crate::{Context, Error, Input, InputFile, Key, Options, Output, OutputFolder, Peers, Result};

/// The job: what it is called, what it may read and write, and where.
///
/// ```
/// # let root = std::env::temp_dir().join(format!("mc2-doc-job-{}", std::process::id()));
/// # std::fs::create_dir_all(root.join("in"))?;
/// # std::fs::write(root.join("in/text"), "one two")?;
/// let job = mc2_guest::Job::open_at(&root)?.with_arguments(["--top", "3"]);
/// assert_eq!(job.arguments(), ["--top", "3"]);
/// assert_eq!(job.inputs().map(|input| input.len()).sum::<u64>(), 7);
/// job.progress(0.5, "read everything");
/// # std::fs::remove_dir_all(root)?;
/// # Ok::<(), mc2_guest::Error>(())
/// ```
#[derive(Debug)]
pub struct Job {
    root: PathBuf,
    description: Description,
    /// Whether the runtime said what the job is; otherwise any output may be made.
    described: bool,
    progress: Mutex<Progress>,
}

impl Job {
    /// The job this program was started for.
    ///
    /// Its root folder is `/`, or what the environment variable `MC2_ROOT` says. Without
    /// `run/mc2/job.json` in it, the job is derived from the folder `in` and the command line.
    ///
    /// ```no_run
    /// let job = mc2_guest::Job::load()?;
    /// println!("{} instance {}", job.name(), job.description().instance);
    /// # Ok::<(), mc2_guest::Error>(())
    /// ```
    ///
    /// # Errors
    /// Where the description is unreadable or of another version, or an argument is not UTF-8.
    pub fn load() -> Result<Self> {
        let mut job = Self::open_at(root())?;
        if !job.described {
            let mut arguments = Vec::new();
            for argument in env::args_os().skip(1) {
                arguments.push(argument.into_string().map_err(|argument| {
                    Error::new(format!("the argument {} is not UTF-8", argument.display()))
                })?);
            }
            job.description.arguments = arguments;
        }
        Ok(job)
    }

    /// The job whose files are under `root`: for tests that run natively, each with a folder of
    /// its own.
    ///
    /// ```
    /// # let root = std::env::temp_dir().join(format!("mc2-doc-at-{}", std::process::id()));
    /// std::fs::create_dir_all(root.join("in"))?;
    /// std::fs::create_dir_all(root.join("out"))?;
    /// std::fs::write(root.join("in/text"), "one two")?;
    /// let job = mc2_guest::Job::open_at(&root)?;
    /// assert_eq!(job.input("text")?.len(), 7);
    /// # std::fs::remove_dir_all(root)?;
    /// # Ok::<(), mc2_guest::Error>(())
    /// ```
    ///
    /// # Errors
    /// Where there is a description, and it is unreadable or of another version.
    pub fn open_at(root: impl Into<PathBuf>) -> Result<Self> {
        let root = root.into();
        let path = root.join("run/mc2/job.json");
        let (description, described) = match fs::read(&path) {
            Ok(text) => (
                Description::parse(&text).with_context(|| path.display().to_string())?,
                true,
            ),
            Err(error) if error.kind() == io::ErrorKind::NotFound => (derive(&root)?, false),
            // Plain Wasmtime has no folder above what it was given, and says so in its own way.
            Err(_) if !root.join("run/mc2").is_dir() => (derive(&root)?, false),
            Err(error) => return Err(error).with_context(|| path.display().to_string()),
        };
        let progress = Mutex::new(Progress::open_at(&root));
        Ok(Self {
            root,
            description,
            described,
            progress,
        })
    }

    /// The same job with other arguments, for tests.
    #[must_use]
    pub fn with_arguments<A: Into<String>>(
        mut self,
        arguments: impl IntoIterator<Item = A>,
    ) -> Self {
        self.description.arguments = arguments.into_iter().map(Into::into).collect();
        self
    }

    /// Everything the job was told about itself.
    pub fn description(&self) -> &Description {
        &self.description
    }

    /// The job's name in the policy.
    pub fn name(&self) -> &str {
        &self.description.name
    }

    /// The command line after the program's name.
    pub fn arguments(&self) -> &[String] {
        &self.description.arguments
    }

    /// The command line, to be taken apart.
    ///
    /// ```
    /// # let job = mc2_guest::Job::open_at("/nonexistent")?.with_arguments(["3"]);
    /// let mut options = job.options();
    /// let top: usize = options.next("TOP")?.unwrap_or(10);
    /// options.finish()?;
    /// assert_eq!(top, 3);
    /// # Ok::<(), mc2_guest::Error>(())
    /// ```
    pub fn options(&self) -> Options {
        Options::new(self.arguments())
    }

    /// What all instances may use together; nothing where nothing limits it.
    ///
    /// ```no_run
    /// # let job = mc2_guest::Job::load()?;
    /// let budget = job.limits().map_or(u64::MAX, |limits| limits.memory / 2);
    /// # Ok::<(), mc2_guest::Error>(())
    /// ```
    pub fn limits(&self) -> Option<&Limits> {
        self.description.limits.as_ref()
    }

    /// All inputs, in the description's order.
    ///
    /// ```no_run
    /// # let job = mc2_guest::Job::load()?;
    /// for input in job.inputs() {
    ///     println!("{} {} {}", input.name(), input.media_type(), input.len());
    /// }
    /// # Ok::<(), mc2_guest::Error>(())
    /// ```
    pub fn inputs(&self) -> impl Iterator<Item = Input> {
        self.description
            .inputs
            .iter()
            .map(|input| Input::new(&self.folder("in"), input.clone()))
    }

    /// Every file of every input.
    ///
    /// ```no_run
    /// # let job = mc2_guest::Job::load()?;
    /// for file in job.files()? {
    ///     println!("{} {}", file.name(), file.len());
    /// }
    /// # Ok::<(), mc2_guest::Error>(())
    /// ```
    ///
    /// # Errors
    /// Where a folder can't be listed.
    pub fn files(&self) -> Result<Vec<InputFile>> {
        let mut files = Vec::new();
        for input in self.inputs() {
            files.extend(input.files()?);
        }
        Ok(files)
    }

    /// The input called `name`.
    ///
    /// # Errors
    /// Where the job has none of that name; the error lists those it has.
    pub fn input(&self, name: &str) -> Result<Input> {
        self.inputs()
            .find(|input| input.name() == name)
            .with_context(|| {
                let names = self
                    .description
                    .inputs
                    .iter()
                    .map(|input| input.name.as_str());
                format!(
                    "no input is called `{name}`; this job has {}",
                    listed(names)
                )
            })
    }

    /// Creates the output file `name`.
    ///
    /// # Errors
    /// Where the job declares no such output, declares a folder of that name, or the file can't
    /// be created.
    pub fn output(&self, name: &str) -> Result<Output> {
        let path = self.output_path(name, false)?;
        Output::create(&path, name)
    }

    /// Creates the output folder `name`.
    ///
    /// # Errors
    /// Where the job declares no such output, declares a file of that name, or the folder can't
    /// be created.
    pub fn output_folder(&self, name: &str) -> Result<OutputFolder> {
        let path = self.output_path(name, true)?;
        OutputFolder::create(&path, name)
    }

    /// Makes sure that the output file `name` may be made, before hours are spent on what goes
    /// there.
    ///
    /// # Errors
    /// Where the job declares no such output, or declares a folder of that name.
    pub fn check_output(&self, name: &str) -> Result {
        self.output_path(name, false).map(drop)
    }

    /// What kind of data the output `name` is to hold, where that is said.
    ///
    /// A program that can write several writes this one, and one that can't write it says so.
    ///
    /// ```no_run
    /// # let job = mc2_guest::Job::load()?;
    /// let tabs = job.output_media_type("counts") == Some("text/tab-separated-values");
    /// # Ok::<(), mc2_guest::Error>(())
    /// ```
    pub fn output_media_type(&self, name: &str) -> Option<&str> {
        let mut outputs = self.description.outputs.iter();
        let output = outputs.find(|output| output.name == name)?;
        Some(output.media_type.as_str()).filter(|media_type| *media_type != OCTET_STREAM)
    }

    /// The folder for scratch files. (On this target `std::env::temp_dir` panics.)
    ///
    /// ```no_run
    /// # let job = mc2_guest::Job::load()?;
    /// let run = job.scratch().join("run-0");
    /// # Ok::<(), mc2_guest::Error>(())
    /// ```
    pub fn scratch(&self) -> PathBuf {
        self.folder("tmp")
    }

    /// Says how far the job is: `fraction` from 0 to 1, and a few words.
    ///
    /// At most ten times a second goes out; call it as often as is convenient. It says nothing
    /// where nobody listens. Who hears it is the policy's choice, so put no data into it.
    ///
    /// ```no_run
    /// # let job = mc2_guest::Job::load()?;
    /// job.progress(0.42, "joined orders");
    /// # Ok::<(), mc2_guest::Error>(())
    /// ```
    pub fn progress(&self, fraction: f64, message: &str) {
        self.progress
            .lock()
            .unwrap_or_else(PoisonError::into_inner)
            .report(fraction, message);
    }

    /// The key the policy hands to this guest as `name`.
    ///
    /// # Errors
    /// Where the policy hands it none of that name.
    pub fn key(&self, name: &str) -> Result<Key> {
        let doing = || format!("the key `{name}`, which the policy would have to hand to this job");
        check_name(name).with_context(doing)?;
        let path = self.folder("run/mc2/keys").join(name);
        fs::read(path).map(Key::new).with_context(doing)
    }

    /// The other instances of this step; rank 0 of 1 where there are none.
    ///
    /// ```
    /// # let root = std::env::temp_dir().join(format!("mc2-doc-peers-{}", std::process::id()));
    /// let peers = mc2_guest::Job::open_at(&root)?.peers()?;
    /// assert_eq!((peers.rank(), peers.size()), (0, 1));
    /// # Ok::<(), mc2_guest::Error>(())
    /// ```
    ///
    /// # Errors
    /// Where the description contradicts itself.
    pub fn peers(&self) -> Result<Peers> {
        let Description {
            instance,
            instances,
            ..
        } = self.description;
        Peers::new(self.folder("run/mc2/peers"), instance, instances)
    }

    fn folder(&self, name: &str) -> PathBuf {
        self.root.join(name)
    }

    fn output_path(&self, name: &str, folder: bool) -> Result<PathBuf> {
        let path = self.folder("out").join(name);
        if !self.described {
            check_name(name)?;
            return Ok(path);
        }
        let outputs = &self.description.outputs;
        let Some(output) = outputs.iter().find(|output| output.name == name) else {
            let names = outputs.iter().map(|output| output.name.as_str());
            return Err(Error::new(format!(
                "the job declares no output `{name}`; it declares {}",
                listed(names)
            )));
        };
        match (output.folder, folder) {
            (true, false) => Err(Error::new(format!(
                "the job declares the output `{name}` as a folder, and the program writes a file"
            ))),
            (false, true) => Err(Error::new(format!(
                "the job declares the output `{name}` as a file, and the program writes a folder"
            ))),
            _ => Ok(path),
        }
    }
}

/// Without a runtime: everything in `in` is an input, and any output may be made.
fn derive(root: &Path) -> Result<Description> {
    let mut inputs = Vec::new();
    // No folder `in` is a job without inputs.
    for entry in fs::read_dir(root.join("in")).into_iter().flatten() {
        let path = entry.context("listing the inputs")?.path();
        let name = path
            .file_name()
            .map(|name| name.to_string_lossy().into_owned());
        let name = name.unwrap_or_default();
        let metadata = fs::metadata(&path).with_context(|| format!("the input `{name}`"))?;
        let folder = metadata.is_dir();
        let mut input = InputDescription {
            name,
            media_type: OCTET_STREAM.to_owned(),
            length: metadata.len(),
            folder,
        };
        if folder {
            let files = Input::new(&root.join("in"), input.clone()).files()?;
            input.length = files.iter().map(InputFile::len).sum();
        }
        inputs.push(input);
    }
    inputs.sort_by(|a, b| a.name.cmp(&b.name));
    Ok(Description {
        version: Description::VERSION,
        name: "local".to_owned(),
        component: "local".to_owned(),
        arguments: Vec::new(),
        instance: 0,
        instances: 1,
        inputs,
        outputs: Vec::new(),
        limits: None,
    })
}

fn check_name(name: &str) -> Result {
    if name.is_empty() || name == "." || name == ".." || name.contains(['/', '\\', '\0']) {
        return Err(Error::new(format!(
            "`{name}` is no name: one part of a path is wanted"
        )));
    }
    Ok(())
}

fn listed<'a>(names: impl Iterator<Item = &'a str>) -> String {
    let names: Vec<_> = names.collect();
    if names.is_empty() {
        "none".to_owned()
    } else {
        names.join(", ")
    }
}
