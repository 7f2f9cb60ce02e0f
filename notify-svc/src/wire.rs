//! Translates between the topics' messages and the domain: the only file that knows both.

use mailbox::{Message, Park};
use proto::{
    CustomerId, OrderId, money, notifications,
    orders::{self, CancelReason, order_event::Event as Said},
    payments::payment_event,
};

use crate::{
    domain::{Announcement, News, NotificationState, Template},
    input::{Fact, Input, Source},
    templates::TemplateFields,
};

/// What a message means to this service; `None` when a customer is told nothing about it.
pub fn decode(message: &Message) -> Result<Option<Input>, Park> {
    let fact = match service_kit::decode(message)? {
        proto::Event::Orders(event) => match event {
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
            Said::OrderPlaced(_) | Said::OrderAmended(_) => return Ok(None),
        },
        proto::Event::Payments(payment_event::Event::PaymentRefunded(said)) => {
            let mut fact = about(message, &said.order_id, &said.customer_id)?
                .of(Source::Payments, Template::PaymentRefunded, said.revision)
                .with([("amount", amount(said.amount.as_ref())?)]);
            // An order's money may go back in parts, and the customer is told about each.
            fact.news.about = message.version;
            fact
        }
        proto::Event::Payments(_)
        | proto::Event::Stock(_)
        | proto::Event::Notifications(_)
        | proto::Event::Catalogue(_) => return Ok(None),
    };
    Ok(Some(Input::Heard(Box::new(fact))))
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
        Fact { order, source, customer, news, fields, trace }
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
