//! How far an order has come: its steps, what is expected next, and since when that is late. All of
//! it is derived from the answers that `order.rs` records.

use proto::words;
use time::{Duration, OffsetDateTime};

use super::{Order, Payment, Phase, Stock};

/// A healthy shop answers within a second; after a minute somebody should look.
const ANSWER_WITHIN: Duration = Duration::minutes(1);

words! {
    /// The steps that an order goes through.
    pub enum StepName {
        InventoryReserved = "inventory_reserved",
        PaymentProcessed = "payment_processed",
        OrderConfirmed = "order_confirmed",
        NotificationSent = "notification_sent",
    }
}

words! {
    /// What became of a step.
    pub enum StepState {
        Waiting = "waiting",
        Completed = "completed",
        Failed = "failed",
        Compensated = "compensated",
    }
}

words! {
    /// How far an order has come as a whole.
    pub enum SagaStatus {
        Started = "started",
        Completed = "completed",
        Failed = "failed",
        /// The order is cancelled, and stock or payment has not answered the cancellation yet.
        Compensating = "compensating",
        Compensated = "compensated",
    }
}

/// An order, seen as steps.
#[derive(Clone, Debug, PartialEq, Eq, Hash)]
pub struct Saga {
    pub status: SagaStatus,
    pub steps: [Step; 4],
    pub expected: Option<ExpectedStep>,
}

/// One step of the saga, and when it was done.
#[derive(Clone, Debug, PartialEq, Eq, Hash)]
pub struct Step {
    pub name: StepName,
    pub state: StepState,
    /// When it was completed or failed.
    pub at: Option<OffsetDateTime>,
    pub compensated_at: Option<OffsetDateTime>,
    /// Why it failed.
    pub detail: Option<String>,
}

/// What has to happen next.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub struct ExpectedStep {
    /// A waiting step's name, `inventory_released` or `payment_undone`.
    pub step: &'static str,
    /// The service that is expected to act.
    pub from: &'static str,
    pub by: OffsetDateTime,
}

impl Saga {
    /// The saga of an order, as its state tells it.
    pub fn of(order: &Order) -> Self {
        let steps = [stock(order), payment(order), confirmation(order), notification(order)];
        Self { status: status(order), steps, expected: expected(order) }
    }

    /// Whether what is expected next should have happened by now.
    pub fn is_late(&self, now: OffsetDateTime) -> bool {
        self.expected.is_some_and(|expected| expected.by < now)
    }

    /// Whether somebody should look: what is expected is late, or staff have to settle a refund.
    pub fn is_stuck(&self, order: &Order, now: OffsetDateTime) -> bool {
        let owes = self.status == SagaStatus::Compensating;
        self.is_late(now) || (owes && order.payment.refund_refused_at.is_some())
    }

    /// The steps that were completed, whether they were taken back or not.
    pub fn completed(&self) -> impl Iterator<Item = StepName> {
        let done = |step: &&Step| match step.state {
            StepState::Completed | StepState::Compensated => true,
            StepState::Waiting | StepState::Failed => false,
        };
        self.steps.iter().filter(done).map(|step| step.name)
    }

    /// The steps that were undone.
    pub fn compensated(&self) -> impl Iterator<Item = StepName> {
        let back = |step: &&Step| step.state == StepState::Compensated;
        self.steps.iter().filter(back).map(|step| step.name)
    }
}

fn status(order: &Order) -> SagaStatus {
    let Order { stock: Stock { reserved, .. }, payment, .. } = order;
    match order.phase() {
        Phase::Open => SagaStatus::Started,
        Phase::Confirmed => SagaStatus::Completed,
        Phase::Cancelled if order.is_unfinished() => SagaStatus::Compensating,
        Phase::Cancelled if reserved.is_some() || payment.captured.is_some() => {
            SagaStatus::Compensated
        }
        Phase::Cancelled => SagaStatus::Failed,
    }
}

fn step(name: StepName, state: StepState, at: Option<OffsetDateTime>) -> Step {
    Step { name, state, at, compensated_at: None, detail: None }
}

/// Of an open order only an answer to its present revision counts: an earlier one leaves the step
/// waiting.
fn stock(order: &Order) -> Step {
    let name = StepName::InventoryReserved;
    let Stock { reserved, rejected, released_at } = order.stock;
    match (reserved, rejected) {
        _ if order.phase() == Phase::Open && !order.is_reserved() => {
            step(name, StepState::Waiting, None)
        }
        (Some(held), _) if released_at.is_some() => Step {
            compensated_at: released_at,
            ..step(name, StepState::Compensated, Some(held.at))
        },
        (Some(held), _) => step(name, StepState::Completed, Some(held.at)),
        (None, Some(rejection)) => Step {
            detail: Some("insufficient_inventory".to_owned()),
            ..step(name, StepState::Failed, Some(rejection.at))
        },
        (None, None) => never(name, released_at),
    }
}

fn payment(order: &Order) -> Step {
    let name = StepName::PaymentProcessed;
    let Payment { captured, declined, compensation, .. } = order.payment;
    match (captured, declined) {
        (Some(capture), _) if compensation.is_some() => Step {
            compensated_at: compensation.map(|compensation| compensation.at),
            ..step(name, StepState::Compensated, Some(capture.at))
        },
        (Some(capture), _) => Step {
            detail: order.payment.refund_refused_at.map(|_| "refund_refused".to_owned()),
            ..step(name, StepState::Completed, Some(capture.at))
        },
        _ if order.phase() == Phase::Open => step(name, StepState::Waiting, None),
        (None, Some(decline)) => Step {
            detail: Some(decline.code.as_str().to_owned()),
            ..step(name, StepState::Failed, Some(decline.at))
        },
        (None, None) => never(name, compensation.map(|compensation| compensation.at)),
    }
}

fn confirmation(order: &Order) -> Step {
    match order.confirmed_at {
        Some(at) => step(StepName::OrderConfirmed, StepState::Completed, Some(at)),
        None => never(StepName::OrderConfirmed, cancelled_at(order)),
    }
}

fn notification(order: &Order) -> Step {
    let name = StepName::NotificationSent;
    match (&order.notified, order.confirmed_at) {
        (Some(notified), _) => Step {
            detail: notified.failure.as_deref().map(ToOwned::to_owned),
            ..step(
                name,
                if notified.failure.is_some() { StepState::Failed } else { StepState::Completed },
                Some(notified.at),
            )
        },
        (None, Some(_)) => step(name, StepState::Waiting, None),
        // The confirmation mail follows a confirmation: without one, a cancelled order has no mail
        // to expect.
        (None, None) => never(name, cancelled_at(order)),
    }
}

fn cancelled_at(order: &Order) -> Option<OffsetDateTime> {
    order.cancellation.as_ref().map(|cancellation| cancellation.at)
}

/// A step that has not happened. It still may, unless `over` says since when it cannot.
fn never(name: StepName, over: Option<OffsetDateTime>) -> Step {
    match over {
        None => step(name, StepState::Waiting, None),
        Some(at) => Step {
            detail: Some("order_cancelled".to_owned()),
            ..step(name, StepState::Failed, Some(at))
        },
    }
}

const INVENTORY_RELEASED: &str = "inventory_released";
const PAYMENT_UNDONE: &str = "payment_undone";

/// All that may be expected of an order: every [`ExpectedStep::step`].
pub const SAGA_EXPECTATIONS: [&str; 4] = [
    StepName::InventoryReserved.as_str(),
    StepName::PaymentProcessed.as_str(),
    INVENTORY_RELEASED,
    PAYMENT_UNDONE,
];

fn expected(order: &Order) -> Option<ExpectedStep> {
    let soon = |at: OffsetDateTime| at.saturating_add(ANSWER_WITHIN);
    let expect = |step, from, by| Some(ExpectedStep { step, from, by });
    let reserving = StepName::InventoryReserved.as_str();
    let paying = StepName::PaymentProcessed.as_str();
    match order.phase() {
        Phase::Open => match order.pay_by() {
            None => expect(reserving, "inventory-svc", soon(order.present.at)),
            Some(pay_by) => expect(paying, "payment-svc", pay_by),
        },
        // The confirmation's mail may follow, and nothing waits for it.
        Phase::Confirmed => None,
        Phase::Cancelled => {
            let by = soon(cancelled_at(order)?);
            if order.stock.released_at.is_none() {
                expect(INVENTORY_RELEASED, "inventory-svc", by)
            } else if order.payment.compensation.is_none() {
                expect(PAYMENT_UNDONE, "payment-svc", by)
            } else {
                None
            }
        }
    }
}
