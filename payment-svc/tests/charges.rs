//! Calls to a provider that loses answers or is away, and calls of a process that dies in between.

use std::{
    sync::{Arc, atomic::AtomicBool},
    time::Duration,
};

use backends::testing::eventually;
use chassis::Health;
use mailbox::{Command, Mailbox};
use payment_svc::{
    charges::{self, CallLimits, Charges, IN_FLIGHT_MAX},
    domain::{Card, Due, Event, Instrument, PaymentProvider, Status, Token},
    input::{Fact, Input, Source},
    reactions::Payments,
    store,
};
use proto::OrderId;
use serde_json::Value;
use tokio::task::JoinSet;
use tokio_util::sync::CancellationToken;

use super::{
    Shop, a_shop, an_order, by_card, customer, mailbox_of, payments, seal_key,
    stub::{Stub, Trouble},
    usd,
};

pub(super) const SOON: Duration = Duration::from_secs(20);
const SWEEP: Duration = Duration::from_millis(20);

/// The part of the service that calls its provider, on a shop's database.
pub(super) struct RunningService {
    mailbox: Mailbox<Payments>,
    pub(super) stub: Stub,
    tasks: JoinSet<anyhow::Result<()>>,
    ending: CancellationToken,
}

pub(super) async fn running(shop: &Shop, stub: Stub, lease: Duration) -> RunningService {
    let (reactor, calls) = payments(&service_kit::Waiters::default(), lease);
    let (mailbox, mut tasks) = mailbox_of(&shop.database, reactor).await;
    let pool = chassis::database::connect_pool(&shop.database.url(), 4).await.unwrap();
    let limits = CallLimits { lease, longest: lease / 4, sweep: SWEEP };
    let charges = Charges::new(stub.clone(), (mailbox.clone(), pool), seal_key(), calls, limits);
    let ending = CancellationToken::new();
    tasks.spawn(charges.run(ending.clone()));
    RunningService { mailbox, stub, tasks, ending }
}

impl RunningService {
    pub(super) async fn hear(&self, order: OrderId, event: Event) {
        let (source, customer) = (Source::Stock, Some(customer("c-1")));
        let fact = Fact { order, source, customer, event, trace: None };
        let input = Input::Heard(Box::new(fact));
        self.mailbox.submit(Command::new(input)).await.unwrap();
    }

    pub(super) async fn reserved(&self, order: OrderId, token: &str) {
        let card =
            Card { token: Token::new(token), provider: PaymentProvider::Simulator, face: None };
        let instrument = Some(Instrument::Card(card));
        let due = Due { customer: customer("c-1"), revision: 1, amount: usd("20.00"), instrument };
        self.hear(order, Event::StockReserved(due)).await;
    }

    fn asked(&self) -> Vec<String> {
        self.stub
            .book()
            .asked
            .iter()
            .map(|asked| asked.split(' ').next().unwrap().to_owned())
            .collect()
    }
}

pub(super) async fn becomes(shop: &mut Shop, order: OrderId, wanted: Status) {
    let url = shop.database.url();
    let pool = &chassis::database::connect_pool(&url, 1).await.unwrap();
    eventually("the payment's status", SOON, || async move {
        let mut db = pool.acquire().await.unwrap();
        let root = store::payments::find(&mut db, order, None).await.unwrap().unwrap();
        let status = root.payment.status();
        if status == wanted { Ok(()) } else { Err(status.as_str()) }
    })
    .await;
    // Calls for other orders may be under way.
    let calls: i64 = sqlx::query_scalar("select count(*) from provider_calls where order_id = $1")
        .bind(order.uuid())
        .fetch_one(pool)
        .await
        .unwrap();
    assert_eq!(calls, i64::from(wanted == Status::Processing));
}

#[tokio::test]
async fn a_call_is_made_at_once_and_its_answer_recorded() {
    let mut shop = a_shop().await;
    let service = running(&shop, Stub::default(), Duration::from_secs(30)).await;
    let (paid, refused) = (an_order(), an_order());

    service.reserved(paid, "tok_visa").await;
    service.reserved(refused, "tok_declined").await;

    becomes(&mut shop, paid, Status::Captured).await;
    becomes(&mut shop, refused, Status::Declined).await;
    assert_eq!(service.asked(), ["charge", "charge"], "nobody looks up what is asked first");
    assert_eq!(shop.count("outbox").await, 2);
}

#[tokio::test]
async fn a_lost_answer_is_asked_for_again_and_never_a_decline() {
    let mut shop = a_shop().await;
    let stub = Stub::with(&[Trouble::Lost, Trouble::Away, Trouble::Lost]);
    let service = running(&shop, stub, Duration::from_secs(30)).await;
    let order = an_order();

    service.reserved(order, "tok_visa").await;

    becomes(&mut shop, order, Status::Captured).await;
    assert_eq!(service.asked(), ["charge", "look", "look", "look"]);
    assert_eq!(service.stub.book().charges.len(), 1);
    assert_eq!(shop.told().await, [("PaymentCaptured", 1)]);
}

#[tokio::test]
async fn a_charge_that_never_arrived_is_made_after_a_look() {
    let mut shop = a_shop().await;
    let service = running(&shop, Stub::with(&[Trouble::Away]), Duration::from_secs(30)).await;
    let order = an_order();

    service.reserved(order, "tok_visa").await;

    becomes(&mut shop, order, Status::Captured).await;
    assert_eq!(service.asked(), ["charge", "look", "charge"]);
}

#[tokio::test]
async fn a_process_killed_between_capture_and_record_leaves_the_answer_to_the_next() {
    let mut shop = a_shop().await;
    let order = an_order();
    let mut killed = running(&shop, Stub::with(&[Trouble::Silent]), Duration::from_secs(3)).await;
    killed.reserved(order, "tok_visa").await;
    let stub = killed.stub.clone();
    eventually("the charge at the provider", SOON, || async {
        if stub.book().charges.is_empty() { Err("nothing") } else { Ok(()) }
    })
    .await;
    killed.tasks.shutdown().await;
    assert_eq!(shop.count("outbox").await, 0);

    let next = running(&shop, stub, Duration::from_secs(30)).await;

    becomes(&mut shop, order, Status::Captured).await;
    assert_eq!(next.asked(), ["charge", "look"]);
    assert_eq!(next.stub.book().charges.len(), 1, "captured once");
}

#[tokio::test]
async fn money_captured_for_a_cancelled_order_goes_back_however_often_that_takes() {
    let mut shop = a_shop().await;
    let troubles = [Trouble::Lost, Trouble::Away, Trouble::Lost, Trouble::Lost];
    let service = running(&shop, Stub::with(&troubles), Duration::from_secs(30)).await;
    let order = an_order();

    service.reserved(order, "tok_visa").await;
    service.hear(order, Event::OrderCancelled { revision: 1 }).await;

    becomes(&mut shop, order, Status::Refunded).await;
    let refunds = service.stub.book().refunds.clone();
    let key = format!("{order}.charge.1");
    assert_eq!(refunds.into_iter().collect::<Vec<_>>(), [(format!("{order}.refund.1"), key)]);
    assert_eq!(shop.told().await, [("PaymentCaptured", 1), ("PaymentRefunded", 2)]);
}

/// Providers do not keep their keys for ever: whether money went back is looked up before a refund
/// is asked for again.
#[tokio::test]
async fn a_refund_is_looked_up_before_it_is_asked_for_again() {
    for (trouble, asked) in [
        (Trouble::Lost, &["charge", "refund", "look"][..]),
        (Trouble::Away, &["charge", "refund", "look", "refund"]),
    ] {
        let mut shop = a_shop().await;
        let stub = Stub::with(&[Trouble::Slow(Duration::ZERO), trouble]);
        let service = running(&shop, stub, Duration::from_secs(30)).await;
        let order = an_order();
        service.reserved(order, "tok_visa").await;
        becomes(&mut shop, order, Status::Captured).await;

        service.hear(order, Event::OrderCancelled { revision: 1 }).await;

        becomes(&mut shop, order, Status::Refunded).await;
        assert_eq!(service.asked(), asked);
    }
}

#[tokio::test]
async fn one_that_never_answers_does_not_hold_up_the_others() {
    let mut shop = a_shop().await;
    let service = running(&shop, Stub::with(&[Trouble::Silent]), Duration::from_secs(30)).await;
    let (stuck, others) = (an_order(), [an_order(), an_order(), an_order()]);

    service.reserved(stuck, "tok_visa").await;
    for order in others {
        service.reserved(order, "tok_visa").await;
    }

    for order in others {
        let url = shop.database.url();
        let pool = &chassis::database::connect_pool(&url, 1).await.unwrap();
        eventually("a capture", SOON, || async move {
            let mut db = pool.acquire().await.unwrap();
            let root = store::payments::find(&mut db, order, None).await.unwrap().unwrap();
            if root.payment.status() == Status::Captured { Ok(()) } else { Err("not yet") }
        })
        .await;
    }
    becomes(&mut shop, stuck, Status::Processing).await;
}

#[tokio::test]
async fn stopping_finishes_the_calls_in_hand() {
    let mut shop = a_shop().await;
    let stub = Stub::with(&[Trouble::Slow(Duration::from_millis(300))]);
    let mut service = running(&shop, stub, Duration::from_secs(30)).await;
    let order = an_order();
    service.reserved(order, "tok_visa").await;
    let stub = service.stub.clone();
    eventually("the charge is under way", SOON, || async {
        if stub.book().asked.is_empty() { Err("nothing asked") } else { Ok(()) }
    })
    .await;

    service.ending.cancel();

    let ended = service.tasks.join_next().await.unwrap().unwrap();
    assert!(ended.is_ok());
    becomes(&mut shop, order, Status::Captured).await;
    assert_eq!(service.asked(), ["charge"]);
}

/// Two processes, a provider that takes longer than a lease, and more calls than are made at once:
/// a process that lost its lease asks no more, and no two processes ask at the same time.
#[tokio::test]
async fn nobody_asks_for_a_call_that_somebody_else_holds() {
    let mut shop = a_shop().await;
    let lease = Duration::from_millis(400);
    let troubles = [Trouble::Silent; IN_FLIGHT_MAX];
    let stub = Stub::with(&troubles);
    let (first, second) =
        (running(&shop, stub.clone(), lease).await, running(&shop, stub.clone(), lease).await);

    let orders: Vec<_> = (0..IN_FLIGHT_MAX + 40).map(|_| an_order()).collect();
    for order in &orders {
        first.reserved(*order, "tok_visa").await;
    }

    let url = shop.database.url();
    let pool = &chassis::database::connect_pool(&url, 1).await.unwrap();
    eventually("every charge has its answer", SOON * 2, || async move {
        let open = "select count(*) from provider_calls";
        let open: i64 = sqlx::query_scalar(open).fetch_one(pool).await.unwrap();
        if open == 0 { Ok(()) } else { Err(open) }
    })
    .await;
    {
        let book = stub.book();
        assert!(book.asked_at_once.is_empty(), "asked by two at once: {:?}", book.asked_at_once);
        assert_eq!(book.charges.len(), orders.len());
    }
    drop((first, second));
    assert_eq!(shop.told().await.len(), orders.len(), "each is captured once");
}

#[tokio::test]
async fn a_charge_that_the_provider_refuses_is_a_decline() {
    let mut shop = a_shop().await;
    let service = running(&shop, Stub::with(&[Trouble::Refused]), Duration::from_secs(30)).await;
    let order = an_order();

    service.reserved(order, "tok_visa").await;

    becomes(&mut shop, order, Status::Declined).await;
    assert_eq!(service.asked(), ["charge"]);
    assert_eq!(shop.told().await, [("PaymentDeclined", 1)]);
}

/// The money of a cancelled order that the provider will not give back: reported, and never asked
/// for again.
#[tokio::test]
async fn a_refund_that_the_provider_refuses_waits_for_staff_and_shows_in_the_health() {
    let mut shop = a_shop().await;
    let stub = Stub::with(&[Trouble::Slow(Duration::ZERO), Trouble::Refused]);
    let service = running(&shop, stub, Duration::from_secs(30)).await;
    let order = an_order();
    service.reserved(order, "tok_visa").await;
    becomes(&mut shop, order, Status::Captured).await;
    let pool = chassis::database::connect_pool(&shop.database.url(), 1).await.unwrap();
    let started = Arc::new(AtomicBool::new(true));
    let health = Health::new(payment_svc::NAME, started, CancellationToken::new());
    charges::watch(&health, &pool);
    let problem = async || health.report().await.problems.remove("refunds").unwrap_or_default();
    assert_eq!(problem().await, Value::Null);

    service.hear(order, Event::OrderCancelled { revision: 1 }).await;

    eventually("the refund is refused", SOON, || async {
        let told = problem().await;
        if told.to_string().contains(&order.to_string()) { Ok(()) } else { Err(told) }
    })
    .await;
    assert_eq!(service.asked(), ["charge", "refund"]);
    assert_eq!(shop.told().await, [("PaymentCaptured", 1), ("RefundRefused", 2)]);
    becomes(&mut shop, order, Status::Captured).await;
}

#[tokio::test]
async fn a_provider_that_is_silent_shows_in_the_health() {
    let mut shop = a_shop().await;
    let order = an_order();
    let service = running(&shop, Stub::with(&[Trouble::Away; 60]), Duration::from_secs(30)).await;
    let pool = chassis::database::connect_pool(&shop.database.url(), 1).await.unwrap();
    let started = Arc::new(AtomicBool::new(true));
    let health = Health::new(payment_svc::NAME, started, CancellationToken::new());
    charges::watch(&health, &pool);
    service.reserved(order, "tok_visa").await;

    // The provider has been silent for a minute.
    let long = "update provider_calls set begun_at = begun_at - interval '1 minute'";
    sqlx::raw_sql(long).execute(shop.mailbox.db().await).await.unwrap();

    eventually("it is told", SOON, || async {
        let told = health.report().await.problems.remove("provider").unwrap_or_default();
        if told.to_string().contains("1 calls have no answer") { Ok(()) } else { Err(told) }
    })
    .await;
    assert!(health.report().await.is_healthy(), "everything else works");
}

#[tokio::test]
async fn a_call_that_cannot_be_read_keeps_no_other_from_being_made() {
    let mut shop = a_shop().await;
    let (broken, good) = (an_order(), an_order());
    for order in [broken, good] {
        let reserved = shop.reserved(order, by_card(order, "tok_visa", "20.00"));
        shop.hear([reserved]).await;
    }
    let lapse = "update provider_calls
        set leased_until = clock_timestamp(), begun_at = begun_at - interval '1 minute'";
    // A currency that this build does not know.
    let spoil = format!("update provider_calls set currency = 'ZZZ' where order_id = '{broken}'");
    for statement in [lapse, &spoil] {
        let statement = sqlx::raw_sql(sqlx::AssertSqlSafe(statement.to_owned()));
        statement.execute(shop.mailbox.db().await).await.unwrap();
    }

    let service = running(&shop, Stub::default(), Duration::from_secs(30)).await;

    becomes(&mut shop, good, Status::Captured).await;
    assert_eq!(shop.count("provider_calls").await, 1);
    let pool = chassis::database::connect_pool(&shop.database.url(), 1).await.unwrap();
    let health =
        Health::new(payment_svc::NAME, Arc::new(AtomicBool::new(true)), CancellationToken::new());
    charges::watch(&health, &pool);
    let told = health.report().await.problems.remove("provider").unwrap_or_default();
    assert!(told.to_string().contains("1 calls have no answer"), "{told}");
    drop(service);
}
