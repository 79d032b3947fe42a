//! The virtual files: a guest's whole world.
//!
//! `/in`, `/out`, `/tmp` and `/run/mc2` are four [`tree`]s of names; a name
//! stands for a [`File`], of which each kind has a module here ([`input`], [`space`],
//! [`text`], [`progress`], [`error`], [`keys`], [`print`]; peers have theirs); writable files keep
//! their bytes in one [`Space`]. Nothing here reaches a file of the host's.

mod error;
mod file;
mod input;
mod keys;
mod output;
mod print;
mod progress;
mod space;
mod text;
mod tree;

use std::collections::BTreeMap;
use std::sync::Arc;
use std::sync::atomic::AtomicU64;

pub use input::{BytesInput, InputError, InputFile, InputTree};
pub use keys::GuestKey;
pub use output::{Output, OutputFile, OutputTree};
pub use print::Print;
pub use progress::{ProgressEvent, ProgressReceiver, progress_channel};
pub use space::{PAGE, PageStore, PageStoreError, PageTag};
pub use tree::BadName;

pub(crate) use error::ErrorText;
pub(crate) use file::{File, Gone, Place, Stream, WriteError};
pub(crate) use input::Input;
pub(crate) use print::Printed;
pub(crate) use progress::Progress;
pub(crate) use space::{Account, Space};
pub(crate) use text::Text;
pub(crate) use tree::{NameError, Node, NodeId, ROOT, Resolved};

use tree::{Tree, TreeKind};

/// Which of the trees.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum TreeId {
    In = 0,
    Out = 1,
    Tmp = 2,
    Run = 3,
}

/// Where the guest finds each tree.
const PREOPENS: [(TreeId, &str); 4] = [
    (TreeId::In, "/in"),
    (TreeId::Out, "/out"),
    (TreeId::Tmp, "/tmp"),
    (TreeId::Run, "/run/mc2"),
];

/// An open file or folder.
#[allow(unreachable_pub, reason = "the generated bindings re-export it")]
pub enum Descriptor {
    Folder(Folder),
    File(OpenFile),
}

/// An open folder.
#[derive(Clone, Copy, PartialEq, Eq)]
pub(crate) struct Folder {
    pub(crate) tree: TreeId,
    pub(crate) node: NodeId,
    /// Opened to change what is in it.
    pub(crate) mutate: bool,
}

/// An open file, with what it was opened for.
pub(crate) struct OpenFile {
    pub(crate) tree: TreeId,
    pub(crate) node: NodeId,
    pub(crate) file: Arc<dyn File>,
    pub(crate) read: bool,
    pub(crate) write: bool,
}

/// A folder being listed: where it is and how far.
#[allow(unreachable_pub, reason = "the generated bindings re-export it")]
pub struct Listing {
    pub(crate) folder: Folder,
    pub(crate) after: Option<String>,
}

/// The four trees of one run.
pub(crate) struct Vfs {
    trees: [Tree; 4],
    space: Arc<Space>,
    /// Descriptors the guest holds.
    pub(crate) open: usize,
}

impl Vfs {
    /// The world of one run, with these files below `/run/mc2`. Declared folders exist from
    /// the start.
    pub(crate) fn new(
        inputs: InputTree,
        outputs: &[String],
        run: impl IntoIterator<Item = (String, Arc<dyn File>)>,
        space: Arc<Space>,
        read: &Arc<AtomicU64>,
    ) -> Result<Self, BadName> {
        let mut declared = BTreeMap::new();
        let mut folders = Vec::new();
        for output in outputs {
            let (name, is_folder) = match output.strip_suffix('/') {
                Some(name) => (name, true),
                None => (output.as_str(), false),
            };
            if declared.insert(name.to_owned(), is_folder).is_some() {
                return Err(BadName::Twice(name.to_owned()));
            }
            tree::check_name(name, name)?;
            folders.extend(is_folder.then(|| name.to_owned()));
        }
        let memory = space.memory();
        let mut out = Tree::new(TreeKind::Out(declared), memory.clone());
        for folder in folders {
            out.plant_folder(&folder)?;
        }
        let mut about = Tree::new(TreeKind::Run, memory.clone());
        for (path, file) in run {
            about.plant(&path, file)?;
        }
        let trees = [
            inputs.build(read, memory.clone())?,
            out,
            Tree::new(TreeKind::Tmp, memory.clone()),
            about,
        ];
        Ok(Self {
            trees,
            space,
            open: 0,
        })
    }

    /// The folders a guest starts with, and their paths.
    pub(crate) fn preopens(&self) -> impl Iterator<Item = (Folder, &'static str)> {
        PREOPENS.into_iter().map(|(tree, path)| {
            let mutate = self.tree(tree).is_writable();
            (
                Folder {
                    tree,
                    node: ROOT,
                    mutate,
                },
                path,
            )
        })
    }

    pub(crate) fn tree(&self, id: TreeId) -> &Tree {
        &self.trees[id as usize]
    }

    pub(crate) fn tree_mut(&mut self, id: TreeId) -> &mut Tree {
        &mut self.trees[id as usize]
    }

    pub(crate) fn create_file(
        &mut self,
        tree: TreeId,
        place: (NodeId, String),
    ) -> Result<(NodeId, Arc<dyn File>), NameError> {
        self.trees[tree as usize].create_file(place, &self.space)
    }

    /// What the job declared and the guest wrote.
    pub(crate) fn outputs(&self, declared: &[String]) -> OutputTree {
        let mut outputs = OutputTree::default();
        for name in declared {
            let bare = name.strip_suffix('/').unwrap_or(name);
            if let Some(found) = self.tree(TreeId::Out).files(bare) {
                outputs.add(bare, found);
            }
        }
        outputs
    }
}
