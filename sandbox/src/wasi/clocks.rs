//! `wasi:clocks`: coarse, and the host's word. Nothing about security rests on
//! them.

use std::time::Duration;

use async_trait::async_trait;
use tokio::time::Instant;
use wasmtime::component::Resource;
use wasmtime_wasi_io::poll::{DynPollable, Pollable, subscribe};

use super::bindings::wasi::clocks::monotonic_clock;
use super::bindings::wasi::clocks::wall_clock::{self, Datetime};
use super::guest::Guest;

/// Nanoseconds between two readings of the monotonic clock that differ.
const RESOLUTION: u64 = 1_000_000;

impl wall_clock::Host for Guest {
    fn now(&mut self) -> wasmtime::Result<Datetime> {
        let seconds = self
            .start_seconds
            .saturating_add(self.start.elapsed().as_secs());
        Ok(Datetime {
            seconds,
            nanoseconds: 0,
        })
    }

    fn resolution(&mut self) -> wasmtime::Result<Datetime> {
        Ok(Datetime {
            seconds: 1,
            nanoseconds: 0,
        })
    }
}

impl monotonic_clock::Host for Guest {
    fn now(&mut self) -> wasmtime::Result<u64> {
        let nanos = u64::try_from(self.start.elapsed().as_nanos()).unwrap_or(u64::MAX);
        Ok(nanos - nanos % RESOLUTION)
    }

    fn resolution(&mut self) -> wasmtime::Result<u64> {
        Ok(RESOLUTION)
    }

    fn subscribe_instant(&mut self, when: u64) -> wasmtime::Result<Resource<DynPollable>> {
        let now = monotonic_clock::Host::now(self)?;
        self.alarm(when.saturating_sub(now))
    }

    fn subscribe_duration(&mut self, when: u64) -> wasmtime::Result<Resource<DynPollable>> {
        self.alarm(when)
    }
}

impl Guest {
    fn alarm(&mut self, nanos: u64) -> wasmtime::Result<Resource<DynPollable>> {
        let alarm = match Instant::now().checked_add(Duration::from_nanos(nanos)) {
            _ if nanos == 0 => Alarm::Now { yielded: false },
            Some(deadline) => Alarm::At(deadline),
            None => Alarm::Never,
        };
        let alarm = self.table.push(alarm)?;
        subscribe(&mut self.table, alarm)
    }
}

enum Alarm {
    /// Rings at once, but lets others run first: a guest may poll it in a loop.
    Now {
        yielded: bool,
    },
    At(Instant),
    Never,
}

#[async_trait]
impl Pollable for Alarm {
    async fn ready(&mut self) {
        match self {
            Self::Now { yielded: true } => {}
            Self::Now { yielded } => {
                *yielded = true;
                tokio::task::yield_now().await;
            }
            Self::At(deadline) => tokio::time::sleep_until(*deadline).await,
            Self::Never => std::future::pending().await,
        }
    }
}
