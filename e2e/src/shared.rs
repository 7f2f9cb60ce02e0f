//! The shop that the tests share, and what must hold whenever it falls quiet.
//!
//! It starts with the first test and ends with the process. Tests visit it side by side; one that
//! breaks it has it for itself. All run on one runtime: a connection of an earlier test stays good.

use std::panic::{AssertUnwindSafe, resume_unwind};
use std::sync::LazyLock;

use futures::FutureExt as _;
use tokio::runtime::Runtime;
use tokio::sync::{OnceCell, RwLock};

use crate::Shop;

static RUNTIME: LazyLock<Runtime> = LazyLock::new(|| Runtime::new().unwrap());
static SHOP: OnceCell<Shop> = OnceCell::const_new();
/// Held by all who visit; for writing by one who wants to be alone. It is fair: that one's turn
/// comes.
static DOOR: RwLock<()> = RwLock::const_new(());

async fn the_shop() -> &'static Shop {
    SHOP.get_or_init(|| Shop::open(&[])).await
}

/// Runs a test in the shop, beside others; the last to leave looks whether all is well, even if it
/// has failed itself. What is not well then is named with the test whose order it is.
pub fn in_the_shop(test: impl AsyncFnOnce(&Shop)) {
    RUNTIME.block_on(async {
        let open = DOOR.read().await;
        let shop = the_shop().await;
        let passed = AssertUnwindSafe(test(shop)).catch_unwind().await;
        drop(open);
        // Whoever leaves while others are there leaves it to them.
        if let Ok(_closed) = DOOR.try_write() {
            shop.is_well().await;
        }
        if let Err(panic) = passed {
            resume_unwind(panic);
        }
    });
}

/// Runs a test that nobody else must be there for.
pub fn alone_in_the_shop(test: impl AsyncFnOnce(&Shop)) {
    RUNTIME.block_on(async {
        let _closed = DOOR.write().await;
        let shop = the_shop().await;
        test(shop).await;
        shop.is_well().await;
    });
}

/// Runs a test in a shop of its own that nobody expects to be well afterwards.
pub fn in_a_shop_to_break(test: impl AsyncFnOnce(&Shop)) {
    RUNTIME.block_on(async {
        let shop = Shop::open(&[]).await;
        test(&shop).await;
        shop.close().await;
    });
}

/// Runs a test in a shop with other settings, which is gone afterwards.
pub fn in_a_shop_of_its_own(settings: &[(&str, &str)], test: impl AsyncFnOnce(&Shop)) {
    RUNTIME.block_on(async {
        let shop = Shop::open(settings).await;
        test(&shop).await;
        shop.is_well().await;
        shop.close().await;
    });
}
