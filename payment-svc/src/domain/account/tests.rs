//! Accounts: what moves, what is refused, and that no money appears or disappears.

use uuid::Uuid;

use super::*;

fn usd(text: &str) -> Money {
    Money::parse(text, Currency::USD).unwrap()
}

fn order() -> OrderId {
    OrderId::new(Uuid::from_u128(7))
}

fn wallet(balance: &str) -> Wallet {
    let empty = Account::empty(CustomerId::parse("c-1").unwrap(), Currency::USD);
    let account = if balance == "0" { empty } else { deposit(empty, usd(balance)).unwrap().0 };
    Wallet { account: Some(account), hold: None }
}

fn sums(wallet: &Wallet) -> (Money, Money) {
    let account = wallet.account.as_ref().unwrap();
    (account.available(), account.held)
}

#[test]
fn a_deposit_is_positive_and_in_the_accounts_currency() {
    let account = wallet("10.00").account.unwrap();
    let euro = Money::parse("1.00", Currency::parse("EUR").unwrap()).unwrap();

    assert_eq!(deposit(account.clone(), usd("0")), Err(Refusal::NotPositive));
    assert_eq!(deposit(account.clone(), usd("-1")), Err(Refusal::NotPositive));
    assert_eq!(
        deposit(account.clone(), euro),
        Err(Refusal::OtherCurrency { wanted: Currency::USD })
    );
    let (after, entry) = deposit(account, usd("2.50")).unwrap();
    assert_eq!(after.balance, usd("12.50"));
    assert_eq!((entry.movement, entry.amount), (Movement::Deposit, usd("2.50")));
}

#[test]
fn an_account_refuses_more_than_it_can_hold() {
    let mut account = wallet("10.00").account.unwrap();
    account.balance = Money::new("999999999999999".parse().unwrap(), Currency::USD).unwrap();

    assert_eq!(deposit(account, usd("1.00")), Err(Refusal::TooMuch));
}

#[test]
fn a_hold_is_made_once_and_given_back_once() {
    let (held, entry) = hold(wallet("10.00"), order(), usd("4.00")).unwrap();
    assert_eq!(sums(&held), (usd("6.00"), usd("4.00")));
    assert_eq!(entry.unwrap().movement, Movement::Hold);

    let (again, entry) = hold(held.clone(), order(), usd("4.00")).unwrap();
    assert_eq!((&again, entry), (&held, None));
    assert_eq!(hold(again, order(), usd("5.00")), Err(Refusal::HoldExists { held: usd("4.00") }));

    let (released, entry) = release(held, order()).unwrap();
    assert_eq!(sums(&released), (usd("10.00"), usd("0")));
    assert_eq!(entry.unwrap().movement, Movement::Release);
    assert_eq!(release(released, order()).unwrap().1, None);
}

#[test]
fn a_hold_takes_no_more_than_is_available() {
    let refused = hold(wallet("10.00"), order(), usd("10.01"));

    assert_eq!(refused, Err(Refusal::InsufficientFunds { available: usd("10.00") }));
    assert_eq!(release(wallet("10.00"), order()), Err(Refusal::NeverHeld));
    assert_eq!(hold(Wallet::default(), order(), usd("1.00")), Err(Refusal::UnknownAccount));
}

/// (held, due) of an account with 10.00 → the movements, and what is left available.
#[test]
fn a_payment_takes_the_hold_first_and_then_the_difference() {
    use Movement::{Capture, CaptureHeld, Release};
    let cases: [(_, _, &[_], _); 4] = [
        ("0", "7.00", &[(Capture, "7.00")], "3.00"),
        ("4.00", "7.00", &[(CaptureHeld, "4.00"), (Capture, "3.00")], "3.00"),
        ("7.00", "7.00", &[(CaptureHeld, "7.00")], "3.00"),
        ("9.00", "7.00", &[(CaptureHeld, "7.00"), (Release, "2.00")], "3.00"),
    ];
    for (held, due, moved, left) in cases {
        let mut wallet = wallet("10.00");
        if held != "0" {
            wallet = hold(wallet, order(), usd(held)).unwrap().0;
        }

        let entries = capture(&mut wallet, order(), usd(due)).unwrap();

        let entries: Vec<_> = entries.iter().map(|e| (e.movement, e.amount)).collect();
        let moved: Vec<_> = moved.iter().map(|(m, amount)| (*m, usd(amount))).collect();
        assert_eq!(entries, moved, "{held} held, {due} due");
        assert_eq!(sums(&wallet), (usd(left), usd("0")), "{held} held, {due} due");
        assert_eq!(hold(wallet.clone(), order(), usd("1.00")).is_err(), held != "0");
    }
}

#[test]
fn a_payment_without_enough_changes_nothing() {
    let mut wallet = hold(wallet("10.00"), order(), usd("4.00")).unwrap().0;
    let before = wallet.clone();

    assert_eq!(capture(&mut wallet, order(), usd("10.01")), Err(DeclineCode::InsufficientFunds));
    let euro = Money::parse("1.00", Currency::parse("EUR").unwrap()).unwrap();
    assert_eq!(capture(&mut wallet, order(), euro), Err(DeclineCode::CurrencyMismatch));
    assert_eq!(wallet, before);
    assert_eq!(capture(&mut Wallet::default(), order(), usd("1.00")), Err(DeclineCode::NoAccount));
}
