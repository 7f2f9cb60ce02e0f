//! A payment or an account whose row another session holds: others are charged meanwhile.

use mailbox::testing::Person;

use super::{a_shop, an_order, by_card, by_wallet, usd};

#[tokio::test]
async fn an_account_that_somebody_holds_delays_its_customer_alone() {
    let mut shop = a_shop().await;
    for customer in 0..20 {
        shop = shop.with_account(&format!("c-{customer}"), "50.00").await;
    }
    let select = "select * from accounts where customer_id = 'c-7'";
    let person = Person::holds(&shop.database.url(), select).await;

    let reserved: Vec<_> = (0..60)
        .map(|n| shop.reserved(an_order(), by_wallet(&format!("c-{}", n % 20), "10.00")))
        .collect();
    shop.hear(reserved).await;

    for customer in (0..20).filter(|customer| *customer != 7) {
        let balance = shop.balance(&format!("c-{customer}")).await;
        assert_eq!(balance, (usd("20.00"), usd("0")), "c-{customer}");
    }
    assert_eq!(shop.balance("c-7").await, (usd("50.00"), usd("0")));
    person.ends().await;
    shop.mailbox.until_nothing_waits().await;
    assert_eq!(shop.balance("c-7").await, (usd("20.00"), usd("0")));
}

#[tokio::test]
async fn a_payment_that_somebody_holds_delays_its_order_alone() {
    let mut shop = a_shop().await;
    let orders: Vec<_> = (0..61).map(|_| an_order()).collect();
    let reserved: Vec<_> = orders
        .iter()
        .map(|order| shop.reserved(*order, by_card(*order, "tok_visa", "20.00")))
        .collect();
    shop.hear(reserved).await;
    let select = format!("select * from payments where order_id = '{}'", orders[30]);
    let person = Person::holds(&shop.database.url(), &select).await;

    let cancelled: Vec<_> = orders.iter().map(|order| shop.cancelled(*order)).collect();
    shop.hear(cancelled).await;

    assert_eq!(shop.count("inbox").await, 61 + 60, "all but one are heard");
    person.ends().await;
    shop.mailbox.until_nothing_waits().await;
    assert_eq!(shop.count("inbox").await, 61 + 61);
}
