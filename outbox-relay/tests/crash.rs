//! A crash of PostgreSQL: transaction ids that were not flushed are handed out again.

use backends::testing;
use sqlx::{Connection, PgConnection};

use crate::stage::{Reader, RunningRelay, SOON, number, options, prepare, run, say, until};

/// The relay has seen ids in a snapshot that the crash hands out again. A cursor that outlived the
/// session would take the next events, which get the same ids, for published.
#[tokio::test(flavor = "multi_thread")]
async fn ids_that_a_crash_hands_out_again_are_not_taken_for_old() {
    let server = testing::private_postgres().await;
    server.create_database("crash").await.unwrap();
    let url = server.url("crash");
    let kafka = testing::kafka().await;
    let [topic] = kafka.topics("crash", [("events", 3)]).await;
    prepare(&url, &topic).await;
    let mut session = PgConnection::connect(&url).await.unwrap();
    // A transaction that is rolled back stays unflushed until the crash.
    run(&mut session, "alter system set wal_writer_delay = '10s'").await;
    run(&mut session, "select pg_reload_conf()").await;
    let relay = RunningRelay::start(&options(&kafka.bootstrap(), &[("crash", &url)], &[]));
    let mut reader = Reader::new(&kafka.bootstrap(), &[&topic], 3);

    let mut handed_out_again = false;
    for version in (1..=9).step_by(2) {
        say(&mut session, "key", version).await;
        reader.read(u64::try_from(version).unwrap()).await;
        let burn = "do $$ begin
              for n in 1..500 loop perform pg_current_xact_id(); rollback; end loop;
            end $$";
        run(&mut session, burn).await;
        let next = "select pg_snapshot_xmax(pg_current_snapshot())::text::bigint";
        let seen = number(&mut session, next).await;
        // Only the relay's memory knows these ids: a poll that sees them writes nothing.
        let now = "select ceil(extract(epoch from clock_timestamp()) * 1000)::bigint";
        let burned_at = number(&mut session, now).await;
        let polled = format!(
            "exists (
               select from pg_stat_activity
               where datname = current_database() and application_name = 'outbox-relay'
                 and query like '-- poll%' and state = 'idle'
                 and extract(epoch from query_start) * 1000 > {burned_at}
             )"
        );
        until(&mut session, "a poll that sees these ids", &polled).await;

        server.kill9().unwrap();
        drop(session);
        server.restart().await.unwrap();

        session = testing::eventually("a session", SOON, || PgConnection::connect(&url)).await;
        handed_out_again |= number(&mut session, next).await < seen;
        say(&mut session, "key", version + 1).await;
        reader.read(u64::try_from(version + 1).unwrap()).await;
        if handed_out_again {
            break;
        }
    }

    assert!(handed_out_again, "no id came twice: this has shown nothing");
    relay.stop().await;
}
