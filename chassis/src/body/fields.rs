//! The fields of a body: each is asked for by name, and every fault is noted with its place.

use std::borrow::Cow;

use proto::limits::TEXT_CHARS_MAX;
use schemars::JsonSchema;

use super::{
    asked::{AskedField, Format, Kind, Recorder},
    json::{Json, parse},
    place::{Faults, Place},
};
use crate::problem::{Code, Problem};

mod numbers;

pub use numbers::Amount;

/// The members of one object. A getter that finds a fault notes it and returns `None`.
pub struct Fields<'a> {
    members: Members<'a>,
    asked: Vec<AskedField>,
    place: Place<'a>,
    reading: &'a BodyNotes<'a>,
}

type Members<'a> = &'a [(Cow<'a, str>, Json<'a>)];

/// What all objects of one body share.
#[derive(Default)]
struct BodyNotes<'a> {
    faults: Faults,
    /// Notes what is asked for, when the body is an example of the API's description.
    recorder: Option<&'a Recorder>,
}

/// What a text means, or what is wrong with it.
pub type ParseResult<T> = Result<T, (Code, Cow<'static, str>)>;

/// Reads an object; see [`super::read`].
pub fn read_object<'a, T>(
    json: &'a Json<'a>,
    read: impl FnOnce(&mut Fields<'_>) -> Option<T>,
) -> Result<T, Problem> {
    read_all(json, BodyNotes::default(), read)
}

/// Reads an example, and has the recorder note what is asked for.
pub(super) fn read_recorded<T>(
    bytes: &[u8],
    recorder: &Recorder,
    read: impl FnOnce(&mut Fields<'_>) -> Option<T>,
) -> Result<T, Problem> {
    let reading = BodyNotes { recorder: Some(recorder), ..BodyNotes::default() };
    read_all(&parse(bytes)?, reading, read)
}

fn read_all<'a, T>(
    json: &'a Json<'a>,
    reading: BodyNotes<'_>,
    read: impl FnOnce(&mut Fields<'_>) -> Option<T>,
) -> Result<T, Problem> {
    let Json::Object(members) = json else {
        return Err(Problem::new(Code::InvalidValue, "the body has to be an object"));
    };
    let value = Fields::read(members, Place::Root, &reading, read);
    let Faults { told, omitted } = reading.faults;
    let (told, omitted) = (told.into_inner(), omitted.into_inner());
    match value {
        Some(value) if told.is_empty() => Ok(value),
        _ if told.is_empty() => Err(Problem::new(Code::InvalidValue, "the body is not valid")),
        _ => Err(Problem::of(told, omitted)),
    }
}

impl<'a> Fields<'a> {
    fn read<T>(
        members: Members<'a>,
        place: Place<'a>,
        reading: &'a BodyNotes<'a>,
        read: impl FnOnce(&mut Fields<'_>) -> Option<T>,
    ) -> Option<T> {
        let mut fields = Self { members, asked: Vec::with_capacity(8), place, reading };
        let value = read(&mut fields);
        for (name, value) in members {
            let has_place = |asked: &AskedField| {
                asked.name == name && (*value == Json::Null || !matches!(asked.kind, Kind::Absent))
            };
            if !fields.asked.iter().any(has_place) {
                fields.refuse(name, Code::UnknownField, "is not known here");
            }
        }
        if let Some(recorder) = reading.recorder {
            let texts = members.iter().filter_map(|(name, value)| match value {
                Json::Text(text) => Some((name.to_string(), text.to_string())),
                _ => None,
            });
            recorder.keep(place.shape(), &fields.asked, texts.collect());
        }
        value
    }

    /// Notes that the member `name` is not acceptable; an empty name means the object itself.
    pub fn refuse(&self, name: &str, code: Code, detail: impl Into<Cow<'static, str>>) {
        match name {
            "" => self.reading.faults.note(&self.place, code, detail.into()),
            name => {
                self.reading.faults.note(&Place::Member(&self.place, name), code, detail.into());
            }
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
        self.reading.faults.note(&Place::Member(&object, member), code, detail.into());
    }

    /// Whether the member is there and not null; this does not count as asking for it.
    pub fn has(&self, name: &str) -> bool {
        self.members.iter().any(|(known, value)| known == name && *value != Json::Null)
    }

    /// Whether the member is an object; this does not count as asking for it.
    pub fn is_object(&self, name: &str) -> bool {
        matches!(self.get(name), Some(Json::Object(_)))
    }

    /// The member as it is; null counts as absent.
    pub fn json(&mut self, name: &'static str) -> Option<&'a Json<'a>> {
        self.optional(name, Kind::Any)
    }

    /// Says that a member does not go with the others: it may be null, as if it were absent.
    pub fn absent(&mut self, name: &'static str) {
        self.optional(name, Kind::Absent);
    }

    fn optional(&mut self, name: &'static str, kind: Kind) -> Option<&'a Json<'a>> {
        self.asked.push(AskedField { name, kind, is_required: false });
        self.get(name)
    }

    fn required(&mut self, name: &'static str, kind: Kind) -> Option<&'a Json<'a>> {
        self.asked.push(AskedField { name, kind, is_required: true });
        let value = self.get(name);
        if value.is_none() {
            self.refuse(name, Code::MissingField, "is missing");
        }
        value
    }

    fn get(&self, name: &str) -> Option<&'a Json<'a>> {
        let (_, value) = self.members.iter().find(|(known, _)| known == name)?;
        (*value != Json::Null).then_some(value)
    }

    /// Required text of 1 to `max` characters.
    pub fn text(&mut self, name: &'static str, max: usize) -> Option<&'a str> {
        self.text_of(name, max, Kind::Text { min: 1, max, is_words: false })
    }

    /// Text of up to `max` characters, or none.
    pub fn optional_text(&mut self, name: &'static str, max: usize) -> Option<&'a str> {
        let value = self.optional(name, Kind::Text { min: 0, max, is_words: false })?;
        self.as_text(name, value, max)
    }

    /// Required text that people write, of 1 to `max` characters.
    pub fn words(&mut self, name: &'static str, max: usize) -> Option<&'a str> {
        let text = self.text_of(name, max, Kind::Text { min: 1, max, is_words: true })?;
        self.without_card_number(name, text)
    }

    /// Text that people write, of up to `max` characters, or none.
    pub fn optional_words(&mut self, name: &'static str, max: usize) -> Option<&'a str> {
        let value = self.optional(name, Kind::Text { min: 0, max, is_words: true })?;
        let text = self.as_text(name, value, max)?;
        self.without_card_number(name, text)
    }

    /// Required text in this format, which the caller looks at.
    pub fn formatted(&mut self, name: &'static str, format: Format) -> Option<&'a str> {
        // Who looks at it has limits of its own; this one only keeps a fault's text short.
        self.text_of(name, TEXT_CHARS_MAX, Kind::Formatted(format))
    }

    fn text_of(&mut self, name: &'static str, max: usize, kind: Kind) -> Option<&'a str> {
        let value = self.required(name, kind)?;
        let text = self.as_text(name, value, max)?;
        if text.is_empty() {
            self.refuse(name, Code::InvalidValue, "must not be empty");
            return None;
        }
        Some(text)
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
    pub fn parsed<T: JsonSchema>(
        &mut self,
        name: &'static str,
        parse: impl FnOnce(&str) -> ParseResult<T>,
    ) -> Option<T> {
        self.parsed_as(name, Format::of::<T>(), parse)
    }

    /// Like [`Fields::parsed`], for a member that may be absent.
    pub fn optional_parsed<T: JsonSchema>(
        &mut self,
        name: &'static str,
        parse: impl FnOnce(&str) -> ParseResult<T>,
    ) -> Option<T> {
        self.optional_parsed_as(name, Format::of::<T>(), parse)
    }

    /// Like [`Fields::parsed`], for a type that does not describe itself.
    pub fn parsed_as<T>(
        &mut self,
        name: &'static str,
        format: Format,
        parse: impl FnOnce(&str) -> ParseResult<T>,
    ) -> Option<T> {
        let text = self.formatted(name, format)?;
        parse(text).map_err(|(code, detail)| self.refuse(name, code, detail)).ok()
    }

    /// Like [`Fields::parsed_as`], for a member that may be absent.
    pub fn optional_parsed_as<T>(
        &mut self,
        name: &'static str,
        format: Format,
        parse: impl FnOnce(&str) -> ParseResult<T>,
    ) -> Option<T> {
        if self.has(name) {
            let value = self.parsed_as(name, format, parse);
            self.asked.last_mut().expect("it was asked for").is_required = false;
            return value;
        }
        self.optional(name, Kind::Formatted(format));
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

    /// True or false, or nothing.
    pub fn optional_flag(&mut self, name: &'static str) -> Option<bool> {
        let Json::Flag(flag) = self.optional(name, Kind::Flag)? else {
            self.refuse(name, Code::InvalidValue, "has to be true or false");
            return None;
        };
        Some(*flag)
    }

    /// A required object, read as the body is.
    pub fn object<T>(
        &mut self,
        name: &'static str,
        read: impl FnOnce(&mut Fields<'_>) -> Option<T>,
    ) -> Option<T> {
        let value = self.required(name, Kind::Object)?;
        self.as_object(name, value, read)
    }

    /// An object that may be missing or null, its members read by `read`.
    pub fn optional_object<T>(
        &mut self,
        name: &'static str,
        read: impl FnOnce(&mut Fields<'_>) -> Option<T>,
    ) -> Option<T> {
        let value = self.optional(name, Kind::Object)?;
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
        Fields::read(members, Place::Member(&self.place, name), self.reading, read)
    }

    /// A required list of 1 to `max` objects.
    pub fn list<T>(
        &mut self,
        name: &'static str,
        max: usize,
        mut read: impl FnMut(&mut Fields<'_>) -> Option<T>,
    ) -> Option<Vec<T>> {
        let items = match self.required(name, Kind::List(max))? {
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
                Fields::read(members, place, self.reading, &mut read)
            } else {
                self.reading.faults.note(&place, Code::InvalidValue, "has to be an object".into());
                None
            };
            values = values.zip(value).map(|(mut values, value)| {
                values.push(value);
                values
            });
        }
        values
    }

    /// A required list of 1 to `max` texts in this format, which the caller looks at: what is no
    /// text is told as an empty one.
    pub fn names(
        &mut self,
        name: &'static str,
        max: usize,
        format: Format,
    ) -> Option<Vec<&'a str>> {
        let items = match self.required(name, Kind::Names(max, format))? {
            Json::List(items) if (1..=max).contains(&items.len()) => items,
            _ => {
                let wrong = format!("has to be a list of 1 to {max} texts");
                self.refuse(name, Code::InvalidValue, wrong);
                return None;
            }
        };
        let text = |item: &'a Json<'a>| match item {
            Json::Text(text) => &**text,
            _ => "",
        };
        Some(items.iter().map(text).collect())
    }

    /// An object with member names of the client's choice, whose members are all text that people
    /// write, of up to `max` characters; a missing one counts as empty.
    pub fn texts(&mut self, name: &'static str, max: usize) -> Option<Vec<(String, String)>> {
        let members = match self.optional(name, Kind::Texts(max)) {
            None => return Some(Vec::new()),
            Some(Json::Object(members)) => members,
            Some(_) => {
                self.refuse(name, Code::InvalidValue, "has to be an object");
                return None;
            }
        };
        let place = Place::Member(&self.place, name);
        let inner = Fields { members, asked: Vec::new(), place, reading: self.reading };
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
