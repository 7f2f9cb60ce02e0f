//! What may become of an order's money: every rule about charging it and giving it back.
//!
//! The newest revision whose stock was reserved is due. It is charged unless a charge is under way
//! or money is captured; what becomes due during a charge is charged when that charge ends without
//! money. So an order is captured at most once. How money goes back is in `refund.rs`. A hold for an
//! order is released when the order ends without needing it.

use std::sync::Arc;

use proto::{CustomerId, Money, OrderId};

use super::{
    Call, Capture, CardDisplay, Charge, CompensationState, Decline, DeclineCode, Due, Instrument,
    LedgerEntry, Means, Method, Operation, Payment, Phase, Refund, RefundCause, Refusal, Wallet,
    account,
    refund::{refund_answered, refund_refused, undo},
};

/// What a decision is made from: the order's payment, if any, and the customer's wallet.
#[derive(Clone, Debug, Default, PartialEq, Eq, Hash)]
pub struct State {
    pub payment: Option<Payment>,
    pub wallet: Wallet,
}

/// A fact that a payment hears: it cannot be refused, only make no difference.
#[derive(Clone, Debug, PartialEq, Eq, Hash)]
pub enum Event {
    StockReserved(Due),
    /// `revision` is the order's at its end.
    OrderCancelled {
        revision: u32,
    },
    /// The provider's answer to the charge of `revision`.
    ChargeAnswered {
        revision: u32,
        outcome: ChargeOutcome,
    },
    /// The provider has given back the money of refund `number`.
    RefundAnswered {
        number: u32,
    },
    /// The provider will never carry out refund `number`, however often it is asked.
    RefundRefused {
        number: u32,
        reason: Arc<str>,
    },
}

impl Event {
    /// Whether the provider says that no money moved. That may have changed since, so it counts
    /// only from the process that holds the call's lease. Money that did move is a fact, whichever
    /// process reports it.
    pub fn is_negative(&self) -> bool {
        match self {
            Self::ChargeAnswered { outcome, .. } => {
                matches!(outcome, ChargeOutcome::Declined { .. })
            }
            Self::RefundRefused { .. } => true,
            Self::StockReserved(_) | Self::OrderCancelled { .. } | Self::RefundAnswered { .. } => {
                false
            }
        }
    }
}

/// What the provider answered to a charge.
#[derive(Clone, Debug, PartialEq, Eq, Hash)]
pub enum ChargeOutcome {
    /// `reference` is the provider's name for the charge.
    Captured {
        reference: Arc<str>,
        face: Option<CardDisplay>,
    },
    Declined {
        code: DeclineCode,
        detail: Arc<str>,
    },
}

/// The next state, what is announced about it, the ledger entries, the refunds that were begun or
/// ended, and the call to make.
#[derive(Clone, Debug, PartialEq, Eq, Hash)]
pub struct Decision {
    pub state: State,
    pub announce: Vec<Announcement>,
    /// The charge that ended without money. Its payer is told of it, whatever is due by then.
    pub declined: Option<Decline>,
    pub entries: Vec<LedgerEntry>,
    /// Refunds as they stand now.
    pub refunds: Vec<Refund>,
    /// The call to begin: at most one is in flight for an order.
    pub call: Option<Call>,
}

/// An event to publish, before it has bytes.
#[derive(Clone, Debug, PartialEq, Eq, Hash)]
pub enum Announcement {
    Captured {
        customer: CustomerId,
        revision: u32,
        amount: Money,
        method: Method,
    },
    Declined {
        customer: CustomerId,
        revision: u32,
        amount: Money,
        code: DeclineCode,
        detail: Arc<str>,
    },
    /// `known`: whether this service knew of anything to pay before the cancellation.
    Voided {
        known: bool,
        /// The revision that was cancelled.
        revision: u32,
    },
    Refunded {
        customer: CustomerId,
        /// The revision that was captured.
        revision: u32,
        /// Counts the order's refunds: with the order it makes the refund's id.
        number: u32,
        amount: Money,
        cause: RefundCause,
    },
    /// Of a refund that will never be carried out: what [`Announcement::Refunded`] would have said.
    RefundRefused {
        customer: CustomerId,
        revision: u32,
        number: u32,
        amount: Money,
        cause: RefundCause,
        detail: Arc<str>,
    },
}

impl Announcement {
    /// The outcome in one word, as a metric's label.
    pub fn outcome(&self) -> &'static str {
        match self {
            Self::Captured { .. } => "captured",
            Self::Declined { .. } => "declined",
            Self::Voided { .. } => "voided",
            Self::Refunded { .. } => "refunded",
            Self::RefundRefused { .. } => "refund_refused",
        }
    }
}

/// Records a fact, and answers it. Repeated, late and contradicting facts change nothing.
pub fn decide(state: State, event: &Event, order: OrderId) -> Decision {
    let known = state.payment.is_some();
    let mut next = Decision::unchanged(state);
    let mut payment = next.state.payment.take().unwrap_or_else(|| Payment::of(order));
    match event {
        Event::StockReserved(due) => reserved(&mut payment, due.clone(), &mut next),
        Event::OrderCancelled { revision } => {
            if payment.compensation == CompensationState::NotAsked {
                payment.compensation = CompensationState::Owed { revision: *revision };
            }
            release_hold(order, &mut next);
        }
        Event::ChargeAnswered { revision, outcome } => {
            charge_answered(&mut payment, *revision, outcome.clone(), &mut next);
        }
        Event::RefundAnswered { number } => refund_answered(&mut payment, *number, &mut next),
        Event::RefundRefused { number, reason } => {
            refund_refused(&mut payment, *number, Arc::clone(reason), &mut next);
        }
    }
    undo(&mut payment, &mut next);
    payment.forget_token();
    // An answer about an order that has no payment leaves no row.
    if known || payment.due.is_some() || payment.compensation != CompensationState::NotAsked {
        next.state.payment = Some(payment);
    }
    next
}

/// Pays what is due for a deferred order. While a charge is under way nothing changes: the outcome
/// of that charge is the answer.
pub fn pay(
    state: State,
    instrument: &Instrument,
    amount: Option<Money>,
) -> Result<Decision, Refusal> {
    let mut next = Decision::unchanged(state);
    let mut payment = next.state.payment.take().ok_or(Refusal::UnknownOrder)?;
    if payment.compensation != CompensationState::NotAsked {
        return Err(Refusal::Cancelled);
    }
    let due = payment.due.clone().ok_or(Refusal::UnknownOrder)?;
    match &payment.phase {
        Phase::Captured(_) => return Err(Refusal::AlreadyPaid),
        Phase::Declined(_) => return Err(Refusal::Declined),
        Phase::Charging(_) | Phase::Waiting => {}
    }
    if amount.is_some_and(|amount| amount != due.amount) {
        return Err(Refusal::OtherAmount { due: due.amount });
    }
    if payment.phase == Phase::Waiting {
        charge(&mut payment, &due, instrument, &mut next);
    }
    next.state.payment = Some(payment);
    Ok(next)
}

/// Sets money aside for an order that it may still pay. Holding the same again changes nothing.
pub fn hold(
    state: State,
    order: OrderId,
    amount: Money,
) -> Result<(Wallet, Option<LedgerEntry>), Refusal> {
    if state.payment.as_ref().is_some_and(Payment::is_over) {
        return Err(Refusal::OrderEnded);
    }
    account::hold(state.wallet, order, amount)
}

/// Releases a hold that is too old, unless its order has a payment that may still need it.
pub fn expire_hold(state: State, order: OrderId) -> Option<(Wallet, LedgerEntry)> {
    if state.payment.as_ref().is_some_and(|payment| !payment.is_over()) {
        return None;
    }
    let (wallet, entry) = account::release(state.wallet, order).ok()?;
    Some((wallet, entry?))
}

impl Decision {
    /// The decision that changes nothing.
    pub fn unchanged(state: State) -> Self {
        let (announce, entries, refunds) = (Vec::new(), Vec::new(), Vec::new());
        Self { state, announce, declined: None, entries, refunds, call: None }
    }
}

fn reserved(payment: &mut Payment, due: Due, next: &mut Decision) {
    let newer = payment.due.as_ref().is_none_or(|before| before.revision < due.revision);
    if !newer || payment.compensation != CompensationState::NotAsked {
        return;
    }
    payment.due = Some(due);
    charge_due(payment, next);
}

/// Charges what is due, unless it is deferred, was tried before, or a charge is under way or
/// captured. A deferred revision after a declined one waits for a payment anew.
fn charge_due(payment: &mut Payment, next: &mut Decision) {
    let Some(due) = payment.due.clone() else { return };
    match &payment.phase {
        Phase::Charging(_) | Phase::Captured(_) => return,
        Phase::Declined(decline) if decline.revision >= due.revision => return,
        Phase::Declined(_) | Phase::Waiting => {}
    }
    match due.instrument.clone() {
        Some(instrument) => charge(payment, &due, &instrument, next),
        None => payment.phase = Phase::Waiting,
    }
}

fn charge(payment: &mut Payment, due: &Due, instrument: &Instrument, next: &mut Decision) {
    let Due { revision, amount, .. } = *due;
    match instrument {
        Instrument::Card(card) => {
            let operation = Operation::Charge { revision, token: card.token.clone() };
            let (order, provider) = (payment.order, card.provider);
            next.call = Some(Call { order, amount, provider, operation });
            payment.phase = Phase::Charging(Charge { revision, amount, card: card.clone() });
        }
        Instrument::CardWithoutToken => {
            let (method, provider, face) = (Method::Card, None, None);
            let (code, detail) = (DeclineCode::CardDeclined, "its details cannot be read".into());
            let decline = Decline { revision, amount, method, provider, face, code, detail };
            declined(payment, decline, next);
        }
        Instrument::Wallet => {
            match account::capture(&mut next.state.wallet, payment.order, amount) {
                Ok(entries) => {
                    next.entries.extend(entries);
                    captured(payment, revision, amount, Means::Wallet, next);
                }
                Err(code) => {
                    let (method, provider, face) = (Method::Wallet, None, None);
                    let detail = "".into();
                    let decline =
                        Decline { revision, amount, method, provider, face, code, detail };
                    declined(payment, decline, next);
                }
            }
        }
    }
}

fn charge_answered(
    payment: &mut Payment,
    revision: u32,
    outcome: ChargeOutcome,
    next: &mut Decision,
) {
    let (amount, provider) = match &payment.phase {
        Phase::Charging(charge) if charge.revision == revision => {
            (charge.amount, charge.card.provider)
        }
        // The answer is about a charge that is over: its outcome was announced before.
        Phase::Charging(_) | Phase::Waiting | Phase::Declined(_) | Phase::Captured(_) => return,
    };
    let known = payment.face().cloned();
    match outcome {
        ChargeOutcome::Captured { reference, face } => {
            let means = Means::Card { provider, reference, face: known.or(face) };
            captured(payment, revision, amount, means, next);
        }
        ChargeOutcome::Declined { code, detail } => {
            let (method, provider, face) = (Method::Card, Some(provider), known);
            let decline = Decline { revision, amount, method, provider, face, code, detail };
            next.declined = Some(decline.clone());
            declined(payment, decline, next);
            if payment.compensation == CompensationState::NotAsked {
                charge_due(payment, next);
            }
        }
    }
}

fn captured(
    payment: &mut Payment,
    revision: u32,
    amount: Money,
    means: Means,
    next: &mut Decision,
) {
    if let Some(customer) = payment.customer().cloned() {
        let method = means.method();
        next.announce.push(Announcement::Captured { customer, revision, amount, method });
    }
    if means.method() == Method::Card {
        release_hold(payment.order, next);
    }
    payment.phase = Phase::Captured(Capture {
        revision,
        amount,
        means,
        refunded: Money::zero(amount.currency()),
        refund: None,
    });
}

/// Releases the hold of an order that was paid without it, or cancelled.
fn release_hold(order: OrderId, next: &mut Decision) {
    let wallet = &mut next.state.wallet;
    if let Ok((released, entry)) = account::release(wallet.clone(), order) {
        *wallet = released;
        next.entries.extend(entry);
    }
}

fn declined(payment: &mut Payment, decline: Decline, next: &mut Decision) {
    if let Some(customer) = payment.customer().cloned() {
        let Decline { revision, amount, code, .. } = decline;
        let detail = Arc::clone(&decline.detail);
        next.announce.push(Announcement::Declined { customer, revision, amount, code, detail });
    }
    payment.phase = Phase::Declined(decline);
}

#[cfg(test)]
mod tests;
