//! One person's machine: a home folder and a shell, which keeps its variables and what goes on in its
//! background.

use std::{
    fs::{self, DirBuilder},
    io::{self, BufRead as _, BufReader, Write as _},
    os::unix::{
        fs::{DirBuilderExt as _, PermissionsExt as _, symlink},
        process::CommandExt as _,
    },
    path::{Path, PathBuf},
    process::{Child, Command, Stdio},
    sync::mpsc::{Receiver, channel},
    time::Duration,
};

use rustix::process::{Pid, Signal, kill_process_group};

use crate::{cache_folder, program};

/// What stands before the exit code of every command. No program prints it.
const MARK: char = '\u{1e}';
/// The folder of programs that stand in for those that reach other machines.
const TOOLS: &str = ".tools";
const SCP: &str = r#"#!/bin/bash
to="${@: -1}"
exec cp -r -- "${@:1:$#-1}" "$MACHINES/${to%%:*}/${to#*:}"
"#;
const SSH: &str = r#"#!/bin/bash
cd "$MACHINES/$1" && shift && exec "$@"
"#;

/// A machine, gone when dropped with all that runs on it.
pub(super) struct Machine {
    home: PathBuf,
    shell: Child,
    lines: Receiver<String>,
}

/// Makes the programs that stand in for `scp` and `ssh` between the machines of this folder.
pub(super) fn tools(machines: &Path) {
    let tools = machines.join(TOOLS);
    fs::create_dir(&tools).expect("a folder");
    for (name, script) in [("scp", SCP), ("ssh", SSH)] {
        let path = tools.join(name);
        fs::write(&path, script).expect("a file");
        fs::set_permissions(&path, fs::Permissions::from_mode(0o755)).expect("own file");
    }
}

impl Machine {
    /// Starts a shell in a home folder of this name, with these files in it.
    pub(super) fn start(machines: &Path, name: &str, files: &[PathBuf]) -> Self {
        let home = machines.join(name);
        let mut private = DirBuilder::new();
        private.mode(0o700).recursive(true);
        private.create(home.join("run")).expect("a folder");
        for file in files {
            let file = fs::canonicalize(file).expect("a file");
            let name = file.file_name().expect("a file");
            symlink(&file, home.join(name)).expect("a link");
        }
        let programs = program("mc2");
        let programs = programs.parent().expect("a folder");
        let tools = machines.join(TOOLS);
        let (read, write) = io::pipe().expect("a pipe");
        let shell = Command::new("bash")
            .args(["--noprofile", "--norc"])
            .current_dir(&home)
            .env_clear()
            .env("HOME", &home)
            .env("LC_ALL", "C")
            .env("MACHINES", machines)
            .env(
                "PATH",
                format!("{}:{}:/usr/bin:/bin", tools.display(), programs.display()),
            )
            .env("XDG_CACHE_HOME", cache_folder())
            .env("XDG_RUNTIME_DIR", home.join("run"))
            .stdin(Stdio::piped())
            .stdout(write.try_clone().expect("a pipe"))
            .stderr(write)
            .process_group(0)
            .spawn()
            .expect("bash");
        let (sender, lines) = channel();
        std::thread::spawn(move || {
            let read = BufReader::new(read).lines().map_while(Result::ok);
            // Nobody listens once the machine is gone.
            read.map_while(|line| sender.send(line).ok()).for_each(drop);
        });
        Self { home, shell, lines }
    }

    /// What a command prints, and its exit code.
    ///
    /// # Panics
    /// When it does not end within `patience`.
    pub(super) fn type_in(&mut self, command: &str, patience: Duration) -> (Vec<String>, i32) {
        let typed = format!("{{ {command}\n}} < /dev/null\nprintf '\\036%s\\n' $?\n");
        let stdin = self.shell.stdin.as_mut().expect("piped");
        stdin.write_all(typed.as_bytes()).expect("a shell");
        let mut printed = Vec::new();
        loop {
            let line = self.next_line(patience);
            let line = line.unwrap_or_else(|| panic!("{command}\nprinted {printed:#?}"));
            // What was printed before it may have had no line break.
            if let Some((before, code)) = line.split_once(MARK) {
                printed.extend((!before.is_empty()).then(|| before.to_owned()));
                return (printed, code.parse().expect("an exit code"));
            }
            printed.push(line.trim_end().to_owned());
        }
    }

    /// The next line that is printed there.
    pub(super) fn next_line(&self, patience: Duration) -> Option<String> {
        self.lines.recv_timeout(patience).ok()
    }

    /// Its person leaves, and takes along everything on it.
    pub(super) fn leave(&mut self) {
        self.end();
        let away = self.home.with_extension("away");
        fs::rename(&self.home, away).expect("own folder");
    }

    fn end(&mut self) {
        let pid = i32::try_from(self.shell.id()).ok().and_then(Pid::from_raw);
        if let Some(pid) = pid {
            // It may have ended by itself.
            let _ = kill_process_group(pid, Signal::KILL);
        }
        let _ = self.shell.wait();
    }
}

impl Drop for Machine {
    fn drop(&mut self) {
        self.end();
    }
}
