//! What an order is: what was asked for, what stock and payment have answered, and how it ended.
//!
//! Answers are recorded as they come and never rewritten; status, ending and what is still expected
//! follow from them, so no order of arrival can contradict another.

use std::{fmt, sync::Arc};

use proto::{CustomerId, Money, OrderId, PaymentId, Sku, words};
use time::{Duration, OffsetDateTime};

words! {
    /// How an order is to be paid.
    pub enum Method {
        /// From the customer's account at payment-svc.
        Wallet = "wallet",
        /// With a card's token.
        Card = "card",
        /// Not chosen yet: the order waits for a payment.
        Deferred = "deferred",
    }
}

words! {
    /// An order's status, as the API shows it and lists filter by it.
    pub enum Status {
        Pending = "pending",
        PaymentPending = "payment_pending",
        Paid = "paid",
        Confirmed = "confirmed",
        Shipped = "shipped",
        Delivered = "delivered",
        Cancelled = "cancelled",
    }
}

words! {
    /// Why an order has another revision.
    pub enum AmendmentCause {
        /// Somebody asked for other lines.
        Requested = "requested",
        /// The revision before could not be reserved: the lines are those that are.
        StockRejected = "stock_rejected",
        /// An earlier revision was paid first: the lines are those that are paid.
        CapturedFirst = "captured_first",
    }
}

words! {
    /// Why an order was cancelled.
    pub enum Reason {
        InsufficientInventory = "insufficient_inventory",
        PaymentDeclined = "payment_declined",
        PaymentTimeout = "payment_timeout",
        ReservationExpired = "reservation_expired",
        CustomerRequest = "customer_request",
        StaffRequest = "staff_request",
    }
}

words! {
    /// Why a payment was declined.
    pub enum DeclineCode {
        CardDeclined = "card_declined",
        InsufficientFunds = "insufficient_funds",
        ExpiredCard = "expired_card",
        NoAccount = "no_account",
        CurrencyMismatch = "currency_mismatch",
    }
}

/// One order.
#[derive(Clone, Debug, PartialEq, Eq, Hash)]
pub struct Order {
    pub id: OrderId,
    pub customer: CustomerId,
    pub method: Method,
    pub placed_at: OffsetDateTime,
    /// How long the order may wait for its payment once its stock is reserved.
    pub pay_within: Duration,
    /// What is ordered now.
    pub present: Revision,
    /// What was ordered before, the oldest first: an answer to an earlier revision may still decide
    /// what becomes of an open order. Of no use, hence empty, once the order has ended.
    pub superseded: Vec<Revision>,
    /// When anything about the order changed last.
    pub updated_at: OffsetDateTime,
    /// Counts the events that this service has announced about the order.
    pub version: i64,
    pub stock: Stock,
    pub payment: Payment,
    pub confirmed_at: Option<OffsetDateTime>,
    pub cancellation: Option<Cancellation>,
    pub shipment: Option<Shipment>,
    /// What became of the confirmation mail; none until notify-svc has said so.
    pub notified: Option<MailResult>,
}

/// What an order asked for at one time.
#[derive(Clone, Debug, PartialEq, Eq, Hash)]
pub struct Revision {
    /// Counts what was ordered: 1, then one more for each amendment.
    pub number: u32,
    pub lines: Arc<[Line]>,
    pub total: Money,
    /// Why it followed the one before; none for the first.
    pub cause: Option<AmendmentCause>,
    /// When this service said it.
    pub at: OffsetDateTime,
}

impl Revision {
    /// Whether both ask for the same pieces at the same prices: then the answers to one count for
    /// the other.
    pub fn is_like(&self, other: &Self) -> bool {
        let sorted = |revision: &Self| {
            let lines = revision.lines.iter();
            let mut wanted: Vec<_> =
                lines.map(|it| (it.sku.clone(), it.quantity, it.unit_price.amount())).collect();
            wanted.sort_unstable();
            wanted
        };
        Arc::ptr_eq(&self.lines, &other.lines)
            || (self.total == other.total && sorted(self) == sorted(other))
    }
}

/// What is bought, and for how much.
#[derive(Clone, Debug, PartialEq, Eq, Hash)]
pub struct Line {
    /// None for a line that needs no stock.
    pub sku: Option<Sku>,
    /// The product's name when it was ordered, or the line's own description.
    pub name: Arc<str>,
    pub quantity: u32,
    pub unit_price: Money,
}

impl Line {
    /// The price of all its pieces.
    pub fn total(&self) -> Money {
        self.unit_price.times(self.quantity).expect("limits of both keep the product in range")
    }
}

/// What inventory has answered.
#[derive(Clone, Debug, Default, PartialEq, Eq, Hash)]
pub struct Stock {
    /// The reservation of the highest revision that was reserved: its stock is what is held.
    pub reserved: Option<Reservation>,
    /// The rejection of the highest revision that was rejected.
    pub rejected: Option<Rejection>,
    /// When inventory-svc said that nothing is held for the cancelled order any more.
    pub released_at: Option<OffsetDateTime>,
}

/// For which revision stock is held, and since when.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub struct Reservation {
    pub revision: u32,
    pub at: OffsetDateTime,
}

/// For which revision stock was refused, and when.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub struct Rejection {
    pub revision: u32,
    pub at: OffsetDateTime,
}

/// A SKU of which more was ordered than is available.
#[derive(Clone, Debug, PartialEq, Eq, Hash)]
pub struct Shortage {
    pub sku: Sku,
    pub wanted: u32,
    pub available: u32,
}

impl fmt::Display for Shortage {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{} of {} wanted, {} available", self.wanted, self.sku, self.available)
    }
}

/// What payment has answered.
#[derive(Clone, Debug, Default, PartialEq, Eq, Hash)]
pub struct Payment {
    /// The payment's id, known from the first capture or decline on.
    pub id: Option<PaymentId>,
    /// An order is captured at most once.
    pub captured: Option<Capture>,
    /// The decline of the highest revision that was declined.
    pub declined: Option<Decline>,
    /// The one answer of payment-svc to the order's cancellation.
    pub compensation: Option<Compensation>,
    /// When the cancelled order's money was refused for good on its way back: staff have to settle
    /// it.
    pub refund_refused_at: Option<OffsetDateTime>,
}

/// The money that payment-svc took.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub struct Capture {
    pub revision: u32,
    pub amount: Money,
    pub at: OffsetDateTime,
}

/// Why payment-svc took no money.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub struct Decline {
    pub revision: u32,
    pub code: DeclineCode,
    pub at: OffsetDateTime,
}

/// How a cancelled order's money was settled, and when.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub struct Compensation {
    pub how: CompensationKind,
    pub at: OffsetDateTime,
}

/// How the money of a cancelled order was settled.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub enum CompensationKind {
    /// No money is kept, and none had to go back.
    Voided,
    Refunded(Money),
}

/// Why and by whom an order was cancelled.
#[derive(Clone, Debug, PartialEq, Eq, Hash)]
pub struct Cancellation {
    pub reason: Reason,
    /// What was missing or why the payment was declined; empty for a request.
    pub detail: Arc<str>,
    /// Who asked for the cancellation; none if it followed from a fact or a deadline.
    pub by: Option<By>,
    pub at: OffsetDateTime,
}

/// How the goods travel.
#[derive(Clone, Debug, PartialEq, Eq, Hash)]
pub struct Shipment {
    pub carrier: Arc<str>,
    pub tracking_number: Arc<str>,
    pub at: OffsetDateTime,
    /// When the goods arrived.
    pub delivered_at: Option<OffsetDateTime>,
}

/// The name of a caller.
pub type By = Arc<str>;

/// What became of the confirmation mail to the customer.
#[derive(Clone, Debug, PartialEq, Eq, Hash)]
pub struct MailResult {
    /// Why the mail will not be delivered; none if it was sent.
    pub failure: Option<Arc<str>>,
    pub at: OffsetDateTime,
}

/// Whether an order is open, or how it ended.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub enum Phase {
    Open,
    Confirmed,
    Cancelled,
}

impl Order {
    /// Whether the order is open, or how it ended.
    pub fn phase(&self) -> Phase {
        match (&self.cancellation, self.confirmed_at) {
            (Some(_), _) => Phase::Cancelled,
            (None, Some(_)) => Phase::Confirmed,
            (None, None) => Phase::Open,
        }
    }

    /// What people are told: the phase, and how far the order is in it.
    pub fn status(&self) -> Status {
        match (self.phase(), &self.shipment) {
            (Phase::Cancelled, _) => Status::Cancelled,
            (Phase::Confirmed, Some(Shipment { delivered_at: Some(_), .. })) => Status::Delivered,
            (Phase::Confirmed, Some(_)) => Status::Shipped,
            (Phase::Confirmed, None) => Status::Confirmed,
            (Phase::Open, _) if self.payment.captured.is_some() => Status::Paid,
            (Phase::Open, _) if self.is_reserved() => Status::PaymentPending,
            (Phase::Open, _) => Status::Pending,
        }
    }

    /// What was ordered as this revision, if that may still matter.
    pub fn revision(&self, number: u32) -> Option<&Revision> {
        self.superseded.iter().chain([&self.present]).find(|it| it.number == number)
    }

    /// Whether the stock of the present revision is held.
    pub fn is_reserved(&self) -> bool {
        self.reserved().is_some()
    }

    /// The reservation of the present revision.
    fn reserved(&self) -> Option<Reservation> {
        self.stock.reserved.filter(|held| held.revision == self.present.number)
    }

    /// Whether exactly the total of the present revision was captured, for it or for an earlier one
    /// with the same lines.
    pub fn is_paid(&self) -> bool {
        let pays = |capture: Capture| {
            let paid = self.revision(capture.revision);
            capture.amount == self.present.total && paid.is_some_and(|it| it.is_like(&self.present))
        };
        self.payment.captured.is_some_and(pays)
    }

    /// Whether something is still to come: an ending, or an answer to the cancellation.
    pub fn is_unfinished(&self) -> bool {
        match self.phase() {
            Phase::Open => true,
            Phase::Confirmed => false,
            Phase::Cancelled => {
                self.stock.released_at.is_none() || self.payment.compensation.is_none()
            }
        }
    }

    /// Until when the present revision has to be paid; none before its stock is reserved.
    pub fn pay_by(&self) -> Option<OffsetDateTime> {
        self.reserved().map(|held| held.at.saturating_add(self.pay_within))
    }

    /// Until when the order waits for its payment; none once a payment was captured or the order
    /// ended.
    pub fn deadline(&self) -> Option<OffsetDateTime> {
        let waits = self.phase() == Phase::Open && self.payment.captured.is_none();
        self.pay_by().filter(|_| waits)
    }

    /// Whether a client that waits for an outcome has one: the order ended, or it asks for the
    /// payment of its present revision.
    pub fn has_outcome(&self) -> bool {
        let asks_for_payment =
            self.method == Method::Deferred && self.status() == Status::PaymentPending;
        self.phase() != Phase::Open || asks_for_payment
    }

    /// The pieces of a SKU that inventory-svc holds for the order: what exceeds the present revision
    /// is given back only when the order ends.
    pub fn held(&self, sku: &Sku) -> u32 {
        let Some(reserved) = self.stock.reserved else { return 0 };
        let rejected = self.stock.rejected.map(|it| it.revision);
        let revisions = self.superseded.iter().chain([&self.present]);
        // Only the highest rejection is recorded; of an earlier one the amendment tells that undid
        // it.
        let next_causes = revisions.clone().skip(1).map(|it| it.cause).chain([None]);
        let was_held = |(it, next_cause): &(&Revision, Option<AmendmentCause>)| {
            let is_undone = *next_cause == Some(AmendmentCause::StockRejected);
            it.number <= reserved.revision && Some(it.number) != rejected && !is_undone
        };
        let held = revisions.zip(next_causes).filter(was_held);
        let lines = held.flat_map(|(it, _)| it.lines.iter());
        lines.filter(|line| line.sku.as_ref() == Some(sku)).map(|it| it.quantity).max().unwrap_or(0)
    }
}
