//! Child processes, and errors written for the person at the terminal.

use std::ffi::OsStr;
use std::fmt;
use std::path::Path;
use std::process::{Child, Command, Output, Stdio};
use std::time::{Duration, Instant};

/// What went wrong and, where there is one, the line that puts it right.
#[derive(Debug)]
pub(crate) struct Failure(String);

/// The result of every step.
pub(crate) type Outcome<T> = Result<T, Failure>;

impl Failure {
    pub(crate) fn new(message: impl Into<String>) -> Self {
        Self(message.into())
    }
}

impl fmt::Display for Failure {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&self.0)
    }
}

impl From<String> for Failure {
    fn from(message: String) -> Self {
        Self(message)
    }
}

impl From<&str> for Failure {
    fn from(message: &str) -> Self {
        Self(message.to_owned())
    }
}

/// Says on standard error what is being done.
pub(crate) fn say(message: impl fmt::Display) {
    eprintln!("xtask: {message}");
}

/// Adds what was being done to an I/O error.
pub(crate) trait Doing<T> {
    fn doing(self, what: impl fmt::Display) -> Outcome<T>;
}

impl<T, E: fmt::Display> Doing<T> for Result<T, E> {
    fn doing(self, what: impl fmt::Display) -> Outcome<T> {
        self.map_err(|error| Failure(format!("{what}: {error}")))
    }
}

/// Runs to the end with the terminal's streams; anything but success fails.
pub(crate) fn run(command: &mut Command) -> Outcome<()> {
    let shown = shown(command);
    let status = command.status().doing(format_args!("starting `{shown}`"))?;
    if status.success() {
        Ok(())
    } else {
        Err(Failure(format!("`{shown}` failed: {status}")))
    }
}

/// Becomes the command: its last lines are the last that are printed, and its status is ours. Comes
/// back only where it cannot be started.
pub(crate) fn give_way_to(command: &mut Command) -> Outcome<()> {
    use std::os::unix::process::CommandExt;
    let shown = shown(command);
    Err(command.exec()).doing(format_args!("starting `{shown}`"))
}

/// Runs to the end and gives standard output; anything but success fails
/// with what the program wrote on standard error.
pub(crate) fn capture(command: &mut Command) -> Outcome<String> {
    let output = output(command)?;
    if !output.status.success() {
        return Err(Failure(format!(
            "`{}` failed: {}\n{}",
            shown(command),
            output.status,
            String::from_utf8_lossy(&output.stderr).trim_end(),
        )));
    }
    String::from_utf8(output.stdout).doing(format_args!("reading what `{}` wrote", shown(command)))
}

/// Runs to the end and gives everything, success or not.
pub(crate) fn output(command: &mut Command) -> Outcome<Output> {
    let shown = shown(command);
    command
        .stdin(Stdio::null())
        .output()
        .doing(format_args!("starting `{shown}`"))
}

/// Runs silently; true where the program exists and succeeded.
pub(crate) fn succeeds(command: &mut Command) -> bool {
    command
        .stdin(Stdio::null())
        .stdout(Stdio::null())
        .stderr(Stdio::null())
        .status()
        .is_ok_and(|status| status.success())
}

/// Runs silently for at most `limit`, then ends it; true where it succeeded.
pub(crate) fn succeeds_within(command: &mut Command, limit: Duration) -> bool {
    let child = command
        .stdin(Stdio::null())
        .stdout(Stdio::null())
        .stderr(Stdio::null())
        .spawn();
    let Ok(mut child) = child else { return false };
    wait_until(&mut child, Instant::now() + limit)
}

fn wait_until(child: &mut Child, deadline: Instant) -> bool {
    loop {
        match child.try_wait() {
            Ok(Some(status)) => return status.success(),
            Ok(None) if Instant::now() < deadline => {
                std::thread::sleep(Duration::from_millis(20));
            }
            _ => {
                // Either is fine: it may have ended in between.
                let _ = child.kill();
                let _ = child.wait();
                return false;
            }
        }
    }
}

/// Takes away whatever in the user's environment changes what compilers do.
pub(crate) fn clean_environment(command: &mut Command) {
    const KEPT: [&str; 5] = [
        "CARGO_HOME",
        "CARGO_NET_",
        "CARGO_HTTP_",
        "CARGO_REGISTR",
        "CARGO_SOURCE_",
    ];
    for (name, _) in std::env::vars_os() {
        let Some(text) = name.to_str() else { continue };
        let cargo = text.starts_with("CARGO_") && !KEPT.iter().any(|kept| text.starts_with(kept));
        let rust = text.starts_with("RUST") && !text.starts_with("RUSTUP_");
        let c = ["CFLAGS", "CXXFLAGS", "CPPFLAGS", "LDFLAGS", "ARFLAGS"]
            .iter()
            .any(|flags| text.contains(flags))
            || ["CC", "CXX", "AR"]
                .iter()
                .any(|tool| text == *tool || text.starts_with(&format!("{tool}_")))
            || text.starts_with("CRATE_CC_");
        let other = [
            "SOURCE_DATE_EPOCH",
            "LD_LIBRARY_PATH",
            "CPATH",
            "C_INCLUDE_PATH",
        ];
        if cargo || rust || c || other.contains(&text) {
            command.env_remove(name);
        }
    }
}

/// The command as a person would type it.
pub(crate) fn shown(command: &Command) -> String {
    let words = std::iter::once(command.get_program()).chain(command.get_args());
    words.map(quoted).collect::<Vec<_>>().join(" ")
}

fn quoted(word: &OsStr) -> String {
    let word = word.to_string_lossy();
    let plain = |c: char| c.is_ascii_alphanumeric() || "-_./=:,+@%".contains(c);
    if !word.is_empty() && word.chars().all(plain) {
        word.into_owned()
    } else {
        format!("'{}'", word.replace('\'', "'\\''"))
    }
}

/// Where `name` is on the search path.
pub(crate) fn on_path(name: &str) -> Option<std::path::PathBuf> {
    let path = std::env::var_os("PATH")?;
    std::env::split_paths(&path)
        .map(|folder| folder.join(name))
        .find(|file| is_executable(file))
}

fn is_executable(file: &Path) -> bool {
    use std::os::unix::fs::PermissionsExt;
    file.metadata()
        .is_ok_and(|meta| meta.is_file() && meta.permissions().mode() & 0o111 != 0)
}
