//! Limits of what callers may write and services pass on: texts in characters, lines, quantities.
//!
//! The service that accepts such a text and the service that reads it later use the same constant:
//! a text that one accepts and the other refuses would stop an order half-way.

/// Any text that has no limit of its own.
pub const TEXT_CHARS_MAX: usize = 200;
/// A card's token at the payment provider.
pub const TOKEN_CHARS_MAX: usize = TEXT_CHARS_MAX;
/// The customer's note to an order.
pub const NOTE_CHARS_MAX: usize = 500;
/// Lines of an order.
pub const LINES_MAX: usize = 100;
/// The quantity of one line.
pub const QUANTITY_MAX: u32 = 10_000;
