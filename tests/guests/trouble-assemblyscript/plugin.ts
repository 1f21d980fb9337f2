// A guest that makes trouble on request, in AssemblyScript: the hook trouble:WORD says which. Built by
// examples/plugins/build.py.
@external("zelavis_v1", "kv") declare function kv(request: usize, length: i32, answer: usize, capacity: i32): i32;

class Secret { text: string = ""; }
let globalSecret: i32 = 0;
let objectSecret: Secret | null = null;
let closureSecret: () => i32 = (): i32 => 0;
let keptAnswer: ArrayBuffer = new ArrayBuffer(0);

export function zelavis_alloc(size: i32): usize { return heap.alloc(size); }

function packed(at: usize, size: u32): u64 { return (u64(at) << 32) | u64(size); }
function answer(text: string): u64 {
  keptAnswer = String.UTF8.encode(text);
  return packed(changetype<usize>(keptAnswer), keptAnswer.byteLength);
}
function deep(n: i32): i32 { return n < 0 ? 0 : deep(n + 1) + n; }

function keep(): u64 {
  const far: usize = 3 << 16;
  let found = globalSecret != 0 || objectSecret != null || closureSecret() != 0;
  if (memory.size() > 3) found = found || load<u8>(far + 100) != 0;
  else memory.grow(4 - memory.size());
  store<u8>(far + 100, 115);
  globalSecret = 42;
  const kept = new Secret();
  kept.text = "secret";
  objectSecret = kept;
  closureSecret = (): i32 => 1;
  return answer(found ? '{"ok":"found"}' : '{"ok":"fresh"}');
}

export function zelavis_call(input: usize, length: i32): u64 {
  const text = String.UTF8.decodeUnsafe(input, length);
  const at = text.indexOf("trouble:") + 8;
  const word = text.substring(at, text.indexOf('"', at));
  if (word == "keep") return keep();
  if (word == "keep-twice") { keep(); return keep(); }
  if (word == "loop") { let n: u32 = 0; while (true) { n++; store<u32>(0, n); } }
  if (word == "memory") {
    while (memory.grow(16) >= 0) {}
    return answer('{"error":{"name":"Error","message":"full","stack":"","code":"memory_exhausted"}}');
  }
  if (word == "recurse") return packed(0, deep(length));
  if (word == "trap") unreachable();
  if (word == "divide") return packed(0, 1 / (length - length));
  if (word == "big") return packed(heap.alloc(1 << 20), 1 << 20);
  if (word == "invalid") return answer('{"ok":NaN}');
  if (word == "pointer") return packed(0xfffffffa, 8);
  if (word == "end") return packed((memory.size() << 16) - 4, 8);
  if (word == "host") {
    const sent = String.UTF8.encode('{"op":"get","args":["k"]}');
    const near = new ArrayBuffer(256);
    for (let i = 0; i < 1000; i++) kv(changetype<usize>(sent), sent.byteLength, changetype<usize>(near), 256);
    return answer('{"ok":"done"}');
  }
  if (word == "flat") { kv(0xfffffff0, 64, 0, 0); return answer('{"ok":"done"}'); }
  return answer('{"ok":"healthy"}');
}
