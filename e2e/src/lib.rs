//! Drives the whole shop as its customers and operators do, breaks it, and checks what must hold.
//!
//! A [`Shop`] is a real stack. Most tests share one ([`in_the_shop`]), each with products and
//! customers of its own; a test that breaks processes has it for itself ([`alone_in_the_shop`]). No
//! test sleeps for a guess: it waits for what is to come, and if that does not come, it reports
//! what it saw last. Whenever no test uses a shop, its orders must come to an end, nothing may be
//! parked, no process may have panicked, and `shop audit` has to be clean, whatever the tests
//! checked themselves.

#![expect(
    clippy::unwrap_used,
    clippy::panic,
    reason = "it drives tests: what goes wrong ends them"
)]

mod ask;
mod asyncapi;
mod collector;
mod documents;
mod events;
mod listener;
mod lone;
mod memory;
pub mod meters;
mod programs;
pub mod promql;
mod shared;
mod shop;
mod sights;
mod stock;
mod twin;
mod wanted;

pub use self::ask::{Ask, TestResponse};
pub use self::collector::{Collector, SpanRecord};
pub use self::documents::{Document, documents};
pub use self::events::{EventStream, StreamEvent, StreamItem};
pub use self::listener::a_listener;
pub use self::lone::LoneProcess;
pub use self::memory::resident_kib;
pub use self::programs::{programs, subscriber};
pub use self::shared::{alone_in_the_shop, in_a_shop_of_its_own, in_a_shop_to_break, in_the_shop};
pub use self::shop::{Shop, WITHIN};
pub use self::sights::{PlacedOrder, Purse, Shelf};
pub use self::twin::{SERVICES, Twin, is_healthy};
pub use self::wanted::{AnOrder, Customer, Product};
