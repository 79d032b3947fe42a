//! `wasi:random`, all of it from the TEE's own generator: the interfaces called
//! insecure cost nothing less to answer well.

use super::bindings::wasi::random::{insecure, insecure_seed, random};
use super::guest::Guest;
use crate::failure::Failure;
use crate::limits::RANDOM_BYTES;

fn fill(bytes: &mut [u8]) -> wasmtime::Result<()> {
    getrandom::fill(bytes)
        .map_err(|_| Failure::Internal("the random number generator failed".to_owned()).stop())
}

fn bytes(len: u64) -> wasmtime::Result<Vec<u8>> {
    if len > RANDOM_BYTES {
        wasmtime::bail!("more than {RANDOM_BYTES} random bytes asked for at once");
    }
    let mut bytes = vec![0; len as usize];
    fill(&mut bytes)?;
    Ok(bytes)
}

fn number() -> wasmtime::Result<u64> {
    let mut bytes = [0; 8];
    fill(&mut bytes)?;
    Ok(u64::from_le_bytes(bytes))
}

impl random::Host for Guest {
    fn get_random_bytes(&mut self, len: u64) -> wasmtime::Result<Vec<u8>> {
        bytes(len)
    }

    fn get_random_u64(&mut self) -> wasmtime::Result<u64> {
        number()
    }
}

impl insecure::Host for Guest {
    fn get_insecure_random_bytes(&mut self, len: u64) -> wasmtime::Result<Vec<u8>> {
        bytes(len)
    }

    fn get_insecure_random_u64(&mut self) -> wasmtime::Result<u64> {
        number()
    }
}

impl insecure_seed::Host for Guest {
    fn insecure_seed(&mut self) -> wasmtime::Result<(u64, u64)> {
        Ok((number()?, number()?))
    }
}
