//! A person's folders, and the commands run in them.

use std::{
    fs,
    path::PathBuf,
    process::{Child, Command, Output, Stdio},
    time::{Duration, Instant},
};

use mc2_client::state::State;
use mc2_protocol::policy::Policy;

use crate::{cache_folder, component, process, program};

/// Where a person works, their state (`home`) and their temporary files (`tmp`).
pub struct Place(tempfile::TempDir);

impl Place {
    /// A new one, with a file `data.txt` of three lines.
    ///
    /// # Panics
    /// When it cannot be made.
    pub fn new() -> Self {
        let place = Self(tempfile::tempdir().expect("a folder"));
        fs::create_dir(place.at("tmp")).expect("a folder");
        fs::write(place.at("data.txt"), "one\ntwo\nthree\n").expect("a file");
        place
    }

    /// A path in it.
    pub fn at(&self, name: &str) -> PathBuf {
        self.0.path().join(name)
    }

    /// The state folder of this name; the person's own is `home`.
    pub fn state(&self, home: &str) -> State {
        State::at(self.at(home))
    }

    /// A program, run by the person with this state folder.
    pub fn command_of(&self, home: &str, name: &str, arguments: &[&str]) -> Command {
        let mut command = Command::new(program(name));
        command
            .args(arguments)
            .current_dir(self.0.path())
            .env("MC2_HOME", self.at(home))
            .env("TMPDIR", self.at("tmp"))
            .env("XDG_CACHE_HOME", cache_folder())
            .stdin(Stdio::null());
        command
    }

    /// A program, run by the person whose place this is.
    pub fn command(&self, name: &str, arguments: &[&str]) -> Command {
        self.command_of("home", name, arguments)
    }

    /// `mc2-run` of a built component, by the person with this state folder.
    ///
    /// # Panics
    /// When it does not start.
    pub fn run_of(&self, home: &str, workload: &str, arguments: &[&str]) -> Output {
        let workload = component(workload);
        let mut all = vec![workload.to_str().expect("a path of text")];
        all.extend(arguments);
        let output = self.command_of(home, "mc2-run", &all).output();
        output.expect("mc2-run starts")
    }

    /// `mc2-run` of a built component.
    ///
    /// # Panics
    /// When it does not start.
    pub fn run(&self, workload: &str, arguments: &[&str]) -> Output {
        self.run_of("home", workload, arguments)
    }

    /// `mc2-run` of a component that copies `data.txt` to `copy.txt`, with these options too.
    ///
    /// # Panics
    /// When it does not start.
    pub fn copy(&self, options: &[&str]) -> Output {
        let mut all = options.to_vec();
        all.extend(["--in", "data=data.txt", "--out", "copy=copy.txt"]);
        all.extend(["--", "copy", "data", "copy"]);
        self.run("hostile", &all)
    }

    /// The same as this person of this home and under the policy in this file, with the copy kept sealed
    /// in the folder `result`.
    ///
    /// # Panics
    /// When it does not start.
    pub fn keep_copy(
        &self,
        [home, person]: [&str; 2],
        (file, policy): (&str, &Policy),
        result: &str,
    ) -> Output {
        let digest = policy.digest().to_string();
        let mut all = vec!["--policy", file, "--policy-digest", &digest];
        all.extend(["--as", person, "--keep-sealed", result]);
        all.extend(["--in", "data=data.txt", "--", "copy", "data", "copy"]);
        self.run_of(home, "hostile", &all)
    }

    /// Starts `mc2-run` of a built component.
    ///
    /// # Panics
    /// When it does not start.
    pub fn start(&self, workload: &str, arguments: &[&str]) -> Child {
        let workload = component(workload);
        let mut all = vec![workload.to_str().expect("a path of text")];
        all.extend(arguments);
        let mut command = self.command("mc2-run", &all);
        command.stdout(Stdio::piped()).stderr(Stdio::piped());
        command.spawn().expect("mc2-run starts")
    }

    /// `mc2`.
    ///
    /// # Panics
    /// When it does not start.
    pub fn mc2(&self, arguments: &[&str]) -> Output {
        let output = self.command("mc2", arguments).output();
        output.expect("mc2 starts")
    }

    /// Nothing of a run is left but what it was asked for.
    ///
    /// # Panics
    /// When something is.
    #[track_caller]
    pub fn assert_clean(&self) {
        assert_eq!(self.temporary(), [""; 0], "temporary files are left");
        assert!(
            process::with_argument(&self.at("tmp")).is_empty(),
            "a runtime is left"
        );
        for entry in fs::read_dir(self.0.path()).expect("own folder") {
            let name = entry.expect("own folder").file_name();
            let name = name.to_string_lossy();
            assert!(!name.starts_with(".mc2-"), "{name} is left");
        }
    }

    /// The names of the temporary files.
    ///
    /// # Panics
    /// When they cannot be listed.
    pub fn temporary(&self) -> Vec<String> {
        let entries = fs::read_dir(self.at("tmp")).expect("own folder");
        let name = |entry: fs::DirEntry| entry.file_name().to_string_lossy().into_owned();
        entries
            .map(|entry| name(entry.expect("own folder")))
            .collect()
    }
}

impl Default for Place {
    fn default() -> Self {
        Self::new()
    }
}

/// Bytes as text.
pub fn text(bytes: &[u8]) -> String {
    String::from_utf8_lossy(bytes).into_owned()
}

/// What a command that ended with this code said on standard error.
///
/// # Panics
/// When it ended with another.
#[track_caller]
pub fn ended(output: &Output, code: i32) -> String {
    let stderr = text(&output.stderr);
    assert_eq!(
        output.status.code(),
        Some(code),
        "{stderr}{}",
        text(&output.stdout)
    );
    stderr
}

/// Comes back when the condition holds.
///
/// # Panics
/// When it does not within a minute.
#[track_caller]
pub fn until(condition: impl Fn() -> bool) {
    let start = Instant::now();
    while !condition() {
        assert!(
            start.elapsed() < Duration::from_secs(60),
            "it did not happen in a minute"
        );
        std::thread::sleep(Duration::from_millis(20));
    }
}
