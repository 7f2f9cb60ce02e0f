//! From a queued notification to a mail in the file and its record.

use std::{path::PathBuf, time::Duration};

use backends::testing::eventually;
use mailbox::Mailbox;
use notify_svc::{deliveries, email_file::EmailFile, reactions::Notify, world::Job};
use sqlx::PgPool;
use tokio::{sync::mpsc, task::JoinSet};
use tokio_util::sync::CancellationToken;

use super::{Shop, a_shop, an_order};

const SOON: Duration = Duration::from_secs(20);

fn a_file() -> PathBuf {
    std::env::temp_dir().join(format!("notify-{}.mbox", mailbox::testing::new_id()))
}

fn deliver(
    jobs: mpsc::Receiver<Vec<Job>>,
    path: PathBuf,
    mailbox: Mailbox<Notify>,
    shop: &Shop,
    ended: CancellationToken,
) -> impl Future<Output = anyhow::Result<()>> + use<> {
    let pool = PgPool::connect_lazy(&shop.database.url()).unwrap();
    deliveries::deliver(jobs, EmailFile::new(path), mailbox, pool, ended)
}

async fn all_sent(shop: &mut Shop, wanted: usize) {
    let shop = tokio::sync::Mutex::new(shop);
    eventually("all are recorded as sent", SOON, async || {
        let said = shop.lock().await.said_of_orders().await.len();
        if said == wanted { Ok(()) } else { Err(format!("{said} said")) }
    })
    .await;
}

#[tokio::test]
async fn mails_are_written_once_each_and_recorded() {
    let mut shop = a_shop().await.with_contact().await;
    let (mailbox, _running) = shop.running().await;
    let path = a_file();
    let (_closed, replacement) = mpsc::channel(1);
    let jobs = std::mem::replace(&mut shop.jobs, replacement);
    let ended = CancellationToken::new();
    let mut working = JoinSet::new();
    working.spawn(deliver(jobs, path.clone(), mailbox, &shop, ended.clone()));

    let orders = [an_order(), an_order(), an_order()];
    for order in orders {
        let confirmed = shop.confirmed(order);
        shop.hear([confirmed]).await;
    }
    all_sent(&mut shop, orders.len()).await;

    let mails = std::fs::read_to_string(&path).unwrap();
    for order in orders {
        let subject = format!("Subject: Your order {order} is confirmed\n");
        assert_eq!(mails.matches(&subject).count(), 1, "{mails}");
    }
    assert_eq!(mails.matches("\nTo: jane@shop.example\n").count(), orders.len());
    assert_eq!(shop.count("deliveries").await, 0);
    ended.cancel();
    working.join_next().await.unwrap().unwrap().unwrap();
    std::fs::remove_file(path).unwrap();
}

#[tokio::test]
async fn what_a_dead_process_had_in_hand_is_delivered_when_its_lease_is_over() {
    let mut shop = a_shop().await.with_contact().await;
    let (mailbox, _running) = shop.running().await;
    let order = an_order();
    let confirmed = shop.confirmed(order);
    shop.hear([confirmed]).await;
    drop(shop.handed());
    let path = a_file();
    let (_idle, jobs) = mpsc::channel(1);
    let ended = CancellationToken::new();
    let mut working = JoinSet::new();
    working.spawn(deliver(jobs, path.clone(), mailbox, &shop, ended.clone()));

    let over = "update deliveries set leased_until = clock_timestamp()";
    sqlx::raw_sql(over).execute(shop.mailbox.db().await).await.unwrap();
    all_sent(&mut shop, 1).await;

    let mails = std::fs::read_to_string(&path).unwrap();
    assert_eq!(mails.matches(&format!("Your order {order}")).count(), 1, "{mails}");
    ended.cancel();
    working.join_next().await.unwrap().unwrap().unwrap();
    std::fs::remove_file(path).unwrap();
}

#[tokio::test]
async fn a_torn_mail_does_not_swallow_the_next_one() {
    let path = a_file();
    std::fs::write(&path, "From shop@shop.invalid Mon Nov  2 09:05:00 2026\nTo: ja").unwrap();
    let mut mbox = EmailFile::new(path.clone());

    mbox.append(b"From next\n\n").await.unwrap();
    mbox.append(b"From last\n\n").await.unwrap();

    let mails = std::fs::read_to_string(&path).unwrap();
    assert!(mails.ends_with("To: ja\n\nFrom next\n\nFrom last\n\n"), "{mails}");
    std::fs::remove_file(path).unwrap();
}

#[tokio::test]
async fn what_cannot_be_written_stays_for_the_sweep() {
    let mut shop = a_shop().await.with_contact().await;
    let (mailbox, _running) = shop.running().await;
    let confirmed = shop.confirmed(an_order());
    shop.hear([confirmed]).await;
    let left = shop.handed();
    let (hand, jobs) = mpsc::channel(2);
    hand.send(left).await.unwrap();
    drop(hand);

    let nowhere = PathBuf::from("/nowhere/at/all.mbox");
    deliver(jobs, nowhere, mailbox, &shop, CancellationToken::new()).await.unwrap();

    assert_eq!(shop.count("deliveries").await, 1);
    assert!(shop.said_of_orders().await.is_empty());
}

/// A delivery that waits in a slow process may have been made by another process meanwhile.
#[tokio::test]
async fn a_mail_that_somebody_else_has_taken_over_is_not_written_again() {
    let mut shop = a_shop().await.with_contact().await;
    let (mailbox, _running) = shop.running().await;
    let confirmed = shop.confirmed(an_order());
    shop.hear([confirmed]).await;
    let stale = shop.handed();
    let over = "update deliveries set leased_until = clock_timestamp()";
    sqlx::raw_sql(over).execute(shop.mailbox.db().await).await.unwrap();
    let path = a_file();
    let (_idle, jobs) = mpsc::channel(1);
    let ended = CancellationToken::new();
    let mut working = JoinSet::new();
    working.spawn(deliver(jobs, path.clone(), mailbox.clone(), &shop, ended.clone()));
    all_sent(&mut shop, 1).await;
    ended.cancel();
    working.join_next().await.unwrap().unwrap().unwrap();

    let (hand, jobs) = mpsc::channel(1);
    hand.send(stale).await.unwrap();
    drop(hand);
    deliver(jobs, path.clone(), mailbox, &shop, CancellationToken::new()).await.unwrap();

    let mails = std::fs::read_to_string(&path).unwrap();
    assert_eq!(mails.matches("Message-ID:").count(), 1, "{mails}");
    std::fs::remove_file(path).unwrap();
}
