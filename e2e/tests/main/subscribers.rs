//! The programs of docs/subscribing.md: killed, told everything twice, and right all the same.

use std::{
    path::{Path, PathBuf},
    process::Command,
};

use backends::testing::eventually;
use e2e::{Customer, PlacedOrder, Shop, WITHIN, in_the_shop, subscriber};
use proto::topic;
use rdkafka::{
    ClientConfig, Offset, TopicPartitionList,
    consumer::{BaseConsumer, Consumer},
};
use serde_json::json;
use sqlx::{Connection, PgConnection};

#[test]
fn the_subscriber_in_rust_counts_each_order_once() {
    in_the_shop(async |shop| {
        let stack = shop.stack();
        let mut db = PgConnection::connect(&stack.database_as_superuser("postgres")).await.unwrap();
        sqlx::raw_sql("create database loyalty").execute(&mut db).await.unwrap();
        let url = stack.database_as_superuser("loyalty");
        let run = || {
            let mut run = Command::new(subscriber());
            run.env("DATABASE_URL", &url);
            run
        };
        let count = async |customer: &Customer| {
            let mut db = PgConnection::connect(&url).await.ok()?;
            let count = "select orders from customers where id = $1";
            sqlx::query_scalar(count).bind(&customer.id).fetch_optional(&mut db).await.ok()?
        };
        counts_each_order_once(shop, "loyalty", run, count).await;
    });
}

#[test]
fn the_subscriber_in_python_counts_each_order_once() {
    in_the_shop(async |shop| {
        let python = python(&root().join("e2e/examples/requirements.txt"));
        let folder = shop.home().path().join("python");
        std::fs::create_dir(&folder).unwrap();
        let made = Command::new(&python)
            .args(["-m", "grpc_tools.protoc", "--python_out=.", "-I"])
            .arg(root().join("proto"))
            .args(["shop/orders/v1/events.proto", "shop/money/v1/money.proto"])
            // protoc takes what stands before a colon for options, so the folder has no name here.
            .current_dir(&folder)
            .status();
        assert!(made.unwrap().success());
        // Beside what was made, where Python finds it.
        let program = folder.join("subscriber.py");
        std::fs::copy(root().join("e2e/examples/subscriber.py"), &program).unwrap();
        let database = folder.join("orders.db");
        let run = || {
            let mut run = Command::new(&python);
            run.arg(&program).env("DATABASE", &database);
            run
        };
        let count = async |customer: &Customer| {
            let read = "import sqlite3, sys; db = sqlite3.connect(sys.argv[1]); \
                print(*db.execute('select orders from customers where id = ?', sys.argv[2:])
                    .fetchone())";
            let mut reader = Command::new(&python);
            reader.args(["-c", read]).arg(&database).arg(&customer.id);
            String::from_utf8(reader.output().unwrap().stdout).unwrap().trim().parse().ok()
        };
        counts_each_order_once(shop, "loyalty-in-python", run, count).await;
    });
}

/// Three orders: one before the program is killed, one while it is away, one that it hears when it
/// is back. Then all three are published once more.
async fn counts_each_order_once(
    shop: &Shop,
    group: &str,
    run: impl Fn() -> Command,
    count: impl AsyncFn(&Customer) -> Option<i64>,
) {
    let customer = shop.a_stranger();
    let mug = shop.lists("5.00", 10).await;
    let start = || {
        let mut run = run();
        run.env("KAFKA_BROKERS", shop.stack().kafka());
        tokio::process::Command::from(run).kill_on_drop(true).spawn().unwrap()
    };
    let buys = async || {
        let order = shop.place(customer.wants(1, &mug).by_card("tok_visa")).await;
        shop.expect(&order, "confirmed").await;
        order
    };
    let counted = async |orders: i64| {
        let what = format!("{orders} orders counted by {group}");
        eventually(&what, WITHIN, async || {
            let counted = count(&customer).await;
            if counted == Some(orders) { Ok(()) } else { Err(format!("{counted:?}")) }
        })
        .await;
    };

    let mut program = start();
    let first = buys().await;
    counted(1).await;
    program.kill().await.unwrap();
    let second = buys().await;
    let mut program = start();
    let third = buys().await;
    counted(3).await;

    for order in [first, second, third] {
        replays(shop, &order).await;
    }
    has_read_everything(&shop.stack().kafka(), group).await;
    assert_eq!(count(&customer).await, Some(3));
    assert_eq!(program.try_wait().unwrap(), None, "it still runs");
}

/// Publishes all events of an order once more.
async fn replays(shop: &Shop, order: &PlacedOrder) {
    let ask = |is_dry_run: bool| {
        json!({"service": "order-svc", "topic": topic::ORDERS, "key": order.id,
            "dry_run": is_dry_run, "reason": "a subscriber's test"})
    };
    // An event can be replayed once a checkpoint of the relay covers it.
    eventually("two events to replay", WITHIN, async || {
        let counted = shop.post("/v1/replays", &ask(true)).await.with(200);
        if counted["events"] == 2 { Ok(()) } else { Err(counted) }
    })
    .await;
    let replay = shop.post("/v1/replays", &ask(false)).await.with(202);
    let path = format!("/v1/replays/{}", replay["id"].as_str().unwrap());
    let ended = shop.until(&path, "ended", |replay| replay["state"] == "ended").await;
    assert_eq!(ended["done"], 2, "{ended}");
}

/// Waits until the group's offsets are where the topic ends now.
async fn has_read_everything(kafka: &str, group: &str) {
    let mut settings = ClientConfig::new();
    settings.set("bootstrap.servers", kafka).set("group.id", group);
    let client: BaseConsumer = settings.create().unwrap();
    let within = WITHIN;
    let known = client.fetch_metadata(Some(topic::ORDERS), within).unwrap();
    let mut ends = TopicPartitionList::new();
    for partition in known.topics()[0].partitions() {
        let (_, end) = client.fetch_watermarks(topic::ORDERS, partition.id(), within).unwrap();
        ends.add_partition_offset(topic::ORDERS, partition.id(), Offset::Offset(end)).unwrap();
    }
    eventually("everything read", WITHIN, async || {
        let read = client.committed_offsets(ends.clone(), within).unwrap();
        let unread: Vec<_> = ends
            .elements()
            .into_iter()
            .zip(read.elements())
            .map(|(end, read)| (end.offset().to_raw(), read.offset().to_raw()))
            .filter(|(end, read)| *end > Some(0) && end > read)
            .collect();
        if unread.is_empty() { Ok(()) } else { Err(format!("{unread:?}")) }
    })
    .await;
}

/// A Python that has these packages.
fn python(requirements: &Path) -> PathBuf {
    let made = Command::new(root().join("deploy/python")).arg(requirements).output().unwrap();
    assert!(made.status.success(), "{}", String::from_utf8_lossy(&made.stderr));
    String::from_utf8(made.stdout).unwrap().trim().into()
}

/// The folder of the workspace.
fn root() -> PathBuf {
    Path::new(env!("CARGO_MANIFEST_DIR")).parent().unwrap().to_owned()
}
