//! Ctrl-C and SIGTERM.

use std::io;

use tokio::{
    signal::unix::{Signal, SignalKind, signal},
    sync::watch,
};

use crate::exit::Exit;

/// Notices that the process is asked to end.
#[derive(Clone)]
pub struct Stop(watch::Receiver<Option<Exit>>);

impl Stop {
    /// Listens for SIGINT, SIGTERM and SIGHUP from now on.
    ///
    /// # Errors
    /// The system's.
    pub fn listen() -> io::Result<Self> {
        let (sender, receiver) = watch::channel(None);
        let mut interrupt = signal(SignalKind::interrupt())?;
        let mut terminate = signal(SignalKind::terminate())?;
        let mut hang_up = signal(SignalKind::hangup())?;
        tokio::spawn(async move {
            let exit = tokio::select! {
                () = once(&mut interrupt) => Exit::Interrupted,
                () = once(&mut terminate) => Exit::Terminated,
                () = once(&mut hang_up) => Exit::Terminated,
            };
            sender.send_replace(Some(exit));
            // A second Ctrl-C does not wait for anything.
            once(&mut interrupt).await;
            std::process::exit(Exit::Interrupted.code().into());
        });
        Ok(Self(receiver))
    }

    /// Stopped by whoever has the other half: for programs with signals of their own.
    pub fn by_hand() -> (Self, Stopper) {
        let (sender, receiver) = watch::channel(None);
        (Self(receiver), Stopper(sender))
    }

    /// Nothing ever stops it: for tests and programs with signals of their own.
    pub fn never() -> Self {
        Self(watch::channel(None).1)
    }

    /// Comes back when the process is asked to end.
    pub async fn asked(&self) -> Exit {
        let mut receiver = self.0.clone();
        let asked = receiver.wait_for(Option::is_some).await;
        match asked.ok().and_then(|exit| *exit) {
            Some(exit) => exit,
            // Nobody can ask any more.
            None => std::future::pending().await,
        }
    }
}

/// Stops what listens to the [`Stop`] it was made with. Dropped, it never will.
#[derive(Debug)]
pub struct Stopper(watch::Sender<Option<Exit>>);

impl Stopper {
    /// Asks it to end.
    pub fn stop(&self, exit: Exit) {
        self.0.send_replace(Some(exit));
    }
}

async fn once(signal: &mut Signal) {
    if signal.recv().await.is_none() {
        std::future::pending::<()>().await;
    }
}
