//! Pages of `docs/` that are run as they stand: the commands of several people, each on a machine of
//! their own, and what they print.

mod machine;
mod page;
mod told;

use std::{
    collections::BTreeMap,
    fs,
    net::TcpListener,
    path::{Path, PathBuf},
    time::{Duration, Instant},
};

use tempfile::TempDir;

use machine::Machine;
use page::{Typed, typed};
use told::Bound;

/// How long what must come is waited for before the test has failed.
const PATIENCE: Duration = Duration::from_secs(600);
/// What pages say of the host's address.
const ADDRESS: &str = "127.0.0.1:8440";
/// A question that changes nothing, and whose answer may come a little later than on the page.
const ASKED_AGAIN: &str = "mc2 session status ";

/// A page, and the machines of those who go through it.
pub struct Walkthrough {
    typed: Vec<Typed>,
    machines: BTreeMap<String, Machine>,
    bound: Bound,
    address: String,
    folder: TempDir,
}

impl Walkthrough {
    /// The page at this path, with a machine for each name at a prompt of it: a home folder with
    /// these files in it.
    ///
    /// # Panics
    /// When it cannot be read, or shows no command.
    pub fn of(page: &Path, files: &[PathBuf]) -> Self {
        let text = fs::read_to_string(page).expect("a page");
        let typed = typed(&text);
        assert!(!typed.is_empty(), "{} shows no command", page.display());
        let folder = TempDir::with_prefix("mc2-walk-").expect("a temporary folder");
        machine::tools(folder.path());
        let mut machines = BTreeMap::new();
        for name in typed.iter().map(|typed| &typed.machine) {
            machines
                .entry(name.clone())
                .or_insert_with(|| Machine::start(folder.path(), name, files));
        }
        let port = TcpListener::bind("127.0.0.1:0").and_then(|listener| listener.local_addr());
        Self {
            typed,
            machines,
            bound: Bound::default(),
            address: port.expect("a free port").to_string(),
            folder,
        }
    }

    /// Types every command in turn, and holds what is printed against the page.
    ///
    /// # Panics
    /// When it is something else, or a command ends otherwise than it says.
    pub fn run(&mut self) {
        for typed in std::mem::take(&mut self.typed) {
            self.run_one(&typed);
        }
    }

    /// The home folder of a machine.
    pub fn home(&self, machine: &str) -> PathBuf {
        self.folder.path().join(machine)
    }

    fn run_one(&mut self, typed: &Typed) {
        let Typed {
            machine,
            command,
            line,
            ..
        } = typed;
        let what = format!("line {line}, {machine}$ {command}");
        let address = |text: &str| text.replace(ADDRESS, &self.address);
        let command = match self.bound.fill(&address(command)) {
            Ok(command) => command,
            Err(missing) => panic!("{what}\nnothing printed {missing} before"),
        };
        let expected: Vec<String> = typed.told.iter().map(|line| address(line)).collect();
        let machine = self.machines.get_mut(machine).expect("a machine");
        if command == "exit" {
            machine.leave();
            return;
        }
        let begun = Instant::now();
        loop {
            let (mut printed, code) = machine.type_in(&command, PATIENCE);
            // Who goes on in the background says so in a moment.
            while command.ends_with('&') && self.bound.reads(&expected, &printed).is_none() {
                let next = machine.next_line(PATIENCE.saturating_sub(begun.elapsed()));
                let next = next.unwrap_or_else(|| panic!("{what}\nprinted {printed:#?}"));
                printed.push(next);
            }
            if let Some(bound) = self.bound.reads(&expected, &printed) {
                let fails = expected.iter().any(|line| line.starts_with("mc2: "));
                assert_eq!(code != 0, fails, "{what}\nended with {code}: {printed:#?}");
                self.bound = bound;
                return;
            }
            assert!(
                command.starts_with(ASKED_AGAIN) && begun.elapsed() < PATIENCE,
                "{what}\nexpected {expected:#?}\nprinted {printed:#?}"
            );
            std::thread::sleep(Duration::from_millis(300));
        }
    }
}
