//! The console in a real browser: e2e/browser has the tests.

use std::{fs, path::Path, process::Stdio};

use backends::machine;
use e2e::{Shop, in_a_shop_of_its_own, in_a_shop_to_break};
use proto::Role;
use shop::seed;
use tokio::process::Command;

use crate::poison::a_key_that_can_be_released;

const BROWSER: &str = concat!(env!("CARGO_MANIFEST_DIR"), "/browser");
/// Where CI keeps the pictures that the tests take.
const PICTURES: &str = concat!(env!("CARGO_MANIFEST_DIR"), "/../target/console");

/// Where README looks for its pictures.
const README_PICTURES: &str = concat!(env!("CARGO_MANIFEST_DIR"), "/../docs/pictures");

#[test]
fn people_use_the_console_in_a_browser() {
    in_a_shop_to_break(async |shop| {
        let key = a_key_that_can_be_released(shop).await;
        succeeds((browser(shop, PICTURES).await).args(["test", "--silent"]).env("PARKED_KEY", key))
            .await;
    });
}

#[test]
#[ignore = "make pictures: it replaces what README shows, and needs Jaeger (make jaeger)"]
fn the_pictures_of_the_readme_are_taken_anew() {
    in_a_shop_of_its_own(&[("SHOP_TELEMETRY", "on")], async |shop| {
        succeeds((browser(shop, README_PICTURES).await).args(["run", "--silent", "pictures"]))
            .await;
    });
}

/// `npm` with the browser's tests installed, a shop that `shop seed` has filled, and a folder for
/// the pictures.
async fn browser(shop: &Shop, pictures: &str) -> Command {
    let chromium = machine::program("chromium").expect("apt-get install chromium (make setup)");
    succeeds(Command::new("npm").args(["ci", "--silent", "--no-fund", "--no-audit"])).await;
    let args = seed::Args { products: 20, customers: 20, stock: 1_000_000 };
    seed::run(args, shop.home()).await.unwrap();
    fs::create_dir_all(pictures).unwrap();
    let mut npm = Command::new("npm");
    npm.env("CONSOLE_URL", shop.stack().gateway())
        .env("CONSOLE_TOKEN", shop.token("ann", &[Role::Staff, Role::Operator]))
        .env("CHROMIUM", chromium)
        .env("SHOTS_DIR", Path::new(pictures).canonicalize().unwrap());
    npm
}

/// Runs a command among the browser's tests; a failure shows all that it said.
async fn succeeds(command: &mut Command) {
    let done = command.current_dir(BROWSER).stdin(Stdio::null()).output().await.unwrap();
    let said = [done.stdout, done.stderr].map(|it| String::from_utf8_lossy(&it).into_owned());
    assert!(done.status.success(), "{}", said.join("\n"));
}
