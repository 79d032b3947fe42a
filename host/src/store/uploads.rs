//! Uploads: an object on its way in, nobody's until it is committed whole.
//!
//! What clients upload stays where it is when the host ends, so that they go on where they were;
//! after a start of the machine it does not, because what was not flushed may be anything. What
//! runtimes upload goes with the host.

use std::{
    collections::{BTreeMap, HashMap, HashSet},
    fs::{self, File, OpenOptions},
    io,
    os::unix::fs::{FileExt, OpenOptionsExt},
    path::{Path, PathBuf},
    sync::{
        Arc, Mutex,
        atomic::{AtomicU64, Ordering},
    },
    time::{Duration, Instant, SystemTime},
};

use bytes::Bytes;
use http::StatusCode;
use mc2_protocol::{
    Digest, Manifest,
    documents::storage::UploadId,
    encoding::{Hex, hex_array},
    sealed::manifest::MAX_STREAMS,
};
use mc2_wire::bulk::Part;
use tokio::sync::{OwnedRwLockReadGuard, RwLock};

use super::{
    files::private_folder,
    kept::{Keeping, Payer, Reserved},
    objects::{Objects, length_of},
    records::{Records, Table},
};
use crate::{
    refusal::{Refusal, blocking},
    transfer::{Side, incoming::Gathered},
    waiting::lock,
};

/// Most uploads in progress at once, of clients and of runtimes each.
const MAX_UPLOADS: usize = 4096;
/// From this many files on, one flush of the file system is cheaper than one a file.
const FLUSH_ALL: usize = 32;

/// Where runtimes' uploads are, in the folder of all.
const OF_RUNTIMES: &str = "runtimes";
/// The file beside that folder that says in which start of the machine the uploads were made.
const START: &str = "machine-start";
/// The file of a client's upload that has the name of the token that something was sent for it with
/// first.
const HOLDER: &str = "holder";

/// The uploads in progress.
pub(crate) struct Uploads {
    folder: PathBuf,
    most: usize,
    objects: Objects,
    kept: Keeping,
    records: Arc<Records>,
    durable: bool,
    open: Arc<Mutex<HashMap<Hex<16>, Arc<Upload>>>>,
}

impl Uploads {
    /// Finds the uploads of clients that the last host left in `folder`.
    pub(super) fn open(
        folder: PathBuf,
        objects: Objects,
        kept: Keeping,
        records: Arc<Records>,
        durable: bool,
    ) -> io::Result<Self> {
        let start = fs::read("/proc/sys/kernel/random/boot_id").unwrap_or_default();
        let said = folder.with_file_name(START);
        if start.is_empty() || fs::read(&said).is_ok_and(|known| known != start) {
            remove_all(&folder)?;
        }
        private_folder(&folder.join(OF_RUNTIMES))?;
        fs::write(said, start)?;
        let mut open = HashMap::new();
        for entry in fs::read_dir(&folder)? {
            let (entry, name) = entry.map(|entry| (entry.path(), entry.file_name()))?;
            match name.to_str().and_then(hex_array) {
                Some(id) => {
                    open.insert(Hex(id), Upload::found(&entry, &kept)?);
                }
                // Those of runtimes, and what was being removed.
                None => remove_all(&entry)?,
            }
        }
        private_folder(&folder.join(OF_RUNTIMES))?;
        if !open.is_empty() {
            tracing::info!(uploads = open.len(), "found uploads that go on");
        }
        Ok(Self {
            folder,
            most: MAX_UPLOADS,
            objects,
            kept,
            records,
            durable,
            open: Arc::new(Mutex::new(open)),
        })
    }

    /// Appends to a part of an upload. The same bytes at the same place again are no error.
    pub(crate) async fn append(
        &self,
        payer: &Payer,
        id: UploadId,
        part: Part,
        index: usize,
        offset: u64,
        bytes: Gathered,
    ) -> Result<(), Refusal> {
        if index >= MAX_STREAMS {
            let message = format!("an object has at most {MAX_STREAMS} streams");
            return Err(Refusal::bad("index", message));
        }
        let (side, sent, holder) = (payer.side, bytes.len() as u64, payer.holder());
        let mut room = self.kept.reserve(payer, Table::Objects, sent)?;
        let claim = self.claim(side, &id, part, index)?;
        let folder = self.path(side, &id);
        let path = folder.join(part.name()).join(index.to_string());
        blocking(move || {
            claim.upload.note_holder(&folder, holder)?;
            let more = write_part(&path, offset, &bytes)?;
            room.shrink_to(more);
            claim.upload.bytes.fetch_add(sent, Ordering::Relaxed);
            claim.upload.take(room);
            Ok(())
        })
        .await
    }

    /// How many are in progress.
    pub(crate) fn count(&self) -> usize {
        lock(&self.open).len()
    }

    /// The streams that were begun: the number of each, and how many bytes there are of it and of
    /// its digests.
    pub(crate) async fn streams(&self, id: UploadId) -> Result<Vec<(usize, [u64; 2])>, Refusal> {
        let upload = self.find(&id).ok_or_else(|| unknown(&id))?;
        let Ok(gate) = Arc::clone(&upload.gate).try_read_owned() else {
            return Err(Refusal::conflict(
                "upload-ended",
                format!("upload {id} is being committed"),
            ));
        };
        if *gate == Gate::Ended {
            return Err(unknown(&id));
        }
        let path = self.path(upload.side, &id);
        blocking(move || {
            let _open = gate;
            let mut streams = BTreeMap::new();
            for (place, part) in [Part::File, Part::Digests].into_iter().enumerate() {
                for entry in fs::read_dir(path.join(part.name()))? {
                    let entry = entry?;
                    let name = entry.file_name();
                    let index = name.to_str().and_then(|name| name.parse().ok());
                    let Some(index) = index else { continue };
                    let lengths: &mut [u64; 2] = streams.entry(index).or_default();
                    lengths[place] = entry.metadata()?.len();
                }
            }
            Ok(streams.into_iter().collect())
        })
        .await
    }

    /// Makes an upload the object its manifest names, or nothing.
    pub(crate) async fn commit(&self, id: UploadId, manifest: Bytes) -> Result<Digest, Refusal> {
        let object = Digest::of(&manifest);
        let parsed = Manifest::parse(&manifest)
            .map_err(|error| Refusal::bad("manifest", error.to_string()))?;
        let Some(upload) = self.find(&id) else {
            return self.ended_before(&id, object).await;
        };
        let mut gate = Arc::clone(&upload.gate).write_owned().await;
        if *gate == Gate::Ended {
            return self.ended_before(&id, object).await;
        }
        let (from, open) = (self.path(upload.side, &id), Arc::clone(&self.open));
        let (objects, records) = (self.objects.clone(), Arc::clone(&self.records));
        // What a client sealed may be nowhere else. What a job left is flushed with the record of
        // the job's end, and with its receipt.
        let at_once = self.durable && upload.side == Side::Client;
        blocking(move || {
            check(&from, &parsed)?;
            fs::write(from.join("manifest"), &manifest)?;
            if at_once {
                flush(&from, parsed.stream_count())?;
            }
            let holder = upload.holder();
            // It is none of the object's.
            let _ = fs::remove_file(from.join(HOLDER));
            objects.keep(&object, &from, &parsed, upload.side, holder, at_once)?;
            if !at_once {
                records.flush_later(objects.files_of(&object, parsed.stream_count()));
            }
            *gate = Gate::Ended;
            lock(&open).remove(&id);
            Ok(object)
        })
        .await
    }

    /// The answer to an earlier commit may have been lost.
    async fn ended_before(&self, id: &UploadId, object: Digest) -> Result<Digest, Refusal> {
        let (objects, id) = (self.objects.clone(), *id);
        blocking(move || match objects.exists(&object)? {
            true => Ok(object),
            false => Err(unknown(&id)),
        })
        .await
    }

    /// Drops an upload that was not committed.
    pub(crate) async fn drop(&self, id: UploadId) -> Result<(), Refusal> {
        let upload = self.find(&id).ok_or_else(|| unknown(&id))?;
        let mut gate = Arc::clone(&upload.gate).write_owned().await;
        if *gate == Gate::Ended {
            return Err(unknown(&id));
        }
        let (from, open) = (self.path(upload.side, &id), Arc::clone(&self.open));
        blocking(move || {
            fs::remove_dir_all(from)?;
            *gate = Gate::Ended;
            lock(&open).remove(&id);
            Ok(())
        })
        .await
    }

    /// Drops what clients began to upload and sent nothing for in all this time; how many. May block.
    pub(super) fn prune(&self, age: Duration) -> usize {
        let mut open = lock(&self.open);
        let old: Vec<_> = open
            .iter()
            .filter(|(_, it)| it.side == Side::Client && lock(&it.used).elapsed() >= age)
            .filter_map(|(id, it)| Some((*id, Arc::clone(&it.gate).try_write_owned().ok()?)))
            .collect();
        let mut paths = Vec::new();
        for (id, mut gate) in old {
            *gate = Gate::Ended;
            open.remove(&id);
            // Whoever begins one of this name again does not find it.
            let (path, away) = (self.path(Side::Client, &id), format!("removed-{id}"));
            let away = self.folder.join(away);
            paths.push(fs::rename(&path, &away).map_or(path, |()| away));
        }
        drop(open);
        for path in &paths {
            // What is left is removed at the next start.
            let _ = fs::remove_dir_all(path);
        }
        paths.len()
    }

    fn path(&self, side: Side, id: &UploadId) -> PathBuf {
        match side {
            Side::Client => self.folder.join(id.to_string()),
            Side::Runtime => self.folder.join(OF_RUNTIMES).join(id.to_string()),
        }
    }

    fn find(&self, id: &UploadId) -> Option<Arc<Upload>> {
        lock(&self.open).get(id).cloned()
    }

    fn find_or_begin(&self, side: Side, id: &UploadId) -> Result<Arc<Upload>, Refusal> {
        let mut open = lock(&self.open);
        if let Some(upload) = open.get(id) {
            return Ok(Arc::clone(upload));
        }
        if open.values().filter(|upload| upload.side == side).count() >= self.most {
            self.drop_smallest(side, &mut open)?;
        }
        let path = self.path(side, id);
        private_folder(&path.join(Part::File.name()))?;
        private_folder(&path.join(Part::Digests.name()))?;
        let upload = Upload::new(side, 0, Instant::now());
        open.insert(*id, Arc::clone(&upload));
        Ok(upload)
    }

    /// Makes place for an upload: of those nobody is writing to, the one least was sent for goes,
    /// and of those alike the one not used for longest. So whoever begins uploads without end
    /// drops their own.
    fn drop_smallest(
        &self,
        side: Side,
        open: &mut HashMap<Hex<16>, Arc<Upload>>,
    ) -> Result<(), Refusal> {
        let of_side = open.iter().filter(|(_, upload)| upload.side == side);
        let resting = of_side.filter_map(|(id, upload)| {
            let gate = Arc::clone(&upload.gate).try_write_owned().ok()?;
            let rank = (upload.bytes.load(Ordering::Relaxed), *lock(&upload.used));
            Some((rank, *id, gate))
        });
        let Some((_, id, mut gate)) = resting.min_by_key(|(rank, ..)| *rank) else {
            let message = format!(
                "{} uploads are being written to; try again later",
                self.most
            );
            return Err(Refusal::busy("busy", message));
        };
        *gate = Gate::Ended;
        open.remove(&id);
        tracing::warn!(upload = %id, "an upload was dropped to make place for another");
        // What is left is removed at the next start.
        let _ = fs::remove_dir_all(self.path(side, &id));
        Ok(())
    }

    fn claim(&self, side: Side, id: &UploadId, part: Part, index: usize) -> Result<Claim, Refusal> {
        let upload = self.find_or_begin(side, id)?;
        let ended = || Refusal::conflict("upload-ended", format!("upload {id} is being committed"));
        let gate = Arc::clone(&upload.gate)
            .try_read_owned()
            .map_err(|_| ended())?;
        if *gate == Gate::Ended {
            return Err(ended());
        }
        if !lock(&upload.busy).insert((part, index)) {
            let message = format!("another request is writing this part of upload {id}");
            return Err(Refusal::conflict("writing", message));
        }
        *lock(&upload.used) = Instant::now();
        Ok(Claim {
            upload,
            part: (part, index),
            _open: gate,
        })
    }
}

struct Upload {
    side: Side,
    /// Bytes that were sent for it.
    bytes: AtomicU64,
    /// What of that lies here, as it counts.
    staged: Mutex<Vec<Reserved>>,
    used: Mutex<Instant>,
    /// The name of the token that something was sent for it with first.
    holder: Mutex<Option<String>>,
    /// Held shared while a part is written, and alone to commit or drop.
    gate: Arc<RwLock<Gate>>,
    busy: Mutex<HashSet<(Part, usize)>>,
}

impl Upload {
    fn new(side: Side, bytes: u64, used: Instant) -> Arc<Self> {
        Arc::new(Self {
            side,
            bytes: AtomicU64::new(bytes),
            staged: Mutex::default(),
            used: Mutex::new(used),
            holder: Mutex::default(),
            gate: Arc::default(),
            busy: Mutex::default(),
        })
    }

    /// A client's that the last host left.
    fn found(path: &Path, kept: &Keeping) -> io::Result<Arc<Self>> {
        let (mut bytes, mut used) = (0, SystemTime::UNIX_EPOCH);
        for part in [Part::File, Part::Digests] {
            let folder = path.join(part.name());
            private_folder(&folder)?;
            for entry in fs::read_dir(folder)? {
                let metadata = entry?.metadata()?;
                bytes += metadata.len();
                used = used.max(metadata.modified()?);
            }
        }
        let (now, unused) = (Instant::now(), used.elapsed().unwrap_or_default());
        let used = now.checked_sub(unused).unwrap_or(now);
        let upload = Self::new(Side::Client, bytes, used);
        let holder = match fs::read_to_string(path.join(HOLDER)) {
            Err(error) if error.kind() == io::ErrorKind::NotFound => None,
            holder => Some(holder?).filter(|holder| !holder.is_empty()),
        };
        upload.take(kept.found(bytes, holder.clone()));
        *lock(&upload.holder) = holder;
        Ok(upload)
    }

    /// Notes with which token something is sent for it, where none was before; the next host finds it
    /// in the upload's folder.
    fn note_holder(&self, folder: &Path, sender: Option<String>) -> io::Result<()> {
        let mut holder = lock(&self.holder);
        if let (None, Some(sender)) = (&*holder, sender) {
            fs::write(folder.join(HOLDER), &sender)?;
            *holder = Some(sender);
        }
        Ok(())
    }

    /// Has bytes count as long as this one is there.
    fn take(&self, room: Reserved) {
        let mut staged = lock(&self.staged);
        let mut room = Some(room);
        for known in staged.iter_mut() {
            room = room.and_then(|room| known.absorb(room));
        }
        staged.extend(room);
    }

    /// For whom counts what becomes of it.
    fn holder(&self) -> Option<String> {
        lock(&self.holder).clone()
    }
}

/// Whether the upload still takes parts.
#[derive(Default, PartialEq, Eq)]
enum Gate {
    #[default]
    Open,
    Ended,
}

/// The right to write one part of an upload, alone.
struct Claim {
    upload: Arc<Upload>,
    part: (Part, usize),
    _open: OwnedRwLockReadGuard<Gate>,
}

impl Drop for Claim {
    fn drop(&mut self) {
        lock(&self.upload.busy).remove(&self.part);
    }
}

fn unknown(id: &UploadId) -> Refusal {
    Refusal::not_found("unknown-upload", format!("no upload {id} is in progress"))
}

/// Removes what is at a path, if anything is.
fn remove_all(path: &Path) -> io::Result<()> {
    match fs::remove_dir_all(path) {
        Err(error) if error.kind() == io::ErrorKind::NotADirectory => fs::remove_file(path),
        Err(error) if error.kind() != io::ErrorKind::NotFound => Err(error),
        _ => Ok(()),
    }
}

/// Writes a part, and says how many bytes longer it is.
fn write_part(path: &Path, offset: u64, bytes: &Gathered) -> Result<u64, Refusal> {
    let mut options = OpenOptions::new();
    let file = options
        .read(true)
        .write(true)
        .create(true)
        .truncate(false)
        .mode(0o600)
        .open(path)?;
    let length = file.metadata()?.len();
    if offset < length && same(&file, offset, bytes)? {
        return Ok(0);
    }
    if offset != length {
        let message = format!("the next byte of this part is {length}, found offset {offset}");
        return Err(Refusal::conflict("offset", message));
    }
    let mut at = offset;
    let written = bytes.read(|piece| {
        file.write_all_at(piece, at)?;
        at += piece.len() as u64;
        Ok(())
    });
    if written.is_err() {
        // Back to where it was, so that the same request can be made again.
        let _ = file.set_len(length);
    }
    written.map(|()| at - offset)
}

/// Whether the file holds exactly these bytes at `offset` already.
fn same(file: &File, offset: u64, bytes: &Gathered) -> Result<bool, Refusal> {
    let mut at = offset;
    let mut stored = Vec::new();
    let mut same = true;
    bytes.read(|piece| {
        if same {
            stored.resize(piece.len(), 0);
            same = match file.read_exact_at(&mut stored, at) {
                Err(error) if error.kind() == io::ErrorKind::UnexpectedEof => false,
                other => other.map(|()| stored == *piece)?,
            };
            at += piece.len() as u64;
        }
        Ok(())
    })?;
    Ok(same)
}

/// Checks that the upload has the parts the manifest states, in their sealed lengths, and no
/// others.
fn check(upload: &Path, manifest: &Manifest) -> Result<(), Refusal> {
    let parts = [Part::File, Part::Digests];
    for part in parts {
        let folder = upload.join(part.name());
        let found = fs::read_dir(&folder)?.count();
        let expected = manifest.stream_count();
        if found != expected {
            let message = format!(
                "the upload has {found} {}, its manifest states {expected}",
                part.name()
            );
            return Err(Refusal::new(
                StatusCode::UNPROCESSABLE_ENTITY,
                "incomplete",
                message,
            ));
        }
        for index in 0..expected {
            let expected = length_of(part, manifest, index);
            let found = fs::metadata(folder.join(index.to_string())).map(|metadata| metadata.len());
            let found = found.unwrap_or(0);
            if found != expected {
                let message = format!(
                    "{}/{index} has {found} bytes, its manifest states {expected}",
                    part.name()
                );
                return Err(Refusal::new(
                    StatusCode::UNPROCESSABLE_ENTITY,
                    "incomplete",
                    message,
                ));
            }
        }
    }
    Ok(())
}

fn flush(upload: &Path, files: usize) -> io::Result<()> {
    let folder = File::open(upload)?;
    if files >= FLUSH_ALL {
        return Ok(rustix::fs::syncfs(&folder)?);
    }
    File::open(upload.join("manifest"))?.sync_all()?;
    for part in [Part::File, Part::Digests] {
        let parts = upload.join(part.name());
        for index in 0..files {
            File::open(parts.join(index.to_string()))?.sync_all()?;
        }
        File::open(&parts)?.sync_all()?;
    }
    folder.sync_all()
}
