//! Whether everything that is known about an order fits together.
//!
//! Four databases cannot be read in one moment. So the offsets that every service has consumed are
//! read first, then the rows, then the topics: an event that a service had consumed is in its rows,
//! and an event that it had not makes the order one under way. An order that looks wrong is read
//! again before it is reported. Only what is young counts as under way: [`waits`] says what is
//! overdue.

mod agree;
mod waits;

use super::{
    birth,
    check::Promise,
    facts::{CompensationState, Facts, ORDERS, OrderEnd, TOPICS, TopicFacts},
    interventions::Interventions,
};

/// How far the services have read.
#[derive(Clone, Debug, Default)]
pub(super) struct ConsumerPositions {
    /// By topic and partition: the offset after the last message that all its consumers have
    /// consumed.
    pub(super) offsets: [Vec<i64>; 4],
}

impl ConsumerPositions {
    /// Whether all consumers have consumed the message at an offset.
    pub(super) fn is_past(&self, topic: usize, partition: i32, offset: i64) -> bool {
        let at = usize::try_from(partition).unwrap_or(usize::MAX);
        self.offsets[topic].get(at).is_some_and(|next| *next > offset)
    }
}

/// What is needed to judge an order, besides its facts.
#[derive(Clone, Debug, Default)]
pub(super) struct View {
    pub(super) consumed: ConsumerPositions,
    pub(super) interventions: Interventions,
    /// By topic: an order that began before this may have no events in topic and outbox any more; 0
    /// where everything ever published is still there.
    pub(super) gone_before: [u32; 4],
    /// The present time, in seconds since 1970.
    pub(super) now: u32,
}

impl View {
    /// Whether a topic has no event of an order any more because it deletes old ones.
    fn is_gone(&self, topic: usize, order: u128, told: &TopicFacts) -> bool {
        told.version == 0 && birth(order) < self.gone_before[topic]
    }
}

/// What was found about an order.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) enum Verdict {
    /// Something about it has still to arrive or to happen, and is not overdue; `since` is when the
    /// wait began, in seconds since 1970.
    UnderWay { since: u32 },
    /// Nothing will change by itself; the findings are what does not fit.
    Settled(Findings),
}

/// What does not fit: the broken promises, in words.
pub(super) type Findings = Vec<(Promise, String)>;

/// The promises that are checked for every settled order.
pub(super) const PER_ORDER: [Promise; 10] = [
    Promise::VersionsAgree,
    Promise::EndingsSaidOnce,
    Promise::HistoryAgrees,
    Promise::NothingMissed,
    Promise::StockAgrees,
    Promise::MoneyAgrees,
    Promise::CompensatedOnce,
    Promise::CustomersTold,
    Promise::NothingStuck,
    Promise::ContentsAgree,
];

/// Promises that may be broken because an operator discarded a message; then they are no
/// violations.
const FOLLOWS_FROM_A_DISCARD: [Promise; 5] = [
    Promise::EndingsSaidOnce,
    Promise::NothingMissed,
    Promise::CompensatedOnce,
    Promise::CustomersTold,
    Promise::NothingStuck,
];

/// Judges an order by all that is known about it.
pub(super) fn judge(id: u128, facts: &Facts, view: &View) -> Verdict {
    if facts.is_parked {
        return Verdict::UnderWay { since: view.now };
    }
    let mut broken = match waits::overdue(id, facts, view) {
        waits::Waits::Young { since } => return Verdict::UnderWay { since },
        waits::Waits::Overdue(what) => vec![(Promise::NothingStuck, what)],
        waits::Waits::Nothing => settled(id, facts, view),
    };
    if facts.has_intervention {
        broken.retain(|(promise, _)| !FOLLOWS_FROM_A_DISCARD.contains(promise));
    }
    Verdict::Settled(broken)
}

fn settled(id: u128, facts: &Facts, view: &View) -> Findings {
    let Some(order) = facts.order else {
        return vec![(Promise::VersionsAgree, "order-svc does not have it".into())];
    };
    let mut broken = Findings::new();
    let is_paid_back =
        matches!(order.compensation, CompensationState::Voided | CompensationState::Refunded);
    match order.ending {
        OrderEnd::Open => {
            broken.push((Promise::NothingStuck, "open, and nothing is under way".into()));
        }
        OrderEnd::Cancelled if !(order.is_stock_undone && is_paid_back) => {
            let is_refused = facts.payment.is_some_and(|payment| payment.refused > 0);
            let why = if is_refused { "its refund was refused" } else { "nothing is under way" };
            broken.push((Promise::NothingStuck, format!("compensating, and {why}")));
        }
        OrderEnd::Confirmed | OrderEnd::Cancelled => {
            agree::stock(facts, &order, &mut broken);
            agree::money(facts, &order, &mut broken);
            agree::told(facts, &order, &mut broken);
        }
    }
    published(facts, &mut broken);
    agree::heard(id, facts, &order, view, &mut broken);
    let has_all = (0..TOPICS.len()).all(|topic| {
        let told = &facts.said[topic];
        !told.is_trimmed && !view.is_gone(topic, id, told)
    });
    if has_all && facts.said[ORDERS].version > 0 {
        agree::said(facts, &order, &mut broken);
        agree::answers(facts, &order, &mut broken);
        agree::contents(facts, &order, &mut broken);
    }
    broken
}

/// How many events each state, if there is one, says that it has announced about the order.
pub(super) fn versions(facts: &Facts) -> [Option<u32>; 4] {
    [
        facts.order.map(|order| order.version),
        facts.reservation.map(|reservation| reservation.version),
        facts.payment.map(|payment| payment.version),
        facts.notices.map(|notices| notices.version),
    ]
}

/// The [`versions`], 0 where there is no state.
pub(super) fn counted(facts: &Facts) -> [u32; 4] {
    versions(facts).map(Option::unwrap_or_default)
}

/// No topic has more events than its state has counted. With fewer, something is still to arrive.
fn published(facts: &Facts, broken: &mut Findings) {
    for ((state, told), topic) in counted(facts).into_iter().zip(&facts.said).zip(TOPICS) {
        if told.version > state {
            let what = format!("{} events on {topic}, the state counts {state}", told.version);
            broken.push((Promise::VersionsAgree, what));
        }
    }
}

#[cfg(test)]
mod tests;
