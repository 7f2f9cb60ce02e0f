//! When new orders are refused.

use std::time::Duration;

use backends::testing::eventually;
use order_svc::{domain::Method, pressure::Pressure};
use tokio::task::JoinSet;
use tokio_util::sync::CancellationToken;

use super::{a_shop, store::insert_orders};

#[tokio::test]
async fn orders_are_refused_while_too_many_have_no_answer() {
    let mut shop = a_shop().await;
    shop.place(Method::Wallet).await;
    insert_orders(&mut shop, 999).await;
    let pool = chassis::database::connect_pool(&shop.database.url(), 2).await.unwrap();
    let (pressure, over) = (Pressure::default(), CancellationToken::new());
    let running = pressure.clone().run(pool, Duration::ZERO, over.clone());
    let mut measuring = JoinSet::new();
    measuring.spawn(running);
    let refuses = async |wanted: bool| {
        eventually("orders are refused, or not", Duration::from_secs(20), async || {
            let refused = pressure.admit().is_err();
            if refused == wanted { Ok(()) } else { Err(refused) }
        })
        .await;
    };

    refuses(false).await;
    insert_orders(&mut shop, 1).await;
    refuses(true).await;
    let problem = pressure.admit().unwrap_err();
    assert_eq!((problem.status().as_u16(), problem.code().as_str()), (503, "overloaded"));
    assert!(!problem.headers().is_empty(), "it says when to come back");

    let answer = "update orders set status = 'payment_pending'";
    sqlx::raw_sql(answer).execute(shop.db().await).await.unwrap();
    refuses(false).await;
    over.cancel();
    measuring.join_next().await.unwrap().unwrap().unwrap();
}
