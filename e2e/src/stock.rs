//! The catalogue and the stock, as tests fill them and look at them.

use backends::testing::eventually;
use serde_json::json;
use sqlx::{Connection as _, PgConnection};

use crate::{Product, Shelf, Shop, WITHIN};

impl Shop {
    /// Lists a new product at this price (in USD), with this many pieces, and waits until order-svc
    /// has heard of it: it looks again for half a second only before it refuses an order, and the
    /// events need longer than that where many stacks share two cores.
    pub async fn lists(&self, price: &str, pieces: i64) -> Product {
        let product = self.lists_unheard(price, pieces).await;
        eventually(&format!("order-svc has heard of {}", product.sku), WITHIN, async || match self
            .known_to_order_svc(&product)
            .await
        {
            Ok(Some(available)) if available >= pieces => Ok(()),
            known => Err(format!("{known:?}")),
        })
        .await;
        product
    }

    /// Lists a new product as [`Shop::lists`] does, and waits for nobody.
    pub async fn lists_unheard(&self, price: &str, pieces: i64) -> Product {
        let sku = self.a_name("mug");
        let body = json!({ "name": "Blue mug", "price": { "amount": price, "currency": "USD" } });
        self.put(&format!("/v1/products/{sku}"), &body).await.with(201);
        if pieces > 0 {
            let body = json!({ "warehouse": "main", "delta": pieces, "reason": "received" });
            self.post(&format!("/v1/products/{sku}/stock"), &body).await.with(200);
        }
        Product { sku }
    }

    /// How many pieces order-svc believes to be available, if it knows the product.
    async fn known_to_order_svc(&self, product: &Product) -> sqlx::Result<Option<i64>> {
        let url = self.stack().database_as_superuser("orders");
        let mut orders = PgConnection::connect(&url).await?;
        sqlx::query_scalar("select available from products_seen where sku = $1")
            .bind(&product.sku)
            .fetch_optional(&mut orders)
            .await
    }

    /// The product's stock.
    pub async fn shelf(&self, product: &Product) -> Shelf {
        let stock = self.get(&format!("/v1/products/{}/stock", product.sku)).await.with(200);
        Shelf::of(&stock)
    }

    /// Waits until the product's stock is as given.
    pub async fn expect_shelf(&self, product: &Product, on_hand: i64, reserved: i64, sold: i64) {
        let wanted = Shelf { on_hand, reserved, sold };
        let path = format!("/v1/products/{}/stock", product.sku);
        self.until(&path, &format!("{wanted:?}"), |stock| Shelf::of(stock) == wanted).await;
    }
}
