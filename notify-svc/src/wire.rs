//! Translates between the topics' messages and the domain: the only file that knows both.

use mailbox::{Message, Park};
use proto::{
    CustomerId, EventType, OrderId,
    catalogue::catalogue_event::Event as Catalogue,
    money, notifications,
    orders::{self, CancelReason, order_event::Event as Said},
    payments::payment_event::Event as Payment,
    stock::stock_event::Event as Stock,
};

use crate::{
    domain::{Announcement, News, NotificationState, Template},
    input::{Fact, Input, KeptEvent, Source},
    templates::TemplateFields,
};

/// The longest keys are SKUs, of fewer characters.
const KEY_BYTES_MAX: usize = 256;
/// The events that customers are told of.
const TOLD: [&str; 6] = [
    "OrderAwaitingPayment",
    "OrderCancelled",
    "OrderConfirmed",
    "OrderDelivered",
    "OrderShipped",
    "PaymentRefunded",
];
/// No customer is told of the event.
const FOR_WEBHOOKS: Option<Fact> = None;

/// What a message means to this service: something that a customer is to be told, or an event for
/// webhooks alone. `None` for one that no service of ours can have said.
pub fn decode(message: &Message) -> Result<Option<Input>, Park> {
    let mut event = service_kit::decode(message)?;
    let event_kept = kept(message, &mut event);
    Ok(match (fact(message, event)?, event_kept) {
        (Some(fact), event) => Some(Input::Heard(Box::new(Fact { event, ..fact }))),
        (None, Some(event)) => Some(Input::Overheard(Box::new(event))),
        (None, None) => None,
    })
}

/// Whether events of this type are only kept for webhooks.
pub fn is_only_kept(event_type: &str) -> bool {
    EventType::named(event_type).is_some_and(|it| !TOLD.contains(&it.name))
}

/// The event as it is kept for webhooks; `None` if its key is none that our services have.
fn kept(message: &Message, event: &mut proto::Event) -> Option<KeptEvent> {
    let key = message.key.clone().filter(|key| key.len() <= KEY_BYTES_MAX)?;
    let key = String::from_utf8(key).ok().filter(|key| !key.contains('\0'))?;
    // Nobody here could open them, so nobody here keeps them.
    let had_details = event.strip_details();
    Some(KeptEvent {
        id: message.event_id,
        number: event.event_type().number,
        key,
        version: message.version,
        trace: message.trace,
        payload: if had_details { event.encode() } else { message.payload.clone() },
    })
}

/// What a customer is to be told; `None` where it is only for webhooks.
fn fact(message: &Message, event: proto::Event) -> Result<Option<Fact>, Park> {
    match event {
        proto::Event::Orders(event) => of_an_order(message, event),
        proto::Event::Payments(event) => of_a_payment(message, event),
        proto::Event::Stock(
            Stock::StockReserved(_)
            | Stock::StockRejected(_)
            | Stock::StockReleased(_)
            | Stock::ReservationExpired(_),
        )
        | proto::Event::Notifications(_)
        | proto::Event::Catalogue(Catalogue::ProductChanged(_)) => Ok(FOR_WEBHOOKS),
    }
}

fn of_an_order(message: &Message, event: Said) -> Result<Option<Fact>, Park> {
    Ok(Some(match event {
        Said::OrderConfirmed(said) => {
            let items = said.lines.iter().map(item).collect::<Result<String, _>>()?;
            let fields = [("total", amount(said.total.as_ref())?), ("items", items)];
            about(message, &said.order_id, &said.customer_id)?
                .of(Source::Orders, Template::OrderConfirmation, said.revision)
                .with(fields)
        }
        Said::OrderAwaitingPayment(said) => {
            let fields = [("amount", amount(said.amount.as_ref())?), ("pay_by", said.pay_by)];
            about(message, &said.order_id, &said.customer_id)?
                .of(Source::Orders, Template::PaymentDue, said.revision)
                .with(fields)
        }
        Said::OrderCancelled(said) => {
            let reason = reason(said.reason()).to_owned();
            let fields = [("reason", reason), ("total", amount(said.total.as_ref())?)];
            about(message, &said.order_id, &said.customer_id)?
                .of(Source::Orders, Template::OrderCancelled, said.revision)
                .with(fields)
        }
        Said::OrderShipped(said) => {
            let fields = [("carrier", said.carrier), ("tracking_number", said.tracking_number)];
            about(message, &said.order_id, &said.customer_id)?
                .of(Source::Orders, Template::OrderShipped, said.revision)
                .with(fields)
        }
        Said::OrderDelivered(said) => about(message, &said.order_id, &said.customer_id)?.of(
            Source::Orders,
            Template::OrderDelivered,
            said.revision,
        ),
        Said::OrderPlaced(_) | Said::OrderAmended(_) => return Ok(FOR_WEBHOOKS),
    }))
}

fn of_a_payment(message: &Message, event: Payment) -> Result<Option<Fact>, Park> {
    match event {
        Payment::PaymentRefunded(said) => {
            let mut fact = about(message, &said.order_id, &said.customer_id)?
                .of(Source::Payments, Template::PaymentRefunded, said.revision)
                .with([("amount", amount(said.amount.as_ref())?)]);
            // An order's money may go back in parts, and the customer is told about each.
            fact.news.about = message.version;
            Ok(Some(fact))
        }
        Payment::PaymentCaptured(_)
        | Payment::PaymentDeclined(_)
        | Payment::PaymentVoided(_)
        | Payment::RefundRefused(_) => Ok(FOR_WEBHOOKS),
    }
}

/// The order and the customer that a message is about.
struct About {
    order: OrderId,
    customer: CustomerId,
    trace: Option<mailbox::Trace>,
}

fn about(message: &Message, order: &str, customer: &str) -> Result<About, Park> {
    let order = service_kit::order_of(message, order)?;
    let customer = CustomerId::parse(customer)
        .map_err(|error| Park::undecodable(format!("its customer id is {error}")))?;
    Ok(About { order, customer, trace: message.trace })
}

impl About {
    /// News that an order has once for each of its revisions.
    fn of(self, source: Source, template: Template, revision: u32) -> Fact {
        let Self { order, customer, trace } = self;
        let fields = TemplateFields::from([("order_id".to_owned(), order.to_string())]);
        let news = News { template, about: revision.into(), revision };
        Fact { order, source, customer, news, fields, trace, event: None }
    }
}

impl Fact {
    fn with<const N: usize>(mut self, fields: [(&str, String); N]) -> Self {
        self.fields.extend(fields.map(|(name, text)| (name.to_owned(), text)));
        self
    }
}

fn amount(wire: Option<&money::Money>) -> Result<String, Park> {
    Ok(service_kit::money_of(wire)?.to_string())
}

fn item(line: &orders::Line) -> Result<String, Park> {
    Ok(format!("{} × {} ({})\n", line.quantity, line.name, amount(line.unit_price.as_ref())?))
}

/// The name of a reason, as the API writes it; `templates.rs` has the words.
fn reason(reason: CancelReason) -> &'static str {
    match reason {
        CancelReason::InsufficientInventory => "insufficient_inventory",
        CancelReason::PaymentDeclined => "payment_declined",
        CancelReason::PaymentTimeout => "payment_timeout",
        CancelReason::ReservationExpired => "reservation_expired",
        CancelReason::CustomerRequest => "customer_request",
        CancelReason::StaffRequest | CancelReason::Unspecified => "staff_request",
    }
}

/// The event that publishes an announcement about an order's notification. The template of a text
/// that staff wrote is empty.
pub fn encode(order: OrderId, announcement: Announcement) -> proto::Event {
    let (Announcement::NotificationSent(told) | Announcement::NotificationFailed(told, _)) =
        announcement;
    let NotificationState { id, channel, template, revision, .. } = told;
    let (order_id, notification_id) = (order.to_string(), id.to_string());
    let channel = channel.as_str().to_owned();
    let template = template.map_or("", Template::as_str).to_owned();
    match announcement {
        Announcement::NotificationSent(_) => notifications::NotificationSent {
            order_id,
            notification_id,
            channel,
            template,
            revision,
        }
        .into(),
        Announcement::NotificationFailed(_, failure) => notifications::NotificationFailed {
            order_id,
            notification_id,
            channel,
            template,
            failure: failure.as_str().to_owned(),
            revision,
        }
        .into(),
    }
}
