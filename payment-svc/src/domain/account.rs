//! A customer's account and its ledger: every movement has two sides, so money is only ever moved.

use proto::{Currency, CustomerId, Money, OrderId, words};

use super::{DeclineCode, Refusal};

/// A customer's account at this service: the balance is what is held and what is available
/// together.
#[derive(Clone, Debug, PartialEq, Eq, Hash)]
pub struct Account {
    pub customer: CustomerId,
    pub balance: Money,
    pub held: Money,
}

/// Money of an account that is set aside for one order.
#[derive(Clone, Debug, PartialEq, Eq, Hash)]
pub struct Hold {
    pub amount: Money,
    pub state: HoldState,
}

words! {
    /// What became of the money that an account holds for an order.
    pub enum HoldState {
        Held = "held",
        Released = "released",
        /// The order was paid with it.
        Captured = "captured",
    }
}

/// What a decision may take an order's money from: its customer's account, and the hold there for
/// it.
#[derive(Clone, Debug, Default, PartialEq, Eq, Hash)]
pub struct Wallet {
    pub account: Option<Account>,
    pub hold: Option<Hold>,
}

/// One entry of the ledger: an amount that moved.
#[derive(Clone, Debug, PartialEq, Eq, Hash)]
pub struct LedgerEntry {
    pub customer: CustomerId,
    pub movement: Movement,
    pub amount: Money,
    pub order: Option<OrderId>,
}

/// Every way in which money moves from one of the ledger's accounts to another.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub enum Movement {
    Deposit,
    Hold,
    Release,
    Capture,
    CaptureHeld,
    Refund,
}

impl Movement {
    /// The word for it in the ledger.
    pub fn kind(self) -> &'static str {
        match self {
            Self::Deposit => "deposit",
            Self::Hold => "hold",
            Self::Release => "release",
            Self::Capture | Self::CaptureHeld => "capture",
            Self::Refund => "refund",
        }
    }

    /// The ledger account that the money comes from.
    pub fn debit(self) -> &'static str {
        match self {
            Self::Deposit => "outside",
            Self::Hold | Self::Capture => "available",
            Self::Release | Self::CaptureHeld => "held",
            Self::Refund => "shop",
        }
    }

    /// The ledger account that the money goes to.
    pub fn credit(self) -> &'static str {
        match self {
            Self::Deposit | Self::Release | Self::Refund => "available",
            Self::Hold => "held",
            Self::Capture | Self::CaptureHeld => "shop",
        }
    }
}

impl Account {
    /// An account with nothing in it.
    pub fn empty(customer: CustomerId, currency: Currency) -> Self {
        Self { customer, balance: Money::zero(currency), held: Money::zero(currency) }
    }

    /// The one currency of the account.
    pub fn currency(&self) -> Currency {
        self.balance.currency()
    }

    /// The balance without what is held.
    pub fn available(&self) -> Money {
        self.balance.minus(self.held).expect("no more is held than there is, in one currency")
    }

    fn entry(&self, movement: Movement, amount: Money, order: Option<OrderId>) -> LedgerEntry {
        LedgerEntry { customer: self.customer.clone(), movement, amount, order }
    }

    fn accepts(&self, amount: Money) -> Result<(), Refusal> {
        if amount.currency() != self.currency() {
            return Err(Refusal::OtherCurrency { wanted: self.currency() });
        }
        if amount.is_positive() { Ok(()) } else { Err(Refusal::NotPositive) }
    }

    /// Puts money that was taken for an order back, unless the account has been filled so far
    /// meanwhile that its balance would exceed the largest amount.
    pub(super) fn refund(&mut self, order: OrderId, amount: Money) -> Result<LedgerEntry, Refusal> {
        self.balance = self.balance.plus(amount).map_err(|_| Refusal::TooMuch)?;
        Ok(self.entry(Movement::Refund, amount, Some(order)))
    }
}

/// Puts money from outside into an account.
pub fn deposit(mut account: Account, amount: Money) -> Result<(Account, LedgerEntry), Refusal> {
    account.accepts(amount)?;
    account.balance = account.balance.plus(amount).map_err(|_| Refusal::TooMuch)?;
    let entry = account.entry(Movement::Deposit, amount, None);
    Ok((account, entry))
}

/// Sets money aside for an order. Holding the same amount again changes nothing and has no entry.
pub(super) fn hold(
    wallet: Wallet,
    order: OrderId,
    amount: Money,
) -> Result<(Wallet, Option<LedgerEntry>), Refusal> {
    let mut account = wallet.account.ok_or(Refusal::UnknownAccount)?;
    account.accepts(amount)?;
    match wallet.hold {
        Some(Hold { state: HoldState::Captured, .. }) => return Err(Refusal::HoldCaptured),
        Some(hold @ Hold { state: HoldState::Held, .. }) => {
            if hold.amount != amount {
                return Err(Refusal::HoldExists { held: hold.amount });
            }
            return Ok((Wallet { account: Some(account), hold: Some(hold) }, None));
        }
        Some(Hold { state: HoldState::Released, .. }) | None => {}
    }
    if account.available() < amount {
        return Err(Refusal::InsufficientFunds { available: account.available() });
    }
    account.held = account.held.plus(amount).expect("no more than the balance");
    let entry = account.entry(Movement::Hold, amount, Some(order));
    let hold = Some(Hold { amount, state: HoldState::Held });
    Ok((Wallet { account: Some(account), hold }, Some(entry)))
}

/// Ends the hold for an order. Releasing it again changes nothing and has no entry.
pub fn release(wallet: Wallet, order: OrderId) -> Result<(Wallet, Option<LedgerEntry>), Refusal> {
    let mut account = wallet.account.ok_or(Refusal::UnknownAccount)?;
    let mut hold = wallet.hold.ok_or(Refusal::NeverHeld)?;
    let entry = match hold.state {
        HoldState::Captured => return Err(Refusal::HoldCaptured),
        HoldState::Released => None,
        HoldState::Held => {
            hold.state = HoldState::Released;
            account.held = account.held.minus(hold.amount).expect("it was held here");
            Some(account.entry(Movement::Release, hold.amount, Some(order)))
        }
    };
    Ok((Wallet { account: Some(account), hold: Some(hold) }, entry))
}

/// Pays an order: first from its hold, then from what is available. What was held beyond the amount
/// becomes available. Without enough money nothing changes.
pub(super) fn capture(
    wallet: &mut Wallet,
    order: OrderId,
    amount: Money,
) -> Result<Vec<LedgerEntry>, DeclineCode> {
    let account = wallet.account.as_mut().ok_or(DeclineCode::NoAccount)?;
    if account.currency() != amount.currency() {
        return Err(DeclineCode::CurrencyMismatch);
    }
    let reserve = wallet.hold.as_mut().filter(|hold| hold.state == HoldState::Held);
    let held = reserve.as_ref().map_or(Money::zero(amount.currency()), |hold| hold.amount);
    let sure = "amounts of one account, of one currency and within its balance";
    let (from_held, surplus, rest) = if held < amount {
        (held, Money::zero(amount.currency()), amount.minus(held).expect(sure))
    } else {
        (amount, held.minus(amount).expect(sure), Money::zero(amount.currency()))
    };
    if account.available() < rest {
        return Err(DeclineCode::InsufficientFunds);
    }
    if let Some(hold) = reserve {
        hold.state = HoldState::Captured;
    }
    account.held = account.held.minus(held).expect(sure);
    account.balance = account.balance.minus(amount).expect(sure);
    let moved = [
        (Movement::CaptureHeld, from_held),
        (Movement::Capture, rest),
        (Movement::Release, surplus),
    ];
    let entries = moved
        .into_iter()
        .filter(|(_, amount)| amount.is_positive())
        .map(|(movement, amount)| account.entry(movement, amount, Some(order)))
        .collect();
    Ok(entries)
}

#[cfg(test)]
mod tests;
