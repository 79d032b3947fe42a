//! Progress on standard error: bars on a terminal, a line here and there where asked for.

use std::{
    collections::HashMap,
    io::{self, IsTerminal},
    sync::{Arc, Mutex, PoisonError},
    time::Duration,
};

use indicatif::{MultiProgress, ProgressBar, ProgressDrawTarget, ProgressStyle};

use crate::{
    checks,
    event::{Observer, Phase, RunEvent},
};

/// A run shorter than this shows no bar at all.
const PATIENCE: Duration = Duration::from_millis(300);

/// Shows a run's events.
pub struct Progress {
    bars: MultiProgress,
    shown: Mutex<HashMap<&'static str, ProgressBar>>,
    terminal: bool,
    quiet: bool,
    verbose: bool,
}

impl Progress {
    /// Shows bars on a terminal, notices unless `quiet`, checks and times if `verbose`.
    pub fn new(quiet: bool, verbose: bool) -> Arc<Self> {
        let terminal = io::stderr().is_terminal() && !quiet;
        let target = if terminal {
            ProgressDrawTarget::stderr_with_hz(10)
        } else {
            ProgressDrawTarget::hidden()
        };
        Arc::new(Self {
            bars: MultiProgress::with_draw_target(target),
            shown: Mutex::default(),
            terminal,
            quiet,
            verbose,
        })
    }

    /// The observer of a run.
    pub fn observer(self: &Arc<Self>) -> Observer {
        let progress = Arc::clone(self);
        Arc::new(move |event| progress.take(&event))
    }

    /// Takes all bars away.
    pub fn clear(&self) {
        self.shown().clear();
        // A terminal that is gone is not worth an error.
        let _ = self.bars.clear();
    }

    fn take(&self, event: &RunEvent<'_>) {
        match event {
            RunEvent::Begun(phase, total) => self.begin(*phase, *total),
            RunEvent::Done(phase, done) => {
                if let Some(bar) = self.shown().get(phase.name()) {
                    bar.set_position(*done);
                }
            }
            RunEvent::Ended(phase, took) => {
                if let Some(bar) = self.shown().remove(phase.name()) {
                    bar.finish_and_clear();
                }
                if self.verbose {
                    self.say(&format!(
                        "{:<8} {:>10.1} ms",
                        phase.name(),
                        took.as_secs_f64() * 1e3
                    ));
                }
            }
            RunEvent::Progress(text) => {
                if let Some(bar) = self.shown().get(Phase::Run.name()) {
                    bar.set_message((*text).to_owned());
                }
                if self.verbose && !self.terminal {
                    self.say(&format!("progress: {text}"));
                }
            }
            RunEvent::Attested(checks) if self.verbose => {
                self.say(&format!(
                    "attestation\n{}",
                    checks::to_text(checks).trim_end()
                ));
            }
            RunEvent::Verified(checks) if self.verbose => {
                self.say(&format!("receipt\n{}", checks::to_text(checks).trim_end()));
            }
            RunEvent::Attested(_) | RunEvent::Verified(_) => {}
            RunEvent::Approving(text) => {
                if !self.quiet {
                    self.say(&format!("approving\n{}", text.trim_end()));
                }
            }
            RunEvent::Notice(text) => {
                if !self.quiet {
                    self.say(text);
                }
            }
        }
    }

    fn begin(&self, phase: Phase, total: Option<u64>) {
        if !self.terminal {
            return;
        }
        let (template, total) = match (phase, total) {
            (Phase::Seal | Phase::Open, Some(total)) => (
                "{prefix:>8} {wide_bar} {decimal_bytes}/{decimal_total_bytes} {decimal_bytes_per_sec}",
                total,
            ),
            (Phase::Run, Some(total)) => (
                "{prefix:>8} {wide_bar} {percent}% {elapsed} {wide_msg}",
                total,
            ),
            _ => ("{prefix:>8} {spinner} {elapsed}", 0),
        };
        let style = ProgressStyle::with_template(template)
            // Constants that indicatif knows.
            .unwrap_or_else(|_| ProgressStyle::default_bar());
        let bar = ProgressBar::new(total)
            .with_style(style)
            .with_prefix(phase.name());
        let bar = self.bars.add(bar);
        if !matches!(phase, Phase::Seal | Phase::Open) {
            // A bar that nothing moves still shows that time passes.
            bar.enable_steady_tick(PATIENCE);
        }
        self.shown().insert(phase.name(), bar);
    }

    fn say(&self, text: &str) {
        self.bars.suspend(|| eprintln!("{text}"));
    }

    fn shown(&self) -> std::sync::MutexGuard<'_, HashMap<&'static str, ProgressBar>> {
        self.shown.lock().unwrap_or_else(PoisonError::into_inner)
    }
}
