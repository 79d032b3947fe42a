//! Row 41: what is left in the runtime's memory of the keys of a session that is over.

use std::{
    fs,
    io::{self, Read as _, Seek as _, SeekFrom},
    path::PathBuf,
    time::{Duration, Instant, SystemTime},
};

use hkdf::Hkdf;
use mc2_client::{remote::Uploaded, session::SessionError, state::sequence};
use mc2_protocol::{
    documents::message::{Body, Cancel, End, GuestSecret, Outcome},
    encoding::to_json,
    sealed::associated_data,
};
use mc2_tests::{
    Needle, Run, RunFailed, Stack, StackOptions, handing, identity, messages::code, parse, rng,
};
use sha2::Sha256;

/// Bytes looked at in one piece, and how much of it again with the next.
const PIECE: usize = 16 << 20;
const OVERLAP: usize = 256;
/// How long the end of a session is waited for.
const PATIENCE: Duration = Duration::from_secs(60);
/// Files of the folder that is read.
const FILES: usize = 64;

fn sum() -> Run {
    Run::of("hostile", &["sum", "data"]).input("data", b"some bytes".to_vec())
}

/// Where in the memory of a process any of the needles stands.
fn found(pid: u32, needles: &[Needle]) -> io::Result<Vec<String>> {
    let mut memory = fs::File::open(format!("/proc/{pid}/mem"))?;
    let mut places = Vec::new();
    for line in fs::read_to_string(format!("/proc/{pid}/maps"))?.lines() {
        let mut words = line.split_whitespace();
        let (Some(range), Some(rights)) = (words.next(), words.next()) else {
            continue;
        };
        let name = words.nth(3).unwrap_or("anonymous");
        if !rights.starts_with("rw") || name.starts_with("[v") {
            continue;
        }
        let (start, end) = range.split_once('-').expect("a range");
        let number = |text| u64::from_str_radix(text, 16).expect("an address");
        let (mut at, end) = (number(start), number(end));
        while at < end {
            let mut piece = vec![0; PIECE.min((end - at) as usize)];
            memory.seek(SeekFrom::Start(at))?;
            // What was unmapped since is not there.
            let Ok(length) = memory.read(&mut piece) else {
                break;
            };
            for needle in needles {
                if let Some((offset, spelt)) = needle.find_in(&piece[..length]) {
                    let around =
                        &piece[offset.saturating_sub(48)..(offset + spelt + 48).min(length)];
                    places.push(format!(
                        "{} is at {:#x} ({name}): {}",
                        needle.what,
                        at + offset as u64,
                        around.escape_ascii()
                    ));
                }
            }
            if length < PIECE {
                break;
            }
            at += (length - OVERLAP) as u64;
        }
    }
    Ok(places)
}

/// The key of a file of an object, derived as the format says.
fn derived(dataset: &str, uploaded: &Uploaded, index: usize) -> [u8; 32] {
    let mut derived = [0; 32];
    let salt = &uploaded.manifest.stream(index).header.to_bytes()[1..33];
    Hkdf::<Sha256>::new(Some(salt), uploaded.key.expose())
        .expand(&associated_data(&parse(dataset)), &mut derived)
        .expect("32 bytes");
    derived
}

/// Row 41.
#[tokio::test]
async fn a_key_is_not_in_the_runtime_s_memory_once_its_session_is_over() {
    // Asked for when the test runs, for a target folder may have been moved.
    let open = std::env::var_os("CARGO_BIN_EXE_mc2-runtime-open");
    let options = StackOptions {
        runtime: Some(PathBuf::from(open.expect("Cargo says where it is"))),
        ..Default::default()
    };
    let stack = Stack::with(options).await;
    let run = sum().input("many", Vec::new());
    let policy = handing(&run.policy(&stack.me), "guest", "me");
    let session = stack.session_under(&run, policy).await;
    let session = session.expect("a session");
    let (_, data) = &run.inputs[0];
    let uploaded = stack.seal("data", data).await;
    let text = to_json(&uploaded.key);
    let mut needles = vec![
        Needle::new("the data key", uploaded.key.expose()),
        Needle::new("half of the data key", &uploaded.key.expose()[..16]),
        Needle::new("the other half", &uploaded.key.expose()[16..]),
        Needle::new(
            "the data key's base64",
            text.trim_ascii_start().trim_ascii_end(),
        ),
        Needle::new("the file's key", &derived("data", &uploaded, 0)),
    ];
    // A guest that reads its key has a copy of its own, which is its own affair.
    let mut guest_key = [0; 200];
    rand_core::Rng::fill_bytes(&mut rng(), &mut guest_key);
    let secret = GuestSecret::new(guest_key.to_vec().into()).expect("a key");
    let given = session.give_key(&stack.me, &parse("guest"), secret).await;
    given.expect("a key for guests");
    needles.push(Needle::new("a guest's key", &guest_key));
    for part in guest_key.chunks(50) {
        needles.push(Needle::new("a part of a guest's key", part));
    }
    // Many keys that are expanded and dropped at once, so that what is freed is not all used again.
    let folder = stack.client_folder().join("many");
    fs::create_dir(&folder).expect("a folder");
    for number in 0..FILES {
        fs::write(folder.join(number.to_string()), [number as u8]).expect("a file");
    }
    let many = stack.seal_path("many", &folder).await;
    for index in 0..many.manifest.stream_count() {
        needles.push(Needle::raw(
            "a key of many files",
            &derived("many", &many, index),
        ));
    }
    let keys = vec![
        mc2_tests::release("data", &uploaded, 2),
        mc2_tests::release("many", &many, 2),
    ];
    let now = SystemTime::now();
    session
        .release(&stack.me, &stack.ledger, keys, now)
        .await
        .expect("a release");
    let objects = [
        (parse("data"), uploaded.object),
        (parse("many"), many.object),
    ]
    .into();
    for _ in 0..2 {
        let finished = stack.submit(&session, &run, &objects).await.expect("a run");
        assert_eq!(finished.reason(), "succeeded");
    }
    let [pid] = stack.runtimes()[..] else {
        panic!("one runtime")
    };
    let before = found(pid, &needles).expect("its memory");
    for held in ["the data key is", "a guest's key is"] {
        assert!(
            before.iter().any(|place| place.starts_with(held)),
            "the search does not find the key while the session holds it: {before:?}"
        );
    }
    session.end(&stack.me).await.expect("the session's end");
    // What answers the end is on its stack for a moment more.
    let begun = Instant::now();
    loop {
        let left = found(pid, &needles).expect("its memory");
        if left.is_empty() {
            return;
        }
        assert!(begun.elapsed() < PATIENCE, "{}", left.join("\n"));
        tokio::time::sleep(Duration::from_millis(100)).await;
    }
}

/// Row 41: who may end a session, and what is left of one.
#[tokio::test]
async fn a_session_is_ended_by_its_opener_alone_and_answers_nobody_afterwards() {
    let stack = Stack::start().await;
    let run = Run::of("hostile", &["sleep", "1000"]);
    let session = stack.session(&run).await.expect("a session");
    let stranger = identity("me");
    let outcome = stack.say(&session, &stranger, 1, &Body::End(End {})).await;
    assert_eq!(code(&outcome), "unauthenticated");

    let job = mc2_tests::draft(&session, &run, &Default::default());
    let running = session.submit(&stack.me, &job).await.expect("a job");
    // Beside what the client counts, and within the enclave's window.
    let sequence = sequence::after(0) + 100;
    let end = Body::End(End {});
    let outcome = stack.say(&session, &stack.me, sequence, &end).await;
    assert_eq!(code(&outcome), "busy");
    running.cancel(&stack.me).await.expect("it is stopped");
    let finished = stack.finish(&session, &stack.me, &running).await;
    assert_eq!(finished.expect("a receipt").reason(), "cancelled");

    session.end(&stack.me).await.expect("its end");
    match stack.submit(&session, &run, &Default::default()).await {
        Err(RunFailed::Session(SessionError::Remote(error))) => {
            assert!(error.to_string().contains("410"), "{error}");
        }
        other => panic!("{other:?}"),
    }
    // The process goes on for its tenant.
    let again = stack.session(&run).await.expect("another session");
    let cancel = Body::Cancel(Cancel { number: 1 });
    let outcome = stack.say(&again, &stack.me, 1, &cancel).await;
    assert!(matches!(outcome, Outcome::Cancelled), "{outcome:?}");
}
