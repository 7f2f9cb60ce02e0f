//! A row of a batch, with what it was when it was locked, so that a batch writes what it changed
//! only.

/// A row as it was found, if it was there, and as it is now.
#[derive(Clone, Debug, Default)]
pub struct Tracked<T> {
    was: Option<T>,
    pub now: T,
}

impl<T: Clone + PartialEq> Tracked<T> {
    /// A row as it was found.
    pub fn found(row: T) -> Self {
        Self { was: Some(row.clone()), now: row }
    }

    /// A row that the database does not have yet.
    pub fn new(row: T) -> Self {
        Self { was: None, now: row }
    }

    /// Whether the database does not have the row yet.
    pub fn is_new(&self) -> bool {
        self.was.is_none()
    }

    /// Whether the database has the row, and it differs now.
    pub fn is_changed(&self) -> bool {
        self.was.as_ref().is_some_and(|was| *was != self.now)
    }

    /// The row as it was found; `None` for a new one.
    pub fn was(&self) -> Option<&T> {
        self.was.as_ref()
    }
}

/// The new rows, by their keys: what to insert.
pub fn new_rows<'a, K, T: Clone + PartialEq + 'a>(
    rows: impl IntoIterator<Item = (&'a K, &'a Tracked<T>)>,
) -> Vec<(&'a K, &'a T)> {
    let new = rows.into_iter().filter(|(_, row)| row.is_new());
    new.map(|(key, row)| (key, &row.now)).collect()
}

/// The rows that were found and differ now, by their keys: what to update.
pub fn changed_rows<'a, K, T: Clone + PartialEq + 'a>(
    rows: impl IntoIterator<Item = (&'a K, &'a Tracked<T>)>,
) -> Vec<(&'a K, &'a T)> {
    let changed = rows.into_iter().filter(|(_, row)| row.is_changed());
    changed.map(|(key, row)| (key, &row.now)).collect()
}

#[cfg(test)]
mod tests {
    use std::collections::BTreeMap;

    use super::*;

    #[test]
    fn what_was_not_there_is_inserted_and_what_differs_is_updated() {
        let mut rows = BTreeMap::from([
            ("left", Tracked::found(1)),
            ("changed", Tracked::found(1)),
            ("changed back", Tracked::found(1)),
            ("new", Tracked::new(1)),
        ]);
        rows.get_mut("changed").unwrap().now = 2;
        let back = rows.get_mut("changed back").unwrap();
        back.now = 2;
        back.now = 1;
        rows.get_mut("new").unwrap().now = 3;

        assert_eq!(new_rows(&rows), [(&"new", &3)]);
        assert_eq!(changed_rows(&rows), [(&"changed", &2)]);
        assert_eq!(rows["changed"].was(), Some(&1));
        assert_eq!(rows["new"].was(), None);
    }
}
