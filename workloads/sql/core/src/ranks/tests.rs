use std::task::{Context, Poll, Waker};

use super::{Failed, Item, Key, Message, Mux, Verdict};

const WINDOW: usize = 100;

fn key(exchange: u32, rank: usize) -> Key {
    Key {
        run: 1,
        exchange,
        rank,
    }
}

fn two() -> [Mux<&'static str>; 2] {
    let mut both = [Mux::new(0, 2, WINDOW), Mux::new(1, 2, WINDOW)];
    both.iter_mut().for_each(|mux| mux.begin(1));
    both
}

/// Carries everything that `from` has for the other, a few bytes at a time.
fn carry(both: &mut [Mux<&'static str>; 2], from: usize) {
    let [first, second] = both;
    let (sender, receiver) = match from {
        0 => (first, second),
        _ => (second, first),
    };
    let to = 1 - from;
    while let Some(bytes) = sender.outgoing(to) {
        let piece = bytes[..bytes.len().min(7)].to_vec();
        sender.sent(to, piece.len());
        assert_eq!(receiver.arrived(from, &piece), Ok(()));
    }
}

fn context() -> Context<'static> {
    Context::from_waker(Waker::noop())
}

fn received(
    mux: &mut Mux<&'static str>,
    key: Key,
) -> Poll<Result<Option<Item<&'static str>>, String>> {
    mux.poll_receive(key, &mut context())
}

#[test]
fn rows_arrive_in_order_and_then_their_end() {
    let mut both = two();
    both[0].send(key(1, 1), b"first");
    both[0].send(key(2, 1), b"of another exchange");
    both[0].send(key(1, 1), b"");
    both[0].finish(key(1, 1));
    carry(&mut both, 0);
    let own = key(1, 0);
    let bytes = |bytes: &[u8]| Poll::Ready(Ok(Some(Item::Bytes(bytes.to_vec()))));
    assert_eq!(received(&mut both[1], own), bytes(b"first"));
    assert_eq!(received(&mut both[1], own), bytes(b""));
    assert_eq!(received(&mut both[1], own), Poll::Ready(Ok(None)));
    assert_eq!(
        received(&mut both[1], key(2, 0)),
        bytes(b"of another exchange")
    );
    assert_eq!(received(&mut both[1], key(2, 0)), Poll::Pending);
}

#[test]
fn one_full_window_holds_up_no_other_exchange() {
    let mut both = two();
    both[0].send(key(1, 1), &[0; WINDOW]);
    assert_eq!(both[0].poll_room(key(1, 1), &mut context()), Poll::Pending);
    assert_eq!(
        both[0].poll_room(key(2, 1), &mut context()),
        Poll::Ready(true)
    );
    both[0].send(key(2, 1), b"passes");
    carry(&mut both, 0);
    let passes = Poll::Ready(Ok(Some(Item::Bytes(b"passes".to_vec()))));
    assert_eq!(received(&mut both[1], key(2, 0)), passes);

    // What is taken makes room.
    carry(&mut both, 1);
    assert_eq!(both[0].poll_room(key(1, 1), &mut context()), Poll::Pending);
    assert!(received(&mut both[1], key(1, 0)).is_ready());
    carry(&mut both, 1);
    assert_eq!(
        both[0].poll_room(key(1, 1), &mut context()),
        Poll::Ready(true)
    );
}

#[test]
fn an_instance_keeps_its_own_rows_within_the_window_too() {
    let [mut mux, _] = two();
    let own = key(1, 0);
    mux.keep(own, "rows", WINDOW);
    assert_eq!(mux.poll_room(own, &mut context()), Poll::Pending);
    assert_eq!(
        received(&mut mux, own),
        Poll::Ready(Ok(Some(Item::Own("rows"))))
    );
    assert_eq!(mux.poll_room(own, &mut context()), Poll::Ready(true));
    mux.finish(own);
    assert_eq!(received(&mut mux, own), Poll::Ready(Ok(None)));
}

#[test]
fn a_receiver_that_wants_no_more_lets_the_sender_go_on() {
    let mut both = two();
    both[0].send(key(1, 1), &[0; WINDOW]);
    both[1].cancel(key(1, 0));
    carry(&mut both, 1);
    assert_eq!(
        both[0].poll_room(key(1, 1), &mut context()),
        Poll::Ready(false)
    );
    carry(&mut both, 0);
    assert_eq!(received(&mut both[1], key(1, 0)), Poll::Pending);
}

#[test]
fn of_earlier_runs_nothing_is_kept_and_of_later_ones_all() {
    let mut both = two();
    let next = Key {
        run: 2,
        ..key(1, 1)
    };
    both[0].send(next, b"early");
    both[0].tell(1, 2, &Message::Alone);
    carry(&mut both, 0);
    both[1].begin(2);
    both[0].send(key(1, 1), b"late");
    both[0].tell(1, 1, &Message::Together);
    carry(&mut both, 0);
    assert_eq!(received(&mut both[1], key(1, 0)), Poll::Ready(Ok(None)));
    let early = Poll::Ready(Ok(Some(Item::Bytes(b"early".to_vec()))));
    assert_eq!(received(&mut both[1], Key { rank: 0, ..next }), early);
    let told = both[1].poll_message(&mut context());
    assert_eq!(told, Poll::Ready((0, Message::Alone)));
    assert!(both[1].poll_message(&mut context()).is_pending());
}

#[test]
fn an_instance_that_ended_is_missed() {
    let mut both = two();
    assert_eq!(received(&mut both[0], key(1, 1)), Poll::Pending);
    both[0].ended(1);
    let Poll::Ready(Err(words)) = received(&mut both[0], key(1, 1)) else {
        panic!("it waits on");
    };
    assert_eq!(words, "instance 1 ended before it sent all rows");
    assert_eq!(
        both[0].poll_room(key(1, 1), &mut context()),
        Poll::Ready(false)
    );
    both[0].tell(1, 1, &Message::Alone);
    assert_eq!(both[0].outgoing(1), None);
}

#[test]
fn messages_come_as_they_were_told() {
    let mut both = two();
    let failed = |code: Option<&str>| {
        Message::Failed(Failed {
            code: code.map(str::to_owned),
            words: "row 7: ü is no number".to_owned(),
            exhausted: code.is_none(),
        })
    };
    let all = [
        Message::Planned(None),
        Message::Planned(Some(u64::MAX - 1)),
        Message::Together,
        Message::Alone,
        failed(None),
        failed(Some("bad-value")),
        Message::Ended(Verdict::Next),
        Message::Ended(Verdict::Spilling),
        Message::Ended(Verdict::Stop),
    ];
    for message in &all {
        both[0].tell(1, 1, message);
    }
    carry(&mut both, 0);
    for message in all {
        let told = both[1].poll_message(&mut context());
        assert_eq!(told, Poll::Ready((0, message)));
    }
}

#[test]
fn what_instances_do_not_say_is_refused() {
    let [mut mux, _] = two();
    let words = "instance 1 sent what instances of this program do not".to_owned();
    assert_eq!(mux.arrived(1, &[9; 16]), Err(words.clone()));
    let [mut mux, _] = two();
    // A message of no known kind.
    let mut bytes = [0; 17];
    (bytes[0], bytes[4], bytes[12], bytes[16]) = (5, 1, 1, 77);
    assert_eq!(mux.arrived(1, &bytes), Err(words));
}
