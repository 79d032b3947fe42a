//! What the process has freed goes back to the system.
//!
//! Threads of a busy host free much of what others allocated, and glibc keeps what is freed in between:
//! under 64 clients that made 77 MiB grow by a tenth in three minutes, of which half was in use.

use std::time::Duration;

/// How often a host gives back what it has freed. Each time takes some milliseconds.
pub(crate) const EVERY: Duration = Duration::from_secs(30);

/// Gives pages that hold nothing back to the system, where the allocator is glibc's; elsewhere does
/// nothing. May block.
pub(crate) fn give_back() {
    #[cfg(target_env = "gnu")]
    in_glibc::give_back();
}

#[cfg(target_env = "gnu")]
#[allow(
    unsafe_code,
    reason = "no safe crate has this function of glibc's, see below"
)]
mod in_glibc {
    use std::ffi::c_int;

    unsafe extern "C" {
        /// `<malloc.h>`: releases free pages of all arenas, and keeps `pad` bytes free at the heap's
        /// end; 1 where any was released.
        fn malloc_trim(pad: usize) -> c_int;
    }

    pub(super) fn give_back() {
        // SAFETY: it takes each arena's lock while it looks at it, as any allocation does, and releases
        // pages of free memory alone, which nobody holds a pointer into.
        let _ = unsafe { malloc_trim(0) };
    }
}

#[cfg(all(test, target_env = "gnu"))]
mod tests {
    use super::*;

    /// Bytes of private memory of this process that are resident.
    fn resident() -> usize {
        let status = std::fs::read_to_string("/proc/self/status").expect("Linux");
        let mut lines = status.lines();
        let line = lines.find_map(|line| line.strip_prefix("RssAnon:"));
        let kib =
            line.and_then(|line| line.trim().strip_suffix("kB")?.trim().parse::<usize>().ok());
        kib.expect("kibibytes") * 1024
    }

    #[test]
    fn what_was_freed_between_what_is_in_use_goes_back() {
        const PIECE: usize = 64 * 1024;
        let mut pieces: Vec<Vec<u8>> = (0..2_000).map(|_| vec![1; PIECE]).collect();
        // One in twenty stays: the heap's end does not move.
        let mut number = 0;
        pieces.retain(|_| {
            number += 1;
            number % 20 == 0
        });
        let before = resident();
        give_back();
        let given_back = before.saturating_sub(resident());
        assert!(given_back > 1_000 * PIECE, "{given_back} bytes");
        assert_eq!(pieces.len(), 100);
    }
}
