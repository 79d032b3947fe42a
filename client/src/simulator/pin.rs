//! The file in which a host of this user's leaves the key of its simulators, while it runs.
//! NOT SECURE.
//!
//! Whoever can write it chooses which simulators are believed here, so it counts only where it, and
//! the folder it lies in, are this user's alone. Over HTTP the key is never told.

use std::{
    ffi::OsString,
    fs::{self, File, OpenOptions},
    io::{self, Read as _},
    net::{IpAddr, Ipv4Addr, Ipv6Addr, SocketAddr},
    os::unix::fs::{MetadataExt as _, OpenOptionsExt as _},
    path::Path,
};

use mc2_attestation::SimKey;
use mc2_host::SimulatorPin;
use mc2_wire::Address;
use rustix::{
    fs::OFlags,
    io::Errno,
    process::{Pid, geteuid, test_kill_process},
};

use super::SimulatorError;
use crate::{
    files::{failed, folder_of},
    http::HostAddress,
};

const MAX_LEN: u64 = 4096;
const FOLDER_MODE: u32 = 0o700;
const FILE_MODE: u32 = 0o600;

/// The key of the simulators of the host at `address`, where this user runs that host on this
/// machine and it lives. `variable` looks an environment variable up.
///
/// # Errors
/// There is a file, and it is not this user's alone or holds no key.
pub(super) fn of(
    address: &HostAddress,
    variable: impl Fn(&str) -> Option<OsString>,
) -> Result<Option<SimKey>, SimulatorError> {
    let Some(folder) = SimulatorPin::folder(variable) else {
        return Ok(None);
    };
    for address in here(address) {
        let Some(name) = SimulatorPin::file_name(&address) else {
            continue;
        };
        let path = folder.join(name);
        let Some(bytes) = read(&path)? else {
            continue;
        };
        let pin = SimulatorPin::parse(&bytes).map_err(|source| SimulatorError::Content {
            path: path.clone(),
            source,
        })?;
        // One that was killed left its file behind, and its simulators are gone with it.
        if lives(pin.pid) {
            let key = SimKey::from_bytes(&pin.key.0);
            return key.map(Some).map_err(|_| SimulatorError::Key { path });
        }
    }
    Ok(None)
}

/// Where a host may listen that this address reaches on this machine, what it is bound to alone first.
fn here(address: &HostAddress) -> Vec<Address> {
    let (name, port) = match address {
        HostAddress::Unix(path) => {
            return fs::canonicalize(path)
                .ok()
                .map(Address::Unix)
                .into_iter()
                .collect();
        }
        HostAddress::Tcp { name, port, .. } => (name, *port),
    };
    let own: Vec<IpAddr> = match name.parse::<IpAddr>() {
        Ok(address) if address.is_loopback() => vec![address],
        Err(_) if name == "localhost" => {
            vec![Ipv4Addr::LOCALHOST.into(), Ipv6Addr::LOCALHOST.into()]
        }
        _ => return Vec::new(),
    };
    let all: [IpAddr; 2] = [Ipv4Addr::UNSPECIFIED.into(), Ipv6Addr::UNSPECIFIED.into()];
    own.into_iter()
        .chain(all)
        .map(|ip| Address::Tcp(SocketAddr::from((ip, port))))
        .collect()
}

/// The bytes of a file that is this user's alone; `None` where there is none.
fn read(path: &Path) -> Result<Option<Vec<u8>>, SimulatorError> {
    let opened = OpenOptions::new()
        .read(true)
        .custom_flags(OFlags::NOFOLLOW.bits().cast_signed())
        .open(path);
    let file = match opened {
        Err(error) if error.kind() == io::ErrorKind::NotFound => return Ok(None),
        opened => opened.map_err(failed("open", path))?,
    };
    let folder = folder_of(path);
    let of_folder = File::open(folder)
        .and_then(|folder| folder.metadata())
        .map_err(failed("look at", folder))?;
    check(folder, &of_folder, FOLDER_MODE)?;
    let of_file = file.metadata().map_err(failed("look at", path))?;
    check(path, &of_file, FILE_MODE)?;
    let mut bytes = Vec::new();
    file.take(MAX_LEN)
        .read_to_end(&mut bytes)
        .map_err(failed("read", path))?;
    Ok(Some(bytes))
}

fn check(path: &Path, found: &fs::Metadata, expected: u32) -> Result<(), SimulatorError> {
    let own = geteuid().as_raw();
    if found.uid() != own {
        return Err(SimulatorError::Owner {
            path: path.to_owned(),
            found: found.uid(),
            own,
        });
    }
    let mode = found.mode() & 0o7777;
    if mode & !expected != 0 {
        return Err(SimulatorError::Mode {
            path: path.to_owned(),
            found: mode,
            expected,
        });
    }
    Ok(())
}

fn lives(pid: u32) -> bool {
    let pid = i32::try_from(pid).ok().and_then(Pid::from_raw);
    pid.is_some_and(|pid| test_kill_process(pid) != Err(Errno::SRCH))
}

#[cfg(test)]
mod tests {
    use std::os::unix::fs::PermissionsExt as _;

    use mc2_protocol::encoding::Hex;

    use super::*;

    struct Place(tempfile::TempDir);

    impl Place {
        fn new() -> Self {
            let place = Self(tempfile::tempdir().unwrap());
            let folder = place.folder();
            fs::create_dir_all(&folder).unwrap();
            fs::set_permissions(&folder, fs::Permissions::from_mode(0o700)).unwrap();
            place
        }

        fn folder(&self) -> std::path::PathBuf {
            SimulatorPin::folder(|name| self.variable(name)).unwrap()
        }

        fn variable(&self, name: &str) -> Option<OsString> {
            (name == "XDG_RUNTIME_DIR").then(|| self.0.path().into())
        }

        fn write(&self, name: &str, pid: u32, mode: u32) {
            let pin = SimulatorPin {
                address: "tcp:127.0.0.1:8440".to_owned(),
                key: Hex(*key().as_bytes()),
                pid,
            };
            let path = self.folder().join(name);
            fs::write(&path, pin.to_bytes()).unwrap();
            fs::set_permissions(&path, fs::Permissions::from_mode(mode)).unwrap();
        }

        fn of(&self, address: &str) -> Result<Option<SimKey>, SimulatorError> {
            of(&address.parse().unwrap(), |name| self.variable(name))
        }
    }

    fn key() -> SimKey {
        ed25519_dalek::SigningKey::from_bytes(&[7; 32])
            .verifying_key()
            .into()
    }

    fn own() -> u32 {
        std::process::id()
    }

    #[test]
    fn the_key_of_a_host_here_is_found_by_every_name_of_this_machine_and_no_other() {
        let place = Place::new();
        let all = ["localhost", "127.0.0.1", "[::1]", "127.1.2.3"];
        for (bound, reached) in [
            ("127.0.0.1", &all[..2]),
            ("__1", &[all[0], all[2]]),
            ("127.1.2.3", &all[3..]),
            ("0.0.0.0", &all),
            ("__", &all),
        ] {
            let name = format!("{bound}-8440.json");
            place.write(&name, own(), 0o600);
            for here in all {
                let found = place.of(&format!("http://{here}:8440")).unwrap();
                assert_eq!(found.is_some(), reached.contains(&here), "{bound}: {here}");
                assert!(found.is_none_or(|found| found == key()));
            }
            fs::remove_file(place.folder().join(name)).unwrap();
        }
        place.write("127.0.0.1-8440.json", own(), 0o600);
        for elsewhere in [
            "http://example.org:8440",
            "http://192.168.1.7:8440",
            "http://localhost.example.org:8440",
            "http://127.0.0.1:8441",
            "unix:/no/such/socket",
        ] {
            assert_eq!(place.of(elsewhere).unwrap(), None, "{elsewhere}");
        }
    }

    #[test]
    fn a_socket_is_found_by_whatever_path_leads_to_it() {
        let place = Place::new();
        let socket = place.0.path().join("host.sock");
        fs::write(&socket, "").unwrap();
        let real = fs::canonicalize(&socket).unwrap();
        let name = SimulatorPin::file_name(&Address::Unix(real)).unwrap();
        place.write(&name, own(), 0o600);
        let link = place.0.path().join("link");
        std::os::unix::fs::symlink(&socket, &link).unwrap();
        for path in [socket, link] {
            let found = place.of(&format!("unix:{}", path.display())).unwrap();
            assert_eq!(found, Some(key()));
        }
    }

    #[test]
    fn a_file_that_others_can_get_at_is_refused_and_says_what_to_do() {
        let place = Place::new();
        for mode in [0o644, 0o620, 0o606] {
            place.write("127.0.0.1-8440.json", own(), mode);
            let error = place.of("http://localhost:8440").unwrap_err().to_string();
            assert!(error.contains("start the host again"), "{error}");
        }
        place.write("127.0.0.1-8440.json", own(), 0o600);
        let folder = place.folder();
        fs::set_permissions(&folder, fs::Permissions::from_mode(0o777)).unwrap();
        let error = place.of("http://localhost:8440").unwrap_err();
        assert!(
            matches!(error, SimulatorError::Mode { found: 0o777, .. }),
            "{error}"
        );
    }

    #[test]
    fn a_link_or_something_else_in_its_place_is_refused() {
        let place = Place::new();
        place.write("real.json", own(), 0o600);
        let path = place.folder().join("127.0.0.1-8440.json");
        std::os::unix::fs::symlink(place.folder().join("real.json"), &path).unwrap();
        assert!(place.of("http://localhost:8440").is_err());
        fs::remove_file(&path).unwrap();
        place.write("127.0.0.1-8440.json", own(), 0o600);
        fs::write(&path, "{}").unwrap();
        let error = place.of("http://localhost:8440").unwrap_err();
        assert!(matches!(error, SimulatorError::Content { .. }), "{error}");
    }

    #[test]
    fn what_a_killed_host_left_counts_for_nothing() {
        let place = Place::new();
        // No process has it: the kernel's largest is 2^22.
        place.write("127.0.0.1-8440.json", 1 << 30, 0o600);
        assert_eq!(place.of("http://localhost:8440").unwrap(), None);
    }
}
