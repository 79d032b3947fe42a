//! The streams between instances, without waiting: `/run/mc2/peers/N/{in,out}` as WASI streams.
//!
//! Files of the standard library wait in every read and write. What is wanted here is to move what can
//! be moved, and to wait for all streams at once where nothing can.

use mc2_guest::{Context as _, Error, Peers};
use wasip2::{
    filesystem::{
        preopens::get_directories,
        types::{Descriptor, DescriptorFlags, ErrorCode, OpenFlags, PathFlags},
    },
    io::{
        poll::poll,
        streams::{InputStream, OutputStream, StreamError},
    },
};

use sql_core::ranks::Mux;

/// Bytes that are read at once.
const PIECE: u64 = 256 * 1024;

/// The streams from and to all other instances.
pub(super) struct Links(Vec<Link>);

struct Link {
    rank: usize,
    // Before its descriptor, of which it is a child.
    from: Option<InputStream>,
    to: Option<OutputStream>,
    _files: [Descriptor; 2],
}

impl Links {
    pub(super) fn open(peers: &Peers) -> mc2_guest::Result<Self> {
        peers.others().map(link).collect::<Result<_, _>>().map(Self)
    }

    /// Moves what can be moved now, and says whether anything was.
    ///
    /// # Errors
    ///
    /// Where another instance sends what makes no sense.
    pub(super) fn pump<T>(&mut self, mux: &mut Mux<T>) -> Result<bool, String> {
        let mut moved = false;
        for link in &mut self.0 {
            moved |= link.send(mux);
            moved |= link.receive(mux)?;
        }
        Ok(moved)
    }

    /// Waits until something can be moved; says whether there is anything to wait for.
    pub(super) fn wait<T>(&self, mux: &Mux<T>) -> bool {
        let mut waits = Vec::new();
        for link in &self.0 {
            waits.extend(link.from.as_ref().map(InputStream::subscribe));
            if mux.outgoing(link.rank).is_some() {
                waits.extend(link.to.as_ref().map(OutputStream::subscribe));
            }
        }
        if !waits.is_empty() {
            poll(&waits.iter().collect::<Vec<_>>());
        }
        !waits.is_empty()
    }

    /// Sends all there is, and reads meanwhile.
    pub(super) fn flush<T>(&mut self, mux: &mut Mux<T>) -> Result<(), String> {
        while self.0.iter().any(|link| mux.outgoing(link.rank).is_some()) {
            if !self.pump(mux)? {
                self.wait(mux);
            }
        }
        Ok(())
    }
}

impl Link {
    fn send<T>(&mut self, mux: &mut Mux<T>) -> bool {
        let Some(to) = &self.to else {
            return false;
        };
        let mut moved = false;
        while let Some(bytes) = mux.outgoing(self.rank) {
            let room = to.check_write().unwrap_or(0);
            let room = usize::try_from(room).unwrap_or(usize::MAX);
            let bytes = &bytes[..bytes.len().min(room)];
            if bytes.is_empty() {
                return moved;
            }
            if to.write(bytes).is_err() {
                // It has ended, and needs nothing any more.
                mux.ended(self.rank);
                self.to = None;
                return true;
            }
            let sent = bytes.len();
            mux.sent(self.rank, sent);
            moved = true;
        }
        moved
    }

    fn receive<T>(&mut self, mux: &mut Mux<T>) -> Result<bool, String> {
        let mut moved = false;
        while let Some(from) = &self.from {
            match from.read(PIECE) {
                Ok(bytes) if bytes.is_empty() => break,
                Ok(bytes) => mux.arrived(self.rank, &bytes)?,
                Err(StreamError::Closed | StreamError::LastOperationFailed(_)) => {
                    mux.ended(self.rank);
                    self.from = None;
                }
            }
            moved = true;
        }
        Ok(moved)
    }
}

fn link(rank: u32) -> mc2_guest::Result<Link> {
    let open = |direction: &str, flags: DescriptorFlags| {
        let path = format!("/run/mc2/peers/{rank}/{direction}");
        at(&path, flags).with_context(|| format!("opening {path}"))
    };
    let from = open("in", DescriptorFlags::READ)?;
    let to = open("out", DescriptorFlags::WRITE)?;
    let told = |error: ErrorCode| Error::new(format!("the stream of instance {rank}: {error}"));
    Ok(Link {
        rank: rank as usize,
        from: Some(from.read_via_stream(0).map_err(told)?),
        to: Some(to.write_via_stream(0).map_err(told)?),
        _files: [from, to],
    })
}

/// Opens a file by its whole path.
fn at(path: &str, flags: DescriptorFlags) -> mc2_guest::Result<Descriptor> {
    for (folder, name) in get_directories() {
        let below = path.strip_prefix(name.trim_end_matches('/'));
        if let Some(below) = below.and_then(|below| below.strip_prefix('/')) {
            return folder
                .open_at(PathFlags::empty(), below, OpenFlags::empty(), flags)
                .map_err(|error| Error::new(error.to_string()));
        }
    }
    Err(Error::new("no folder of the program holds it"))
}
