// The standard job as an Extism plugin: Extism's kernel holds input and output, the host function takes and gives JSON.
#include "words.h"

#define ENV(name) __attribute__((import_module("extism:host/env"), import_name(#name)))
ENV(input_length) uint64_t input_length(void);
ENV(input_load_u64) uint64_t input_load_u64(uint64_t at);
ENV(input_load_u8) uint32_t input_load_u8(uint64_t at);
ENV(length) uint64_t block_length(uint64_t block);
ENV(alloc) uint64_t block_alloc(uint64_t size);
ENV(load_u8) uint32_t load_u8(uint64_t at);
ENV(store_u8) void store_u8(uint64_t at, uint32_t value);
ENV(output_set) void output_set(uint64_t block, uint64_t size);
__attribute__((import_module("extism:host/user"), import_name("kv"))) uint64_t kv(uint64_t request);

static uint64_t give(const uint8_t *text, uint32_t size) {
  uint64_t block = block_alloc(size);
  for (uint32_t i = 0; i < size; i++) store_u8(block + i, text[i]);
  return block;
}

__attribute__((export_name("hook"))) int32_t hook(void) {
  uint32_t size = (uint32_t)input_length();
  uint8_t *json = take_memory(size + 8), *reply = take_memory(1024), *request = take_memory(128);
  uint32_t at_8 = 0;
  for (; at_8 + 8 <= size; at_8 += 8) *(uint64_t *)(json + at_8) = input_load_u64(at_8);
  for (; at_8 < size; at_8++) json[at_8] = (uint8_t)input_load_u8(at_8);
  const char *get = "{\"op\":\"get\",\"args\":[\"saves\"]}";
  uint64_t block = kv(give((const uint8_t *)get, length(get)));
  uint32_t got = (uint32_t)block_length(block);
  for (uint32_t i = 0; i < got && i < 1024; i++) reply[i] = (uint8_t)load_u8(block + i);
  uint32_t saves = digits(reply, got) + 1;
  uint8_t *at = put(request, "{\"op\":\"set\",\"args\":[\"saves\",");
  at = put_number(at, saves); at = put(at, "]}");
  kv(give(request, (uint32_t)(at - request)));
  uint8_t *start = take_memory(512);
  at = answer(start, json, size, saves);
  output_set(give(start, (uint32_t)(at - start)), (uint64_t)(at - start));
  return 0;
}
