//! `mc2`: identities, sealing and opening by hand, looking at things, verifying receipts, and what
//! a party does in a session of several.

use std::{
    fs,
    io::{self, Write as _},
    path::{Path, PathBuf},
    process::ExitCode,
    time::SystemTime,
};

use clap::{Parser, Subcommand};
use mc2_client::{
    cli::{
        self,
        appraise::AppraiseCommand,
        broker::BrokerCommand,
        collateral::{CollateralArgs, CollateralCommand},
        identity::IdentityCommand,
        ledger::LedgerCommand,
        party::PartyCommand,
        policy::PolicyCommand,
        prune::PruneCommand,
        trust::TrustCommand,
        verbs::VerbCommand,
    },
    exit::Exit,
    inspect,
    new::{self, SdkSource},
    results::{self, DateChoice, PolicyChoice, VerifyOptions},
    state::{DEFAULT_IDENTITY, State},
    terminal,
};
use mc2_host::names;
use mc2_protocol::{Digest, Identity, Name, PartyName, documents::receipt::Status};
use serde_json::json;

/// Seals data for attested runtimes, opens and verifies what comes back.
#[derive(Parser)]
#[command(name = "mc2", version, after_long_help = Exit::help())]
struct Cli {
    #[command(subcommand)]
    command: Command,
}

#[derive(Subcommand)]
enum Command {
    /// Make an identity and its card
    Keygen {
        /// Its name: a-z 0-9 -
        #[arg(default_value = DEFAULT_IDENTITY)]
        name: PartyName,
        /// Write one JSON object to standard output
        #[arg(long)]
        json: bool,
    },
    /// Seal a file or folder as a version of a dataset
    Seal {
        /// The file or folder
        path: PathBuf,
        /// The dataset's name
        #[arg(long, value_name = "DATASET")]
        name: Name,
        /// The owner: an identity by name or file
        #[arg(long = "as", value_name = "IDENTITY")]
        identity: Option<String>,
        /// Where to put the sealed folder DATASET.sealed
        #[arg(short, long, value_name = "FOLDER", default_value = ".")]
        output: PathBuf,
        /// Write one JSON object to standard output
        #[arg(long)]
        json: bool,
    },
    /// Open an own sealed object, or the result of a job once its receipt verifies
    Open {
        /// The sealed object's folder, or a folder with receipt.json and NAME.sealed folders
        path: PathBuf,
        /// Where to: a file or folder for an object, a folder for a result
        #[arg(short, long, value_name = "PATH")]
        output: PathBuf,
        /// Who opens: an identity by name or file
        #[arg(long = "as", value_name = "IDENTITY")]
        identity: Option<String>,
        #[command(flatten)]
        verify: VerifyArgs,
        /// Write one JSON object to standard output
        #[arg(long)]
        json: bool,
    },
    /// Say what a component, sealed object, policy, evidence, receipt, card or job is
    Inspect {
        /// The file or folder
        path: PathBuf,
        /// Write one JSON object to standard output
        #[arg(long)]
        json: bool,
    },
    /// Follow a receipt back to its evidence, offline
    Verify {
        /// The receipt, or a result's folder
        receipt: PathBuf,
        #[command(flatten)]
        verify: VerifyArgs,
        #[command(flatten)]
        date: DateArgs,
        /// Write one JSON object to standard output
        #[arg(long)]
        json: bool,
    },
    /// Vouch that a receipt verifies today, so that it can be verified as of today once what its
    /// evidence is judged by has expired
    Vouch {
        /// The receipt, or a result's folder
        receipt: PathBuf,
        /// Who vouches: an identity by name or file, which the policy asks to approve the job
        #[arg(long = "as", value_name = "IDENTITY")]
        identity: Option<String>,
        /// The file to write
        #[arg(short, long, value_name = "FILE")]
        output: PathBuf,
        #[command(flatten)]
        verify: VerifyArgs,
        /// Write one JSON object to standard output
        #[arg(long)]
        json: bool,
    },
    /// Judge evidence from anywhere by itself, offline
    Appraise(AppraiseCommand),
    /// Fetch what vendors say of their enclaves, which evidence is judged by
    Collateral {
        #[command(subcommand)]
        command: CollateralCommand,
    },
    /// Say whose cards are known: add one, list them, remove one
    Party {
        #[command(subcommand)]
        command: PartyCommand,
    },
    /// Keep a broker, which releases keys while their owner is away
    Broker {
        #[command(subcommand)]
        command: BrokerCommand,
        /// Write one JSON object to standard output, or one a line where there are several
        #[arg(long, global = true)]
        json: bool,
    },
    /// Look at the ledger of key releases
    Ledger {
        #[command(subcommand)]
        command: LedgerCommand,
    },
    /// Show your identities, carry one elsewhere under a passphrase, or replace one
    Identity {
        #[command(subcommand)]
        command: IdentityCommand,
    },
    /// Say what a policy means, or write one
    Policy {
        #[command(subcommand)]
        command: PolicyCommand,
    },
    /// Say which runtimes are trusted: list them, add one, take a newer list, remove one
    Trust {
        #[command(subcommand)]
        command: TrustCommand,
    },
    /// Remove receipts and submissions of jobs that are over, once they are so old
    Prune(PruneCommand),
    #[command(flatten)]
    Verb(VerbCommand),
    /// Start a new workload
    New {
        /// Its name
        name: String,
        /// The folder guest-sdk of a checkout, rather than the copy in this program
        #[arg(long, value_name = "PATH")]
        sdk: Option<PathBuf>,
        /// Write one JSON object to standard output
        #[arg(long)]
        json: bool,
    },
}

#[derive(clap::Args)]
struct VerifyArgs {
    /// The policy that was agreed, or `any`; where it is not given, the one the job was submitted
    /// under from here
    #[arg(long, value_name = "FILE|any")]
    policy: Option<PolicyChoice>,
    /// The job it must be of, where it lies elsewhere than `mc2-run` put it
    #[arg(long, value_name = "DIGEST")]
    job: Option<Digest>,
    /// A component the policy names, measured here; once for each, in the policy's order
    #[arg(long, value_name = "FILE")]
    component: Vec<PathBuf>,
    /// Accept a simulated enclave that mc2-run started here. NOT SECURE
    #[arg(long)]
    allow_simulated: bool,
    #[command(flatten)]
    collateral: CollateralArgs,
}

/// Whose word is taken for when a receipt was there; of one it is followed as of then, too.
#[derive(clap::Args)]
struct DateArgs {
    /// The file that `mc2 vouch` wrote for one whom the policy asks to approve the job
    #[arg(long, value_name = "FILE", conflicts_with = "timestamp")]
    vouch: Option<PathBuf>,
    /// A timestamp token over the receipt's file (RFC 3161), or an authority's response with one
    #[arg(long, value_name = "FILE", requires = "timestamp_root")]
    timestamp: Option<PathBuf>,
    /// The certificates of the roots you believe about time, a PEM file
    #[arg(long, value_name = "FILE", requires = "timestamp")]
    timestamp_root: Option<PathBuf>,
}

/// What to say and how to end when it did not work.
struct Failed {
    exit: Exit,
    message: String,
    /// Whether standard output has the one object already, where one is wanted.
    told: bool,
}

impl Failed {
    const fn new(exit: Exit, message: String) -> Self {
        Self {
            exit,
            message,
            told: false,
        }
    }

    /// Says it, and ends so.
    fn end(self) -> ExitCode {
        let message = self.message;
        // A file's name may hold anything.
        eprintln!("{}: {}", cli::program(), terminal::shown(&message));
        if cli::wants_json() && !self.told {
            // The exit code still says it.
            let _ = say(&format!("{}\n", cli::error_json(self.exit, &message)));
        }
        self.exit.into()
    }
}

type Outcome = Result<(), Failed>;

fn main() -> ExitCode {
    names::without_libraries();
    let cli: Cli = match cli::parse() {
        Ok(cli) => cli,
        Err(code) => return code,
    };
    let outcome = match cli.command {
        Command::Keygen { name, json } => keygen(name, json),
        Command::Seal {
            path,
            name,
            identity,
            output,
            json,
        } => seal(&path, &name, identity.as_deref(), &output, json),
        Command::Open {
            path,
            output,
            identity,
            verify,
            json,
        } => open(&path, &output, identity.as_deref(), &verify, json),
        Command::Inspect { path, json } => inspect(&path, json),
        Command::Verify {
            receipt,
            verify,
            date,
            json,
        } => check(&receipt, &verify, date, json),
        Command::Vouch {
            receipt,
            identity,
            output,
            verify,
            json,
        } => vouch(&receipt, identity.as_deref(), &output, &verify, json),
        Command::Appraise(command) => appraise(command),
        Command::Collateral { command } => collateral(&command),
        Command::Party { command } => party(&command),
        Command::Broker { command, json } => broker(command, json),
        Command::Ledger { command } => ledger(&command),
        Command::Identity { command } => identity(&command),
        Command::Prune(command) => prune(&command),
        Command::Policy { command } => policy(&command),
        Command::Trust { command } => trust(&command),
        Command::Verb(verb) => return act(verb),
        Command::New { name, sdk, json } => create(&name, sdk, json),
    };
    match outcome {
        Ok(()) => Exit::Success.into(),
        Err(failed) => failed.end(),
    }
}

/// Does what a party of a session does, and ends as that says.
fn act(verb: VerbCommand) -> ExitCode {
    let json = verb.json();
    let told = state().and_then(|state| {
        let told = block_on(verb.run(state))?;
        told.map_err(|error| Failed::new(error.exit(), cli::chain(&error)))
    });
    let said = told.and_then(|told| {
        let text = if json {
            format!("{}\n", told.json)
        } else {
            // A host's name, or a file's, may hold anything.
            terminal::shown(&told.text)
        };
        say(&text).map(|()| told.exit)
    });
    match said {
        Ok(exit) => exit.into(),
        Err(failed) => failed.end(),
    }
}

fn keygen(name: PartyName, json: bool) -> Outcome {
    let state = state()?;
    let (identity, path) = state
        .make_identity(name)
        .map_err(|error| Failed::new(error.exit(), cli::chain(&error)))?;
    let card = identity.card();
    let file = state.card_path(card.name().as_str());
    if json {
        let fields = json!({
            "identity": path,
            "card": file,
            "name": card.name(),
            "digest": card.digest(),
            "fingerprint": card.fingerprint(),
        });
        return say(&cli::object("made", Exit::Success, fields));
    }
    say(&format!(
        "identity     {}\ncard         {}\nfingerprint  {}\n",
        path.display(),
        file.display(),
        card.fingerprint()
    ))
}

fn seal(path: &Path, name: &Name, identity: Option<&str>, output: &Path, json: bool) -> Outcome {
    let sealed = results::seal(&state()?, path, name, identity, output).map_err(failed)?;
    if json {
        let fields = json!({ "object": sealed.object, "dataset": name, "folder": sealed.folder });
        return say(&cli::object("sealed", Exit::Success, fields));
    }
    say(&format!(
        "object  {}\nfolder  {}\n",
        sealed.object,
        sealed.folder.display()
    ))
}

fn open(
    path: &Path,
    output: &Path,
    identity: Option<&str>,
    verify: &VerifyArgs,
    json: bool,
) -> Outcome {
    let (state, options) = (state()?, verify.options());
    let opened = results::open(&state, path, output, identity, &options);
    let opened = block_on(opened)?.map_err(failed)?;
    for line in &opened.lines {
        eprintln!("{line}");
    }
    if json {
        let exit = Exit::of_job(&opened.status);
        let fields = json!({ "paths": opened.paths, "result": results::in_words(&opened.status) });
        say(&cli::object("opened", exit, fields))?;
        return told(succeeded(&opened.status));
    }
    for path in opened.paths {
        say(&format!("{}\n", path.display()))?;
    }
    succeeded(&opened.status)
}

fn inspect(path: &Path, json: bool) -> Outcome {
    let found =
        inspect::inspect(path).map_err(|error| Failed::new(Exit::BadInput, cli::chain(&error)))?;
    if json {
        return say(&cli::object("inspected", Exit::Success, found.fields));
    }
    say(&found.text)
}

fn check(receipt: &Path, verify: &VerifyArgs, date: DateArgs, json: bool) -> Outcome {
    let (options, date) = (verify.options(), date.choice());
    let checked = results::verify_file(&state()?, receipt, &options, date.as_ref());
    let checked = checked.map_err(failed)?;
    let mut object = checked.to_json();
    if !json {
        say(&checked.to_text())?;
    }
    let outcome = checked.accept().map_err(failed);
    let outcome = outcome.and_then(|verified| succeeded(&verified.receipt.status));
    if !json {
        return outcome;
    }
    let exit = outcome
        .as_ref()
        .map_or_else(|failed| failed.exit, |()| Exit::Success);
    object["exit_code"] = exit.code().into();
    say(&format!("{object}\n"))?;
    told(outcome)
}

fn vouch(
    receipt: &Path,
    identity: Option<&str>,
    output: &Path,
    verify: &VerifyArgs,
    json: bool,
) -> Outcome {
    let (state, approver) = (state()?, signer(identity)?);
    let time = results::vouch_for(&state, receipt, &approver, &verify.options(), output);
    let time = time.map_err(failed)?;
    let by = approver.card().name();
    if json {
        let fields = json!({ "file": output, "by": by, "time": time.0 });
        return say(&cli::object("vouched", Exit::Success, fields));
    }
    say(&format!(
        "vouched  {by}, that it verifies at {time}\nfile     {}\n",
        output.display()
    ))
}

/// What became of something whose one object was written.
fn told(outcome: Outcome) -> Outcome {
    outcome.map_err(|failed| Failed {
        told: true,
        ..failed
    })
}

/// A receipt that verifies says of a job that failed that it failed.
fn succeeded(status: &Status) -> Outcome {
    match Exit::of_job(status) {
        Exit::Success => Ok(()),
        exit => Err(Failed::new(exit, results::in_words(status))),
    }
}

fn appraise(command: AppraiseCommand) -> Outcome {
    let json = command.json;
    let ear = command.ear.clone();
    // Whoever is to sign it is looked for first.
    let signer = match &ear {
        Some(_) => Some(signer(command.identity.as_deref())?),
        None => None,
    };
    let answer = command
        .run()
        .map_err(|error| Failed::new(Exit::BadInput, cli::chain(&error)))?;
    if let (Some(path), Some(signer)) = (&ear, &signer) {
        let claims = answer.claims();
        let result = answer.to_ear(claims.as_ref(), SystemTime::now());
        let written = result.write(signer, path);
        written.map_err(|error| Failed::new(Exit::CannotWrite, cli::chain(&error)))?;
    }
    if json {
        say(&format!("{}\n", answer.to_json()))?;
    } else {
        say(&terminal::shown(&answer.to_text()))?;
    }
    match answer.exit() {
        Exit::Success => Ok(()),
        exit => Err(Failed {
            exit,
            message: "the evidence did not pass every check".to_owned(),
            told: true,
        }),
    }
}

/// The identity of this name, or this user's own.
fn signer(name: Option<&str>) -> Result<Identity, Failed> {
    let state = state()?;
    let identity = match name {
        Some(name) => state.identity(name),
        None => state.default_identity(),
    };
    identity.map_err(|error| Failed::new(error.exit(), cli::chain(&error)))
}

fn collateral(command: &CollateralCommand) -> Outcome {
    let told = block_on(command.run(&state()?))?
        .map_err(|error| Failed::new(error.exit(), cli::chain(&error)))?;
    say(&told)
}

fn party(command: &PartyCommand) -> Outcome {
    let told = command
        .run(&state()?)
        .map_err(|error| Failed::new(error.exit(), cli::chain(&error)))?;
    say(&told)
}

fn broker(command: BrokerCommand, json: bool) -> Outcome {
    block_on(command.run(json, &mut io::stdout()))?
        .map_err(|error| Failed::new(error.exit(), cli::chain(&error)))
}

fn ledger(command: &LedgerCommand) -> Outcome {
    command
        .run(&state()?.ledger(), &mut io::stdout().lock())
        .map_err(|error| Failed::new(error.exit(), cli::chain(&error)))
}

fn identity(command: &IdentityCommand) -> Outcome {
    let told = command
        .run(&state()?)
        .map_err(|error| Failed::new(error.exit(), cli::chain(&error)))?;
    say(&told)
}

fn prune(command: &PruneCommand) -> Outcome {
    let told = command
        .run(&state()?)
        .map_err(|error| Failed::new(error.exit(), cli::chain(&error)))?;
    say(&told)
}

fn policy(command: &PolicyCommand) -> Outcome {
    let told = command
        .run()
        .map_err(|error| Failed::new(error.exit(), cli::chain(&error)))?;
    say(&told.text)?;
    match told.exit {
        Exit::Success => Ok(()),
        exit => Err(Failed {
            exit,
            message: "no session opens under this policy".to_owned(),
            told: true,
        }),
    }
}

fn trust(command: &TrustCommand) -> Outcome {
    let told = command
        .run(&state()?)
        .map_err(|error| Failed::new(error.exit(), cli::chain(&error)))?;
    say(&told)
}

fn create(name: &str, sdk: Option<PathBuf>, json: bool) -> Outcome {
    let sdk = sdk.map_or(SdkSource::Embedded, SdkSource::Path);
    let folder = new::create(name, Path::new("."), sdk)
        .map_err(|error| Failed::new(Exit::BadInput, cli::chain(&error)))?;
    let folder = fs::canonicalize(&folder).unwrap_or(folder);
    if json {
        let fields = json!({ "folder": folder });
        return say(&cli::object("made", Exit::Success, fields));
    }
    say(&format!(
        "made {}\nnext: cd {name} && cargo test && cargo build --release --target wasm32-wasip2\n",
        folder.display()
    ))
}

impl DateArgs {
    fn choice(self) -> Option<DateChoice> {
        match (self.vouch, self.timestamp, self.timestamp_root) {
            (Some(path), _, _) => Some(DateChoice::Vouch(path)),
            (None, Some(token), Some(roots)) => Some(DateChoice::Timestamp { token, roots }),
            // The parser asks for both or neither.
            (None, _, _) => None,
        }
    }
}

impl VerifyArgs {
    fn options(&self) -> VerifyOptions {
        VerifyOptions {
            policy: self.policy.clone().unwrap_or_default(),
            job: self.job,
            components: self.component.clone(),
            allow_simulated: self.allow_simulated,
            collateral: (&self.collateral).into(),
        }
    }
}

fn state() -> Result<State, Failed> {
    State::locate().map_err(|error| Failed::new(Exit::StateBroken, cli::chain(&error)))
}

fn failed(error: results::ResultError) -> Failed {
    Failed::new(error.exit(), cli::chain(&error))
}

fn block_on<T>(future: impl Future<Output = T>) -> Result<T, Failed> {
    let runtime = tokio::runtime::Builder::new_current_thread()
        .enable_all()
        .build()
        .map_err(|error| Failed::new(Exit::Failed, format!("cannot start: {error}")))?;
    Ok(runtime.block_on(future))
}

fn say(text: &str) -> Outcome {
    match io::stdout().write_all(text.as_bytes()) {
        Err(error) if error.kind() != io::ErrorKind::BrokenPipe => Err(Failed::new(
            Exit::CannotWrite,
            format!("cannot write: {error}"),
        )),
        _ => Ok(()),
    }
}
