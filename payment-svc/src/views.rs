//! Payments and accounts as JSON, and refusals as answers.

use chassis::{Code, Problem, clock::Timestamp};
use mailbox::Answer;
use proto::{Currency, CustomerId, Money, OrderId, PaymentId};
use schemars::JsonSchema;
use serde::{Deserialize, Serialize};
use service_kit::json_answer;
use uuid::Uuid;

use crate::{
    cards,
    domain::{
        CardDisplay, DeclineCode, Instrument, Method, PaymentProvider, Phase, Refund, RefundState,
        Refusal, Status, payment_id,
    },
    store::{ledger_entries::LedgerLine, refunds::RefundOutcome},
    world::{AccountRow, Root},
};

#[derive(Serialize, JsonSchema)]
pub(crate) struct PaymentView<'a> {
    id: PaymentId,
    order_id: OrderId,
    customer_id: &'a CustomerId,
    method: Method,
    provider: Option<PaymentProvider>,
    status: Status,
    amount: Money,
    refunded: Money,
    card: Option<CardView<'a>>,
    /// Why no money was taken.
    decline: Option<DeclineView<'a>>,
    created_at: Timestamp,
    updated_at: Timestamp,
}

#[derive(Serialize, JsonSchema)]
struct CardView<'a> {
    brand: &'a str,
    last4: &'a str,
}

#[derive(Serialize, JsonSchema)]
struct DeclineView<'a> {
    code: DeclineCode,
    detail: &'a str,
}

impl<'a> PaymentView<'a> {
    /// `None` for a tombstone: it has no customer and no amount to show, and never will.
    pub(crate) fn of(root: &'a Root) -> Option<Self> {
        let payment = &root.payment;
        let (customer_id, amount) = (payment.customer()?, payment.amount()?);
        let refunded = match &payment.phase {
            Phase::Captured(capture) => capture.refunded,
            Phase::Waiting | Phase::Charging(_) | Phase::Declined(_) => {
                Money::zero(amount.currency())
            }
        };
        let decline = match &payment.phase {
            Phase::Declined(decline) => {
                Some(DeclineView { code: decline.code, detail: &decline.detail })
            }
            Phase::Waiting | Phase::Charging(_) | Phase::Captured(_) => None,
        };
        Some(Self {
            id: payment_id(payment.order),
            order_id: payment.order,
            customer_id,
            method: payment.method(),
            provider: payment.provider(),
            status: payment.status(),
            amount,
            refunded,
            card: payment.face().map(|face| CardView { brand: &face.brand, last4: &face.last4 }),
            decline,
            created_at: root.created_at.into(),
            updated_at: root.updated_at.into(),
        })
    }
}

/// What is kept of a payment that has no outcome yet, under its request's key: the charge that is
/// under way.
#[derive(Clone, Copy, Serialize, Deserialize)]
pub(crate) struct OpenCharge {
    /// What it was begun for: an order may be amended meanwhile, and has one charge a revision.
    pub(crate) revision: u32,
    /// Whether it is made with the client's own card.
    pub(crate) is_payer: bool,
}

/// The answer to a request to pay, as soon as it is decided. Without an outcome yet, the 202 is not
/// for the client: it says which charge to wait for ([`open_charge`]).
pub(crate) fn paid(root: &Root, instrument: &Instrument) -> Answer {
    let Phase::Charging(charge) = &root.payment.phase else { return outcome(root, true) };
    let is_payer = match instrument {
        Instrument::Card(card) => charge.card.token == card.token,
        Instrument::Wallet | Instrument::CardWithoutToken => false,
    };
    json_answer(202, &OpenCharge { revision: charge.revision, is_payer }, None)
}

/// The charge that a 202 of [`paid`] is about.
pub(crate) fn open_charge(answer: &Answer) -> Option<OpenCharge> {
    serde_json::from_slice(&answer.body).ok()
}

/// The answer to a client that pays: 201 with money, 402 without, 202 while the outcome is unknown.
/// The payment is always shown as it stood at its outcome, so that a repeated request gets the same
/// answer. A client with another instrument is told what became of the charge under way instead.
pub(crate) fn outcome(root: &Root, is_payer: bool) -> Answer {
    let root = &root.at_outcome();
    let place = || Some(format!("/v1/payments/{}", payment_id(root.payment.order)));
    match &root.payment.phase {
        Phase::Captured(_) if !is_payer => service_kit::refusal(&Refusal::AlreadyPaid.into()),
        Phase::Declined(_) if !is_payer => service_kit::refusal(&Refusal::OtherDeclined.into()),
        Phase::Captured(_) => json_answer(201, &PaymentView::of(root), place()),
        Phase::Declined(decline) => {
            let detail = match decline.detail.as_ref() {
                "" => format!("the payment was declined: {}", decline.code.as_str()),
                detail => format!("the payment was declined: {detail}"),
            };
            let payment = serde_json::to_value(PaymentView::of(root)).unwrap_or_default();
            let problem = Problem::new(Code::PaymentDeclined, detail).with("payment", payment);
            service_kit::refusal(&problem)
        }
        Phase::Charging(_) | Phase::Waiting => json_answer(202, &PaymentView::of(root), place()),
    }
}

/// What is kept of a refund that has no outcome yet, under its request's key.
#[derive(Serialize, Deserialize)]
struct OpenRefund {
    number: u32,
}

/// The answer to a request for a refund, as soon as it is decided. Without an outcome yet, the 202
/// is not for the client: it says which refund to wait for ([`open_refund`]).
pub(crate) fn refund_asked(root: &Root, asked: &Refund) -> Answer {
    match &asked.state {
        RefundState::Processing => json_answer(202, &OpenRefund { number: asked.number }, None),
        RefundState::Refunded => json_answer(200, &PaymentView::of(root), None),
        RefundState::Refused(reason) => refund_refused(reason),
    }
}

/// The number of the refund that a 202 of [`refund_asked`] is about.
pub(crate) fn open_refund(answer: &Answer) -> Option<u32> {
    serde_json::from_slice(&answer.body).ok().map(|OpenRefund { number }| number)
}

/// The answer to a client that asked for a refund: the payment as it stood when the refund ended,
/// or as it stands while the provider is asked.
pub(crate) fn refund_outcome(mut root: Root, outcome: &RefundOutcome) -> Answer {
    match &outcome.state {
        RefundState::Processing => json_answer(202, &PaymentView::of(&root), None),
        RefundState::Refused(reason) => refund_refused(reason),
        RefundState::Refunded => {
            if let Phase::Captured(capture) = &mut root.payment.phase {
                let refunded = Money::new(outcome.refunded, capture.amount.currency());
                capture.refunded = refunded.unwrap_or(capture.refunded);
            }
            root.updated_at = outcome.ended_at.unwrap_or(root.updated_at);
            json_answer(200, &PaymentView::of(&root), None)
        }
    }
}

fn refund_refused(reason: &str) -> Answer {
    let detail = format!("the refund was refused: {reason}");
    service_kit::refusal(&Problem::new(Code::RefundRefused, detail))
}

/// Whether an instrument could be paid with, as far as it alone tells.
pub(crate) fn validated(instrument: &Instrument) -> Answer {
    match instrument {
        Instrument::Wallet => validation(None, None),
        Instrument::Card(card) => {
            let code = cards::declined(card).map(DeclineCode::as_str);
            validation(card.face.as_ref(), code)
        }
        Instrument::CardWithoutToken => unusable(DeclineCode::CardDeclined.as_str()),
    }
}

/// Something that is no instrument, with the code by which paying with it is refused.
pub(crate) fn unusable(reason: &str) -> Answer {
    validation(None, Some(reason))
}

/// Whether an instrument could be paid with.
#[derive(Serialize, JsonSchema)]
pub(crate) struct ValidationView<'a> {
    valid: bool,
    brand: Option<&'a str>,
    last4: Option<&'a str>,
    /// The code with which it would be refused or declined.
    reason: Option<&'a str>,
}

fn validation(face: Option<&CardDisplay>, reason: Option<&str>) -> Answer {
    let view = ValidationView {
        valid: reason.is_none(),
        brand: face.map(|face| &*face.brand),
        last4: face.map(|face| &*face.last4),
        reason,
    };
    json_answer(200, &view, None)
}

#[derive(Serialize, JsonSchema)]
pub(crate) struct AccountView<'a> {
    customer_id: &'a CustomerId,
    currency: Currency,
    /// What is held and what is available, together.
    balance: Money,
    held: Money,
    available: Money,
    created_at: Timestamp,
}

impl<'a> From<&'a AccountRow> for AccountView<'a> {
    fn from(row: &'a AccountRow) -> Self {
        let account = &row.account;
        Self {
            customer_id: &account.customer,
            currency: account.currency(),
            balance: account.balance,
            held: account.held,
            available: account.available(),
            created_at: row.created_at.into(),
        }
    }
}

#[derive(Serialize, JsonSchema)]
pub(crate) struct DepositView<'a> {
    entry_id: Uuid,
    account: AccountView<'a>,
}

#[derive(Serialize, JsonSchema)]
pub(crate) struct HoldView<'a> {
    order_id: Uuid,
    account: AccountView<'a>,
}

#[derive(Serialize, JsonSchema)]
pub(crate) struct EntryView<'a> {
    id: Uuid,
    kind: &'a str,
    /// The ledger account that the money came from.
    debit: &'a str,
    /// The ledger account that it went to.
    credit: &'a str,
    amount: Money,
    order_id: Option<Uuid>,
    at: Timestamp,
}

impl<'a> From<&'a LedgerLine> for EntryView<'a> {
    fn from(entry: &'a LedgerLine) -> Self {
        Self {
            id: entry.id,
            kind: &entry.kind,
            debit: &entry.debit,
            credit: &entry.credit,
            amount: entry.amount,
            order_id: entry.order.map(OrderId::uuid),
            at: entry.at.into(),
        }
    }
}

pub(crate) fn account_opened(row: &AccountRow) -> Answer {
    let place = format!("/v1/accounts/{}", row.account.customer);
    json_answer(201, &AccountView::from(row), Some(place))
}

pub(crate) fn deposited(entry_id: Uuid, row: &AccountRow) -> Answer {
    json_answer(201, &DepositView { entry_id, account: row.into() }, None)
}

pub(crate) fn held(status: u16, order: OrderId, row: &AccountRow) -> Answer {
    json_answer(status, &HoldView { order_id: order.uuid(), account: row.into() }, None)
}
