//! The shop that the tests share, and what must hold whenever no test uses it.
//!
//! It starts with the first test and ends with the process. Tests use it side by side; a test that
//! breaks it has it for itself. All tests run on one runtime, so that connections of an earlier
//! test stay usable.

use std::{
    panic::{AssertUnwindSafe, resume_unwind},
    sync::LazyLock,
};

use futures::FutureExt as _;
use tokio::{
    runtime::Runtime,
    sync::{OnceCell, RwLock},
};

use crate::Shop;

static RUNTIME: LazyLock<Runtime> = LazyLock::new(|| Runtime::new().unwrap());
static SHOP: OnceCell<Shop> = OnceCell::const_new();
/// Read-locked by tests that share the shop, write-locked by one that needs it alone. The lock is
/// fair, so that one gets its turn.
static DOOR: RwLock<()> = RwLock::const_new(());

async fn the_shop() -> &'static Shop {
    SHOP.get_or_init(|| Shop::open(&[])).await
}

/// Runs a test in the shared shop, beside others. The last test to end checks the shop, even if it
/// has failed itself; a violation is reported with the name of the test whose order it is about.
pub fn in_the_shop(test: impl AsyncFnOnce(&Shop)) {
    RUNTIME.block_on(async {
        let open = DOOR.read().await;
        let shop = the_shop().await;
        let passed = AssertUnwindSafe(test(shop)).catch_unwind().await;
        drop(open);
        // While other tests use the shop, the check is left to the last of them.
        if let Ok(_closed) = DOOR.try_write() {
            shop.is_well().await;
        }
        if let Err(panic) = passed {
            resume_unwind(panic);
        }
    });
}

/// Runs a test in the shared shop while no other test uses it.
pub fn alone_in_the_shop(test: impl AsyncFnOnce(&Shop)) {
    RUNTIME.block_on(async {
        let _closed = DOOR.write().await;
        let shop = the_shop().await;
        test(shop).await;
        shop.is_well().await;
    });
}

/// Runs a test in a shop of its own, which need not be in order afterwards.
pub fn in_a_shop_to_break(test: impl AsyncFnOnce(&Shop)) {
    RUNTIME.block_on(async {
        let shop = Shop::open(&[]).await;
        test(&shop).await;
        shop.close().await;
    });
}

/// Runs a test in a shop of its own with other settings, which is checked and stopped afterwards.
pub fn in_a_shop_of_its_own(settings: &[(&str, &str)], test: impl AsyncFnOnce(&Shop)) {
    RUNTIME.block_on(async {
        let shop = Shop::open(settings).await;
        test(&shop).await;
        shop.is_well().await;
        shop.close().await;
    });
}
