//! Every rule about an order's money: no I/O in this folder, and no rules outside of it.

#![deny(
    clippy::arithmetic_side_effects,
    clippy::as_conversions,
    clippy::indexing_slicing,
    clippy::wildcard_enum_match_arm
)]

mod account;
mod call;
mod card;
mod decision;
mod payment;
mod refund;
mod refusal;

pub use account::{Account, Hold, HoldState, LedgerEntry, Movement, Wallet, deposit, release};
pub use call::{Call, CallName, Operation};
pub use card::{Card, CardDisplay, PaymentProvider, Token};
pub use decision::{
    Announcement, ChargeOutcome, Decision, Event, State, decide, expire_hold, hold, pay,
};
pub use payment::{
    Capture, Charge, CompensationState, Decline, DeclineCode, Due, Instrument, Means, Method,
    Payment, Phase, Status, order_of, payment_id,
};
pub use refund::{Refund, RefundCause, RefundState, refund, refund_id};
pub use refusal::Refusal;
