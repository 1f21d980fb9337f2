//! A function per capability, as the manifest declares them. Build: ./build.sh
use std::alloc::{alloc, Layout};

#[link(wasm_import_module = "zelavis_v1")]
extern "C" {
    fn kv(request: *const u8, length: usize, answer: *mut u8, capacity: usize) -> usize;
}

#[no_mangle]
pub extern "C" fn zelavis_alloc(size: usize) -> *mut u8 {
    unsafe { alloc(Layout::from_size_align_unchecked(size.max(1), 8)) }
}

fn failure(message: &str, code: &str) -> String {
    format!("{{\"error\":{{\"name\":\"Error\",\"message\":\"{message}\",\"stack\":\"\",\"code\":\"{code}\"}}}}")
}

fn handle(envelope: &str) -> String {
    if envelope.contains("\"hook\":\"plugin:") {
        return "{\"ok\":null}".into();
    }
    if !envelope.contains("\"hook\":\"content:afterSave\"") {
        return failure("no handler", "no_handler");
    }
    let request = "{\"op\":\"increment\",\"args\":[\"saves\"]}";
    let mut answer = [0u8; 128];
    let size = unsafe { kv(request.as_ptr(), request.len(), answer.as_mut_ptr(), answer.len()) };
    // {"value":7} or {"error":…}
    match answer.get(..size).and_then(|bytes| std::str::from_utf8(bytes).ok()) {
        Some(text) if text.starts_with("{\"value\":") => {
            format!("{{\"ok\":{{\"saves\":{}}}}}", &text[9..text.len() - 1])
        }
        _ => failure("kv failed", "kv_failed"),
    }
}

#[no_mangle]
pub extern "C" fn zelavis_call(input: *const u8, length: usize) -> u64 {
    let envelope = unsafe { std::slice::from_raw_parts(input, length) };
    let output = handle(std::str::from_utf8(envelope).unwrap_or("")).into_bytes();
    let packed = ((output.as_ptr() as u64) << 32) | output.len() as u64;
    std::mem::forget(output);
    packed
}
