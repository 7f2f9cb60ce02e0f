//! Maps by order id.

use std::{
    collections::HashMap,
    hash::{BuildHasherDefault, DefaultHasher},
};

/// A map whose keys are UUIDs as numbers. Without random keys in its hasher, it is read in the same
/// order each time.
pub(crate) type ById<V> = HashMap<u128, V, BuildHasherDefault<DefaultHasher>>;
