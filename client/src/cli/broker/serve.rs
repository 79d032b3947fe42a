//! `mc2 broker serve`: where it looks, and what it says meanwhile.

use std::{
    io::{self, Write as _},
    path::PathBuf,
    time::Duration,
};

use clap::Args;
use mc2_protocol::Digest;
use serde::Serialize;

use super::{CommandError, Outcome};
use crate::{
    broker::{
        Broker,
        grant::{Granted, Manner},
        serve::{News, Watch, Watched},
    },
    cli::chain,
    http::{HostAddress, Trust},
    remote::Remote,
    terminal::{listed, printable},
};

/// Where a broker looks, and how.
#[derive(Args)]
pub struct WatchArgs {
    /// A host's address; several may be named
    #[arg(long, value_name = "URL", required = true)]
    pub host: Vec<HostAddress>,
    /// Certificates the hosts' TLS is trusted with
    #[arg(long, value_name = "FILE")]
    pub host_ca: Option<PathBuf>,
    /// A session to look at whether a host lists it or not, with its policy's digest
    #[arg(long, value_name = "SESSION:POLICY", value_parser = session_and_policy)]
    pub session: Vec<(Digest, Digest)>,
    /// For how many unused runs a session has a key at most
    #[arg(long, value_name = "RUNS", default_value_t = 1, value_parser = clap::value_parser!(u32).range(1..=1000))]
    pub ahead: u32,
    /// Milliseconds between two looks at a host, 100 or more
    #[arg(long, value_name = "MS", default_value_t = 1000, value_parser = clap::value_parser!(u64).range(100..))]
    pub every: u64,
    /// Accept a simulated enclave that the broker's trust store holds. NOT SECURE
    #[arg(long)]
    pub allow_simulated: bool,
}

impl WatchArgs {
    pub(super) async fn serve(self, broker: &Broker, json: bool) -> Outcome {
        let trust = self.host_ca.map_or(Trust::System, Trust::File);
        let hosts = self.host.into_iter().map(|address| {
            Ok(Watched {
                remote: Remote::connect(address.clone(), &trust)?,
                address,
                sessions: self.session.clone(),
            })
        });
        let watch = Watch {
            hosts: hosts.collect::<Result<_, CommandError>>()?,
            manner: Manner {
                allow_simulated: self.allow_simulated,
                ahead: self.ahead,
            },
            pause: Duration::from_millis(self.every),
        };
        serve(broker, &watch, json).await
    }
}

async fn serve(broker: &Broker, watch: &Watch, json: bool) -> Outcome {
    let tell = |news: News<'_>| {
        let line = if json {
            serde_json::to_string(&NewsLine::of(&news)).unwrap_or_default()
        } else {
            news_text(&news)
        };
        // Whoever does not listen does not stop it.
        let mut out = io::stdout().lock();
        let _ = writeln!(out, "{line}").and_then(|()| out.flush());
    };
    let card = broker.card();
    eprintln!("serving as {}, {}", card.name(), card.fingerprint());
    Ok(broker.serve(watch, &tell).await?)
}

/// One JSON line of what a broker that serves tells.
#[derive(Serialize)]
struct NewsLine {
    what: &'static str,
    session: Option<Digest>,
    dataset: Option<String>,
    object: Option<Digest>,
    runs: Option<u32>,
    job: Option<Digest>,
    host: Option<String>,
    code: Option<&'static str>,
    reason: Option<String>,
}

impl NewsLine {
    fn of(news: &News<'_>) -> Self {
        let mut line = Self {
            what: "",
            session: None,
            dataset: None,
            object: None,
            runs: None,
            job: None,
            host: None,
            code: None,
            reason: None,
        };
        match news {
            News::Granted { session, granted } => {
                line.session = Some(*session);
                match granted {
                    Granted::Key {
                        dataset,
                        object,
                        runs,
                    } => {
                        line.what = "released";
                        line.dataset = Some(dataset.to_string());
                        line.object = Some(*object);
                        line.runs = Some(*runs);
                    }
                    Granted::Start { job, .. } => {
                        line.what = "started";
                        line.job = Some(*job);
                    }
                }
            }
            News::Kept { session, kept } => {
                line.what = "kept";
                line.session = Some(*session);
                line.dataset = Some(kept.output.to_string());
                line.object = Some(kept.object);
                line.runs = Some(kept.runs);
                line.job = Some(kept.job);
            }
            News::Refused { session, error } => {
                line.what = "refused";
                line.session = Some(*session);
                line.code = Some(error.code());
                line.reason = Some(printable(&chain(*error)));
            }
            News::Trouble { host, error } => {
                line.what = "trouble";
                line.host = Some(host.to_string());
                line.code = Some(error.code());
                line.reason = Some(printable(&chain(*error)));
            }
        }
        line
    }
}

fn news_text(news: &News<'_>) -> String {
    match news {
        News::Granted { session, granted } => match granted {
            Granted::Key {
                dataset,
                object,
                runs,
            } => format!(
                "released  {dataset} for {runs} runs: object {}, session {}",
                object.short(),
                session.short(),
            ),
            Granted::Start { job, datasets } => format!(
                "started   job {} over {}, session {}",
                job.short(),
                listed(datasets),
                session.short(),
            ),
        },
        News::Kept { session, kept } => format!(
            "kept      {} of job {} for {} runs: object {}, session {}",
            kept.output,
            kept.job.short(),
            kept.runs,
            kept.object.short(),
            session.short(),
        ),
        News::Refused { session, error } => format!(
            "refused   session {}: {}",
            session.short(),
            printable(&chain(*error)),
        ),
        News::Trouble { host, error } => {
            format!("trouble   {host}: {}", printable(&chain(*error)))
        }
    }
}

/// Reads `SESSION:POLICY`.
fn session_and_policy(text: &str) -> Result<(Digest, Digest), String> {
    let expected = "expected two digests, SESSION:POLICY";
    let (session, policy) = text.split_once(':').ok_or(expected)?;
    let parsed = (session.parse(), policy.parse());
    match parsed {
        (Ok(session), Ok(policy)) => Ok((session, policy)),
        _ => Err(expected.to_owned()),
    }
}
