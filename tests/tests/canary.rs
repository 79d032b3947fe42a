//! Row 20: secrets planted in data, keys, arguments and everything a guest can say are searched
//! for in all that the host's side can see: what it stores, what it is asked and answers, what it
//! logs, and what the operating system shows of the runtime.

use std::{
    collections::BTreeMap,
    fs,
    io::{self, Write},
    path::Path,
    sync::{Arc, Mutex},
    time::Duration,
};

use mc2_protocol::documents::message::GuestSecret;
use mc2_tests::{
    Liar, Needle, Run, Stack, StackOptions, contains, handing, identity, parse, process, rng,
};
use tempfile::TempDir;

/// Everything that was seen, by where.
#[derive(Default)]
struct Seen(Vec<(String, Vec<u8>)>);

impl Seen {
    fn folder(&mut self, path: &Path) {
        for entry in fs::read_dir(path).expect("a folder") {
            let path = entry.expect("an entry").path();
            self.0.push((
                "a file's name".to_owned(),
                path.as_os_str().as_encoded_bytes().to_vec(),
            ));
            if path.is_dir() {
                self.folder(&path);
            } else if let Ok(bytes) = fs::read(&path) {
                self.0.push((path.display().to_string(), bytes));
            }
        }
    }

    fn exchanges(&mut self, whose: &str, liar: &Liar) {
        for exchange in liar.memory() {
            let place = format!("{whose}: {} {}", exchange.asked.method, exchange.asked.path);
            let query = exchange.asked.query.unwrap_or_default();
            self.0.push((
                place.clone(),
                format!("{}?{query}", exchange.asked.path).into_bytes(),
            ));
            self.0.push((place.clone(), exchange.request.to_vec()));
            self.0.push((place, exchange.response.to_vec()));
        }
    }

    fn process(&mut self, pid: u32) {
        for file in ["cmdline", "environ", "comm", "status", "limits"] {
            let path = format!("/proc/{pid}/{file}");
            if let Ok(bytes) = fs::read(&path) {
                self.0.push((path, bytes));
            }
        }
    }

    fn assert_without(&self, needles: &[Needle]) {
        for needle in needles {
            for (place, bytes) in &self.0 {
                assert!(!needle.is_in(bytes), "{} is in {place}", needle.what);
            }
        }
    }

    fn has(&self, wanted: &[u8]) -> bool {
        self.0.iter().any(|(_, bytes)| contains(bytes, wanted))
    }
}

/// Where all that is logged in this process goes.
#[derive(Clone, Default)]
struct Log(Arc<Mutex<Vec<u8>>>);

impl Write for Log {
    fn write(&mut self, bytes: &[u8]) -> io::Result<usize> {
        self.0
            .lock()
            .expect("never poisoned")
            .extend_from_slice(bytes);
        Ok(bytes.len())
    }

    fn flush(&mut self) -> io::Result<()> {
        Ok(())
    }
}

fn canary(what: &str) -> String {
    let mut bytes = [0; 16];
    rand_core::Rng::fill_bytes(&mut rng(), &mut bytes);
    format!("{what}{}", hex::encode(bytes))
}

/// Row 20.
#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn no_secret_is_anywhere_the_host_can_look() {
    let log = Log::default();
    let writer = log.clone();
    let subscriber = tracing_subscriber::fmt()
        .with_max_level(tracing::level_filters::LevelFilter::TRACE)
        .with_ansi(false)
        .with_writer(move || writer.clone())
        .finish();
    tracing::subscriber::set_global_default(subscriber).expect("the only one");
    let folder = TempDir::new().expect("a folder");
    let stderr = folder.path().join("stderr");
    let (to_runtime, to_client) = (Liar::new(), Liar::new());
    to_runtime.remember();
    to_client.remember();
    let stack = Stack::with(StackOptions {
        wrap_runtime: Some(to_runtime.wrap()),
        wrap_client: Some(to_client.wrap()),
        stderr: Some(stderr.clone()),
        compilation_cache: Some(folder.path().join("cache")),
        ..Default::default()
    })
    .await;

    let (data, argument, spoken) = (canary("data"), canary("argument"), canary("spoken"));
    let mut plain = data.repeat(3_000).into_bytes();
    plain.extend(data.bytes());
    let run = Run::of("hostile", &["copy", "data", "result"])
        .input("data", plain.clone())
        .output("result")
        .limits(128 << 20, Duration::from_secs(20), 8 << 20);
    let policy = handing(&run.policy(&stack.me), "guest", "me");
    let session = stack.session_under(&run, policy).await;
    let session = session.expect("a session");
    let guest_key = canary("key");
    let secret = GuestSecret::new(guest_key.clone().into_bytes().into()).expect("a key");
    let given = session.give_key(&stack.me, &parse("guest"), secret).await;
    given.expect("a key for guests");
    let uploaded = stack.seal("data", &plain).await;
    let keys = vec![mc2_tests::release("data", &uploaded, 20)];
    let now = std::time::SystemTime::now();
    session
        .release(&stack.me, &stack.ledger, keys, now)
        .await
        .expect("a release");
    let objects = BTreeMap::from([(parse("data"), uploaded.object)]);
    let mut outputs = Vec::new();
    for arguments in [
        &["copy", "data", "result"][..],
        // Through every way out there is, to its end in a panic.
        &["leak", &spoken],
        &["fail", &spoken],
        &["echo", &argument],
        &["keys", "guest"],
        // Wrong usage is explained to the user, and to nobody else.
        &[&argument],
        &["sum", &argument],
        &["copy", "data", &argument],
        &["trap"],
        &["alloc", "1000"],
        &["spill", "20"],
    ] {
        let run = Run {
            arguments: arguments
                .iter()
                .map(|&argument| argument.to_owned())
                .collect(),
            ..run.clone()
        };
        let finished = stack
            .submit(&session, &run, &objects)
            .await
            .expect("a receipt");
        outputs.extend(finished.outputs.into_values());
    }
    // A refusal quotes what was wrong, to its sender.
    let job = run.policy(&stack.me);
    let _ = stack.open_session(&stack.remote, job).await.map(drop);
    // They were there to be found.
    let found = |text: &str| {
        outputs
            .iter()
            .any(|output| contains(output, text.as_bytes()))
    };
    assert!(found(&data) && found(&argument) && found(&spoken));
    assert!(found(&format!("guest = {:02x?}", guest_key.as_bytes())));

    let mut seen = Seen::default();
    let runtimes = stack.runtimes();
    assert!(!runtimes.is_empty());
    for pid in &runtimes {
        seen.process(*pid);
        let limits = fs::read_to_string(format!("/proc/{pid}/limits")).expect("its limits");
        let core = limits
            .lines()
            .find(|line| line.starts_with("Max core file size"));
        let core: Vec<&str> = core.expect("a limit").split_whitespace().collect();
        assert_eq!(core[4..6], ["0", "0"], "the runtime may leave a core dump");
    }
    seen.folder(&stack.host_folder());
    seen.folder(folder.path());
    seen.exchanges("runtime", &to_runtime);
    seen.exchanges("client", &to_client);
    seen.0.push((
        "the log".to_owned(),
        log.0.lock().expect("never poisoned").clone(),
    ));
    // The search finds what is there.
    assert!(seen.has(uploaded.object.to_string().as_bytes()));
    assert!(seen.has(b"NOT SECURE"), "the runtime's standard error");
    assert!(seen.has(b"a session was opened"), "the log");
    assert!(seen.has(b"mc2-runtime-sim"), "the command line");

    let identity = stack.me.to_text();
    seen.assert_without(&[
        Needle::new("the data", data.as_bytes()),
        Needle::new("an argument", argument.as_bytes()),
        Needle::new("what a guest said", spoken.as_bytes()),
        Needle::new("the data key", uploaded.key.expose()),
        Needle::new("a guest's key", guest_key.as_bytes()),
        Needle::new("the client's identity", identity.as_bytes()),
        Needle::new("a part of the identity", &identity.as_bytes()[20..60]),
    ]);
    // Not even in pieces.
    seen.assert_without(&[
        Needle::new("half of the data", &data.as_bytes()[8..28]),
        Needle::new("half of a guest's key", &guest_key.as_bytes()[8..24]),
        Needle::new("half of an argument", &argument.as_bytes()[12..32]),
        Needle::new("half of what a guest said", &spoken.as_bytes()[10..30]),
    ]);
    for pid in runtimes {
        process::kill(pid);
    }
}

/// Row 20: a session's refusal can quote what only its sender may know.
#[tokio::test]
async fn a_refusal_is_sealed_to_its_sender() {
    let (stack, liar) = Stack::lying_to_client().await;
    liar.remember();
    let secret = canary("secret");
    let run = Run::of("hostile", &["echo", &secret]);
    let session = stack.session(&run).await.expect("a session");
    let job = mc2_tests::draft(&session, &run, &BTreeMap::new()).to_bytes();
    let job = String::from_utf8(job).expect("JSON");
    let other = job.replace("\"name\":\"run\"", &format!("\"name\":\"{secret}\""));
    let body = mc2_tests::messages::submission(&session, other.into_bytes());
    let outcome = stack.say(&session, &stack.me, 1, &body).await;
    assert!(format!("{outcome:?}").contains(&secret), "{outcome:?}");
    let stranger = identity("stranger");
    stack.say(&session, &stranger, 1, &body).await;
    let mut seen = Seen::default();
    seen.exchanges("client", &liar);
    seen.assert_without(&[Needle::new("the refusal's quote", secret.as_bytes())]);
}
