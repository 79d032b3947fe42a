//! Where clients of the same user on the same machine find the key of a host's simulators. NOT
//! SECURE, as simulators are.
//!
//! A host that starts simulators writes one file for each address it serves clients on, for this
//! user only, and removes it when it ends. The key is never told over HTTP, and a client believes
//! the file only where it was told to accept simulated evidence.

use std::{
    ffi::OsString,
    fs, io,
    io::Write as _,
    os::unix::fs::PermissionsExt as _,
    path::{Path, PathBuf},
};

use mc2_protocol::{
    Digest,
    encoding::{Hex, JsonError, parse_json, to_json},
};
use mc2_wire::Address;
use serde::{Deserialize, Serialize};

use crate::store::private_folder;

/// Largest such file, in bytes.
const MAX_PIN_LEN: usize = 4096;

/// What the file says.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct SimulatorPin {
    /// Where the host serves clients, as [`Address`] is written.
    pub address: String,
    /// The public key that all simulators of this start of the host sign with.
    pub key: Hex<32>,
    /// The host's process id.
    pub pid: u32,
}

impl SimulatorPin {
    /// The folder these files are in: `mc2/simulators` below `$XDG_RUNTIME_DIR`, or else below the
    /// user's folder for state (`$XDG_STATE_HOME`, or `$HOME/.local/state`). `None` where the
    /// environment names none of these by an absolute path. `variable` looks a variable up, as
    /// [`std::env::var_os`] does.
    pub fn folder(variable: impl Fn(&str) -> Option<OsString>) -> Option<PathBuf> {
        let absolute = |name| {
            let path = variable(name).map(PathBuf::from)?;
            path.is_absolute().then_some(path)
        };
        let base = absolute("XDG_RUNTIME_DIR")
            .or_else(|| absolute("XDG_STATE_HOME"))
            .or_else(|| absolute("HOME").map(|home| home.join(".local/state")))?;
        Some(base.join("mc2").join("simulators"))
    }

    /// The name of the file for an address: its IP address and port, `_` standing for `:`, or the hash
    /// of a Unix socket's path, which must be absolute and as the system resolves it. There are none
    /// for other addresses.
    pub fn file_name(address: &Address) -> Option<String> {
        match address {
            Address::Tcp(address) => {
                let ip = address.ip().to_string().replace(':', "_");
                Some(format!("{ip}-{}.json", address.port()))
            }
            Address::Unix(path) => {
                let hash = Digest::of(path.as_os_str().as_encoded_bytes()).to_string();
                Some(format!("unix-{}.json", &hash[..32]))
            }
            Address::Vsock { .. } => None,
        }
    }

    /// The file's bytes.
    pub fn to_bytes(&self) -> Vec<u8> {
        to_json(self)
    }

    /// Reads the file's bytes.
    ///
    /// # Errors
    /// They are not such a file's.
    pub fn parse(bytes: &[u8]) -> Result<Self, JsonError> {
        parse_json("the simulator's pin", bytes, MAX_PIN_LEN)
    }
}

/// The files of a running host; they go with it.
pub(crate) struct Pins(Vec<PathBuf>);

impl Pins {
    /// Writes one file in `folder` for each of these addresses.
    ///
    /// # Errors
    /// A file cannot be written; then none is left.
    pub(crate) fn write(folder: &Path, key: [u8; 32], addresses: &[Address]) -> io::Result<Self> {
        private_folder(folder)?;
        let mut pins = Self(Vec::new());
        for address in addresses {
            // Clients name a socket by other paths than the host does.
            let resolved = match address {
                Address::Unix(path) => Address::Unix(fs::canonicalize(path)?),
                other => other.clone(),
            };
            let Some(name) = SimulatorPin::file_name(&resolved) else {
                continue;
            };
            let pin = SimulatorPin {
                address: resolved.to_string(),
                key: Hex(key),
                pid: std::process::id(),
            };
            let mut file = tempfile::Builder::new()
                .permissions(fs::Permissions::from_mode(0o600))
                .tempfile_in(folder)?;
            file.write_all(&pin.to_bytes())?;
            let path = folder.join(name);
            file.persist(&path)?;
            pins.0.push(path);
        }
        Ok(pins)
    }
}

impl Drop for Pins {
    fn drop(&mut self) {
        for path in &self.0 {
            let pin = fs::read(path).ok();
            let pin = pin.and_then(|bytes| SimulatorPin::parse(&bytes).ok());
            // Another host may have taken the address since.
            if pin.is_some_and(|pin| pin.pid == std::process::id()) {
                // What is left names a process that is gone.
                let _ = fs::remove_file(path);
            }
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_pin_is_its_user_s_alone_and_goes_with_its_host() {
        let folder = tempfile::tempdir().unwrap();
        let pins = folder.path().join("mc2/simulators");
        let addresses = ["tcp:127.0.0.1:8440", "vsock:3:1"].map(|text| text.parse().unwrap());
        let written = Pins::write(&pins, [7; 32], &addresses).unwrap();
        let path = pins.join("127.0.0.1-8440.json");
        assert_eq!(
            fs::metadata(&path).unwrap().permissions().mode() & 0o777,
            0o600
        );
        assert_eq!(
            fs::metadata(&pins).unwrap().permissions().mode() & 0o777,
            0o700
        );
        let pin = SimulatorPin::parse(&fs::read(&path).unwrap()).unwrap();
        assert_eq!(
            (pin.address.as_str(), pin.key),
            ("tcp:127.0.0.1:8440", Hex([7; 32]))
        );
        drop(written);
        assert_eq!(fs::read_dir(&pins).unwrap().count(), 0);
        // Another host's is left alone.
        let written = Pins::write(&pins, [7; 32], &addresses).unwrap();
        let other = SimulatorPin { pid: 1, ..pin };
        fs::write(&path, other.to_bytes()).unwrap();
        drop(written);
        assert!(path.exists());
    }

    #[test]
    fn hosts_on_one_port_of_several_addresses_have_a_pin_each() {
        let folder = tempfile::tempdir().unwrap();
        let addresses = ["tcp:127.0.0.1:8440", "tcp:127.0.0.2:8440", "tcp:[::1]:8440"];
        let hosts = addresses.map(|address| [address.parse().unwrap()]);
        let written: Vec<Pins> = hosts
            .iter()
            .zip(1..)
            .map(|(addresses, key)| Pins::write(folder.path(), [key; 32], addresses).unwrap())
            .collect();
        for ([address], key) in hosts.iter().zip(1..) {
            let path = folder
                .path()
                .join(SimulatorPin::file_name(address).unwrap());
            let pin = SimulatorPin::parse(&fs::read(path).unwrap()).unwrap();
            assert_eq!(
                (pin.address, pin.key),
                (address.to_string(), Hex([key; 32]))
            );
        }
        drop(written);
        assert_eq!(fs::read_dir(folder.path()).unwrap().count(), 0);
    }

    #[test]
    fn the_folder_is_the_runtime_s_or_the_state_s() {
        let folder = |set: &'static [(&str, &str)]| {
            let find = |name: &str| set.iter().find(|(known, _)| *known == name);
            SimulatorPin::folder(|name| find(name).map(|(_, value)| OsString::from(value)))
        };
        assert_eq!(
            folder(&[("XDG_RUNTIME_DIR", "/run/user/1"), ("HOME", "/home/a")]),
            Some("/run/user/1/mc2/simulators".into())
        );
        assert_eq!(
            folder(&[("XDG_RUNTIME_DIR", "here"), ("HOME", "/home/a")]),
            Some("/home/a/.local/state/mc2/simulators".into())
        );
        assert_eq!(folder(&[("HOME", "")]), None);
    }
}
