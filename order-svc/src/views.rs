//! How orders are shown.

use chassis::clock::{rfc3339, serialize, serialize_option};
use proto::{Money, OrderId};
use serde::Serialize;
use serde_json::Value;
use time::OffsetDateTime;

use crate::{
    domain::{
        AmendmentCause, Cancellation, Line, Order, Saga, SagaStatus, Shipment, Step, StepName,
    },
    wire,
    world::{HistoryRow, Root, Texts},
};

/// An order.
#[derive(Debug, Serialize)]
pub struct OrderView<'a> {
    id: OrderId,
    customer_id: &'a str,
    status: &'static str,
    revision: u32,
    version: i64,
    items: Vec<LineView<'a>>,
    total_amount: Money,
    payment: PaymentView,
    cancellation: Option<CancellationView<'a>>,
    shipment: Option<ShipmentView<'a>>,
    /// Why the present revision followed the one before; null for the first.
    amendment: Option<&'static str>,
    note: &'a str,
    #[serde(serialize_with = "serialize")]
    created_at: OffsetDateTime,
    #[serde(serialize_with = "serialize")]
    updated_at: OffsetDateTime,
}

#[derive(Debug, Serialize)]
struct LineView<'a> {
    line: usize,
    sku: Option<&'a str>,
    name: &'a str,
    quantity: u32,
    unit_price: Money,
    total: Money,
}

#[derive(Debug, Serialize)]
struct PaymentView {
    method: &'static str,
    payment_id: Option<String>,
}

#[derive(Debug, Serialize)]
struct CancellationView<'a> {
    reason: &'static str,
    detail: Option<&'a str>,
    by: Option<&'a str>,
    at: String,
}

#[derive(Debug, Serialize)]
struct ShipmentView<'a> {
    carrier: &'a str,
    tracking_number: &'a str,
    #[serde(serialize_with = "serialize")]
    shipped_at: OffsetDateTime,
    #[serde(serialize_with = "serialize_option")]
    delivered_at: Option<OffsetDateTime>,
}

impl<'a> OrderView<'a> {
    /// An order, with what people wrote about it.
    pub fn new(order: &'a Order, texts: &'a Texts) -> Self {
        let line = |(number, line): (usize, &'a Line)| LineView {
            line: number,
            sku: line.sku.as_ref().map(proto::Sku::as_str),
            name: &line.name,
            quantity: line.quantity,
            unit_price: line.unit_price,
            total: line.total(),
        };
        let cancellation = |it: &'a Cancellation| CancellationView {
            reason: it.reason.as_str(),
            detail: [&*it.detail, &*texts.cancel_words].into_iter().find(|it| !it.is_empty()),
            by: it.by.as_deref(),
            at: rfc3339(it.at),
        };
        let shipment = |it: &'a Shipment| ShipmentView {
            carrier: &it.carrier,
            tracking_number: &it.tracking_number,
            shipped_at: it.at,
            delivered_at: it.delivered_at,
        };
        Self {
            id: order.id,
            customer_id: order.customer.as_str(),
            status: order.status().as_str(),
            revision: order.present.number,
            version: order.version,
            items: (1..).zip(order.present.lines.iter()).map(line).collect(),
            total_amount: order.present.total,
            payment: PaymentView {
                method: order.method.as_str(),
                payment_id: order.payment.id.map(|id| id.to_string()),
            },
            cancellation: order.cancellation.as_ref().map(cancellation),
            shipment: order.shipment.as_ref().map(shipment),
            amendment: order.present.cause.map(AmendmentCause::as_str),
            note: &texts.note,
            created_at: order.placed_at,
            updated_at: order.updated_at,
        }
    }
}

/// An order's status and nothing else of it.
#[derive(Debug, Serialize)]
pub struct StatusView {
    id: OrderId,
    status: &'static str,
    revision: u32,
    #[serde(serialize_with = "serialize")]
    updated_at: OffsetDateTime,
}

impl StatusView {
    /// The status of an order.
    pub fn new(order: &Order) -> Self {
        Self {
            id: order.id,
            status: order.status().as_str(),
            revision: order.present.number,
            updated_at: order.updated_at,
        }
    }
}

/// One event of an order's history.
#[derive(Debug, Serialize)]
pub struct EventView {
    id: String,
    #[serde(rename = "type")]
    name: String,
    source: &'static str,
    version: i64,
    #[serde(serialize_with = "serialize")]
    at: OffsetDateTime,
    data: Value,
}

impl EventView {
    /// `None` for an event whose type this build does not know.
    pub fn new(order: &Order, kept: &HistoryRow) -> Option<Self> {
        let event_type = proto::EventType::numbered(kept.event_type)?;
        let event = wire::decode_history(order, event_type.topic, &kept.payload);
        Some(Self {
            id: kept.event_id.to_string(),
            name: event_type.full_name(),
            source: event_type.source(),
            version: kept.version,
            at: kept.at,
            data: event.map_or(Value::Null, |event| event.to_json()),
        })
    }
}

/// An order, seen as steps.
#[derive(Debug, Serialize)]
pub struct SagaView {
    order_id: OrderId,
    status: &'static str,
    steps: Vec<StepView>,
    completed_steps: Vec<&'static str>,
    compensated_steps: Vec<&'static str>,
    expected: Option<ExpectedView>,
    /// Whether a message about the order is parked at this service.
    parked: bool,
    /// How many events this service has said about the order.
    version: i64,
    /// The last version of the order that was heard from each of the others.
    heard: HeardView,
    #[serde(serialize_with = "serialize")]
    started_at: OffsetDateTime,
    #[serde(serialize_with = "serialize")]
    updated_at: OffsetDateTime,
    trace_id: Option<String>,
}

#[derive(Debug, Serialize)]
struct HeardView {
    #[serde(rename = "inventory-svc")]
    stock: i64,
    #[serde(rename = "payment-svc")]
    payments: i64,
    #[serde(rename = "notify-svc")]
    notifications: i64,
}

#[derive(Debug, Serialize)]
struct StepView {
    step: &'static str,
    state: &'static str,
    #[serde(serialize_with = "serialize_option", skip_serializing_if = "Option::is_none")]
    at: Option<OffsetDateTime>,
    #[serde(serialize_with = "serialize_option", skip_serializing_if = "Option::is_none")]
    compensated_at: Option<OffsetDateTime>,
    #[serde(skip_serializing_if = "Option::is_none")]
    detail: Option<String>,
}

#[derive(Debug, Serialize)]
struct ExpectedView {
    step: &'static str,
    from: &'static str,
    #[serde(serialize_with = "serialize")]
    by: OffsetDateTime,
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
            status: SagaStatus::as_str(saga.status),
            completed_steps: completed.map(StepName::as_str).collect(),
            compensated_steps: compensated.map(StepName::as_str).collect(),
            expected: saga.expected.map(|it| ExpectedView {
                step: it.step,
                from: it.from,
                by: it.by,
                late: it.by < now,
            }),
            parked,
            version: order.version,
            heard: HeardView {
                stock: stored.heard.stock,
                payments: stored.heard.payments,
                notifications: stored.heard.notifications,
            },
            started_at: order.placed_at,
            updated_at: order.updated_at,
            trace_id: stored.trace_id.as_ref().map(hexadecimal),
            steps: saga.steps.into_iter().map(StepView::from).collect(),
        }
    }
}

impl From<Step> for StepView {
    fn from(step: Step) -> Self {
        let Step { name, state, at, compensated_at, detail } = step;
        Self { step: name.as_str(), state: state.as_str(), at, compensated_at, detail }
    }
}

fn hexadecimal(bytes: &[u8; 16]) -> String {
    format!("{:032x}", u128::from_be_bytes(*bytes))
}
