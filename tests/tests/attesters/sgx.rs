//! What library OSs show of SGX: Gramine's pseudo-files (`libos/src/fs/dev/attestation.c`) and
//! Occlum's device (`src/libos/src/fs/dev_fs/dev_sgx`).

use std::{
    collections::HashMap,
    sync::{Arc, Mutex},
};

use super::machine::{Caller, Device, Errno, Parts, Text, rest};

/// Makes a quote over 64 bytes.
pub(crate) type Quoting = Arc<dyn Fn(&[u8; 64]) -> Vec<u8> + Send + Sync>;

/// Gramine's files.
pub(crate) fn gramine(parts: Parts, quoting: Quoting) -> Parts {
    let asked = Arc::new(Mutex::new([0; 64]));
    let writing = Asked {
        asked: Arc::clone(&asked),
        buffers: Mutex::default(),
    };
    let reading = Quote {
        asked,
        quoting,
        buffers: Mutex::default(),
    };
    parts
        .file("dev/attestation/attestation_type", Arc::new(Text("dcap")))
        .file("dev/attestation/user_report_data", Arc::new(writing))
        .file("dev/attestation/quote", Arc::new(reading))
}

/// The one place for report data in an enclave, which each close of the file writes.
struct Asked {
    asked: Arc<Mutex<[u8; 64]>>,
    buffers: Mutex<HashMap<u64, Vec<u8>>>,
}

impl Device for Asked {
    fn read(&self, _opening: u64, _offset: u64) -> Result<Vec<u8>, Errno> {
        Ok(Vec::new())
    }

    fn write(&self, opening: u64, _offset: u64, bytes: &[u8]) -> Result<(), Errno> {
        let mut buffers = self.buffers.lock().expect("never poisoned");
        buffers.entry(opening).or_default().extend(bytes);
        Ok(())
    }

    fn close(&self, opening: u64) {
        let written = self
            .buffers
            .lock()
            .expect("never poisoned")
            .remove(&opening);
        if let Some(bytes) = written {
            // Cut, or filled up with zeros.
            let mut asked = [0; 64];
            let length = bytes.len().min(64);
            asked[..length].copy_from_slice(&bytes[..length]);
            *self.asked.lock().expect("never poisoned") = asked;
        }
    }
}

/// A quote over what was asked for when the file is opened.
struct Quote {
    asked: Arc<Mutex<[u8; 64]>>,
    quoting: Quoting,
    buffers: Mutex<HashMap<u64, Vec<u8>>>,
}

impl Device for Quote {
    fn open(&self, opening: u64) -> Result<(), Errno> {
        let asked = *self.asked.lock().expect("never poisoned");
        let quote = (self.quoting)(&asked);
        let mut buffers = self.buffers.lock().expect("never poisoned");
        buffers.insert(opening, quote);
        Ok(())
    }

    fn read(&self, opening: u64, offset: u64) -> Result<Vec<u8>, Errno> {
        let buffers = self.buffers.lock().expect("never poisoned");
        Ok(rest(buffers.get(&opening).ok_or(Errno::EBADF)?, offset))
    }
}

/// Occlum's device.
pub(crate) struct Occlum {
    /// Makes the quotes.
    pub quoting: Quoting,
    /// How long it says that they are.
    pub length: u32,
    /// How long it says that the last one became, where that is another length.
    pub became: Option<u32>,
}

/// Occlum's device in its place.
pub(crate) fn occlum(parts: Parts, device: Occlum) -> Parts {
    parts.file("dev/sgx", Arc::new(device))
}

impl Device for Occlum {
    fn read(&self, _opening: u64, _offset: u64) -> Result<Vec<u8>, Errno> {
        Err(Errno::EINVAL)
    }

    fn ioctl(&self, caller: &Caller, request: u32, argument: &[u8]) -> Result<Vec<u8>, Errno> {
        match request {
            // SGXIOC_GET_DCAP_QUOTE_SIZE
            0x8004_7307 => Ok(self.length.to_le_bytes().to_vec()),
            // SGXIOC_GEN_DCAP_QUOTE: report data, length, quote.
            0xc018_7308 => {
                let address = |index: usize| {
                    let bytes = argument[index * 8..].first_chunk().ok_or(Errno::EINVAL);
                    bytes.map(|bytes| u64::from_le_bytes(*bytes))
                };
                let asked = caller.read(address(0)?, 64)?;
                let asked = asked.try_into().map_err(|_| Errno::EFAULT)?;
                let room = caller.read(address(1)?, 4)?;
                let quote = (self.quoting)(&asked);
                let room = u32::from_le_bytes(room.try_into().map_err(|_| Errno::EFAULT)?);
                if (room as usize) < quote.len() {
                    return Err(Errno::EINVAL);
                }
                caller.write(address(2)?, &quote)?;
                let became = self.became.unwrap_or(quote.len() as u32);
                caller.write(address(1)?, &became.to_le_bytes())?;
                Ok(argument.to_vec())
            }
            _ => Err(Errno::ENOTTY),
        }
    }
}
