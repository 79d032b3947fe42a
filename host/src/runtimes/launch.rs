//! Starting runtime processes, and not leaving one behind.

use std::{
    collections::VecDeque,
    io,
    net::{Ipv4Addr, SocketAddr},
    os::unix::process::CommandExt,
    process::{ExitStatus, Stdio},
    sync::{Arc, Mutex, OnceLock, mpsc},
};

use mc2_protocol::SecretKey;
use mc2_wire::Address;
use rustix::process::{Pid, Signal};
use tokio::{
    io::{AsyncBufReadExt, AsyncRead, AsyncReadExt, AsyncWriteExt, BufReader},
    process::{Child as Process, ChildStdin, ChildStdout, Command},
    sync::{Notify, oneshot, watch},
    task::JoinHandle,
};

use crate::{
    config::{HostConfig, Link, Spawn},
    runtime_id::RuntimeId,
    store::socket_name,
    transfer::listener::Listener,
    waiting::{lock, raised},
};

/// What the simulator prints before its public key.
const KEY_LINE: &str = "MC2-SIM-KEY ";
/// What has the simulator read the seed of its key from standard input.
const KEY_ON_STDIN: &str = "--key-on-stdin";
/// Longest line of a runtime's that is logged, in bytes.
const MAX_LINE: usize = 4096;
/// How many of a runtime's last lines are kept.
const LAST_LINES: usize = 5;

/// The thread that starts processes. A process asks to be killed when the *thread* that started
/// it ends, so this one must live as long as the host, which a pool's threads need not.
pub(crate) struct LaunchThread {
    orders: mpsc::Sender<Order>,
    /// What all simulators of this host make their key of, for one start of it.
    simulator_seed: SecretKey,
    /// Their public key, once one has said it.
    simulator_key: OnceLock<[u8; 32]>,
}

impl LaunchThread {
    /// Starts the thread, which registers its processes with the current Tokio runtime.
    pub(crate) fn start() -> io::Result<Self> {
        let (orders, inbox) = mpsc::channel::<Order>();
        let tokio = tokio::runtime::Handle::current();
        std::thread::Builder::new()
            .name("mc2-host-launch".into())
            .spawn(move || {
                for Order { command, started } in inbox {
                    let _tokio = tokio.enter();
                    let mut command = Command::from(command);
                    command.kill_on_drop(true);
                    die_with_this_thread(&mut command);
                    // Whoever asked may have gone; the process is then killed with its handle.
                    let _ = started.send(command.spawn());
                }
            })?;
        let mut random = Ok(());
        let simulator_seed = SecretKey::filled(|seed| random = getrandom::fill(seed));
        random.map_err(io::Error::other)?;
        Ok(Self {
            orders,
            simulator_seed,
            simulator_key: OnceLock::new(),
        })
    }

    /// Starts a process, and waits for a simulator's key.
    pub(super) async fn start_runtime(
        &self,
        config: &HostConfig,
        spawn: &Spawn,
        id: RuntimeId,
    ) -> Result<(Child, Listener, Started), LaunchError> {
        let address = match spawn.link {
            Link::Unix => Address::Unix(config.folder.join(socket_name(id))),
            Link::Loopback => Address::Tcp(SocketAddr::from((Ipv4Addr::LOCALHOST, 0))),
        };
        let bound = Listener::bind(&address).and_then(|bound| Ok((bound.address()?, bound)));
        let (address, listener) =
            bound.map_err(|source| LaunchError::Listen { address, source })?;
        let binary = || spawn.binary.display().to_string();
        let mut process = self
            .launch(command(spawn, &address))
            .await
            .map_err(|source| LaunchError::Start {
                binary: binary(),
                source,
            })?;
        let last_lines = Arc::new(Mutex::new(VecDeque::new()));
        if let Some(stderr) = process.stderr.take() {
            tokio::spawn(relate(stderr, id, Arc::clone(&last_lines)));
        }
        let mut child = Child {
            simulator_key: None,
            last_lines,
            kill: Arc::new(Notify::new()),
        };
        if spawn.simulator {
            let reading = self.exchange_keys(process.stdin.take(), process.stdout.take());
            let key = tokio::time::timeout(config.timeouts.start, reading).await;
            let Ok(Some(key)) = key else {
                // Dropping it ends it; its last words may still be on their way.
                let _ = process.start_kill();
                let _ = process.wait().await;
                tokio::task::yield_now().await;
                let words = child.last_words();
                let last_words = if words.is_empty() {
                    words
                } else {
                    format!("; it said: {words}")
                };
                return Err(LaunchError::NoKey {
                    binary: binary(),
                    last_words,
                });
            };
            if *self.simulator_key.get_or_init(|| key) != key {
                let _ = process.start_kill();
                return Err(LaunchError::OtherKey { binary: binary() });
            }
            child.simulator_key = Some(key);
            if let Some(tell) = &config.on_simulator_key {
                tell(key);
            }
        }
        tracing::info!(runtime = %id, binary = binary(), pid = process.id(), "started a runtime");
        let kill = Arc::clone(&child.kill);
        Ok((child, listener, Started { process, kill }))
    }

    async fn launch(&self, command: std::process::Command) -> io::Result<Process> {
        let (started, answer) = oneshot::channel();
        let ended = || io::Error::other("the launching thread has ended");
        self.orders
            .send(Order { command, started })
            .map_err(|_| ended())?;
        answer.await.map_err(|_| ended())?
    }

    /// Gives a simulator its seed, and reads the key it made of it. Through a pipe: other users
    /// see command lines, and the environment of a process outlives its use.
    async fn exchange_keys(
        &self,
        stdin: Option<ChildStdin>,
        stdout: Option<ChildStdout>,
    ) -> Option<[u8; 32]> {
        stdin?.write_all(self.simulator_seed.expose()).await.ok()?;
        read_key(stdout).await
    }
}

struct Order {
    command: std::process::Command,
    started: oneshot::Sender<io::Result<Process>>,
}

/// A process the host started, as others see it.
pub(crate) struct Child {
    /// The simulator's public key.
    pub(crate) simulator_key: Option<[u8; 32]>,
    last_lines: Arc<Mutex<VecDeque<String>>>,
    kill: Arc<Notify>,
}

impl Child {
    /// Ends the process and its children; its end is noticed as any other.
    pub(crate) fn kill(&self) {
        self.kill.notify_one();
    }

    /// The last lines it wrote to standard error.
    pub(crate) fn last_words(&self) -> String {
        let lines = lock(&self.last_lines);
        lines
            .iter()
            .map(String::as_str)
            .collect::<Vec<_>>()
            .join(" | ")
    }
}

/// A process the host started, for the one who waits for its end.
pub(crate) struct Started {
    process: Process,
    kill: Arc<Notify>,
}

impl Started {
    /// Waits for the end of the process, which `serving` is for, or ends it with the host.
    pub(super) async fn until_ended(
        self,
        serving: JoinHandle<()>,
        mut ending: watch::Receiver<bool>,
    ) -> io::Result<ExitStatus> {
        let Self { mut process, kill } = self;
        let pid = process
            .id()
            .and_then(|pid| i32::try_from(pid).ok())
            .and_then(Pid::from_raw);
        let exited = tokio::select! {
            status = process.wait() => Some(status),
            () = kill.notified() => None,
            () = raised(&mut ending) => None,
        };
        let status = match exited {
            Some(status) => status,
            None => {
                // Not waited for yet, so the number is still this process's, which leads a group
                // of its own.
                if let Some(pid) = pid {
                    let _ = rustix::process::kill_process_group(pid, Signal::KILL);
                }
                process.wait().await
            }
        };
        serving.abort();
        status
    }
}

fn command(spawn: &Spawn, address: &Address) -> std::process::Command {
    let mut command = std::process::Command::new(&spawn.binary);
    command.args(&spawn.arguments);
    if spawn.simulator {
        command.arg(KEY_ON_STDIN);
    }
    command
        .arg("--host")
        .arg(address.to_string())
        .arg("--engine-profile")
        .arg(&spawn.engine_profile)
        .env_clear()
        .envs(spawn.environment.iter().map(|(name, value)| (name, value)))
        .stdin(if spawn.simulator {
            Stdio::piped()
        } else {
            Stdio::null()
        })
        .stdout(if spawn.simulator {
            Stdio::piped()
        } else {
            Stdio::null()
        })
        .stderr(Stdio::piped())
        // Ctrl-C in a terminal is the host's affair, which then ends its runtimes in order.
        .process_group(0);
    command
}

#[allow(unsafe_code, reason = "the closure only makes system calls, see below")]
fn die_with_this_thread(command: &mut Command) {
    let parent = rustix::process::getpid();
    let ask = move || {
        rustix::process::set_parent_process_death_signal(Some(Signal::KILL))?;
        // The host may have ended before the line above.
        if rustix::process::getppid() != Some(parent) {
            return Err(io::Error::from(rustix::io::Errno::SRCH));
        }
        Ok(())
    };
    // SAFETY: between fork and exec only async-signal-safe work is allowed. `ask` makes two
    // system calls through rustix, which neither allocate nor lock, and copies an integer; an
    // `io::Error` made from an error number does not allocate either.
    unsafe { command.pre_exec(ask) };
}

async fn read_key(stdout: Option<ChildStdout>) -> Option<[u8; 32]> {
    let mut stdout = BufReader::new(stdout?);
    let mut line = Vec::new();
    (&mut stdout)
        .take(256)
        .read_until(b'\n', &mut line)
        .await
        .ok()?;
    let text = std::str::from_utf8(&line).ok()?.strip_suffix('\n')?;
    let key = mc2_protocol::encoding::hex_array(text.strip_prefix(KEY_LINE)?)?;
    // It has nothing more to say there, but must not be stopped by a full pipe either.
    tokio::spawn(async move { tokio::io::copy(&mut stdout, &mut tokio::io::sink()).await });
    Some(key)
}

/// Logs what a runtime says on standard error and keeps the last of it.
async fn relate(stderr: impl AsyncRead + Unpin, id: RuntimeId, last: Arc<Mutex<VecDeque<String>>>) {
    let mut stderr = BufReader::new(stderr);
    let mut line = Vec::new();
    loop {
        line.clear();
        let read = (&mut stderr)
            .take(MAX_LINE as u64)
            .read_until(b'\n', &mut line)
            .await;
        if !read.is_ok_and(|read| read > 0) {
            return;
        }
        let text = String::from_utf8_lossy(&line);
        let text: String = text
            .trim_end()
            .chars()
            .flat_map(char::escape_default)
            .collect();
        tracing::info!(target: "mc2_runtime", runtime = %id, "{text}");
        let mut last = lock(&last);
        if last.len() == LAST_LINES {
            last.pop_front();
        }
        last.push_back(text);
    }
}

/// Why a runtime was not started.
#[derive(Debug, thiserror::Error)]
pub enum LaunchError {
    /// The host was told to start none.
    #[error("this host starts no runtimes: it waits for them to connect")]
    NotLaunching,
    /// The system has no randomness.
    #[error("the system gives no random bytes: {0}")]
    Random(getrandom::Error),
    /// No address for it to dial.
    #[error("cannot listen on {address} for the runtime: {source}")]
    Listen {
        /// What was to be bound.
        address: Address,
        /// Why it was not.
        source: io::Error,
    },
    /// The binary does not start.
    #[error("cannot start {binary}: {source}")]
    Start {
        /// Its path.
        binary: String,
        /// Why it does not.
        source: io::Error,
    },
    /// The simulator said no key.
    #[error("{binary} did not print its key first, as the simulator does{last_words}")]
    NoKey {
        /// Its path.
        binary: String,
        /// What it said on standard error.
        last_words: String,
    },
    /// A simulator did not take the key it was given.
    #[error(
        "{binary} signs with another key than this host's other simulators: it must make its key of the 32 bytes on its standard input"
    )]
    OtherKey {
        /// Its path.
        binary: String,
    },
}
