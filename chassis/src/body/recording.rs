//! What a reader asks of a body, as a JSON Schema: the reader itself says what it takes, while it
//! reads examples. So the API's description cannot say anything else than what is enforced.

use std::collections::{BTreeMap, BTreeSet};

use schemars::SchemaGenerator;
use serde_json::{Map, Value, json};

use super::{
    asked::{AskedField, Format, Kind, Recorder, Visit},
    fields::{Amount, Fields, read_recorded},
};

/// What a reader takes, learned from the examples that it has read.
pub struct BodyRecording(BTreeMap<String, Vec<Visit>>);

/// Lets `read` read each of the examples.
///
/// # Panics
///
/// If an example is refused: examples are shown to clients, who try them.
pub fn record<'a, T>(
    examples: impl IntoIterator<Item = &'a Value>,
    mut read: impl FnMut(&mut Fields<'_>) -> Option<T>,
) -> BodyRecording {
    let recorder = Recorder::default();
    for example in examples {
        let read = read_recorded(example.to_string().as_bytes(), &recorder, &mut read);
        let read = read.map_err(|problem| format!("{problem:?}: {example}"));
        read.expect("an example is taken by its reader");
    }
    BodyRecording(recorder.into_visits())
}

impl BodyRecording {
    /// The schema of the body.
    pub fn schema(&self, generator: &mut SchemaGenerator) -> Value {
        self.object("", generator)
    }

    /// Whether a body has a member of this kind anywhere.
    fn has(&self, is_it: impl Fn(Kind) -> bool) -> bool {
        let mut asked = self.0.values().flatten().flat_map(|visit| visit.asked.values());
        asked.any(|it| is_it(it.kind))
    }

    /// Whether money is in the body.
    pub fn has_amount(&self) -> bool {
        self.has(|kind| matches!(kind, Kind::Amount))
    }

    /// Whether people write into the body.
    pub fn has_words(&self) -> bool {
        self.has(|kind| matches!(kind, Kind::Text { is_words: true, .. } | Kind::Texts(_)))
    }

    /// The schema of the objects at `place`: what differs in the members that it has is a
    /// variant.
    fn object(&self, place: &str, generator: &mut SchemaGenerator) -> Value {
        let mut variants: BTreeMap<Vec<(&str, bool)>, Vec<&Visit>> = BTreeMap::new();
        for visit in self.0.get(place).into_iter().flatten() {
            let name = |it: &AskedField| (it.name, matches!(it.kind, Kind::Absent));
            let names = visit.asked.values().map(name).collect();
            variants.entry(names).or_default().push(visit);
        }
        let variants: Vec<_> = variants.into_values().collect();
        let mut schemas: Vec<_> =
            variants.iter().map(|visits| self.variant(place, visits, generator)).collect();
        if schemas.len() < 2 {
            return schemas.pop().unwrap_or_else(|| json!({"type": "object"}));
        }
        tell_apart(&variants, &mut schemas);
        json!({ "anyOf": schemas })
    }

    fn variant(&self, place: &str, visits: &[&Visit], generator: &mut SchemaGenerator) -> Value {
        let names = visits.iter().flat_map(|visit| visit.asked.keys());
        let (mut properties, mut required) = (Map::new(), BTreeSet::new());
        for name in names.copied().collect::<BTreeSet<_>>() {
            let asked: Vec<_> = visits.iter().filter_map(|visit| visit.asked.get(name)).collect();
            let mut kinds: Vec<Value> = Vec::new();
            for it in &asked {
                let schema = self.member(&format!("{place}/{name}"), it.kind, generator);
                if !kinds.contains(&schema) {
                    kinds.push(schema);
                }
            }
            let is_required = asked.iter().all(|it| it.is_required);
            if is_required {
                required.insert(name);
            }
            properties.insert(name.to_owned(), one_of(kinds, is_required));
        }
        let mut schema = json!({
            "type": "object", "properties": properties, "additionalProperties": false,
        });
        if !required.is_empty() {
            schema["required"] = json!(required);
        }
        schema
    }

    fn member(&self, place: &str, kind: Kind, generator: &mut SchemaGenerator) -> Value {
        match kind {
            Kind::Any => json!({}),
            Kind::Absent => json!({"type": "null"}),
            Kind::Text { min: 0, max, .. } => json!({"type": "string", "maxLength": max}),
            Kind::Text { min, max, .. } => {
                json!({"type": "string", "minLength": min, "maxLength": max})
            }
            Kind::Formatted(Format::Of(schema)) => schema(generator).into(),
            Kind::Formatted(Format::Pattern(pattern)) => {
                json!({"type": "string", "pattern": pattern})
            }
            Kind::Formatted(Format::Words(words)) => json!({"type": "string", "enum": words}),
            Kind::Formatted(Format::Named(format)) => {
                json!({"type": "string", "format": format})
            }
            Kind::Integer(low, high) => {
                json!({"type": "integer", "minimum": low, "maximum": high})
            }
            Kind::Flag => json!({"type": "boolean"}),
            Kind::Amount => generator.subschema_for::<Amount>().into(),
            Kind::Object => self.object(place, generator),
            Kind::List(max) => {
                let item = self.object(&format!("{place}/*"), generator);
                json!({"type": "array", "minItems": 1, "maxItems": max, "items": item})
            }
            Kind::Names(max, format) => {
                let item = self.member(place, Kind::Formatted(format), generator);
                json!({"type": "array", "minItems": 1, "maxItems": max, "items": item})
            }
            Kind::Texts(max) => json!({
                "type": "object", "propertyNames": {"maxLength": max},
                "additionalProperties": {"type": "string", "maxLength": max},
            }),
        }
    }
}

/// The schema of a member that is of one of these kinds; null counts as left out.
fn one_of(mut kinds: Vec<Value>, is_required: bool) -> Value {
    if kinds.contains(&json!({})) {
        // What may be anything here was left out in that example.
        kinds.retain(|kind| *kind != json!({}));
    }
    if is_required && kinds.len() == 1 {
        return kinds.remove(0);
    }
    let Some(kind) = kinds.first().filter(|_| kinds.len() == 1) else {
        if kinds.is_empty() {
            return json!({});
        }
        kinds.extend((!is_required).then(|| json!({"type": "null"})));
        return json!({ "anyOf": kinds });
    };
    let mut kind = kind.clone();
    match kind.get("type") {
        Some(Value::String(name)) if name == "null" => kind,
        Some(Value::String(name)) => {
            kind["type"] = json!([name, "null"]);
            if let Some(Value::Array(words)) = kind.get_mut("enum") {
                words.push(Value::Null);
            }
            kind
        }
        _ => json!({"anyOf": [kind, {"type": "null"}]}),
    }
}

/// Says in each variant which words make it, where the examples of different variants have
/// different ones: so `{"method":"card"}` is not taken for an order that is paid later.
fn tell_apart(variants: &[Vec<&Visit>], schemas: &mut [Value]) {
    let names: BTreeSet<&String> =
        variants.iter().flatten().flat_map(|visit| visit.texts.keys()).collect();
    for name in names {
        let seen: Vec<_> = variants.iter().map(|visits| seen(visits, name)).collect();
        let all: BTreeSet<_> = seen.iter().flatten().collect();
        let are_apart = all.len() == seen.iter().map(BTreeSet::len).sum::<usize>();
        let is_word = |schema: &Value| schema["properties"][name].get("enum").is_some();
        if !are_apart || !schemas.iter().all(is_word) {
            continue;
        }
        for (schema, seen) in schemas.iter_mut().zip(&seen) {
            narrow(schema, name, seen);
        }
    }
}

/// The texts of a member in these objects; `None` where it was absent, or no text.
fn seen<'a>(visits: &[&'a Visit], name: &str) -> BTreeSet<Option<&'a String>> {
    visits.iter().map(|visit| visit.texts.get(name)).collect()
}

/// Narrows a member that is one of several words to those that were seen; `None` is its absence.
fn narrow(schema: &mut Value, name: &str, seen: &BTreeSet<Option<&String>>) {
    let Some(Value::Array(known)) = schema["properties"][name].get("enum") else { return };
    let words: Vec<_> = seen.iter().map(|word| json!(word)).collect();
    if !words.iter().all(|word| known.contains(word)) {
        // What is no word of these is looked at by the caller, who takes it.
        schema["properties"][name] = json!({"type": "string"});
        return;
    }
    let is_required = !seen.contains(&None);
    let kind = if is_required { json!("string") } else { json!(["string", "null"]) };
    schema["properties"][name] = json!({"type": kind, "enum": words});
    if is_required {
        let mut required = schema["required"].as_array().cloned().unwrap_or_default();
        if !required.contains(&json!(name)) {
            required.push(json!(name));
        }
        schema["required"] = json!(required);
    }
}
