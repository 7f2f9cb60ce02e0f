//! Mistakes that look harmless, each with the promise that it breaks.
//!
//! A mutant wraps one service's `decide`, or removes one guarantee of the mailbox and the workers;
//! the real code has no switch for either. Each mutant has one fault only: if two guards protected
//! a promise, the loss of one would not show.

use payment_svc::domain::Operation;

use crate::{
    faults::{self, amendments},
    rules::{Ground, Rules, Write},
    scenes::{
        AMENDED, BASKET, CARD, CHANGED_CARD, DEFERRED, NO_CLOCK, PURSE, REFUNDS, Scene, TOO_MUCH,
        WALLET,
    },
    world::Service,
};

/// A mistake, with the promise that it has to break and the scene in which it does.
pub(crate) struct Mutant {
    pub(crate) name: &'static str,
    pub(crate) breaks: &'static str,
    pub(crate) scene: &'static Scene,
    pub(crate) rules: Rules,
}

const OURS: Rules = Rules::ours();

pub(crate) const MUTANTS: &[Mutant] = &[
    Mutant {
        name: "a deadline ends what is paid",
        breaks: "a clock never ends what is paid",
        scene: &WALLET,
        rules: Rules { order: faults::blind_deadline, ..OURS },
    },
    Mutant {
        name: "an expiry ends what is paid",
        breaks: "a clock never ends what is paid",
        scene: &WALLET,
        rules: Rules { order: faults::blind_expiry, ..OURS },
    },
    Mutant {
        name: "reserved is confirmed before the money is known",
        breaks: "confirmed only if stock and payment said yes",
        scene: &WALLET,
        rules: Rules { order: faults::confirms_unpaid, ..OURS },
    },
    Mutant {
        name: "a late answer revives a cancelled order",
        breaks: "an order ends once",
        scene: &CARD,
        rules: Rules { order: faults::revives, ..OURS },
    },
    Mutant {
        name: "payment keeps no tombstone",
        breaks: "a cancelled order keeps nothing",
        scene: &WALLET,
        rules: Rules { money: faults::no_tombstone, ..OURS },
    },
    Mutant {
        name: "a cancel is answered during a charge",
        breaks: "a cancelled order keeps nothing",
        scene: &CARD,
        rules: Rules { money: faults::answers_at_once, ..OURS },
    },
    Mutant {
        name: "a cancel heard during a charge is forgotten",
        breaks: "no saga is stuck",
        scene: &CARD,
        rules: Rules { money: faults::deaf_during_charge, ..OURS },
    },
    Mutant {
        name: "money captured late is kept",
        breaks: "a cancelled order keeps nothing",
        scene: &CARD,
        rules: Rules { money: faults::keeps_late_money, ..OURS },
    },
    Mutant {
        name: "a lost answer is taken for a decline",
        breaks: "a cancelled order keeps nothing",
        scene: &CARD,
        rules: Rules { lacks: Some(Ground::Patience), ..OURS },
    },
    Mutant {
        name: "no idempotency key on charges",
        breaks: "an order is captured at most once",
        scene: &DEFERRED,
        rules: Rules {
            key: |call, count| match call.operation {
                Operation::Charge { .. } => format!("try {count}"),
                Operation::Refund { .. } => call.key(),
            },
            ..OURS
        },
    },
    Mutant {
        name: "no idempotency key on refunds",
        breaks: "no more money goes back than came",
        scene: &CARD,
        rules: Rules {
            key: |call, count| match call.operation {
                Operation::Charge { .. } => call.key(),
                Operation::Refund { .. } => format!("try {count}"),
            },
            ..OURS
        },
    },
    Mutant {
        name: "an expiry frees what is held",
        breaks: "held pieces go back only when the order has ended",
        scene: &WALLET,
        rules: Rules { stock: faults::expiry_frees, ..OURS },
    },
    Mutant {
        name: "an expiry frees what is held (seen at the end)",
        breaks: "a confirmed order has its pieces and its money, no other",
        scene: &CARD,
        rules: Rules { stock: faults::expiry_frees, ..OURS },
    },
    Mutant {
        name: "sold pieces stay sold when the order is cancelled",
        breaks: "pieces are conserved",
        scene: &WALLET,
        rules: Rules { stock: faults::keeps_sold, ..OURS },
    },
    Mutant {
        name: "a cancel of what was never held is not answered",
        breaks: "both sides answer every cancel",
        scene: &WALLET,
        rules: Rules { stock: faults::mute_without_stock, ..OURS },
    },
    Mutant {
        name: "shelves and accounts are read without a lock",
        breaks: "stock is never oversold",
        scene: &WALLET,
        rules: Rules { lacks: Some(Ground::Locks), ..OURS },
    },
    Mutant {
        name: "shelves and accounts are read without a lock (money)",
        breaks: "money is conserved",
        scene: &PURSE,
        rules: Rules { lacks: Some(Ground::Locks), ..OURS },
    },
    Mutant {
        name: "state commits without its event",
        breaks: "every order ends",
        scene: &WALLET,
        rules: Rules { lacks: Some(Ground::Outbox), ..OURS },
    },
    Mutant {
        name: "a confirmation waits for a clock",
        breaks: "reserved and captured, hence confirmed",
        scene: &WALLET,
        rules: Rules { order: faults::waits, ..OURS },
    },
    Mutant {
        name: "a confirmation waits for a clock, where none runs",
        breaks: "every order ends",
        scene: &NO_CLOCK,
        rules: Rules { order: faults::waits, ..OURS },
    },
    Mutant {
        name: "a version is counted that nobody says",
        breaks: "versions have no gap",
        scene: &WALLET,
        rules: Rules { order: faults::counts_what_is_not_said, ..OURS },
    },
    Mutant {
        name: "a cancelled order is changed beside its history",
        breaks: "an order is the fold of its history",
        scene: &WALLET,
        rules: Rules { order: faults::foresees, ..OURS },
    },
    Mutant {
        name: "order-svc has no inbox",
        breaks: "an event takes effect at most once",
        scene: &WALLET,
        rules: Rules { lacks: Some(Ground::Inbox(Service::Order)), ..OURS },
    },
    Mutant {
        name: "inventory-svc has no inbox",
        breaks: "an event takes effect at most once",
        scene: &WALLET,
        rules: Rules { lacks: Some(Ground::Inbox(Service::Inventory)), ..OURS },
    },
    Mutant {
        name: "payment-svc has no inbox",
        breaks: "an event takes effect at most once",
        scene: &WALLET,
        rules: Rules { lacks: Some(Ground::Inbox(Service::Payment)), ..OURS },
    },
    Mutant {
        name: "the inbox is written when the effect has committed",
        breaks: "an event takes effect at most once",
        scene: &WALLET,
        rules: Rules { delivery: &[&[Write::Effect], &[Write::Id], &[Write::Offset]], ..OURS },
    },
    Mutant {
        name: "the inbox is written before the effect",
        breaks: "no event is skipped",
        scene: &WALLET,
        rules: Rules { delivery: &[&[Write::Id], &[Write::Effect], &[Write::Offset]], ..OURS },
    },
    Mutant {
        name: "the offset is stored before the effect",
        breaks: "both sides answer every cancel",
        scene: &WALLET,
        rules: Rules { delivery: &[&[Write::Offset], &[Write::Id, Write::Effect]], ..OURS },
    },
    Mutant {
        name: "a refund is said at each of its answers",
        breaks: "a cancel is answered at most once by each side",
        scene: &CARD,
        rules: Rules { money: faults::repeats_refunds, ..OURS },
    },
    Mutant {
        name: "a refund is said at each of its answers (for ever)",
        breaks: "nothing grows without end",
        scene: &CARD,
        rules: Rules { money: faults::repeats_refunds, ..OURS },
    },
    Mutant {
        name: "a cancel asks the provider once more",
        breaks: "the provider has one call in hand",
        scene: &CARD,
        rules: Rules { money: faults::asks_again, ..OURS },
    },
    Mutant {
        name: "a capture is not said",
        breaks: "payment said what the ledgers hold",
        scene: &WALLET,
        rules: Rules { money: faults::says_no_capture, ..OURS },
    },
    Mutant {
        name: "a hold outlives its order",
        breaks: "what is held for an order ends with it",
        scene: &WALLET,
        rules: Rules { money: faults::keeps_holds, ..OURS },
    },
    Mutant {
        name: "a line that is missing is left out",
        breaks: "an order has all of its lines or none",
        scene: &BASKET,
        rules: Rules { stock: faults::leaves_out_what_is_missing, ..OURS },
    },
    Mutant {
        name: "each reservation is charged",
        breaks: "an order is captured at most once",
        scene: &CHANGED_CARD,
        rules: Rules { money: amendments::charges_each_reservation, ..OURS },
    },
    Mutant {
        name: "what is reserved during a charge is forgotten",
        breaks: "every order ends",
        scene: &CHANGED_CARD,
        rules: Rules { money: amendments::forgets_during_charge, ..OURS },
    },
    Mutant {
        name: "an amendment is undone though nothing was reserved",
        breaks: "what is confirmed is what was paid and asked for",
        scene: &TOO_MUCH,
        rules: Rules { order: amendments::undoes_what_never_was, ..OURS },
    },
    Mutant {
        name: "the first revision's rejection always cancels",
        breaks: "only answers to the present revision end an order",
        scene: &TOO_MUCH,
        rules: Rules { order: amendments::first_rejection_ends, ..OURS },
    },
    Mutant {
        name: "an earlier revision's decline cancels",
        breaks: "only answers to the present revision end an order",
        scene: &CHANGED_CARD,
        rules: Rules { order: amendments::late_decline_ends, ..OURS },
    },
    Mutant {
        name: "an earlier revision's reservation is not recorded",
        breaks: "an order that fits is not lost",
        scene: &AMENDED,
        rules: Rules { order: amendments::forgets_reservations, ..OURS },
    },
    Mutant {
        name: "a capture is undone only if totals differ",
        breaks: "what is confirmed is what was paid and asked for",
        scene: &AMENDED,
        rules: Rules { order: amendments::compares_totals, ..OURS },
    },
    Mutant {
        name: "surplus goes back at the amendment",
        breaks: "held pieces go back only when the order has ended",
        scene: &AMENDED,
        rules: Rules { stock: amendments::surplus_goes_back, ..OURS },
    },
    Mutant {
        name: "surplus goes back at the amendment (seen at the end)",
        breaks: "every order ends",
        scene: &CHANGED_CARD,
        rules: Rules { stock: amendments::surplus_goes_back, ..OURS },
    },
    Mutant {
        name: "after a full refund by staff no answer",
        breaks: "both sides answer every cancel",
        scene: &REFUNDS,
        rules: Rules { money: amendments::mute_after_full_refund, ..OURS },
    },
    Mutant {
        name: "a cancel does not wait for a refund under way",
        breaks: "no more money goes back than came",
        scene: &REFUNDS,
        rules: Rules { money: amendments::cancels_during_refund, ..OURS },
    },
    Mutant {
        name: "a refund that is refused is not noted",
        breaks: "what staff have to settle is stuck",
        scene: &REFUNDS,
        rules: Rules { order: amendments::ignores_refusals, ..OURS },
    },
];
