//! The golden table of decisions, and every short sequence of what may happen to an order's money.

#![expect(clippy::arithmetic_side_effects, reason = "tests count what was told")]

use std::{collections::HashSet, fmt::Write};

use proto::Currency;
use uuid::Uuid;

use super::*;
use crate::domain::{Account, Card, PaymentProvider, RefundState, Token, refund};

mod ends;
mod refunds;

fn order() -> OrderId {
    OrderId::new(Uuid::from_u128(7))
}

fn usd(text: &str) -> Money {
    Money::parse(text, Currency::USD).unwrap()
}

fn card() -> Instrument {
    Instrument::Card(Card {
        token: Token::new("tok"),
        provider: PaymentProvider::Simulator,
        face: None,
    })
}

fn due(revision: u32, amount: &str, instrument: Option<Instrument>) -> Event {
    let customer = CustomerId::parse("c-1").unwrap();
    Event::StockReserved(Due { customer, revision, amount: usd(amount), instrument })
}

fn taken(revision: u32) -> Event {
    let outcome = ChargeOutcome::Captured { reference: "ch".into(), face: None };
    Event::ChargeAnswered { revision, outcome }
}

fn refused(revision: u32) -> Event {
    let outcome = ChargeOutcome::Declined { code: DeclineCode::CardDeclined, detail: "no".into() };
    Event::ChargeAnswered { revision, outcome }
}

fn back(number: u32) -> Event {
    Event::RefundAnswered { number }
}

fn stays(number: u32) -> Event {
    Event::RefundRefused { number, reason: "no such charge".into() }
}

fn rich() -> State {
    let mut account = Account::empty(CustomerId::parse("c-1").unwrap(), Currency::USD);
    account.balance = usd("50.00");
    State { payment: None, wallet: Wallet { account: Some(account), hold: None } }
}

/// One step: a fact, or a request that may be refused.
#[derive(Clone)]
enum Step {
    Fact(Event),
    Pay(Instrument),
    /// Staff give back so much, or all that is left.
    Refund(Option<&'static str>),
}

impl Step {
    fn take(&self, state: State) -> Result<Decision, Refusal> {
        match self {
            Self::Fact(event) => Ok(decide(state, event, order())),
            Self::Pay(instrument) => pay(state, instrument, None),
            Self::Refund(amount) => refund(state, amount.map(usd)),
        }
    }
}

fn steps() -> Vec<(&'static str, Step)> {
    vec![
        ("reserved 1 wallet 20", Step::Fact(due(1, "20.00", Some(Instrument::Wallet)))),
        ("reserved 1 wallet 60", Step::Fact(due(1, "60.00", Some(Instrument::Wallet)))),
        ("reserved 1 card 20", Step::Fact(due(1, "20.00", Some(card())))),
        ("reserved 1 deferred 20", Step::Fact(due(1, "20.00", None))),
        ("reserved 2 wallet 30", Step::Fact(due(2, "30.00", Some(Instrument::Wallet)))),
        ("reserved 2 card 30", Step::Fact(due(2, "30.00", Some(card())))),
        ("reserved 2 deferred 30", Step::Fact(due(2, "30.00", None))),
        ("cancelled", Step::Fact(Event::OrderCancelled { revision: 1 })),
        ("charge 1 captured", Step::Fact(taken(1))),
        ("charge 1 declined", Step::Fact(refused(1))),
        ("charge 2 captured", Step::Fact(taken(2))),
        ("charge 2 declined", Step::Fact(refused(2))),
        ("refund 1 done", Step::Fact(back(1))),
        ("refund 1 refused", Step::Fact(stays(1))),
        ("refund 2 done", Step::Fact(back(2))),
        ("refund 2 refused", Step::Fact(stays(2))),
        ("staff refund 5", Step::Refund(Some("5.00"))),
        ("staff refund rest", Step::Refund(None)),
        ("reserved 1 unreadable", Step::Fact(due(1, "20.00", Some(Instrument::CardWithoutToken)))),
        ("pay wallet", Step::Pay(Instrument::Wallet)),
        ("pay card", Step::Pay(card())),
    ]
}

fn after(names: &[&str]) -> State {
    let steps = steps();
    names.iter().fold(rich(), |state, name| {
        let (_, step) = steps.iter().find(|(known, _)| known == name).unwrap();
        step.take(state).unwrap().state
    })
}

/// Every state of the table, by the shortest sequence of steps that leads to it.
const STATES: [&[&str]; 23] = [
    &[],
    &["reserved 1 deferred 20"],
    &["reserved 1 card 20"],
    &["reserved 1 card 20", "reserved 2 card 30"],
    &["reserved 1 deferred 20", "pay card", "reserved 2 deferred 30"],
    &["reserved 1 deferred 20", "pay card", "reserved 2 deferred 30", "charge 1 declined"],
    &["reserved 1 card 20", "cancelled"],
    &["reserved 1 wallet 60"],
    &["reserved 1 wallet 20"],
    &["reserved 1 card 20", "charge 1 captured"],
    &["reserved 1 card 20", "charge 1 declined"],
    &["reserved 1 card 20", "charge 1 captured", "cancelled"],
    &["reserved 1 card 20", "charge 1 captured", "cancelled", "refund 1 done"],
    &["reserved 1 card 20", "charge 1 captured", "cancelled", "refund 1 refused"],
    &["reserved 1 card 20", "charge 1 captured", "staff refund 5"],
    &["reserved 1 card 20", "charge 1 captured", "staff refund 5", "refund 1 done"],
    &["reserved 1 card 20", "charge 1 captured", "staff refund 5", "refund 1 refused"],
    &["reserved 1 card 20", "charge 1 captured", "staff refund 5", "cancelled"],
    &["reserved 1 wallet 20", "staff refund 5"],
    &["reserved 1 unreadable"],
    &["reserved 1 wallet 20", "cancelled"],
    &["reserved 1 wallet 60", "cancelled"],
    &["cancelled"],
];

fn shown(payment: Option<&Payment>) -> String {
    let Some(payment) = payment else { return "unknown".to_owned() };
    let phase = match &payment.phase {
        Phase::Waiting => "waiting".to_owned(),
        Phase::Charging(charge) => format!("charging {} for {}", charge.amount, charge.revision),
        Phase::Declined(decline) => {
            format!("declined {:?} for {}", decline.code, decline.revision)
        }
        Phase::Captured(capture) => {
            let back = capture.refund.as_ref().map_or_else(String::new, |last| {
                let (number, cause) = (last.number, last.cause.as_str());
                format!(", refund {number} {cause} {}", last.state.as_str())
            });
            let (means, sum) = (capture.means.method(), capture.amount);
            format!("{means:?} captured {sum} − {}{back}", capture.refunded)
        }
    };
    let due = payment.due.as_ref().map_or(0, |due| due.revision);
    match payment.compensation {
        CompensationState::NotAsked => format!("due {due}, {phase}"),
        CompensationState::Owed { .. } => format!("due {due}, {phase}, owes an answer"),
        CompensationState::Voided | CompensationState::Refunded => {
            format!("due {due}, {phase}, {}", payment.compensation.as_str())
        }
    }
}

fn said(announcement: &Announcement) -> String {
    match announcement {
        Announcement::Captured { revision, amount, method, .. } => {
            format!("PaymentCaptured {amount} for {revision} by {method:?}")
        }
        Announcement::Declined { revision, amount, code, .. } => {
            format!("PaymentDeclined {amount} for {revision} {code:?}")
        }
        Announcement::Voided { known, revision } => {
            format!("PaymentVoided {revision} known={known}")
        }
        Announcement::Refunded { revision, number, amount, cause, .. } => {
            format!("PaymentRefunded {number} {amount} of {revision} {cause:?}")
        }
        Announcement::RefundRefused { number, amount, cause, .. } => {
            format!("RefundRefused {number} {amount} {cause:?}")
        }
    }
}

#[test]
fn decisions_stand_in_the_golden_table() {
    let mut table = String::new();
    for names in STATES {
        let state = after(names);
        writeln!(table, "{}", shown(state.payment.as_ref())).unwrap();
        for (name, step) in steps() {
            write!(table, "  {name:<22} → ").unwrap();
            match step.take(state.clone()) {
                Err(refusal) => writeln!(table, "refused: {refusal}").unwrap(),
                Ok(decision) if decision.state == state => writeln!(table, "=").unwrap(),
                Ok(decision) => {
                    write!(table, "{}", shown(decision.state.payment.as_ref())).unwrap();
                    for announcement in &decision.announce {
                        write!(table, " · {}", said(announcement)).unwrap();
                    }
                    for entry in &decision.entries {
                        write!(table, " · entry {:?} {}", entry.movement, entry.amount).unwrap();
                    }
                    if let Some(call) = &decision.call {
                        let key = call.key();
                        let (_, operation) = key.split_once('.').unwrap();
                        write!(table, " · call {operation} {}", call.amount).unwrap();
                    }
                    writeln!(table).unwrap();
                }
            }
        }
    }
    let golden = include_str!("../decision.golden");
    if table != golden {
        let new = std::env::temp_dir().join("payment-svc.decision.golden");
        std::fs::write(&new, &table).unwrap();
        panic!("the table changed: compare src/domain/decision.golden with {}", new.display());
    }
}

/// What has been announced and called for on one path.
#[derive(Clone, Default, PartialEq, Eq, Hash)]
struct PathTotals {
    captures: u32,
    answers: u32,
    cancelled: bool,
    calls: Vec<String>,
}

fn capture(state: &State) -> Option<&Capture> {
    match &state.payment.as_ref()?.phase {
        Phase::Captured(capture) => Some(capture),
        Phase::Waiting | Phase::Charging(_) | Phase::Declined(_) => None,
    }
}

/// Whether a cancellation has to wait for its answer: for the provider, or for staff.
fn is_held_up(state: &State) -> bool {
    let refused = capture(state).and_then(|capture| capture.refund.as_ref()).is_some_and(|last| {
        matches!(last.state, RefundState::Refused(_)) && last.cause == RefundCause::OrderCancelled
    });
    refused || state.payment.as_ref().is_some_and(Payment::is_in_flight)
}

/// The money that left the wallet and has not come back.
fn spent(state: &State) -> Money {
    let of_wallet = capture(state).filter(|capture| capture.means == Means::Wallet);
    of_wallet.map_or(usd("0"), Capture::left)
}

fn check(before: &State, told: &mut PathTotals, step: &Step, decision: &Decision) {
    told.cancelled |= matches!(step, Step::Fact(Event::OrderCancelled { .. }));
    let mut back = usd("0");
    for announcement in &decision.announce {
        match announcement {
            Announcement::Captured { .. } => told.captures += 1,
            Announcement::Declined { .. } | Announcement::RefundRefused { .. } => {}
            Announcement::Voided { .. } => told.answers += 1,
            Announcement::Refunded { amount, cause, .. } => {
                back = back.plus(*amount).unwrap();
                told.answers += u32::from(*cause == RefundCause::OrderCancelled);
            }
        }
    }
    assert!(told.captures <= 1, "captured twice");
    let owed = u32::from(told.cancelled && !is_held_up(&decision.state));
    assert_eq!(told.answers, owed, "a cancel is answered once, when nothing is in flight");
    let refunded = |state| capture(state).map_or(usd("0"), |capture| capture.refunded);
    let before_that = refunded(before);
    assert_eq!(before_that.plus(back).unwrap(), refunded(&decision.state), "said what went back");
    if let Some(call) = &decision.call {
        let was_open = before.payment.as_ref().is_some_and(Payment::is_in_flight);
        assert!(!was_open || !decision.announce.is_empty(), "two calls in flight");
        assert!(!told.calls.contains(&call.key()), "a call is made once");
        told.calls.push(call.key());
    }
    let account = decision.state.wallet.account.as_ref().unwrap();
    let spent = spent(&decision.state);
    assert_eq!(account.balance.plus(spent).unwrap(), usd("50.00"), "money is conserved");
    let by_entries =
        decision.entries.iter().fold(usd("0"), |sum, entry| match entry.movement.credit() {
            "shop" => sum.plus(entry.amount).unwrap(),
            _ => sum.minus(entry.amount).unwrap(),
        });
    let had = before.wallet.account.as_ref().unwrap().balance;
    assert_eq!(had.minus(account.balance).unwrap(), by_entries, "the ledger tells every movement");
    if told.cancelled && !is_held_up(&decision.state) {
        let left = capture(&decision.state).map_or(usd("0"), Capture::left);
        assert!(left.is_zero(), "money of a cancelled order is kept");
    }
}

/// Every sequence of up to seven steps, in any order, with any repetition. Paths that lead to the
/// same state with the same announcements are continued as one.
#[test]
fn money_is_taken_once_and_a_cancel_answered_once_however_news_arrives() {
    let steps = steps();
    let mut paths = HashSet::from([(rich(), PathTotals::default())]);
    for _ in 0..7 {
        let mut next = paths.clone();
        for (state, told) in &paths {
            for (_, step) in &steps {
                let Ok(decision) = step.take(state.clone()) else { continue };
                let mut told = told.clone();
                check(state, &mut told, step, &decision);
                next.insert((decision.state, told));
            }
        }
        paths = next;
    }
    assert!(paths.len() > 80, "the sequences reach many states: {}", paths.len());
}

#[test]
fn every_step_taken_twice_in_a_row_changes_nothing_the_second_time() {
    for names in STATES {
        for (name, step) in steps() {
            // Whoever asks for another refund gets one, as far as money is left.
            if matches!(step, Step::Refund(Some(_))) {
                continue;
            }
            let Ok(first) = step.take(after(names)) else { continue };
            let Ok(second) = step.take(first.state.clone()) else { continue };

            assert_eq!(second.state, first.state, "{names:?}, then {name}");
            assert!(
                second.announce.is_empty() && second.call.is_none() && second.entries.is_empty()
            );
        }
    }
}

#[test]
fn a_payment_of_another_amount_is_refused() {
    let waiting = after(&["reserved 1 deferred 20"]);

    let refused = pay(waiting.clone(), &Instrument::Wallet, Some(usd("19.99")));

    assert_eq!(refused, Err(Refusal::OtherAmount { due: usd("20.00") }));
    assert!(pay(waiting, &Instrument::Wallet, Some(usd("20.00"))).is_ok());
    assert_eq!(pay(rich(), &card(), None), Err(Refusal::UnknownOrder));
}

#[test]
fn a_payments_id_leads_back_to_its_order() {
    use super::super::{order_of, payment_id};
    let order = OrderId::parse("01932c1e-7a55-7b2c-9d11-0f3a5c8e2b71").unwrap();

    let payment = payment_id(order);

    assert_eq!(proto::PaymentId::parse(&payment.to_string()), Ok(payment));
    assert_ne!(payment.uuid(), order.uuid());
    assert_eq!(order_of(payment), order);
}
