//! `mc2-host serve`: the untrusted half as a service of its own. A thin layer over the library.

#![forbid(unsafe_code)]

use std::{io::Write as _, net::SocketAddr, path::PathBuf, process::ExitCode};

use clap::{Args, Parser, Subcommand, ValueEnum};
use mc2_host::{Address, Host, HostConfig, Launcher, Link, SimulatorPin, Spawn, Tls};
use rustls::pki_types::{CertificateDer, PrivateKeyDer, pem::PemObject};
use tokio::signal::unix::{SignalKind, signal};

/// The untrusted half of MC2: stores sealed objects, starts runtimes, passes sealed messages on.
#[derive(Parser)]
#[command(name = "mc2-host", version)]
struct Arguments {
    #[command(subcommand)]
    command: Command,
}

#[derive(Subcommand)]
enum Command {
    /// Serve clients until Ctrl-C or SIGTERM.
    Serve(Serve),
}

#[derive(Args)]
struct Serve {
    /// Where all state is kept: sealed objects, job records. Made if it is missing.
    #[arg(long)]
    folder: PathBuf,
    /// Where clients connect: IP:PORT, tcp:IP:PORT or unix:PATH; may be repeated.
    #[arg(long, default_value = "127.0.0.1:8440", value_parser = parse_listen)]
    listen: Vec<Address>,
    /// The mc2-runtime to start, one process a policy. Default: the one beside this program.
    #[arg(long, conflicts_with = "runtime_listen")]
    runtime: Option<PathBuf>,
    /// Start no runtimes but wait for them here: unix:PATH, tcp:IP:PORT or vsock:CID:PORT; may be
    /// repeated.
    #[arg(long)]
    runtime_listen: Vec<Address>,
    /// Which engine profile runtimes use.
    #[arg(long, value_enum, default_value_t = Profile::Vm)]
    engine_profile: Profile,
    /// How runtimes reach this host.
    #[arg(long, value_enum, default_value_t = RuntimeLink::Unix)]
    runtime_link: RuntimeLink,
    /// Most runtime processes, and so policies, at once.
    #[arg(long, default_value_t = 16)]
    max_runtimes: usize,
    /// Most connections of clients at once.
    #[arg(long, default_value_t = 1024)]
    max_connections: usize,
    /// NOT SECURE: start mc2-runtime-sim, whose evidence is simulated, and print the key that all of
    /// them share.
    #[arg(long, conflicts_with = "runtime_listen")]
    simulator: bool,
    /// PEM file with the certificate chain for TCP addresses.
    #[arg(long, requires = "tls_key")]
    tls_cert: Option<PathBuf>,
    /// PEM file with the certificate's private key.
    #[arg(long, requires = "tls_cert")]
    tls_key: Option<PathBuf>,
}

#[derive(Clone, Copy, ValueEnum)]
enum Profile {
    Vm,
    Sgx,
}

#[derive(Clone, Copy, ValueEnum)]
enum RuntimeLink {
    Unix,
    Loopback,
}

#[tokio::main]
async fn main() -> ExitCode {
    let Arguments {
        command: Command::Serve(serve),
    } = Arguments::parse();
    let filter = tracing_subscriber::EnvFilter::try_from_env("MC2_LOG")
        .unwrap_or_else(|_| tracing_subscriber::EnvFilter::new("info"));
    tracing_subscriber::fmt()
        .with_env_filter(filter)
        .with_writer(std::io::stderr)
        .init();
    match run(serve).await {
        Ok(()) => ExitCode::SUCCESS,
        Err(error) => {
            eprintln!("mc2-host: {error}");
            ExitCode::FAILURE
        }
    }
}

async fn run(serve: Serve) -> Result<(), Failure> {
    let simulator = serve.simulator;
    prepare_process().map_err(Failure::Signals)?;
    let host = Host::start(config(serve)?).await?;
    announce(&host, simulator).map_err(Failure::Output)?;
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

fn config(serve: Serve) -> Result<HostConfig, Failure> {
    let tls = match (serve.tls_cert, serve.tls_key) {
        (Some(chain), Some(key)) => Some(read_tls(chain, key)?),
        _ => None,
    };
    let launcher = if serve.runtime_listen.is_empty() {
        let name = if serve.simulator {
            "mc2-runtime-sim"
        } else {
            "mc2-runtime"
        };
        let binary = match serve.runtime {
            Some(binary) => binary,
            None => std::env::current_exe()
                .map_err(Failure::OwnFolder)?
                .with_file_name(name),
        };
        let profile = match serve.engine_profile {
            Profile::Vm => "vm",
            Profile::Sgx => "sgx",
        };
        let spawn = if serve.simulator {
            Spawn::simulator(binary, profile)
        } else {
            Spawn::runtime(binary, profile)
        };
        let link = match serve.runtime_link {
            RuntimeLink::Unix => Link::Unix,
            RuntimeLink::Loopback => Link::Loopback,
        };
        Launcher::Spawn(Spawn { link, ..spawn })
    } else {
        Launcher::Connect
    };
    Ok(HostConfig {
        client_listen: serve.listen,
        runtime_listen: serve.runtime_listen,
        max_runtimes: serve.max_runtimes,
        max_connections: serve.max_connections,
        tls,
        simulator_pins: serve
            .simulator
            .then(|| SimulatorPin::folder(|name| std::env::var_os(name)))
            .flatten(),
        ..HostConfig::new(serve.folder, launcher)
    })
}

/// Says where the host is found.
fn announce(host: &Host, simulator: bool) -> std::io::Result<()> {
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
    out.flush()
}

fn read_tls(chain: PathBuf, key: PathBuf) -> Result<Tls, Failure> {
    let certificates = CertificateDer::pem_file_iter(&chain)
        .and_then(Iterator::collect)
        .map_err(|source| Failure::Pem {
            path: chain,
            source,
        })?;
    let key =
        PrivateKeyDer::from_pem_file(&key).map_err(|source| Failure::Pem { path: key, source })?;
    Ok(Tls {
        chain: certificates,
        key,
    })
}

fn parse_listen(text: &str) -> Result<Address, String> {
    if let Ok(address) = text.parse::<SocketAddr>() {
        return Ok(Address::Tcp(address));
    }
    text.parse().map_err(|error| format!("{error}, or IP:PORT"))
}

/// Why the program ends with an error.
#[derive(Debug, thiserror::Error)]
enum Failure {
    #[error(transparent)]
    Host(#[from] mc2_host::HostError),
    #[error("cannot read {}: {source}", path.display())]
    Pem {
        path: PathBuf,
        source: rustls::pki_types::pem::Error,
    },
    #[error("cannot wait for signals: {0}")]
    Signals(std::io::Error),
    #[error("cannot find this program's own folder: {0}; state --runtime PATH")]
    OwnFolder(std::io::Error),
    #[error("cannot write to standard output: {0}")]
    Output(std::io::Error),
}
