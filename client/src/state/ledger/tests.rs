use std::{fs, path::Path, time::SystemTime};

use mc2_protocol::Name;

use super::*;

fn release(runs: u32) -> Release {
    release_under(b"policy", runs)
}

fn release_under(policy: &[u8], runs: u32) -> Release {
    Release {
        session: Digest::of(b"session"),
        policy: Digest::of(policy),
        owner: Digest::of(b"owner"),
        dataset: "data".parse().unwrap(),
        object: Digest::of(b"object"),
        runs,
    }
}

fn record(ledger: &Ledger, runs: u32, allowed: u64) -> Result<(), LedgerError> {
    ledger.record(&[(release(runs), allowed)], SystemTime::UNIX_EPOCH)
}

fn entries(ledger: &Ledger) -> (Head, Vec<Entry>) {
    let mut entries = Vec::new();
    let mut last = Head::start();
    let head = ledger.entries(|recorded| {
        last = last.after(recorded.digest);
        assert_eq!(recorded.line, last.lines);
        entries.push(recorded.entry);
        ControlFlow::Continue(())
    });
    assert_eq!(head.unwrap(), last);
    (last, entries)
}

/// What was released already.
fn spent(ledger: &Ledger) -> u64 {
    match record(ledger, u32::MAX, 0).unwrap_err() {
        LedgerError::Spent { spent, .. } => spent,
        error => panic!("{error}"),
    }
}

fn lines(ledger: &Ledger) -> usize {
    fs::read_to_string(&ledger.path).unwrap().lines().count()
}

/// A ledger with an index, and some lines beyond it.
fn indexed(folder: &Path) -> Ledger {
    let ledger = Ledger::at(folder.join("ledger.jsonl"));
    for _ in 0..FOLD_LINES + 10 {
        record(&ledger, 1, 1000).unwrap();
    }
    assert!(ledger.index_path().exists());
    ledger
}

#[test]
fn runs_are_counted_over_all_sessions_of_a_policy() {
    let folder = tempfile::tempdir().unwrap();
    let ledger = Ledger::at(folder.path().join("ledger.jsonl"));
    record(&ledger, 2, 3).unwrap();
    assert!(matches!(
        record(&ledger, 2, 3),
        Err(LedgerError::Spent { spent: 2, .. })
    ));
    record(&ledger, 1, 3).unwrap();
    assert!(record(&ledger, 1, 3).is_err());
    let (_, entries) = entries(&ledger);
    assert_eq!(entries, [release(2), release(1)].map(Entry::Release));
}

#[test]
fn of_releases_that_are_recorded_together_all_count_or_none() {
    let folder = tempfile::tempdir().unwrap();
    let ledger = Ledger::at(folder.path().join("ledger.jsonl"));
    let twice = [(release(2), 3), (release(2), 3)];
    assert!(ledger.record(&twice, SystemTime::UNIX_EPOCH).is_err());
    assert_eq!(spent(&ledger), 0);
}

#[test]
fn the_index_and_the_lines_beyond_it_are_counted_together() {
    let folder = tempfile::tempdir().unwrap();
    let ledger = Ledger::at(folder.path().join("ledger.jsonl"));
    for runs in 1..=3 * FOLD_LINES {
        record(&ledger, 1, 1000).unwrap();
        assert_eq!(spent(&ledger), runs);
    }
    let other = release_under(b"another policy", 1);
    ledger
        .record(&[(other, 1)], SystemTime::UNIX_EPOCH)
        .unwrap();
    assert_eq!(spent(&ledger), 3 * FOLD_LINES);
}

#[test]
fn an_altered_shortened_or_torn_ledger_releases_nothing() {
    let folder = tempfile::tempdir().unwrap();
    let path = folder.path().join("ledger.jsonl");
    let ledger = Ledger::at(path.clone());
    for _ in 0..3 {
        record(&ledger, 1, 100).unwrap();
    }
    let whole = fs::read_to_string(&path).unwrap();
    let lines: Vec<&str> = whole.lines().collect();
    let (before, after) = whole.rsplit_once("\"runs\":1").unwrap();
    let broken = [
        whole.replacen("\"runs\":1", "\"runs\":0", 1),
        // No line follows that would say what this one was.
        format!("{before}\"runs\":0{after}"),
        format!("{}\n{}\n", lines[0], lines[1]),
        format!("{}\n{}\n", lines[0], lines[2]),
        format!("{}\n{}\n{}\n", lines[1], lines[0], lines[2]),
        whole[..whole.len() - 10].to_owned(),
        String::new(),
    ];
    for text in broken {
        fs::write(&path, &text).unwrap();
        let error = record(&ledger, 1, 100).unwrap_err();
        assert!(matches!(error, LedgerError::Broken { .. }), "{error}");
        assert_eq!(fs::read_to_string(&path).unwrap(), text);
    }
    fs::write(&path, &whole).unwrap();
    record(&ledger, 1, 100).unwrap();
}

#[test]
fn a_ledger_whose_end_was_cut_off_releases_nothing_though_it_has_an_index() {
    let folder = tempfile::tempdir().unwrap();
    let ledger = indexed(folder.path());
    let whole = fs::read_to_string(&ledger.path).unwrap();
    let all: Vec<&str> = whole.lines().collect();
    for left in [
        0,
        1,
        FOLD_LINES as usize - 1,
        FOLD_LINES as usize,
        all.len() - 1,
    ] {
        let text: String = all[..left].iter().map(|line| format!("{line}\n")).collect();
        fs::write(&ledger.path, text).unwrap();
        let error = record(&ledger, 1, 1000).unwrap_err();
        assert!(matches!(error, LedgerError::Broken { .. }), "{error}");
    }
}

#[test]
fn verify_finds_a_line_that_was_altered_before_what_the_index_knows() {
    let folder = tempfile::tempdir().unwrap();
    let ledger = indexed(folder.path());
    assert_eq!(ledger.verify().unwrap().lines, FOLD_LINES + 10);
    let whole = fs::read_to_string(&ledger.path).unwrap();
    fs::write(&ledger.path, whole.replacen("\"runs\":1", "\"runs\":0", 1)).unwrap();
    let error = ledger.verify().unwrap_err();
    assert!(
        matches!(error, LedgerError::Broken { line: 2, .. }),
        "{error}"
    );
    assert!(record(&ledger, 1, 1000).is_err());
}

#[test]
fn an_index_that_does_not_fit_is_made_anew() {
    let folder = tempfile::tempdir().unwrap();
    let ledger = indexed(folder.path());
    let path = ledger.index_path();
    let good = fs::read(&path).unwrap();
    let other = tempfile::tempdir().unwrap();
    let other = Ledger::at(other.path().join("ledger.jsonl"));
    for _ in 0..=FOLD_LINES {
        record(&other, 7, 1000).unwrap();
    }
    let broken = [
        Vec::new(),
        b"no index".to_vec(),
        good[..good.len() / 2].to_vec(),
        vec![0; good.len()],
        fs::read(other.index_path()).unwrap(),
    ];
    for bytes in broken {
        fs::write(&path, bytes).unwrap();
        assert_eq!(spent(&ledger), FOLD_LINES + 10);
        assert!(fs::metadata(&path).unwrap().len() > 0);
    }
    // An older one is added to.
    for _ in 0..2 * FOLD_LINES {
        record(&ledger, 1, 1000).unwrap();
    }
    fs::write(&path, good).unwrap();
    assert_eq!(spent(&ledger), 3 * FOLD_LINES + 10);
}

#[test]
fn a_line_torn_by_a_crash_before_its_key_left_is_cut_off() {
    let folder = tempfile::tempdir().unwrap();
    let ledger = Ledger::at(folder.path().join("ledger.jsonl"));
    record(&ledger, 1, 100).unwrap();
    let head = fs::read(ledger.beside("head")).unwrap();
    record(&ledger, 1, 100).unwrap();
    fs::write(ledger.beside("head"), head).unwrap();
    let whole = fs::read(&ledger.path).unwrap();
    fs::write(&ledger.path, &whole[..whole.len() - 3]).unwrap();
    record(&ledger, 1, 100).unwrap();
    assert_eq!(lines(&ledger), 2);
}

#[test]
fn a_head_left_behind_by_a_crash_does_not_break_the_ledger() {
    let folder = tempfile::tempdir().unwrap();
    let ledger = Ledger::at(folder.path().join("ledger.jsonl"));
    record(&ledger, 1, 100).unwrap();
    let head = fs::read(ledger.beside("head")).unwrap();
    for _ in 0..2 * FOLD_LINES {
        record(&ledger, 1, 1000).unwrap();
        fs::write(ledger.beside("head"), &head).unwrap();
    }
    assert_eq!(spent(&ledger), 2 * FOLD_LINES + 1);
}

#[test]
fn those_who_record_at_once_together_spend_what_is_allowed_and_no_more() {
    let folder = tempfile::tempdir().unwrap();
    let path = folder.path().join("ledger.jsonl");
    let allowed = 2 * FOLD_LINES + 7;
    let recorded: usize = std::thread::scope(|scope| {
        let try_all = || {
            // A ledger of its own, as another process has.
            let ledger = Ledger::at(path.clone());
            let tries = 0..allowed;
            tries
                .filter(|_| record(&ledger, 1, allowed).is_ok())
                .count()
        };
        let threads: Vec<_> = (0..3).map(|_| scope.spawn(try_all)).collect();
        threads
            .into_iter()
            .map(|thread| thread.join().unwrap())
            .sum()
    });
    assert_eq!(recorded as u64, allowed);
    assert_eq!(Ledger::at(path).verify().unwrap().lines, allowed);
}

#[test]
fn refusals_and_starts_stand_in_the_chain_and_spend_nothing() {
    let folder = tempfile::tempdir().unwrap();
    let ledger = Ledger::at(folder.path().join("ledger.jsonl"));
    record(&ledger, 1, 2).unwrap();
    let refusal = Entry::Refusal(Refusal {
        session: Digest::of(b"session"),
        policy: Digest::of(b"policy"),
        code: "spent".into(),
        reason: "no run is left".into(),
    });
    let names: Vec<Name> = (0..1024)
        .map(|i| format!("{i:0>128}").parse().unwrap())
        .collect();
    let start = Entry::Start(Start {
        session: Digest::of(b"session"),
        policy: Digest::of(b"policy"),
        job: Digest::of(b"job"),
        datasets: names,
    });
    ledger
        .note(refusal.clone(), SystemTime::UNIX_EPOCH)
        .unwrap();
    let head = ledger.note(start.clone(), SystemTime::UNIX_EPOCH).unwrap();
    assert_eq!(spent(&ledger), 1);
    let (end, entries) = entries(&ledger);
    assert_eq!((end, ledger.head().unwrap()), (head, head));
    assert_eq!(entries, [Entry::Release(release(1)), refusal, start]);
}

#[test]
fn an_entry_no_reader_would_take_is_not_written() {
    let folder = tempfile::tempdir().unwrap();
    let ledger = Ledger::at(folder.path().join("ledger.jsonl"));
    let refusal = Entry::Refusal(Refusal {
        session: Digest::of(b"session"),
        policy: Digest::of(b"policy"),
        code: "spent".into(),
        reason: "x".repeat(MAX_LINE),
    });
    let refused = ledger.note(refusal, SystemTime::UNIX_EPOCH);
    assert!(matches!(refused, Err(LedgerError::TooLong { .. })));
    assert_eq!(ledger.verify().unwrap().lines, 0);
}
