//! Limits of rate: a token bucket for each caller, and one for each address.
//!
//! Memory is bounded: full buckets are forgotten each second, and while there are too many of the
//! others, new callers share some.

use std::{
    hash::{BuildHasher, RandomState},
    net::{IpAddr, Ipv6Addr},
    num::NonZeroU32,
    sync::atomic::{AtomicBool, Ordering},
    time::Duration,
};

use chassis::{Caller, Code, Problem};
use governor::{DefaultKeyedRateLimiter, Quota, clock::Clock};

use crate::config::Config;

/// Buckets of one kind at most, at some 100 bytes each, before new ones are shared.
const BUCKETS_MAX: usize = 100_000;
/// How many buckets are shared then.
const SHARED: u64 = 1_024;
/// How often full buckets are forgotten.
pub(crate) const FORGET_EVERY: Duration = Duration::from_secs(1);

/// Both limits; either may be off.
pub(crate) struct Rates {
    per_caller: Option<Buckets>,
    per_address: Option<Buckets>,
}

struct Buckets {
    limiter: DefaultKeyedRateLimiter<u64>,
    /// Makes keys, such that nobody can choose whose bucket is shared.
    hasher: RandomState,
    is_full: AtomicBool,
}

impl Rates {
    pub(crate) fn new(config: &Config) -> Self {
        Self {
            per_caller: Buckets::of(config.rate_per_caller, config.burst_per_caller),
            per_address: Buckets::of(config.rate_per_address, config.burst_per_address),
        }
    }

    /// Takes a token of the address that a request comes from, or refuses with 429.
    pub(crate) fn check_address(&self, client: Option<IpAddr>) -> Result<(), Problem> {
        match (&self.per_address, client) {
            (Some(buckets), Some(client)) => buckets.take(network(client), "this address"),
            (None, _) | (_, None) => Ok(()),
        }
    }

    /// Takes a token of the caller, or refuses with 429. Who sent no token is known by the address
    /// alone.
    pub(crate) fn check_caller(&self, caller: Option<&Caller>) -> Result<(), Problem> {
        match (&self.per_caller, caller.filter(|caller| caller.has_name())) {
            (Some(buckets), Some(caller)) => buckets.take(caller.subject(), "this caller"),
            (None, _) | (_, None) => Ok(()),
        }
    }

    /// Forgets buckets that are full again.
    pub(crate) fn forget(&self) {
        for buckets in self.per_caller.iter().chain(&self.per_address) {
            buckets.forget();
        }
    }
}

impl Buckets {
    /// Buckets that get `rate` tokens a second and hold `burst`; none if the rate is 0.
    fn of(rate: u32, burst: NonZeroU32) -> Option<Self> {
        let quota = Quota::per_second(NonZeroU32::new(rate)?).allow_burst(burst);
        let limiter = DefaultKeyedRateLimiter::dashmap(quota);
        Some(Self { limiter, hasher: RandomState::new(), is_full: AtomicBool::new(false) })
    }

    fn take(&self, key: impl std::hash::Hash, whose: &str) -> Result<(), Problem> {
        let mut key = self.hasher.hash_one(key);
        if self.is_full.load(Ordering::Relaxed) {
            key %= SHARED;
        }
        self.limiter.check_key(&key).map_err(|early| {
            let wait = early.wait_time_from(self.limiter.clock().now());
            let seconds = wait.as_millis().div_ceil(1_000).max(1);
            Problem::new(Code::RateLimited, format!("too many requests come from {whose}"))
                .retry_after(u32::try_from(seconds).unwrap_or(u32::MAX))
        })
    }

    fn forget(&self) {
        self.limiter.retain_recent();
        self.is_full.store(self.limiter.len() >= BUCKETS_MAX, Ordering::Relaxed);
    }
}

/// What has one bucket: an address, or the network of an address of version 6, since one customer
/// of a provider has at least one such network.
fn network(address: IpAddr) -> IpAddr {
    match address.to_canonical() {
        IpAddr::V6(address) => Ipv6Addr::from_bits(address.to_bits() & (u128::MAX << 64)).into(),
        address @ IpAddr::V4(_) => address,
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn buckets(rate: u32, burst: u32) -> Buckets {
        Buckets::of(rate, NonZeroU32::new(burst).unwrap()).unwrap()
    }

    #[test]
    fn a_bucket_is_empty_after_its_burst_and_others_are_not() {
        let buckets = buckets(1, 3);

        for _ in 0..3 {
            buckets.take("a", "a").unwrap();
        }

        let refused = buckets.take("a", "a").unwrap_err();
        assert_eq!(refused.code(), Code::RateLimited);
        assert_eq!(refused.headers()[0].1, "1");
        buckets.take("b", "b").unwrap();
    }

    #[test]
    fn buckets_are_forgotten_when_full_and_shared_when_there_are_too_many() {
        let buckets = buckets(1, 1);
        for n in 0..BUCKETS_MAX {
            buckets.take(n, "it").unwrap();
        }

        buckets.forget();
        for n in 0..10 * BUCKETS_MAX {
            drop(buckets.take(("another", n), "it"));
        }

        let shared = usize::try_from(SHARED).unwrap();
        assert!(buckets.limiter.len() <= BUCKETS_MAX + shared);
        std::thread::sleep(Duration::from_millis(2_500));
        buckets.forget();
        assert_eq!(buckets.limiter.len(), 0);
    }

    #[test]
    fn a_network_of_version_6_has_one_bucket() {
        let of = |text: &str| network(text.parse().unwrap()).to_string();

        assert_eq!(of("2001:db8:1:2:3:4:5:6"), "2001:db8:1:2::");
        assert_eq!(of("192.0.2.7"), "192.0.2.7");
        assert_eq!(of("::ffff:192.0.2.7"), "192.0.2.7");
    }
}
