//! An order whose row another session holds: other orders go on meanwhile.

use mailbox::testing::Person;
use order_svc::domain::Method;

use super::a_shop;

#[tokio::test]
async fn an_order_that_somebody_holds_delays_itself_alone() {
    let mut shop = a_shop().await;
    let mut orders = Vec::new();
    for _ in 0..61 {
        orders.push(shop.place(Method::Wallet).await);
    }
    let select = format!("select * from orders where order_id = '{}'", orders[30]);
    let person = Person::holds(&shop.database.url(), &select).await;

    let reserved: Vec<_> = orders.iter().map(|order| shop.reserved(*order)).collect();
    assert_eq!(shop.mailbox.hear(reserved).await, 0);
    let captured: Vec<_> = orders.iter().map(|order| shop.captured(*order)).collect();
    assert_eq!(shop.mailbox.hear(captured).await, 0);
    let another = shop.place(Method::Wallet).await;

    for order in orders.iter().filter(|order| **order != orders[30]) {
        assert_eq!(shop.status(*order).await, "confirmed");
    }
    assert_eq!(shop.status(orders[30]).await, "pending");
    assert_eq!(shop.status(another).await, "pending", "orders are still taken");
    person.ends().await;
    shop.mailbox.until_nothing_waits().await;
    assert_eq!(shop.status(orders[30]).await, "confirmed");
}
