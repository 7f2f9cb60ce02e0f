//! The types that `build.rs` makes from `shop/**/*.proto`, in modules nested as the packages are.

/// Includes the code that was generated for one package: its messages and their JSON form.
macro_rules! package {
    ($name:ident) => {
        pub(crate) mod $name {
            #[expect(
                clippy::allow_attributes,
                clippy::allow_attributes_without_reason,
                clippy::pedantic,
                unused_qualifications,
                reason = "generated"
            )]
            pub mod v1 {
                include!(concat!(env!("OUT_DIR"), "/shop.", stringify!($name), ".v1.rs"));
                include!(concat!(env!("OUT_DIR"), "/shop.", stringify!($name), ".v1.serde.rs"));
            }
        }
    };
}

package!(money);
package!(orders);
package!(payments);
package!(stock);
package!(notifications);
package!(catalogue);
