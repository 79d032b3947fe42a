//! What takes how long, for those who ask with `--verbose`.

use std::{
    cell::Cell,
    time::{Duration, Instant},
};

use xgboost_core::data::{Batch, Info, RowValue, Schema, Source};

/// Time spent on one thing, here and there.
#[derive(Default)]
pub(crate) struct Spent(Cell<Duration>);

impl Spent {
    /// Does `what` and counts the time.
    pub(crate) fn on<T>(&self, what: impl FnOnce() -> T) -> T {
        let start = Instant::now();
        let result = what();
        self.0.set(self.0.get() + start.elapsed());
        result
    }

    /// The time up to now.
    pub(crate) fn time(&self) -> Duration {
        self.0.get()
    }

    /// The same but for `part` of it, which counts elsewhere.
    pub(crate) fn without(&self, part: &Self) -> Duration {
        self.time().saturating_sub(part.time())
    }
}

/// Says what took how long, on standard error.
pub(crate) fn tell(parts: &[(&str, Duration)]) {
    let parts: Vec<String> = parts
        .iter()
        .map(|(name, took)| format!("{name} {:.3} s", took.as_secs_f64()))
        .collect();
    eprintln!("took: {}", parts.join(", "));
}

/// A table the reading of which is counted.
pub(crate) struct Timed<'t, S> {
    table: &'t mut S,
    reading: &'t Spent,
}

impl<'t, S> Timed<'t, S> {
    pub(crate) fn new(table: &'t mut S, reading: &'t Spent) -> Self {
        Self { table, reading }
    }
}

impl<S: Source> Source for Timed<'_, S> {
    type Error = S::Error;

    fn schema(&self) -> &Schema {
        self.table.schema()
    }

    fn info(&self) -> &Info {
        self.table.info()
    }

    fn present(&self) -> Option<&[bool]> {
        self.table.present()
    }

    fn place(&self, row: usize, value: RowValue) -> Option<String> {
        self.table.place(row, value)
    }

    fn rewind(&mut self) -> Result<(), Self::Error> {
        self.reading.on(|| self.table.rewind())
    }

    fn next_batch(&mut self) -> Result<Option<Batch>, Self::Error> {
        self.reading.on(|| self.table.next_batch())
    }
}
