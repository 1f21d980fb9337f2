//! Word count in Rust, without crates: one file for `rustc`. Build with build.py.
use std::alloc::{alloc, Layout};

#[link(wasm_import_module = "zelavis_v1")]
extern "C" {
    fn kv(request: *const u8, length: usize, answer: *mut u8, capacity: usize) -> usize;
    fn take(answer: *mut u8);
}

#[no_mangle]
pub extern "C" fn zelavis_alloc(size: usize) -> *mut u8 {
    unsafe { alloc(Layout::from_size_align_unchecked(size.max(1), 8)) }
}

fn call(request: &str) -> Vec<u8> {
    let mut answer = vec![0u8; 1024];
    let size = unsafe { kv(request.as_ptr(), request.len(), answer.as_mut_ptr(), answer.len()) };
    if size > answer.len() {
        answer = vec![0u8; size];
        unsafe { take(answer.as_mut_ptr()) };
    }
    answer.truncate(size);
    answer
}

// ---- Reading JSON: a value is a slice that begins where the value does. -------------------------------------------
fn blank(s: &[u8]) -> &[u8] {
    let at = s.iter().position(|c| *c > 32).unwrap_or(s.len());
    &s[at..]
}

/// Length of the text at the start of `s`, quotes included.
fn text(s: &[u8]) -> usize {
    let mut at = 1;
    while at < s.len() && s[at] != b'"' {
        at += if s[at] == b'\\' { 2 } else { 1 };
    }
    (at + 1).min(s.len())
}

/// Length of the value at the start of `s`.
fn value(s: &[u8]) -> usize {
    let (mut at, mut depth) = (0, 0);
    while at < s.len() {
        match s[at] {
            b'"' => {
                at += text(&s[at..]);
                if depth == 0 {
                    return at;
                }
                continue;
            }
            b'{' | b'[' => depth += 1,
            b'}' | b']' if depth == 0 => return at,
            b'}' | b']' => {
                depth -= 1;
                if depth == 0 {
                    return at + 1;
                }
            }
            b',' if depth == 0 => return at,
            _ => {}
        }
        at += 1;
    }
    at
}

fn member<'a>(object: &'a [u8], name: &str) -> Option<&'a [u8]> {
    let mut s = blank(blank(object).strip_prefix(b"{")?);
    while s.first() == Some(&b'"') {
        let end = text(s);
        let found = &s[1..end - 1] == name.as_bytes();
        s = blank(blank(&s[end..]).strip_prefix(b":")?);
        let length = value(s);
        if found {
            return Some(&s[..length]);
        }
        s = blank(&s[length..]);
        s = blank(s.strip_prefix(b",").unwrap_or(s));
    }
    None
}

// ---- The plugin. --------------------------------------------------------------------------------------------------
/// Words of a JSON text; tags and escapes divide words.
fn words(json: &[u8]) -> usize {
    let (mut count, mut inside, mut tag, mut escaped) = (0, false, false, false);
    for c in json.get(1..json.len().saturating_sub(1)).unwrap_or(&[]) {
        if escaped || *c == b'\\' {
            escaped = !escaped;
            inside = false;
            continue;
        }
        tag |= *c == b'<';
        let one = !tag && (c.is_ascii_alphanumeric() || *c >= 128);
        count += usize::from(one && !inside);
        inside = one;
        tag &= *c != b'>';
    }
    count
}

fn lossy(json: Option<&[u8]>, otherwise: &str) -> String {
    json.map_or_else(|| otherwise.to_string(), |v| String::from_utf8_lossy(v).trim().to_string())
}

fn handle(envelope: &[u8]) -> String {
    let hook = lossy(member(envelope, "hook"), "");
    if hook == "\"content:afterSave\"" {
        let event = member(envelope, "event").unwrap_or(b"{}");
        let content = member(event, "content").unwrap_or(b"{}");
        let kept = call("{\"op\":\"increment\",\"args\":[\"saves\"]}");
        return match member(&kept, "value") {
            Some(saves) => format!(
                "{{\"ok\":{{\"id\":{},\"words\":{},\"saves\":{}}}}}",
                lossy(member(event, "id"), "null"),
                words(member(content, "title").unwrap_or(b"")) + words(member(content, "body").unwrap_or(b"")),
                lossy(Some(saves), "0"),
            ),
            None => failure("Error", &lossy(member(&kept, "error"), "\"\""), &lossy(member(&kept, "code"), "\"\"")),
        };
    }
    if hook.starts_with("\"plugin:") {
        return "{\"ok\":null}".to_string();
    }
    failure("ReferenceError", "\"no handler for this hook\"", "\"no_handler\"")
}

fn failure(name: &str, message: &str, code: &str) -> String {
    format!("{{\"error\":{{\"name\":\"{name}\",\"message\":{message},\"stack\":\"\",\"code\":{code}}}}}")
}

#[no_mangle]
pub extern "C" fn zelavis_call(input: *const u8, length: usize) -> u64 {
    let answer = handle(unsafe { std::slice::from_raw_parts(input, length) }).into_bytes();
    let packed = (answer.as_ptr() as u64) << 32 | answer.len() as u64;
    std::mem::forget(answer);
    packed
}
