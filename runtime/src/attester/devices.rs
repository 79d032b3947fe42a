//! Where the devices of a machine are.

use std::{
    net::{IpAddr, Ipv4Addr, SocketAddr},
    path::{Path, PathBuf},
};

use mc2_wire::Address;

/// Azure's metadata service, which has the same address in each VM.
const METADATA: Address = Address::Tcp(SocketAddr::new(
    IpAddr::V4(Ipv4Addr::new(169, 254, 169, 254)),
    80,
));

/// The folder below which devices and the kernel's own files are looked for, and where a cloud's VM
/// asks about itself.
#[derive(Clone, Debug)]
pub struct Devices {
    root: PathBuf,
    metadata: Address,
}

impl Devices {
    /// Those of this machine.
    pub fn of_this_machine() -> Self {
        Self {
            root: "/".into(),
            metadata: METADATA,
        }
    }

    /// Those below another folder: somebody emulates them there, and the metadata service at the Unix
    /// socket beside it that is called as it is, with `.metadata`.
    pub fn below(root: impl Into<PathBuf>) -> Self {
        let root = root.into();
        let mut metadata = root.clone().into_os_string();
        metadata.push(".metadata");
        Self {
            root,
            metadata: Address::Unix(metadata.into()),
        }
    }

    /// The service that tells a cloud's VM about itself.
    pub(super) fn metadata(&self) -> Address {
        self.metadata.clone()
    }

    /// Where this one is, from its path without the first slash.
    pub(super) fn path(&self, path: impl AsRef<Path>) -> PathBuf {
        self.root.join(path)
    }
}
