//! Target `manifest`; what it does is in `tests/fuzz/targets`.
#![no_main]

#[path = "../../tests/fuzz/targets/mod.rs"]
#[expect(dead_code, reason = "seeds and words reach libFuzzer as files")]
mod targets;

libfuzzer_sys::fuzz_target!(|data: &[u8]| (targets::target("manifest").check)(data));
