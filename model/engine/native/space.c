/* The rows that a call works on, and what happens to each of them between two matrix products. */
#include <stdlib.h>

#include "network.h"

enum { ROWS_AN_ITEM = 4 };
static const float NORM_EPSILON = 1e-5f;

static void* grown(void* old, size_t bytes) {
  free(old);
  return aligned_alloc(64, (bytes + 63) / 64 * 64);
}

int make_room(work_space* s, int rows) {
  if (rows <= s->rows) return 0;
  rows += rows / 4;
  size_t narrow = (size_t)rows * spread(s->width), wide = (size_t)rows * (spread(s->widest) + 64);
  s->x = grown(s->x, 4 * narrow), s->y = grown(s->y, 4 * narrow), s->added = grown(s->added, 4 * narrow);
  s->wide = grown(s->wide, 4 * wide), s->codes = grown(s->codes, 2 * wide);
  s->code_scales = grown(s->code_scales, 4 * (size_t)rows);
  s->rows = rows;
  if (s->x && s->y && s->added && s->wide && s->codes && s->code_scales) return 0;
  s->rows = 0;
  return -1;
}

static void normalise(const float* x, norm by, int n, float* y) {
  floats sum = {};
  int i = 0;
  for (; i + LANES <= n; i += LANES) sum += load(x + i);
  if (i < n) sum += load_some(x + i, n - i, 0);
  float mean = sum_of(sum) / (float)n;
  floats squares = {};
  for (i = 0; i + LANES <= n; i += LANES) {
    floats away = load(x + i) - mean;
    squares += away * away;
  }
  if (i < n) {
    floats away = load_some(x + i, n - i, mean) - mean;
    squares += away * away;
  }
  float by_deviation = 1.0f / sqrtf(sum_of(squares) / (float)n + NORM_EPSILON);
  for (i = 0; i < n; i++) y[i] = (x[i] - mean) * by_deviation * by.gamma[i] + by.beta[i];
}

static void round_row(network* n, const float* from, int row, const matrix* next) {
  char* codes = (char*)n->space.codes + (size_t)row * code_stride(next) * code_bytes(next);
  n->space.code_scales[row] = row_to_codes(next, from, codes);
}

typedef struct {
  seam s;
  const float* from;
  int rows;
} row_loop;

static void seam_row(const row_loop* l, int row) {
  const seam* s = &l->s;
  int width = s->n->width;
  size_t first = (size_t)row * spread(width);
  float *x = s->n->space.x + first, *y = s->n->space.y + first;
  if (s->added) add_weighted(x, 1.0f, s->added + first, width);
  if (s->after.gamma) normalise(x, s->after, width, x);
  if (s->before.gamma) normalise(x, s->before, width, y);
  if (s->next->kind != FLOATS) round_row(s->n, s->before.gamma ? y : x, row, s->next);
}

static void seam_item(void* given, int item) {
  const row_loop* l = given;
  for (int row = item * ROWS_AN_ITEM; row < (item + 1) * ROWS_AN_ITEM && row < l->rows; row++) seam_row(l, row);
}

static operand operand_of(network* n, const float* rows_of, int rows, const matrix* next) {
  if (next->kind != FLOATS) return (operand){rows, code_stride(next), 0, n->space.codes, n->space.code_scales};
  return (operand){rows, spread(next->inputs), rows_of, 0, 0};
}

operand join(seam s, int rows) {
  row_loop l = {s, 0, rows};
  pool_run(s.n->threads, seam_item, &l, (rows + ROWS_AN_ITEM - 1) / ROWS_AN_ITEM);
  return operand_of(s.n, s.before.gamma ? s.n->space.y : s.n->space.x, rows, s.next);
}

static void codes_item(void* given, int item) {
  const row_loop* l = given;
  const matrix* next = l->s.next;
  for (int row = item * ROWS_AN_ITEM; row < (item + 1) * ROWS_AN_ITEM && row < l->rows; row++)
    round_row(l->s.n, l->from + (size_t)row * spread(next->inputs), row, next);
}

operand as_operand(network* n, const float* rows_of, int rows, const matrix* next) {
  if (next->kind != FLOATS) {
    row_loop l = {{.n = n, .next = next}, rows_of, rows};
    pool_run(n->threads, codes_item, &l, (rows + ROWS_AN_ITEM - 1) / ROWS_AN_ITEM);
  }
  return operand_of(n, rows_of, rows, next);
}

void embed_row(const network* n, const stack* s, int piece, int position, float* x) {
  int width = n->width;
  size_t first = (size_t)piece * (size_t)width;
  float scale = n->scale;
  if (s->pieces.codes) {
    for (int i = 0; i < width; i++) x[i] = (float)s->pieces.codes[first + i] * s->pieces.scales[piece] * scale;
  } else {
    for (int i = 0; i < width; i++) x[i] = s->pieces.floats[first + i] * scale;
  }
  if (s->positions) add_weighted(x, 1.0f, s->positions + (size_t)position * width, width);
  if (s->embedding_norm.gamma) normalise(x, s->embedding_norm, width, x);
}
