//! Collectives over pipes of this machine.

use std::io::pipe;
use std::thread;

use super::*;

/// A quarter of what the system's pipes hold.
const SMALL_PIECE: usize = 16 * 1024;

fn collectives(size: usize) -> Vec<Collective> {
    let mut links: Vec<Vec<Option<Link>>> = Vec::new();
    links.resize_with(size, || (0..size).map(|_| None).collect());
    let pairs = (0..size).flat_map(|low| (low + 1..size).map(move |high| (low, high)));
    for (low, high) in pairs {
        let (up, down) = (pipe().unwrap(), pipe().unwrap());
        links[low][high] = Some(Link {
            out: Box::new(up.1),
            into: Box::new(down.0),
        });
        links[high][low] = Some(Link {
            out: Box::new(down.1),
            into: Box::new(up.0),
        });
    }
    let make = |(rank, links)| Collective::over(rank, links, SMALL_PIECE);
    links.into_iter().enumerate().map(make).collect()
}

/// What `work` comes to in each of `size` instances at once.
fn all<T: Send + 'static>(
    size: usize,
    work: impl Fn(&mut Collective) -> T + Clone + Send + 'static,
) -> Vec<T> {
    let start = |mut collective| {
        let work = work.clone();
        thread::spawn(move || work(&mut collective))
    };
    let threads: Vec<_> = collectives(size).into_iter().map(start).collect();
    threads
        .into_iter()
        .map(|thread| thread.join().unwrap())
        .collect()
}

fn value(rank: usize, index: usize) -> f64 {
    let wild = (rank as u64 * 1_000_003 + index as u64).wrapping_mul(0x9e37_79b9_7f4a_7c15);
    (wild >> 11) as f64 * 10_f64.powi((wild % 30) as i32 - 20)
}

#[test]
fn all_get_the_same_sums_in_the_order_of_ranks_whatever_the_length() {
    for size in 1..6 {
        for count in [0, 1, 7, 5_000, 20_000, 40_001] {
            let sums = all(size, move |collective| {
                let rank = collective.rank() as usize;
                let mut values: Vec<f64> = (0..count).map(|i| value(rank, i)).collect();
                collective.allreduce(&mut values, Reduce::Sum).unwrap();
                values
            });
            let expected: Vec<f64> = (0..count)
                .map(|i| (1..size).fold(value(0, i), |sum, rank| sum + value(rank, i)))
                .collect();
            for sum in sums {
                let same = |(a, b): (&f64, &f64)| a.to_bits() == b.to_bits();
                assert!(
                    sum.iter().zip(&expected).all(same) && sum.len() == count,
                    "{size} {count}"
                );
            }
        }
    }
}

#[test]
fn the_largest_and_the_smallest_are_found() {
    let found = all(3, |collective| {
        let rank = f64::from(collective.rank());
        let mut values = [rank, -rank, 5.0];
        collective.allreduce(&mut values, Reduce::Max).unwrap();
        let max = values;
        values = [rank, -rank, 5.0];
        collective.allreduce(&mut values, Reduce::Min).unwrap();
        (max, values)
    });
    for (max, min) in found {
        assert_eq!((max, min), ([2.0, 0.0, 5.0], [0.0, -2.0, 5.0]));
    }
}

#[test]
fn what_one_says_all_hear() {
    for length in [0, 3, 300_000] {
        let heard = all(3, move |collective| {
            let mut heard = Vec::new();
            for root in 0..3 {
                let mut bytes = vec![collective.rank() as u8; length + root as usize];
                collective.broadcast(&mut bytes, root).unwrap();
                heard.push(bytes);
            }
            heard
        });
        for heard in heard {
            for (root, bytes) in heard.iter().enumerate() {
                assert!(*bytes == vec![root as u8; length + root]);
            }
        }
    }
}

#[test]
fn everybody_s_bytes_come_in_the_order_of_ranks_whatever_their_lengths() {
    let lengths = [200_000, 0, 70_000, 5];
    let gathered = all(4, move |collective| {
        let rank = collective.rank() as usize;
        let mut all = Vec::new();
        for _ in 0..3 {
            all = collective
                .allgather(&vec![rank as u8; lengths[rank]])
                .unwrap();
        }
        all
    });
    for all in gathered {
        for (rank, bytes) in all.iter().enumerate() {
            assert!(*bytes == vec![rank as u8; lengths[rank]], "{rank}");
        }
    }
}

#[test]
fn calls_of_every_kind_follow_each_other() {
    let ends = all(2, |collective| {
        for round in 0..200 {
            let mut values = vec![1.0; 100 * round];
            collective.allreduce(&mut values, Reduce::Sum).unwrap();
            assert!(values.iter().all(|value| *value == 2.0));
            let mut bytes = vec![round as u8];
            collective.broadcast(&mut bytes, round as u32 % 2).unwrap();
            assert_eq!(
                collective.allgather(&bytes).unwrap(),
                [bytes.clone(), bytes]
            );
        }
    });
    assert_eq!(ends.len(), 2);
}

fn messages(work: impl Fn(&mut Collective) -> Result + Clone + Send + 'static) -> Vec<String> {
    let ends = all(2, work);
    ends.into_iter()
        .map(|end| end.unwrap_err().to_string())
        .collect()
}

#[test]
fn instances_out_of_step_are_told_so() {
    let said = messages(|collective| match collective.rank() {
        0 => collective.allreduce(&mut [1.0], Reduce::Sum),
        _ => collective.allgather(b"x").map(drop),
    });
    assert!(said[0].contains("instance 1 is out of step"), "{said:?}");
    assert!(said[1].contains("instance 0 is out of step"), "{said:?}");
    let said = messages(|collective| {
        let mut values = vec![0.0; 1 + collective.rank() as usize];
        collective.allreduce(&mut values, Reduce::Sum)
    });
    assert!(said[0].contains("instance 1 gave 2 values"), "{said:?}");
    let said = messages(|collective| collective.broadcast(&mut Vec::new(), 2));
    assert!(said[0].contains("there is no instance 2 of 2"), "{said:?}");
}

#[test]
fn an_instance_that_is_gone_is_named() {
    let mut two = collectives(2);
    drop(two.pop());
    let error = two[0].allgather(b"x").unwrap_err().to_string();
    assert!(error.contains("instance 1"), "{error}");
}
