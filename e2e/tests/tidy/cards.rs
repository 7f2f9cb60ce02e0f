//! The service cards: what each hears and says is what its code does.

use std::collections::BTreeSet;

use proto::EVENT_TYPES;

use crate::{
    holds,
    rooms::SERVICES,
    workspace::{File, code, places, rust},
};

#[test]
fn every_card_says_what_the_code_does() {
    let lines = ["Owns   x.", "Hears  StockReserved", "       StockRejected", "Says   OrderPlaced"];
    let lines = lines.map(|line| format!("//! {line}\n")).concat();
    let card = format!("//! A card.\n//! ```text\n{lines}//! Keeps  y.\n//! ```\n");
    let wire = "Stock::StockReserved(it) => 1, Stock::StockReleased(_) => Ok(None), OrderPlaced {}";
    let heard = [("order-svc/src/lib.rs", card.as_str()), ("order-svc/src/wire.rs", wire)];
    holds(card_is_true, &heard);
    let said = "StockReserved(it) StockRejected(it) OrderPlaced {} OrderConfirmed {}";
    holds(
        card_is_true,
        &[("order-svc/src/lib.rs", card.as_str()), ("order-svc/src/wire.rs", said)],
    );
    holds(card_is_true, &[("order-svc/src/lib.rs", "//! No card.\n")]);
    let planned = "OrderPlaced {} OrderShipped {}";
    holds(
        card_is_true,
        &[("order-svc/src/lib.rs", card.as_str()), ("order-svc/src/wire.rs", planned)],
    );
}

fn card_is_true(files: &[File]) -> Vec<String> {
    let mut wrong = Vec::new();
    let cards = SERVICES.iter().filter_map(|service| {
        let path = format!("{service}/src/lib.rs");
        Some((service, files.iter().find(|file| file.path == path)?))
    });
    for (service, lib) in cards {
        let lines = ["Owns", "Hears", "Says", "Keeps"].map(|word| card_line(&lib.text, word));
        if lines.iter().any(BTreeSet::is_empty) {
            wrong.push(format!("{service} has no card: Owns, Hears, Says, Keeps"));
            continue;
        }
        let (said, heard) = events(files, service);
        for (what, card, code) in [("Hears", &lines[1], &heard), ("Says", &lines[2], &said)] {
            let stale = card.difference(code).map(|event| format!("{event} is only on the card"));
            let new = code.difference(card).map(|event| format!("{event} is not on the card"));
            wrong.extend(stale.chain(new).map(|why| format!("{service}, {what}: {why}")));
        }
    }
    wrong
}

/// The words of one line of a card, with its continuation lines.
pub(crate) fn card_line(text: &str, word: &str) -> BTreeSet<String> {
    let lines = text.lines().map_while(|line| line.strip_prefix("//!"));
    let from = lines.skip_while(|line| !line.trim_start().starts_with(word));
    let (first, rest) = (from.clone().take(1), from.skip(1));
    let more = rest.take_while(|line| line.starts_with("       "));
    first
        .chain(more)
        .flat_map(str::split_whitespace)
        .filter(|part| *part != word)
        .map(Into::into)
        .collect()
}

/// The events that a service's `wire.rs` and `reactions.rs` say and hear. An event that is matched
/// only to be ignored is neither.
fn events(files: &[File], service: &str) -> (BTreeSet<String>, BTreeSet<String>) {
    let rooms = ["wire", "reactions"].map(|room| format!("{service}/src/{room}"));
    let is_room = |file: &&File| rooms.iter().any(|room| file.path.starts_with(room.as_str()));
    let text: String = rust(files).filter(is_room).map(code).collect();
    let ours = format!("/shop/{service}");
    let (said, heard): (Vec<_>, Vec<_>) =
        EVENT_TYPES.iter().partition(|event| event.source() == ours);
    let found = |of: Vec<&proto::EventType>, counts: fn(&str, &str) -> bool| {
        let names = of.iter().map(|event| event.name);
        let there = names.filter(|name| {
            places(&text, name).any(|at| counts(&text[..at], &text[at + name.len()..]))
        });
        there.map(Into::into).collect()
    };
    // An event that is said is constructed; one that is heard is matched, and not only to be
    // ignored.
    (found(said, |_, after| after.starts_with(" {")), found(heard, is_heard))
}

/// Whether an event's name stands for hearing the event: not in `(_) … => Ok(None)`, and not as a
/// reason of the same name.
fn is_heard(before: &str, after: &str) -> bool {
    let arm = after.split_once("=>").map_or("", |(_, arm)| arm.trim_start());
    let nothing = ["Ok(None)", "return Ok(None)"].iter().any(|none| arm.starts_with(none));
    let passed_over = after.starts_with("(_)") && nothing;
    !passed_over && !before.ends_with("Reason::")
}
