//! A product or a reservation whose row another session holds: others are reserved meanwhile.

use mailbox::testing::Person;

use super::{a_shop, an_order};

#[tokio::test]
async fn a_product_that_somebody_holds_delays_its_orders_alone() {
    let mut shop = a_shop().await;
    for product in 0..20 {
        shop = shop.with_stock(&format!("p-{product}"), 500).await;
    }
    let select = "select * from products where sku = 'p-7'";
    let person = Person::holds(&shop.database.url(), select).await;

    let orders: Vec<_> = (0..60).map(|_| an_order()).collect();
    let placed: Vec<_> = orders
        .iter()
        .enumerate()
        .map(|(n, order)| shop.placed(*order, &[(&format!("p-{}", n % 20), 1)]))
        .collect();
    shop.hear(placed).await;
    // A confirmation names no product, but its reservation does: those for the held product wait,
    // too.
    let confirmed: Vec<_> = orders.iter().map(|order| shop.confirmed(*order)).collect();
    shop.hear(confirmed).await;

    for product in (0..20).filter(|product| *product != 7) {
        assert_eq!(shop.pieces(&format!("p-{product}")).await, (497, 0, 3), "p-{product}");
    }
    assert_eq!(shop.pieces("p-7").await, (500, 0, 0));
    person.ends().await;
    shop.mailbox.until_nothing_waits().await;
    assert_eq!(shop.pieces("p-7").await, (497, 0, 3), "reserved, then confirmed");
}

#[tokio::test]
async fn what_a_reservation_names_is_held_as_well() {
    let mut shop = a_shop().await.with_stock("mug", 500).await.with_stock("pot", 500).await;
    let (of_mugs, of_pots) = (an_order(), an_order());
    let placed = [shop.placed(of_mugs, &[("mug", 2)]), shop.placed(of_pots, &[("pot", 2)])];
    shop.hear(placed).await;
    let select = "select * from products where sku = 'mug'";
    let person = Person::holds(&shop.database.url(), select).await;

    let confirmed = [shop.confirmed(of_mugs), shop.confirmed(of_pots)];
    shop.hear(confirmed).await;

    assert_eq!(shop.pieces("pot").await, (498, 0, 2));
    assert_eq!(shop.pieces("mug").await, (500, 2, 0));
    person.ends().await;
    shop.mailbox.until_nothing_waits().await;
    assert_eq!(shop.pieces("mug").await, (498, 0, 2));
}

#[tokio::test]
async fn a_reservation_that_somebody_holds_delays_its_order_alone() {
    let mut shop = a_shop().await.with_stock("mug", 500).await;
    let orders: Vec<_> = (0..61).map(|_| an_order()).collect();
    let placed: Vec<_> = orders.iter().map(|order| shop.placed(*order, &[("mug", 1)])).collect();
    shop.hear(placed).await;
    let select = format!("select * from reservations where order_id = '{}'", orders[30]);
    let person = Person::holds(&shop.database.url(), &select).await;

    let confirmed: Vec<_> = orders.iter().map(|order| shop.confirmed(*order)).collect();
    shop.hear(confirmed).await;

    assert_eq!(shop.pieces("mug").await, (440, 1, 60));
    person.ends().await;
    shop.mailbox.until_nothing_waits().await;
    assert_eq!(shop.pieces("mug").await, (439, 0, 61));
}
