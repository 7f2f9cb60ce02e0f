//! Maps by order id. A million orders need no cryptographic hash, for an id's lower half is random
//! already.

use std::{
    collections::HashMap,
    hash::{BuildHasherDefault, Hasher},
};

/// A map whose keys are UUIDs as numbers.
pub(crate) type ById<V> = HashMap<u128, V, BuildHasherDefault<IdHasher>>;

/// A hasher that takes the id itself as its hash.
#[derive(Clone, Copy, Debug, Default)]
pub(crate) struct IdHasher(u64);

impl Hasher for IdHasher {
    fn finish(&self) -> u64 {
        self.0
    }

    fn write(&mut self, bytes: &[u8]) {
        for byte in bytes {
            self.0 = self.0.rotate_left(8) ^ u64::from(*byte);
        }
    }

    fn write_u128(&mut self, id: u128) {
        let halves = id ^ (id >> 64).rotate_left(32);
        self.0 = u64::try_from(halves & u128::from(u64::MAX)).unwrap_or_default();
    }
}
