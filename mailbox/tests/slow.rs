//! A batch that takes too long is halved until it does not, and an item that takes too long alone
//! waits alone. Also: how often one message may fail before it is parked.

use std::time::Duration;

use mailbox::{Message, testing::Fixture};

use crate::toy::{Toy, hear, toy, words};

/// A batch with one message for each of `count` keys.
fn a_batch(count: i64) -> Vec<Message> {
    (0..count).map(|number| hear(&format!("k{number}"), 1, "on")).collect()
}

async fn run(toy: &mut Fixture<Toy>, sql: &'static str) {
    sqlx::raw_sql(sql).execute(toy.db().await).await.unwrap();
}

/// How many transactions have announced an event.
async fn transactions(toy: &mut Fixture<Toy>) -> i64 {
    let count = sqlx::query_scalar("select count(distinct xid::text) from outbox");
    count.fetch_one(toy.db().await).await.unwrap()
}

/// The server cancels (57014) the statement that calls `cancel()`, as its time-out does.
const CANCEL: &str = "create function cancel() returns void language plpgsql as
    $$ begin
      perform pg_cancel_backend(pg_backend_pid());
      perform pg_sleep(10);
    end $$;";

#[tokio::test]
async fn a_batch_that_runs_into_the_statement_time_out_is_halved_until_it_fits() {
    let mut toy = toy().await;
    run(&mut toy, CANCEL).await;
    run(
        &mut toy,
        "create function fit() returns trigger language plpgsql as
         $$ begin
           if (select count(*) from written) > 10 then perform cancel(); end if;
           return null;
         end $$;
         create trigger fit after insert on effects referencing new table as written
         for each statement execute function fit()",
    )
    .await;

    assert_eq!(toy.hear(a_batch(40)).await, 0, "nothing is set aside");

    for number in 0..40 {
        assert_eq!(words(&mut toy, &format!("k{number}")).await, ["on"]);
    }
    assert_eq!(transactions(&mut toy).await, 4, "40, 20 and 20, 10 four times");
}

#[tokio::test]
async fn a_message_that_alone_takes_too_long_waits_and_others_go_on() {
    let mut toy = toy().await;
    run(&mut toy, CANCEL).await;
    run(
        &mut toy,
        "create function be_slow() returns trigger language plpgsql as
         $$ begin perform cancel(); return null; end $$;
         create trigger be_slow after insert on effects
         for each row when (new.word = 'slow') execute function be_slow()",
    )
    .await;
    let mut batch = a_batch(9);
    batch.insert(5, hear("slow", 1, "slow"));
    batch.push(hear("slow", 2, "behind"));

    assert_eq!(toy.hear(batch).await, 0, "nothing is set aside");

    for number in 0..9 {
        assert_eq!(words(&mut toy, &format!("k{number}")).await, ["on"]);
    }
    assert!(words(&mut toy, "slow").await.is_empty(), "nothing overtakes it");
    run(&mut toy, "drop trigger be_slow on effects").await;
    toy.until_nothing_waits().await;
    assert_eq!(words(&mut toy, "slow").await, ["slow", "behind"]);
}

/// Each statement ends before its timeout, and both together take longer than a batch may. The test
/// waits for real time: twenty seconds.
#[tokio::test]
async fn a_batch_whose_statements_together_take_too_long_is_halved() {
    let mut toy = toy().await;
    run(
        &mut toy,
        "create function take_time() returns trigger language plpgsql as
         $$ begin
           if (select count(*) from written) > 1 then perform pg_sleep(12); end if;
           return null;
         end $$;
         create trigger take_time after insert on counters referencing new table as written
         for each statement execute function take_time();
         create trigger take_time after insert on effects referencing new table as written
         for each statement execute function take_time()",
    )
    .await;

    let heard = tokio::time::timeout(Duration::from_mins(2), toy.hear(a_batch(2))).await;
    assert_eq!(heard, Ok(0), "nothing is set aside");
    toy.until_nothing_waits().await;

    assert_eq!(words(&mut toy, "k0").await, ["on"]);
    assert_eq!(words(&mut toy, "k1").await, ["on"]);
    assert_eq!(transactions(&mut toy).await, 2, "each by itself");
}

/// Makes the first so many attempts at the word `doomed` fail; a sequence counts them, although
/// they are rolled back.
async fn fail_attempts(toy: &mut Fixture<Toy>, first: &'static str) {
    run(
        toy,
        "create sequence attempts;
         create function fail_first() returns trigger language plpgsql as
         $$ begin
           if nextval('attempts') <= tg_argv[0]::int then
             raise exception 'not yet' using errcode = 'P0001';
           end if;
           return null;
         end $$",
    )
    .await;
    let trigger = format!(
        "create trigger fail_first after insert on effects
         for each row when (new.word = 'doomed') execute function fail_first({first})"
    );
    sqlx::raw_sql(sqlx::AssertSqlSafe(trigger)).execute(toy.db().await).await.unwrap();
}

async fn attempts(toy: &mut Fixture<Toy>) -> i64 {
    let last = sqlx::query_scalar("select last_value from attempts");
    last.fetch_one(toy.db().await).await.unwrap()
}

#[tokio::test]
async fn a_message_that_fails_alone_is_set_aside_after_three_equal_attempts_and_not_before() {
    for (failures, parked, heard) in [("2", 0, &["doomed"][..]), ("1000", 1, &[])] {
        let mut toy = toy().await;
        fail_attempts(&mut toy, failures).await;

        assert_eq!(toy.hear(vec![hear("a", 1, "doomed")]).await, parked, "{failures} failures");

        assert_eq!(attempts(&mut toy).await, 3);
        assert_eq!(words(&mut toy, "a").await, heard);
    }
}

/// Of a batch of many, one item is suspected after five equal failures; halving then finds it.
#[tokio::test]
async fn a_batch_that_fails_is_tried_five_times_before_one_of_it_is_suspected() {
    let mut toy = toy().await;
    fail_attempts(&mut toy, "4").await;
    let mut batch = a_batch(9);
    batch.insert(5, hear("a", 1, "doomed"));

    assert_eq!(toy.hear(batch).await, 0, "nothing is set aside");

    assert_eq!(attempts(&mut toy).await, 5);
    assert_eq!(transactions(&mut toy).await, 1, "it was not halved");
}
