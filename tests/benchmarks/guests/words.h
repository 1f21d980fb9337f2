// Just enough to read a JSON text and count words, without a C library.
#include <stdint.h>

static uint8_t heap[1 << 18];
static uint32_t used;
static uint8_t *take_memory(uint32_t size) { uint8_t *start = heap + used; used += (size + 15) & ~15u; return start; }

static uint32_t length(const char *text) { uint32_t n = 0; while (text[n]) n++; return n; }

static const uint8_t *find(const uint8_t *text, uint32_t size, const char *word) {
  uint32_t n = length(word);
  for (uint32_t at = 0; at + n <= size; at++) {
    uint32_t i = 0;
    while (i < n && text[at + i] == (uint8_t)word[i]) i++;
    if (i == n) return text + at + n;
  }
  return 0;
}

// The value of the first string member with this (quoted) name.
static const uint8_t *member(const uint8_t *json, uint32_t size, const char *quoted, uint32_t *found) {
  const uint8_t *at = find(json, size, quoted), *end = json + size;
  *found = 0;
  if (!at) return json;
  while (at < end && *at != '"') at++;
  const uint8_t *start = ++at;
  while (at < end && *at != '"') at++;
  *found = (uint32_t)(at - start);
  return start;
}

static uint32_t digits(const uint8_t *text, uint32_t size) {
  uint32_t value = 0;
  for (uint32_t i = 0; i < size; i++) if (text[i] >= '0' && text[i] <= '9') value = value * 10 + (text[i] - '0');
  return value;
}

static uint32_t count_words(const uint8_t *text, uint32_t size) {
  uint32_t words = 0, inside = 0, tag = 0;
  for (uint32_t i = 0; i < size; i++) {
    uint8_t c = text[i];
    if (c == '<') tag = 1;
    uint32_t letter = !tag && (c >= 0x80 || (c | 32) - 'a' < 26u || c - '0' < 10u);
    words += letter && !inside;
    inside = letter;
    if (c == '>') tag = 0;
  }
  return words;
}

static uint8_t *put(uint8_t *at, const char *text) { while (*text) *at++ = (uint8_t)*text++; return at; }
static uint8_t *put_bytes(uint8_t *at, const uint8_t *text, uint32_t size) { while (size--) *at++ = *text++; return at; }
static uint8_t *put_number(uint8_t *at, uint32_t value) {
  uint8_t digits[10]; int n = 0;
  do { digits[n++] = '0' + value % 10; value /= 10; } while (value);
  while (n) *at++ = digits[--n];
  return at;
}

static uint8_t *answer(uint8_t *at, const uint8_t *json, uint32_t size, uint32_t saves) {
  uint32_t id_size, text_size;
  const uint8_t *event = find(json, size, "\"event\""), *end = json + size;
  if (!event) event = json;
  const uint8_t *id = member(event, (uint32_t)(end - event), "\"id\"", &id_size);
  const uint8_t *text = member(event, (uint32_t)(end - event), "\"body\"", &text_size);
  at = put(at, "{\"id\":\""); at = put_bytes(at, id, id_size);
  at = put(at, "\",\"saves\":"); at = put_number(at, saves);
  at = put(at, ",\"words\":"); at = put_number(at, count_words(text, text_size));
  return put(at, "}");
}
