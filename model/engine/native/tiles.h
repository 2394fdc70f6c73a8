/* What the inner loops and the packing agree on. */
#ifndef DRAGOMAN_TILES_H
#define DRAGOMAN_TILES_H

#include "matrix.h"

enum { LINE_BYTES = 64 };
/* Groups of four inputs that are added up in 16 bits (without VNNI). */
enum { SHORT_SUMS = 2 };
#if defined(__AVX512VNNI__) && LANES == 16
enum { NARROW_LIMIT = 127, NARROW_OFFSET = 128 };
#else
enum { NARROW_LIMIT = 63, NARROW_OFFSET = 64 };
#endif

typedef struct {
  const matrix* m;
  const operand* x;
  int first, panel, stride;
  float* to;
  int fetches; /* while the sums are under way the weights of the next panel come into the cache */
} tile;

static inline ints load_ints(const int32_t* from) {
  ints x;
  memcpy(&x, from, sizeof x);
  return x;
}

/* Ask for the `bytes` that stand in the next panel where `at` does in this one. */
static inline void fetch_next(const tile* t, const void* at, size_t panel_bytes, size_t bytes) {
  if (!t->fetches) return;
  const char* next = (const char*)at + panel_bytes;
  for (size_t line = 0; line < bytes; line += LINE_BYTES) __builtin_prefetch(next + line, 0, 3);
}

/* A finished sum of row r, back to floats. */
static inline void put_sum(const tile* t, int r, int column, ints sum) {
  int output = t->panel * PANEL + column;
  floats scale = load(t->m->scales + output) * t->x->scales[t->first + r];
  store(t->to + (size_t)r * t->stride + column, to_floats(sum) * scale + load(t->m->bias + output));
}

#endif
