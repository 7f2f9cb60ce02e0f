//! The fields of a body: each is asked for by name, and every fault is noted with its place.

use std::{
    borrow::Cow,
    cell::{Cell, RefCell},
    ops::RangeInclusive,
};

use super::json::Json;
use crate::problem::{Code, FAULTS_MAX, FieldError, Problem};

/// The members of one object. A getter that finds a fault notes it and returns `None`.
pub struct Fields<'a> {
    members: &'a [(Cow<'a, str>, Json<'a>)],
    asked: Vec<&'static str>,
    place: Place<'a>,
    faults: &'a Faults,
}

/// Money as it was written: the amount as text, never through a float.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Amount {
    /// The amount as it was written.
    pub text: String,
    /// Absent if the amount was a bare string or number.
    pub currency: Option<String>,
}

/// The faults of a body: those that are listed, and how many more there are.
#[derive(Default)]
struct Faults {
    told: RefCell<Vec<FieldError>>,
    omitted: Cell<usize>,
}

/// The place of an object in the body; written as a JSON pointer only for a fault.
#[derive(Clone, Copy)]
enum Place<'a> {
    Root,
    Member(&'a Place<'a>, &'a str),
    Item(&'a Place<'a>, usize),
}

/// Reads an object; see [`super::read`].
pub fn read_object<'a, T>(
    json: &'a Json<'a>,
    read: impl FnOnce(&mut Fields<'_>) -> Option<T>,
) -> Result<T, Problem> {
    let Json::Object(members) = json else {
        return Err(Problem::new(Code::InvalidValue, "the body has to be an object"));
    };
    let faults = Faults::default();
    let value = Fields::read(members, Place::Root, &faults, read);
    let (told, omitted) = (faults.told.into_inner(), faults.omitted.get());
    match value {
        Some(value) if told.is_empty() => Ok(value),
        _ if told.is_empty() => Err(Problem::new(Code::InvalidValue, "the body is not valid")),
        _ => Err(Problem::of(told, omitted)),
    }
}

impl<'a> Fields<'a> {
    fn read<T>(
        members: &'a [(Cow<'a, str>, Json<'a>)],
        place: Place<'a>,
        faults: &'a Faults,
        read: impl FnOnce(&mut Fields<'_>) -> Option<T>,
    ) -> Option<T> {
        let mut fields = Self { members, asked: Vec::with_capacity(8), place, faults };
        let value = read(&mut fields);
        for (name, _) in members {
            if !fields.asked.iter().any(|asked| asked == name) {
                fields.refuse(name, Code::UnknownField, "is not known here");
            }
        }
        value
    }

    /// Notes that the member `name` is not acceptable; an empty name means the object itself.
    pub fn refuse(&self, name: &str, code: Code, detail: impl Into<Cow<'static, str>>) {
        match name {
            "" => self.faults.note(&self.place, code, detail.into()),
            name => self.faults.note(&Place::Member(&self.place, name), code, detail.into()),
        }
    }

    /// Like [`Fields::refuse`], for a member of the object `name`.
    pub fn refuse_within(
        &self,
        name: &str,
        member: &str,
        code: Code,
        detail: impl Into<Cow<'static, str>>,
    ) {
        let object = Place::Member(&self.place, name);
        self.faults.note(&Place::Member(&object, member), code, detail.into());
    }

    /// Whether the member is there and not null; this does not count as asking for it.
    pub fn has(&self, name: &str) -> bool {
        self.members.iter().any(|(known, value)| known == name && *value != Json::Null)
    }

    /// The member as it is; null counts as absent.
    pub fn json(&mut self, name: &'static str) -> Option<&'a Json<'a>> {
        self.asked.push(name);
        let (_, value) = self.members.iter().find(|(known, _)| known == name)?;
        (*value != Json::Null).then_some(value)
    }

    fn required(&mut self, name: &'static str) -> Option<&'a Json<'a>> {
        let value = self.json(name);
        if value.is_none() {
            self.refuse(name, Code::MissingField, "is missing");
        }
        value
    }

    /// Required text of 1 to `max` characters.
    pub fn text(&mut self, name: &'static str, max: usize) -> Option<&'a str> {
        let value = self.required(name)?;
        let text = self.as_text(name, value, max)?;
        if text.is_empty() {
            self.refuse(name, Code::InvalidValue, "must not be empty");
            return None;
        }
        Some(text)
    }

    /// Text of up to `max` characters, or none.
    pub fn optional_text(&mut self, name: &'static str, max: usize) -> Option<&'a str> {
        let value = self.json(name)?;
        self.as_text(name, value, max)
    }

    /// Required text that people write, of 1 to `max` characters.
    pub fn words(&mut self, name: &'static str, max: usize) -> Option<&'a str> {
        let text = self.text(name, max)?;
        self.without_card_number(name, text)
    }

    /// Text that people write, of up to `max` characters, or none.
    pub fn optional_words(&mut self, name: &'static str, max: usize) -> Option<&'a str> {
        let text = self.optional_text(name, max)?;
        self.without_card_number(name, text)
    }

    /// What people write may hold a card number, which must not enter the system. Ids, addresses
    /// and tokens of devices are made by machines, and some look like one.
    fn without_card_number(&self, name: &str, text: &'a str) -> Option<&'a str> {
        if proto::card_number::is_in(text) {
            // Nothing of the text is repeated.
            self.refuse(name, Code::CardNumberRefused, "must not hold a card number");
            return None;
        }
        Some(text)
    }

    /// Required text, parsed; the error of `parse` says what would be right.
    pub fn parsed<T>(
        &mut self,
        name: &'static str,
        parse: impl FnOnce(&str) -> Result<T, (Code, Cow<'static, str>)>,
    ) -> Option<T> {
        // `parse` has limits of its own; this one only keeps the fault's text short.
        let text = self.text(name, 200)?;
        parse(text).map_err(|(code, detail)| self.refuse(name, code, detail)).ok()
    }

    /// Like [`Fields::parsed`], for a member that may be absent.
    pub fn optional_parsed<T>(
        &mut self,
        name: &'static str,
        parse: impl FnOnce(&str) -> Result<T, (Code, Cow<'static, str>)>,
    ) -> Option<T> {
        if self.has(name) {
            return self.parsed(name, parse);
        }
        self.asked.push(name);
        None
    }

    fn as_text(&self, name: &str, value: &'a Json<'a>, max: usize) -> Option<&'a str> {
        let wrong = match value {
            Json::Text(text) if text.contains('\0') => {
                "must not contain the NUL character or half a character".into()
            }
            Json::Text(text) if text.len() <= max || text.chars().count() <= max => {
                return Some(text);
            }
            Json::Text(_) => format!("has more than {max} characters"),
            _ => "has to be text".to_owned(),
        };
        self.refuse(name, Code::InvalidValue, wrong);
        None
    }

    /// A required whole number within `range`.
    pub fn integer(&mut self, name: &'static str, range: RangeInclusive<i64>) -> Option<i64> {
        let value = self.required(name)?;
        self.as_integer(name, value, &range)
    }

    /// A whole number that may be missing or null; a fault outside of the limits.
    pub fn optional_integer(
        &mut self,
        name: &'static str,
        range: RangeInclusive<i64>,
    ) -> Option<i64> {
        let value = self.json(name)?;
        self.as_integer(name, value, &range)
    }

    fn as_integer(&self, name: &str, json: &Json<'_>, range: &RangeInclusive<i64>) -> Option<i64> {
        let number = match json {
            Json::Number(text) => text.parse().ok(),
            _ => None,
        };
        let fits: Option<i64> = number.filter(|number| range.contains(number));
        if fits.is_none() {
            let (low, high) = (range.start(), range.end());
            let wrong = format!("has to be a whole number from {low} to {high}");
            self.refuse(name, Code::InvalidValue, wrong);
        }
        fits
    }

    /// A required true or false.
    pub fn flag(&mut self, name: &'static str) -> Option<bool> {
        let Json::Flag(flag) = self.required(name)? else {
            self.refuse(name, Code::InvalidValue, "has to be true or false");
            return None;
        };
        Some(*flag)
    }

    /// A required amount of money: a string, a number, or an object of amount and currency.
    pub fn amount(&mut self, name: &'static str) -> Option<Amount> {
        let value = self.required(name)?;
        self.as_amount(name, value)
    }

    /// An amount of money that may be missing or null.
    pub fn optional_amount(&mut self, name: &'static str) -> Option<Amount> {
        let value = self.json(name)?;
        self.as_amount(name, value)
    }

    fn as_amount(&self, name: &'static str, value: &'a Json<'a>) -> Option<Amount> {
        match value {
            Json::Number(text) => Some(Amount { text: (*text).to_owned(), currency: None }),
            Json::Text(text) if !text.contains('\0') && text.len() <= 200 => {
                Some(Amount { text: text.clone().into_owned(), currency: None })
            }
            Json::Object(members) => {
                let place = Place::Member(&self.place, name);
                Fields::read(members, place, self.faults, |money| {
                    let amount = match money.required("amount")? {
                        Json::Number(text) => Some((*text).to_owned()),
                        text => money.as_text("amount", text, 200).map(ToOwned::to_owned),
                    };
                    let currency = money.optional_text("currency", 200).map(ToOwned::to_owned);
                    Some(Amount { text: amount?, currency })
                })
            }
            _ => {
                self.refuse(name, Code::InvalidValue, "has to be an amount such as \"59.98\"");
                None
            }
        }
    }

    /// A required object, read as the body is.
    pub fn object<T>(
        &mut self,
        name: &'static str,
        read: impl FnOnce(&mut Fields<'_>) -> Option<T>,
    ) -> Option<T> {
        let value = self.required(name)?;
        self.as_object(name, value, read)
    }

    /// An object that may be missing or null, its members read by `read`.
    pub fn optional_object<T>(
        &mut self,
        name: &'static str,
        read: impl FnOnce(&mut Fields<'_>) -> Option<T>,
    ) -> Option<T> {
        let value = self.json(name)?;
        self.as_object(name, value, read)
    }

    fn as_object<T>(
        &self,
        name: &str,
        value: &Json<'_>,
        read: impl FnOnce(&mut Fields<'_>) -> Option<T>,
    ) -> Option<T> {
        let Json::Object(members) = value else {
            self.refuse(name, Code::InvalidValue, "has to be an object");
            return None;
        };
        Fields::read(members, Place::Member(&self.place, name), self.faults, read)
    }

    /// A required list of 1 to `max` objects.
    pub fn list<T>(
        &mut self,
        name: &'static str,
        max: usize,
        mut read: impl FnMut(&mut Fields<'_>) -> Option<T>,
    ) -> Option<Vec<T>> {
        let items = match self.required(name)? {
            Json::List(items) if (1..=max).contains(&items.len()) => items,
            _ => {
                let wrong = format!("has to be a list of 1 to {max} objects");
                self.refuse(name, Code::InvalidValue, wrong);
                return None;
            }
        };
        let list = Place::Member(&self.place, name);
        let mut values = Some(Vec::with_capacity(items.len()));
        for (at, item) in items.iter().enumerate() {
            let place = Place::Item(&list, at);
            let value = if let Json::Object(members) = item {
                Fields::read(members, place, self.faults, &mut read)
            } else {
                self.faults.note(&place, Code::InvalidValue, "has to be an object".into());
                None
            };
            values = values.zip(value).map(|(mut values, value)| {
                values.push(value);
                values
            });
        }
        values
    }

    /// An object with member names of the client's choice, whose members are all text that people
    /// write, of up to `max` characters; a missing one counts as empty.
    pub fn texts(&mut self, name: &'static str, max: usize) -> Option<Vec<(String, String)>> {
        let members = match self.json(name) {
            None => return Some(Vec::new()),
            Some(Json::Object(members)) => members,
            Some(_) => {
                self.refuse(name, Code::InvalidValue, "has to be an object");
                return None;
            }
        };
        let place = Place::Member(&self.place, name);
        let inner = Fields { members, asked: Vec::new(), place, faults: self.faults };
        let read = members.iter().map(|(key, value)| {
            if key.contains('\0') || key.chars().count() > max {
                inner.refuse("", Code::InvalidValue, "has a name that cannot be stored");
                return None;
            }
            let text = inner.without_card_number(key, inner.as_text(key, value, max)?)?;
            Some((key.clone().into_owned(), text.to_owned()))
        });
        // Collected before it is judged, so that every member is looked at.
        read.collect::<Vec<_>>().into_iter().collect()
    }
}

impl Faults {
    fn note(&self, place: &Place<'_>, code: Code, detail: Cow<'static, str>) {
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
}
