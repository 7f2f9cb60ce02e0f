//! What comes of a step: who hears what, what each service decides, what the provider does.

use std::{mem, sync::Arc};

use inventory_svc::domain as inventory;
use order_svc::domain as orders;
use payment_svc::domain::{
    self as payments, Account, ChargeOutcome, DeclineCode, Operation, Wallet,
};
use proto::{Currency, CustomerId};
use time::OffsetDateTime;

use crate::{
    rules::Ground,
    shop::{Action, Shop, dollars},
    wire,
    world::{Life, Performed, Route, World},
};

/// Time stands still: with limits of zero, every clock may run out at any moment.
pub(crate) const NOW: OffsetDateTime = OffsetDateTime::UNIX_EPOCH;

impl Shop {
    pub(crate) fn place(&self, world: &mut World, at: usize) {
        let life = world.life(at);
        life.order = Some(self.placed[at].clone());
        life.said.orders.push(orders::Announcement::Placed);
    }

    fn hear(&self, world: &mut World, at: usize, route: Route, index: u8) {
        let mark = 1 << index;
        if self.rules.grant(Ground::Inbox)
            && world.lives[at].readers[route.place()].inbox & mark != 0
        {
            return;
        }
        let life = world.life(at);
        let reader = &mut life.readers[route.place()];
        reader.inbox |= mark;
        reader.position = reader.position.max(index + 1);
        let index = usize::from(index);
        let order = &self.placed[at];
        match route {
            Route::OrdersToInventory => {
                if let Some(event) = wire::to_inventory(life.said.orders[index], order) {
                    self.tell_inventory(world, at, &event);
                }
            }
            Route::OrdersToPayment => {
                if let Some(event) = wire::to_payment(life.said.orders[index]) {
                    self.tell_payment(world, at, event);
                }
            }
            Route::StockToPayment => {
                if let Some(event) = wire::terms_to_payment(&life.said.stock[index], order) {
                    self.tell_payment(world, at, event);
                }
            }
            Route::StockToOrder => {
                let event = wire::stock_to_order(&life.said.stock[index]);
                life.history[route.place()] += 1;
                self.tell_order(world, at, &event);
            }
            Route::PaymentsToOrder => {
                let event = wire::payment_to_order(&life.said.payments[index], order);
                life.history[route.place()] += 1;
                self.tell_order(world, at, &event);
            }
        }
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
        took(life, decision);
    }

    fn tell_inventory(&self, world: &mut World, at: usize, event: &inventory::Event) {
        let unlocked = (!self.rules.grant(Ground::Locks)).then(|| self.stock());
        let reservation = mem::take(&mut world.life(at).reservation);
        let seen = unlocked.as_ref().unwrap_or(&world.stock);
        let decision = (self.rules.stock)(reservation, event, seen, NOW);
        if let Some((motion, allocations)) = &decision.motion {
            Arc::make_mut(&mut world.stock).apply(*motion, allocations);
        }
        let life = world.life(at);
        life.reservation = decision.state;
        if self.rules.grant(Ground::Outbox) {
            life.said.stock.extend(decision.announce);
        }
    }

    fn tell_payment(&self, world: &mut World, at: usize, event: payments::Event) {
        let state = self.money(world, at);
        let decision = (self.rules.money)(self.placed[at].id, state, event);
        self.paid(world, at, decision);
    }

    /// What payment-svc decides from.
    fn money(&self, world: &World, at: usize) -> payments::State {
        let account = self.scene.orders[at].account;
        let purse = &world.accounts[account];
        let purse =
            if self.rules.grant(Ground::Locks) { purse.clone() } else { self.account(account) };
        let wallet = Wallet { account: Some(purse), hold: None };
        payments::State { payment: world.lives[at].payment.clone(), wallet }
    }

    pub(crate) fn account(&self, place: usize) -> Account {
        let balance = dollars(self.scene.accounts[place]);
        let customer = CustomerId::parse(&format!("c{place}")).unwrap();
        Account { balance, ..Account::empty(customer, Currency::USD) }
    }

    fn paid(&self, world: &mut World, at: usize, decision: payments::Decision) {
        if let Some(account) = decision.state.wallet.account {
            // A row is written when it changed.
            if !decision.entries.is_empty() {
                Arc::make_mut(&mut world.accounts)[self.scene.orders[at].account] = account;
            }
        }
        let life = world.life(at);
        life.payment = decision.state.payment;
        life.said.payments.extend(decision.announce);
        life.ledger.extend(decision.entries);
        life.calls.extend(decision.call);
    }

    fn perform(&self, life: &mut Life, call: usize, done: bool) {
        let call = &life.calls[call];
        let key = (self.rules.key)(call, life.provider.len());
        if life.provider.iter().any(|performed| performed.key == key) {
            return;
        }
        let (operation, amount) = (call.operation.clone(), call.amount);
        life.provider.push(Performed { key, operation, amount, done });
    }

    /// What the provider has done is told to payment-svc: the row that asked is gone then.
    fn answer(&self, world: &mut World, at: usize, performed: &Performed) {
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
            Operation::Refund { number, .. } => payments::Event::RefundAnswered { number },
        };
        self.tell_payment(world, at, event);
    }

    /// Lets everything happen at once that will happen to an order by itself.
    pub(crate) fn settle(&self, world: &mut World, at: usize) {
        while let Some(route) =
            Route::ALL.into_iter().find(|route| world.lives[at].has_news(*route))
        {
            let position = world.lives[at].readers[route.place()].position;
            self.hear(world, at, route, position);
        }
    }

    pub(crate) fn act(&self, world: &mut World, action: Action) {
        match action {
            Action::Place(at) => self.place(world, at),
            Action::Cancel(at) => {
                let life = world.life(at);
                let Some(order) = &life.order else { return };
                let decision = orders::cancel(order, "anonymous".into(), "".into(), NOW);
                took(life, decision);
            }
            Action::Pay(at, instrument) => {
                let state = self.money(world, at);
                if let Ok(decision) = payments::pay(state, &instrument, None) {
                    self.paid(world, at, decision);
                }
            }
            Action::Hear(at, route) => {
                let position = world.lives[at].readers[route.place()].position;
                self.hear(world, at, route, position);
            }
            Action::HearAgain(at, route, index) => self.hear(world, at, route, index),
            Action::Perform(at, call, done) => self.perform(world.life(at), call, done),
            Action::Answer(at, which) => {
                let performed = world.lives[at].provider[which].clone();
                self.answer(world, at, &performed);
            }
            Action::Lose(at, which) => {
                if !self.rules.grant(Ground::Patience) {
                    let performed = world.lives[at].provider[which].clone();
                    self.answer(world, at, &Performed { done: false, ..performed });
                }
            }
            Action::DeadlinePassed(at) => {
                self.tell_order(world, at, &orders::Event::DeadlinePassed);
            }
            Action::HoldRanOut(at) => {
                self.tell_inventory(world, at, &inventory::Event::HoldRanOut);
            }
        }
    }
}

fn took(life: &mut Life, decision: orders::Decision) {
    life.order = Some(decision.order);
    life.said.orders.extend(decision.announce);
}
