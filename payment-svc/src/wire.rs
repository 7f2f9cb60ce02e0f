//! Translates between the topics' messages and the domain: the only file that knows both.

use mailbox::{Message, Park};
use proto::{
    CustomerId, NotOpened, OrderId, SealKeyRing, limits,
    orders::{self, PaymentMethod, order_event},
    payments,
    stock::{self, stock_event},
};

use crate::{
    cards,
    domain::{
        Announcement, DeclineCode, Due, Event, Instrument, Method, RefundCause, payment_id,
        refund_id,
    },
    input::{Fact, Input, Source},
    provider::CardRouting,
};

/// What a message means to this service; `None` when it does not concern it.
pub fn decode(
    message: &Message,
    key: &SealKeyRing,
    routing: CardRouting,
) -> Result<Option<Input>, Park> {
    let (order, source, customer, event) = match service_kit::decode(message)? {
        proto::Event::Stock(stock_event::Event::StockReserved(reserved)) => {
            let order = service_kit::order_of(message, &reserved.order_id)?;
            let due = due(order, reserved, (key, routing))?;
            (order, Source::Stock, Some(due.customer.clone()), Event::StockReserved(due))
        }
        proto::Event::Orders(order_event::Event::OrderCancelled(cancelled)) => {
            let order = service_kit::order_of(message, &cancelled.order_id)?;
            // An order without a customer can have no hold to release; it is cancelled all the
            // same.
            let customer = CustomerId::parse(&cancelled.customer_id).ok();
            let revision = revision(cancelled.revision)?;
            (order, Source::Orders, customer, Event::OrderCancelled { revision })
        }
        proto::Event::Stock(
            stock_event::Event::StockRejected(_)
            | stock_event::Event::StockReleased(_)
            | stock_event::Event::ReservationExpired(_),
        )
        | proto::Event::Orders(
            order_event::Event::OrderPlaced(_)
            | order_event::Event::OrderAwaitingPayment(_)
            | order_event::Event::OrderConfirmed(_)
            | order_event::Event::OrderAmended(_)
            | order_event::Event::OrderShipped(_)
            | order_event::Event::OrderDelivered(_),
        )
        | proto::Event::Payments(_)
        | proto::Event::Notifications(_)
        | proto::Event::Catalogue(_) => return Ok(None),
    };
    let fact = Fact { order, source, customer, event, trace: message.trace };
    Ok(Some(Input::Heard(Box::new(fact))))
}

fn due(
    order: OrderId,
    reserved: stock::StockReserved,
    (key, routing): (&SealKeyRing, CardRouting),
) -> Result<Due, Park> {
    let terms = reserved.terms.ok_or_else(|| Park::undecodable("it has no terms"))?;
    let customer = CustomerId::parse(&terms.customer_id)
        .map_err(|error| Park::undecodable(format!("its customer is {error}")))?;
    let amount = service_kit::money_of(terms.amount.as_ref())?;
    if !amount.is_positive() {
        return Err(Park::undecodable("its amount is not more than nothing"));
    }
    let instrument = match terms.method() {
        PaymentMethod::Wallet => Some(Instrument::Wallet),
        PaymentMethod::Card => Some(card(order, terms, (key, routing))?),
        PaymentMethod::Deferred => None,
        PaymentMethod::Unspecified => {
            return Err(Park::undecodable("its payment method is not known here"));
        }
    };
    let revision = revision(reserved.revision)?;
    Ok(Due { customer, revision, amount, instrument })
}

/// A higher revision would not fit its column; no order has been amended so often.
fn revision(number: u32) -> Result<u32, Park> {
    let fits = number > 0 && i32::try_from(number).is_ok();
    fits.then_some(number).ok_or_else(|| Park::undecodable("its revision is out of range"))
}

/// Opens a card's sealed details: they are the token's text. Whoever placed the order wrote it, so
/// whatever is wrong with it declines the card and parks nothing. Only an unknown key is not the
/// customer's fault: such a message is parked until the service has been given the right key.
fn card(
    order: OrderId,
    terms: orders::Terms,
    (key, routing): (&SealKeyRing, CardRouting),
) -> Result<Instrument, Park> {
    let opened = terms.details.map(|sealed| key.open(order, &sealed)).transpose();
    let plain = opened.or_else(|error| match error {
        NotOpened::OtherKey(_) => Err(Park {
            class: "not_opened",
            reason: format!("its payment details stay closed: {error}"),
        }),
        NotOpened::Forged => Ok(None),
    })?;
    let token = plain.and_then(|plain| String::from_utf8(plain).ok()).filter(|token| {
        let fits = (1..=limits::TOKEN_CHARS_MAX).contains(&token.chars().count());
        fits && !token.contains('\0') && !proto::card_number::is_in(token)
    });
    Ok(token.map_or(Instrument::CardWithoutToken, |token| {
        Instrument::Card(cards::of_token(&token, routing))
    }))
}

/// The event that publishes an announcement.
pub fn encode(order: OrderId, announcement: Announcement) -> proto::Event {
    let order_id = order.to_string();
    let payment_id = payment_id(order).to_string();
    match announcement {
        Announcement::Captured { customer, revision, amount, method } => {
            payments::PaymentCaptured {
                order_id,
                payment_id,
                customer_id: customer.to_string(),
                revision,
                amount: Some(amount.into()),
                method: published_method(method).into(),
            }
            .into()
        }
        Announcement::Declined { customer, revision, amount, code, detail } => {
            payments::PaymentDeclined {
                order_id,
                payment_id,
                customer_id: customer.to_string(),
                revision,
                amount: Some(amount.into()),
                code: published_code(code).into(),
                detail: detail.to_string(),
            }
            .into()
        }
        Announcement::Voided { known, revision } => {
            let payment_id = if known { payment_id } else { String::new() };
            payments::PaymentVoided { order_id, payment_id, revision }.into()
        }
        Announcement::Refunded { customer, revision, number, amount, cause } => {
            payments::PaymentRefunded {
                order_id,
                payment_id,
                customer_id: customer.to_string(),
                amount: Some(amount.into()),
                cause: published_cause(cause).into(),
                revision,
                refund_id: refund_id(order, number).to_string(),
            }
            .into()
        }
        Announcement::RefundRefused { customer, revision, number, amount, cause, detail } => {
            payments::RefundRefused {
                order_id,
                payment_id,
                customer_id: customer.to_string(),
                amount: Some(amount.into()),
                cause: published_cause(cause).into(),
                revision,
                refund_id: refund_id(order, number).to_string(),
                detail: detail.to_string(),
            }
            .into()
        }
    }
}

fn published_method(method: Method) -> PaymentMethod {
    match method {
        Method::Wallet => PaymentMethod::Wallet,
        Method::Card => PaymentMethod::Card,
        Method::Deferred => PaymentMethod::Deferred,
    }
}

fn published_cause(cause: RefundCause) -> payments::RefundCause {
    match cause {
        RefundCause::OrderCancelled => payments::RefundCause::OrderCancelled,
        RefundCause::Staff => payments::RefundCause::Staff,
    }
}

fn published_code(code: DeclineCode) -> payments::DeclineCode {
    match code {
        DeclineCode::CardDeclined => payments::DeclineCode::CardDeclined,
        DeclineCode::InsufficientFunds => payments::DeclineCode::InsufficientFunds,
        DeclineCode::ExpiredCard => payments::DeclineCode::ExpiredCard,
        DeclineCode::NoAccount => payments::DeclineCode::NoAccount,
        DeclineCode::CurrencyMismatch => payments::DeclineCode::CurrencyMismatch,
    }
}
