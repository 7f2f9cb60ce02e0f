//! Drives the whole shop as its customers and operators do, breaks it, and checks what must hold.
//!
//! A [`Shop`] is a real stack. Most tests visit one and the same ([`in_the_shop`]), each with
//! products and customers of its own; one that breaks processes is [`alone_in_the_shop`]. Nothing
//! sleeps for a guess: what is to come is awaited, and what was last seen is told when it does not
//! come. Whenever a shop falls quiet, nothing may be under way for ever, nothing parked, nobody
//! panicked, and `shop audit` has to be clean, whatever the test looked at.

#![expect(
    clippy::unwrap_used,
    clippy::panic,
    reason = "it drives tests: what goes wrong ends them"
)]

mod ask;
mod programs;
mod shared;
mod shop;
mod wanted;

pub use self::ask::{Ask, TestResponse};
pub use self::shared::{alone_in_the_shop, in_a_shop_of_its_own, in_a_shop_to_break, in_the_shop};
pub use self::shop::{PlacedOrder, Purse, Shelf, Shop, WITHIN};
pub use self::wanted::{AnOrder, Customer, Product};
