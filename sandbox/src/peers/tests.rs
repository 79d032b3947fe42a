//! Streams and their ends, without guests.

use std::future::Future;
use std::pin::pin;
use std::sync::atomic::{AtomicUsize, Ordering};
use std::task::Wake;
use std::thread;

use super::*;

/// The streams between two instances, from the first's point of view and the second's.
struct Two {
    peers: Arc<Peers>,
    seats: [Seat; 2],
    read: [PeerIn; 2],
    write: [PeerOut; 2],
}

fn two() -> Two {
    let peers = Peers::new(2);
    let seats = [peers.seat(0), peers.seat(1)];
    let streams = seats.each_ref().map(|seat| {
        let (_, from, to) = seat.streams().next().unwrap();
        (from, to.open().unwrap())
    });
    let [(read0, write0), (read1, write1)] = streams;
    Two {
        peers,
        seats,
        read: [read0, read1],
        write: [write0, write1],
    }
}

/// Polls once.
fn now<T>(future: impl Future<Output = T>) -> Option<T> {
    let mut cx = Context::from_waker(Waker::noop());
    match pin!(future).poll(&mut cx) {
        Poll::Ready(value) => Some(value),
        Poll::Pending => None,
    }
}

fn block_on<T>(future: impl Future<Output = T>) -> T {
    tokio::runtime::Builder::new_current_thread()
        .build()
        .unwrap()
        .block_on(future)
}

fn bytes(text: &'static str) -> Bytes {
    Bytes::from_static(text.as_bytes())
}

#[derive(Default)]
struct Count(AtomicUsize);

impl Wake for Count {
    fn wake(self: Arc<Self>) {
        self.0.fetch_add(1, Ordering::Relaxed);
    }
}

#[test]
fn what_one_writes_the_other_reads_and_nobody_else() {
    let peers = Peers::new(3);
    let seats: Vec<Seat> = (0..3).map(|rank| peers.seat(rank)).collect();
    let ranks = |seat: &Seat| seat.streams().map(|(rank, ..)| rank).collect::<Vec<_>>();
    assert_eq!(ranks(&seats[1]), [0, 2]);
    let mut kept = Vec::new();
    for seat in &seats {
        for (other, _, out) in seat.streams() {
            let out = out.open().unwrap();
            let text = format!("{} to {other}", seat.rank);
            now(out.write(text.into())).unwrap().unwrap();
            kept.push(out);
        }
    }
    for seat in &seats {
        for (other, into, _) in seat.streams() {
            let text = format!("{other} to {}", seat.rank);
            assert_eq!(into.try_read(100).unwrap(), text);
            assert_eq!(into.try_read(100), None);
        }
    }
}

#[test]
fn a_full_stream_makes_its_writer_wait_and_no_other() {
    let two = two();
    let full = Bytes::from(vec![7; PEER_BYTES]);
    now(two.write[0].write(full)).unwrap().unwrap();
    // The capacity is not the end of it, see `Pipe::room`, and one more byte is.
    assert_eq!(two.write[0].room(), Ok(1));
    now(two.write[0].write(bytes("x"))).unwrap().unwrap();
    assert_eq!(two.write[0].room(), Ok(0));
    assert!(now(two.write[0].write(bytes("y"))).is_none());
    assert_eq!(two.write[1].room(), Ok(PEER_BYTES + 1));
    assert_eq!(two.read[1].try_read(10).unwrap().len(), 10);
    assert_eq!(two.write[0].room(), Ok(10));
}

#[test]
fn reads_wait_and_are_woken() {
    let two = two();
    let count = Arc::new(Count::default());
    let waker = Waker::from(Arc::clone(&count));
    let mut cx = Context::from_waker(&waker);
    let mut read = pin!(two.read[1].read(10));
    assert!(read.as_mut().poll(&mut cx).is_pending());
    now(two.write[0].write(bytes("now"))).unwrap().unwrap();
    assert_eq!(count.0.load(Ordering::Relaxed), 1);
    let Poll::Ready(read) = read.as_mut().poll(&mut cx) else {
        panic!("still waiting");
    };
    assert_eq!(read, "now");
    assert_eq!(two.peers.failure(), None);
}

#[test]
fn a_stream_ends_when_its_last_writer_closes_it() {
    let Two {
        seats, read, write, ..
    } = two();
    let [out, _] = write;
    let another = out.clone();
    now(out.write(bytes("last"))).unwrap().unwrap();
    drop(out);
    assert_eq!(read[1].try_read(2).unwrap(), "la");
    drop(another);
    assert_eq!(now(read[1].read(100)).unwrap(), "st");
    assert_eq!(now(read[1].read(100)).unwrap(), "");
    // It has ended for good.
    let (_, _, again) = seats[0].streams().next().unwrap();
    assert!(again.open().is_err());
}

#[test]
fn success_ends_the_streams_from_and_to_an_instance() {
    let Two {
        peers,
        seats,
        read,
        write,
    } = two();
    let [first, second] = seats;
    now(write[1].write(bytes("kept"))).unwrap().unwrap();
    second.end(&Ok(()));
    assert_eq!(now(read[0].read(100)).unwrap(), "kept");
    assert_eq!(now(read[0].read(100)).unwrap(), "");
    assert_eq!(now(write[0].write(bytes("x"))).unwrap(), Err(Gone));
    first.end(&Ok(()));
    assert_eq!(peers.failure(), None);
    assert!(!peers.stop().is_cancelled());
}

#[test]
fn a_failure_stops_all_and_never_looks_like_the_end_of_a_stream() {
    let Two {
        peers,
        seats,
        read,
        write,
    } = two();
    let [_first, second] = seats;
    second.end(&Err(Failure::Exit(1)));
    drop(write);
    assert!(peers.stop().is_cancelled());
    assert_eq!(read[0].try_read(100), None);
    assert!(now(read[0].readable()).is_none());
    let first = FirstFailure {
        rank: Some(1),
        failure: Failure::Exit(1),
    };
    assert_eq!(peers.failure(), Some(first.clone()));
    // Only the first counts.
    peers.fail(Some(0), Failure::Cancelled);
    assert_eq!(peers.failure(), Some(first));
}

#[test]
fn an_instance_that_vanishes_has_failed() {
    let Two { peers, seats, .. } = two();
    drop(seats);
    assert!(matches!(
        peers.failure().unwrap().failure,
        Failure::Internal(_)
    ));
}

fn deadlock() -> Option<FirstFailure> {
    Some(FirstFailure {
        rank: None,
        failure: Failure::Deadlock,
    })
}

#[test]
fn all_waiting_for_each_other_is_a_deadlock() {
    let two = two();
    let mut cx = Context::from_waker(Waker::noop());
    let mut first = pin!(two.read[0].read(1));
    let mut second = pin!(two.read[1].read(1));
    assert!(first.as_mut().poll(&mut cx).is_pending());
    assert_eq!(two.peers.failure(), None);
    assert!(second.as_mut().poll(&mut cx).is_pending());
    assert_eq!(two.peers.failure(), deadlock());
    assert!(two.peers.stop().is_cancelled());
}

#[test]
fn both_writing_into_full_streams_is_a_deadlock() {
    let two = two();
    let mut cx = Context::from_waker(Waker::noop());
    let more = || Bytes::from(vec![1; PEER_BYTES + 2]);
    let mut first = pin!(two.write[0].write(more()));
    let mut second = pin!(two.write[1].write(more()));
    assert!(first.as_mut().poll(&mut cx).is_pending());
    assert!(second.as_mut().poll(&mut cx).is_pending());
    assert_eq!(two.peers.failure(), deadlock());
}

#[test]
fn waiting_for_one_that_can_go_on_is_none() {
    let Two {
        peers,
        seats,
        read,
        write,
    } = two();
    let mut cx = Context::from_waker(Waker::noop());
    {
        let mut first = pin!(read[0].read(1));
        assert!(first.as_mut().poll(&mut cx).is_pending());
        // Woken, and not yet running again.
        now(write[1].write(bytes("x"))).unwrap().unwrap();
        let mut second = pin!(read[1].read(1));
        assert!(second.as_mut().poll(&mut cx).is_pending());
        assert_eq!(peers.failure(), None);
    }
    // A wait that was given up is none.
    let polls = seats[0].polls();
    {
        let _several = polls.several();
        let mut first = pin!(read[0].readable());
        let _ = first.as_mut().poll(&mut cx);
        let mut second = pin!(read[1].readable());
        assert!(second.as_mut().poll(&mut cx).is_pending());
        assert_eq!(
            peers.failure(),
            None,
            "the first waits for something else too"
        );
    }
    let [first, second] = seats;
    first.end(&Ok(()));
    drop(second);
}

#[test]
fn those_that_ended_are_not_waited_for() {
    let peers = Peers::new(3);
    let [first, second, third] = [0, 1, 2].map(|rank| peers.seat(rank));
    let (_, from_second, _) = first.streams().next().unwrap();
    let (_, from_first, _) = second.streams().next().unwrap();
    let mut cx = Context::from_waker(Waker::noop());
    let mut one = pin!(from_second.readable());
    let mut two = pin!(from_first.readable());
    assert!(one.as_mut().poll(&mut cx).is_pending());
    assert!(two.as_mut().poll(&mut cx).is_pending());
    assert_eq!(peers.failure(), None, "the third might write");
    third.end(&Ok(()));
    assert_eq!(peers.failure(), deadlock());
}

#[test]
fn megabytes_pass_between_threads_whatever_the_pieces() {
    const TOTAL: usize = 20 << 20;
    let Two {
        peers,
        seats,
        read,
        write,
    } = two();
    let [in0, in1] = read;
    let [out0, out1] = write;
    // The first is on two threads here, which no guest is.
    let _several = seats[0].polls().several();
    let echo = thread::spawn(move || {
        block_on(async {
            loop {
                let bytes = in1.read(100_000).await;
                if bytes.is_empty() {
                    break;
                }
                out1.write(bytes).await.unwrap();
            }
        });
    });
    let send = thread::spawn(move || {
        let sizes = [1, 70_000, 3, 300_000, 4096, 9];
        let mut sent = 0;
        block_on(async {
            for size in sizes.iter().cycle() {
                let size = (*size).min(TOTAL - sent);
                let piece: Vec<u8> = (sent..sent + size).map(|i| (i % 253) as u8).collect();
                out0.write(piece.into()).await.unwrap();
                sent += size;
                if sent == TOTAL {
                    break;
                }
            }
        });
    });
    let mut at = 0;
    block_on(async {
        loop {
            let bytes = in0.read(64 << 10).await;
            if bytes.is_empty() {
                break;
            }
            for byte in bytes {
                assert_eq!(byte, (at % 253) as u8, "at {at}");
                at += 1;
            }
        }
    });
    assert_eq!(at, TOTAL);
    send.join().unwrap();
    echo.join().unwrap();
    assert_eq!(peers.failure(), None);
    drop(seats);
}

#[test]
fn a_wait_that_is_dropped_leaves_no_trace() {
    let two = two();
    assert!(now(two.read[0].readable()).is_none());
    assert!(now(two.read[1].readable()).is_none());
    assert_eq!(two.peers.failure(), None);
    assert!(two.peers.lock().seats.iter().all(|seat| seat.waits == 0));
}
