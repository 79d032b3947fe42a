//! Retention: what nobody needs any more goes when it is old enough, by the rules of
//! [`Retention`](crate::Retention).
//!
//! An open session needs the components of its policy, every object of a dataset or output that its
//! policy names, and whatever runtimes stored since it was opened; what runs or is queued in it needs
//! nothing else. An upload that was not committed is nobody's object yet and has a time of its own.
//! Whether something is needed is asked once more while no session can be opened and nobody stores
//! the same again, and only then is it removed.

use std::{sync::atomic::Ordering, time::Duration};

use mc2_protocol::Digest;

use super::{Store, records::Table};
use crate::{clock::now, config::Retention, refusal::Refusal};

/// How long a session that is over is kept without a receipt, unless stated.
const EMPTY: Duration = Duration::from_secs(3600);

/// How much was removed.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub(crate) struct Removed {
    pub(crate) jobs: usize,
    pub(crate) sessions: usize,
    pub(crate) notes: usize,
    pub(crate) uploads: usize,
    pub(crate) objects: usize,
    pub(crate) components: usize,
}

impl Removed {
    /// How much of each kind.
    pub(crate) const fn kinds(&self) -> [(&'static str, usize); 6] {
        [
            ("job", self.jobs),
            ("session", self.sessions),
            ("note", self.notes),
            ("upload", self.uploads),
            ("object", self.objects),
            ("component", self.components),
        ]
    }
}

impl Store {
    /// Removes what is old enough and not needed, until `stop` says so; never a session that
    /// `is_served`. May block for long.
    pub(crate) fn collect(
        &self,
        retention: &Retention,
        is_served: &dyn Fn(&Digest) -> bool,
        stop: &dyn Fn() -> bool,
    ) -> Result<Removed, Refusal> {
        self.jobs.lose_what_is_left();
        self.count_unknown(stop);
        let mut removed = Removed::default();
        if let Some(age) = retention.receipts {
            removed.jobs = self.jobs.prune_jobs(before(age), stop)?;
        }
        // Who waits for a job that nobody heard of learns meanwhile that its session is over.
        let without_receipts = retention.sessions.unwrap_or(EMPTY);
        removed.sessions =
            self.jobs
                .prune_sessions(before(without_receipts), true, is_served, stop)?;
        if let (Some(age), None) = (retention.sessions, retention.receipts) {
            removed.sessions += self
                .jobs
                .prune_sessions(before(age), false, is_served, stop)?;
        }
        self.notes.keep_only(|session| self.jobs.knows(session));
        if let Some(age) = retention.notes {
            removed.notes = self.notes.prune(before(age), stop)?;
        }
        removed.uploads = self.uploads.prune(retention.uploads);
        if let Some(age) = retention.objects {
            let mut needed = self.jobs.needed();
            removed.objects = self.kept.sweep(
                Table::Objects,
                before(age),
                stop,
                |_, object| {
                    self.jobs.refresh(&mut needed);
                    needed.object(object)
                },
                |object| self.objects.remove(object),
            )?;
        }
        if let Some(age) = retention.components
            && !self.components_are_shared
        {
            let mut needed = self.jobs.needed();
            removed.components = self.kept.sweep(
                Table::Components,
                before(age),
                stop,
                |component, _| {
                    self.jobs.refresh(&mut needed);
                    needed.component(component)
                },
                |component| self.components.remove(component),
            )?;
        }
        Ok(removed)
    }

    /// Counts what is there and not recorded, once after each start.
    fn count_unknown(&self, stop: &dyn Fn() -> bool) {
        if self.counted.load(Ordering::Relaxed) {
            return;
        }
        let objects = self.objects.count_unknown(stop);
        let components = match self.components_are_shared {
            // Another host's, perhaps.
            true => Ok(0),
            false => self.components.count_unknown(),
        };
        match (objects, components) {
            (Ok(0), Ok(0)) => self.counted.store(true, Ordering::Relaxed),
            (Ok(objects), Ok(components)) => {
                tracing::warn!(
                    objects,
                    components,
                    "found what was not recorded: it counts again"
                );
                self.counted.store(true, Ordering::Relaxed);
            }
            (Err(error), _) | (_, Err(error)) => {
                tracing::error!(%error, "what is stored and not recorded could not be counted");
            }
        }
    }
}

/// The Unix time that was so long ago.
fn before(age: Duration) -> u64 {
    // What was used in this second is as old as that.
    now()
        .saturating_sub(age.as_secs())
        .saturating_add(u64::from(age.is_zero()))
}

#[cfg(test)]
mod tests {
    use std::fs;

    use mc2_protocol::{
        Manifest, SecretKey,
        sealed::{
            SEGMENT_SIZE, associated_data,
            manifest::{Content, MediaType, SealedStream},
            seal_bytes,
        },
    };

    use super::*;
    use crate::{
        config::{HostConfig, Launcher},
        store::{blobs::Blobs, records::Change},
        transfer::Side,
    };

    fn open(folder: &std::path::Path) -> Store {
        let config = HostConfig::new(folder.to_owned(), Launcher::Connect);
        Store::open(&config, Blobs::open(folder, None).unwrap()).unwrap()
    }

    /// Stores an object, whose folder is moved from `from`.
    fn store_object(store: &Store, from: &std::path::Path) -> Digest {
        let mut rng = rand_core::UnwrapErr(getrandom::SysRng);
        let dataset: mc2_protocol::Name = "data".parse().unwrap();
        let key = SecretKey::generate(&mut rng);
        let ad = associated_data(&dataset);
        let (sealed, file) = seal_bytes(&key, &ad, SEGMENT_SIZE, b"content", &mut rng);
        let content = Content::File(SealedStream::new(&file));
        let media_type = MediaType::octet_stream();
        let manifest = Manifest::new(dataset, media_type, SEGMENT_SIZE, content, None).unwrap();
        for (name, bytes) in [
            ("manifest", &manifest.to_bytes()),
            ("files/0", &sealed),
            ("digests/0", &file.digests),
        ] {
            fs::create_dir_all(from.join(name).parent().unwrap()).unwrap();
            fs::write(from.join(name), bytes).unwrap();
        }
        let object = Digest::of(&manifest.to_bytes());
        let kept = store
            .objects
            .keep(&object, from, &manifest, Side::Client, None, true);
        kept.unwrap();
        object
    }

    #[test]
    fn what_is_stored_and_not_recorded_is_found_counted_and_goes_by_age() {
        let folder = tempfile::tempdir().unwrap();
        let store = open(folder.path());
        let object = store_object(&store, &folder.path().join("uploads/one"));
        let component = Digest::of(b"component");
        let wasm = folder.path().join(format!("components/{component}.wasm"));
        fs::write(&wasm, b"component").unwrap();
        let bytes = store.stored_bytes().0;
        assert!(bytes > 0);
        // What a power cut may leave: the object and no record.
        let forget = Change::remove(Table::Objects, object.as_bytes());
        store.records.write(vec![forget]).unwrap();
        drop(store);
        let store = open(folder.path());
        assert_eq!(store.stored_bytes(), (0, 0));
        let nobody = |_: &Digest| false;
        let keep = Retention::default();
        for _ in 0..2 {
            store.collect(&keep, &nobody, &|| false).unwrap();
            assert_eq!(store.stored_bytes(), (bytes, 9));
        }
        let now = Some(Duration::ZERO);
        let go = Retention {
            objects: now,
            components: now,
            ..keep
        };
        let removed = store.collect(&go, &nobody, &|| false).unwrap();
        assert_eq!((removed.objects, removed.components), (1, 1));
        assert_eq!(store.stored_bytes(), (0, 0));
        assert!(!wasm.exists());
    }

    #[test]
    fn what_a_power_cut_left_of_an_object_does_not_keep_it_from_being_stored() {
        let folder = tempfile::tempdir().unwrap();
        let store = open(folder.path());
        let object = store_object(&store, &folder.path().join("uploads/one"));
        let path = folder.path().join(format!("objects/{object}"));
        let whole = folder.path().join("uploads/two");
        let bytes = fs::read(path.join("manifest")).unwrap();
        fs::rename(&path, &whole).unwrap();
        fs::create_dir_all(path.join("files")).unwrap();
        fs::write(path.join("files/0"), b"torn").unwrap();
        let manifest = Manifest::parse(&bytes).unwrap();
        let kept = store
            .objects
            .keep(&object, &whole, &manifest, Side::Client, None, true);
        kept.unwrap();
        assert_eq!(fs::read(path.join("manifest")).unwrap(), bytes);
        assert!(fs::read(path.join("files/0")).unwrap() != b"torn" && !whole.exists());
    }
}
