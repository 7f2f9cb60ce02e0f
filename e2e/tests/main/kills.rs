//! kill -9 of every process under load: no acknowledged order is lost, and every promise is kept.

use std::time::Duration;

use e2e::Shop;
use serde_json::json;
use shop::load::{self, Report};

/// Every process of a stack.
const PROCESSES: [&str; 9] = [
    "gateway",
    "order-svc",
    "payment-svc",
    "inventory-svc",
    "notify-svc",
    "outbox-relay",
    "simulator",
    "kafka",
    "postgres",
];

#[tokio::test(flavor = "multi_thread")]
async fn whatever_is_killed_no_order_is_lost() {
    let shop = Shop::open(&[("SHOP_PAYMENT_DEADLINE", "10s"), ("SHOP_DEADLINE_SWEEP", "250ms")]).await.unwrap();
    let unpaid = shop.place(1, 1, json!({"method": "deferred"})).await.unwrap();
    for process in PROCESSES {
        let loading = load::load(some_load(), shop.driven().home());
        let killing = async {
            tokio::time::sleep(Duration::from_secs(2)).await;
            let before = shop.driven().kill9(process).unwrap();
            shop.driven().back(process, before, Duration::from_secs(60)).await.unwrap();
        };
        let (report, ()) = tokio::join!(loading, killing);
        let report = report.unwrap();
        assert_eq!(report.unfinished, 0, "{process}: {report:?}");
        assert!(ended(&report) > 0, "{process}: nothing was ordered: {report:?}");
    }
    let cancelled = shop.expect(&unpaid, "cancelled").await.unwrap();
    assert_eq!(cancelled["cancellation"]["reason"], "payment_timeout");
    shop.close().await.unwrap();
}

fn some_load() -> load::Args {
    load::Args {
        rate: Some(60),
        duration: Some(Duration::from_secs(6)),
        grace: Duration::from_secs(90),
        mix: "happy=80,declined=8,out_of_stock=4,cancelled=8".parse().unwrap(),
        ..load::Args::default()
    }
}

fn ended(report: &Report) -> u64 {
    report.confirmed + report.cancelled
}
