//! The plans of polls and scans do not depend on statistics, which an outbox never has right.

use outbox_relay::{SETTINGS, statements};
use sqlx::{AssertSqlSafe, PgConnection};

use crate::stage::{Stage, number, run, small_leaves};

/// The plans of poll, scan.ahead and scan.window.
async fn plans(session: &mut PgConnection, low: i64, high: i64) -> [String; 3] {
    let mut plans = [const { String::new() }; 3];
    let values = [
        "'500:510:501,505'",
        "'500:510:501,505', '600:600:', 0",
        "0, 20000, '500:510:', '600:600:'",
    ];
    let types = ["text", "text, text, bigint", "bigint, bigint, text, text"];
    for (index, text) in statements(low, high).iter().enumerate() {
        run(session, &format!("prepare p ({}) as {text}", types[index])).await;
        let explain = format!("explain (costs off) execute p ({})", values[index]);
        let lines: Vec<String> =
            sqlx::query_scalar(AssertSqlSafe(explain)).fetch_all(&mut *session).await.unwrap();
        plans[index] = lines.join("\n");
        run(session, "deallocate p").await;
    }
    plans
}

fn check([poll, ahead, window]: &[String; 3], when: &str) {
    for (name, plan) in [("poll", poll), ("scan.ahead", ahead)] {
        assert_eq!(plan.matches("_xid_idx on outbox_").count(), 2, "{name}, {when}:\n{plan}");
        assert_eq!(plan.matches("Index Cond: (xid ").count(), 2, "{name}, {when}:\n{plan}");
    }
    assert_eq!(window.matches("_pkey on outbox_").count(), 1, "window, {when}:\n{window}");
    for plan in [poll, ahead, window] {
        assert!(!plan.contains("Seq Scan on outbox_0"), "{when}:\n{plan}");
        assert!(!plan.contains("Bitmap"), "{when}:\n{plan}");
    }
    assert!(!poll.contains("_pkey"), "{when}:\n{poll}");
    assert!(!ahead.contains("_pkey"), "{when}:\n{ahead}");
    assert!(!window.contains("Sort"), "{when}:\n{window}");
}

#[tokio::test(flavor = "multi_thread")]
async fn plans_are_index_scans_of_one_leaf_whatever_statistics_say() {
    let stage = Stage::new().await;
    let mut session = stage.session().await;
    small_leaves(&mut session).await;
    for (name, value) in SETTINGS {
        run(&mut session, &format!("set {name} = '{value}'")).await;
    }
    let insert = "insert into outbox (event_id, key, version, type, payload)
         select gen_random_uuid(), 'key', n, 1, 'news' from generate_series(1, 90) as n";

    check(&plans(&mut session, 1, 100).await, "empty and never analysed");
    run(&mut session, "analyze outbox").await;
    check(&plans(&mut session, 1, 100).await, "analysed when empty");
    run(&mut session, insert).await;
    check(&plans(&mut session, 1, 100).await, "filled since it was analysed");
    run(&mut session, "analyze outbox").await;
    check(&plans(&mut session, 1, 100).await, "analysed when one transaction had filled it");
    for (pages, rows) in [(1, 1), (1, 90_000_000), (900_000, 1)] {
        run(
            &mut session,
            &format!(
                "update pg_class set relpages = {pages}, reltuples = {rows}
                 where relname like 'outbox_0%'"
            ),
        )
        .await;
        check(&plans(&mut session, 1, 100).await, &format!("{pages} pages, {rows} rows"));
    }
    assert_eq!(number(&mut session, "select count(*) from outbox").await, 90);
}
