//! A guest that makes trouble on request, in Rust: the hook trouble:WORD says which. Built by examples/plugins/build.py.
#![allow(unconditional_recursion)]
use std::alloc::{alloc, Layout};
use std::cell::RefCell;

#[link(wasm_import_module = "zelavis_v1")]
extern "C" {
    fn kv(request: *const u8, length: usize, answer: *mut u8, capacity: usize) -> usize;
}

/// A value that the compiler knows nothing of.
fn black_box<T>(value: T) -> T {
    let kept = std::mem::ManuallyDrop::new(value);
    unsafe { std::ptr::read_volatile(&*kept) }
}

const MARK: &[u8] = b"trouble:";
const FULL: &str = "{\"error\":{\"name\":\"Error\",\"message\":\"full\",\"stack\":\"\",\"code\":\"memory_exhausted\"}}";
static mut GLOBAL: u32 = 0;
static mut VIRTUAL: Option<Box<dyn Fn() -> bool>> = None;
thread_local! { static LOCAL: RefCell<Vec<u8>> = RefCell::new(Vec::new()); }

#[no_mangle]
pub extern "C" fn zelavis_alloc(size: usize) -> *mut u8 {
    unsafe { alloc(Layout::from_size_align_unchecked(size.max(1), 8)) }
}

fn packed(text: &str) -> u64 {
    (text.as_ptr() as u64) << 32 | text.len() as u64
}

fn host(at: usize, length: usize) {
    let mut near = [0u8; 256];
    unsafe { kv(at as *const u8, length, near.as_mut_ptr(), near.len()) };
}

/// Finds what an earlier call left in a static, a closure behind a vtable, a thread-local and raw memory; leaves it anew.
fn keep() -> u64 {
    let found = unsafe {
        let pages = core::arch::wasm32::memory_size(0);
        let far = (pages - 1) * 65536 + 100;
        let grown = core::arch::wasm32::memory_grow(0, 1) * 65536 + 200;
        let left = GLOBAL != 0
            || VIRTUAL.as_ref().map_or(false, |f| f())
            || LOCAL.with(|local| !local.borrow().is_empty())
            || *black_box(grown as *const u8) != 0;
        let heap = zelavis_alloc(4096);
        let dirty = (0..4096).any(|n| *heap.add(n) != 0);
        for n in 0..4096 {
            *heap.add(n) = b's';
        }
        *black_box(grown as *mut u8) = b's';
        GLOBAL = 42 + (far as u32 & 1);
        let secret = black_box(7u8);
        VIRTUAL = Some(Box::new(move || secret == 7));
        LOCAL.with(|local| local.borrow_mut().push(b's'));
        left || dirty
    };
    packed(if found { "{\"ok\":\"found\"}" } else { "{\"ok\":\"fresh\"}" })
}

#[inline(never)]
fn deep(n: u32) -> u32 {
    let here = black_box([n; 16]);
    deep(black_box(here[3]) + 1) + here[5]
}

#[no_mangle]
pub extern "C" fn zelavis_call(input: *const u8, length: usize) -> u64 {
    let envelope = unsafe { std::slice::from_raw_parts(input, length) };
    let at = envelope.windows(MARK.len()).position(|part| part == MARK).unwrap_or(0) + MARK.len();
    let memory = || core::arch::wasm32::memory_size(0) * 65536;
    match envelope.get(at..at + 2).unwrap_or(b"") {
        b"ke" => {
            if envelope.get(at + 4) == Some(&b'-') {
                keep();
            }
            keep()
        }
        b"lo" => loop {
            black_box(0);
        },
        b"me" => loop {
            if zelavis_alloc(1 << 20).is_null() {
                return packed(FULL);
            }
        },
        b"re" => deep(0) as u64,
        b"tr" => core::arch::wasm32::unreachable(),
        // Rust divides by zero with a panic, which ends in the instruction unreachable.
        b"di" => (1 / black_box(length - length)) as u64,
        b"bi" => (zelavis_alloc(1 << 20) as u64) << 32 | 1 << 20,
        b"in" => packed("{\"ok\":NaN}"),
        b"po" => 0xffff_fffa << 32 | 8,
        b"en" => ((memory() - 4) as u64) << 32 | 8,
        b"ho" => {
            let get = "{\"op\":\"get\",\"args\":[\"k\"]}";
            for _ in 0..1000 {
                host(get.as_ptr() as usize, get.len());
            }
            packed("{\"ok\":\"done\"}")
        }
        b"fl" => {
            host(0xffff_fff0, 64);
            packed("{\"ok\":\"done\"}")
        }
        _ => packed("{\"ok\":\"healthy\"}"),
    }
}
