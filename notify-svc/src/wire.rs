//! Translates between the topics' messages and the domain: the only file that knows both.

use mailbox::{Message, Park};
use proto::{
    CustomerId, OrderId, money, notifications,
    orders::{self, CancelReason, order_event},
    payments::payment_event,
};

use crate::{
    domain::{Announcement, CHANNEL, News, Template},
    input::{Fact, Input, Source},
    templates::TemplateFields,
};

/// What a message means to this service; `None` when a customer is told nothing about it.
pub fn decode(message: &Message) -> Result<Option<Input>, Park> {
    let fact = match service_kit::decode(message)? {
        proto::Event::Orders(event) => match event {
            order_event::Event::OrderConfirmed(said) => {
                let items = said.lines.iter().map(item).collect::<Result<String, _>>()?;
                let fields = [("total", amount(said.total.as_ref())?), ("items", items)];
                about(message, &said.order_id, &said.customer_id)?
                    .of(Source::Orders, Template::OrderConfirmation, said.revision.into())
                    .with(fields)
            }
            order_event::Event::OrderAwaitingPayment(said) => {
                let fields = [("amount", amount(said.amount.as_ref())?), ("pay_by", said.pay_by)];
                about(message, &said.order_id, &said.customer_id)?
                    .of(Source::Orders, Template::PaymentDue, said.revision.into())
                    .with(fields)
            }
            order_event::Event::OrderCancelled(said) => {
                let fields = [
                    ("reason", reason(said.reason()).to_owned()),
                    ("total", amount(said.total.as_ref())?),
                    ("detail", said.detail),
                ];
                about(message, &said.order_id, &said.customer_id)?
                    .of(Source::Orders, Template::OrderCancelled, said.revision.into())
                    .with(fields)
            }
            order_event::Event::OrderPlaced(_)
            | order_event::Event::OrderAmended(_)
            | order_event::Event::OrderShipped(_)
            | order_event::Event::OrderDelivered(_) => return Ok(None),
        },
        proto::Event::Payments(payment_event::Event::PaymentRefunded(said)) => {
            about(message, &said.order_id, &said.customer_id)?
                // An order's money may go back in parts, and the customer is told about each.
                .of(Source::Payments, Template::PaymentRefunded, message.version)
                .with([("amount", amount(said.amount.as_ref())?)])
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
    fn of(self, source: Source, template: Template, about: i64) -> Fact {
        let Self { order, customer, trace } = self;
        let fields = TemplateFields::from([("order_id".to_owned(), order.to_string())]);
        Fact { order, source, customer, news: News { template, about }, fields, trace }
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
    Ok(format!("{} × {}, {} each\n", line.quantity, line.name, amount(line.unit_price.as_ref())?))
}

fn reason(reason: CancelReason) -> &'static str {
    match reason {
        CancelReason::InsufficientInventory => "not everything was in stock",
        CancelReason::PaymentDeclined => "the payment was declined",
        CancelReason::PaymentTimeout => "it was not paid in time",
        CancelReason::ReservationExpired => "it could not be held any longer",
        CancelReason::CustomerRequest => "you asked for it",
        CancelReason::StaffRequest => "we had to do so",
        CancelReason::Unspecified => "for another reason",
    }
}

/// The event that publishes an announcement about an order's notification.
pub fn encode(order: OrderId, announcement: Announcement) -> proto::Event {
    let (order_id, channel) = (order.to_string(), CHANNEL.to_owned());
    match announcement {
        Announcement::NotificationSent { id, template } => notifications::NotificationSent {
            order_id,
            notification_id: id.to_string(),
            channel,
            template: template.name().to_owned(),
            ..Default::default()
        }
        .into(),
        Announcement::NotificationFailed { id, template, failure } => {
            notifications::NotificationFailed {
                order_id,
                notification_id: id.to_string(),
                channel,
                template: template.name().to_owned(),
                failure: failure.name().to_owned(),
                ..Default::default()
            }
            .into()
        }
    }
}
