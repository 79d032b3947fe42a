//! The first process of a virtual machine whose image holds this program and nothing else.
//!
//! As `/init` it mounts what the kernel offers, starts itself again as the runtime, buries every
//! process that ends, and ends the machine with the runtime. It reads no file and no variable: what
//! it does is in the image, and its arguments are the words of the kernel's command line that the
//! kernel does not know, which is measured with it.

use std::{ffi::CStr, fmt, io, path::Path, process::ExitCode, time::Duration};

use mc2_wire::{Address, Connect as _};
use rustix::{
    process::{Pid, WaitOptions, wait},
    system::{RebootCommand, reboot},
};
use tokio::io::{AsyncReadExt as _, AsyncWriteExt as _};

/// What the kernel offers, and where evidence, randomness and the compiling child look for it.
const MOUNTS: [Mount; 4] = [
    Mount {
        kind: c"proc",
        at: c"/proc",
        flags: libc::MS_NOSUID | libc::MS_NODEV | libc::MS_NOEXEC,
    },
    Mount {
        kind: c"sysfs",
        at: c"/sys",
        flags: libc::MS_NOSUID | libc::MS_NODEV | libc::MS_NOEXEC,
    },
    Mount {
        kind: c"configfs",
        at: c"/sys/kernel/config",
        flags: libc::MS_NOSUID | libc::MS_NODEV | libc::MS_NOEXEC,
    },
    Mount {
        kind: c"devtmpfs",
        at: c"/dev",
        flags: libc::MS_NOSUID | libc::MS_NOEXEC,
    },
];

/// An enclave of AWS Nitro has this device, and whoever started it waits for a word from it: one
/// byte to this port of the parent's, which comes back.
const NITRO: &str = "/dev/nsm";
const NITRO_PARENT: Address = Address::Vsock { cid: 3, port: 9000 };
const NITRO_WORD: u8 = 0xb7;
const NITRO_PATIENCE: Duration = Duration::from_secs(10);

struct Mount {
    kind: &'static CStr,
    at: &'static CStr,
    flags: libc::c_ulong,
}

/// Whether the kernel of a machine started this process as its first, as it does with `/init` of an
/// archive. The first process of a container, and of an enclave of Gramine's or Occlum's, has number
/// 1 as well, and another name.
pub fn is_first() -> bool {
    std::process::id() == 1
        && std::env::args_os()
            .next()
            .is_some_and(|name| name == "/init")
}

/// Does the first process's work until the runtime ends, and the machine with it.
///
/// Comes back only where the kernel does not end the machine; then it panics, because its first
/// process is gone, and that ends it as well.
pub fn run() -> ExitCode {
    match serve() {
        Ok(status) => eprintln!("mc2: the runtime ended ({status}), and so does this machine"),
        Err(error) => eprintln!("mc2: {error}; this machine ends"),
    }
    if let Err(error) = reboot(RebootCommand::Restart) {
        eprintln!("mc2: the machine could not be restarted: {error}");
    }
    ExitCode::FAILURE
}

/// Why the runtime could not be started.
#[derive(Debug, thiserror::Error)]
enum InitError {
    #[error("mounting {kind} at {at} failed: {error}", kind = .kind.to_string_lossy(), at = .at.to_string_lossy())]
    Mount {
        kind: &'static CStr,
        at: &'static CStr,
        error: io::Error,
    },
    #[error("telling Nitro that the enclave has started failed: {0}")]
    Nitro(io::Error),
    #[error("starting the runtime failed: {0}")]
    Start(io::Error),
    #[error("waiting for the runtime failed: {0}")]
    Wait(io::Error),
}

fn serve() -> Result<Ended, InitError> {
    for one in &MOUNTS {
        mount(one).map_err(|error| InitError::Mount {
            kind: one.kind,
            at: one.at,
            error,
        })?;
    }
    if Path::new(NITRO).exists() {
        tell_nitro().map_err(InitError::Nitro)?;
    }
    let runtime = start().map_err(InitError::Start)?;
    loop {
        let ended = wait(WaitOptions::empty()).map_err(|error| InitError::Wait(error.into()))?;
        if let Some((pid, status)) = ended
            && pid == runtime
        {
            return Ok(Ended(status));
        }
    }
}

fn tell_nitro() -> io::Result<()> {
    let told = async {
        let mut parent = NITRO_PARENT.connect().await?;
        parent.write_all(&[NITRO_WORD]).await?;
        match parent.read_u8().await? {
            NITRO_WORD => Ok(()),
            other => Err(io::Error::other(format!(
                "expected {NITRO_WORD:#x} back, found {other:#x}"
            ))),
        }
    };
    tokio::runtime::Builder::new_current_thread()
        .enable_all()
        .build()?
        .block_on(async { tokio::time::timeout(NITRO_PATIENCE, told).await })?
}

/// This program again, with its own arguments and an empty environment: what the kernel makes
/// variables of comes from its command line.
fn start() -> io::Result<Pid> {
    let child = std::process::Command::new(std::env::current_exe()?)
        .args(std::env::args_os().skip(1))
        .env_clear()
        .stdin(std::process::Stdio::null())
        .spawn()?;
    Ok(Pid::from_child(&child))
}

#[allow(unsafe_code)]
fn mount(Mount { kind, at, flags }: &Mount) -> io::Result<()> {
    // SAFETY: the three texts end with a zero and live for ever; none of these file systems takes
    // options, for which the null pointer stands.
    let result = unsafe {
        libc::mount(
            kind.as_ptr(),
            at.as_ptr(),
            kind.as_ptr(),
            *flags,
            std::ptr::null(),
        )
    };
    if result == 0 {
        Ok(())
    } else {
        Err(io::Error::last_os_error())
    }
}

/// How the runtime ended.
struct Ended(rustix::process::WaitStatus);

impl fmt::Display for Ended {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match (self.0.exit_status(), self.0.terminating_signal()) {
            (Some(code), _) => write!(f, "exit status {code}"),
            (None, Some(signal)) => write!(f, "signal {signal}"),
            (None, None) => f.write_str("unknown status"),
        }
    }
}
