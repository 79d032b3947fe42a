//! Lies drawn from a seed, about anything that is asked.

use std::{
    collections::BTreeMap,
    sync::{Arc, Mutex},
    time::Duration,
};

use bytes::Bytes;
use mc2_protocol::Digest;
use mc2_wire::routes::CONTROL_PATH;

use super::{Asked, Exchange, Liar, Lie, lock};

const MAX_DELAY: u64 = 300;
/// Statuses to answer with, the good ones among them.
const STATUSES: [u16; 14] = [
    200, 201, 202, 204, 400, 401, 404, 409, 410, 413, 429, 500, 503, 507,
];
/// What a job may be said to be.
const STATES: [&str; 5] = ["running", "waiting", "done", "failed", "lost"];

impl Liar {
    /// From now on lies to so many of a thousand requests, and remembers what passes: with one seed
    /// about the same requests the same lies, where what it makes them of is the same.
    ///
    /// A runtime's idle connection is left alone: hanging up on it says nothing untrue.
    pub fn lie_at_random(&self, seed: u64, per_mille: u64) {
        self.remember();
        let inner = Arc::downgrade(&self.0);
        let counted: Mutex<BTreeMap<String, u64>> = Mutex::default();
        self.tell(move |asked| {
            if asked.path == CONTROL_PATH {
                return None;
            }
            let shape = shape(asked);
            let number = {
                let mut counted = lock(&counted);
                let number = counted.entry(shape.clone()).or_default();
                *number += 1;
                *number
            };
            let mut draw = Draw::new(seed, &shape, number);
            if draw.below(1000) >= per_mille {
                return None;
            }
            let memory = lock(&inner.upgrade()?.memory).clone().unwrap_or_default();
            Some(draw.lie(&shape, &memory))
        });
    }
}

/// Numbers that follow from a seed, a kind of request, and which of its kind it is.
struct Draw(u64);

impl Draw {
    fn new(seed: u64, shape: &str, number: u64) -> Self {
        let digest = Digest::of(format!("{seed} {number} {shape}").as_bytes());
        let mut bytes = [0; 8];
        bytes.copy_from_slice(&digest.as_bytes()[..8]);
        Self(u64::from_be_bytes(bytes))
    }

    /// SplitMix64.
    fn next(&mut self) -> u64 {
        self.0 = self.0.wrapping_add(0x9e37_79b9_7f4a_7c15);
        let mut mixed = self.0;
        mixed = (mixed ^ (mixed >> 30)).wrapping_mul(0xbf58_476d_1ce4_e5b9);
        mixed = (mixed ^ (mixed >> 27)).wrapping_mul(0x94d0_49bb_1331_11eb);
        mixed ^ (mixed >> 31)
    }

    fn below(&mut self, bound: u64) -> u64 {
        self.next() % bound
    }

    fn of<'a, T>(&mut self, all: &'a [T]) -> Option<&'a T> {
        let at = self.below(all.len().max(1) as u64) as usize;
        all.get(at)
    }

    fn lie(&mut self, shape: &str, memory: &[Exchange]) -> Lie {
        let alike: Vec<&Exchange> = memory
            .iter()
            .filter(|one| self::shape(&one.asked) == shape)
            .collect();
        let earlier = self.of(&alike).map(|earlier| (*earlier).clone());
        let number = self.next();
        let at = number as usize;
        match (self.below(18), earlier) {
            (0, _) => Lie::Drop,
            (1, _) => Lie::Hangup,
            (2, _) => Lie::Break,
            (3, _) => Lie::Swallow,
            (4, _) => Lie::Twice,
            (5, _) => Lie::Overtaken,
            (6, _) => Lie::Late(Duration::from_millis(number % MAX_DELAY)),
            (7, _) => Lie::Cut(1 + at % 64),
            (8, _) => Lie::Grow(1 + at % 64),
            (9, _) => Lie::request(move |_, bytes| flipped(bytes, at)),
            (10, _) => Lie::request(move |_, mut bytes| {
                bytes.truncate(at % bytes.len().max(1));
                bytes
            }),
            (11, _) => Lie::change(move |_, bytes| said_to_be(&bytes, STATES[at % STATES.len()])),
            // What passed before: its answer, its question, in its place or besides.
            (12, Some(earlier)) => Lie::Bytes(earlier.response),
            (13, Some(earlier)) => Lie::request(move |_, _| earlier.request.clone().into()),
            (14, Some(earlier)) => Lie::Instead(earlier.asked.path),
            (15, Some(earlier)) => Lie::Replay(Box::new(earlier)),
            (16, _) => Lie::Status(STATUSES[at % STATUSES.len()]),
            (17, _) => Lie::Bytes(Bytes::copy_from_slice(&number.to_be_bytes())),
            _ => Lie::change(move |_, bytes| flipped(bytes, at)),
        }
    }
}

/// What is asked, but for which object, session or job: two of one shape can stand for each other.
fn shape(asked: &Asked) -> String {
    let parts = asked.path.split('/').map(|part| {
        let named = part.len() >= 16 && part.bytes().all(|byte| byte.is_ascii_hexdigit());
        let numbered = !part.is_empty() && part.bytes().all(|byte| byte.is_ascii_digit());
        if named || numbered { "*" } else { part }
    });
    let parts: Vec<&str> = parts.collect();
    format!("{} {}", asked.method, parts.join("/"))
}

fn flipped(mut bytes: Vec<u8>, at: usize) -> Vec<u8> {
    if !bytes.is_empty() {
        let length = bytes.len();
        bytes[at % length] ^= 1 << (at % 8);
    }
    bytes
}

/// An answer with another state of a job in it.
fn said_to_be(bytes: &[u8], state: &str) -> Vec<u8> {
    let mut text = String::from_utf8_lossy(bytes).into_owned();
    for other in STATES {
        text = text.replace(&format!("\"{other}\""), &format!("\"{state}\""));
    }
    text.into_bytes()
}
