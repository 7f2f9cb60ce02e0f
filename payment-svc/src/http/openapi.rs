//! This service's operations, described to machines.

use chassis::{
    Code,
    openapi::{AT, ApiOperation, ID, get, post},
};
use proto::{CustomerId, OrderId, PaymentId};
use serde_json::{Value, json};
use service_kit::AmountRequest;
use time::macros::date;

use super::bodies::{self, CardRules};
use crate::{
    provider::CardRouting,
    views::{AccountView, DepositView, EntryView, HoldView, PaymentView, ValidationView},
};

const RULES: CardRules =
    CardRules { today: date!(2026 - 11 - 20), routing: CardRouting { stripe: false } };

/// Every operation of this service but the operators'.
pub fn operations() -> Vec<ApiOperation> {
    [payments(), accounts(), movements()].into_iter().flatten().collect()
}

/// Each way to pay, with its name.
fn methods() -> [(&'static str, Value); 3] {
    [
        ("by card", json!({"type": "card", "token": "tok_visa"})),
        (
            "with a test card",
            json!({
                "type": "credit_card", "card_number": "4111111111111111", "expiry": "12/29",
                "cvv": "123",
            }),
        ),
        ("from the wallet", json!({"type": "wallet"})),
    ]
}

fn payments() -> Vec<ApiOperation> {
    let pays = |(name, method)| {
        (name, json!({"order_id": ID, "amount": "59.98", "payment_method": method}))
    };
    let asks = |(name, method)| (name, json!({ "payment_method": method }));
    let unknown = ("with what is no method", json!({"type": "shells"}));
    let refund = vec![("a part", json!({"amount": "10.00"})), ("all of it", json!({}))];
    vec![
        get("/v1/payments", "list_payments", "The payment of an order")
            .required_query::<OrderId>("order_id", "The order.")
            .list::<PaymentView<'_>>("Its payment, or none."),
        post("/v1/payments", "post_payment", "Pays a deferred order")
            .about("Waits for the outcome, for 10 seconds unless `Prefer` says otherwise.")
            .waits()
            .body(methods().map(pays).to_vec(), |fields| bodies::payment(fields, RULES))
            .places::<PaymentView<'_>>(201, "Captured.")
            .places::<PaymentView<'_>>(202, "No outcome yet: the payment goes on by itself.")
            .refuses(&[
                Code::PaymentDeclined,
                Code::NotFound,
                Code::AlreadyPaid,
                Code::NotPayable,
                Code::InsufficientFunds,
                Code::InvalidValue,
                Code::CardNumberRefused,
                Code::UnknownPaymentMethod,
            ]),
        get("/v1/payments/{id}", "get_payment", "A payment")
            .path::<PaymentId>("id", "The payment.")
            .resource::<PaymentView<'_>>("The payment."),
        post("/v1/payments/{id}/refund", "refund_payment", "Gives money back")
            .path::<PaymentId>("id", "The payment.")
            .about("Without an amount, all that is left.")
            .waits()
            .optional_body(refund, |fields| AmountRequest::read_optional(fields, "amount"))
            .answers::<PaymentView<'_>>(200, "Refunded.")
            .answers::<PaymentView<'_>>(202, "The provider has not answered yet.")
            .refuses(&[Code::NotRefundable, Code::RefundRefused]),
        post("/v1/payment-methods/validate", "validate_method", "Looks at a method")
            .about("Without charging it.")
            .body(methods().into_iter().chain([unknown]).map(asks).collect(), |fields| {
                bodies::any_instrument(fields, RULES)
            })
            .answers::<ValidationView<'_>>(200, "Whether it could be paid with.")
            .refuses(&[Code::MissingField, Code::UnknownField, Code::InvalidValue]),
        post("/v1/providers/stripe/webhook", "stripe_event", "Takes Stripe's events")
            .about("Stripe signs what it sends; there is nothing here unless it is set up.")
            .without_key()
            .header("Stripe-Signature")
            .open_body()
            .done(200, "Taken.")
            .refuses(&[Code::NotFound, Code::BadSignature, Code::MalformedJson]),
    ]
}

fn accounts() -> Vec<ApiOperation> {
    let path = "/v1/accounts/{customer}";
    let open = vec![("in dollars", json!({"currency": "USD"})), ("by default", json!({}))];
    vec![
        of_customer(get(path, "get_account", "An account"))
            .resource::<AccountView<'_>>("The account."),
        of_customer(post(path, "open_account", "Opens an account"))
            .optional_body(open, bodies::currency)
            .places::<AccountView<'_>>(201, "The account, empty.")
            .refuses(&[Code::AccountExists, Code::UnknownCurrency]),
        of_customer(get("/v1/accounts/{customer}/balance", "get_balance", "What an account has"))
            .resource::<AccountView<'_>>("The account."),
        of_customer(get("/v1/accounts/{customer}/entries", "list_entries", "An account's ledger"))
            .list::<EntryView<'_>>("What was booked, the oldest first."),
    ]
}

fn movements() -> Vec<ApiOperation> {
    let amount = json!({"amount": "100.00"});
    let hold = json!({"order_id": ID, "amount": "59.98"});
    vec![
        of_customer(post(
            "/v1/accounts/{customer}/deposit",
            "deposit_money",
            "Puts money into an account",
        ))
        .body(vec![("some", amount)], |fields| AmountRequest::read(fields, "amount"))
        .answers::<DepositView<'_>>(201, "What was booked."),
        of_customer(post("/v1/accounts/{customer}/hold", "hold_money", "Holds money for an order"))
            .body(vec![("for an order", hold)], bodies::hold)
            .answers::<HoldView<'_>>(201, "Held.")
            .answers::<HoldView<'_>>(200, "It was held before.")
            .refuses(&[Code::HoldExists, Code::InsufficientFunds, Code::NotPayable]),
        of_customer(post("/v1/accounts/{customer}/release", "release_money", "Lets held money go"))
            .body(vec![("of an order", json!({"order_id": ID}))], bodies::any_order)
            .answers::<HoldView<'_>>(200, "Released, also the second time.")
            .refuses(&[Code::HoldCaptured]),
    ]
}

fn of_customer(operation: ApiOperation) -> ApiOperation {
    operation.path::<CustomerId>("customer", "The customer.")
}

chassis::examples! {
    PaymentView<'_> => {
        "id": "01932c1e-7a4c-7000-8000-0123456789ab", "order_id": ID,
        "customer_id": "customer-456", "method": "card", "provider": "simulator",
        "status": "captured", "amount": {"amount": "59.98", "currency": "USD"},
        "refunded": {"amount": "0.00", "currency": "USD"},
        "card": {"brand": "visa", "last4": "1111"}, "decline": null,
        "created_at": AT, "updated_at": AT,
    },
    ValidationView<'_> => {"valid": true, "brand": "visa", "last4": "1111", "reason": null},
    AccountView<'_> => {
        "customer_id": "customer-456", "currency": "USD",
        "balance": {"amount": "100.00", "currency": "USD"},
        "held": {"amount": "59.98", "currency": "USD"},
        "available": {"amount": "40.02", "currency": "USD"}, "created_at": AT,
    },
    DepositView<'_> => {"entry_id": ID, "account": AccountView::example()},
    HoldView<'_> => {"order_id": ID, "account": AccountView::example()},
    EntryView<'_> => {
        "id": "01932c1e-7a4c-7000-8000-0123456789ab", "kind": "hold", "debit": "available",
        "credit": "held", "amount": {"amount": "59.98", "currency": "USD"}, "order_id": ID,
        "at": AT,
    },
}
