//! The table of signatures, and what events say.

use super::*;

const BODY: &[u8] = br#"{"id":"evt_1"}"#;
const AT: i64 = 1_800_000_000;

fn secrets(text: &str) -> WebhookSecrets {
    text.parse().unwrap()
}

fn sign(secret: &str, at: &str, body: &[u8]) -> String {
    hex::encode(HMAC::mac([at.as_bytes(), b".", body].concat(), secret))
}

fn now(after: i64) -> OffsetDateTime {
    OffsetDateTime::from_unix_timestamp(AT + after).unwrap()
}

#[test]
fn an_event_counts_if_one_signature_of_one_secret_fits_and_is_fresh() {
    let both = secrets("whsec_new whsec_old");
    let at = AT.to_string();
    let (new, old) = (sign("whsec_new", &at, BODY), sign("whsec_old", &at, BODY));
    let other = sign("whsec_other", &at, BODY);
    let tampered = sign("whsec_new", &at, br#"{"id":"evt_2"}"#);
    let moved = sign("whsec_new", &(AT + 1).to_string(), BODY);
    let upper = new.to_uppercase();
    for (header, after, wanted) in [
        (format!("t={at},v1={new}"), 0, Ok(())),
        (format!("t={at},v1={upper}"), 0, Ok(())),
        (format!("t={at}, v1={old}"), 0, Ok(())),
        (format!("t={at},v1={other},v1={new},v0={other}"), 0, Ok(())),
        (format!("v1={new},t={at}"), 300, Ok(())),
        (format!("t={at},v1={new}"), -300, Ok(())),
        (format!("t={at},v1={new}"), 301, Err(BadSignature::Stale)),
        (format!("t={at},v1={new}"), -301, Err(BadSignature::Stale)),
        (format!("t={at},v1={other}"), 0, Err(BadSignature::Wrong)),
        (format!("t={at},v1={tampered}"), 0, Err(BadSignature::Wrong)),
        (format!("t={at},v1={moved}"), 0, Err(BadSignature::Wrong)),
        (format!("t={},v1={new}", AT + 1), 0, Err(BadSignature::Wrong)),
        (format!("t={at},v0={new}"), 0, Err(BadSignature::Malformed)),
        (format!("t={at},v1={}", &new[1..]), 0, Err(BadSignature::Malformed)),
        (format!("t={at}"), 0, Err(BadSignature::Malformed)),
        (format!("v1={new}"), 0, Err(BadSignature::Malformed)),
        (format!("t={at},t={at},v1={new}"), 0, Err(BadSignature::Malformed)),
        (format!("t=soon,v1={new}"), 0, Err(BadSignature::Malformed)),
        (String::new(), 0, Err(BadSignature::Malformed)),
    ] {
        assert_eq!(both.verify(&header, BODY, now(after)), wanted, "{header}, {after} s after");
    }
    let header = format!("t={at},v1={old}");
    assert_eq!(secrets("whsec_new").verify(&header, BODY, now(0)), Err(BadSignature::Wrong));
}

#[test]
fn secrets_are_a_list_and_do_not_print() {
    for nonsense in ["", " ", "whsec_", "sk_live_1", "whsec_a sk_live_1"] {
        assert!(nonsense.parse::<WebhookSecrets>().is_err(), "{nonsense}");
    }
    assert_eq!(format!("{:?}", secrets("whsec_canary\nwhsec_b")), "WebhookSecrets(2)");
}

fn event(kind: &str, object: &str) -> Option<StripeNotice> {
    let body = format!(r#"{{"id":"evt_1","type":"{kind}","data":{{"object":{object}}}}}"#);
    read(body.as_bytes()).unwrap()
}

#[test]
fn an_event_says_what_became_of_a_call_of_ours_or_nothing() {
    let order = "01932c1e-5a4b-7c3d-8e2f-1a2b3c4d5e6f";
    let object = |key: &str, status: &str| {
        format!(
            r#"{{"id":"x_1","status":"{status}","amount":2000,"amount_received":2000,
            "currency":"usd","failure_reason":"expired_or_canceled_card",
            "metadata":{{"payment_key":"{key}"}}}}"#
        )
    };
    let (charge, refund) = (format!("{order}.charge.2"), format!("{order}.refund.3"));

    let taken = event("payment_intent.succeeded", &object(&charge, "succeeded")).unwrap();
    assert!(matches!(taken.event, Event::ChargeAnswered { revision: 2, .. }));
    let back = event("refund.updated", &object(&refund, "succeeded")).unwrap();
    assert_eq!(back.event, Event::RefundAnswered { number: 3 });
    let kept = event("refund.failed", &object(&refund, "failed")).unwrap();
    assert!(matches!(kept.event, Event::RefundRefused { number: 3, ref reason }
        if &**reason == "expired_or_canceled_card"));

    for (kind, object) in [
        ("payment_intent.created", object(&charge, "succeeded")),
        ("payment_intent.succeeded", object("another's", "succeeded")),
        ("payment_intent.succeeded", object(&refund, "succeeded")),
        ("payment_intent.succeeded", object(&charge, "processing")),
        ("refund.updated", object(&charge, "succeeded")),
        ("refund.updated", object(&refund, "pending")),
        ("charge.refunded", object(&refund, "succeeded")),
        ("customer.created", "{}".to_owned()),
    ] {
        assert_eq!(event(kind, &object), None, "{kind} {object}");
    }
}
