//! The golden table, and single cases.

mod sequences;

use std::fmt::Write as _;

use proto::{Currency, CustomerId, OrderId, Sku};
use time::Duration;

use super::*;
use crate::domain::{
    Catalogue, LineRequest, Method, OrderRequest, Payment, Product, Saga, Status, StepState, Stock,
    amend, place,
};

pub(in crate::domain) const AT: OffsetDateTime = OffsetDateTime::UNIX_EPOCH;

pub(in crate::domain) fn usd(text: &str) -> Money {
    Money::parse(text, Currency::USD).unwrap()
}

pub(in crate::domain) fn payment() -> PaymentId {
    PaymentId::parse("01932c1e-7b5a-7c3d-8e4f-0123456789ac").unwrap()
}

fn mugs(quantity: u32) -> LineRequest {
    LineRequest::Product { sku: Sku::parse("mug").unwrap(), quantity, seen: None }
}

pub(in crate::domain) fn catalogue() -> Catalogue {
    let product =
        Product { name: "Blue mug".into(), price: usd("29.99"), available: 5, version: 1 };
    Catalogue::from([(Sku::parse("mug").unwrap(), product)])
}

/// Two mugs for 59.98.
pub(in crate::domain) fn an_order(method: Method) -> Order {
    let request = OrderRequest {
        id: OrderId::parse("01932c1e-7b5a-7c3d-8e4f-0123456789ab").unwrap(),
        customer: CustomerId::parse("customer-456").unwrap(),
        currency: Currency::USD,
        lines: [mugs(2)].into(),
        method,
        pay_within: Duration::ZERO,
    };
    place(&request, &catalogue(), AT).unwrap().order
}

/// Asks for so many mugs instead.
pub(in crate::domain) fn amended_to(
    order: &Order,
    quantity: u32,
    at: OffsetDateTime,
) -> Result<Decision, Refusal> {
    amend(order, &[mugs(quantity)], &catalogue(), at)
}

pub(in crate::domain) fn a_shipment(at: OffsetDateTime) -> Shipment {
    Shipment { carrier: "post".into(), tracking_number: "1Z".into(), at, delivered_at: None }
}

/// Every fact and request that the tests put to an order; the numbers are revisions.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
enum Input {
    Reserved(u32),
    Rejected(u32),
    Captured(u32),
    CapturedLess,
    Declined(u32),
    Expired(u32),
    Deadline,
    /// One mug instead of two, and two of them again.
    Fewer,
    Two,
    Cancel,
    Ship,
    Deliver,
    Released,
    Voided,
    Refunded,
    RefundRefused,
    Notified,
}

const INPUTS: [Input; 22] = [
    Input::Reserved(1),
    Input::Reserved(2),
    Input::Rejected(1),
    Input::Rejected(2),
    Input::Captured(1),
    Input::Captured(2),
    Input::CapturedLess,
    Input::Declined(1),
    Input::Declined(2),
    Input::Expired(1),
    Input::Expired(2),
    Input::Deadline,
    Input::Fewer,
    Input::Two,
    Input::Cancel,
    Input::Ship,
    Input::Deliver,
    Input::Released,
    Input::Voided,
    Input::Refunded,
    Input::RefundRefused,
    Input::Notified,
];

impl Input {
    /// The revision that it answers; 0 for none.
    fn revision(self) -> u32 {
        match self {
            Self::Reserved(number)
            | Self::Rejected(number)
            | Self::Captured(number)
            | Self::Declined(number)
            | Self::Expired(number) => number,
            Self::CapturedLess
            | Self::Deadline
            | Self::Fewer
            | Self::Two
            | Self::Cancel
            | Self::Ship
            | Self::Deliver
            | Self::Released
            | Self::Voided
            | Self::Refunded
            | Self::RefundRefused
            | Self::Notified => 0,
        }
    }
}

fn apply(order: &Order, input: Input) -> Result<Decision, Refusal> {
    let payment = payment();
    let event = match input {
        Input::Reserved(revision) => Event::StockReserved { revision },
        Input::Rejected(revision) => {
            let sku = Sku::parse("mug").unwrap();
            let missing = vec![Shortage { sku, wanted: 2, available: 1 }];
            Event::StockRejected { revision, missing }
        }
        Input::Captured(revision) => {
            let amount = order.revision(revision).map_or(usd("59.98"), |it| it.total);
            Event::PaymentCaptured { revision, payment, amount }
        }
        Input::CapturedLess => Event::PaymentCaptured { revision: 1, payment, amount: usd("9.98") },
        Input::Declined(revision) => {
            Event::PaymentDeclined { revision, payment, code: DeclineCode::CardDeclined }
        }
        Input::Expired(revision) => Event::ReservationExpired { revision },
        Input::Deadline => Event::DeadlinePassed,
        Input::Fewer => return amended_to(order, 1, AT),
        Input::Two => return amended_to(order, 2, AT),
        Input::Cancel => return cancel(order, Reason::CustomerRequest, "anonymous".into(), AT),
        Input::Ship => return ship(order, a_shipment(AT)),
        Input::Deliver => return deliver(order, AT),
        Input::Released => Event::StockReleased,
        Input::Voided => Event::PaymentVoided,
        Input::Refunded => Event::PaymentRefunded { amount: usd("59.98") },
        Input::RefundRefused => Event::RefundRefused,
        Input::Notified => Event::ConfirmationSent { failure: None },
    };
    Ok(decide(order, &event, AT))
}

fn after(method: Method, inputs: &[Input]) -> Order {
    inputs.iter().fold(an_order(method), |order, input| apply(&order, *input).unwrap().order)
}

fn words(order: &Order) -> String {
    let Saga { status: saga, .. } = Saga::of(order);
    let mut words = vec![order.status().as_str()];
    words.extend(order.cancellation.as_ref().map(|it| it.reason.as_str()));
    let revision = order.present.cause.map(|cause| {
        format!(" {} ({}, {})", order.present.number, order.present.total, cause.as_str())
    });
    format!("{}{} [{}]", words.join(" "), revision.unwrap_or_default(), saga.as_str())
}

fn states() -> Vec<(&'static str, Method, &'static [Input])> {
    use Input::{
        Cancel, Captured, CapturedLess, Deadline, Declined, Deliver, Expired, Fewer, Refunded,
        Rejected, Released, Reserved, Ship, Two, Voided,
    };
    use Method::{Card, Deferred};
    vec![
        ("placed", Card, &[]),
        ("placed, deferred", Deferred, &[]),
        ("reserved", Card, &[Reserved(1)]),
        ("reserved, deferred", Deferred, &[Reserved(1)]),
        ("paid", Card, &[Captured(1)]),
        ("paid too little", Card, &[CapturedLess]),
        ("confirmed", Card, &[Reserved(1), Captured(1)]),
        ("shipped", Card, &[Reserved(1), Captured(1), Ship]),
        ("delivered", Card, &[Reserved(1), Captured(1), Ship, Deliver]),
        ("amended", Card, &[Fewer]),
        ("amended to the same", Card, &[Two]),
        ("amended when reserved", Card, &[Reserved(1), Fewer]),
        ("amended when reserved, deferred", Deferred, &[Reserved(1), Fewer]),
        ("amended, the first is rejected", Card, &[Fewer, Rejected(1)]),
        ("amended to the same, the first is paid", Card, &[Two, Captured(1)]),
        ("amended, the first is paid", Card, &[Reserved(1), Fewer, Captured(1)]),
        ("amended, rejected", Card, &[Reserved(1), Fewer, Rejected(2)]),
        ("amended, reserved", Card, &[Reserved(1), Fewer, Reserved(2)]),
        ("amended, confirmed", Card, &[Reserved(1), Fewer, Reserved(2), Captured(2)]),
        ("rejected", Card, &[Rejected(1)]),
        ("declined", Card, &[Reserved(1), Declined(1)]),
        ("timed out", Deferred, &[Reserved(1), Deadline]),
        ("expired", Deferred, &[Reserved(1), Expired(1)]),
        ("cancelled at once", Card, &[Cancel]),
        ("cancelled when reserved", Card, &[Reserved(1), Cancel]),
        ("cancelled when confirmed", Card, &[Reserved(1), Captured(1), Cancel]),
        ("cancelled, stock is back", Card, &[Reserved(1), Cancel, Released]),
        ("cancelled, money is back", Card, &[Reserved(1), Captured(1), Cancel, Refunded]),
        ("cancelled and settled", Card, &[Cancel, Released, Voided]),
    ]
}

fn table() -> String {
    let mut table = String::from(
        "# state | input -> next, with its revision if it was amended [saga] | announced\n\
         # state = inputs that change nothing\n# state ! inputs that are refused\n",
    );
    for (name, method, path) in states() {
        let order = after(method, path);
        writeln!(table, "\n{name}: {}", words(&order)).unwrap();
        let (mut same, mut refused) = (String::new(), String::new());
        for input in INPUTS {
            match apply(&order, input) {
                Err(_) => write!(refused, " {input:?}").unwrap(),
                Ok(Decision { order: next, announce: None }) if next == order => {
                    write!(same, " {input:?}").unwrap();
                }
                Ok(Decision { order: next, announce }) => {
                    let said = announce.map_or("-".to_owned(), |said| format!("Order{said:?}"));
                    writeln!(table, "{name} | {input:?} -> {} | {said}", words(&next)).unwrap();
                }
            }
        }
        writeln!(table, "{name} ={same}\n{name} !{refused}").unwrap();
    }
    table
}

#[test]
fn every_state_meets_every_input_as_the_golden_table_says() {
    let table = table();
    assert!(table == include_str!("../decision.golden"), "decision.golden should be:\n{table}");
}

#[test]
fn stock_and_money_confirm_in_either_order() {
    let one = after(Method::Card, &[Input::Reserved(1), Input::Captured(1)]);
    let other = after(Method::Card, &[Input::Captured(1), Input::Reserved(1)]);

    assert_eq!(one.status(), Status::Confirmed);
    assert_eq!(other.status(), Status::Confirmed);
    assert_eq!(other.version, 2);
}

#[test]
fn a_deadline_that_is_not_over_changes_nothing() {
    let event = Event::StockReserved { revision: 1 };
    let placed = Order { pay_within: Duration::MINUTE, ..an_order(Method::Wallet) };
    let order = decide(&placed, &event, AT).order;

    let before = decide(&order, &Event::DeadlinePassed, AT + Duration::seconds(59));
    let after = decide(&order, &Event::DeadlinePassed, AT + Duration::MINUTE);

    assert_eq!(before, Decision { order, announce: None });
    assert_eq!(after.order.cancellation.unwrap().reason, Reason::PaymentTimeout);
}

#[test]
fn a_capture_that_is_not_the_total_ends_the_order_and_goes_back() {
    for path in [&[Input::CapturedLess][..], &[Input::Reserved(1), Input::CapturedLess]] {
        let order = after(Method::Card, path);
        let cancellation = order.cancellation.as_ref().unwrap();
        assert_eq!(cancellation.reason, Reason::PaymentDeclined);
        assert_eq!(&*cancellation.detail, "9.98 USD was captured for a total of 59.98 USD");
        assert_eq!(Saga::of(&order).status.as_str(), "compensating");
    }
}

#[test]
fn a_reservation_that_ran_out_ends_only_the_revision_that_it_was_for() {
    let order = after(Method::Card, &[Input::Reserved(1), Input::Fewer]);

    let expired = |revision| decide(&order, &Event::ReservationExpired { revision }, AT);

    assert_eq!(expired(1).announce, None);
    assert_eq!(expired(2).announce, Some(Announcement::Cancelled));
}

#[test]
fn the_detail_of_a_rejection_says_what_is_missing() {
    let order = after(Method::Card, &[Input::Rejected(1)]);

    let detail = order.cancellation.unwrap().detail;
    assert_eq!(&*detail, "insufficient inventory: 2 of mug wanted, 1 available");
}

/// Of rejections only the highest is recorded; the revisions of earlier ones were not held, either.
#[test]
fn what_was_rejected_is_not_held_however_often_that_was() {
    let mut order = after(Method::Card, &[Input::Reserved(1)]);
    for (wanted, rejected, undone) in [(5, 2, 3), (6, 4, 5)] {
        order = amended_to(&order, wanted, AT).unwrap().order;
        for input in [Input::Rejected(rejected), Input::Reserved(undone)] {
            order = apply(&order, input).unwrap().order;
        }
    }

    let mug = Sku::parse("mug").unwrap();
    assert_eq!((order.present.number, order.held(&mug)), (5, 2));
    let mut sold_out = catalogue();
    sold_out.get_mut(&mug).unwrap().available = 0;
    let refusal = amend(&order, &[mugs(5)], &sold_out, AT).unwrap_err();
    let shortage = Shortage { sku: mug, wanted: 5, available: 2 };
    assert_eq!(refusal, Refusal::InsufficientInventory(vec![(0, shortage)]));
}
