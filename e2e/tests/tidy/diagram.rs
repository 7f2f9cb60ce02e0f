//! The diagram of an order's life, drawn from the table that `decide` is compared with.

use std::{collections::BTreeSet, fmt::Write as _};

/// The table's orders, with the status of each; the table's other orders are variants of these.
const STATUSES: [(&str, &str); 8] = [
    ("placed", "pending"),
    ("placed, deferred", "pending"),
    ("reserved", "payment_pending"),
    ("reserved, deferred", "payment_pending"),
    ("paid", "paid"),
    ("confirmed", "confirmed"),
    ("shipped", "shipped"),
    ("delivered", "delivered"),
];

/// The table's inputs, with the names that they have elsewhere.
const INPUTS: [(&str, &str); 10] = [
    ("Reserved(1)", "StockReserved"),
    ("Rejected(1)", "StockRejected"),
    ("Captured(1)", "PaymentCaptured"),
    ("Declined(1)", "PaymentDeclined"),
    ("Expired(1)", "ReservationExpired"),
    ("Deadline", "deadline passed"),
    ("Fewer", "amended"),
    ("Cancel", "cancelled by request"),
    ("Ship", "OrderShipped"),
    ("Deliver", "OrderDelivered"),
];

/// A mermaid diagram of every change of status in `decision.golden`.
pub(crate) fn diagram(golden: &str) -> String {
    let mut arrows: Vec<(&str, &str, Vec<&str>)> = Vec::new();
    let mut seen = BTreeSet::new();
    for (from, input, to) in golden.lines().filter_map(arrow) {
        if from == to || !seen.insert((from, input, to)) {
            continue;
        }
        match arrows.iter_mut().find(|arrow| (arrow.0, arrow.1) == (from, to)) {
            Some((_, _, inputs)) => inputs.push(input),
            None => arrows.push((from, to, vec![input])),
        }
    }
    let mut drawn = "```mermaid\nstateDiagram-v2\n    [*] --> pending: OrderPlaced\n".to_owned();
    for (from, to, inputs) in arrows {
        writeln!(drawn, "    {from} --> {to}: {}", inputs.join(", ")).unwrap();
    }
    drawn + "```\n"
}

/// One line of the table: the status before, the input, the status after.
fn arrow(line: &str) -> Option<(&str, &'static str, &str)> {
    let (name, rest) = line.split_once(" | ")?;
    let (input, next) = rest.split_once(" -> ")?;
    let (_, from) = STATUSES.iter().find(|(known, _)| *known == name)?;
    let (_, input) = INPUTS.iter().find(|(known, _)| *known == input)?;
    let to = next.split_whitespace().next().filter(|to| *to != "same")?;
    Some((from, input, to))
}
