//! The bodies of requests, field by field.

use std::{collections::BTreeSet, ops::RangeInclusive};

use chassis::{
    Code,
    body::{Fields, invalid_value},
};
use proto::{
    Sku, WarehouseId,
    limits::{LINES_MAX, QUANTITY_MAX, TEXT_CHARS_MAX},
};
use service_kit::AmountRequest;
use time::Duration;

use crate::domain::{SkuQuantity, Warehouse, stock::ON_HAND_MAX};

const PRIORITY: RangeInclusive<i64> = 0..=1_000_000;
/// How long a reservation without an order holds its pieces unless it says so: a quarter of an hour
/// is enough for what a person is doing at a counter.
const HOLD: Duration = Duration::minutes(15);
/// Thirty days at most: what is held for longer is forgotten, and should be written off instead.
const HOLD_S: RangeInclusive<i64> = 1..=30 * 24 * 60 * 60;

/// `{"name","price"}`
pub(super) fn product(fields: &mut Fields<'_>) -> Option<(String, AmountRequest)> {
    let name = fields.words("name", TEXT_CHARS_MAX);
    let price = AmountRequest::read(fields, "price");
    Some((name?.to_owned(), price?))
}

/// `{"warehouse","delta","reason"}`
pub(super) fn adjustment(fields: &mut Fields<'_>) -> Option<(WarehouseId, i64, String)> {
    let warehouse =
        fields.parsed("warehouse", |text| WarehouseId::parse(text).map_err(invalid_value));
    let delta = fields.integer("delta", -ON_HAND_MAX..=ON_HAND_MAX);
    let reason = fields.optional_words("reason", TEXT_CHARS_MAX).unwrap_or_default().to_owned();
    Some((warehouse?, delta?, reason))
}

/// `{"name","priority"}`
pub(super) fn warehouse(fields: &mut Fields<'_>) -> Option<Warehouse> {
    let name = fields.words("name", TEXT_CHARS_MAX);
    let priority = fields.integer("priority", PRIORITY);
    Some(Warehouse { name: name?.to_owned(), priority: i32::try_from(priority?).ok()? })
}

/// `{"reference","items","expires_in_s"}`
pub(super) fn reservation(
    fields: &mut Fields<'_>,
) -> Option<(Option<String>, Vec<SkuQuantity>, Duration)> {
    let reference = fields.optional_words("reference", TEXT_CHARS_MAX).map(ToOwned::to_owned);
    let items = distinct_items(fields);
    let hold = expires_in(fields).unwrap_or(HOLD);
    Some((reference, items?, hold))
}

/// `{"items","expires_in_s"}`, or one of them
pub(super) fn reservation_change(
    fields: &mut Fields<'_>,
) -> Option<(Option<Vec<SkuQuantity>>, Option<Duration>)> {
    if fields.has("items") {
        let items = distinct_items(fields);
        let hold = expires_in(fields);
        return Some((Some(items?), hold));
    }
    fields.absent("items");
    if !fields.has("expires_in_s") {
        fields.refuse("items", Code::MissingField, "is missing, and so is expires_in_s");
        return None;
    }
    let hold = fields.integer("expires_in_s", HOLD_S).map(Duration::seconds);
    Some((None, hold))
}

fn expires_in(fields: &mut Fields<'_>) -> Option<Duration> {
    fields.optional_integer("expires_in_s", HOLD_S).map(Duration::seconds)
}

/// As [`items`], each SKU once.
fn distinct_items(fields: &mut Fields<'_>) -> Option<Vec<SkuQuantity>> {
    let mut seen = BTreeSet::new();
    fields.list("items", LINES_MAX, |fields| {
        let item = item(fields)?;
        if !seen.insert(item.sku.clone()) {
            fields.refuse("sku", Code::DuplicateLine, "is in the list twice");
            return None;
        }
        Some(item)
    })
}

/// `{"items":[{"sku","quantity"}]}`
pub(super) fn items(fields: &mut Fields<'_>) -> Option<Vec<SkuQuantity>> {
    fields.list("items", LINES_MAX, item)
}

fn item(fields: &mut Fields<'_>) -> Option<SkuQuantity> {
    let sku = fields.parsed("sku", |text| Sku::parse(text).map_err(invalid_value));
    let quantity = fields.integer("quantity", 1..=QUANTITY_MAX.into());
    Some(SkuQuantity { sku: sku?, quantity: u32::try_from(quantity?).ok()? })
}
