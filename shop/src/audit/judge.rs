//! Whether what is known about an order fits together.
//!
//! Four databases cannot be read in one moment. What every service has consumed is asked first,
//! then its rows are read, then the topics: so an event that a service had consumed is in its rows,
//! and one that it had not makes the order one under way. An order that looks wrong is read again
//! before it is called so.

use super::check::Promise;
use super::facts::{
    Ending, Facts, Hold, NOTIFICATIONS, ORDERS, Order, PAYMENTS, STOCK, TOPICS, Told, Undoing,
};

/// Members of the topics' messages, by their numbers in the `.proto` files.
mod tag {
    pub(super) const PLACED: usize = 1;
    pub(super) const AWAITING: usize = 2;
    pub(super) const CONFIRMED: usize = 3;
    pub(super) const CANCELLED: usize = 4;
    pub(super) const RESERVED: usize = 1;
    pub(super) const RELEASED: usize = 3;
    pub(super) const CAPTURED: usize = 1;
    pub(super) const VOIDED: usize = 3;
    pub(super) const REFUNDED: usize = 4;
}

/// How far the services have read, and whether all that was said can still be there.
#[derive(Clone, Debug, Default)]
pub(super) struct Consumed {
    /// By topic and partition, the offset after the last message that all who hear it have
    /// consumed.
    pub(super) offsets: [Vec<i64>; 4],
    /// By topic, whether retention has removed something.
    pub(super) is_trimmed: [bool; 4],
}

impl Consumed {
    fn is_past(&self, topic: usize, told: &Told) -> bool {
        let at = usize::try_from(told.partition).unwrap_or(usize::MAX);
        told.version == 0 || self.offsets[topic].get(at).is_some_and(|next| *next > told.offset)
    }
}

/// What was found about an order.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) enum Judged {
    /// Something about it has still to arrive or to happen.
    UnderWay,
    /// Nothing will change by itself; what does not fit.
    Settled(Vec<(Promise, String)>),
}

/// The promises that are looked at in every settled order.
pub(super) const PER_ORDER: [Promise; 9] = [
    Promise::VersionsAgree,
    Promise::EndingsSaidOnce,
    Promise::HistoryAgrees,
    Promise::NothingMissed,
    Promise::StockAgrees,
    Promise::MoneyAgrees,
    Promise::CompensatedOnce,
    Promise::CustomersTold,
    Promise::NothingStuck,
];

/// Judges an order by all that is known about it.
pub(super) fn judge(facts: &Facts, consumed: &Consumed) -> Judged {
    let counted = counted(facts);
    let is_arriving = (0..TOPICS.len()).any(|topic| {
        let told = &facts.said[topic];
        let may_be_gone = told.version == 0 && consumed.is_trimmed[topic];
        (counted[topic] > told.version && !may_be_gone) || !consumed.is_past(topic, told)
    });
    let is_calling = facts.payment.is_some_and(|payment| payment.is_calling);
    let is_delivering = facts.notices.is_some_and(|notices| notices.is_delivering);
    if is_arriving || is_calling || is_delivering || facts.is_parked {
        return Judged::UnderWay;
    }
    let mut broken = Vec::new();
    let Some(order) = facts.order else {
        broken.push((Promise::VersionsAgree, "order-svc does not have it".into()));
        return Judged::Settled(broken);
    };
    let is_undone = order.is_stock_undone && order.is_money_undone;
    match order.ending {
        Ending::Open if order.has_deadline => return Judged::UnderWay,
        Ending::Open => {
            broken.push((Promise::NothingStuck, "open, and nothing is under way".into()));
        }
        Ending::Cancelled if !is_undone => {
            broken.push((Promise::NothingStuck, "compensating, and nothing is under way".into()));
        }
        Ending::Confirmed | Ending::Cancelled => {
            stock(facts, order, &mut broken);
            money(facts, order, &mut broken);
            told(facts, order, &mut broken);
        }
    }
    versions(facts, &mut broken);
    heard(facts, order, &mut broken);
    if !facts.said.iter().any(|told| told.is_trimmed) && facts.said[ORDERS].version > 0 {
        said(facts, order, &mut broken);
    }
    Judged::Settled(broken)
}

type Broken = Vec<(Promise, String)>;

/// How many events each state says were said about the order.
fn counted(facts: &Facts) -> [u32; 4] {
    [
        facts.order.map_or(0, |order| order.version),
        facts.reservation.map_or(0, |reservation| reservation.version),
        facts.payment.map_or(0, |payment| payment.version),
        facts.notices.map_or(0, |notices| notices.version),
    ]
}

/// No topic tells more than its state has counted. (Less: then something is still to arrive.)
fn versions(facts: &Facts, broken: &mut Broken) {
    for ((state, told), topic) in counted(facts).into_iter().zip(&facts.said).zip(TOPICS) {
        if told.version > state {
            let what = format!("{} events on {topic}, the state counts {state}", told.version);
            broken.push((Promise::VersionsAgree, what));
        }
    }
}

/// Every service knows the last event that it had to hear, and order-svc keeps all of them.
fn heard(facts: &Facts, order: Order, broken: &mut Broken) {
    let last = |topic: usize, tags: &[usize]| {
        let versions = tags.iter().map(|tag| u32::from(facts.said[topic].last[*tag]));
        versions.max().unwrap_or_default()
    };
    let whole = |topic: usize| facts.said[topic].version;
    let mut expect = |who: &str, heard: u32, topic: usize, said: u32| {
        if heard < said {
            let what = format!("{who} has heard {} up to {heard}, not {said}", TOPICS[topic]);
            broken.push((Promise::NothingMissed, what));
        }
    };
    for (heard, topic) in order.heard.into_iter().zip([STOCK, PAYMENTS, NOTIFICATIONS]) {
        expect("order-svc", heard, topic, whole(topic));
    }
    let reservation = facts.reservation.map_or(0, |found| found.heard_orders);
    let for_stock = last(ORDERS, &[tag::PLACED, tag::CONFIRMED, tag::CANCELLED]);
    expect("inventory-svc", reservation, ORDERS, for_stock);
    let (orders, stock) =
        facts.payment.map_or((0, 0), |found| (found.heard_orders, found.heard_stock));
    expect("payment-svc", orders, ORDERS, last(ORDERS, &[tag::CANCELLED]));
    expect("payment-svc", stock, STOCK, last(STOCK, &[tag::RESERVED]));
    let (orders, payments) =
        facts.notices.map_or((0, 0), |found| (found.heard_orders, found.heard_payments));
    let for_customers = last(ORDERS, &[tag::AWAITING, tag::CONFIRMED, tag::CANCELLED]);
    expect("notify-svc", orders, ORDERS, for_customers);
    expect("notify-svc", payments, PAYMENTS, last(PAYMENTS, &[tag::REFUNDED]));

    let kept = order.version + order.heard.iter().sum::<u32>();
    if order.events != kept {
        let what = format!("{} events in its history, {kept} said and heard", order.events);
        broken.push((Promise::HistoryAgrees, what));
    }
}

/// The ending was said once, and answered once by each side.
fn said(facts: &Facts, order: Order, broken: &mut Broken) {
    let times = |topic: usize, tag: usize| facts.said[topic].times[tag];
    let mut expect = |promise: Promise, what: &str, found: u8, wanted: u8| {
        if found != wanted {
            broken.push((promise, format!("{what} {found} times, not {wanted}")));
        }
    };
    let is_cancelled = order.ending == Ending::Cancelled;
    let once = Promise::EndingsSaidOnce;
    expect(once, "OrderPlaced", times(ORDERS, tag::PLACED), 1);
    expect(once, "OrderCancelled", times(ORDERS, tag::CANCELLED), u8::from(is_cancelled));
    match order.ending {
        Ending::Open => expect(once, "OrderConfirmed", times(ORDERS, tag::CONFIRMED), 0),
        Ending::Confirmed => expect(once, "OrderConfirmed", times(ORDERS, tag::CONFIRMED), 1),
        // A confirmed order may be cancelled afterwards.
        Ending::Cancelled => {
            let confirmed = times(ORDERS, tag::CONFIRMED);
            expect(once, "OrderConfirmed", confirmed, confirmed.min(1));
        }
    }
    let both = Promise::CompensatedOnce;
    let wanted = u8::from(is_cancelled);
    expect(both, "StockReleased", times(STOCK, tag::RELEASED), wanted);
    let answers = times(PAYMENTS, tag::VOIDED).saturating_add(times(PAYMENTS, tag::REFUNDED));
    expect(both, "PaymentVoided or PaymentRefunded", answers, wanted);
    let captured = facts.payment.is_some_and(|payment| payment.captured.is_some());
    let money = Promise::MoneyAgrees;
    expect(money, "PaymentCaptured", times(PAYMENTS, tag::CAPTURED), u8::from(captured));
}

/// Sold where confirmed; where cancelled, nothing is held or sold.
fn stock(facts: &Facts, order: Order, broken: &mut Broken) {
    let hold = facts.reservation.map(|reservation| reservation.hold);
    let fits = match order.ending {
        Ending::Confirmed => hold == Some(Hold::Sold),
        Ending::Cancelled => hold == Some(Hold::Released),
        Ending::Open => true,
    };
    if !fits {
        broken.push((Promise::StockAgrees, format!("{:?}, its pieces {hold:?}", order.ending)));
    }
}

/// Paid in full where confirmed; where cancelled, nothing is kept: here and in the provider's own
/// books.
fn money(facts: &Facts, order: Order, broken: &mut Broken) {
    let wanted = if order.ending == Ending::Confirmed { order.total } else { 0 };
    let payment = facts.payment;
    let kept = payment.map_or(0, |it| it.captured.unwrap_or_default() - it.refunded);
    if kept != wanted {
        let what = format!("{:?}, {} kept of {}", order.ending, units(kept), units(order.total));
        broken.push((Promise::MoneyAgrees, what));
    }
    let undoing = payment.map_or(Undoing::NotAsked, |payment| payment.undoing);
    let is_answered = matches!(undoing, Undoing::Voided | Undoing::Refunded);
    if is_answered != (order.ending == Ending::Cancelled) {
        let what = format!("{:?}, and to payment-svc {undoing:?}", order.ending);
        broken.push((Promise::CompensatedOnce, what));
    }
    let by_card = payment.filter(|payment| payment.is_by_card);
    let ours = by_card.map_or((0, 0), |it| (it.captured.unwrap_or_default(), it.refunded));
    let theirs = (facts.provider.captured, facts.provider.refunded);
    if ours != theirs || facts.provider.captures > 1 {
        let [taken, back] = [theirs.0, theirs.1].map(units);
        let times = facts.provider.captures;
        let what = format!(
            "the provider took {taken} in {times} captures and gave {back} back, we {} and {}",
            units(ours.0),
            units(ours.1)
        );
        broken.push((Promise::ProviderAgrees, what));
    }
}

fn told(facts: &Facts, order: Order, broken: &mut Broken) {
    let notices = facts.notices.unwrap_or_default();
    let is_told = match order.ending {
        Ending::Confirmed => notices.told_confirmed,
        Ending::Cancelled => notices.told_cancelled,
        Ending::Open => true,
    };
    if !is_told {
        broken.push((Promise::CustomersTold, format!("{:?}, and nobody was told", order.ending)));
    }
}

/// Ten-thousandths as an amount.
fn units(amount: i64) -> String {
    format!("{}.{:04}", amount / 10_000, amount.abs() % 10_000)
}

#[cfg(test)]
mod tests;
