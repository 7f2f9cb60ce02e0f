//! How much callers may write that services pass on: texts in characters, lines, pieces.
//!
//! Whoever takes such a text in and whoever reads it later use the same constant: a text that one
//! accepts and another refuses would stop an order half-way.

/// Any text that has no bound of its own.
pub const TEXT_CHARS_MAX: usize = 200;
/// A card's token at the payment provider.
pub const TOKEN_CHARS_MAX: usize = TEXT_CHARS_MAX;
/// The customer's words to an order.
pub const NOTE_CHARS_MAX: usize = 500;
/// Lines of an order.
pub const LINES_MAX: usize = 100;
/// Pieces of one line.
pub const QUANTITY_MAX: u32 = 10_000;
