//! What must not be seen: the account's keys, and card numbers.

use std::process::Command;

use chassis::config::read;
use payment_svc::{config::Config, domain::Status, store};
use proto::payments::payment_event;
use serde_json::json;

use super::{
    super::{a_shop, an_order, by_card},
    account::a_shop_with_stripe,
    pm,
};

const CANARY: &str = "canary7f3a";
/// A valid number that no test card has.
const NUMBER: &str = "5555555555554444";

fn config(settings: &[&str]) -> Result<Config, Vec<String>> {
    let seal = format!("--seal-key={}", super::super::SEAL_KEY);
    let needed =
        ["payment-svc", "--jwks=off", "--database-url=postgres://a@b/c", "--kafka=k:1", &seal];
    let args = needed.iter().chain(settings).map(Into::into).collect();
    read("payment-svc", args).map_err(|bad| match bad {
        chassis::config::Bad::Values(problems) => problems,
        chassis::config::Bad::Shown(error) => vec![error.to_string()],
    })
}

#[test]
fn the_keys_of_the_account_are_never_printed() {
    let (key, hook) = (
        format!("--stripe-key=sk_live_{CANARY}"),
        format!("--stripe-webhook-secret=whsec_{CANARY}"),
    );
    let config_of = config(&[&key, &hook]).unwrap();
    let printed = format!("{config_of:?} {:?}", config_of.providers().unwrap());
    assert!(!printed.contains(CANARY), "{printed}");

    for wrong in [
        format!("--stripe-key=pk_live_{CANARY}"),
        format!("--stripe-key=sk_live_{CANARY} x"),
        format!("--stripe-webhook-secret={CANARY}"),
    ] {
        let problems = config(&[&wrong]).unwrap_err().join("\n");
        assert!(problems.contains("STRIPE") || problems.contains("stripe"), "{problems}");
        assert!(!problems.contains(CANARY), "{problems}");
    }
    let clear = config(&[&key, "--stripe-url=http://stripe.example"]).unwrap_err();
    assert!(clear.concat().contains("https"), "{clear:?}");

    let help = Command::new(env!("CARGO_BIN_EXE_payment-svc"))
        .arg("--help")
        .env("SHOP_STRIPE_KEY", format!("sk_live_{CANARY}"))
        .env("SHOP_STRIPE_WEBHOOK_SECRET", format!("whsec_{CANARY}"))
        .output()
        .unwrap();
    let help = String::from_utf8(help.stdout).unwrap();
    assert!(help.contains("SHOP_STRIPE_KEY") && !help.contains(CANARY), "{help}");
}

/// However a number gets in, nothing stores it, announces it or tells it back.
#[tokio::test]
async fn a_card_number_in_a_token_reaches_no_row_and_no_provider() {
    let account = a_shop_with_stripe(&[]).await;
    let order = account.an_order().await;
    let body = json!({"order_id": order.to_string(),
        "payment_method": pm(&format!("pm_{NUMBER}"))});
    let refused = account.server.http.post("/v1/payments", body).await;
    assert_eq!(refused.code(), (422, "card_number_refused"));
    assert!(!refused.body.to_string().contains(NUMBER));
    assert_eq!(account.asked().len(), 0);

    let mut shop = a_shop().await;
    let order = an_order();
    let reserved = shop.reserved(order, by_card(order, &format!("pm_{NUMBER}"), "20.00"));
    shop.hear([reserved]).await;
    let root = store::payments::find(shop.mailbox.db().await, order, None).await.unwrap().unwrap();
    assert_eq!(root.payment.status(), Status::Declined);
    assert!(matches!(shop.outbox().await[..], [payment_event::Event::PaymentDeclined(_)]));
    let dump = format!("{:?}", shop.mailbox.dump().await);
    // A column of bytes shows digits as hexadecimal ones.
    let hexadecimal = hex::encode(NUMBER);
    assert!(!dump.contains(NUMBER) && !dump.contains(&hexadecimal));
}
