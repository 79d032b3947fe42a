//! A compilation cache that lasts, over restarts of the real runtime in an emulated SNP guest. Where
//! nothing is to be compiled the runtime is given no compiler, so that a job shows by its success that
//! nothing was.

use std::{
    fs,
    os::unix::fs::symlink,
    path::{Path, PathBuf},
};

use mc2_client::session::{Opened, Verifier};
use mc2_host::Spawn;
use mc2_protocol::documents::{receipt::Status, record::CompilationCache};
use mc2_tests::{Run, Stack, StackOptions, draft, program, until};
use tempfile::TempDir;

use super::{
    keys::{Gives, Guest, guest, snp},
    session::{Emulated, echo, now},
};

/// The version of the microcode in a TCB.
const MICROCODE: usize = 7;

/// A folder with the runtime, what it compiles with, and a link to the machine it is started on.
struct Place(TempDir);

impl Place {
    fn new() -> Self {
        let place = Self(TempDir::new().expect("a folder"));
        fs::copy(program("mc2-runtime-emulated"), place.at("mc2-runtime")).expect("a runtime");
        place.put_compiler();
        place
    }

    fn at(&self, name: &str) -> PathBuf {
        self.0.path().join(name)
    }

    fn put_compiler(&self) {
        let compiler = program("mc2-runtime-emulated").with_file_name("mc2-compile");
        fs::copy(compiler, self.at("mc2-compile")).expect("a compiler");
    }

    fn take_compiler(&self) {
        fs::remove_file(self.at("mc2-compile")).expect("there was one");
    }

    /// Runtimes start on this machine from now on.
    fn put_on(&self, enclave: &Emulated) {
        let link = self.at("machine");
        // At first there is none.
        let _ = fs::remove_file(&link);
        symlink(enclave.root(), link).expect("a link");
    }

    fn spawn(&self) -> Spawn {
        let mut spawn = Spawn::runtime(self.at("mc2-runtime"), "vm");
        let lasting = ["--compilation-cache", "lasting"].map(Into::into);
        spawn.arguments = vec![self.at("machine").into(), self.at("unused").into()];
        spawn.arguments.extend(lasting);
        spawn
    }
}

/// A guest whose firmware AMD's bulletins leave alone, and one version older.
fn updated() -> Guest {
    let mut guest = guest();
    guest.svn = 0;
    guest.committed_tcb[MICROCODE] += 1;
    guest
}

fn emulated(guest: Guest) -> Emulated {
    Emulated::new(snp(guest, Gives::Key), Vec::new())
}

/// Runs a job in a session of a process of its own, whose evidence and receipt are judged as always;
/// or in which words that failed.
async fn ran(enclave: &Emulated, stack: &Stack, run: &Run) -> Result<(), String> {
    let policy = enclave.policy(stack, run);
    let trust = enclave.believing();
    let opened = Opened::open(&stack.remote, policy.clone(), &stack.me).await;
    let opened = opened.map_err(|error| error.to_string())?;
    let (checks, session) = opened.appraise(&Verifier {
        trust: &trust,
        allow_simulated: false,
        now: now(),
        components: None,
        collateral: Some(enclave.collateral()),
    });
    let session = session.unwrap_or_else(|_| panic!("{checks:?}"));
    let cache = session.appraised().record().compilation_cache;
    assert_eq!(cache, CompilationCache::Lasting);
    let objects = stack.release_inputs(&session, run, 1).await;
    let job = draft(&session, run, &objects.expect("keys are released"));
    let running = session.submit(&stack.me, &job).await;
    let running = running.map_err(|error| error.to_string())?;
    let ended = running.wait(&stack.me, |_| ()).await;
    ended.map_err(|error| error.to_string())?;
    let envelope = running.receipt(&stack.me).await;
    let envelope = envelope.map_err(|error| error.to_string())?;
    let receipt = enclave.judge(&envelope, &policy, &trust, now());
    match receipt.expect("a good receipt").status {
        Status::Succeeded => Ok(()),
        Status::Failed { reason, .. } => Err(reason),
    }
}

/// What the host keeps, each whole entry by its name.
fn entries(host: &Path) -> Vec<(PathBuf, Vec<u8>)> {
    let files = fs::read_dir(host.join("cache")).expect("the cache");
    let paths = files.map(|file| file.expect("an entry").path());
    let whole = |path: &PathBuf| path.file_name().is_some_and(|name| name.len() == 64);
    paths
        .filter(whole)
        .map(|path| (path.clone(), fs::read(path).expect("an entry")))
        .collect()
}

/// Rows 4 and 29: after a restart the same image on the same firmware compiles nothing, and another
/// image, or older firmware, does not use what it kept.
#[tokio::test(flavor = "multi_thread")]
async fn code_that_lasts_is_used_after_a_restart_by_the_same_image_on_the_same_firmware_alone() {
    let run = echo();
    let (place, own) = (Place::new(), emulated(updated()));
    place.put_on(&own);
    let stack = Stack::with(StackOptions {
        enclave: Some(place.spawn()),
        ..StackOptions::default()
    })
    .await;
    let component = fs::read(&run.component).expect("the component");
    stack.store_component(component).await.expect("stored");

    ran(&own, &stack, &run).await.expect("a job");
    let host = stack.host_folder();
    until(|| entries(&host).len() == 1);
    let kept = entries(&host);

    let stack = stack.restart(|_| place.take_compiler()).await;
    ran(&own, &stack, &run).await.expect("nothing to compile");
    assert_eq!(entries(&host), kept);

    let mut image = updated();
    image.measurement[47] ^= 1;
    let mut firmware = updated();
    firmware.committed_tcb[MICROCODE] -= 1;
    let mut stack = stack;
    let others = [emulated(image), emulated(firmware)];
    for other in &others {
        stack = stack.restart(|_| place.put_on(other)).await;
        let failed = ran(other, &stack, &run).await.expect_err("no code");
        assert!(failed.contains("compil"), "{failed}");
        assert_eq!(entries(&host), kept);
    }

    // To who cannot open it, it is as if nothing were there.
    stack = stack.restart(|_| place.put_compiler()).await;
    ran(&others[1], &stack, &run).await.expect("compiled anew");
    until(|| entries(&host).len() == 1 && entries(&host) != kept);
}
