//! What the constraints refuse, and what the statements find.

use mailbox::testing::Fixture;
use notify_svc::{domain::Channel::Email, store};
use sqlx::Connection as _;
use time::OffsetDateTime;

use super::{Shop, a_shop, an_order};

const OVER: &str = "update deliveries set leased_until = clock_timestamp()";

/// The name of the constraint that a statement breaks.
async fn broken(shop: &mut Shop, statement: &'static str) -> String {
    let error = sqlx::raw_sql(statement).execute(shop.mailbox.db().await).await.unwrap_err();
    error.as_database_error().unwrap().constraint().unwrap().to_owned()
}

#[tokio::test]
async fn a_notification_is_in_a_state_we_know() {
    let mut shop = a_shop().await.with_contact().await;
    let confirmed = shop.confirmed(an_order());
    shop.hear([confirmed]).await;

    for (statement, constraint) in [
        ("update notifications set status = 'lost'", "notifications_status_known"),
        ("update notifications set channel = 'pigeon'", "notifications_channel_known"),
        ("update notifications set status = 'sent'", "notifications_sent_at"),
        ("update notifications set status = 'failed'", "notifications_failure"),
        ("update notifications set recipient = null", "notifications_recipient"),
        ("update notifications set customer_id = null", "notifications_customer"),
        ("insert into notices select * from notices", "notices_pkey"),
    ] {
        assert_eq!(broken(&mut shop, statement).await, constraint);
    }
}

#[tokio::test]
async fn a_delivery_is_taken_over_only_when_its_lease_is_over_and_then_leased_again() {
    let mut shop = a_shop().await.with_contact().await;
    let order = an_order();
    let messages = [shop.confirmed(order), shop.cancelled(order)];
    shop.hear(messages).await;
    let born = shop.handed();

    let db = shop.mailbox.db().await;
    assert_eq!(store::deliveries::take_over(db, Email, 10).await.unwrap(), []);
    sqlx::raw_sql(OVER).execute(&mut *db).await.unwrap();
    let taken = store::deliveries::take_over(db, Email, 10).await.unwrap();
    assert_eq!(store::deliveries::take_over(db, Email, 10).await.unwrap(), []);

    let ids = |jobs: &[notify_svc::world::Job]| -> Vec<_> {
        jobs.iter().map(|job| (job.id, job.template, job.fields.clone(), job.attempts)).collect()
    };
    assert_eq!(ids(&taken), ids(&born));
}

/// While a mail server is away, what is to be sent piles up.
#[tokio::test]
async fn what_is_taken_over_costs_no_look_at_all_that_waits() {
    let mut shop = a_shop().await;
    let db = shop.mailbox.db().await;
    let many = "insert into deliveries (notification_id, channel, leased_until, attempts)
                select gen_random_uuid(), 'email', clock_timestamp() - n * interval '1 second', 1
                from generate_series(1, 20000) as n";
    sqlx::raw_sql(many).execute(&mut *db).await.unwrap();
    let mut tx = db.begin().await.unwrap();

    store::deliveries::take_over(&mut tx, Email, 32).await.unwrap();

    let read = "select seq_tup_read + idx_tup_fetch
                from pg_stat_xact_user_tables
                where relname = 'deliveries'";
    let read: i64 = sqlx::query_scalar(read).fetch_one(&mut *tx).await.unwrap();
    assert!((32..1_000).contains(&read), "{read} rows were read");
}

fn an_hour_ago() -> OffsetDateTime {
    chassis::clock::now() - time::Duration::HOUR
}

/// The clocks of two machines may differ by more than a lease, so only the database's counts.
#[tokio::test]
async fn a_lease_is_counted_by_the_databases_clock() {
    let mut shop = a_shop().await.with_contact().await;
    // This machine's clock is an hour behind.
    let reactor = std::sync::Arc::clone(&shop.reactor);
    shop.mailbox = Fixture::new(&shop.database.url(), reactor, an_hour_ago);
    let confirmed = shop.confirmed(an_order());
    shop.hear([confirmed]).await;

    let left =
        "select extract(epoch from leased_until - clock_timestamp())::float8 from deliveries";
    let left: f64 = sqlx::query_scalar(left).fetch_one(shop.mailbox.db().await).await.unwrap();

    assert!((0.0..=30.0).contains(&left), "{left} s");
}

#[tokio::test]
async fn a_delivery_is_begun_by_one_of_those_who_have_it() {
    let mut shop = a_shop().await.with_contact().await;
    let confirmed = shop.confirmed(an_order());
    shop.hear([confirmed]).await;
    let born = shop.handed();
    let db = shop.mailbox.db().await;
    sqlx::raw_sql(OVER).execute(&mut *db).await.unwrap();
    let taken = store::deliveries::take_over(db, Email, 10).await.unwrap();

    assert_eq!(store::deliveries::begin(db, &taken).await.unwrap(), [born[0].id.uuid()]);
    assert!(
        store::deliveries::begin(db, &born).await.unwrap().is_empty(),
        "somebody else has begun it"
    );
    sqlx::raw_sql(OVER).execute(&mut *db).await.unwrap();
    assert_eq!(store::deliveries::take_over(db, Email, 10).await.unwrap()[0].attempts, 1);
}

#[tokio::test]
async fn an_order_leads_to_its_notifications() {
    let mut shop = a_shop().await.with_contact().await;
    let order = an_order();
    let messages = [shop.confirmed(order), shop.cancelled(order), shop.confirmed(an_order())];
    shop.hear(messages).await;

    let db = shop.mailbox.db().await;
    let found = store::notifications::of_order(db, (order, None), None, 10).await.unwrap();
    let templates: Vec<_> = found.iter().map(|kept| kept.template.as_deref().unwrap()).collect();
    assert_eq!(templates, ["order_confirmation", "order_cancelled"]);
    assert!(
        store::notifications::of_order(db, (an_order(), None), None, 10).await.unwrap().is_empty()
    );
}
