//! `mc2-run`: one component over one's own data in an attested runtime.

use std::{
    fs,
    io::{self, Seek as _, Write as _},
    path::{Path, PathBuf},
    process::ExitCode,
    time::Duration,
};

use clap::Parser;
use mc2_client::{
    bare::{self, BareError, BareEvent, BareOptions, BareStdin, BareStdout},
    cli::{self, Progress, collateral::CollateralArgs},
    exit::Exit,
    files::Staged,
    http::HostAddress,
    run::{Plan, Report, RunError, RunEvent, RunOptions, StdinFrom, Stop},
    state::State,
    terminal, verify,
    workload::WorkloadError,
};
use mc2_host::names;
use mc2_protocol::{
    Digest, Name,
    policy::{self, Size, Tee},
};
use mc2_sandbox::Failure;
use serde_json::{Value, json};

/// Runs a WebAssembly component over sealed data in an attested runtime.
///
/// The inputs are sealed, the runtime is started (or reached with --host), its evidence is checked
/// against the digest of exactly this component, the keys are released to it, and the result is
/// opened once its receipt verifies.
#[derive(Parser)]
#[command(name = "mc2-run", version, after_long_help = Exit::help(), after_help = "--help lists the exit codes.")]
struct Cli {
    /// The component, a .wasm file for wasm32-wasip2
    workload: PathBuf,
    /// An input: /in/NAME is this file or folder; repeatable
    #[arg(long = "in", value_name = "NAME=PATH", value_parser = cli::name_and_path)]
    inputs: Vec<(String, PathBuf)>,
    /// An output: /out/NAME goes to this file, or folder where PATH ends in /; repeatable
    #[arg(long = "out", value_name = "NAME=PATH", value_parser = cli::name_and_path)]
    outputs: Vec<(String, PathBuf)>,
    /// Standard input: a file, or - for this command's own; sealed as the dataset stdin
    #[arg(long, value_name = "FILE|-")]
    stdin: Option<PathBuf>,
    /// Write the component's standard output to a file
    #[arg(long, value_name = "FILE", conflicts_with = "json")]
    stdout: Option<PathBuf>,
    /// The policy; one for yourself alone is written where none is given
    #[arg(long, value_name = "FILE")]
    policy: Option<PathBuf>,
    /// The policy's digest, for scripts: whoever states it knows the policy and every card in it
    #[arg(long, value_name = "DIGEST")]
    policy_digest: Option<Digest>,
    /// Join this session of a policy of several parties on the host, rather than open one
    #[arg(long, value_name = "DIGEST", requires = "host", requires = "policy")]
    session: Option<Digest>,
    /// The version of another party's dataset to read, where it is not the one whose key came to the
    /// session; repeatable
    #[arg(long = "data", value_name = "DATASET=OBJECT", value_parser = cli::version, requires = "policy")]
    versions: Vec<(Name, Digest)>,
    /// The job of the policy, where it has several
    #[arg(long, value_name = "NAME")]
    job: Option<String>,
    /// Your identity, by name or file; the default one is made when first needed
    #[arg(long = "as", value_name = "IDENTITY")]
    identity: Option<String>,
    /// How many instances of the component run together, with streams between them; auto is one for
    /// each core of this machine
    #[arg(long, value_name = "N", value_parser = cli::instances)]
    instances: Option<u32>,
    /// The most memory, such as 2GiB, over all instances; 3GiB where nothing is said
    #[arg(long, value_name = "SIZE")]
    memory: Option<Size>,
    /// The longest the component may run, such as 60s; an hour where nothing is said
    #[arg(long, value_name = "TIME")]
    timeout: Option<policy::Duration>,
    /// How long the run's end is waited for; its time limit and 15 minutes where nothing is said
    #[arg(long, value_name = "TIME")]
    wait: Option<policy::Duration>,
    /// The host, https://NAME:PORT, http://NAME:PORT or unix:PATH; one is started where none is given
    #[arg(long, value_name = "URL")]
    host: Option<HostAddress>,
    /// The certificate authorities of the host, a PEM file, rather than this system's
    #[arg(long, value_name = "FILE")]
    host_ca: Option<PathBuf>,
    /// The kind of enclave to accept from --host where there is no policy
    #[arg(long, value_name = "KIND")]
    tee: Option<Tee>,
    /// Accept a simulated enclave from --host. NOT SECURE
    #[arg(long)]
    allow_simulated: bool,
    #[command(flatten)]
    collateral: CollateralArgs,
    /// How the engine of the started runtime is configured: vm or sgx
    #[arg(long, value_name = "PROFILE")]
    engine_profile: Option<String>,
    /// The runtime to start [default: mc2-runtime-sim beside this command]
    #[arg(long, value_name = "PATH")]
    runtime: Option<PathBuf>,
    /// Also write the receipt to a file
    #[arg(long, value_name = "FILE", conflicts_with = "bare")]
    receipt: Option<PathBuf>,
    /// Also keep the receipt and the sealed outputs in a folder that `mc2 open` opens
    #[arg(long, value_name = "FOLDER", conflicts_with = "bare")]
    keep_sealed: Option<PathBuf>,
    /// Write one JSON object to standard output, the component's standard output in it
    #[arg(long)]
    json: bool,
    /// Show every check and each phase's time
    #[arg(long, short)]
    verbose: bool,
    /// Show no notices and no progress
    #[arg(long, short, conflicts_with = "verbose")]
    quiet: bool,
    /// Run over plain files: no enclave, nothing sealed, nothing attested
    #[arg(long, conflicts_with_all = ["policy", "policy_digest", "job", "identity", "host", "host_ca", "tee",
        "allow_simulated", "engine_profile", "runtime", "file", "max_age_days"])]
    bare: bool,
    /// The component's own arguments
    #[arg(last = true, value_name = "ARGS")]
    arguments: Vec<String>,
}

fn main() -> ExitCode {
    names::without_libraries();
    let cli: Cli = match cli::parse() {
        Ok(cli) => cli,
        Err(code) => return code,
    };
    cli::log();
    let runtime = tokio::runtime::Builder::new_multi_thread()
        .worker_threads(2)
        .enable_all()
        .build();
    let runtime = match runtime {
        Ok(runtime) => runtime,
        Err(error) => return complain(&cli, Exit::Failed, &format!("cannot start: {error}")),
    };
    let code = runtime.block_on(async {
        if cli.bare {
            run_bare(&cli).await
        } else {
            run(&cli).await
        }
    });
    // A thread that still reads standard input is not waited for.
    runtime.shutdown_background();
    code
}

async fn run(cli: &Cli) -> ExitCode {
    let progress = Progress::new(cli.quiet, cli.verbose);
    let result = async {
        let stop = Stop::listen().map_err(|_| RunError::Stopped(Exit::Failed))?;
        if let Some(path) = &cli.receipt {
            // Before anything runs, not after an hour.
            drop(Staged::create(path, 0o666).map_err(RunError::Write)?);
        }
        let plan = Plan::new(options(cli))?;
        plan.run(&progress.observer(), &stop).await
    };
    let result = result.await;
    progress.clear();
    let mut report = match result {
        Ok(report) => report,
        Err(error) => return complain(cli, error.exit(), &cli::chain(&error)),
    };
    if let Err(error) = copy_receipt(cli, &mut report) {
        return complain(cli, Exit::CannotWrite, &error);
    }
    if cli.verbose {
        eprintln!("as of now: {}", verify::ACCEPTED);
        eprintln!("{}", verify::NO_DATE);
        eprintln!("receipt kept in {}", report.receipt.display());
    }
    match show(cli, &mut report) {
        Ok(()) => report.exit().into(),
        Err(error) => complain(
            cli,
            Exit::CannotWrite,
            &format!("cannot write the result: {error}"),
        ),
    }
}

fn options(cli: &Cli) -> RunOptions {
    RunOptions {
        workload: cli.workload.clone(),
        inputs: cli.inputs.clone(),
        outputs: cli.outputs.clone(),
        stdin: cli.stdin.as_ref().map(|path| {
            if path.as_os_str() == "-" {
                StdinFrom::Inherit
            } else {
                StdinFrom::File(path.clone())
            }
        }),
        stdout: cli.stdout.clone(),
        keep_sealed: cli.keep_sealed.clone(),
        policy: cli.policy.clone(),
        policy_digest: cli.policy_digest,
        session: cli.session,
        versions: cli.versions.clone(),
        job: cli.job.clone(),
        identity: cli.identity.clone(),
        instances: cli.instances,
        memory: cli.memory,
        timeout: cli.timeout,
        wait: cli.wait,
        host: cli.host.clone(),
        host_ca: cli.host_ca.clone(),
        tee: cli.tee,
        allow_simulated: cli.allow_simulated,
        collateral: (&cli.collateral).into(),
        engine_profile: cli.engine_profile.clone(),
        runtime: cli.runtime.clone(),
        arguments: cli.arguments.clone(),
    }
}

fn copy_receipt(cli: &Cli, report: &mut Report) -> Result<(), String> {
    let Some(path) = &cli.receipt else {
        return Ok(());
    };
    let noted = State::locate().and_then(|state| state.store_place(path, &report.job));
    let copied = noted
        .map_err(|error| cli::chain(&error))
        .and_then(|()| fs::read(&report.receipt).map_err(|error| error.to_string()))
        .and_then(|bytes| {
            let mut staged = Staged::create(path, 0o666).map_err(|error| cli::chain(&error))?;
            staged
                .write_all(&bytes)
                .map_err(|error| error.to_string())?;
            staged.publish().map_err(|error| cli::chain(&error))
        });
    copied.map_err(|error| format!("cannot write the receipt to {}: {error}", path.display()))?;
    report.receipt = path.clone();
    Ok(())
}

fn show(cli: &Cli, report: &mut Report) -> io::Result<()> {
    if cli.json {
        print_json(&report.to_json()?)?;
    } else {
        report.stdout.rewind()?;
        terminal::to_stdout(&mut report.stdout)?;
        terminal::to_stderr(&report.stderr)?;
    }
    let failure = if cli.json {
        report.failure()
    } else {
        report.failure_below_stderr()
    };
    if let Some(failure) = failure {
        eprintln!("{}: {failure}", cli::program());
    }
    Ok(())
}

/// Says what went wrong, and in JSON where that was asked for.
fn complain(cli: &Cli, exit: Exit, message: &str) -> ExitCode {
    // A file's name may hold anything.
    eprintln!("{}: {}", cli::program(), terminal::shown(message));
    if cli.json {
        // The exit code still says it.
        let _ = print_json(&cli::error_json(exit, message));
    }
    exit.into()
}

fn print_json(value: &Value) -> io::Result<()> {
    let mut stdout = io::stdout().lock();
    serde_json::to_writer(&mut stdout, value)?;
    stdout.write_all(b"\n")?;
    stdout.flush()
}

async fn run_bare(cli: &Cli) -> ExitCode {
    let quiet = cli.quiet;
    if !quiet {
        eprintln!("NOT SECURE: --bare runs with no enclave and nothing sealed");
    }
    let stop = match Stop::listen() {
        Ok(stop) => stop,
        Err(error) => return complain(cli, Exit::Failed, &error.to_string()),
    };
    let progress = Progress::new(quiet, cli.verbose);
    let observer = progress.observer();
    let (inputs, stdin) = match bare_inputs(cli) {
        Ok(inputs) => inputs,
        Err(message) => return complain(cli, Exit::BadInput, &message),
    };
    let captured = |shown| if cli.json { BareStdout::Capture } else { shown };
    let options = BareOptions {
        inputs,
        outputs: cli.outputs.iter().map(bare_output).collect(),
        arguments: cli.arguments.clone(),
        instances: cli.instances.unwrap_or(1),
        stdin,
        stdout: captured(
            cli.stdout
                .clone()
                .map_or(BareStdout::Inherit, BareStdout::File),
        ),
        stderr: captured(BareStdout::Inherit),
        memory: cli.memory.map_or(3 << 30, Size::bytes),
        timeout: cli
            .timeout
            .map(|timeout| Duration::from_millis(timeout.millis())),
        cache: bare::default_cache(),
        events: Box::new(move |event| {
            if let BareEvent::Progress(text) = event {
                observer(RunEvent::Progress(text));
            }
        }),
        ..BareOptions::new(&cli.workload)
    };
    let result = tokio::select! {
        result = bare::run_bare(options) => result,
        exit = stop.asked() => return complain(cli, exit, exit.meaning()),
    };
    progress.clear();
    let outcome = match result {
        Ok(outcome) => outcome,
        Err(error) => return complain(cli, bare_exit(&error), &cli::chain(&error)),
    };
    let reason = outcome.result.as_ref().err().map(Failure::kind);
    let exit = reason.map_or(Exit::Success, Exit::of_reason);
    if cli.verbose {
        eprintln!(
            "compile  {:>10.1} ms",
            outcome.compile_time.as_secs_f64() * 1e3
        );
        eprintln!("run      {:>10.1} ms", outcome.run_time.as_secs_f64() * 1e3);
    }
    if cli.json {
        let report = json!({
            "version": 1,
            "status": if reason.is_none() { "succeeded" } else { "failed" },
            "reason": reason,
            "bare": true,
            "message": outcome.error,
            "exit_code": exit.code(),
            "stdout": String::from_utf8_lossy(&outcome.stdout),
            "stderr": String::from_utf8_lossy(&outcome.stderr),
            "memory_peak": outcome.peak_memory,
            "phases_ms": {
                "compile": outcome.compile_time.as_millis() as u64,
                "run": outcome.run_time.as_millis() as u64,
            },
        });
        if print_json(&report).is_err() {
            return Exit::CannotWrite.into();
        }
    }
    if let Err(failure) = &outcome.result {
        // What it says of its failure went to standard error as it ran.
        eprintln!(
            "{}: {}",
            cli::program(),
            verify::failure::told_of(failure.kind(), output_of(failure).as_ref(), "")
        );
        // Nobody else is told what a guest says or does here.
        if matches!(failure, Failure::Trap(_) | Failure::UndeclaredOutput(_)) {
            eprintln!("{}: {failure}", cli::program());
        }
    }
    exit.into()
}

/// The output that was left out or left twice.
fn output_of(failure: &Failure) -> Option<Name> {
    match failure {
        Failure::MissingOutput(name) | Failure::RepeatedOutput(name) => name.parse().ok(),
        _ => None,
    }
}

/// Named inputs, where two of one name are a mistake, and standard input.
fn bare_inputs(cli: &Cli) -> Result<(Vec<(String, PathBuf)>, BareStdin), String> {
    let mut inputs = cli.inputs.clone();
    let stdin = match &cli.stdin {
        Some(path) if path == Path::new("-") => BareStdin::Inherit,
        Some(path) => {
            inputs.push(("stdin".to_owned(), path.clone()));
            BareStdin::Empty
        }
        None => BareStdin::Empty,
    };
    for (at, (name, path)) in inputs.iter().enumerate() {
        if inputs[..at].iter().any(|(other, _)| other == name) {
            return Err(format!(
                "--in: the name {name:?} is given twice; every input needs its own"
            ));
        }
        fs::metadata(path)
            .map_err(|error| format!("--in {name}: cannot read {}: {error}", path.display()))?;
    }
    Ok((inputs, stdin))
}

fn bare_output((name, path): &(String, PathBuf)) -> (String, PathBuf) {
    let folder = path.as_os_str().as_encoded_bytes().ends_with(b"/") && !name.ends_with('/');
    let name = if folder {
        format!("{name}/")
    } else {
        name.clone()
    };
    (name, path.clone())
}

fn bare_exit(error: &BareError) -> Exit {
    match error {
        BareError::Invalid(_) | BareError::Input { .. } => Exit::BadInput,
        BareError::Workload(WorkloadError::Missing { .. } | WorkloadError::File(_)) => {
            Exit::BadInput
        }
        BareError::Workload(_) | BareError::Refused { .. } => Exit::BadWorkload,
        BareError::File(_) => Exit::CannotWrite,
        BareError::Engine(_) => Exit::Failed,
    }
}
