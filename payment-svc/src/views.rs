//! What the outside sees of payments and accounts, and how a refusal is told.

use chassis::{Code, Problem, clock};
use mailbox::Answer;
use proto::{CustomerId, Money, OrderId};
use serde::Serialize;
use service::told;
use time::OffsetDateTime;
use uuid::Uuid;

use crate::{
    domain::{Method, Refusal, Standing, payment_id},
    store::{AccountRow, Root, Shown},
};

/// The provider of every card payment, as it is told.
const CARD_PROVIDER: &str = "simulator";

#[derive(Serialize)]
pub(crate) struct PaymentView<'a> {
    id: String,
    order_id: OrderId,
    customer_id: &'a CustomerId,
    method: &'static str,
    provider: Option<&'static str>,
    status: &'static str,
    amount: Money,
    refunded: Money,
    card: Option<CardView<'a>>,
    decline: Option<DeclineView<'a>>,
    #[serde(serialize_with = "clock::serialize")]
    created_at: OffsetDateTime,
    #[serde(serialize_with = "clock::serialize")]
    updated_at: OffsetDateTime,
}

#[derive(Serialize)]
struct CardView<'a> {
    brand: &'a str,
    last4: &'a str,
}

#[derive(Serialize)]
struct DeclineView<'a> {
    code: &'static str,
    detail: &'a str,
}

impl<'a> PaymentView<'a> {
    /// `None` for a tombstone: of that payment nothing is known but that it will never be.
    pub(crate) fn of(root: &'a Root) -> Option<Self> {
        let payment = &root.payment;
        let (customer_id, amount) = (payment.customer()?, payment.amount()?);
        let method = payment.method();
        let refunded = match &payment.standing {
            Standing::Captured(capture) => capture.refunded,
            Standing::Waiting | Standing::Charging(_) | Standing::Declined(_) => {
                Money::zero(amount.currency())
            }
        };
        let decline = match &payment.standing {
            Standing::Declined(decline) => {
                Some(DeclineView { code: decline.code.as_str(), detail: &decline.detail })
            }
            Standing::Waiting | Standing::Charging(_) | Standing::Captured(_) => None,
        };
        Some(Self {
            id: payment_id(payment.order).to_string(),
            order_id: payment.order,
            customer_id,
            method: method.as_str(),
            provider: (method == Method::Card).then_some(CARD_PROVIDER),
            status: payment.status().as_str(),
            amount,
            refunded,
            card: payment.face().map(|face| CardView { brand: &face.brand, last4: &face.last4 }),
            decline,
            created_at: root.created_at,
            updated_at: root.updated_at,
        })
    }
}

/// What one who pays is told: 201 with money, 402 without, 202 while nobody knows.
pub(crate) fn outcome(root: &Root) -> Answer {
    let status = match &root.payment.standing {
        Standing::Captured(_) => 201,
        Standing::Declined(decline) => {
            let detail = match decline.detail.as_ref() {
                "" => format!("the payment was declined: {}", decline.code.as_str()),
                detail => format!("the payment was declined: {detail}"),
            };
            let payment = serde_json::to_value(PaymentView::of(root)).unwrap_or_default();
            let problem = Problem::new(Code::PaymentDeclined, detail).with("payment", payment);
            return service::refusal(&problem);
        }
        Standing::Charging(_) | Standing::Waiting => 202,
    };
    let place = format!("/v1/payments/{}", payment_id(root.payment.order));
    told(status, &PaymentView::of(root), Some(place))
}

#[derive(Serialize)]
pub(crate) struct AccountView<'a> {
    customer_id: &'a CustomerId,
    currency: &'static str,
    balance: Money,
    held: Money,
    available: Money,
    #[serde(serialize_with = "clock::serialize")]
    created_at: OffsetDateTime,
}

impl<'a> From<&'a AccountRow> for AccountView<'a> {
    fn from(row: &'a AccountRow) -> Self {
        let account = &row.account;
        Self {
            customer_id: &account.customer,
            currency: account.currency().code(),
            balance: account.balance,
            held: account.held,
            available: account.available(),
            created_at: row.created_at,
        }
    }
}

#[derive(Serialize)]
struct Deposited<'a> {
    entry_id: Uuid,
    account: AccountView<'a>,
}

#[derive(Serialize)]
struct Held<'a> {
    order_id: Uuid,
    account: AccountView<'a>,
}

#[derive(Serialize)]
pub(crate) struct EntryView<'a> {
    id: Uuid,
    kind: &'a str,
    debit: &'a str,
    credit: &'a str,
    amount: Money,
    order_id: Option<Uuid>,
    #[serde(serialize_with = "clock::serialize")]
    at: OffsetDateTime,
}

impl<'a> From<&'a Shown> for EntryView<'a> {
    fn from(entry: &'a Shown) -> Self {
        Self {
            id: entry.id,
            kind: &entry.kind,
            debit: &entry.debit,
            credit: &entry.credit,
            amount: entry.amount,
            order_id: entry.order.map(OrderId::uuid),
            at: entry.at,
        }
    }
}

pub(crate) fn account_opened(row: &AccountRow) -> Answer {
    let place = format!("/v1/accounts/{}", row.account.customer);
    told(201, &AccountView::from(row), Some(place))
}

pub(crate) fn deposited(entry_id: Uuid, row: &AccountRow) -> Answer {
    told(201, &Deposited { entry_id, account: row.into() }, None)
}

pub(crate) fn held(status: u16, order: OrderId, row: &AccountRow) -> Answer {
    told(status, &Held { order_id: order.uuid(), account: row.into() }, None)
}

/// How the business's no is told.
pub(crate) fn refused(refusal: &Refusal) -> Answer {
    service::refusal(&problem(refusal))
}

fn problem(refusal: &Refusal) -> Problem {
    let detail = refusal.to_string();
    let at_amount = |code| Problem::new(code, detail.clone()).at("/amount", code, detail.clone());
    match refusal {
        Refusal::UnknownOrder | Refusal::UnknownAccount | Refusal::NeverHeld => {
            Problem::new(Code::NotFound, detail)
        }
        Refusal::AlreadyPaid => Problem::new(Code::AlreadyPaid, detail),
        Refusal::Cancelled | Refusal::Declined => Problem::new(Code::NotPayable, detail),
        Refusal::AccountExists => Problem::new(Code::AccountExists, detail),
        Refusal::InsufficientFunds { .. } => Problem::new(Code::InsufficientFunds, detail),
        Refusal::HoldExists { .. } => Problem::new(Code::HoldExists, detail),
        Refusal::HoldCaptured => Problem::new(Code::HoldCaptured, detail),
        Refusal::NotPositive => at_amount(Code::AmountNotPositive),
        Refusal::OtherAmount { .. } | Refusal::OtherCurrency { .. } | Refusal::TooMuch => {
            at_amount(Code::InvalidValue)
        }
    }
}
