//! What an order's states, events and ledgers have to agree on.

use super::{
    super::{
        check::Promise,
        content::TERMS,
        facts::{
            CANCELLATION, CONFIRMATION, CompensationState, DELIVERY, DUE, Facts, Hold,
            NOTIFICATIONS, ORDERS, Order, OrderEnd, PAYMENTS, Payment, REFUND, Reservation,
            SERVICES, SHIPMENT, STOCK, TOPICS,
        },
        inbox,
        interventions::MessageRef,
        tag,
    },
    Findings, View,
};

/// Every service has heard the last event that it had to hear.
pub(super) fn heard(id: u128, facts: &Facts, order: &Order, view: &View, broken: &mut Findings) {
    let [stock, payments, notifications] = order.heard;
    let reservation = facts.reservation.map_or(0, |it| it.heard_orders);
    let payment = facts.payment.map_or([0; 2], |it| [it.heard_orders, it.heard_stock]);
    let notices = facts.notices.map_or([0; 2], |it| [it.heard_orders, it.heard_payments]);
    for (service, topic, heard) in [
        (ORDERS, STOCK, stock),
        (ORDERS, PAYMENTS, payments),
        (ORDERS, NOTIFICATIONS, notifications),
        (STOCK, ORDERS, reservation),
        (PAYMENTS, ORDERS, payment[0]),
        (PAYMENTS, STOCK, payment[1]),
        (NOTIFICATIONS, ORDERS, notices[0]),
        (NOTIFICATIONS, PAYMENTS, notices[1]),
    ] {
        let events = facts.said[topic].last.into_iter().enumerate();
        let to_hear = events.filter(|(tag, _)| inbox::hearers(topic, *tag).contains(&service));
        let said = to_hear.map(|(_, version)| u32::from(version)).max().unwrap_or_default();
        let message = MessageRef { service, topic, order: id, version: said };
        if heard < said && !view.interventions.is_discarded(&message) {
            let (who, name) = (SERVICES[service], TOPICS[topic]);
            let what = format!("{who} has heard {name} up to {heard}, not {said}");
            broken.push((Promise::NothingMissed, what));
        }
    }
}

/// The ending was announced once.
pub(super) fn said(facts: &Facts, order: &Order, broken: &mut Findings) {
    let mut expect = |what: &str, tag: usize, wanted: u8| {
        let found = facts.said[ORDERS].times[tag];
        if found != wanted {
            let what = format!("{what} {found} times, not {wanted}");
            broken.push((Promise::EndingsSaidOnce, what));
        }
    };
    expect("OrderPlaced", tag::PLACED, 1);
    expect("OrderCancelled", tag::CANCELLED, u8::from(order.ending == OrderEnd::Cancelled));
    let confirmed = match order.ending {
        OrderEnd::Open => 0,
        OrderEnd::Confirmed => 1,
        // A confirmed order may be cancelled afterwards.
        OrderEnd::Cancelled => facts.said[ORDERS].times[tag::CONFIRMED].min(1),
    };
    expect("OrderConfirmed", tag::CONFIRMED, confirmed);
}

/// Each service has announced what it has done, no more and no less.
pub(super) fn answers(facts: &Facts, order: &Order, broken: &mut Findings) {
    let times = |topic: usize, tag: usize| facts.said[topic].times[tag];
    let mut expect = |promise: Promise, what: &str, found: u32, wanted: u32| {
        if found != wanted {
            broken.push((promise, format!("{what} {found} times, not {wanted}")));
        }
    };
    let is_cancelled = order.ending == OrderEnd::Cancelled;
    let both = Promise::CompensatedOnce;
    let released = times(STOCK, tag::RELEASED);
    expect(both, "StockReleased", released.into(), u32::from(is_cancelled));
    if let Some(reservation) = facts.reservation {
        let answers = times(STOCK, tag::RESERVED).saturating_add(times(STOCK, tag::REJECTED));
        let what = "StockReserved or StockRejected";
        expect(Promise::StockAgrees, what, answers.into(), order.revision);
        let expired = u32::from(times(STOCK, tag::EXPIRED));
        // A reservation that has ended does not say whether it had expired before.
        if reservation.hold == Hold::Held {
            let this_one = u32::from(reservation.is_expired);
            // The time of an earlier revision may have run out, too.
            let is_first = reservation.revision <= 1;
            let wanted = if is_first { this_one } else { expired.max(this_one) };
            expect(Promise::StockAgrees, "ReservationExpired", expired, wanted);
        }
    }
    let payment = facts.payment;
    let voided = payment.is_some_and(|it| it.compensation == CompensationState::Voided);
    expect(both, "PaymentVoided", times(PAYMENTS, tag::VOIDED).into(), voided.into());
    let refunds = payment.map_or(0, |it| it.refunds);
    expect(both, "PaymentRefunded", times(PAYMENTS, tag::REFUNDED).into(), refunds);
    let refused = payment.map_or(0, |it| it.refused);
    expect(both, "RefundRefused", times(PAYMENTS, tag::REFUND_REFUSED).into(), refused);
    let captured = payment.is_some_and(|it| it.captured.is_some()).into();
    let found = times(PAYMENTS, tag::CAPTURED).into();
    expect(Promise::MoneyAgrees, "PaymentCaptured", found, captured);

    let notices = facts.notices.unwrap_or_default();
    let customers = Promise::CustomersTold;
    let said = times(NOTIFICATIONS, tag::SENT).into();
    expect(customers, "NotificationSent", said, notices.sent.into());
    let said = times(NOTIFICATIONS, tag::FAILED).into();
    expect(customers, "NotificationFailed", said, notices.failed.into());
    for (template, topic, tag, what) in [
        (DUE, ORDERS, tag::AWAITING, "what is due was told"),
        (CONFIRMATION, ORDERS, tag::CONFIRMED, "the confirmation was told"),
        (CANCELLATION, ORDERS, tag::CANCELLED, "the cancellation was told"),
        (REFUND, PAYMENTS, tag::REFUNDED, "a refund was told"),
        (SHIPMENT, ORDERS, tag::SHIPPED, "the shipment was told"),
        (DELIVERY, ORDERS, tag::DELIVERED, "the delivery was told"),
    ] {
        expect(customers, what, notices.told[template].into(), times(topic, tag).into());
    }
}

/// Events say what the states hold, and the history holds what the events say.
pub(super) fn contents(facts: &Facts, order: &Order, broken: &mut Findings) {
    let foretold = [
        Some(order.foretold),
        facts.reservation.map(|it| it.foretold),
        facts.payment.map(|it| it.foretold),
        facts.notices.map(|it| it.foretold),
    ];
    for (topic, foretold) in foretold.into_iter().enumerate() {
        let told = &facts.said[topic];
        let Some(foretold) = foretold else { continue };
        for (member, (foretold, found)) in foretold.into_iter().zip(told.contents).enumerate() {
            // The terms are those of the topic's first kind of event, and of amendments.
            let times = told.times[member.max(1)];
            // There may be several notifications or amendments, and all of them are foretold.
            let are_all = topic == NOTIFICATIONS || topic == ORDERS && member == tag::AMENDED;
            let is_said = times == 1 || times > 1 && are_all;
            if is_said && foretold != 0 && found != foretold {
                let what = match member {
                    TERMS => "the terms".to_owned(),
                    _ => format!("event {member}"),
                };
                let what = format!("{what} on {} says something else than is kept", TOPICS[topic]);
                broken.push((Promise::ContentsAgree, what));
            }
        }
    }
    terms(facts, order, broken);
    if facts.history != facts.told_history {
        let what = "its history is not what the topics say".to_owned();
        broken.push((Promise::HistoryAgrees, what));
    }
}

/// inventory-svc reserves what a revision asks for, and passes on who is to pay for it. Which
/// revisions it has rejected is not kept, so all of them are compared if none was rejected, and
/// otherwise the last one that is reserved: it is the one that is charged.
fn terms(facts: &Facts, order: &Order, broken: &mut Findings) {
    let told = &facts.said[STOCK];
    let are_all = u32::from(told.times[tag::RESERVED]) == order.revision;
    let is_other = are_all && told.contents[TERMS] != order.foretold[TERMS];
    let is_last_other = order.reserved_terms != 0 && told.last_terms != order.reserved_terms;
    // Of a message that an operator discarded, order-svc knows nothing.
    if (is_other || is_last_other) && !facts.has_intervention {
        let what = format!("the terms on {} are not those of the order", TOPICS[STOCK]);
        broken.push((Promise::ContentsAgree, what));
    }
}

/// A confirmed order's pieces are sold; of a cancelled order nothing is held or sold.
pub(super) fn stock(facts: &Facts, order: &Order, broken: &mut Findings) {
    let hold = facts.reservation.map(|reservation| reservation.hold);
    let fits = match order.ending {
        OrderEnd::Confirmed => hold == Some(Hold::Sold),
        OrderEnd::Cancelled => hold == Some(Hold::Released),
        OrderEnd::Open => true,
    };
    if !fits {
        broken.push((Promise::StockAgrees, format!("{:?}, its pieces {hold:?}", order.ending)));
    }
    let is_other = |it: &Reservation| {
        it.basket != 0 && it.revision == order.revision && it.basket != order.basket
    };
    if facts.reservation.as_ref().is_some_and(is_other) {
        broken.push((Promise::StockAgrees, "its pieces are not those of its lines".into()));
    }
}

/// A confirmed order was paid in full, whatever staff gave back of it since; of a cancelled order no
/// money is kept: both at payment-svc and in the provider's own ledger.
pub(super) fn money(facts: &Facts, order: &Order, broken: &mut Findings) {
    let payment = facts.payment;
    let captured = payment.and_then(|it| it.captured).unwrap_or_default();
    let kept = captured - payment.map_or(0, |it| it.refunded);
    let fits = match order.ending {
        OrderEnd::Confirmed => captured == order.total.sum && kept >= 0,
        OrderEnd::Cancelled | OrderEnd::Open => kept == 0,
    };
    if !fits {
        let [captured, kept, total] = [captured, kept, order.total.sum].map(units);
        let what = format!("{:?}, {captured} captured and {kept} kept of {total}", order.ending);
        broken.push((Promise::MoneyAgrees, what));
    }
    let is_anothers = |it: &Payment| {
        it.customer != 0 && (it.customer != order.customer || it.currency != order.total.currency)
    };
    if payment.as_ref().is_some_and(is_anothers) {
        let what = "its payment is another customer's, or in another currency".to_owned();
        broken.push((Promise::MoneyAgrees, what));
    }
    if payment.is_some_and(|payment| payment.has_hold) {
        let what = format!("{:?}, and money is still held for it", order.ending);
        broken.push((Promise::HoldsEnd, what));
    }
    let compensation = payment.map_or(CompensationState::NotAsked, |payment| payment.compensation);
    if compensation != order.compensation {
        let what =
            format!("{:?} to order-svc, to payment-svc {compensation:?}", order.compensation);
        broken.push((Promise::CompensatedOnce, what));
    }
    provider(facts, order, broken);
}

fn provider(facts: &Facts, order: &Order, broken: &mut Findings) {
    let by_card = facts.payment.filter(|payment| payment.is_by_card);
    let ours = by_card.map_or((0, 0), |it| (it.captured.unwrap_or_default(), it.refunded));
    let books = facts.provider;
    let theirs = (books.captured, books.refunded);
    let is_foreign = books.captures > 0 && books.currency != order.total.currency;
    if ours != theirs || books.captures > 1 || books.is_mixed || is_foreign {
        let [taken, back] = [theirs.0, theirs.1].map(units);
        let currency = String::from_utf8_lossy(&books.currency);
        let what = format!(
            "the provider took {taken} {currency} in {} captures and gave {back} back, we {} and {}",
            books.captures,
            units(ours.0),
            units(ours.1)
        );
        broken.push((Promise::ProviderAgrees, what));
    }
}

/// The customer was told of the ending, and of each thing once and in its order.
pub(super) fn told(facts: &Facts, order: &Order, broken: &mut Findings) {
    let notices = facts.notices.unwrap_or_default();
    let is_told = match order.ending {
        OrderEnd::Confirmed => notices.told[CONFIRMATION] > 0,
        OrderEnd::Cancelled => notices.told[CANCELLATION] > 0,
        OrderEnd::Open => true,
    };
    if !is_told {
        broken.push((Promise::CustomersTold, format!("{:?}, and nobody was told", order.ending)));
    }
    if notices.is_confused {
        let what = "something was told twice, or before what came before it".to_owned();
        broken.push((Promise::CustomersTold, what));
    }
}

/// Ten-thousandths as an amount.
fn units(amount: i64) -> String {
    format!("{}.{:04}", amount / 10_000, amount.abs() % 10_000)
}
