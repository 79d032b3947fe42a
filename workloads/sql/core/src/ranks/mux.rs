//! All exchanges' rows over one stream to each other instance, with a window for each.

use std::{
    collections::{BTreeMap, VecDeque},
    task::{Context, Poll, Waker},
};

use super::{
    Message,
    frame::{HEADER, Head, Kind},
};

/// One instance's rows for another, of one exchange.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub struct Key {
    /// Which run of which statement; every run has another.
    pub run: u32,
    /// Which exchange of its plan, from 1.
    pub exchange: u32,
    /// The other instance, which may be this one itself.
    pub rank: usize,
}

/// What arrived.
#[derive(Debug, PartialEq, Eq)]
pub enum Item<T> {
    /// From another instance.
    Bytes(Vec<u8>),
    /// From this one, as it was given.
    Own(T),
}

/// The state of this instance's streams; whoever moves their bytes gives them to [`arrived`](Self::arrived)
/// and takes them from [`outgoing`](Self::outgoing).
///
/// A sender waits where its receiver has not taken as much as the window holds. A receiver that is gone
/// lets the sender go on, which then sends nothing.
pub struct Mux<T> {
    rank: usize,
    peers: Vec<Peer>,
    window: usize,
    /// Of earlier runs nothing is kept.
    run: u32,
    receiving: BTreeMap<Key, Receiving<T>>,
    sending: BTreeMap<Key, Sending>,
    messages: VecDeque<(usize, u32, Message)>,
    listener: Option<Waker>,
    woken: bool,
}

#[derive(Default)]
struct Peer {
    arriving: Vec<u8>,
    outgoing: VecDeque<Vec<u8>>,
    /// Bytes of the first outgoing that are gone.
    gone: usize,
    ended: bool,
}

struct Receiving<T> {
    queue: VecDeque<(Item<T>, usize)>,
    ended: bool,
    cancelled: bool,
    waker: Option<Waker>,
}

impl<T> Default for Receiving<T> {
    fn default() -> Self {
        Self {
            queue: VecDeque::new(),
            ended: false,
            cancelled: false,
            waker: None,
        }
    }
}

#[derive(Default)]
struct Sending {
    outstanding: usize,
    cancelled: bool,
    waker: Option<Waker>,
}

impl<T> Mux<T> {
    /// The streams of instance `rank` of `size`, with windows of so many bytes.
    pub fn new(rank: usize, size: usize, window: usize) -> Self {
        Self {
            rank,
            peers: (0..size).map(|_| Peer::default()).collect(),
            window,
            run: 0,
            receiving: BTreeMap::new(),
            sending: BTreeMap::new(),
            messages: VecDeque::new(),
            listener: None,
            woken: false,
        }
    }

    /// Starts a run: of earlier ones everything is forgotten, and what still comes is too.
    pub fn begin(&mut self, run: u32) {
        self.run = run;
        self.receiving.retain(|key, _| key.run >= run);
        self.sending.retain(|key, _| key.run >= run);
        self.messages.retain(|(_, of, _)| *of >= run);
    }

    /// Whether anybody was woken since this was asked last.
    pub fn take_woken(&mut self) -> bool {
        std::mem::take(&mut self.woken)
    }

    /// Bytes came from another instance.
    ///
    /// # Errors
    ///
    /// Where they are not what instances say.
    pub fn arrived(&mut self, rank: usize, bytes: &[u8]) -> Result<(), String> {
        let strange = || format!("instance {rank} sent what instances of this program do not");
        let mut arriving = std::mem::take(&mut self.peers[rank].arriving);
        arriving.extend_from_slice(bytes);
        let mut at = 0;
        while let Some(header) = arriving[at..].first_chunk::<HEADER>() {
            let head = Head::parse(header).ok_or_else(strange)?;
            let from = at + HEADER;
            // A `u32` is a `usize` on this machine and larger ones.
            let Some(payload) = arriving[from..].get(..head.length as usize) else {
                break;
            };
            self.frame(rank, head, payload).ok_or_else(strange)?;
            at = from + payload.len();
        }
        arriving.drain(..at);
        self.peers[rank].arriving = arriving;
        Ok(())
    }

    fn frame(&mut self, rank: usize, head: Head, payload: &[u8]) -> Option<()> {
        if head.run < self.run {
            return Some(());
        }
        let key = Key {
            run: head.run,
            exchange: head.exchange,
            rank,
        };
        match head.kind {
            Kind::Data => self.deliver(key, Item::Bytes(payload.to_vec()), payload.len()),
            Kind::End => self.deliver_end(key),
            Kind::Credit => {
                let bytes = u64::from_le_bytes(payload.try_into().ok()?);
                self.credit(key, usize::try_from(bytes).ok()?);
            }
            Kind::Cancel => {
                let sending = self.sending.entry(key).or_default();
                sending.cancelled = true;
                wake(&mut sending.waker, &mut self.woken);
            }
            Kind::Message => {
                let message = Message::decode(payload)?;
                self.messages.push_back((rank, head.run, message));
                wake(&mut self.listener, &mut self.woken);
            }
        }
        Some(())
    }

    fn deliver(&mut self, key: Key, item: Item<T>, bytes: usize) {
        let receiving = self.receiving.entry(key).or_default();
        if !receiving.cancelled {
            receiving.queue.push_back((item, bytes));
            wake(&mut receiving.waker, &mut self.woken);
        }
    }

    fn deliver_end(&mut self, key: Key) {
        let receiving = self.receiving.entry(key).or_default();
        receiving.ended = true;
        wake(&mut receiving.waker, &mut self.woken);
    }

    fn credit(&mut self, key: Key, bytes: usize) {
        let sending = self.sending.entry(key).or_default();
        sending.outstanding = sending.outstanding.saturating_sub(bytes);
        wake(&mut sending.waker, &mut self.woken);
    }

    /// An instance has ended: nothing more comes from it, and it reads nothing.
    pub fn ended(&mut self, rank: usize) {
        let peer = &mut self.peers[rank];
        peer.ended = true;
        peer.outgoing.clear();
        peer.gone = 0;
        for (key, sending) in &mut self.sending {
            if key.rank == rank {
                sending.cancelled = true;
                wake(&mut sending.waker, &mut self.woken);
            }
        }
        for (key, receiving) in &mut self.receiving {
            if key.rank == rank {
                wake(&mut receiving.waker, &mut self.woken);
            }
        }
        wake(&mut self.listener, &mut self.woken);
    }

    /// Whether an instance has ended.
    pub fn is_ended(&self, rank: usize) -> bool {
        self.peers[rank].ended
    }

    /// The next bytes for another instance.
    pub fn outgoing(&self, rank: usize) -> Option<&[u8]> {
        let peer = &self.peers[rank];
        Some(&peer.outgoing.front()?[peer.gone..])
    }

    /// So many of them are sent.
    pub fn sent(&mut self, rank: usize, bytes: usize) {
        let peer = &mut self.peers[rank];
        peer.gone += bytes;
        if peer
            .outgoing
            .front()
            .is_some_and(|first| first.len() <= peer.gone)
        {
            peer.outgoing.pop_front();
            peer.gone = 0;
        }
    }

    fn queue(&mut self, rank: usize, kind: Kind, run: u32, exchange: u32, payload: &[u8]) {
        let peer = &mut self.peers[rank];
        if peer.ended {
            return;
        }
        let head = Head {
            kind,
            run,
            exchange,
            // Rows are sent by batches, which are far smaller.
            length: payload.len() as u32,
        };
        peer.outgoing
            .push_back([&head.bytes()[..], payload].concat());
    }

    /// Tells another instance something.
    pub fn tell(&mut self, rank: usize, run: u32, message: &Message) {
        self.queue(rank, Kind::Message, run, 0, &message.encode());
    }

    /// What another instance says of this run.
    pub fn poll_message(&mut self, context: &mut Context<'_>) -> Poll<(usize, Message)> {
        let run = self.run;
        let found = self.messages.iter().position(|(_, of, _)| *of == run);
        match found.and_then(|at| self.messages.remove(at)) {
            Some((rank, _, message)) => Poll::Ready((rank, message)),
            None => {
                self.listener = Some(context.waker().clone());
                Poll::Pending
            }
        }
    }

    /// Ready where the window has room: whether anybody still wants rows.
    pub fn poll_room(&mut self, key: Key, context: &mut Context<'_>) -> Poll<bool> {
        let is_gone = key.rank != self.rank && self.peers[key.rank].ended;
        let sending = self.sending.entry(key).or_default();
        if sending.cancelled || is_gone {
            Poll::Ready(false)
        } else if sending.outstanding < self.window {
            Poll::Ready(true)
        } else {
            sending.waker = Some(context.waker().clone());
            Poll::Pending
        }
    }

    /// Sends rows to another instance.
    pub fn send(&mut self, key: Key, bytes: &[u8]) {
        self.sending.entry(key).or_default().outstanding += bytes.len();
        self.queue(key.rank, Kind::Data, key.run, key.exchange, bytes);
    }

    /// Gives rows to this instance itself, which take so many bytes.
    pub fn keep(&mut self, key: Key, rows: T, bytes: usize) {
        self.sending.entry(key).or_default().outstanding += bytes;
        self.deliver(key, Item::Own(rows), bytes);
    }

    /// Says that these rows were all.
    pub fn finish(&mut self, key: Key) {
        if key.rank == self.rank {
            self.deliver_end(key);
        } else {
            self.queue(key.rank, Kind::End, key.run, key.exchange, &[]);
        }
    }

    /// The next rows; none at their end.
    ///
    /// # Errors
    ///
    /// Where the instance they are to come from has ended.
    pub fn poll_receive(
        &mut self,
        key: Key,
        context: &mut Context<'_>,
    ) -> Poll<Result<Option<Item<T>>, String>> {
        let is_gone = key.rank != self.rank && self.peers[key.rank].ended;
        let receiving = self.receiving.entry(key).or_default();
        if let Some((item, bytes)) = receiving.queue.pop_front() {
            if key.rank == self.rank {
                self.credit(key, bytes);
            } else {
                let bytes = (bytes as u64).to_le_bytes();
                self.queue(key.rank, Kind::Credit, key.run, key.exchange, &bytes);
            }
            return Poll::Ready(Ok(Some(item)));
        }
        if receiving.ended || key.run < self.run {
            return Poll::Ready(Ok(None));
        }
        if is_gone {
            let rank = key.rank;
            return Poll::Ready(Err(format!(
                "instance {rank} ended before it sent all rows"
            )));
        }
        receiving.waker = Some(context.waker().clone());
        Poll::Pending
    }

    /// Wants no more of these rows.
    pub fn cancel(&mut self, key: Key) {
        if key.run < self.run {
            return;
        }
        let receiving = self.receiving.entry(key).or_default();
        if receiving.ended && receiving.queue.is_empty() || receiving.cancelled {
            return;
        }
        receiving.cancelled = true;
        receiving.queue.clear();
        if key.rank == self.rank {
            let sending = self.sending.entry(key).or_default();
            sending.cancelled = true;
            wake(&mut sending.waker, &mut self.woken);
        } else {
            self.queue(key.rank, Kind::Cancel, key.run, key.exchange, &[]);
        }
    }
}

fn wake(waker: &mut Option<Waker>, woken: &mut bool) {
    if let Some(waker) = waker.take() {
        waker.wake();
        *woken = true;
    }
}
