//! Linear memories on huge pages, for the `vm` profile.
//!
//! Wasmtime maps linear memories with ordinary pages. On a virtual machine the
//! first touch of two gigabytes then costs seconds; on 2 MiB pages it costs a
//! tenth of one. This is the only thing here that is not Wasmtime's own
//! allocator's behaviour: reservation, guards and growth in place are the same.

use std::ptr::NonNull;

use rustix::mm::{self, Advice, MapFlags, MprotectFlags, ProtFlags};
use wasmtime::{LinearMemory, MemoryCreator, MemoryType};

/// What the kernel maps at once on x86-64 and, with 4 KiB base pages, on AArch64.
const HUGE_PAGE: usize = 2 << 20;

/// Creates one reserved mapping for each linear memory.
pub(super) struct HugePageMemories;

// SAFETY: the trait asks that a memory is zero filled (fresh anonymous mappings
// are), that `reserved_size` bytes never move and that `guard_size` bytes after
// them are never accessible. `Mapping` reserves `guard + reserved + guard` bytes
// without access and `grow_to` opens only what lies under `reserved`.
#[allow(unsafe_code)]
unsafe impl MemoryCreator for HugePageMemories {
    fn new_memory(
        &self,
        _ty: MemoryType,
        minimum: usize,
        _maximum: Option<usize>,
        reserved_size: Option<usize>,
        guard_size: usize,
    ) -> Result<Box<dyn LinearMemory>, String> {
        let reserved =
            reserved_size.ok_or("the engine asked for a memory without a reservation")?;
        if minimum > reserved {
            return Err(format!(
                "a memory of {minimum} bytes does not fit in the reservation of {reserved}"
            ));
        }
        let mut memory = HugePageMemory {
            mapping: Mapping::reserve(reserved, guard_size)?,
            size: 0,
            touched: 0,
        };
        memory.open(minimum).map_err(|error| error.to_string())?;
        memory.touched = memory.size.next_multiple_of(HUGE_PAGE);
        Ok(Box::new(memory))
    }
}

struct HugePageMemory {
    mapping: Mapping,
    /// Bytes the guest may access now.
    size: usize,
    /// Everything below was opened as part of a whole huge page once.
    touched: usize,
}

impl HugePageMemory {
    /// Makes the first `size` bytes accessible.
    fn open(&mut self, size: usize) -> rustix::io::Result<()> {
        if size > self.size {
            self.mapping.protect(self.size, size - self.size, true)?;
            self.size = size;
        }
        Ok(())
    }

    /// A guest's allocator grows by 64 KiB at a time, and a page fault at the
    /// end of a mapping can only be served by a small page. So the last huge
    /// page is touched whole while it is open for a moment, and what lies past
    /// the memory's size is closed again before the guest runs on: one fault
    /// and not 512.
    fn touch_last_huge_page(&mut self, size: usize) -> rustix::io::Result<()> {
        let end = size.next_multiple_of(HUGE_PAGE);
        if end <= self.touched || end > self.mapping.reserved {
            return Ok(());
        }
        let start = end - HUGE_PAGE;
        self.mapping.protect(self.size, end - self.size, true)?;
        // A kernel without MADV_POPULATE_WRITE serves small pages: slower, no less right.
        let _ = self
            .mapping
            .advise(start, HUGE_PAGE, Advice::LinuxPopulateWrite);
        self.mapping.protect(size, end - size, false)?;
        self.touched = end;
        self.size = size;
        Ok(())
    }
}

// SAFETY: `byte_size` never exceeds what `open` made accessible, the base never
// moves while the value lives, and the mapping is neither shared nor aliased.
#[allow(unsafe_code)]
unsafe impl LinearMemory for HugePageMemory {
    fn byte_size(&self) -> usize {
        self.size
    }

    fn byte_capacity(&self) -> usize {
        self.mapping.reserved
    }

    fn grow_to(&mut self, new_size: usize) -> wasmtime::Result<()> {
        if new_size > self.mapping.reserved {
            wasmtime::bail!("a memory of {new_size} bytes exceeds its reservation");
        }
        self.touch_last_huge_page(new_size)?;
        self.open(new_size)?;
        Ok(())
    }

    fn as_ptr(&self) -> *mut u8 {
        self.mapping.base.as_ptr()
    }
}

/// A private anonymous reservation: guard, memory, guard; unmapped when dropped.
struct Mapping {
    start: NonNull<u8>,
    length: usize,
    base: NonNull<u8>,
    reserved: usize,
}

// SAFETY: the pointers are to a mapping this value alone owns; they are only
// handed to Wasmtime, which synchronises access to a memory through its store.
#[allow(unsafe_code)]
unsafe impl Send for Mapping {}
// SAFETY: as above; `&Mapping` gives out nothing but the pointer's value.
#[allow(unsafe_code)]
unsafe impl Sync for Mapping {}

impl Mapping {
    fn reserve(reserved: usize, guard: usize) -> Result<Self, String> {
        let length = reserved
            .checked_add(guard.checked_mul(2).ok_or("the guard is too large")?)
            .and_then(|bytes| bytes.checked_add(HUGE_PAGE))
            .ok_or("the reservation is too large")?;
        // SAFETY: a new mapping at an address of the kernel's choice overlaps nothing.
        #[allow(unsafe_code)]
        let start = unsafe {
            mm::mmap_anonymous(
                std::ptr::null_mut(),
                length,
                ProtFlags::empty(),
                MapFlags::PRIVATE | MapFlags::NORESERVE,
            )
        }
        .map_err(|error| format!("reserving {length} bytes of address space failed: {error}"))?;
        let start = NonNull::new(start.cast::<u8>()).ok_or("the kernel mapped address zero")?;
        let offset =
            (start.as_ptr() as usize + guard).next_multiple_of(HUGE_PAGE) - start.as_ptr() as usize;
        // SAFETY: offset < guard + HUGE_PAGE, and offset + reserved + guard <= length,
        // so the result lies inside the mapping.
        #[allow(unsafe_code)]
        let base = unsafe { start.add(offset) };
        let mapping = Self {
            start,
            length,
            base,
            reserved,
        };
        // Refused where transparent huge pages are switched off: slower, no less right.
        let _ = mapping.advise(0, reserved, Advice::LinuxHugepage);
        Ok(mapping)
    }

    /// Opens or closes `length` bytes from `offset`.
    fn protect(&self, offset: usize, length: usize, open: bool) -> rustix::io::Result<()> {
        if length == 0 {
            return Ok(());
        }
        assert!(
            offset
                .checked_add(length)
                .is_some_and(|end| end <= self.reserved)
        );
        let flags = if open {
            MprotectFlags::READ | MprotectFlags::WRITE
        } else {
            MprotectFlags::empty()
        };
        // SAFETY: the range lies inside this value's own mapping (asserted), and no
        // Rust reference into it lives here: Wasmtime makes its slices anew from
        // `as_ptr` and `byte_size`, which never covers a closed byte.
        #[allow(unsafe_code)]
        unsafe {
            mm::mprotect(self.base.add(offset).as_ptr().cast(), length, flags)
        }
    }

    fn advise(&self, offset: usize, length: usize, advice: Advice) -> rustix::io::Result<()> {
        assert!(
            offset
                .checked_add(length)
                .is_some_and(|end| end <= self.reserved)
        );
        // SAFETY: the range lies inside this value's own mapping (asserted); neither
        // MADV_HUGEPAGE nor MADV_POPULATE_WRITE changes what the bytes read as.
        #[allow(unsafe_code)]
        unsafe {
            mm::madvise(self.base.add(offset).as_ptr().cast(), length, advice)
        }
    }
}

impl Drop for Mapping {
    fn drop(&mut self) {
        // SAFETY: this value owns the whole mapping and nothing uses it after the
        // linear memory is dropped. A failure would leak addresses, never alias them.
        #[allow(unsafe_code)]
        let _ = unsafe { mm::munmap(self.start.as_ptr().cast(), self.length) };
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn memory(minimum: usize) -> Box<dyn LinearMemory> {
        let ty = wasmtime::MemoryTypeBuilder::new().min(1).build().unwrap();
        HugePageMemories
            .new_memory(ty, minimum, None, Some(64 << 20), 1 << 20)
            .unwrap()
    }

    #[allow(unsafe_code)]
    fn bytes(memory: &mut dyn LinearMemory) -> &mut [u8] {
        // SAFETY: exactly the accessible bytes of a memory nothing else uses.
        unsafe { std::slice::from_raw_parts_mut(memory.as_ptr(), memory.byte_size()) }
    }

    #[test]
    fn growth_keeps_the_address_and_the_bytes_and_gives_zeroes() {
        let mut memory = memory(65536);
        let base = memory.as_ptr();
        for pages in 2..200 {
            let old = memory.byte_size();
            bytes(&mut *memory)[old - 1] = 7;
            memory.grow_to(pages * 65536).unwrap();
            assert_eq!(memory.as_ptr(), base);
            assert_eq!(bytes(&mut *memory)[old - 1], 7);
            assert!(bytes(&mut *memory)[old..].iter().all(|byte| *byte == 0));
        }
        assert!(memory.grow_to(65 << 20).is_err());
    }

    #[test]
    fn a_memory_larger_than_the_reservation_is_refused() {
        let ty = wasmtime::MemoryTypeBuilder::new().min(1).build().unwrap();
        assert!(
            HugePageMemories
                .new_memory(ty, 2 << 20, None, Some(1 << 20), 65536)
                .is_err()
        );
    }
}
