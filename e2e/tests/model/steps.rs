//! The effects of a step: who hears what, what each service decides, what the provider does.

use std::{mem, sync::Arc};

use inventory_svc::domain as inventory;
use order_svc::domain::{self as orders, HistoryEvent};
use payment_svc::domain::{
    self as payments, Account, ChargeOutcome, DeclineCode, LedgerEntry, Movement, Operation, Wallet,
};
use proto::{Currency, CustomerId};
use time::OffsetDateTime;

use crate::{
    rules::{Ground, Write},
    shop::{self, Action, Shop, dollars},
    wire,
    world::{Life, ProviderCall, Route, TopicLogs, World},
};

/// Time stands still: with limits of zero, every deadline may pass at any moment.
pub(crate) const NOW: OffsetDateTime = OffsetDateTime::UNIX_EPOCH;

/// All transactions of a delivery.
const ALL: usize = usize::MAX;

/// An event, in the form in which the hearing service gets it.
enum ServiceEvent {
    Order(orders::Event),
    Inventory(inventory::Event),
    Payment(payments::Event),
}

impl Shop {
    pub(crate) fn place(&self, world: &mut World, at: usize) {
        let life = world.life(at);
        life.order = Some(self.placed[at].clone());
        life.asked.push(self.placed[at].present.clone());
        life.said.orders.push((orders::Announcement::Placed, 1));
    }

    /// What an event of a route means to the service that hears it; `None` if it does not concern
    /// it.
    fn meaning(&self, life: &Life, at: usize, route: Route, index: usize) -> Option<ServiceEvent> {
        let order = &self.placed[at];
        let TopicLogs { orders, stock, payments } = &life.said;
        match route {
            Route::OrdersToInventory => {
                let (said, revision) = orders[index];
                wire::to_inventory(said, life.asked(revision)).map(ServiceEvent::Inventory)
            }
            Route::OrdersToPayment => wire::to_payment(orders[index]).map(ServiceEvent::Payment),
            Route::StockToPayment => {
                wire::terms_to_payment(&stock[index], order, life).map(ServiceEvent::Payment)
            }
            Route::StockToOrder => Some(ServiceEvent::Order(wire::stock_to_order(&stock[index]))),
            Route::PaymentsToOrder => {
                Some(ServiceEvent::Order(wire::payment_to_order(&payments[index], order)))
            }
        }
    }

    /// Whether the next event of a route concerns the service that hears it.
    pub(crate) fn is_heard(&self, life: &Life, at: usize, route: Route) -> bool {
        let next = life.readers[route.place()].position;
        self.meaning(life, at, route, next.into()).is_some()
    }

    /// Delivers an event; of what the consumer writes, the first `commits` transactions commit.
    fn hear(&self, world: &mut World, at: usize, (route, index): (Route, u8), commits: usize) {
        let mark = 1 << index;
        let reader = world.lives[at].readers[route.place()];
        let has_inbox = self.rules.grant(Ground::Inbox(route.hearer()));
        let has_id = self.once[route.place()] && has_inbox;
        let is_new = !has_id || reader.inbox & mark == 0;
        let life = &world.lives[at];
        let meaning = is_new.then(|| self.meaning(life, at, route, index.into())).flatten();
        let transactions = self.rules.delivery.iter().take(commits);
        for write in transactions.copied().flatten() {
            match write {
                Write::Id if has_id && meaning.is_some() => {
                    world.reader(at, route).inbox |= mark;
                }
                Write::Effect if is_new => {
                    let reader = world.reader(at, route);
                    reader.repeated |= meaning.is_some() && reader.effects & mark != 0;
                    reader.effects |= mark;
                    match &meaning {
                        Some(ServiceEvent::Order(event)) => self.tell_order(world, at, event),
                        Some(ServiceEvent::Inventory(event)) => {
                            self.tell_inventory(world, at, event);
                        }
                        Some(ServiceEvent::Payment(event)) => {
                            self.tell_payment(world, at, event);
                        }
                        None => {}
                    }
                }
                Write::Offset if reader.position <= index => {
                    world.reader(at, route).position = index + 1;
                }
                Write::Id | Write::Effect | Write::Offset => {}
            }
        }
    }

    fn hear_next(&self, world: &mut World, at: usize, route: Route, commits: usize) {
        let next = world.lives[at].readers[route.place()].position;
        self.hear(world, at, (route, next), commits);
    }

    fn tell_order(&self, world: &mut World, at: usize, event: &orders::Event) {
        let life = world.life(at);
        let Some(before) = &life.order else { return };
        let was_paid = before.payment.captured.is_some();
        let decision = (self.rules.order)(before, event, NOW);
        let clock = matches!(
            event,
            orders::Event::DeadlinePassed | orders::Event::ReservationExpired { .. }
        );
        life.ended_paid |= clock && was_paid && decision.announce.is_some();
        let heard = (*event != orders::Event::DeadlinePassed).then(|| event.clone());
        took(life, heard, decision);
    }

    fn tell_inventory(&self, world: &mut World, at: usize, event: &inventory::Event) {
        let unlocked = (!self.rules.grant(Ground::Locks)).then(|| self.stock());
        let reservation = mem::take(&mut world.life(at).reservation);
        let seen = unlocked.as_ref().unwrap_or(&world.stock);
        let decision = (self.rules.stock)(reservation, event, seen, NOW);
        for (motion, allocations) in &decision.motions {
            Arc::make_mut(&mut world.stock).apply(*motion, allocations);
        }
        let life = world.life(at);
        life.reservation = decision.state;
        if self.rules.grant(Ground::Outbox) {
            life.said.stock.extend(decision.announce);
        }
    }

    fn tell_payment(&self, world: &mut World, at: usize, event: &payments::Event) {
        let state = self.money(world, at);
        let decision = (self.rules.money)(state, event, self.placed[at].id);
        self.paid(world, at, decision);
    }

    /// The state from which payment-svc decides.
    fn money(&self, world: &World, at: usize) -> payments::State {
        let account = self.scene.orders[at].account;
        let purse = &world.accounts[account];
        let purse =
            if self.rules.grant(Ground::Locks) { purse.clone() } else { self.account(account) };
        let wallet = Wallet { account: Some(purse), hold: world.lives[at].hold.clone() };
        payments::State { payment: world.lives[at].payment.clone(), wallet }
    }

    pub(crate) fn account(&self, place: usize) -> Account {
        let balance = dollars(self.scene.accounts[place]);
        let customer = CustomerId::parse(&format!("c{place}")).unwrap();
        Account { balance, ..Account::empty(customer, Currency::USD) }
    }

    fn paid(&self, world: &mut World, at: usize, decision: payments::Decision) {
        self.moved(world, at, decision.state.wallet, decision.entries);
        let life = world.life(at);
        life.payment = decision.state.payment;
        life.said.payments.extend(decision.announce);
        life.calls.extend(decision.call);
    }

    fn moved(&self, world: &mut World, at: usize, wallet: Wallet, entries: Vec<LedgerEntry>) {
        if let Some(account) = wallet.account {
            // An account's row is written only when money moved.
            if !entries.is_empty() {
                Arc::make_mut(&mut world.accounts)[self.scene.orders[at].account] = account;
            }
        }
        let life = world.life(at);
        life.hold = wallet.hold;
        // Holds and releases are left out, because a customer may repeat them for ever.
        let is_paid =
            |entry: &LedgerEntry| !matches!(entry.movement, Movement::Hold | Movement::Release);
        life.ledger.extend(entries.into_iter().filter(is_paid));
    }

    fn perform(&self, life: &mut Life, call: usize, done: bool) {
        let call = &life.calls[call];
        let key = (self.rules.key)(call, life.provider.len());
        if life.provider.iter().any(|performed| performed.key == key) {
            return;
        }
        let (operation, amount) = (call.operation.clone(), call.amount);
        life.provider.push(ProviderCall { key, operation, amount, done });
    }

    /// Delivers to payment-svc what the provider has done; the row of the call is removed.
    fn answer(&self, world: &mut World, at: usize, performed: &ProviderCall) {
        world.life(at).calls.retain(|call| call.operation != performed.operation);
        let event = match performed.operation {
            Operation::Charge { revision, .. } => {
                let outcome = if performed.done {
                    ChargeOutcome::Captured { reference: "ref".into(), face: None }
                } else {
                    ChargeOutcome::Declined { code: DeclineCode::CardDeclined, detail: "".into() }
                };
                payments::Event::ChargeAnswered { revision, outcome }
            }
            Operation::Refund { number, .. } if performed.done => {
                payments::Event::RefundAnswered { number }
            }
            Operation::Refund { number, .. } => {
                payments::Event::RefundRefused { number, reason: "".into() }
            }
        };
        self.tell_payment(world, at, &event);
    }

    /// Lets everything happen to an order at once that will happen by itself.
    pub(crate) fn settle(&self, world: &mut World, at: usize) {
        while let Some(route) =
            Route::ALL.into_iter().find(|route| world.lives[at].has_news(*route))
        {
            self.hear_next(world, at, route, ALL);
        }
    }

    pub(crate) fn act(&self, world: &mut World, action: Action) {
        match action {
            Action::Place(at) => self.place(world, at),
            Action::Cancel(at) => {
                let life = world.life(at);
                let Some(order) = &life.order else { return };
                if let Ok(decision) =
                    orders::cancel(order, orders::Reason::CustomerRequest, "anonymous".into(), NOW)
                {
                    took(life, None, decision);
                }
            }
            Action::Amend(at, basket) => {
                let life = world.life(at);
                let Some(order) = &life.order else { return };
                let wanted = shop::lines(self.scene.orders[at].amendments.0[basket]);
                if let Ok(decision) = orders::amend(order, &wanted, &self.catalogue, NOW) {
                    took(life, None, decision);
                }
            }
            Action::Refund(at, whole) => {
                let amount = (!whole).then(|| dollars(1));
                if let Ok(decision) = payments::refund(self.money(world, at), amount) {
                    self.paid(world, at, decision);
                }
            }
            Action::Pay(at, instrument) => {
                let state = self.money(world, at);
                if let Ok(decision) = payments::pay(state, &instrument, None) {
                    self.paid(world, at, decision);
                }
            }
            Action::Hold(at) => {
                let (state, order) = (self.money(world, at), &self.placed[at]);
                if let Ok((wallet, entry)) = payments::hold(state, order.id, order.present.total) {
                    self.moved(world, at, wallet, entry.into_iter().collect());
                }
            }
            Action::Hear(at, route) => self.hear_next(world, at, route, ALL),
            Action::Crash(at, route) => self.hear_next(world, at, route, 1),
            Action::HearAgain(at, route, index) => self.hear(world, at, (route, index), ALL),
            Action::Perform(at, call, done) => self.perform(world.life(at), call, done),
            Action::Answer(at, which) => {
                let performed = world.lives[at].provider[which].clone();
                self.answer(world, at, &performed);
            }
            Action::GiveUp(at, which) => {
                let performed = world.lives[at].provider[which].clone();
                self.answer(world, at, &ProviderCall { done: false, ..performed });
            }
            Action::DeadlinePassed(at) => {
                self.tell_order(world, at, &orders::Event::DeadlinePassed);
            }
            Action::HoldRanOut(at) => {
                self.tell_inventory(world, at, &inventory::Event::HoldRanOut);
            }
            Action::MoneyHoldRanOut(at) => {
                let (state, order) = (self.money(world, at), self.placed[at].id);
                if let Some((wallet, entry)) = payments::expire_hold(state, order) {
                    self.moved(world, at, wallet, vec![entry]);
                }
            }
        }
    }
}

/// Takes over an order's next state, which has to be the fold of its history with the rows of this
/// step.
fn took(life: &mut Life, heard: Option<orders::Event>, decision: orders::Decision) {
    let orders::Decision { order, announce } = decision;
    if let Some(before) = &life.order {
        let said = announce.and_then(|announcement| wire::conclusion(announcement, &order));
        let heard = heard.map(HistoryEvent::Heard);
        let rows = heard.into_iter().chain(said.map(HistoryEvent::Said)).map(|row| (row, NOW));
        let folded = orders::fold(before, rows);
        life.strayed |= folded != order;
    }
    if announce == Some(orders::Announcement::Amended) {
        life.asked.push(order.present.clone());
    }
    life.said.orders.extend(announce.map(|said| (said, order.present.number)));
    life.order = Some(order);
}
