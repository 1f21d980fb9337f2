// The JavaScript engine as a guest: QuickJS-ng behind ABI v1.
//
// It lives twice. At deployment it boots, evaluates bootstrap.js and the plugin's top level, and its memory is saved.
// At a call that memory is mapped again, copy on write, and only zelavis_alloc and zelavis_call are used: nothing is
// freed on that path, because the store is dropped right after it.
#include <stdbool.h>
#include <stdint.h>
#include <stdlib.h>
#include <string.h>
#include "quickjs.h"

#define EXPORT(name) __attribute__((export_name(#name)))
#define IMPORT(name) __attribute__((import_module("zelavis_engine"), import_name(#name)))

// One host call: capability family, request (JSON), a buffer for the answer. Gives the answer's length; an answer
// longer than the buffer is fetched with take().
IMPORT(call) int32_t host_call(const char *family, int32_t family_len, const char *request, int32_t request_len,
                               char *buffer, int32_t capacity);
IMPORT(take) void host_take(char *buffer);

// ---- What wasi-libc would ask of a system: there is none. The clock stands still during a call. -----------------
static int64_t clock_ms;

#define WASI(name) __imported_wasi_snapshot_preview1_##name
int32_t WASI(clock_time_get)(int32_t id, int64_t precision, int32_t out) {
  *(int64_t *)(intptr_t)out = clock_ms * 1000000;
  return 0;
}
int32_t WASI(fd_close)(int32_t fd) { return 8; }
int32_t WASI(fd_fdstat_get)(int32_t fd, int32_t out) { return 8; }
int32_t WASI(fd_seek)(int32_t fd, int64_t offset, int32_t whence, int32_t out) { return 8; }
int32_t WASI(fd_write)(int32_t fd, int32_t vectors, int32_t count, int32_t out) { return 8; }
_Noreturn void WASI(proc_exit)(int32_t code) { __builtin_trap(); }
int close(int fd) { return -1; }

// ---- State: all of it is in linear memory, so that a snapshot of memory is a snapshot of the engine. -------------
enum {
  STACK_BYTES = 512 * 1024,       // of JavaScript frames; the linker gives the C stack somewhat more
  HEAP_SLACK = 256 * 1024,        // free heap in the snapshot, so that a usual call never grows memory
  GC_STEP = 4 * 1024 * 1024,      // cycles are collected whenever the heap has grown by this much
  ANSWER_BYTES = 2048             // answers up to this length need no second crossing
};
static JSRuntime *runtime;
static JSContext *context;
static JSValue install, invoke, describe;
static bool exhausted;            // an allocation failed
static uint64_t random_state[4];  // xoshiro256**

static uint64_t packed(const char *text, size_t length) {
  return ((uint64_t)(uint32_t)(uintptr_t)text << 32) | (uint32_t)length;
}
static const char OUT_OF_MEMORY[] =
    "{\"error\":{\"name\":\"InternalError\",\"message\":\"out of memory\",\"stack\":\"\",\"code\":\"memory_exhausted\"}}";
static const char UNPRINTABLE[] =
    "{\"error\":{\"name\":\"Error\",\"message\":\"an error that cannot be described\",\"stack\":\"\",\"code\":\"\"}}";
#define CONSTANT(text) packed(text, sizeof(text) - 1)

// ---- Allocation: the plain one, but it remembers that it failed. --------------------------------------------------
static void *noticed(void *pointer) {
  if (!pointer) exhausted = true;
  return pointer;
}
static void *memory_calloc(void *opaque, size_t count, size_t size) { return noticed(calloc(count, size)); }
static void *memory_malloc(void *opaque, size_t size) { return noticed(malloc(size)); }
static void memory_free(void *opaque, void *pointer) { free(pointer); }
static void *memory_realloc(void *opaque, void *pointer, size_t size) { return noticed(realloc(pointer, size)); }
extern size_t malloc_usable_size(void *pointer);
static size_t memory_size(const void *pointer) { return malloc_usable_size((void *)pointer); }
static const JSMallocFunctions MEMORY = {memory_calloc, memory_malloc, memory_free, memory_realloc, memory_size};

// ---- What bootstrap.js gets from here. ----------------------------------------------------------------------------
// host(family, request) -> answer, both JSON texts
static JSValue native_host(JSContext *c, JSValueConst self, int argc, JSValueConst *argv) {
  size_t family_len, request_len;
  const char *family = JS_ToCStringLen(c, &family_len, argv[0]);
  const char *request = JS_ToCStringLen(c, &request_len, argv[1]);
  if (!family || !request) return JS_EXCEPTION;
  char near[ANSWER_BYTES];
  char *answer = near;
  int32_t length = host_call(family, (int32_t)family_len, request, (int32_t)request_len, near, sizeof near);
  JS_FreeCString(c, family);
  JS_FreeCString(c, request);
  if (length > (int32_t)sizeof near) {
    answer = malloc((size_t)length);
    if (!answer) { exhausted = true; return JS_ThrowOutOfMemory(c); }
    host_take(answer);
  }
  JSValue value = JS_NewStringLen(c, answer, (size_t)length);
  if (answer != near) free(answer);
  return value;
}

// begin(nowMs, seed): the clock and the generator of this call; the seed is 64 bits as decimal text
static JSValue native_begin(JSContext *c, JSValueConst self, int argc, JSValueConst *argv) {
  if (JS_ToInt64(c, &clock_ms, argv[0])) return JS_EXCEPTION;
  const char *text = JS_ToCString(c, argv[1]);
  if (!text) return JS_EXCEPTION;
  uint64_t seed = strtoull(text, NULL, 10);
  JS_FreeCString(c, text);
  for (int i = 0; i < 4; i++) {  // splitmix64: neighbouring seeds give unrelated states
    uint64_t z = (seed += 0x9e3779b97f4a7c15u);
    z = (z ^ (z >> 30)) * 0xbf58476d1ce4e5b9u;
    z = (z ^ (z >> 27)) * 0x94d049bb133111ebu;
    random_state[i] = z ^ (z >> 31);
  }
  return JS_UNDEFINED;
}

static uint64_t rotated(uint64_t x, int bits) { return (x << bits) | (x >> (64 - bits)); }

// Math.random
static JSValue native_random(JSContext *c, JSValueConst self, int argc, JSValueConst *argv) {
  uint64_t *s = random_state, result = rotated(s[1] * 5, 7) * 9, t = s[1] << 17;
  s[2] ^= s[0]; s[3] ^= s[1]; s[1] ^= s[2]; s[0] ^= s[3]; s[2] ^= t; s[3] = rotated(s[3], 45);
  return JS_NewFloat64(c, (double)(result >> 11) * 0x1p-53);
}

// encode(text) -> ArrayBuffer of UTF-8; the text must be well formed
static JSValue native_encode(JSContext *c, JSValueConst self, int argc, JSValueConst *argv) {
  size_t length;
  const char *text = JS_ToCStringLen(c, &length, argv[0]);
  if (!text) return JS_EXCEPTION;
  JSValue buffer = JS_NewArrayBufferCopy(c, (const uint8_t *)text, length);
  JS_FreeCString(c, text);
  return buffer;
}

// Length of the UTF-8 sequence at p, 0 when it is malformed; *bad is then how many bytes one U+FFFD stands for.
static int sequence(const uint8_t *p, size_t left, int *bad) {
  uint8_t first = p[0], low = 0x80, high = 0xbf;
  int length = first < 0x80 ? 1 : first >= 0xc2 && first < 0xe0 ? 2 : first >= 0xe0 && first < 0xf0 ? 3
             : first >= 0xf0 && first < 0xf5 ? 4 : 0;
  *bad = 1;
  if (first == 0xe0) low = 0xa0;
  if (first == 0xed) high = 0x9f;
  if (first == 0xf0) low = 0x90;
  if (first == 0xf4) high = 0x8f;
  for (int i = 1; i < length; i++) {
    if ((size_t)i >= left || p[i] < low || p[i] > high) { *bad = i; return 0; }
    low = 0x80; high = 0xbf;
  }
  return length;
}

// decode(Uint8Array, fatal) -> text; undefined when fatal and malformed
static JSValue native_decode(JSContext *c, JSValueConst self, int argc, JSValueConst *argv) {
  size_t size;
  const uint8_t *bytes = JS_GetUint8Array(c, &size, argv[0]);
  if (!bytes && size) return JS_EXCEPTION;
  bool fatal = JS_ToBool(c, argv[1]);
  uint8_t *text = malloc(size * 3 + 1);
  if (!text) { exhausted = true; return JS_ThrowOutOfMemory(c); }
  size_t length = 0;
  for (size_t i = 0; i < size;) {
    int bad, step = sequence(bytes + i, size - i, &bad);
    if (step) {
      memcpy(text + length, bytes + i, (size_t)step);
      length += (size_t)step; i += (size_t)step;
    } else {
      if (fatal) { free(text); return JS_UNDEFINED; }
      memcpy(text + length, "\xef\xbf\xbd", 3);
      length += 3; i += (size_t)bad;
    }
  }
  JSValue value = JS_NewStringLen(c, (const char *)text, length);
  free(text);
  return value;
}

// ---- Running. -----------------------------------------------------------------------------------------------------
// The pending exception as the ABI's error object.
static uint64_t failure(const char *code) {
  JSValue error = JS_GetException(context);
  if (exhausted && JS_IsNull(error)) return CONSTANT(OUT_OF_MEMORY);
  JSValue arguments[2] = {error, JS_NewString(context, code)};
  JSValue text = JS_Call(context, describe, JS_UNDEFINED, 2, arguments);
  size_t length;
  const char *out = JS_IsException(text) ? NULL : JS_ToCStringLen(context, &length, text);
  if (out) return packed(out, length);
  return exhausted ? CONSTANT(OUT_OF_MEMORY) : CONSTANT(UNPRINTABLE);
}

// Runs what promises wait for until `value` settles. One that nothing can settle any more is an error at once.
static JSValue settled(JSValue value) {
  if (!JS_IsPromise(value)) return value;
  JSContext *unused;
  int result;
  while ((result = JS_ExecutePendingJob(runtime, &unused)) > 0) {}
  if (result < 0) return JS_EXCEPTION;
  switch (JS_PromiseState(context, value)) {
    case JS_PROMISE_FULFILLED: return JS_PromiseResult(context, value);
    case JS_PROMISE_REJECTED: return JS_Throw(context, JS_PromiseResult(context, value));
    default: return JS_ThrowInternalError(context, "the promise never settles: nothing is left to run");
  }
}

static JSModuleDef *no_import(JSContext *c, const char *name, void *opaque) {
  JS_ThrowReferenceError(c, "cannot import '%s': a plugin is one file, bundle it before packing", name);
  return NULL;
}

// {"ok": …} around a JSON text; nothing is freed, the store ends soon
static uint64_t success(JSValue value) {
  JSValue json = JS_JSONStringify(context, value, JS_UNDEFINED, JS_UNDEFINED);
  if (JS_IsException(json)) return failure("output_invalid");
  size_t length = 4;
  const char *text = JS_IsUndefined(json) ? "null" : JS_ToCStringLen(context, &length, json);
  if (!text) return failure("");
  char *out = malloc(length + 7);
  if (!out) { exhausted = true; return CONSTANT(OUT_OF_MEMORY); }
  memcpy(out, "{\"ok\":", 6);
  memcpy(out + 6, text, length);
  out[length + 6] = '}';
  return packed(out, length + 7);
}

EXPORT(zelavis_alloc) char *zelavis_alloc(int32_t size) {
  char *pointer = size < 0 ? NULL : malloc((size_t)size + 1);  // one more, for the terminator of JSON and source texts
  if (pointer) pointer[size] = 0;
  return pointer;
}

EXPORT(zelavis_call) uint64_t zelavis_call(const char *text, int32_t length) {
  JS_UpdateStackTop(runtime);
  JSValue envelope = JS_ParseJSON(context, text, (size_t)length, "<envelope>");
  if (JS_IsException(envelope)) return failure("");
  JSValue value = settled(JS_Call(context, invoke, JS_UNDEFINED, 1, &envelope));
  return JS_IsException(value) ? failure("") : success(value);
}

// ---- Deployment only. ---------------------------------------------------------------------------------------------
EXPORT(boot) uint64_t boot(const char *source, int32_t length) {
  runtime = JS_NewRuntime2(&MEMORY, NULL);
  if (!runtime) return CONSTANT(OUT_OF_MEMORY);
  JS_SetMaxStackSize(runtime, STACK_BYTES);
  JS_SetModuleLoaderFunc(runtime, NULL, no_import, NULL);
  context = JS_NewContext(runtime);
  if (!context) return CONSTANT(OUT_OF_MEMORY);
  describe = JS_UNDEFINED;
  JSValue make = JS_Eval(context, source, (size_t)length, "<zelavis>", JS_EVAL_TYPE_GLOBAL);
  if (JS_IsException(make)) return failure("");
  JSValue native = JS_NewObject(context);
  JS_SetPropertyStr(context, native, "host", JS_NewCFunction(context, native_host, "host", 2));
  JS_SetPropertyStr(context, native, "begin", JS_NewCFunction(context, native_begin, "begin", 2));
  JS_SetPropertyStr(context, native, "random", JS_NewCFunction(context, native_random, "random", 0));
  JS_SetPropertyStr(context, native, "encode", JS_NewCFunction(context, native_encode, "encode", 1));
  JS_SetPropertyStr(context, native, "decode", JS_NewCFunction(context, native_decode, "decode", 2));
  JSValue made = JS_Call(context, make, JS_UNDEFINED, 1, &native);
  if (JS_IsException(made)) return failure("");
  install = JS_GetPropertyStr(context, made, "install");
  invoke = JS_GetPropertyStr(context, made, "invoke");
  describe = JS_GetPropertyStr(context, made, "describe");
  return success(JS_TRUE);
}

EXPORT(load) uint64_t load(const char *source, int32_t length) {
  JSValue compiled = JS_Eval(context, source, (size_t)length, "plugin.mjs",
                             JS_EVAL_TYPE_MODULE | JS_EVAL_FLAG_COMPILE_ONLY);
  if (JS_IsException(compiled)) return failure("");
  JSModuleDef *module = JS_VALUE_GET_PTR(compiled);
  if (JS_ResolveModule(context, compiled) < 0) return failure("");
  if (JS_IsException(settled(JS_EvalFunction(context, compiled)))) return failure("");
  JSValue names = JS_GetModuleNamespace(context, module);
  JSValue found = JS_Call(context, install, JS_UNDEFINED, 1, &names);
  if (JS_IsException(found)) return failure("");
  uint64_t out = success(found);
  JS_RunGC(runtime);
  JSMemoryUsage usage;
  JS_ComputeMemoryUsage(runtime, &usage);
  JS_SetGCThreshold(runtime, (size_t)usage.malloc_size + GC_STEP);
  free(malloc(HEAP_SLACK));
  return out;
}
