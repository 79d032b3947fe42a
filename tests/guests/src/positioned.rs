//! `pread`, `pwrite` and `symlink`, which std has under no stable name on wasm32-wasip2.

use std::ffi::CString;
use std::fs::File;
use std::io;
use std::os::fd::AsRawFd;
use std::path::Path;

/// Reads at `offset` without moving the cursor.
///
/// # Errors
/// What the system says.
#[allow(unsafe_code)]
pub fn read_at(file: &File, buffer: &mut [u8], offset: u64) -> io::Result<usize> {
    let offset = i64::try_from(offset).map_err(|_| io::ErrorKind::InvalidInput)?;
    // SAFETY: the descriptor is open while `file` is borrowed, and `buffer` has its length.
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

/// Writes at `offset` without moving the cursor.
///
/// # Errors
/// What the system says.
#[allow(unsafe_code)]
pub fn write_at(file: &File, buffer: &[u8], offset: u64) -> io::Result<usize> {
    let offset = i64::try_from(offset).map_err(|_| io::ErrorKind::InvalidInput)?;
    // SAFETY: the descriptor is open while `file` is borrowed, and `buffer` has its length.
    let written = unsafe {
        libc::pwrite(
            file.as_raw_fd(),
            buffer.as_ptr().cast(),
            buffer.len(),
            offset,
        )
    };
    usize::try_from(written).map_err(|_| io::Error::last_os_error())
}

/// Makes a symbolic link at `link` that says `target`.
///
/// # Errors
/// What the system says, or where a path has a zero byte in it.
#[allow(unsafe_code)]
pub fn symlink(target: &str, link: &Path) -> io::Result<()> {
    let target = CString::new(target)?;
    let link = CString::new(link.as_os_str().as_encoded_bytes())?;
    // SAFETY: both are strings that end in a zero byte and live until the call returns.
    match unsafe { libc::symlink(target.as_ptr(), link.as_ptr()) } {
        0 => Ok(()),
        _ => Err(io::Error::last_os_error()),
    }
}
