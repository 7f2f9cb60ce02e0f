//! Places the orders: a few connections on one thread, each with the next order ready.
//!
//! Each connection takes the next number and waits for that number's time. So an idle system gets
//! its orders evenly, and a slow one finds them waiting, with their time already running.

use std::{
    fmt::Write as _,
    sync::{
        Arc, Mutex, MutexGuard,
        atomic::{AtomicBool, AtomicU64, Ordering},
    },
    time::{Duration, Instant},
};

use rand::{Rng as _, SeedableRng as _, rngs::StdRng};
use tokio::{
    sync::{Semaphore, mpsc},
    task::JoinSet,
};

use super::{
    book::{Book, Errand, PlacedOrder},
    connection::{self, Connection},
    plan::{Extent, Kind, Mix, Pace, Popularity},
};
use crate::seed;

/// Everything that a run needs to know.
#[derive(Clone, Debug)]
pub struct LoadPlan {
    /// The gateway, as `host:port`.
    pub gateway: String,
    pub kafka: String,
    pub pace: Pace,
    pub extent: Extent,
    pub warmup: Duration,
    /// How long to wait for the last final events.
    pub grace: Duration,
    pub mix: Mix,
    pub products: Popularity,
    pub buyers: Arc<[Buyer]>,
    /// What staff does its errands with.
    pub token: String,
    pub seed: u64,
}

/// A customer who orders.
#[derive(Clone, Debug)]
pub struct Buyer {
    pub name: String,
    pub token: String,
}

/// A run under way, shared by the tasks that place, listen and show progress.
#[derive(Debug)]
pub(super) struct LoadRun {
    pub(super) plan: LoadPlan,
    pub(super) book: Mutex<Book>,
    pub(super) started: AtomicU64,
    /// Set when no more orders are to be started.
    pub(super) is_over: AtomicBool,
    /// Free places of a closed loop: how many more orders may be under way.
    pub(super) places: Semaphore,
    errands: mpsc::UnboundedSender<(u128, Errand)>,
    /// How many errands are not done yet.
    errands_left: AtomicU64,
    began: Instant,
    next: AtomicU64,
}

impl LoadRun {
    pub(super) fn new(plan: LoadPlan, errands: mpsc::UnboundedSender<(u128, Errand)>) -> Arc<Self> {
        let places = match plan.pace {
            Pace::Closed { concurrency } => concurrency as usize,
            Pace::Open { .. } => 0,
        };
        Arc::new(Self {
            plan,
            book: Mutex::default(),
            started: AtomicU64::new(0),
            is_over: AtomicBool::new(false),
            places: Semaphore::new(places),
            errands,
            errands_left: AtomicU64::new(0),
            began: Instant::now(),
            next: AtomicU64::new(0),
        })
    }

    /// The book, locked.
    pub(super) fn book(&self) -> MutexGuard<'_, Book> {
        self.book.lock().expect("nobody panics with the book in hand")
    }

    /// Hands over what is to be done to an order, if anything is.
    pub(super) fn send(&self, order: u128, errand: Option<Errand>) {
        if let Some(errand) = errand {
            self.errands_left.fetch_add(1, Ordering::Relaxed);
            // Who does errands does so as long as the run lasts, so sending succeeds.
            self.errands.send((order, errand)).unwrap_or_default();
        }
    }

    /// An errand is done.
    pub(super) fn done(&self) {
        self.errands_left.fetch_sub(1, Ordering::Relaxed);
    }

    pub(super) fn errands_left(&self) -> u64 {
        self.errands_left.load(Ordering::Relaxed)
    }

    /// When counting starts: after the warm-up.
    pub(super) fn counted_from(&self) -> Instant {
        self.began + self.plan.warmup
    }

    /// Waits until the next order is due. Returns its intended start; `None` when there is none.
    async fn next_start(&self) -> Option<Instant> {
        let index = self.next.fetch_add(1, Ordering::Relaxed);
        let end = match self.plan.extent {
            Extent::Orders(orders) if index >= orders => return None,
            Extent::Orders(_) => None,
            Extent::Lasting(duration) => Some(self.counted_from() + duration),
        };
        let is_late = |at: Instant| end.is_some_and(|end| at >= end);
        if let Some(after) = self.plan.pace.start_of(index) {
            let intended = self.began + after;
            if is_late(intended) {
                return None;
            }
            tokio::time::sleep_until(intended.into()).await;
            return (!self.is_over.load(Ordering::Relaxed)).then_some(intended);
        }
        let waits_since = Instant::now();
        loop {
            // The wait for a place ends now and then: orders that never end keep their places,
            // perhaps all of them.
            let place =
                tokio::time::timeout(Duration::from_millis(100), self.places.acquire()).await;
            let now = Instant::now();
            let is_lost = place.is_err() && now - waits_since > self.plan.grace;
            if self.is_over.load(Ordering::Relaxed) || is_late(now) || is_lost {
                return None;
            }
            if let Ok(Ok(place)) = place {
                place.forget();
                return Some(now);
            }
        }
    }

    /// Frees the places of orders that are over or were not accepted.
    pub(super) fn free(&self, places: usize) {
        if places > 0 && matches!(self.plan.pace, Pace::Closed { .. }) {
            self.places.add_permits(places);
        }
    }
}

/// Places everything that the plan asks for; returns when the last answer has come.
pub(super) async fn place(run: &Arc<LoadRun>) {
    let mut workers = JoinSet::new();
    for worker in 0..run.plan.pace.connections() {
        workers.spawn(work(Arc::clone(run), u64::from(worker)));
    }
    while workers.join_next().await.is_some() {}
}

async fn work(run: Arc<LoadRun>, worker: u64) {
    let mut rng = StdRng::seed_from_u64(run.plan.seed.wrapping_mul(1_000_003).wrapping_add(worker));
    let mut connection = Connection::to(&run.plan.gateway);
    let (mut body, mut line) = (String::with_capacity(256), String::with_capacity(512));
    let mut request = Vec::with_capacity(1_024);
    while let Some(intended) = run.next_start().await {
        run.started.fetch_add(1, Ordering::Relaxed);
        let kind = run.plan.mix.pick(rng.random_range(0..run.plan.mix.total()));
        let buyer = &run.plan.buyers[rng.random_range(0..run.plan.buyers.len())];
        write_order(&mut body, &run.plan, kind, &buyer.name, &mut rng);
        line.clear();
        write!(line, "POST /v1/orders HTTP/1.1\r\nauthorization: Bearer {}", buyer.token)
            .expect("a string takes everything");
        connection::request(&mut request, &line, &run.plan.gateway, &body);
        let counted = intended >= run.counted_from();
        let placed = PlacedOrder { intended, kind, counted };
        let answer = connection.send(&request).await;
        let order = answer.as_ref().ok().filter(|reply| reply.status == 201).and_then(|it| it.id);
        let Some(order) = order else {
            match answer {
                Ok(reply) if is_refusal(reply.status) => {
                    let code = reply.code.unwrap_or_else(|| reply.status.to_string());
                    run.book().rejected(placed, code);
                }
                // A 500 or 504 leaves open what happened, as a broken connection does.
                Ok(_) | Err(_) => run.book().failed(placed),
            }
            run.free(1);
            // A client that was refused does not come back within the same millisecond.
            tokio::time::sleep(Duration::from_millis(rng.random_range(1..10))).await;
            continue;
        };
        let next = run.book().accepted(order.as_u128(), placed, Instant::now());
        run.free(usize::from(next.is_over));
        run.send(order.as_u128(), next.errand);
    }
}

/// Whether the answer says that the order was certainly not accepted.
fn is_refusal(status: u16) -> bool {
    (400..500).contains(&status) || status == 503
}

fn write_order(body: &mut String, plan: &LoadPlan, kind: Kind, customer: &str, rng: &mut StdRng) {
    let sku = match kind {
        Kind::OutOfStock => seed::SOLD_OUT.to_owned(),
        _ => seed::sku(plan.products.pick(rng.random())),
    };
    let payment = match kind {
        Kind::Declined => r#"{"method":"card","token":"tok_declined"}"#,
        Kind::Amended => r#"{"method":"deferred"}"#,
        _ => r#"{"method":"wallet"}"#,
    };
    body.clear();
    write!(
        body,
        r#"{{"customer_id":"{customer}","items":[{{"sku":"{sku}","quantity":1}}],"payment":{payment}}}"#
    )
    .expect("a string takes everything");
}

#[cfg(test)]
mod tests {
    use super::*;

    fn a_plan(pace: Pace, extent: Extent) -> LoadPlan {
        LoadPlan {
            gateway: "127.0.0.1:8000".into(),
            kafka: "127.0.0.1:8020".into(),
            pace,
            extent,
            warmup: Duration::ZERO,
            grace: Duration::from_millis(200),
            mix: "happy=1".parse().unwrap(),
            products: Popularity::new(9, 0.0),
            buyers: Arc::new([]),
            token: String::new(),
            seed: 1,
        }
    }

    #[test]
    fn every_kind_of_order_is_the_order_it_should_be() {
        let plan = a_plan(Pace::Open { rate: 1 }, Extent::Orders(1));
        let mut rng = StdRng::seed_from_u64(7);
        let mut order = |kind| {
            let mut body = String::new();
            write_order(&mut body, &plan, kind, "ann", &mut rng);
            serde_json::from_str::<serde_json::Value>(&body).unwrap()
        };
        assert_eq!(order(Kind::Happy)["payment"]["method"], "wallet");
        assert_eq!(order(Kind::Declined)["payment"]["token"], "tok_declined");
        assert_eq!(order(Kind::Amended)["payment"]["method"], "deferred");
        assert_eq!(order(Kind::OutOfStock)["items"][0]["sku"], "sold-out");
        let sku = order(Kind::CancelledLater)["items"][0]["sku"].as_str().unwrap().to_owned();
        assert!(sku.starts_with("product-0000"));
    }

    #[tokio::test]
    async fn an_open_loop_hands_out_every_start_once() {
        let extent = Extent::Lasting(Duration::from_millis(100));
        let run =
            LoadRun::new(a_plan(Pace::Open { rate: 100 }, extent), mpsc::unbounded_channel().0);
        let mut starts = Vec::new();
        while let Some(start) = run.next_start().await {
            starts.push(start);
        }
        assert_eq!(starts.len(), 10);
        assert_eq!(starts[9] - starts[0], Duration::from_millis(90));
    }

    #[tokio::test]
    async fn a_closed_loop_ends_when_its_orders_never_do() {
        let pace = Pace::Closed { concurrency: 1 };
        let run = LoadRun::new(a_plan(pace, Extent::Orders(9)), mpsc::unbounded_channel().0);
        assert!(run.next_start().await.is_some());
        assert_eq!(run.next_start().await, None);
    }

    #[tokio::test]
    async fn a_closed_loop_waits_for_an_order_to_end() {
        let run = LoadRun::new(
            a_plan(Pace::Closed { concurrency: 2 }, Extent::Orders(9)),
            mpsc::unbounded_channel().0,
        );
        assert!(run.next_start().await.is_some());
        assert!(run.next_start().await.is_some());
        let third = run.next_start();
        tokio::pin!(third);
        assert!(futures::poll!(&mut third).is_pending());
        run.free(1);
        assert!(third.await.is_some());
    }
}
