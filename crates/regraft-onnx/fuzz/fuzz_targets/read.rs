//! Any bytes: reading, importing, grafting and writing back end in a value or an error.
#![no_main]

#[path = "../../tests/hostile/everything.rs"]
mod everything;

use libfuzzer_sys::fuzz_target;

fuzz_target!(|bytes: &[u8]| {
    let _ = everything::use_fully(bytes);
});
