//! Who may ask, and how often: tokens and rate limits, against strangers who waste what a host has.
//! Nothing's secrecy depends on them, and runtimes know neither.

use std::{
    collections::HashMap,
    net::{IpAddr, Ipv6Addr},
    sync::{Arc, Mutex},
    time::Instant,
};

use axum::{
    extract::{Request, State},
    middleware::Next,
    response::{IntoResponse as _, Response},
};
use http::{HeaderMap, HeaderValue, StatusCode, header};
use mc2_wire::routes::{HEALTH_PATH, OPENAPI_PATH, READY_PATH, ROOT_PATH, VERSION_PATH};
use sha2::{Digest as _, Sha256};

use crate::{
    config::{Rate, Token},
    metrics::Metrics,
    refusal::Refusal,
    transfer::Peer,
    waiting::lock,
};

/// What anybody may ask, at the rate of their address: it says nothing of what is stored.
const OPEN: [&str; 5] = [
    ROOT_PATH,
    HEALTH_PATH,
    READY_PATH,
    VERSION_PATH,
    OPENAPI_PATH,
];
/// Most addresses whose rates are kept.
const MAX_ADDRESSES: usize = 65_536;

/// Tokens and rates.
pub(crate) struct Gate {
    tokens: Vec<(Arc<Token>, Option<Mutex<Bucket>>)>,
    addresses: Option<(Rate, Mutex<HashMap<IpAddr, Bucket>>)>,
    metrics: Arc<Metrics>,
}

impl Gate {
    pub(crate) fn new(
        tokens: Vec<Token>,
        address_rate: Option<Rate>,
        metrics: Arc<Metrics>,
    ) -> Self {
        let now = Instant::now();
        let tokens = tokens.into_iter().map(|token| {
            let bucket = token.rate.map(|rate| Mutex::new(Bucket::full(rate, now)));
            (Arc::new(token), bucket)
        });
        Self {
            tokens: tokens.collect(),
            addresses: address_rate.map(|rate| (rate, Mutex::default())),
            metrics,
        }
    }

    /// Lets a request in, and says whose token it showed, or why not.
    fn admit(
        &self,
        path: &str,
        headers: &HeaderMap,
        peer: Peer,
        now: Instant,
    ) -> Result<Option<Arc<Token>>, Refusal> {
        let token = bearer(headers).and_then(|token| self.find(token));
        if let Some((token, bucket)) = token {
            if let Some(bucket) = bucket {
                lock(bucket)
                    .take(now)
                    .map_err(|after| self.limited(&format!("the token {:?}", token.name), after))?;
            }
            return Ok(Some(Arc::clone(token)));
        }
        // Whoever guesses tokens is held up as any other stranger.
        if let (Some((rate, buckets)), Peer::At(address)) = (&self.addresses, peer) {
            take(&mut lock(buckets), *rate, address, now)
                .map_err(|after| self.limited("this address", after))?;
        }
        if self.tokens.is_empty() || OPEN.contains(&path) {
            return Ok(None);
        }
        self.metrics.unauthorized.inc();
        let message = "expected a token of this host's configuration as Authorization: Bearer \
                       TOKEN; ask whoever runs the host for one";
        Err(Refusal::new(StatusCode::UNAUTHORIZED, "token", message))
    }

    /// The token of this text. Takes as long whichever it is, and whether or not it is one.
    fn find(&self, text: &[u8]) -> Option<&(Arc<Token>, Option<Mutex<Bucket>>)> {
        let digest: [u8; 32] = Sha256::digest(text).into();
        let mut found = None;
        for known in &self.tokens {
            let bytes = known.0.sha256.iter().zip(&digest);
            let different = bytes.fold(0, |different, (one, other)| different | (one ^ other));
            if std::hint::black_box(different) == 0 {
                found = Some(known);
            }
        }
        found
    }

    fn limited(&self, whom: &str, after: u32) -> Refusal {
        self.metrics.limited.inc();
        let message = format!("too many requests of {whom}; try again in {after} s");
        Refusal::new(StatusCode::TOO_MANY_REQUESTS, "rate", message).later(after)
    }
}

/// Lets requests through the gate.
pub(crate) async fn pass(
    State(gate): State<Arc<Gate>>,
    mut request: Request,
    next: Next,
) -> Response {
    let peer = request.extensions().get().copied().unwrap_or(Peer::Local);
    let path = request.uri().path();
    match gate.admit(path, request.headers(), peer, Instant::now()) {
        Ok(token) => {
            // For what is kept of each.
            if let Some(token) = token {
                request.extensions_mut().insert(token);
            }
            next.run(request).await
        }
        Err(refusal) => {
            let unauthorized = refusal.status == StatusCode::UNAUTHORIZED;
            let mut response = refusal.into_response();
            if unauthorized {
                let bearer = HeaderValue::from_static("Bearer");
                response
                    .headers_mut()
                    .insert(header::WWW_AUTHENTICATE, bearer);
            }
            response
        }
    }
}

/// The token of `Authorization: Bearer`.
fn bearer(headers: &HeaderMap) -> Option<&[u8]> {
    let value = headers.get(header::AUTHORIZATION)?.as_bytes();
    let (scheme, token) = value.split_at_checked("Bearer ".len())?;
    scheme
        .eq_ignore_ascii_case(b"Bearer ")
        .then(|| token.trim_ascii())
}

/// Takes a place of an address; in IPv6, of the network that is one subscriber's.
fn take(
    buckets: &mut HashMap<IpAddr, Bucket>,
    rate: Rate,
    address: IpAddr,
    now: Instant,
) -> Result<(), u32> {
    let address = match address.to_canonical() {
        IpAddr::V6(address) => {
            let [a, b, c, d, ..] = address.segments();
            IpAddr::V6(Ipv6Addr::new(a, b, c, d, 0, 0, 0, 0))
        }
        address => address,
    };
    if !buckets.contains_key(&address) && buckets.len() >= MAX_ADDRESSES {
        // Whoever did not ask for a while is as one who never did.
        buckets.retain(|_, bucket| !bucket.is_full(now));
    }
    // Where so many ask at once, those who come last share one.
    let address = if buckets.len() < MAX_ADDRESSES || buckets.contains_key(&address) {
        address
    } else {
        IpAddr::V6(Ipv6Addr::UNSPECIFIED)
    };
    buckets
        .entry(address)
        .or_insert_with(|| Bucket::full(rate, now))
        .take(now)
}

/// A token bucket: as many requests at once as a second has, and then so many a second.
struct Bucket {
    rate: f64,
    left: f64,
    at: Instant,
}

impl Bucket {
    fn full(rate: Rate, now: Instant) -> Self {
        let rate = f64::from(rate.0.get());
        Self {
            rate,
            left: rate,
            at: now,
        }
    }

    /// Takes one, or says after how many seconds there is one.
    fn take(&mut self, now: Instant) -> Result<(), u32> {
        self.left = self.filled(now);
        self.at = now;
        if self.left >= 1.0 {
            self.left -= 1.0;
            return Ok(());
        }
        // At least one a second.
        Err(((1.0 - self.left) / self.rate).ceil().max(1.0) as u32)
    }

    fn is_full(&self, now: Instant) -> bool {
        self.filled(now) >= self.rate
    }

    fn filled(&self, now: Instant) -> f64 {
        let passed = now.saturating_duration_since(self.at).as_secs_f64();
        (self.left + passed * self.rate).min(self.rate)
    }
}

#[cfg(test)]
mod tests {
    use std::{net::Ipv4Addr, num::NonZeroU32, time::Duration};

    use super::*;

    fn rate(number: u32) -> Option<Rate> {
        NonZeroU32::new(number).map(Rate)
    }

    fn gate(tokens: &[(&str, Option<Rate>)], address_rate: Option<Rate>) -> Gate {
        let tokens = tokens.iter().map(|(text, rate)| Token {
            name: format!("of {text}"),
            sha256: Sha256::digest(text).into(),
            rate: *rate,
            bytes: None,
        });
        Gate::new(tokens.collect(), address_rate, Metrics::new())
    }

    fn at(last: u8) -> Peer {
        Peer::At(IpAddr::V4(Ipv4Addr::new(10, 0, 0, last)))
    }

    fn asked(
        gate: &Gate,
        path: &str,
        token: Option<&str>,
        peer: Peer,
        now: Instant,
    ) -> Result<(), (&'static str, Option<u32>)> {
        let headers = token.map(|token| {
            let value = HeaderValue::from_str(&format!("bearer {token}")).unwrap();
            (header::AUTHORIZATION, value)
        });
        gate.admit(path, &headers.into_iter().collect(), peer, now)
            .map(drop)
            .map_err(|refusal| (refusal.code, refusal.retry_after))
    }

    #[test]
    fn where_there_are_tokens_only_their_holders_come_past_what_is_open() {
        let gate = gate(&[("one", None), ("two", None)], None);
        let now = Instant::now();
        for token in ["one", "two"] {
            assert_eq!(
                asked(&gate, "/v1/sessions", Some(token), at(1), now),
                Ok(())
            );
        }
        for token in [None, Some("three"), Some(""), Some("one two")] {
            let refused = asked(&gate, "/v1/sessions", token, at(1), now);
            assert_eq!(refused, Err(("token", None)), "{token:?}");
            assert_eq!(asked(&gate, "/v1/health", token, at(1), now), Ok(()));
        }
        assert_eq!(gate.metrics.unauthorized.get(), 4);
    }

    #[test]
    fn a_rate_is_each_address_s_and_each_token_s_own() {
        let gate = gate(&[("one", rate(2))], rate(3));
        let now = Instant::now();
        let stranger = |peer, now| asked(&gate, "/v1/health", None, peer, now);
        for _ in 0..3 {
            assert_eq!(stranger(at(1), now), Ok(()));
        }
        assert_eq!(stranger(at(1), now), Err(("rate", Some(1))));
        assert_eq!(stranger(at(2), now), Ok(()));
        assert_eq!(stranger(Peer::Local, now), Ok(()));
        // The token has a rate of its own, wherever it is used.
        for last in [1, 2] {
            assert_eq!(
                asked(&gate, "/v1/sessions", Some("one"), at(last), now),
                Ok(())
            );
        }
        let refused = asked(&gate, "/v1/sessions", Some("one"), at(3), now);
        assert_eq!(refused, Err(("rate", Some(1))));
        // Guessing tokens is held up as well.
        for _ in 0..3 {
            let refused = asked(&gate, "/v1/sessions", Some("guess"), at(4), now);
            assert_eq!(refused, Err(("token", None)));
        }
        let refused = asked(&gate, "/v1/sessions", Some("guess"), at(4), now);
        assert_eq!(refused, Err(("rate", Some(1))));
        let later = now + Duration::from_secs(1);
        for _ in 0..3 {
            assert_eq!(stranger(at(1), later), Ok(()));
        }
        assert_eq!(stranger(at(1), later), Err(("rate", Some(1))));
    }

    #[test]
    fn no_number_of_addresses_makes_the_table_grow_without_end() {
        let (mut buckets, now) = (HashMap::new(), Instant::now());
        let rate = rate(1).unwrap();
        let network = |number: u32| {
            let [high, low] = [(number >> 16) as u16, number as u16];
            IpAddr::V6(Ipv6Addr::new(
                0x2001,
                0xdb8,
                high,
                low,
                9,
                9,
                9,
                number as u16,
            ))
        };
        for number in 0..MAX_ADDRESSES as u32 {
            take(&mut buckets, rate, network(number), now).unwrap();
        }
        // Another address of a network that asked has no place of its own.
        let neighbour = IpAddr::V6(Ipv6Addr::new(0x2001, 0xdb8, 0, 1, 1, 1, 1, 1));
        assert_eq!(take(&mut buckets, rate, neighbour, now), Err(1));
        assert_eq!(take(&mut buckets, rate, network(1 << 20), now), Ok(()));
        assert_eq!(take(&mut buckets, rate, network(1 << 21), now), Err(1));
        assert!(buckets.len() <= MAX_ADDRESSES + 1);
        let later = now + Duration::from_secs(2);
        assert_eq!(take(&mut buckets, rate, network(1 << 22), later), Ok(()));
        assert_eq!(buckets.len(), 1);
    }
}
