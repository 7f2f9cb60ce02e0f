//! The documents that describe the shop to machines: as the code makes them.

use std::fs;

/// `make prepare` writes them anew.
#[test]
fn the_documents_say_what_the_code_says() {
    for document in e2e::documents() {
        let kept = fs::read_to_string(&document.path).unwrap_or_default();
        let name = document.path.file_name().unwrap().display().to_string();
        assert!(kept == document.text, "docs/{name} is not what the code makes: run make prepare");
    }
}
