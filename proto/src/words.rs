//! Enums whose values are words.

use schemars::{Schema, json_schema};
// For the macro's expansion, in crates that may not have them.
pub use {schemars, serde};

/// The schema of a text that is one of these words.
pub fn schema(words: &[&str]) -> Schema {
    json_schema!({"type": "string", "enum": words})
}

/// Declares an enum whose values are words: the same on the API, in the database and in logs.
#[macro_export]
macro_rules! words {
    (
        $(#[$about:meta])*
        $visible:vis enum $name:ident { $($(#[$of:meta])* $value:ident = $word:literal,)+ }
    ) => {
        $(#[$about])*
        #[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
        $visible enum $name { $($(#[$of])* $value,)+ }

        impl $name {
            /// All values, in the order of their declaration.
            pub const ALL: [Self; [$($word),+].len()] = [$(Self::$value),+];

            /// The value as a word.
            pub const fn as_str(self) -> &'static str {
                match self { $(Self::$value => $word,)+ }
            }

            /// Reads what [`Self::as_str`] wrote.
            pub fn parse(word: &str) -> Option<Self> {
                Self::ALL.into_iter().find(|known| known.as_str() == word)
            }
        }

        impl $crate::words::serde::Serialize for $name {
            fn serialize<S>(&self, out: S) -> ::core::result::Result<S::Ok, S::Error>
            where
                S: $crate::words::serde::Serializer,
            {
                out.serialize_str(self.as_str())
            }
        }

        impl $crate::words::schemars::JsonSchema for $name {
            fn inline_schema() -> bool {
                true
            }

            fn schema_name() -> ::std::borrow::Cow<'static, str> {
                ::std::borrow::Cow::Borrowed(stringify!($name))
            }

            fn json_schema(
                _: &mut $crate::words::schemars::SchemaGenerator,
            ) -> $crate::words::schemars::Schema {
                $crate::words::schema(&[$($word),+])
            }
        }
    };
}
