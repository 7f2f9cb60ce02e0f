//! How long the texts may be that callers write and services pass on, in characters.
//!
//! Whoever takes such a text in and whoever reads it later use the same constant: a text that one
//! accepts and another refuses would stop an order half-way.

/// Any text that has no bound of its own.
pub const TEXT_CHARS_MAX: usize = 200;
/// A card's token at the payment provider.
pub const TOKEN_CHARS_MAX: usize = TEXT_CHARS_MAX;
