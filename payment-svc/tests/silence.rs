//! What is logged of a provider that does not answer: that it does not, once.

use std::{
    fmt::{Debug, Write},
    sync::{Arc, Mutex},
    time::Duration,
};

use backends::testing::eventually;
use payment_svc::domain::{Event, Status};
use proto::OrderId;
use tracing::{
    Metadata, Subscriber,
    field::{Field, Visit},
    span::{Attributes, Id, Record},
};

use super::{
    a_shop, an_order,
    charges::{RunningService, SOON, becomes, running},
    stub::Stub,
};

/// The lines that `charges.rs` logs in this process. Tests run beside each other in it, so a test
/// looks for its own order.
#[derive(Clone, Default)]
struct Lines(Arc<Mutex<Vec<String>>>);

impl Lines {
    /// How many lines about an order say `what`.
    fn count(&self, order: OrderId, what: &str) -> usize {
        let lines = self.0.lock().unwrap();
        let order = order.to_string();
        lines.iter().filter(|line| line.contains(&order) && line.contains(what)).count()
    }
}

impl Subscriber for Lines {
    fn enabled(&self, metadata: &Metadata<'_>) -> bool {
        metadata.is_event() && metadata.target() == "payment_svc::charges"
    }

    fn new_span(&self, _: &Attributes<'_>) -> Id {
        Id::from_u64(1)
    }

    fn record(&self, _: &Id, _: &Record<'_>) {}

    fn record_follows_from(&self, _: &Id, _: &Id) {}

    fn event(&self, event: &tracing::Event<'_>) {
        let mut line = Line::default();
        event.record(&mut line);
        self.0.lock().unwrap().push(line.0);
    }

    fn enter(&self, _: &Id) {}

    fn exit(&self, _: &Id) {}
}

#[derive(Default)]
struct Line(String);

impl Visit for Line {
    fn record_debug(&mut self, field: &Field, value: &dyn Debug) {
        write!(self.0, "{field}={value:?} ").unwrap();
    }
}

/// How often the provider was asked about the refund of an order.
fn asked(service: &RunningService, order: OrderId) -> usize {
    let refund = format!("{order}.refund.1");
    service.stub.book().asked.iter().filter(|asked| asked.ends_with(&refund)).count()
}

/// Charges that are answered say nothing about refunds: were they taken for a sign that the
/// provider answers again, each lost answer to the refund would be news.
#[tokio::test]
async fn one_refund_that_is_never_answered_is_logged_once_beside_charges_that_are() {
    let lines = Lines::default();
    tracing::subscriber::set_global_default(lines.clone()).unwrap();
    let mut shop = a_shop().await;
    let service = running(&shop, Stub::default(), Duration::from_secs(30)).await;
    let (stuck, other) = (an_order(), an_order());
    service.reserved(stuck, "tok_visa").await;
    becomes(&mut shop, stuck, Status::Captured).await;
    service.stub.book().is_away_for_refunds = true;
    service.hear(stuck, Event::OrderCancelled { revision: 1 }).await;
    eventually("the lost answer is logged", SOON, || async {
        if lines.count(stuck, "no answer yet") > 0 { Ok(()) } else { Err("nothing logged") }
    })
    .await;

    service.reserved(other, "tok_visa").await;
    becomes(&mut shop, other, Status::Captured).await;

    // What is asked next has lost its answer, and was logged if ever, before it is asked once more.
    let before = asked(&service, stuck);
    eventually("the refund is asked for again", SOON, || async {
        let now = asked(&service, stuck);
        if now >= before + 2 { Ok(()) } else { Err(now) }
    })
    .await;
    assert_eq!(lines.count(stuck, "no answer yet"), 1);
}
