// The standard job as a Zelavis plugin (ABI v1).
#include "words.h"

__attribute__((import_module("zelavis_v1"), import_name("kv")))
int32_t kv(const void *request, int32_t size, void *buffer, int32_t capacity);

__attribute__((export_name("zelavis_alloc"))) void *zelavis_alloc(int32_t size) { return take_memory((uint32_t)size); }

__attribute__((export_name("zelavis_call"))) int64_t zelavis_call(const uint8_t *json, int32_t size) {
  uint8_t *reply = take_memory(1024), *request = take_memory(128);
  const char *get = "{\"op\":\"get\",\"args\":[\"saves\"]}";
  int32_t got = kv(get, (int32_t)length(get), reply, 1024);
  uint32_t saves = digits(reply, (uint32_t)got) + 1;
  uint8_t *at = put(request, "{\"op\":\"set\",\"args\":[\"saves\",");
  at = put_number(at, saves); at = put(at, "]}");
  kv(request, (int32_t)(at - request), reply, 1024);
  uint8_t *start = take_memory(512);
  at = put(start, "{\"ok\":"); at = answer(at, json, (uint32_t)size, saves); at = put(at, "}");
  return ((int64_t)(uint32_t)(uintptr_t)start << 32) | (uint32_t)(at - start);
}
