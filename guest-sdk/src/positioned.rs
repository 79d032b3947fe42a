//! Reading a file at an offset, without its cursor.
//!
//! std has no stable `read_at` on wasm32-wasip2, and seeking would cost the cursor and a second call
//! to the host. So a component calls `pread` itself. That code is used wherever there is a `pread`,
//! not on that target alone: natively this crate's tests and Miri run what runs in a component.

use std::fs::File;
use std::io;

/// Reads at `offset`, at most `buffer.len()` bytes, and says how many.
#[cfg(not(windows))]
#[allow(unsafe_code)]
pub(crate) fn read_at(file: &File, buffer: &mut [u8], offset: u64) -> io::Result<usize> {
    use std::os::fd::AsRawFd;

    let offset = libc::off_t::try_from(offset).map_err(|_| io::ErrorKind::InvalidInput)?;
    // SAFETY: the descriptor is `file`'s, open while it is borrowed; `pread` writes at most
    // `buffer.len()` bytes to `buffer`, which is borrowed for writing and initialised.
    let read = unsafe {
        libc::pread(
            file.as_raw_fd(),
            buffer.as_mut_ptr().cast(),
            buffer.len(),
            offset,
        )
    };
    usize::try_from(read).map_err(|_| io::Error::last_os_error())
}

/// Reads at `offset`, at most `buffer.len()` bytes, and says how many.
#[cfg(windows)]
pub(crate) fn read_at(file: &File, buffer: &mut [u8], offset: u64) -> io::Result<usize> {
    std::os::windows::fs::FileExt::seek_read(file, buffer, offset)
}
