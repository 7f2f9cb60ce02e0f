//! Compiles `shop/**/*.proto` to Rust types and their JSON form, without `protoc`.

use std::error::Error;

use protox::prost::Message;

const FILES: [&str; 6] = [
    "shop/money/v1/money.proto",
    "shop/orders/v1/events.proto",
    "shop/payments/v1/events.proto",
    "shop/stock/v1/events.proto",
    "shop/notifications/v1/events.proto",
    "shop/catalogue/v1/events.proto",
];

fn main() -> Result<(), Box<dyn Error>> {
    println!("cargo::rerun-if-changed=shop");
    let described = protox::compile(FILES, ["."])?;
    pbjson_build::Builder::new()
        .register_descriptors(&described.encode_to_vec())?
        .preserve_proto_field_names()
        .emit_fields()
        .build(&[".shop"])?;
    prost_build::Config::new().compile_fds(described)?;
    Ok(())
}
