//! Names: four trees of folders and files, and the paths within them.
//!
//! A path is resolved from an open folder and can never leave it: an absolute
//! path and a `..` past the folder are refused before anything is looked up.
//! There are no links of any kind.

use std::collections::{BTreeMap, HashMap};
use std::sync::Arc;

use super::file::File;
use super::space::{Account, Space};
use crate::limits::{Budget, NAME_BYTES, NODE_BYTES, PATH_BYTES, TREE_DEPTH, TREE_NODES};

pub(crate) type NodeId = u64;

/// The root of every tree.
pub(crate) const ROOT: NodeId = 0;

/// A name that cannot stand in a tree, or stands there twice.
#[derive(Debug, thiserror::Error)]
pub enum BadName {
    /// It is empty, too long, `.` or `..`, or has a slash or a control character.
    #[error("`{0}` cannot be a file's name")]
    Invalid(String),
    /// Two files, or a file and a folder, of one name.
    #[error("there are two files called `{0}`")]
    Twice(String),
    /// The run's memory has no room for so many.
    #[error("the names of the files take more than the memory of the run")]
    NoMemory,
}

/// Which tree, and so which rules.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) enum TreeKind {
    /// `/in`: read-only.
    In,
    /// `/out`: at its root only these names, `true` where the name is a folder's.
    Out(BTreeMap<String, bool>),
    /// `/tmp`: anything.
    Tmp,
    /// `/run/mc2`: its own files and no others.
    Run,
}

/// Why a path leads nowhere, or an operation on names does not happen: in POSIX's words, but for
/// the last two.
#[derive(Debug, PartialEq, Eq)]
pub(crate) enum NameError {
    Busy,
    Exist,
    Invalid,
    IsDirectory,
    NameTooLong,
    NoEntry,
    NotDirectory,
    NotEmpty,
    NotPermitted,
    /// The guest wants an output that is not declared.
    Undeclared(String),
    /// The tree is full.
    Full,
    /// The run's memory is.
    NoMemory,
}

pub(crate) enum Node {
    Folder {
        entries: BTreeMap<String, NodeId>,
        parent: NodeId,
    },
    File(Arc<dyn File>),
}

/// Where a path leads.
pub(crate) struct Resolved {
    /// The folder and the name in it; none where the path is the folder it starts from.
    pub(crate) place: Option<(NodeId, String)>,
    /// What stands there.
    pub(crate) node: Option<NodeId>,
    /// The path ends in a slash.
    pub(crate) folder: bool,
}

pub(crate) struct Tree {
    kind: TreeKind,
    nodes: HashMap<NodeId, Node>,
    next: NodeId,
    /// Where the names count.
    memory: Budget,
}

impl Tree {
    pub(crate) fn new(kind: TreeKind, memory: Budget) -> Self {
        let root = Node::Folder {
            entries: BTreeMap::new(),
            parent: ROOT,
        };
        Self {
            kind,
            nodes: HashMap::from([(ROOT, root)]),
            next: ROOT + 1,
            memory,
        }
    }

    /// Whether a guest may create, change and remove anything here.
    pub(crate) fn is_writable(&self) -> bool {
        matches!(self.kind, TreeKind::Out(_) | TreeKind::Tmp)
    }

    pub(crate) fn node(&self, id: NodeId) -> Result<&Node, NameError> {
        self.nodes.get(&id).ok_or(NameError::NoEntry)
    }

    /// The entry after `after` in a folder, in the order of names.
    pub(crate) fn next_entry(&self, folder: NodeId, after: Option<&str>) -> Option<(&str, &Node)> {
        use std::ops::Bound::{Excluded, Unbounded};
        let Node::Folder { entries, .. } = self.nodes.get(&folder)? else {
            return None;
        };
        let start = after.map_or(Unbounded, Excluded);
        let (name, id) = entries.range::<str, _>((start, Unbounded)).next()?;
        Some((name, self.nodes.get(id)?))
    }

    /// Follows `path` from `base`; only its last name may be missing.
    pub(crate) fn resolve(&self, base: NodeId, path: &str) -> Result<Resolved, NameError> {
        if path.len() > PATH_BYTES {
            return Err(NameError::NameTooLong);
        }
        if path.is_empty() {
            return Err(NameError::NoEntry);
        }
        if path.contains('\0') {
            return Err(NameError::Invalid);
        }
        if path.starts_with('/') {
            return Err(NameError::NotPermitted);
        }
        let folder = path.ends_with('/') || path.ends_with("/.") || path == ".";
        let names: Vec<&str> = path
            .split('/')
            .filter(|name| !name.is_empty() && *name != ".")
            .collect();
        let mut stack = vec![(base, "")];
        for (index, name) in names.iter().copied().enumerate() {
            let (here, _) = stack[stack.len() - 1];
            let Node::Folder { entries, .. } = self.node(here)? else {
                return Err(NameError::NotDirectory);
            };
            if name == ".." {
                if stack.len() == 1 {
                    return Err(NameError::NotPermitted);
                }
                stack.pop();
                continue;
            }
            if name.len() > NAME_BYTES {
                return Err(NameError::NameTooLong);
            }
            match entries.get(name) {
                Some(next) => stack.push((*next, name)),
                None if index + 1 == names.len() => {
                    let place = Some((here, name.to_owned()));
                    return Ok(Resolved {
                        place,
                        node: None,
                        folder,
                    });
                }
                None => return Err(NameError::NoEntry),
            }
        }
        let (node, name) = stack[stack.len() - 1];
        let place = match stack.len() {
            1 => None,
            len => Some((stack[len - 2].0, name.to_owned())),
        };
        if folder && !matches!(self.node(node)?, Node::Folder { .. }) {
            return Err(NameError::NotDirectory);
        }
        Ok(Resolved {
            place,
            node: Some(node),
            folder,
        })
    }

    /// Makes a new file where `resolve` found nothing.
    pub(crate) fn create_file(
        &mut self,
        place: (NodeId, String),
        space: &Arc<Space>,
    ) -> Result<(NodeId, Arc<dyn File>), NameError> {
        let account = match self.kind {
            TreeKind::Out(_) => Account::Output,
            TreeKind::Tmp => Account::Scratch,
            TreeKind::In | TreeKind::Run => return Err(NameError::NotPermitted),
        };
        self.may_name(&place, false)?;
        self.has_room()?;
        let file: Arc<dyn File> = Arc::new(space.create(account));
        let id = self.insert(place, Node::File(Arc::clone(&file)))?;
        Ok((id, file))
    }

    /// Makes a new, empty folder where `resolve` found nothing.
    pub(crate) fn create_folder(&mut self, place: (NodeId, String)) -> Result<NodeId, NameError> {
        if !self.is_writable() {
            return Err(NameError::NotPermitted);
        }
        self.may_name(&place, true)?;
        self.has_room()?;
        self.fits(place.0, 1)?;
        let parent = place.0;
        self.insert(
            place,
            Node::Folder {
                entries: BTreeMap::new(),
                parent,
            },
        )
    }

    /// Removes a file's name. Whoever has it open keeps it.
    pub(crate) fn unlink(&mut self, found: Resolved) -> Result<(), NameError> {
        let (place, id) = self.to_remove(found)?;
        if let Node::Folder { .. } = self.node(id)? {
            return Err(NameError::IsDirectory);
        }
        self.remove(&place, id);
        Ok(())
    }

    /// Removes an empty folder.
    pub(crate) fn remove_folder(&mut self, found: Resolved) -> Result<(), NameError> {
        let (place, id) = self.to_remove(found)?;
        match self.node(id)? {
            Node::File(_) => return Err(NameError::NotDirectory),
            Node::Folder { entries, .. } if !entries.is_empty() => {
                return Err(NameError::NotEmpty);
            }
            Node::Folder { .. } => {}
        }
        self.remove(&place, id);
        Ok(())
    }

    /// Gives what stands at `from` the name `to`, over what stands there where
    /// POSIX allows it.
    pub(crate) fn rename(&mut self, from: Resolved, to: Resolved) -> Result<(), NameError> {
        let to_folder = to.folder;
        let (from, id) = self.to_remove(from)?;
        let place = to.place.ok_or(NameError::Busy)?;
        let is_folder = matches!(self.node(id)?, Node::Folder { .. });
        if to_folder && !is_folder {
            return Err(NameError::NotDirectory);
        }
        self.may_name(&place, is_folder)?;
        if is_folder && self.is_within(place.0, id) {
            return Err(NameError::Invalid);
        }
        self.fits(place.0, self.height(id))?;
        if let Some(old) = to.node {
            if old == id {
                return Ok(());
            }
            match (self.node(old)?, is_folder) {
                (Node::File(_), true) => return Err(NameError::NotDirectory),
                (Node::Folder { .. }, false) => return Err(NameError::IsDirectory),
                (Node::Folder { entries, .. }, true) if !entries.is_empty() => {
                    return Err(NameError::NotEmpty);
                }
                _ => {}
            }
            self.remove(&place, old);
        }
        if let Some(Node::Folder { entries, .. }) = self.nodes.get_mut(&from.0) {
            entries.remove(&from.1);
        }
        let parent_id = place.0;
        if let Some(Node::Folder { entries, .. }) = self.nodes.get_mut(&parent_id) {
            entries.insert(place.1, id);
        }
        if let Some(Node::Folder { parent, .. }) = self.nodes.get_mut(&id) {
            *parent = parent_id;
        }
        Ok(())
    }

    /// Puts a file where the runtime, not the guest, wants it, with its folders.
    pub(crate) fn plant(&mut self, path: &str, file: Arc<dyn File>) -> Result<(), BadName> {
        let (folder, name) = match path.rsplit_once('/') {
            Some((folder, name)) => (self.folders(folder)?, name),
            None => (ROOT, path),
        };
        check_name(name, path)?;
        self.insert((folder, name.to_owned()), Node::File(file))
            .map(|_| ())
            .map_err(|error| bad_name(error, path))
    }

    /// Puts an empty folder where the runtime wants it.
    pub(crate) fn plant_folder(&mut self, path: &str) -> Result<(), BadName> {
        check_name(path, path)?;
        let parent = ROOT;
        self.insert(
            (ROOT, path.to_owned()),
            Node::Folder {
                entries: BTreeMap::new(),
                parent,
            },
        )
        .map(|_| ())
        .map_err(|error| bad_name(error, path))
    }

    /// All files below a folder of the root, or the file of that name, by path.
    pub(crate) fn files(&self, name: &str) -> Option<Found> {
        let Some(Node::Folder { entries, .. }) = self.nodes.get(&ROOT) else {
            return None;
        };
        match self.nodes.get(entries.get(name)?)? {
            Node::File(file) => Some(Found::File(file.clone())),
            Node::Folder { .. } => {
                let mut files = Vec::new();
                self.collect(*entries.get(name)?, "", &mut files);
                Some(Found::Folder(files))
            }
        }
    }

    fn collect(&self, folder: NodeId, prefix: &str, files: &mut Vec<(String, Arc<dyn File>)>) {
        let Some(Node::Folder { entries, .. }) = self.nodes.get(&folder) else {
            return;
        };
        for (name, id) in entries {
            let path = format!("{prefix}{name}");
            match self.nodes.get(id) {
                Some(Node::File(file)) => files.push((path, file.clone())),
                Some(Node::Folder { .. }) => self.collect(*id, &format!("{path}/"), files),
                None => {}
            }
        }
    }

    fn folders(&mut self, path: &str) -> Result<NodeId, BadName> {
        let mut here = ROOT;
        for name in path.split('/') {
            check_name(name, path)?;
            let found = match self.nodes.get(&here) {
                Some(Node::Folder { entries, .. }) => entries.get(name).copied(),
                _ => return Err(BadName::Twice(path.to_owned())),
            };
            here = match found {
                Some(id) => id,
                None => {
                    let folder = Node::Folder {
                        entries: BTreeMap::new(),
                        parent: here,
                    };
                    self.insert((here, name.to_owned()), folder)
                        .map_err(|error| bad_name(error, path))?
                }
            };
        }
        Ok(here)
    }

    /// Whether a guest may give this name to a file or a folder.
    fn may_name(&self, place: &(NodeId, String), folder: bool) -> Result<(), NameError> {
        if let TreeKind::Out(declared) = &self.kind
            && place.0 == ROOT
            && declared.get(&place.1) != Some(&folder)
        {
            return Err(NameError::Undeclared(place.1.clone()));
        }
        // A manifest holds no backslash, and an output becomes one: better refused now than when
        // the job has ended.
        let backslash = matches!(self.kind, TreeKind::Out(_)) && place.1.contains('\\');
        if backslash || place.1.chars().any(char::is_control) {
            return Err(NameError::Invalid);
        }
        Ok(())
    }

    fn has_room(&self) -> Result<(), NameError> {
        if self.nodes.len() > TREE_NODES {
            return Err(NameError::Full);
        }
        Ok(())
    }

    /// Whether something of this height may stand in a folder.
    fn fits(&self, mut folder: NodeId, height: usize) -> Result<(), NameError> {
        let mut depth = height;
        while folder != ROOT {
            depth += 1;
            match self.nodes.get(&folder) {
                Some(Node::Folder { parent, .. }) => folder = *parent,
                _ => return Err(NameError::NoEntry),
            }
        }
        if depth > TREE_DEPTH {
            return Err(NameError::NameTooLong);
        }
        Ok(())
    }

    /// Levels of folders from this node down; no deeper than [`TREE_DEPTH`], so
    /// the recursion is bounded.
    fn height(&self, id: NodeId) -> usize {
        match self.nodes.get(&id) {
            Some(Node::Folder { entries, .. }) => {
                1 + entries
                    .values()
                    .map(|child| self.height(*child))
                    .max()
                    .unwrap_or(0)
            }
            _ => 0,
        }
    }

    fn to_remove(&self, found: Resolved) -> Result<((NodeId, String), NodeId), NameError> {
        if !self.is_writable() {
            return Err(NameError::NotPermitted);
        }
        let place = found.place.ok_or(NameError::Busy)?;
        Ok((place, found.node.ok_or(NameError::NoEntry)?))
    }

    fn is_within(&self, mut folder: NodeId, ancestor: NodeId) -> bool {
        loop {
            if folder == ancestor {
                return true;
            }
            match self.nodes.get(&folder) {
                Some(Node::Folder { parent, .. }) if folder != ROOT => folder = *parent,
                _ => return false,
            }
        }
    }

    fn insert(&mut self, place: (NodeId, String), node: Node) -> Result<NodeId, NameError> {
        let Some(Node::Folder { entries, .. }) = self.nodes.get_mut(&place.0) else {
            return Err(NameError::NoEntry);
        };
        if entries.contains_key(&place.1) {
            return Err(NameError::Exist);
        }
        if !self.memory.take(NODE_BYTES) {
            return Err(NameError::NoMemory);
        }
        let id = self.next;
        entries.insert(place.1, id);
        self.nodes.insert(id, node);
        self.next += 1;
        Ok(id)
    }

    fn remove(&mut self, place: &(NodeId, String), id: NodeId) {
        if let Some(Node::Folder { entries, .. }) = self.nodes.get_mut(&place.0) {
            entries.remove(&place.1);
        }
        if self.nodes.remove(&id).is_some() {
            self.memory.give(NODE_BYTES);
        }
    }
}

impl Drop for Tree {
    fn drop(&mut self) {
        // The root costs nothing.
        self.memory.give((self.nodes.len() as u64 - 1) * NODE_BYTES);
    }
}

fn bad_name(error: NameError, path: &str) -> BadName {
    match error {
        NameError::NoMemory => BadName::NoMemory,
        _ => BadName::Twice(path.to_owned()),
    }
}

/// What stands at a name of the root.
pub(crate) enum Found {
    File(Arc<dyn File>),
    Folder(Vec<(String, Arc<dyn File>)>),
}

pub(super) fn check_name(name: &str, path: &str) -> Result<(), BadName> {
    let bad = name.is_empty()
        || name.len() > NAME_BYTES
        || matches!(name, "." | "..")
        || name.chars().any(|c| c == '/' || c.is_control());
    if bad || path.len() > PATH_BYTES {
        return Err(BadName::Invalid(path.chars().take(128).collect()));
    }
    Ok(())
}
