//! `mc2-host serve`: the untrusted half as a service of its own. A thin layer over the library.

#![forbid(unsafe_code)]

use std::{io::Write as _, process::ExitCode};

use clap::Command;
use mc2_host::{Address, Host, HostConfig, Settings, SettingsError, SimulatorPin, names};
use tokio::signal::unix::{SignalKind, signal};

const ABOUT: &str = "The untrusted half of MC²: stores sealed objects, starts runtimes, passes \
                     sealed messages on";
const SERVE: &str = "Serve clients until Ctrl-C or SIGTERM. With nothing stated: a simulated \
                     runtime, a folder of this user's and a port on loopback";

fn command() -> Command {
    let serve = Command::new("serve")
        .about(SERVE)
        .args(Settings::arguments());
    Command::new("mc2-host")
        .version(env!("CARGO_PKG_VERSION"))
        .about(ABOUT)
        .subcommand_required(true)
        .arg_required_else_help(true)
        .subcommand(serve)
}

fn main() -> ExitCode {
    names::without_libraries();
    serve()
}

#[tokio::main]
async fn serve() -> ExitCode {
    let arguments = command().get_matches();
    let settings = match arguments.subcommand() {
        Some((_, serve)) => Settings::read(serve, std::env::vars_os()),
        // clap asks for one.
        None => return ExitCode::FAILURE,
    };
    let filter = tracing_subscriber::EnvFilter::try_from_env("MC2_LOG")
        .unwrap_or_else(|_| tracing_subscriber::EnvFilter::new("info"));
    tracing_subscriber::fmt()
        .with_env_filter(filter)
        .with_writer(std::io::stderr)
        .init();
    match run(settings).await {
        Ok(()) => ExitCode::SUCCESS,
        Err(error) => {
            eprintln!("mc2-host: {error}");
            ExitCode::FAILURE
        }
    }
}

async fn run(settings: Result<Settings, SettingsError>) -> Result<(), Failure> {
    let settings = settings?;
    let simulated = settings.simulated()?;
    let config = HostConfig {
        simulator_pins: simulated
            .then(|| SimulatorPin::folder(|name| std::env::var_os(name)))
            .flatten(),
        ..settings.config()?
    };
    let scheme = match &config.tls {
        Some(_) => "https",
        None => "http",
    };
    prepare_process().map_err(Failure::Signals)?;
    let host = Host::start(config).await?;
    announce(&host, simulated, scheme).map_err(Failure::Output)?;
    let mut terminate = signal(SignalKind::terminate()).map_err(Failure::Signals)?;
    tokio::select! {
        ended = tokio::signal::ctrl_c() => ended.map_err(Failure::Signals)?,
        _ = terminate.recv() => {}
    }
    tracing::info!("ending");
    host.shutdown().await;
    Ok(())
}

/// Fits the process for many connections and a disk that may run full.
fn prepare_process() -> std::io::Result<()> {
    use rustix::process::{Resource, getrlimit, setrlimit};

    let mut files = getrlimit(Resource::Nofile);
    files.current = files.maximum;
    // With fewer it serves fewer.
    let _ = setrlimit(Resource::Nofile, files);
    // A file that may not grow further is an error of that write, not the end of the host.
    let _ = signal(SignalKind::from_raw(rustix::process::Signal::XFSZ.as_raw()))?;
    Ok(())
}

/// Says where the host is found.
fn announce(host: &Host, simulator: bool, scheme: &str) -> std::io::Result<()> {
    let list = |addresses: &[Address]| {
        addresses
            .iter()
            .map(Address::to_string)
            .collect::<Vec<_>>()
            .join(", ")
    };
    let mut out = std::io::stdout().lock();
    let warning = if simulator {
        ", NOT SECURE: the runtime is a simulator"
    } else {
        ""
    };
    write!(
        out,
        "mc2-host listens for clients on {}",
        list(host.client_addresses())
    )?;
    if !host.runtime_addresses().is_empty() {
        write!(out, ", for runtimes on {}", list(host.runtime_addresses()))?;
    }
    writeln!(out, "{warning}")?;
    if let Some(key) = host.simulator_key() {
        writeln!(out, "simulators' key (NOT SECURE): {}", hex::encode(key))?;
    }
    if let (true, Some(address)) = (simulator, host.client_addresses().first()) {
        let (url, curl) = reach(address, scheme);
        writeln!(out, "try: curl {curl}")?;
        writeln!(
            out,
            "try: mc2-run --host {url} --allow-simulated WORKLOAD.wasm --in NAME=FILE --out NAME=FILE"
        )?;
    }
    out.flush()
}

/// An address as `mc2-run` takes it, and what makes curl ask there.
fn reach(address: &Address, scheme: &str) -> (String, String) {
    match address {
        Address::Tcp(address) => {
            let url = format!("{scheme}://{address}");
            (url.clone(), format!("{url}/v1/health"))
        }
        Address::Unix(path) => {
            let path = path.display();
            (
                format!("unix:{path}"),
                format!("--unix-socket {path} http://host/v1/health"),
            )
        }
        other => (other.to_string(), other.to_string()),
    }
}

/// Why the program ends with an error.
#[derive(Debug, thiserror::Error)]
enum Failure {
    #[error(transparent)]
    Host(#[from] mc2_host::HostError),
    #[error(transparent)]
    Settings(#[from] SettingsError),
    #[error("cannot wait for signals: {0}")]
    Signals(std::io::Error),
    #[error("cannot write to standard output: {0}")]
    Output(std::io::Error),
}
