//! The files as a guest's calls see them, without a guest.

mod memory;
mod peers;

use std::sync::Arc;
use std::sync::atomic::AtomicU64;
use std::time::Instant;

use bytes::Bytes;
use proptest::prelude::*;
use wasmtime::component::Resource;
use wasmtime_wasi_io::streams::StreamError;

use super::bindings::wasi::filesystem::preopens::Host as _;
use super::bindings::wasi::filesystem::types::{
    DescriptorFlags, DescriptorType, HostDescriptor, HostDirectoryEntryStream as _, OpenFlags,
    PathFlags,
};
use super::guest::{ErrorCode, FsError};
use super::*;
use crate::failure::Failure;
use crate::files::{
    Account, BytesInput, Descriptor, ErrorText, File, InputTree, Output, Progress, Space, Text, Vfs,
};
use crate::limits::{Budgets, Limiter, Limits, OPEN_FILES};
use crate::peers::{Peers, Seat};

const READ: DescriptorFlags = DescriptorFlags::READ;
const WRITE: DescriptorFlags = DescriptorFlags::WRITE;
const NEW: OpenFlags = OpenFlags::CREATE;

/// A guest with inputs `a` and `set/x/1`, outputs `table` and `parts/`.
struct World {
    guest: Guest,
    space: Arc<Space>,
}

impl World {
    fn new() -> Self {
        Self::with(Limits::default())
    }

    fn with(limits: Limits) -> Self {
        Self::at(None, limits)
    }

    fn at(seat: Option<&Seat>, limits: Limits) -> Self {
        let budgets = Budgets::new(&limits);
        let space = Space::new(&budgets, limits.page_cache, None);
        let read = Arc::new(AtomicU64::new(0));
        let mut inputs = InputTree::new();
        inputs.add_file("a", Arc::new(BytesInput(Bytes::from_static(b"alpha"))));
        let one: Arc<dyn crate::InputFile> = Arc::new(BytesInput(Bytes::from_static(b"1")));
        inputs.add_folder("set", [("x/1", one)]);
        let run_dir: [(String, Arc<dyn File>); 3] = [
            (
                "job.json".to_owned(),
                Arc::new(Text(Bytes::from_static(b"{}"))),
            ),
            (
                "progress".to_owned(),
                Arc::new(Progress::new(space.clone(), None)),
            ),
            ("error".to_owned(), Arc::new(ErrorText::new(space.clone()))),
        ];
        let run_dir = run_dir
            .into_iter()
            .chain(seat.into_iter().flat_map(Seat::files));
        let vfs = Vfs::new(inputs, &declared(), run_dir, space.clone(), &read).unwrap();
        let stream = || -> Arc<dyn File> { Arc::new(space.create(Account::Output)) };
        let guest = Guest {
            table: Guest::table(),
            limiter: Limiter::new(budgets.memory),
            vfs,
            notes: Notes::default(),
            pending: Guest::pending(),
            polls: None,
            arguments: Vec::new(),
            environment: Vec::new(),
            stdin: Arc::new(Text(Bytes::new())),
            stdout: stream(),
            stderr: stream(),
            start: Instant::now(),
            start_seconds: 0,
        };
        Self { guest, space }
    }

    fn root(&mut self, path: &str) -> Resource<Descriptor> {
        let folders = self.guest.get_directories().unwrap();
        folders
            .into_iter()
            .find(|(_, name)| name == path)
            .unwrap()
            .0
    }

    fn open(
        &mut self,
        root: &str,
        path: &str,
        open: OpenFlags,
        flags: DescriptorFlags,
    ) -> Result<Resource<Descriptor>, ErrorCode> {
        let root = self.root(root);
        code(
            self.guest
                .open_at(root, PathFlags::empty(), path.to_owned(), open, flags),
        )
    }

    fn text(&mut self, root: &str, path: &str) -> Result<Vec<u8>, ErrorCode> {
        let file = self.open(root, path, OpenFlags::empty(), READ)?;
        let (bytes, end) = block_on(self.guest.read(file, 1 << 20, 0)).map_err(code_of)?;
        assert!(end);
        Ok(bytes)
    }

    fn put(&mut self, root: &str, path: &str, text: &str) -> Result<(), ErrorCode> {
        let file = self.open(root, path, NEW | OpenFlags::TRUNCATE, WRITE)?;
        let data = text.as_bytes().to_vec();
        block_on(self.guest.write(file, data, 0))
            .map(|_| ())
            .map_err(code_of)
    }

    fn mkdir(&mut self, root: &str, path: &str) -> Result<(), ErrorCode> {
        let root = self.root(root);
        code(self.guest.create_directory_at(root, path.to_owned()))
    }

    fn rm(&mut self, root: &str, path: &str) -> Result<(), ErrorCode> {
        let root = self.root(root);
        code(self.guest.unlink_file_at(root, path.to_owned()))
    }

    fn rmdir(&mut self, root: &str, path: &str) -> Result<(), ErrorCode> {
        let root = self.root(root);
        code(self.guest.remove_directory_at(root, path.to_owned()))
    }

    fn mv(&mut self, from: (&str, &str), to: (&str, &str)) -> Result<(), ErrorCode> {
        let (a, b) = (self.root(from.0), self.root(to.0));
        code(
            self.guest
                .rename_at(a, from.1.to_owned(), b, to.1.to_owned()),
        )
    }

    fn list(&mut self, root: &str, path: &str) -> Vec<String> {
        let folder = self.open(root, path, OpenFlags::DIRECTORY, READ).unwrap();
        let stream = self.guest.read_directory(folder).unwrap();
        let rep = stream.rep();
        let mut names = Vec::new();
        while let Some(entry) = self
            .guest
            .read_directory_entry(Resource::new_borrow(rep))
            .unwrap()
        {
            let mark = if entry.type_ == DescriptorType::Directory {
                "/"
            } else {
                ""
            };
            names.push(format!("{}{mark}", entry.name));
        }
        names
    }
}

fn declared() -> Vec<String> {
    vec!["table".to_owned(), "parts/".to_owned()]
}

fn code_of(error: FsError) -> ErrorCode {
    match error {
        FsError::Code(code) => code,
        FsError::Trap(error) => panic!("{error:#}"),
    }
}

fn code<T>(result: Result<T, FsError>) -> Result<T, ErrorCode> {
    result.map_err(code_of)
}

fn block_on<T>(future: impl Future<Output = T>) -> T {
    tokio::runtime::Builder::new_current_thread()
        .build()
        .unwrap()
        .block_on(future)
}

#[test]
fn the_world_is_four_folders() {
    let mut world = World::new();
    let folders = world.guest.get_directories().unwrap();
    let paths: Vec<_> = folders.iter().map(|(_, path)| path.as_str()).collect();
    assert_eq!(paths, ["/in", "/out", "/tmp", "/run/mc2"]);
    assert_eq!(world.list("/in", "."), ["a", "set/"]);
    assert_eq!(world.list("/in", "set/x"), ["1"]);
    assert_eq!(world.list("/out", "."), ["parts/"]);
    assert_eq!(
        world.list("/run/mc2", "."),
        ["error", "job.json", "progress"]
    );
    assert_eq!(world.text("/in", "a").unwrap(), b"alpha");
    assert_eq!(world.text("/in", "set/x/1").unwrap(), b"1");
    assert_eq!(world.text("/run/mc2", "job.json").unwrap(), b"{}");
}

#[test]
fn no_path_leaves_its_folder() {
    let mut world = World::new();
    world.mkdir("/tmp", "sub").unwrap();
    for path in [
        "..",
        "../in/a",
        "/etc/passwd",
        "/in/a",
        "sub/../../in/a",
        "./../x",
        "/",
    ] {
        for root in ["/in", "/out", "/tmp", "/run/mc2"] {
            let refused = world
                .open(root, path, OpenFlags::empty(), READ)
                .unwrap_err();
            let expected: &[ErrorCode] = match path {
                "sub/../../in/a" if root != "/tmp" => &[ErrorCode::NoEntry],
                _ => &[ErrorCode::NotPermitted],
            };
            assert!(expected.contains(&refused), "{root} {path}: {refused:?}");
            assert!(world.put(root, path, "x").is_err());
            assert!(world.mkdir(root, path).is_err());
        }
    }
    let sub = world
        .open("/tmp", "sub", OpenFlags::DIRECTORY, READ)
        .unwrap();
    let up = world.guest.open_at(
        sub,
        PathFlags::SYMLINK_FOLLOW,
        "../sub".to_owned(),
        OpenFlags::empty(),
        READ,
    );
    assert_eq!(code(up).unwrap_err(), ErrorCode::NotPermitted);
    assert_eq!(world.text("/in", "set/../a").unwrap(), b"alpha");
}

#[test]
fn links_are_refused() {
    let mut world = World::new();
    world.put("/tmp", "f", "x").unwrap();
    let (a, b) = (world.root("/tmp"), world.root("/tmp"));
    let link = world
        .guest
        .link_at(a, PathFlags::empty(), "f".to_owned(), b, "g".to_owned());
    assert_eq!(code(link), Err(ErrorCode::NotPermitted));
    let root = world.root("/tmp");
    let link = world
        .guest
        .symlink_at(root, "/in/a".to_owned(), "g".to_owned());
    assert_eq!(code(link), Err(ErrorCode::NotPermitted));
    let root = world.root("/tmp");
    assert_eq!(
        code(world.guest.readlink_at(root, "f".to_owned())),
        Err(ErrorCode::Invalid)
    );
}

#[test]
fn inputs_and_the_job_cannot_be_changed() {
    let mut world = World::new();
    let no = Err(ErrorCode::NotPermitted);
    for (root, file) in [("/in", "a"), ("/run/mc2", "job.json")] {
        assert_eq!(world.put(root, file, "x"), no);
        assert_eq!(world.put(root, "new", "x"), no);
        assert_eq!(world.mkdir(root, "new"), no);
        assert_eq!(world.rm(root, file), no);
        assert_eq!(world.mv((root, file), (root, "b")), no);
        assert!(world.open(root, file, OpenFlags::empty(), WRITE).is_err());
        assert!(world.open(root, file, OpenFlags::TRUNCATE, READ).is_err());
    }
    assert_eq!(world.text("/in", "a").unwrap(), b"alpha");
}

#[test]
fn undeclared_outputs_fail_the_run_whichever_way_they_come() {
    type Attempt = fn(&mut World) -> Result<(), ErrorCode>;
    let attempts: [(Attempt, &str); 5] = [
        (|world| world.put("/out", "other", "x"), "other"),
        (|world| world.mkdir("/out", "other"), "other"),
        (|world| world.mkdir("/out", "table"), "table"),
        (
            |world| {
                world.put("/out", "table", "x").unwrap();
                world.mv(("/out", "table"), ("/out", "renamed\u{1b}"))
            },
            "renamed",
        ),
        (
            |world| {
                world.put("/out", "parts/p", "x").unwrap();
                world.mv(("/out", "parts/p"), ("/out", "parts2"))
            },
            "parts2",
        ),
    ];
    for (attempt, name) in attempts {
        let mut world = World::new();
        assert_eq!(attempt(&mut world), Err(ErrorCode::NotPermitted));
        assert_eq!(
            world.guest.notes.hard_failure(),
            Some(Failure::UndeclaredOutput(name.to_owned()))
        );
    }
}

#[test]
fn declared_outputs_are_collected() {
    let mut world = World::new();
    world.put("/out", "parts/2", "two").unwrap();
    world.mkdir("/out", "parts/deep").unwrap();
    world.put("/out", "parts/deep/1", "one").unwrap();
    world.put("/out", "parts/draft", "3").unwrap();
    world
        .mv(("/out", "parts/draft"), ("/out", "table"))
        .unwrap();
    assert_eq!(world.guest.notes.hard_failure(), None);
    let outputs = world.guest.vfs.outputs(&declared());
    let Some(Output::File(table)) = outputs.get("table") else {
        panic!()
    };
    assert_eq!(block_on(table.read_all(10)).unwrap(), b"3");
    let Some(Output::Folder(parts)) = outputs.get("parts") else {
        panic!()
    };
    let paths: Vec<_> = parts.iter().map(|(path, _)| path.as_str()).collect();
    assert_eq!(paths, ["2", "deep/1"]);
    assert_eq!(block_on(parts[1].1.read_all(10)).unwrap(), b"one");
    assert_eq!(world.space.usage().output_bytes, 7);
}

#[test]
fn scratch_files_behave_as_files_do() {
    let mut world = World::new();
    world.put("/tmp", "f", "hello").unwrap();
    let open = world
        .open("/tmp", "f", OpenFlags::empty(), READ | WRITE)
        .unwrap();
    let rep = open.rep();
    let again = || Resource::<Descriptor>::new_borrow(rep);
    world.rm("/tmp", "f").unwrap();
    assert_eq!(world.text("/tmp", "f"), Err(ErrorCode::NoEntry));
    block_on(world.guest.write(again(), b"y".to_vec(), 7)).unwrap();
    assert_eq!(
        block_on(world.guest.read(again(), 100, 0)).unwrap().0,
        b"hello\0\0y"
    );
    world.guest.set_size(again(), 2).unwrap();
    assert_eq!(world.guest.stat(again()).unwrap().size, 2);
    assert_eq!(
        block_on(world.guest.read(again(), 100, 2)).unwrap(),
        (Vec::new(), true)
    );
    assert_eq!(world.space.usage().scratch_peak, 65536);
    let open = world
        .open("/tmp", "g", NEW | OpenFlags::EXCLUSIVE, WRITE)
        .unwrap();
    assert_eq!(
        block_on(world.guest.read(open, 1, 0)).map_err(code_of),
        Err(ErrorCode::BadDescriptor)
    );
    assert_eq!(
        world
            .open("/tmp", "g", NEW | OpenFlags::EXCLUSIVE, WRITE)
            .unwrap_err(),
        ErrorCode::Exist
    );
}

#[test]
fn folders_behave_as_folders_do() {
    let mut world = World::new();
    world.mkdir("/tmp", "a").unwrap();
    world.mkdir("/tmp", "a/b").unwrap();
    world.put("/tmp", "a/b/f", "x").unwrap();
    assert_eq!(world.mkdir("/tmp", "a"), Err(ErrorCode::Exist));
    assert_eq!(world.mkdir("/tmp", "no/b"), Err(ErrorCode::NoEntry));
    assert_eq!(world.mkdir("/tmp", "a/b/f/c"), Err(ErrorCode::NotDirectory));
    assert_eq!(world.rmdir("/tmp", "a"), Err(ErrorCode::NotEmpty));
    assert_eq!(world.rmdir("/tmp", "a/b/f"), Err(ErrorCode::NotDirectory));
    assert_eq!(world.rmdir("/tmp", "."), Err(ErrorCode::Busy));
    assert_eq!(world.rm("/tmp", "a"), Err(ErrorCode::IsDirectory));
    assert_eq!(world.put("/tmp", "a", "x"), Err(ErrorCode::IsDirectory));
    assert_eq!(world.text("/tmp", "a/b/f/"), Err(ErrorCode::NotDirectory));
    assert_eq!(
        world.mv(("/tmp", "a"), ("/tmp", "a/b/c")),
        Err(ErrorCode::Invalid)
    );
    assert_eq!(
        world.mv(("/tmp", "a"), ("/out", "parts/a")),
        Err(ErrorCode::CrossDevice)
    );
    world.mkdir("/tmp", "c").unwrap();
    world.mv(("/tmp", "a"), ("/tmp", "c")).unwrap();
    assert_eq!(world.list("/tmp", "."), ["c/"]);
    assert_eq!(world.text("/tmp", "c/b/f").unwrap(), b"x");
    world.put("/tmp", "g", "g").unwrap();
    assert_eq!(
        world.mv(("/tmp", "g"), ("/tmp", "c")),
        Err(ErrorCode::IsDirectory)
    );
    assert_eq!(
        world.mv(("/tmp", "c"), ("/tmp", "g")),
        Err(ErrorCode::NotDirectory)
    );
    world.mv(("/tmp", "g"), ("/tmp", "c/b/f")).unwrap();
    assert_eq!(world.text("/tmp", "c/b/f").unwrap(), b"g");
}

#[test]
fn names_have_limits() {
    let mut world = World::new();
    assert_eq!(
        world.put("/tmp", &"n".repeat(256), "x"),
        Err(ErrorCode::NameTooLong)
    );
    assert_eq!(
        world.put("/tmp", &"a/".repeat(3000), "x"),
        Err(ErrorCode::NameTooLong)
    );
    assert_eq!(world.put("/tmp", "a\nb", "x"), Err(ErrorCode::Invalid));
    assert_eq!(world.put("/tmp", "a\0b", "x"), Err(ErrorCode::Invalid));
    assert_eq!(world.put("/tmp", "", "x"), Err(ErrorCode::NoEntry));
    let mut path = "d".to_owned();
    let deepest = (0..100)
        .find(|_| {
            let refused = world.mkdir("/tmp", &path).is_err();
            path.push_str("/d");
            refused
        })
        .unwrap();
    assert_eq!(deepest, 64);
}

#[test]
fn too_many_open_files_are_refused_and_noted() {
    let mut world = World::new();
    world.put("/tmp", "f", "x").unwrap();
    let root = world.root("/tmp");
    let refused = (0..2 * OPEN_FILES).find_map(|_| {
        let root = Resource::new_borrow(root.rep());
        let f = "f".to_owned();
        code(
            world
                .guest
                .open_at(root, PathFlags::empty(), f, OpenFlags::empty(), READ),
        )
        .err()
    });
    assert_eq!(refused, Some(ErrorCode::InsufficientMemory));
    assert!(matches!(
        world.guest.notes.soft_failure(),
        Some(Failure::HandleLimit { .. })
    ));
}

#[test]
fn progress_and_error_take_whole_file_writes() {
    let mut world = World::new();
    world.put("/run/mc2", "error", "first").unwrap();
    world.put("/run/mc2", "error", "second").unwrap();
    world.put("/run/mc2", "progress", "0.5 half\n").unwrap();
    assert_eq!(
        world
            .open("/run/mc2", "error", OpenFlags::empty(), READ)
            .unwrap_err(),
        ErrorCode::NotPermitted
    );
    assert_eq!(world.space.usage().output_bytes, 20);
}

#[test]
fn output_past_its_limit_ends_the_run() {
    let mut world = World::with(Limits {
        output: 4,
        ..Limits::default()
    });
    let file = world.open("/out", "table", NEW, WRITE).unwrap();
    let Err(FsError::Trap(error)) = block_on(world.guest.write(file, b"hello".to_vec(), 0)) else {
        panic!("accepted");
    };
    let stop = error.downcast_ref::<crate::failure::Stop>().unwrap();
    assert_eq!(stop.0, Failure::OutputLimit { limit: 4 });
}

proptest! {
    #![proptest_config(ProptestConfig { failure_persistence: None, ..ProptestConfig::default() })]

    #[test]
    fn any_path_at_all_finds_only_what_was_planted(path in r"[a-z./\\\x00-\x1fä]{0,40}") {
        let mut world = World::new();
        if let Ok(text) = world.text("/in", &path) {
            prop_assert!(text == b"alpha" || text == b"1");
        }
        let _ = world.put("/tmp", &path, "x");
        let _ = world.put("/in", &path, "x");
        prop_assert_eq!(world.list("/in", "."), ["a", "set/"]);
    }

    #[test]
    fn only_offered_interfaces_are_offered(name in r"wasi:(io|http|cli|sockets)/[a-z-]{1,12}(@0\.[0-9]\.[0-9])?") {
        if offers(&name) {
            let (interface, version) = name.split_once('@').unwrap();
            prop_assert!(OFFERED.contains(&interface) && version.starts_with("0.2."));
        }
    }
}
