//! Model check: the real `decide` functions of three services, composed with everything that may
//! happen between them.
//!
//! Topics interleave in any order, consumers die between effect and offset, messages come again,
//! the provider answers late, twice or never, customers cancel and pay at any moment, deadlines
//! pass, and another order wants the same pieces. Every reachable state is visited, so a promise
//! that holds here holds for every interleaving of these orders. A table of mutants shows that each
//! promise can be broken.

#![expect(clippy::unwrap_used, reason = "a test: what goes wrong should stop it")]
#![expect(clippy::print_stdout, reason = "how much was explored belongs into the test's output")]

mod covers;
mod faults;
mod inbox;
mod mutants;
mod promises;
mod rules;
mod scenes;
mod shop;
mod steps;
mod wire;
mod world;

use std::time::Instant;

use stateright::{Checker, HasDiscoveries, Model};

use self::{
    mutants::MUTANTS, promises::PROMISES, rules::Rules, scenes::SCENES, shop::Shop, world::Route,
};

/// The number of threads: the machine on which the check has to be quick has two cores.
const THREADS: usize = 2;

#[test]
fn every_promise_stands_however_an_order_is_told() {
    for scene in SCENES {
        let start = Instant::now();

        let shop = Shop::open(scene, Rules::ours()).covering();
        let checker = shop.checker().threads(THREADS).spawn_bfs().join();

        println!(
            "{:<16} {:>9} states, {:>9} steps, depth {:>2}, {:>5.1} s",
            scene.name,
            checker.unique_state_count(),
            checker.state_count(),
            checker.max_depth(),
            start.elapsed().as_secs_f64(),
        );
        checker.assert_properties();
    }
}

#[test]
fn every_mutant_breaks_the_promise_it_must() {
    let mut survivors = Vec::new();
    for mutant in MUTANTS {
        let start = Instant::now();

        let shop = Shop::open(mutant.scene, mutant.rules);
        let fallen = HasDiscoveries::AllOf([mutant.breaks].into());
        let builder = shop.checker().threads(THREADS).finish_when(fallen);
        let checker = builder.spawn_bfs().join();

        let found = checker.discovery(mutant.breaks);
        println!(
            "{:<55} {:<52} {:>8} states, {:>2} steps to it, {:>4.1} s",
            mutant.name,
            mutant.breaks,
            checker.unique_state_count(),
            found.as_ref().map_or(0, |path| path.clone().into_actions().len()),
            start.elapsed().as_secs_f64(),
        );
        if found.is_none() {
            survivors.push((mutant.name, mutant.breaks));
        }
    }
    assert!(survivors.is_empty(), "mutants that broke nothing: {survivors:#?}");
}

#[test]
fn every_promise_has_a_mutant_that_breaks_it() {
    let is_broken = |promise: &str| MUTANTS.iter().any(|mutant| mutant.breaks == promise);

    let untried: Vec<_> =
        PROMISES.iter().map(|(promise, _)| *promise).filter(|it| !is_broken(it)).collect();

    assert!(untried.is_empty(), "nothing shows that these can fall: {untried:#?}");
}

#[test]
fn the_services_take_every_event_in_once() {
    let shop = Shop::open(SCENES[0], Rules::ours());

    assert_eq!(shop.once, [true; Route::ALL.len()], "as their reactors read them");
}
