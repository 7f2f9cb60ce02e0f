//! The console in a real browser: e2e/browser has the tests.

use std::{
    fs,
    path::{Path, PathBuf},
    process::Stdio,
};

use backends::machine;
use e2e::{Shop, in_a_shop_to_break};
use proto::Role;
use shop::seed;
use tokio::process::Command;

use crate::poison::a_key_that_can_be_released;

const BROWSER: &str = concat!(env!("CARGO_MANIFEST_DIR"), "/browser");
/// Where CI keeps the pictures that the tests take.
const PICTURES: &str = concat!(env!("CARGO_MANIFEST_DIR"), "/../target/console");

#[test]
fn people_use_the_console_in_a_browser() {
    in_a_shop_to_break(async |shop| {
        let chromium = machine::program("chromium").expect("apt-get install chromium (make setup)");
        succeeds(Command::new("npm").args(["ci", "--silent", "--no-fund", "--no-audit"])).await;
        let args = seed::Args { products: 20, customers: 20, stock: 1_000_000 };
        seed::run(args, shop.home()).await.unwrap();
        let key = a_key_that_can_be_released(shop).await;
        fs::create_dir_all(PICTURES).unwrap();
        succeeds(
            Command::new("npm")
                .args(["test", "--silent"])
                .env("CONSOLE_URL", shop.stack().gateway())
                .env("CONSOLE_TOKEN", token(shop))
                .env("CHROMIUM", chromium)
                .env("SHOTS_DIR", pictures())
                .env("PARKED_KEY", key),
        )
        .await;
    });
}

fn token(shop: &Shop) -> String {
    shop.token("ann", &[Role::Staff, Role::Operator])
}

fn pictures() -> PathBuf {
    Path::new(PICTURES).canonicalize().unwrap()
}

/// Runs a command among the browser's tests; a failure shows all that it said.
async fn succeeds(command: &mut Command) {
    let done = command.current_dir(BROWSER).stdin(Stdio::null()).output().await.unwrap();
    let said = [done.stdout, done.stderr].map(|it| String::from_utf8_lossy(&it).into_owned());
    assert!(done.status.success(), "{}", said.join("\n"));
}
