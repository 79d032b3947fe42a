//! One file of a space: reads, writes and its length.

use std::sync::Arc;

use async_trait::async_trait;
use bytes::Bytes;

use super::super::file::{File, Place, WriteError};
use super::{Account, DISCARDS, FILE_BYTES, OUTGOING, PAGE, Page, Space, Step};
use crate::failure::Failure;
use crate::limits::CALL_BYTES;

/// A file of random access in a [`Space`]; its pages are freed with it.
pub(crate) struct ScratchFile {
    pub(super) space: Arc<Space>,
    pub(super) id: u64,
}

#[async_trait]
impl File for ScratchFile {
    fn size(&self) -> u64 {
        self.space
            .state()
            .files
            .get(&self.id)
            .map_or(0, |file| file.len)
    }

    fn is_readable(&self) -> bool {
        true
    }

    fn is_writable(&self) -> bool {
        true
    }

    fn try_read(&self, offset: u64, len: usize) -> Option<Bytes> {
        match self.read_step(offset, len) {
            Step::Done(bytes) => Some(bytes),
            Step::Load(_) | Step::Drain => None,
        }
    }

    async fn read(&self, offset: u64, len: usize) -> Result<Bytes, Failure> {
        loop {
            match self.read_step(offset, len) {
                Step::Done(bytes) => return Ok(bytes),
                Step::Load(page) => self.space.load(self.id, page).await?,
                Step::Drain => self.space.drain().await?,
            }
        }
    }

    fn try_write(&self, place: Place, data: &[u8]) -> Result<usize, WriteError> {
        let start = self.offset(place);
        let mut written = 0;
        while written < data.len() {
            let at = start.saturating_add(written as u64);
            match self.write_step(at, &data[written..])? {
                Step::Done(more) => written += more,
                Step::Load(_) | Step::Drain => break,
            }
        }
        Ok(written)
    }

    /// The file grows as needed, with zeroes before what is written.
    async fn write(&self, place: Place, mut data: &[u8]) -> Result<(), WriteError> {
        let mut offset = self.offset(place);
        while !data.is_empty() {
            match self.write_step(offset, data)? {
                Step::Done(written) => {
                    offset += written as u64;
                    data = &data[written..];
                }
                Step::Load(page) => {
                    self.space
                        .load(self.id, page)
                        .await
                        .map_err(WriteError::Fatal)?;
                }
                Step::Drain => self.space.drain().await.map_err(WriteError::Fatal)?,
            }
        }
        Ok(())
    }

    /// Cuts the file, or lengthens it with a hole.
    fn set_len(&self, len: u64) -> Result<(), WriteError> {
        if len > FILE_BYTES {
            return Err(WriteError::TooLarge);
        }
        let mut guard = self.space.state();
        let state = &mut *guard;
        let Some(file) = state.files.get_mut(&self.id) else {
            return Ok(());
        };
        let (account, old) = (file.account, file.len);
        if len >= old {
            if account == Account::Output {
                state.charge_output(len - old, &self.space.output)?;
            }
            if let Some(file) = state.files.get_mut(&self.id) {
                file.len = len;
            }
            return Ok(());
        }
        file.len = len;
        let (last, within) = (len / PAGE as u64, (len % PAGE as u64) as usize);
        let cut = file
            .pages
            .split_off(&if within == 0 { last } else { last + 1 });
        if let Some(page) = file.pages.get_mut(&last)
            && page.valid > within
        {
            page.valid = within;
            if let Some(bytes) = &mut page.resident {
                bytes.truncate(within);
            }
        }
        for (_, page) in cut {
            state.free(account, page, &self.space.scratch, &self.space.memory);
        }
        if account == Account::Output {
            state.return_output(old - len, &self.space.output);
        }
        Ok(())
    }
}

impl ScratchFile {
    fn offset(&self, place: Place) -> u64 {
        match place {
            Place::At(offset) => offset,
            Place::End => self.size(),
        }
    }

    fn read_step(&self, offset: u64, len: usize) -> Step<Bytes> {
        let mut guard = self.space.state();
        let state = &mut *guard;
        let Some(file) = state.files.get_mut(&self.id) else {
            return Step::Done(Bytes::new());
        };
        let len = (file.len.saturating_sub(offset)).min(len.min(CALL_BYTES) as u64) as usize;
        let mut out = Vec::with_capacity(len);
        while out.len() < len {
            let at = offset + out.len() as u64;
            let (index, within) = (at / PAGE as u64, (at % PAGE as u64) as usize);
            let take = (PAGE - within).min(len - out.len());
            let end = out.len() + take;
            if let Some(page) = file.pages.get_mut(&index) {
                let Some(bytes) = &page.resident else {
                    if out.is_empty() {
                        return Step::Load(index);
                    }
                    break;
                };
                let to = bytes.len().min(within + take);
                out.extend_from_slice(bytes.get(within..to).unwrap_or_default());
                if page.used != state.clock {
                    state.recency.remove(&page.used);
                    state.clock += 1;
                    page.used = state.clock;
                    state.recency.insert(page.used, (self.id, index));
                }
            }
            out.resize(end, 0);
            file.next_read = index + 1;
        }
        Step::Done(out.into())
    }

    /// Writes within one page.
    fn write_step(&self, offset: u64, data: &[u8]) -> Result<Step<usize>, WriteError> {
        let (index, within) = (offset / PAGE as u64, (offset % PAGE as u64) as usize);
        let data = &data[..data.len().min(PAGE - within)];
        let end = offset
            .checked_add(data.len() as u64)
            .filter(|end| *end <= FILE_BYTES)
            .ok_or(WriteError::TooLarge)?;
        let mut guard = self.space.state();
        let state = &mut *guard;
        if state.outgoing.len() >= OUTGOING || state.discards.len() >= DISCARDS {
            return Ok(Step::Drain);
        }
        let Some(file) = state.files.get(&self.id) else {
            return Ok(Step::Done(data.len()));
        };
        let (account, longer) = (file.account, end.saturating_sub(file.len));
        let page = file.pages.get(&index);
        if let Some(page) = page
            && page.resident.is_none()
            && !(within == 0 && data.len() >= page.valid)
        {
            return Ok(Step::Load(index));
        }
        let is_new = page.is_none();
        let mut record = None;
        if is_new {
            record = self.space.memory.hold(state.page_cost);
            if record.is_none() {
                let limit = self.space.memory.limit();
                return Err(WriteError::Limit(Failure::MemoryLimit { limit }));
            }
        }
        match account {
            Account::Output => state.charge_output(longer, &self.space.output)?,
            Account::Scratch if is_new => {
                if !self.space.scratch.take(PAGE as u64) {
                    let limit = self.space.scratch.limit();
                    return Err(WriteError::Limit(Failure::ScratchLimit { limit }));
                }
                state.scratch_pages += 1;
                let bytes = state.scratch_pages * PAGE as u64;
                state.usage.scratch_peak = state.usage.scratch_peak.max(bytes);
            }
            Account::Scratch => {}
        }
        if let Some(record) = record {
            record.keep();
        }
        state.clock += 1;
        let clock = state.clock;
        // The file was there above, under the same lock.
        let Some(file) = state.files.get_mut(&self.id) else {
            return Ok(Step::Done(data.len()));
        };
        file.len = file.len.max(end);
        let page = file.pages.entry(index).or_insert_with(|| Page {
            valid: 0,
            resident: None,
            used: 0,
            sealed: None,
        });
        if page.resident.is_none() {
            state.resident += PAGE as u64;
        }
        let bytes = page.resident.get_or_insert_default();
        if bytes.len() < within + data.len() {
            bytes.resize(within + data.len(), 0);
        }
        bytes[within..within + data.len()].copy_from_slice(data);
        page.valid = bytes.len();
        state.recency.remove(&page.used);
        page.used = clock;
        state.recency.insert(clock, (self.id, index));
        let stale = page.sealed.take();
        state.forget(stale);
        self.space.evict(state);
        Ok(Step::Done(data.len()))
    }
}

impl Drop for ScratchFile {
    fn drop(&mut self) {
        let state = &mut *self.space.state();
        if let Some(file) = state.files.remove(&self.id) {
            for page in file.pages.into_values() {
                state.free(file.account, page, &self.space.scratch, &self.space.memory);
            }
            if file.account == Account::Output {
                state.return_output(file.len, &self.space.output);
            }
        }
    }
}
