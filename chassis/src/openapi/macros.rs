//! Macros for what a description has of each type: examples, and schemas that stand inline.

/// Gives views their examples: `examples! { StatusView => {"status": "confirmed"}, }`.
#[macro_export]
macro_rules! examples {
    ($($view:ty => $example:tt,)+) => {
        $(impl $crate::openapi::View for $view {
            fn example() -> $crate::openapi::serde_json::Value {
                $crate::openapi::serde_json::json!($example)
            }
        })+
    };
}

/// Describes a type where it is used, instead of under a name of its own:
/// `inline_schema! { Limit => {"type": "integer"} }`.
#[macro_export]
macro_rules! inline_schema {
    ($name:ident => $schema:tt) => {
        impl $crate::openapi::schemars::JsonSchema for $name {
            fn inline_schema() -> bool {
                true
            }

            fn schema_name() -> ::std::borrow::Cow<'static, str> {
                ::std::borrow::Cow::Borrowed(stringify!($name))
            }

            fn json_schema(
                _: &mut $crate::openapi::schemars::SchemaGenerator,
            ) -> $crate::openapi::schemars::Schema {
                $crate::openapi::schemars::json_schema!($schema)
            }
        }
    };
}
