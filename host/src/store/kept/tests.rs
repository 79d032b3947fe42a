use std::sync::{
    Arc, Mutex,
    atomic::{AtomicBool, Ordering},
};

use mc2_protocol::Digest;

use super::{Keeping, Kept, Payer};
use crate::{
    clock::now,
    config::{Quota, Token},
    refusal::Refusal,
    store::records::{Records, Table},
    transfer::Side,
    waiting::lock,
};

const OBJECT: Digest = Digest::from_bytes([7; 32]);

fn open(folder: &std::path::Path) -> Keeping {
    let records = Arc::new(Records::open(folder, false).unwrap());
    Keeping::open(records, Quota::default(), None).unwrap()
}

fn new(used: u64) -> Kept {
    Kept {
        bytes: 10,
        stored: used,
        used,
        dataset: "data".into(),
        output: false,
        holder: None,
    }
}

fn store(kept: &Keeping, object: &Digest, used: u64) {
    let storing = kept.storing(Table::Objects, object, new(used)).unwrap();
    storing.stored();
}

fn objects(kept: &Keeping) -> u64 {
    kept.bytes().0
}

fn is_known(kept: &Keeping, object: &Digest) -> bool {
    kept.find(Table::Objects, object).unwrap().is_some()
}

#[test]
fn what_is_young_or_needed_stays_and_the_rest_goes() {
    let folder = tempfile::tempdir().unwrap();
    let kept = open(folder.path());
    let all: Vec<Digest> = (0..600_u32).map(|n| Digest::of(&n.to_be_bytes())).collect();
    for (object, used) in all.iter().zip(0..) {
        store(&kept, object, used);
    }
    assert_eq!(objects(&kept), 6000);
    let odd = |object: &Digest| all.iter().position(|it| it == object).unwrap() % 2 == 1;
    let gone = Mutex::new(Vec::new());
    let swept = kept.sweep(
        Table::Objects,
        400,
        &|| false,
        |object, _| odd(object),
        |object| {
            lock(&gone).push(*object);
            Ok(())
        },
    );
    assert_eq!(swept.unwrap(), 200);
    let gone = lock(&gone);
    for (place, object) in all.iter().enumerate() {
        let goes = place < 400 && place % 2 == 0;
        assert_eq!(gone.contains(object), goes, "{place}");
        assert_eq!(is_known(&kept, object), !goes, "{place}");
    }
    assert_eq!(objects(&kept), 4000);
    drop(kept);
    // Counted anew after a start.
    assert_eq!(objects(&open(folder.path())), 4000);
}

#[test]
fn a_sweep_ends_with_the_host() {
    let folder = tempfile::tempdir().unwrap();
    let kept = open(folder.path());
    for number in 0..10_u8 {
        store(&kept, &Digest::of(&[number]), 1);
    }
    let asked = Mutex::new(0);
    let stop = || {
        *lock(&asked) += 1;
        *lock(&asked) > 3
    };
    let swept = kept.sweep(Table::Objects, 9, &stop, |_, _| false, |_| Ok(()));
    assert_eq!((swept.unwrap(), objects(&kept)), (3, 70));
}

#[test]
fn what_is_being_stored_is_not_removed() {
    let folder = tempfile::tempdir().unwrap();
    let kept = open(folder.path());
    store(&kept, &OBJECT, 1);
    let sweep = || {
        let swept = kept.sweep(Table::Objects, 9, &|| false, |_, _| false, |_| Ok(()));
        swept.unwrap()
    };
    // Another upload of the same object, from before the sweep's time.
    let storing = kept.storing(Table::Objects, &OBJECT, new(2)).unwrap();
    assert_eq!(sweep(), 0);
    storing.stored();
    drop(storing);
    assert_eq!(sweep(), 1);
    assert_eq!((objects(&kept), is_known(&kept, &OBJECT)), (0, false));
}

#[test]
fn who_stores_what_is_being_removed_stores_it_afterwards() {
    let folder = tempfile::tempdir().unwrap();
    let kept = open(folder.path());
    store(&kept, &OBJECT, 1);
    let (there, begun) = (AtomicBool::new(true), AtomicBool::new(false));
    std::thread::scope(|scope| {
        let removing = |_: &Digest| {
            scope.spawn(|| {
                begun.store(true, Ordering::SeqCst);
                let storing = kept.storing(Table::Objects, &OBJECT, new(2)).unwrap();
                there.store(true, Ordering::SeqCst);
                storing.stored();
            });
            while !begun.load(Ordering::SeqCst) {
                std::thread::yield_now();
            }
            // Long enough for one who does not wait.
            std::thread::sleep(std::time::Duration::from_millis(100));
            there.store(false, Ordering::SeqCst);
            Ok(())
        };
        let swept = kept.sweep(Table::Objects, 2, &|| false, |_, _| false, removing);
        assert_eq!(swept.unwrap(), 1);
    });
    assert!(there.load(Ordering::SeqCst) && is_known(&kept, &OBJECT));
    assert_eq!(objects(&kept), 10);
}

#[test]
fn no_session_is_opened_between_the_question_what_is_needed_and_the_removal() {
    let folder = tempfile::tempdir().unwrap();
    let kept = open(folder.path());
    store(&kept, &OBJECT, 1);
    let is_opening = || kept.0.opening.try_lock().is_err();
    let held = Mutex::new(Vec::new());
    let asked = |_: &Digest, _: &Kept| {
        lock(&held).push(is_opening());
        false
    };
    let swept = kept.sweep(Table::Objects, 9, &|| false, asked, |_| {
        lock(&held).push(is_opening());
        Ok(())
    });
    assert_eq!(swept.unwrap(), 1);
    // The first question is only whether it is worth the lock.
    assert_eq!(*lock(&held), [false, true, true]);
}

#[test]
fn what_was_read_lately_stays() {
    let folder = tempfile::tempdir().unwrap();
    let kept = open(folder.path());
    store(&kept, &OBJECT, 1);
    kept.touch(Table::Objects, &OBJECT).unwrap();
    let day_ago = now() - 86400;
    let swept = kept.sweep(Table::Objects, day_ago, &|| false, |_, _| false, |_| Ok(()));
    assert_eq!(swept.unwrap(), 0);
    // What is not there is not there for being asked for.
    let other = Digest::of(b"other");
    kept.touch(Table::Objects, &other).unwrap();
    assert!(!is_known(&kept, &other));
}

#[test]
fn what_could_not_be_stored_does_not_count_and_what_could_not_be_removed_does() {
    let folder = tempfile::tempdir().unwrap();
    let kept = open(folder.path());
    drop(kept.storing(Table::Objects, &OBJECT, new(1)).unwrap());
    assert_eq!((objects(&kept), is_known(&kept, &OBJECT)), (0, false));
    store(&kept, &OBJECT, 1);
    let failing = |_: &Digest| Err(Refusal::busy("storage-unavailable", "out of reach"));
    let swept = kept.sweep(Table::Objects, 9, &|| false, |_, _| false, failing);
    assert_eq!(swept.unwrap(), 0);
    assert_eq!((objects(&kept), is_known(&kept, &OBJECT)), (10, true));
}

fn payer(side: Side, token: Option<(&str, u64)>) -> Payer {
    let token = token.map(|(name, bytes)| {
        Arc::new(Token {
            name: name.into(),
            sha256: [0; 32],
            rate: None,
            bytes: Some(bytes),
        })
    });
    Payer { side, token }
}

#[test]
fn clients_send_as_much_as_is_kept_of_them_and_of_their_token_and_no_more() {
    let folder = tempfile::tempdir().unwrap();
    let limited = |objects| {
        let quota = Quota {
            object_bytes: Some(objects),
            component_bytes: Some(5),
            ..Quota::default()
        };
        let records = Arc::new(Records::open(folder.path(), false).unwrap());
        Keeping::open(records, quota, None).unwrap()
    };
    let kept = limited(100);
    let reserve = |kept: &Keeping, payer: &Payer, table, bytes| {
        let reserved = kept.reserve(payer, table, bytes);
        reserved.map_err(|refusal| (refusal.status.as_u16(), refusal.code))
    };
    let full = Some((507, "quota"));
    let (anybody, runtime) = (payer(Side::Client, None), payer(Side::Runtime, None));
    let bank = payer(Side::Client, Some(("bank", 60)));
    let mut room = reserve(&kept, &anybody, Table::Objects, 50).ok().unwrap();
    assert_eq!(reserve(&kept, &anybody, Table::Objects, 51).err(), full);
    // Of a part that was sent before nothing is new.
    room.shrink_to(20);
    let mut more = reserve(&kept, &bank, Table::Objects, 60).ok().unwrap();
    assert_eq!(reserve(&kept, &bank, Table::Objects, 1).err(), full);
    assert_eq!(reserve(&kept, &anybody, Table::Objects, 21).err(), full);
    // Each counts for its own: they are not one.
    more = room.absorb(more).unwrap();
    // What jobs leave is taken, and counts.
    assert!(reserve(&kept, &runtime, Table::Objects, 1000).is_ok());
    store(&kept, &OBJECT, 1);
    assert_eq!(reserve(&kept, &anybody, Table::Objects, 11).err(), full);
    drop(room);
    assert!(reserve(&kept, &anybody, Table::Objects, 30).is_ok());
    // Components have a bound of their own, and count for the token as well.
    assert_eq!(reserve(&kept, &anybody, Table::Components, 6).err(), full);
    assert_eq!(reserve(&kept, &bank, Table::Components, 1).err(), full);
    drop(more);
    // What the last host left of a token's counts for it as well.
    let left = kept.found(60, Some("bank".into()));
    assert_eq!(reserve(&kept, &bank, Table::Objects, 1).err(), full);
    drop(left);
    let held = Kept {
        holder: Some("bank".into()),
        bytes: 58,
        ..new(1)
    };
    let other = Digest::of(b"other");
    let storing = kept.storing(Table::Objects, &other, held);
    storing.unwrap().stored();
    drop(kept);
    // Counted anew after a start.
    let kept = limited(100);
    assert_eq!(reserve(&kept, &bank, Table::Objects, 3).err(), full);
    assert!(reserve(&kept, &bank, Table::Objects, 2).is_ok());
    assert_eq!(reserve(&kept, &anybody, Table::Objects, 33).err(), full);
    let gone = kept.sweep(Table::Objects, 9, &|| false, |_, _| false, |_| Ok(()));
    assert_eq!(gone.unwrap(), 2);
    assert!(reserve(&kept, &bank, Table::Objects, 60).is_ok());
    assert!(kept.0.accounts.holders() == 0);
}

#[test]
fn what_several_store_at_once_is_known_if_one_of_them_stored_it_and_only_then() {
    let folder = tempfile::tempdir().unwrap();
    let kept = open(folder.path());
    let storing = || kept.storing(Table::Objects, &OBJECT, new(1)).unwrap();
    // Whoever came first may fail, and fail last.
    for stored in [true, false] {
        let [first, second] = [storing(), storing()];
        if stored {
            second.stored();
        }
        drop(second);
        assert_eq!(objects(&kept), 10);
        drop(first);
        assert_eq!(is_known(&kept, &OBJECT), stored);
        assert_eq!(objects(&kept), if stored { 10 } else { 0 });
        let gone = kept.sweep(Table::Objects, 9, &|| false, |_, _| false, |_| Ok(()));
        assert_eq!(gone.unwrap(), usize::from(stored));
    }
    let [first, second] = [storing(), storing()];
    drop(first);
    drop(second);
    assert_eq!((objects(&kept), is_known(&kept, &OBJECT)), (0, false));
}

#[test]
fn what_a_runtime_stores_again_is_an_output_of_now() {
    let folder = tempfile::tempdir().unwrap();
    let kept = open(folder.path());
    store(&kept, &OBJECT, 1);
    let output = Kept {
        output: true,
        ..new(5)
    };
    let again = kept.storing(Table::Objects, &OBJECT, output.clone());
    again.unwrap().stored();
    let found = || kept.find(Table::Objects, &OBJECT).unwrap().unwrap();
    assert_eq!(found(), output);
    // And stays one whoever stores it then.
    store(&kept, &OBJECT, 8);
    assert_eq!(found(), Kept { used: 8, ..output });
    assert_eq!(objects(&kept), 10);
}

#[test]
fn what_is_found_counts_once() {
    let folder = tempfile::tempdir().unwrap();
    let kept = open(folder.path());
    let found = || kept.found_stored(Table::Objects, &OBJECT, &new(1)).unwrap();
    assert!(found() && !found());
    assert_eq!(objects(&kept), 10);
}
