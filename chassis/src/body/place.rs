//! Where in a body something stands, and what is wrong there.

use std::{
    borrow::Cow,
    cell::{Cell, RefCell},
};

use crate::problem::{Code, FAULTS_MAX, FieldError};

/// The faults of a body: those that are listed, and how many more there are.
#[derive(Default)]
pub(super) struct Faults {
    pub(super) told: RefCell<Vec<FieldError>>,
    pub(super) omitted: Cell<usize>,
}

/// The place of an object in the body; written as a JSON pointer only for a fault.
#[derive(Clone, Copy)]
pub(super) enum Place<'a> {
    Root,
    Member(&'a Place<'a>, &'a str),
    Item(&'a Place<'a>, usize),
}

impl Faults {
    pub(super) fn note(&self, place: &Place<'_>, code: Code, detail: Cow<'static, str>) {
        let mut told = self.told.borrow_mut();
        if told.len() < FAULTS_MAX {
            told.push(FieldError { pointer: place.pointer(), code, detail });
        } else {
            self.omitted.set(self.omitted.get() + 1);
        }
    }
}

impl Place<'_> {
    fn pointer(&self) -> String {
        match self {
            Self::Root => String::new(),
            Self::Member(of, name) => {
                let name = name.replace('~', "~0").replace('/', "~1");
                format!("{}/{name}", of.pointer())
            }
            Self::Item(of, at) => format!("{}/{at}", of.pointer()),
        }
    }

    /// The place in all bodies of this form: with `*` for the number of an item.
    pub(super) fn shape(&self) -> String {
        match self {
            Self::Root => String::new(),
            Self::Member(of, name) => format!("{}/{name}", of.shape()),
            Self::Item(of, _) => format!("{}/*", of.shape()),
        }
    }
}
