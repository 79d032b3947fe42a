//! What keeps the compiling child to compiling.
//!
//! Its bytes come from whoever wrote the component, so a fault of the compiler is
//! that person's to use. What such a person gets is a process that can compute,
//! read its standard input and write its two outputs: it has no other descriptor
//! and can make none, so it has no file and no network; it cannot start a
//! process, nor signal or inspect another. All this is asked of the kernel
//! before a byte is read, and where the kernel does not grant it nothing is
//! compiled.

use std::io;

use rustix::process::{Resource, Rlimit, Signal};

/// Descriptors of the child: standard input, output and error.
const DESCRIPTORS: u32 = 3;

/// Confines this process, which has one thread, and ends it with its parent.
///
/// # Errors
///
/// The kernel does not grant it.
pub(super) fn confine(memory: u64, seconds: u64) -> io::Result<()> {
    rustix::process::set_parent_process_death_signal(Some(Signal::KILL))?;
    close_others()?;
    limit(Resource::Core, 0)?;
    limit(Resource::As, memory)?;
    // CPU time of all threads; the parent's clock is the one that decides.
    limit(Resource::Cpu, seconds.saturating_mul(64).max(1))?;
    limit(Resource::Nofile, DESCRIPTORS.into())?;
    // Pipes have no size.
    limit(Resource::Fsize, 0)?;
    filter::install()
}

fn limit(resource: Resource, value: u64) -> rustix::io::Result<()> {
    let value = Some(value);
    rustix::process::setrlimit(
        resource,
        Rlimit {
            current: value,
            maximum: value,
        },
    )
}

/// Closes every descriptor that was inherited by mistake.
#[allow(unsafe_code)]
fn close_others() -> io::Result<()> {
    // SAFETY: no descriptor above the three is owned by anything in this process: it has run
    // nothing but this function's callers since it was started.
    let result = unsafe { libc::syscall(libc::SYS_close_range, DESCRIPTORS, u32::MAX, 0) };
    if result == 0 {
        Ok(())
    } else {
        Err(io::Error::last_os_error())
    }
}

/// A seccomp filter: system calls that compute, and no others.
mod filter {
    use std::io;

    use libc::{
        BPF_ABS, BPF_JEQ, BPF_JGE, BPF_JMP, BPF_JSET, BPF_K, BPF_LD, BPF_RET, BPF_W, c_long,
        sock_filter, sock_fprog,
    };

    #[cfg(target_arch = "x86_64")]
    const ARCHITECTURE: u32 = 0xc000_003e;
    #[cfg(target_arch = "aarch64")]
    const ARCHITECTURE: u32 = 0xc000_00b7;

    /// Memory, threads of this process, time, randomness, the open pipes, the end. None names a
    /// file, an address or another process.
    const ALLOWED: &[c_long] = &[
        libc::SYS_read,
        libc::SYS_readv,
        libc::SYS_write,
        libc::SYS_writev,
        libc::SYS_close,
        libc::SYS_mmap,
        libc::SYS_munmap,
        libc::SYS_mremap,
        libc::SYS_mprotect,
        libc::SYS_madvise,
        libc::SYS_brk,
        libc::SYS_futex,
        libc::SYS_sched_yield,
        libc::SYS_sched_getaffinity,
        libc::SYS_rt_sigaction,
        libc::SYS_rt_sigprocmask,
        libc::SYS_rt_sigreturn,
        libc::SYS_sigaltstack,
        libc::SYS_set_robust_list,
        libc::SYS_rseq,
        libc::SYS_getpid,
        libc::SYS_gettid,
        libc::SYS_getrandom,
        libc::SYS_clock_gettime,
        libc::SYS_clock_nanosleep,
        libc::SYS_nanosleep,
        libc::SYS_restart_syscall,
        libc::SYS_exit,
        libc::SYS_exit_group,
    ];

    // Where `struct seccomp_data` has the call's number, the architecture and the low halves of
    // the arguments (little-endian).
    const NUMBER: u32 = 0;
    const ARCH: u32 = 4;
    const ARGUMENT_0: u32 = 16;

    const ALLOW: u32 = libc::SECCOMP_RET_ALLOW;
    const KILL: u32 = libc::SECCOMP_RET_KILL_PROCESS;

    const fn fails_with(errno: i32) -> u32 {
        libc::SECCOMP_RET_ERRNO | errno as u32
    }

    fn statement(code: u32, k: u32) -> sock_filter {
        jump(code, k, 0, 0)
    }

    fn jump(code: u32, k: u32, jt: u8, jf: u8) -> sock_filter {
        // BPF's codes are below 2^16.
        let code = code as u16;
        sock_filter { code, jt, jf, k }
    }

    fn load(offset: u32) -> sock_filter {
        statement(BPF_LD | BPF_W | BPF_ABS, offset)
    }

    fn answer(with: u32) -> sock_filter {
        statement(BPF_RET | BPF_K, with)
    }

    /// `answer` where the number is that of `call`; else goes on.
    fn on(call: c_long, with: u32) -> [sock_filter; 2] {
        // Numbers of calls are below 2^32.
        [
            jump(BPF_JMP | BPF_JEQ | BPF_K, call as u32, 0, 1),
            answer(with),
        ]
    }

    /// What is done with each call, in the kernel's language.
    fn program(own_pid: u32) -> Vec<sock_filter> {
        let mut program = vec![
            load(ARCH),
            jump(BPF_JMP | BPF_JEQ | BPF_K, ARCHITECTURE, 1, 0),
            answer(KILL),
            load(NUMBER),
            // x86-64's second table of calls, with numbers of its own.
            jump(BPF_JMP | BPF_JGE | BPF_K, 0x4000_0000, 0, 1),
            answer(KILL),
        ];
        for call in ALLOWED {
            program.extend(on(*call, ALLOW));
        }
        // The C library then asks for threads by `clone`, whose flags can be looked at.
        program.extend(on(libc::SYS_clone3, fails_with(libc::ENOSYS)));
        // A thread of this process, no process.
        program.extend([
            jump(BPF_JMP | BPF_JEQ | BPF_K, libc::SYS_clone as u32, 0, 4),
            load(ARGUMENT_0),
            jump(BPF_JMP | BPF_JSET | BPF_K, libc::CLONE_THREAD as u32, 0, 1),
            answer(ALLOW),
            answer(fails_with(libc::EPERM)),
        ]);
        // A signal to itself: how a process aborts.
        program.extend([
            jump(BPF_JMP | BPF_JEQ | BPF_K, libc::SYS_tgkill as u32, 0, 3),
            load(ARGUMENT_0),
            jump(BPF_JMP | BPF_JEQ | BPF_K, own_pid, 0, 1),
            answer(ALLOW),
        ]);
        program.push(answer(fails_with(libc::EPERM)));
        program
    }

    /// Filters the calls of this thread and of all it starts, for good.
    #[allow(unsafe_code)]
    pub(super) fn install() -> io::Result<()> {
        let mut program = program(std::process::id());
        let length = program.len().try_into().map_err(io::Error::other)?;
        let filter = program.as_mut_ptr();
        let program = sock_fprog {
            len: length,
            filter,
        };
        // SAFETY: the first call has no pointers. The second is given a valid program, which the
        // kernel copies and checks before it takes it, and which lives until then.
        let result = unsafe {
            match libc::prctl(libc::PR_SET_NO_NEW_PRIVS, 1, 0, 0, 0) {
                0 => libc::prctl(
                    libc::PR_SET_SECCOMP,
                    libc::SECCOMP_MODE_FILTER,
                    &raw const program,
                ),
                failed => failed,
            }
        };
        if result == 0 {
            Ok(())
        } else {
            Err(io::Error::last_os_error())
        }
    }

    #[cfg(test)]
    mod tests {
        use std::{
            fs::File,
            net::{TcpListener, TcpStream, UdpSocket},
            os::unix::net::UnixStream,
            process::Command,
        };

        use super::*;

        fn denied<T>(result: io::Result<T>) -> bool {
            result.is_err_and(|error| error.raw_os_error() == Some(libc::EPERM))
        }

        /// The filter binds the thread that installs it, so the test goes on.
        #[test]
        fn behind_the_filter_there_are_threads_and_no_files_sockets_or_processes() {
            let listener = TcpListener::bind("127.0.0.1:0").unwrap();
            let address = listener.local_addr().unwrap();
            let behind = std::thread::spawn(move || {
                install().unwrap();
                let sum = std::thread::spawn(|| (0..1000u64).sum::<u64>()).join();
                let denials = [
                    ("a file", denied(File::open("/proc/self/status"))),
                    ("a new file", denied(File::create("/tmp/mc2-confined"))),
                    ("a folder", denied(std::fs::read_dir("/"))),
                    ("a connection", denied(TcpStream::connect(address))),
                    ("a datagram", denied(UdpSocket::bind("127.0.0.1:0"))),
                    ("a local socket", denied(UnixStream::connect("/run/x"))),
                    ("a pair of sockets", denied(UnixStream::pair())),
                    ("a process", denied(Command::new("/bin/true").spawn())),
                    (
                        "a signal to another",
                        denied(
                            rustix::process::test_kill_process(
                                rustix::process::Pid::from_raw(1).unwrap(),
                            )
                            .map_err(Into::into),
                        ),
                    ),
                ];
                (sum.unwrap(), denials)
            });
            let (sum, denials) = behind.join().unwrap();
            assert_eq!(sum, 499_500);
            for (what, denied) in denials {
                assert!(denied, "{what} was granted");
            }
        }

        #[test]
        fn the_program_is_one_the_kernel_can_take() {
            let program = program(1);
            assert!(program.len() < 256, "{}", program.len());
        }
    }
}
