//! The bodies of requests, field by field.

use std::borrow::Cow;

use chassis::{Code, body::Fields};
use proto::{
    Sku, WarehouseId,
    limits::{LINES_MAX, QUANTITY_MAX, TEXT_CHARS_MAX},
};
use service_kit::AmountRequest;

use crate::domain::{SkuQuantity, Warehouse, stock::ON_HAND_MAX};

const PRIORITY: std::ops::RangeInclusive<i64> = 0..=1_000_000;

/// `{"name","price"}`
pub(super) fn product(fields: &mut Fields<'_>) -> Option<(String, AmountRequest)> {
    let name = fields.text("name", TEXT_CHARS_MAX);
    let price = AmountRequest::read(fields, "price");
    Some((name?.to_owned(), price?))
}

/// `{"warehouse","delta","reason"}`
pub(super) fn adjustment(fields: &mut Fields<'_>) -> Option<(WarehouseId, i64, String)> {
    let warehouse = fields.parsed("warehouse", |text| {
        WarehouseId::parse(text).map_err(|error| invalid(error.to_string()))
    });
    let delta = fields.integer("delta", -ON_HAND_MAX..=ON_HAND_MAX);
    let reason = fields.optional_text("reason", TEXT_CHARS_MAX).unwrap_or_default().to_owned();
    Some((warehouse?, delta?, reason))
}

/// `{"name","priority"}`
pub(super) fn warehouse(fields: &mut Fields<'_>) -> Option<Warehouse> {
    let name = fields.text("name", TEXT_CHARS_MAX);
    let priority = fields.integer("priority", PRIORITY);
    Some(Warehouse { name: name?.to_owned(), priority: i32::try_from(priority?).ok()? })
}

/// `{"items":[{"sku","quantity"}]}`
pub(super) fn items(fields: &mut Fields<'_>) -> Option<Vec<SkuQuantity>> {
    fields.list("items", LINES_MAX, |item| {
        let sku =
            item.parsed("sku", |text| Sku::parse(text).map_err(|error| invalid(error.to_string())));
        let quantity = item.integer("quantity", 1..=QUANTITY_MAX.into());
        Some(SkuQuantity { sku: sku?, quantity: u32::try_from(quantity?).ok()? })
    })
}

fn invalid(detail: String) -> (Code, Cow<'static, str>) {
    (Code::InvalidValue, detail.into())
}
