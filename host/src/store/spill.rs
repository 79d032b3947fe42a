//! Scratch pages of running jobs. An area is one file without a name, so that nothing is left
//! when the host goes, and a map of where in it each slot lies.

use std::{
    collections::HashMap,
    fs::File,
    io,
    os::unix::fs::FileExt,
    path::PathBuf,
    sync::{Arc, Mutex},
};

use bytes::Bytes;
use http::StatusCode;
use mc2_protocol::documents::storage::UploadId;

use crate::{
    refusal::{Refusal, blocking},
    runtime_id::RuntimeId,
    waiting::lock,
};

/// Most areas at once.
const MAX_AREAS: usize = 4096;
/// Most slots of one area.
const MAX_SLOTS: usize = 16 * 1024 * 1024;

/// All areas.
pub(crate) struct Spill {
    folder: PathBuf,
    areas: Mutex<HashMap<[u8; 16], Arc<Area>>>,
}

impl Spill {
    pub(super) fn new(folder: PathBuf) -> Self {
        Self {
            folder,
            areas: Mutex::default(),
        }
    }

    /// Writes one page, over an older one of the slot where there is one.
    pub(crate) async fn put(
        &self,
        owner: RuntimeId,
        area: UploadId,
        slot: u64,
        page: Bytes,
    ) -> Result<(), Refusal> {
        let area = self.find_or_begin(owner, &area)?;
        blocking(move || area.put(slot, &page)).await
    }

    /// Reads one page.
    pub(crate) async fn read(
        &self,
        owner: RuntimeId,
        area: UploadId,
        slot: u64,
    ) -> Result<Vec<u8>, Refusal> {
        let found = lock(&self.areas)
            .get(&area.0)
            .filter(|area| area.owner == owner)
            .cloned();
        let missing = || Refusal::not_found("not-found", format!("no page {slot} in area {area}"));
        let found = found.ok_or_else(missing)?;
        let page = lock(&found.slots)
            .pages
            .get(&slot)
            .copied()
            .ok_or_else(missing)?;
        blocking(move || {
            let mut bytes = vec![0; page.length as usize];
            found.file.read_exact_at(&mut bytes, page.offset)?;
            Ok(bytes)
        })
        .await
    }

    /// Drops one page; its room is used again.
    pub(crate) fn drop_page(&self, owner: RuntimeId, area: &UploadId, slot: u64) {
        let found = lock(&self.areas)
            .get(&area.0)
            .filter(|area| area.owner == owner)
            .cloned();
        if let Some(area) = found {
            lock(&area.slots).release(slot);
        }
    }

    /// Drops an area with all its pages.
    pub(crate) fn drop_area(&self, owner: RuntimeId, area: &UploadId) {
        let mut areas = lock(&self.areas);
        if areas.get(&area.0).is_some_and(|area| area.owner == owner) {
            areas.remove(&area.0);
        }
    }

    /// Drops all areas of a runtime that is gone.
    pub(crate) fn drop_all(&self, owner: RuntimeId) {
        lock(&self.areas).retain(|_, area| area.owner != owner);
    }

    fn find_or_begin(&self, owner: RuntimeId, id: &UploadId) -> Result<Arc<Area>, Refusal> {
        let mut areas = lock(&self.areas);
        if let Some(area) = areas.get(&id.0) {
            if area.owner != owner {
                return Err(Refusal::conflict(
                    "area",
                    format!("area {id} is another runtime's"),
                ));
            }
            return Ok(Arc::clone(area));
        }
        if areas.len() >= MAX_AREAS {
            let message = format!("{MAX_AREAS} areas are in use");
            return Err(Refusal::busy("busy", message));
        }
        let file = tempfile::tempfile_in(&self.folder)?;
        let area = Arc::new(Area {
            owner,
            file,
            slots: Mutex::default(),
        });
        areas.insert(id.0, Arc::clone(&area));
        Ok(area)
    }
}

struct Area {
    owner: RuntimeId,
    file: File,
    slots: Mutex<Slots>,
}

impl Area {
    fn put(&self, slot: u64, bytes: &[u8]) -> Result<(), Refusal> {
        let length = u32::try_from(bytes.len())
            // The route takes at most MAX_PART_LEN.
            .unwrap_or_else(|_| unreachable!("a part fits 32 bits"));
        let mut slots = lock(&self.slots);
        let known = slots
            .pages
            .get(&slot)
            .copied()
            .filter(|page| page.room >= length);
        if known.is_none() && slots.pages.len() >= MAX_SLOTS {
            let message = format!("an area has at most {MAX_SLOTS} slots");
            return Err(Refusal::new(
                StatusCode::INSUFFICIENT_STORAGE,
                "slots",
                message,
            ));
        }
        let page = match known {
            Some(page) => page,
            None => {
                slots.release(slot);
                slots.room_for(length)
            }
        };
        // The lock is not held while writing; a runtime asks for one slot at a time.
        drop(slots);
        self.write(bytes, page.offset)?;
        lock(&self.slots)
            .pages
            .insert(slot, Page { length, ..page });
        Ok(())
    }

    fn write(&self, bytes: &[u8], offset: u64) -> io::Result<()> {
        self.file.write_all_at(bytes, offset)
    }
}

#[derive(Default)]
struct Slots {
    pages: HashMap<u64, Page>,
    /// Where pages were that are no more, by the room they had.
    free: HashMap<u32, Vec<u64>>,
    end: u64,
}

impl Slots {
    fn release(&mut self, slot: u64) {
        if let Some(page) = self.pages.remove(&slot) {
            self.free.entry(page.room).or_default().push(page.offset);
        }
    }

    fn room_for(&mut self, length: u32) -> Page {
        let reused = self.free.get_mut(&length).and_then(Vec::pop);
        let offset = reused.unwrap_or(self.end);
        self.end = self.end.max(offset + u64::from(length));
        Page {
            offset,
            length,
            room: length,
        }
    }
}

#[derive(Clone, Copy)]
struct Page {
    offset: u64,
    /// Bytes in use, and bytes there is room for.
    length: u32,
    room: u32,
}

#[cfg(test)]
mod tests {
    use mc2_protocol::encoding::Hex;

    use super::*;

    #[tokio::test]
    async fn pages_come_back_their_room_is_used_again_and_strangers_see_none() {
        let folder = tempfile::tempdir().unwrap();
        let spill = Spill::new(folder.path().to_owned());
        let (owner, stranger, area) = (RuntimeId([1; 16]), RuntimeId([2; 16]), Hex([3; 16]));
        let put = |slot, page: &'static str| spill.put(owner, area, slot, page.into());
        for (slot, page) in [
            (7, "seven"),
            (u64::MAX, "last"),
            (7, "SEVEN"),
            (7, "longer seven"),
        ] {
            put(slot, page).await.unwrap();
            assert_eq!(
                spill.read(owner, area, slot).await.unwrap(),
                page.as_bytes()
            );
        }
        assert_eq!(spill.read(owner, area, u64::MAX).await.unwrap(), b"last");
        let file = || lock(&spill.areas)[&area.0].file.metadata().unwrap().len();
        let before = file();
        put(8, "eight").await.unwrap();
        spill.drop_page(owner, &area, u64::MAX);
        assert_eq!(
            spill.read(owner, area, u64::MAX).await.unwrap_err().code,
            "not-found"
        );
        put(9, "nine").await.unwrap();
        assert_eq!(file(), before);
        assert_eq!(spill.read(owner, area, 8).await.unwrap(), b"eight");
        assert_eq!(spill.read(owner, area, 9).await.unwrap(), b"nine");

        assert!(spill.read(stranger, area, 8).await.is_err());
        assert_eq!(
            spill
                .put(stranger, area, 8, "x".into())
                .await
                .unwrap_err()
                .code,
            "area"
        );
        spill.drop_area(stranger, &area);
        assert!(spill.read(owner, area, 8).await.is_ok());
        spill.drop_all(owner);
        assert!(spill.read(owner, area, 8).await.is_err());
        assert_eq!(std::fs::read_dir(folder.path()).unwrap().count(), 0);
    }
}
