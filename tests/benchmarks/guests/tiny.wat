;; The smallest hook with two host calls: what remains is the cost of a store and of crossing the border.
(module
  (import "zelavis_v1" "kv" (func $kv (param i32 i32 i32 i32) (result i32)))
  (memory (export "memory") 1)
  (data (i32.const 16) "{\"op\":\"get\",\"args\":[\"saves\"]}")
  (data (i32.const 64) "{\"op\":\"set\",\"args\":[\"saves\",1]}")
  (data (i32.const 128) "{\"ok\":1}")
  (func (export "zelavis_alloc") (param i32) (result i32) (i32.const 4096))
  (func (export "zelavis_call") (param i32 i32) (result i64)
    (drop (call $kv (i32.const 16) (i32.const 29) (i32.const 1024) (i32.const 512)))
    (drop (call $kv (i32.const 64) (i32.const 31) (i32.const 1024) (i32.const 512)))
    (i64.or (i64.shl (i64.const 128) (i64.const 32)) (i64.const 8))))
