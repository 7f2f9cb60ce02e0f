//! What a reader asks of a body: members by name, and what may be in each.

use std::{cell::RefCell, collections::BTreeMap};

use schemars::{JsonSchema, Schema, SchemaGenerator};

/// How a text is written that a reader parses.
#[derive(Clone, Copy, Debug)]
pub enum Format {
    /// As the type that it is parsed into describes itself.
    Of(fn(&mut SchemaGenerator) -> Schema),
    /// As a regular expression says.
    Pattern(&'static str),
    /// As one of these words.
    Words(&'static [&'static str]),
    /// As a format of JSON Schema says.
    Named(&'static str),
}

impl Format {
    /// As `T` describes itself.
    pub fn of<T: JsonSchema>() -> Self {
        Self::Of(SchemaGenerator::subschema_for::<T>)
    }
}

/// What a reader takes in one member.
#[derive(Clone, Copy, Debug)]
pub(super) enum Kind {
    /// Whatever it is, it is looked at elsewhere.
    Any,
    /// Nothing: the member is known, but does not go with the others.
    Absent,
    Text {
        min: usize,
        max: usize,
        /// Whether people write it, who must not write a card number into it.
        is_words: bool,
    },
    Formatted(Format),
    Integer(i64, i64),
    Flag,
    Amount,
    Object,
    List(usize),
    /// Up to so many texts of this format.
    Names(usize, Format),
    /// Text in members of the client's choice.
    Texts(usize),
}

/// A member that a reader asked for.
#[derive(Clone, Copy, Debug)]
pub(super) struct AskedField {
    pub(super) name: &'static str,
    pub(super) kind: Kind,
    pub(super) is_required: bool,
}

/// One object of an example, as it was read.
pub(super) struct Visit {
    pub(super) asked: BTreeMap<&'static str, AskedField>,
    /// The members that were text, with their text.
    pub(super) texts: BTreeMap<String, String>,
}

/// Notes what is asked for, object by object. An object's place has `*` for the number of an item.
#[derive(Default)]
pub(super) struct Recorder(RefCell<BTreeMap<String, Vec<Visit>>>);

impl Recorder {
    pub(super) fn keep(
        &self,
        place: String,
        asked: &[AskedField],
        texts: BTreeMap<String, String>,
    ) {
        let asked = asked.iter().map(|it| (it.name, *it)).collect();
        self.0.borrow_mut().entry(place).or_default().push(Visit { asked, texts });
    }

    /// The objects that were read, by their place.
    pub(super) fn into_visits(self) -> BTreeMap<String, Vec<Visit>> {
        self.0.into_inner()
    }
}
