//! Giving money back: because the order was cancelled, or because staff say so.
//!
//! At most one refund of an order is under way, and none before its charge has ended. A cancelled
//! order's money is asked back until the provider has given it or refuses for good; then it stays
//! where it is until staff ask again. A cancellation is answered once nothing is in flight: by the
//! refund of what was left, or, when nothing is kept, by saying so.

use std::sync::Arc;

use proto::{CustomerId, Money, OrderId, words};
use uuid::Uuid;

use super::{
    Announcement, Call, Capture, CompensationState, Decision, Means, Operation, Payment, Phase,
    Refusal, State,
};

/// A refund's id is its order's id with these random bits and the refund's number flipped, as a
/// payment's id is made.
const REFUND_ID_MASK: u128 = 0x2c51_e80a_43d7_96f4;

/// The id of refund `number` of `order`.
pub fn refund_id(order: OrderId, number: u32) -> Uuid {
    Uuid::from_u128(order.uuid().as_u128() ^ REFUND_ID_MASK ^ u128::from(number))
}

/// Money of a capture that goes back, has gone back, or could not.
#[derive(Clone, Debug, PartialEq, Eq, Hash)]
pub struct Refund {
    /// Counts the refunds of an order from 1.
    pub number: u32,
    pub amount: Money,
    pub cause: RefundCause,
    pub state: RefundState,
}

words! {
    /// Why money goes back.
    pub enum RefundCause {
        /// All that was left of a cancelled order's money: it answers the cancellation.
        OrderCancelled = "order_cancelled",
        Staff = "staff",
    }
}

/// What has become of a refund.
#[derive(Clone, Debug, PartialEq, Eq, Hash)]
pub enum RefundState {
    /// With the provider, even when its answer was lost.
    Processing,
    Refunded,
    /// It will never be carried out, for this reason: the money stays.
    Refused(Arc<str>),
}

impl RefundState {
    /// The word for it in the database.
    pub fn as_str(&self) -> &'static str {
        match self {
            Self::Processing => "processing",
            Self::Refunded => "refunded",
            Self::Refused(_) => "refused",
        }
    }

    /// Why the refund was refused.
    pub fn reason(&self) -> Option<&str> {
        match self {
            Self::Processing | Self::Refunded => None,
            Self::Refused(reason) => Some(reason),
        }
    }
}

impl Capture {
    /// What has not gone back yet.
    pub fn left(&self) -> Money {
        self.amount.minus(self.refunded).expect("no more goes back than was captured")
    }

    /// The refund that the provider is asked for.
    pub fn refunding(&self) -> Option<&Refund> {
        self.refund.as_ref().filter(|refund| refund.state == RefundState::Processing)
    }

    /// Whether a cancelled order's money was refused: asking again is up to staff.
    fn waits_for_staff(&self) -> bool {
        self.refund.as_ref().is_some_and(|refund| {
            refund.cause == RefundCause::OrderCancelled
                && matches!(refund.state, RefundState::Refused(_))
        })
    }
}

/// Gives `amount` of an order's money back because staff ask for it, or all that is left. Refused
/// while another refund is under way: what is left is only known after it.
pub fn refund(state: State, amount: Option<Money>) -> Result<Decision, Refusal> {
    let mut next = Decision::unchanged(state);
    let known = next.state.payment.take().filter(|payment| payment.due.is_some());
    let mut payment = known.ok_or(Refusal::UnknownPayment)?;
    let Phase::Captured(capture) = &payment.phase else { return Err(Refusal::NothingCaptured) };
    if capture.refunding().is_some() {
        return Err(Refusal::RefundUnderWay);
    }
    let left = capture.left();
    let amount = amount.unwrap_or(left);
    if amount.currency() != left.currency() {
        return Err(Refusal::OtherCurrency { wanted: left.currency() });
    }
    if !left.is_positive() || amount > left {
        return Err(Refusal::NotRefundable { left });
    }
    if !amount.is_positive() {
        return Err(Refusal::NotPositive);
    }
    let is_owed = matches!(payment.compensation, CompensationState::Owed { .. });
    let settles = is_owed && amount == left;
    let cause = if settles { RefundCause::OrderCancelled } else { RefundCause::Staff };
    begin(&mut payment, amount, cause, &mut next);
    undo(&mut payment, &mut next);
    next.state.payment = Some(payment);
    Ok(next)
}

/// Records that the provider has given back the money of refund `number`.
pub(super) fn refund_answered(payment: &mut Payment, number: u32, next: &mut Decision) {
    if is_under_way(payment, number) {
        end(payment, RefundState::Refunded, next);
    }
}

/// Records that refund `number` will never be carried out: the money stays.
pub(super) fn refund_refused(
    payment: &mut Payment,
    number: u32,
    reason: Arc<str>,
    next: &mut Decision,
) {
    if is_under_way(payment, number) {
        end(payment, RefundState::Refused(reason), next);
    }
}

/// Answers a cancellation if nothing is in flight, and gives captured money back first.
pub(super) fn undo(payment: &mut Payment, next: &mut Decision) {
    let CompensationState::Owed { revision } = payment.compensation else { return };
    if payment.is_in_flight() {
        return;
    }
    match &payment.phase {
        Phase::Captured(capture) if capture.left().is_positive() => {
            if !capture.waits_for_staff() {
                let left = capture.left();
                begin(payment, left, RefundCause::OrderCancelled, next);
            }
        }
        Phase::Captured(_) | Phase::Charging(_) | Phase::Waiting | Phase::Declined(_) => {
            let known = payment.due.is_some();
            payment.compensation = CompensationState::Voided;
            next.announce.push(Announcement::Voided { known, revision });
        }
    }
}

fn is_under_way(payment: &Payment, number: u32) -> bool {
    match &payment.phase {
        Phase::Captured(capture) => {
            capture.refunding().is_some_and(|refund| refund.number == number)
        }
        Phase::Waiting | Phase::Charging(_) | Phase::Declined(_) => false,
    }
}

/// Begins a refund: a card's is asked of the provider, a wallet's is carried out at once.
fn begin(payment: &mut Payment, amount: Money, cause: RefundCause, next: &mut Decision) {
    let order = payment.order;
    let Phase::Captured(capture) = &mut payment.phase else { return };
    let number = capture.refund.as_ref().map_or(0, |last| last.number).saturating_add(1);
    let state = RefundState::Processing;
    capture.refund = Some(Refund { number, amount, cause, state });
    let state = match &capture.means {
        Means::Card { provider, reference, .. } => {
            let operation = Operation::Refund { number, reference: Arc::clone(reference) };
            next.call = Some(Call { order, amount, provider: *provider, operation });
            next.refunds.extend(capture.refund.clone());
            return;
        }
        Means::Wallet => {
            let account = next.state.wallet.account.as_mut().ok_or(Refusal::UnknownAccount);
            match account.and_then(|account| account.refund(order, amount)) {
                Ok(entry) => {
                    next.entries.push(entry);
                    RefundState::Refunded
                }
                Err(refusal) => RefundState::Refused(refusal.to_string().into()),
            }
        }
    };
    end(payment, state, next);
}

/// Ends the refund under way, and says how.
fn end(payment: &mut Payment, state: RefundState, next: &mut Decision) {
    let Some(customer) = payment.customer().cloned() else { return };
    let Phase::Captured(capture) = &mut payment.phase else { return };
    let revision = capture.revision;
    let Some(refund) = &mut capture.refund else { return };
    refund.state = state;
    let refund = refund.clone();
    if refund.state == RefundState::Refunded {
        capture.refunded =
            capture.refunded.plus(refund.amount).expect("no more goes back than was captured");
        if refund.cause == RefundCause::OrderCancelled {
            payment.compensation = CompensationState::Refunded;
        }
    }
    next.refunds.push(refund.clone());
    next.announce.push(said(customer, revision, refund));
}

fn said(customer: CustomerId, revision: u32, refund: Refund) -> Announcement {
    let Refund { number, amount, cause, state } = refund;
    match state {
        RefundState::Refused(detail) => {
            Announcement::RefundRefused { customer, revision, number, amount, cause, detail }
        }
        RefundState::Processing | RefundState::Refunded => {
            Announcement::Refunded { customer, revision, number, amount, cause }
        }
    }
}
