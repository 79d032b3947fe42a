//! The folder: sealed objects, components, the compilation cache, scratch, records of sessions and
//! jobs.
//!
//! Whatever has a name here was renamed to it when it was whole; everything else lies under
//! `uploads/` or is called `tmp-…`. Of these only what clients upload outlives the next start.

pub(crate) mod blobs;
pub(crate) mod cache;
mod collect;
pub(crate) mod components;
mod files;
pub(crate) mod jobs;
pub(crate) mod kept;
pub(crate) mod notes;
pub(crate) mod objects;
pub(crate) mod records;
pub(crate) mod spill;
mod uploads;

use std::{
    fs,
    io::{self, Write as _},
    os::unix::fs::FileTypeExt as _,
    path::{Path, PathBuf},
    sync::{Arc, atomic::AtomicBool},
    time::Duration,
};

use blobs::Blobs;
use cache::Cache;
pub(crate) use collect::Removed;
use components::Components;
pub(crate) use files::private_folder;
use files::remove_temporaries;
use jobs::Jobs;
use kept::Keeping;
use notes::Notes;
use objects::Objects;
use records::Records;
use spill::Spill;
use uploads::Uploads;

use crate::{
    config::{HostConfig, Launcher},
    refusal::{Refusal, blocking},
    runtime_id::RuntimeId,
    transfer::outgoing::Buffers,
};

/// A temporary file in a folder shared with other hosts is nobody's after this long.
const ABANDONED: Duration = Duration::from_secs(24 * 60 * 60);

/// Everything the host keeps.
pub(crate) struct Store {
    folder: PathBuf,
    kept: Keeping,
    /// Whether other hosts' components are among them, in a folder.
    components_are_shared: bool,
    /// Whether what is there and not recorded was looked for since the start.
    counted: AtomicBool,
    pub(crate) objects: Objects,
    pub(crate) components: Components,
    pub(crate) cache: Cache,
    pub(crate) uploads: Uploads,
    pub(crate) spill: Spill,
    pub(crate) jobs: Jobs,
    pub(crate) notes: Arc<Notes>,
    pub(crate) records: Arc<Records>,
    pub(crate) buffers: Buffers,
}

impl Store {
    /// Opens the folder and removes what a crash left half-done.
    pub(crate) fn open(config: &HostConfig, blobs: Blobs) -> io::Result<Self> {
        let (folder, durable) = (&config.folder, config.durable);
        let shared = config.cache_folder.as_ref().unwrap_or(folder);
        let at = |name| folder.join(name);
        for name in ["objects", "uploads", "spill"] {
            private_folder(&at(name))?;
        }
        let age = match config.cache_folder {
            Some(_) => ABANDONED,
            None => Duration::ZERO,
        };
        for name in ["components", "cache"] {
            private_folder(&shared.join(name))?;
            remove_temporaries(&shared.join(name), age)?;
        }
        remove_sockets(folder)?;
        let records = Arc::new(Records::open(&at("records"), durable)?);
        let kept = Keeping::open(Arc::clone(&records), config.quota, shortest(config))?;
        let objects = Objects::new(
            blobs.clone(),
            kept.clone(),
            Arc::clone(&records),
            at("uploads"),
        );
        // Components may be shared by several hosts of one user, in a folder.
        let (components, components_are_shared) = match &blobs {
            Blobs::Folder(_) => (Blobs::Folder(shared.clone()), shared != folder),
            Blobs::Bucket(_) => (blobs.clone(), false),
        };
        let runtimes_may_return = matches!(config.launcher, Launcher::Connect);
        Ok(Self {
            folder: folder.clone(),
            components: Components::new(
                components,
                kept.clone(),
                shared.join("components"),
                durable,
            ),
            cache: Cache::new(shared.join("cache"), config.cache_limit, durable),
            uploads: Uploads::open(
                at("uploads"),
                objects.clone(),
                kept.clone(),
                Arc::clone(&records),
                durable,
            )?,
            objects,
            components_are_shared,
            counted: AtomicBool::new(false),
            spill: Spill::new(at("spill")),
            notes: Notes::new(Arc::clone(&records)),
            jobs: Jobs::open(
                folder,
                blobs,
                kept.clone(),
                Arc::clone(&records),
                runtimes_may_return,
            )?,
            kept,
            records,
            buffers: Buffers::default(),
        })
    }
}

impl Store {
    /// Bytes of all objects and of all components.
    pub(crate) fn stored_bytes(&self) -> (u64, u64) {
        self.kept.bytes()
    }

    /// Whether anything can be stored just now.
    pub(crate) async fn probe(&self) -> Result<(), Refusal> {
        let folder = self.folder.clone();
        blocking(move || {
            let mut file = tempfile::tempfile_in(folder)?;
            Ok(file.write_all(&[0; 4096])?)
        })
        .await
    }
}

/// The shortest time, in seconds, after which something that is not used is removed.
fn shortest(config: &HostConfig) -> Option<u64> {
    let ages = [config.retention.objects, config.retention.components];
    ages.into_iter().flatten().map(|age| age.as_secs()).min()
}

/// The name, in the host's folder, of the socket made for one runtime.
pub(crate) fn socket_name(runtime: RuntimeId) -> String {
    let [a, b, c, d, ..] = runtime.0;
    format!("{}.sock", hex::encode([a, b, c, d]))
}

/// Removes the runtimes' sockets that a host left behind which was killed.
fn remove_sockets(folder: &Path) -> io::Result<()> {
    for entry in fs::read_dir(folder)? {
        let entry = entry?;
        let name = entry.file_name();
        let stem = name.to_str().and_then(|name| name.strip_suffix(".sock"));
        let ours = stem
            .and_then(mc2_protocol::encoding::hex_array::<4>)
            .is_some();
        if ours && entry.file_type()?.is_socket() {
            fs::remove_file(entry.path())?;
        }
    }
    Ok(())
}
