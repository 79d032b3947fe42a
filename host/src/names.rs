//! How a statically linked program looks names up.
//!
//! Released programs are linked statically against glibc. That looks up names by the shared libraries
//! that the machine's `/etc/nsswitch.conf` names (mDNS, systemd-resolved), which belong to another
//! glibc than the one in the program: loading one ends the process by a signal, before any error could be
//! told. So such a program reads the machine's files (`/etc/hosts`, `/etc/passwd`) and asks the servers of
//! `/etc/resolv.conf`, which are in glibc itself, and nothing else.

/// Has this process load no library for looking names up, where it is statically linked against
/// glibc; elsewhere does nothing. To be called before the first thread is started.
pub fn without_libraries() {
    #[cfg(all(target_env = "gnu", target_feature = "crt-static"))]
    in_glibc::without_libraries();
}

#[cfg(all(target_env = "gnu", target_feature = "crt-static"))]
#[allow(
    unsafe_code,
    reason = "no safe crate has this function of glibc's, see below"
)]
mod in_glibc {
    use std::ffi::{CStr, c_char, c_int};

    /// What is looked up, and where.
    const SERVICES: [(&CStr, &CStr); 3] = [
        (c"hosts", c"files dns"),
        (c"passwd", c"files"),
        (c"group", c"files"),
    ];

    unsafe extern "C" {
        /// `<nss.h>`: decides for a database in place of `/etc/nsswitch.conf`; not 0 where it cannot.
        fn __nss_configure_lookup(database: *const c_char, services: *const c_char) -> c_int;
    }

    pub(super) fn without_libraries() {
        for (database, services) in SERVICES {
            // SAFETY: both are strings that end in a zero byte and live for ever; glibc reads and does
            // not keep them. It changes tables that lookups read, and none runs yet: this is called
            // before the first thread.
            let status = unsafe { __nss_configure_lookup(database.as_ptr(), services.as_ptr()) };
            // It fails for an unknown database or too little memory, neither of which is so here.
            debug_assert_eq!(status, 0, "glibc knows {database:?}");
        }
    }
}
