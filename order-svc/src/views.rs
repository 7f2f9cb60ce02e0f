//! How orders are shown.

use chassis::clock::Timestamp;
use proto::{CustomerId, EventId, Money, OrderId, PaymentId, Sku};
use schemars::JsonSchema;
use serde::Serialize;
use serde_json::Value;
use time::OffsetDateTime;

use crate::{
    domain::{
        AmendmentCause, Cancellation, Line, Method, Order, Reason, Saga, SagaStatus, Shipment,
        Status, Step, StepName, StepState,
    },
    wire,
    world::{HistoryRow, Root, Texts},
};

/// An order.
#[derive(Debug, Serialize, JsonSchema)]
pub struct OrderView<'a> {
    id: OrderId,
    customer_id: &'a CustomerId,
    status: Status,
    /// Counts what was ordered: 1, then one more for each amendment.
    revision: u32,
    /// Counts the events that were said about the order.
    version: i64,
    items: Vec<LineView<'a>>,
    total_amount: Money,
    payment: OrderPaymentView,
    cancellation: Option<CancellationView<'a>>,
    shipment: Option<ShipmentView<'a>>,
    /// Why the present revision followed the one before; null for the first.
    amendment: Option<AmendmentCause>,
    note: &'a str,
    created_at: Timestamp,
    updated_at: Timestamp,
}

#[derive(Debug, Serialize, JsonSchema)]
struct LineView<'a> {
    line: usize,
    /// Null for a line without stock.
    sku: Option<&'a Sku>,
    name: &'a str,
    quantity: u32,
    unit_price: Money,
    total: Money,
}

#[derive(Debug, Serialize, JsonSchema)]
struct OrderPaymentView {
    method: Method,
    payment_id: Option<PaymentId>,
}

#[derive(Debug, Serialize, JsonSchema)]
struct CancellationView<'a> {
    reason: Reason,
    detail: Option<&'a str>,
    /// The `sub` of the caller who cancelled it; null if nobody did.
    by: Option<&'a str>,
    at: Timestamp,
}

#[derive(Debug, Serialize, JsonSchema)]
struct ShipmentView<'a> {
    carrier: &'a str,
    tracking_number: &'a str,
    shipped_at: Timestamp,
    delivered_at: Option<Timestamp>,
}

impl<'a> OrderView<'a> {
    /// An order, with what people wrote about it.
    pub fn new(order: &'a Order, texts: &'a Texts) -> Self {
        let line = |(number, line): (usize, &'a Line)| LineView {
            line: number,
            sku: line.sku.as_ref(),
            name: &line.name,
            quantity: line.quantity,
            unit_price: line.unit_price,
            total: line.total(),
        };
        let cancellation = |it: &'a Cancellation| CancellationView {
            reason: it.reason,
            detail: [&*it.detail, &*texts.cancel_words].into_iter().find(|it| !it.is_empty()),
            by: it.by.as_deref(),
            at: it.at.into(),
        };
        let shipment = |it: &'a Shipment| ShipmentView {
            carrier: &it.carrier,
            tracking_number: &it.tracking_number,
            shipped_at: it.at.into(),
            delivered_at: it.delivered_at.map(Timestamp::from),
        };
        Self {
            id: order.id,
            customer_id: &order.customer,
            status: order.status(),
            revision: order.present.number,
            version: order.version,
            items: (1..).zip(order.present.lines.iter()).map(line).collect(),
            total_amount: order.present.total,
            payment: OrderPaymentView { method: order.method, payment_id: order.payment.id },
            cancellation: order.cancellation.as_ref().map(cancellation),
            shipment: order.shipment.as_ref().map(shipment),
            amendment: order.present.cause,
            note: &texts.note,
            created_at: order.placed_at.into(),
            updated_at: order.updated_at.into(),
        }
    }
}

/// An order's status and nothing else of it.
#[derive(Debug, Serialize, JsonSchema)]
pub struct StatusView {
    id: OrderId,
    status: Status,
    revision: u32,
    updated_at: Timestamp,
}

impl StatusView {
    /// The status of an order.
    pub fn new(order: &Order) -> Self {
        Self {
            id: order.id,
            status: order.status(),
            revision: order.present.number,
            updated_at: order.updated_at.into(),
        }
    }
}

/// One event of an order's history.
#[derive(Debug, Serialize, JsonSchema)]
pub struct EventView {
    id: EventId,
    #[serde(rename = "type")]
    name: String,
    source: &'static str,
    version: i64,
    at: Timestamp,
    /// The event in the JSON form of its proto.
    data: Value,
}

impl EventView {
    /// `None` for an event whose type this build does not know.
    pub fn new(order: &Order, kept: &HistoryRow) -> Option<Self> {
        let event_type = proto::EventType::numbered(kept.event_type)?;
        let event = wire::decode_history(order, event_type.topic, &kept.payload);
        Some(Self {
            id: EventId::new(kept.event_id),
            name: event_type.full_name(),
            source: event_type.source(),
            version: kept.version,
            at: kept.at.into(),
            data: event.map_or(Value::Null, |event| event.to_json()),
        })
    }
}

/// An order, seen as steps.
#[derive(Debug, Serialize, JsonSchema)]
pub struct SagaView {
    order_id: OrderId,
    status: SagaStatus,
    steps: Vec<StepView>,
    completed_steps: Vec<StepName>,
    compensated_steps: Vec<StepName>,
    /// What has to happen next; null when nothing is expected.
    expected: Option<ExpectedView>,
    /// Whether a message about the order is parked at this service.
    parked: bool,
    /// How many events this service has said about the order.
    version: i64,
    /// The last version of the order that was heard from each of the others.
    heard: HeardView,
    started_at: Timestamp,
    updated_at: Timestamp,
    trace_id: Option<String>,
}

#[derive(Debug, Serialize, JsonSchema)]
struct HeardView {
    #[serde(rename = "inventory-svc")]
    stock: i64,
    #[serde(rename = "payment-svc")]
    payments: i64,
    #[serde(rename = "notify-svc")]
    notifications: i64,
}

#[derive(Debug, Serialize, JsonSchema)]
struct StepView {
    step: StepName,
    state: StepState,
    #[serde(skip_serializing_if = "Option::is_none")]
    at: Option<Timestamp>,
    #[serde(skip_serializing_if = "Option::is_none")]
    compensated_at: Option<Timestamp>,
    #[serde(skip_serializing_if = "Option::is_none")]
    detail: Option<String>,
}

#[derive(Debug, Serialize, JsonSchema)]
struct ExpectedView {
    /// A waiting step's name, `inventory_released` or `payment_undone`.
    step: &'static str,
    /// The service that is expected to act.
    from: &'static str,
    by: Timestamp,
    late: bool,
}

impl SagaView {
    /// The saga of an order as it stands `now`; `parked` if its key is parked at this service.
    pub fn new(stored: &Root, parked: bool, now: OffsetDateTime) -> Self {
        let order = &stored.order;
        let saga = Saga::of(order);
        let (completed, compensated) = (saga.completed(), saga.compensated());
        Self {
            order_id: order.id,
            status: saga.status,
            completed_steps: completed.collect(),
            compensated_steps: compensated.collect(),
            expected: saga.expected.map(|it| ExpectedView {
                step: it.step,
                from: it.from,
                by: it.by.into(),
                late: it.by < now,
            }),
            parked,
            version: order.version,
            heard: HeardView {
                stock: stored.heard.stock,
                payments: stored.heard.payments,
                notifications: stored.heard.notifications,
            },
            started_at: order.placed_at.into(),
            updated_at: order.updated_at.into(),
            trace_id: stored.trace_id.as_ref().map(hexadecimal),
            steps: saga.steps.into_iter().map(StepView::from).collect(),
        }
    }
}

impl From<Step> for StepView {
    fn from(step: Step) -> Self {
        let Step { name, state, at, compensated_at, detail } = step;
        let (at, compensated_at) = (at.map(Timestamp::from), compensated_at.map(Timestamp::from));
        Self { step: name, state, at, compensated_at, detail }
    }
}

fn hexadecimal(bytes: &[u8; 16]) -> String {
    format!("{:032x}", u128::from_be_bytes(*bytes))
}
