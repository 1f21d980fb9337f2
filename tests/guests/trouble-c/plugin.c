// A guest that makes trouble on request, in C: the hook trouble:WORD says which. Built by examples/plugins/build.py.
typedef unsigned char byte;
typedef unsigned int u32;
typedef unsigned long long u64;

#define EXPORT(name) __attribute__((export_name(#name)))
__attribute__((import_module("zelavis_v1"), import_name("kv"))) int host_kv(const char *, u32, char *, u32);

extern byte __heap_base;
static byte *next = &__heap_base;
static u32 global_secret;
static byte static_secret[64];
static int (*function_secret)(void);

EXPORT(zelavis_alloc) byte *zelavis_alloc(u32 size) {
  byte *start = next, *end = start + ((size + 7) & ~7u);
  u32 have = __builtin_wasm_memory_size(0) << 16;
  if ((u32)end > have && __builtin_wasm_memory_grow(0, (((u32)end - have) >> 16) + 1) == (unsigned long)-1) return 0;
  next = end;
  return start;
}
static u64 packed(const void *at, u32 size) { return (u64)(u32)at << 32 | size; }
#define ANSWER(text) packed(text, sizeof(text) - 1)

static int trap(void) { __builtin_trap(); }
__attribute__((noinline)) static int deep(volatile int *outer) {
  volatile int here = *outer + 1;
  return deep(&here) + here;
}

static u64 keep(void) {  // finds what an earlier call left, then leaves it for a later one
  byte *far = (byte *)(3 << 16);
  int found = global_secret || static_secret[0] || function_secret;
  if (__builtin_wasm_memory_size(0) > 3) found |= far[100];
  for (byte *p = next; p < next + 4096; p++) found |= *p;
  if (__builtin_wasm_memory_size(0) < 4) __builtin_wasm_memory_grow(0, 4 - __builtin_wasm_memory_size(0));
  far[100] = 's';
  for (int i = 0; i < 4096; i++) next[i] = 's';
  global_secret = 42;
  static_secret[0] = 's';
  function_secret = trap;
  return found ? ANSWER("{\"ok\":\"found\"}") : ANSWER("{\"ok\":\"fresh\"}");
}

EXPORT(zelavis_call) u64 zelavis_call(const byte *p, u32 length) {
  static const char mark[] = "trouble:";
  const byte *end = p + length;
  for (; p < end; p++) {
    u32 i = 0;
    while (i < 8 && p[i] == (byte)mark[i]) i++;
    if (i == 8) break;
  }
  byte *zone;
  static char near[256];
  static const char get[] = "{\"op\":\"get\",\"args\":[\"k\"]}";
  switch (p[8] << 8 | p[9]) {
    case 'k' << 8 | 'e': if (p[12] == '-') keep(); return keep();
    case 'l' << 8 | 'o': for (volatile u32 n = 0;; n++) {}
    case 'm' << 8 | 'e':
      for (;;) { zone = zelavis_alloc(1 << 20); if (!zone) return ANSWER("{\"error\":{\"name\":\"Error\",\"message\":\"full\",\"stack\":\"\",\"code\":\"memory_exhausted\"}}"); }
    case 'r' << 8 | 'e': return packed(0, (u32)deep((volatile int *)&global_secret));
    case 't' << 8 | 'r': return packed(0, (u32)trap());
    case 'd' << 8 | 'i': return packed(0, 1u / (length - length));
    case 'b' << 8 | 'i': zone = zelavis_alloc(1 << 20); return packed(zone, 1 << 20);
    case 'i' << 8 | 'n': return ANSWER("{\"ok\":NaN}");
    case 'p' << 8 | 'o': return packed((void *)0xfffffffa, 8);
    case 'e' << 8 | 'n': return packed((void *)((__builtin_wasm_memory_size(0) << 16) - 4), 8);
    case 'h' << 8 | 'o': for (int i = 0; i < 1000; i++) host_kv(get, sizeof get - 1, near, sizeof near); return ANSWER("{\"ok\":\"done\"}");
    case 'f' << 8 | 'l': host_kv((const char *)0xfffffff0, 64, near, sizeof near); return ANSWER("{\"ok\":\"done\"}");
    default: return ANSWER("{\"ok\":\"healthy\"}");
  }
}
