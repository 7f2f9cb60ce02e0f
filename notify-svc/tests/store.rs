//! What the rows themselves refuse, and what the statements find.

use notify_svc::store::look;
use time::Duration;

use super::{Shop, a_shop, an_order};

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
        ("insert into notices select * from notices", "notices_pkey"),
    ] {
        assert_eq!(broken(&mut shop, statement).await, constraint);
    }
}

#[tokio::test]
async fn a_delivery_is_taken_on_only_when_its_lease_is_over_and_then_leased_again() {
    let mut shop = a_shop().await.with_contact().await;
    let order = an_order();
    let messages = [shop.confirmed(order), shop.cancelled(order)];
    shop.hear(messages).await;
    let born = shop.handed();

    let now = chassis::clock::now();
    let db = shop.mailbox.db().await;
    assert_eq!(look::take_on(db, now, 10).await.unwrap(), []);
    let later = now + Duration::minutes(2);
    let taken = look::take_on(db, later, 10).await.unwrap();
    assert_eq!(look::take_on(db, later, 10).await.unwrap(), []);

    let ids = |jobs: &[notify_svc::deliveries::Job]| -> Vec<_> {
        jobs.iter().map(|job| (job.id, job.template, job.fields.clone())).collect()
    };
    assert_eq!(ids(&taken), ids(&born));
    assert!(taken.iter().all(|job| job.attempts == 2));
}

#[tokio::test]
async fn an_order_leads_to_its_notifications() {
    let mut shop = a_shop().await.with_contact().await;
    let order = an_order();
    let messages = [shop.confirmed(order), shop.cancelled(order), shop.confirmed(an_order())];
    shop.hear(messages).await;

    let db = shop.mailbox.db().await;
    let found = look::of_order(db, order).await.unwrap();
    let templates: Vec<_> = found.iter().map(|kept| kept.template.as_str()).collect();
    assert_eq!(templates, ["order_confirmation", "order_cancelled"]);
    assert!(look::of_order(db, an_order()).await.unwrap().is_empty());
}
