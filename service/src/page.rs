//! One page of a list whose items may be large.

use chassis::Problem;
use serde::Serialize;
use serde_json::Value;

/// A page ends before 1 MiB, its frame included.
const PAGE_BYTES_MAX: usize = 1024 * 1024 - 1024;

/// Where a page ended.
pub(crate) struct PageEnd {
    /// After its last item.
    cursor: Option<String>,
    /// Whether it ended for its size, before what was fetched did.
    is_full: bool,
}

impl PageEnd {
    /// The next page's cursor, if what was fetched is not the last of the list.
    pub(crate) fn or_next(self, is_last: bool) -> Option<String> {
        self.cursor.filter(|_| self.is_full || !is_last)
    }
}

/// As many items, each with the cursor after it, as a page has room for; one at least.
pub(crate) fn within_a_page<T: Serialize>(
    items: impl Iterator<Item = (String, T)>,
) -> Result<(Vec<Value>, PageEnd), Problem> {
    let mut bytes = 0;
    let mut page = Vec::new();
    let mut end = PageEnd { cursor: None, is_full: false };
    for (cursor, item) in items {
        let item = serde_json::to_value(item).map_err(|_| Problem::internal())?;
        bytes += item.to_string().len() + 1;
        if bytes > PAGE_BYTES_MAX && !page.is_empty() {
            end.is_full = true;
            break;
        }
        page.push(item);
        end.cursor = Some(cursor);
    }
    Ok((page, end))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_last_page_has_no_successor() {
        let of = |count: usize, is_last| {
            let items = (0..count).map(|n| (n.to_string(), n));
            within_a_page(items).unwrap().1.or_next(is_last)
        };
        assert_eq!(of(3, true), None);
        assert_eq!(of(3, false), Some("2".to_owned()));
        assert_eq!(of(0, true), None);
    }
}
