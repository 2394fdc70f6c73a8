/* Packs matrices, rounds rows, and shares a product among threads. */
#include "matrix.h"

#include <stdlib.h>

#include "tiles.h"

/* Rows of one work item: their integers stay in the second-level cache while panels pass. */
enum { BLOCK_ROWS = 64 };

static inline int panels_of(int outputs) { return (outputs + PANEL - 1) / PANEL; }
static inline int group_inputs(const matrix* m) { return m->kind == NARROW ? 4 : 2; }

static int take_memory(matrix* m, arithmetic kind, int outputs, int inputs) {
  memset(m, 0, sizeof *m);
  m->kind = kind, m->outputs = outputs, m->inputs = inputs, m->panels = panels_of(outputs);
  size_t columns = (size_t)m->panels * PANEL;
  m->bias = calloc(columns, 4);
  if (kind == FLOATS) {
    m->weights = calloc(columns * inputs, 4);
    return m->bias && m->weights ? 0 : -1;
  }
  int inputs_at_once = kind == NARROW ? 4 * SHORT_SUMS : 2;
  m->groups = (inputs + inputs_at_once - 1) / inputs_at_once * inputs_at_once / group_inputs(m);
  /* The largest sum is inputs * 127 * row_limit. */
  int64_t limit = INT32_MAX / (127 * (int64_t)inputs);
  m->row_limit = kind == NARROW ? NARROW_LIMIT : limit < 32767 ? (int)limit : 32767;
  m->scales = calloc(columns, 4), m->offsets = calloc(columns, 4);
  m->codes = calloc(columns * m->groups, group_inputs(m));
  return m->bias && m->scales && m->offsets && m->codes ? 0 : -1;
}

/* Where the codes of one output begin; those of its next group of inputs stand a panel further. */
static inline size_t place_of(const matrix* m, int output) {
  return ((size_t)(output / PANEL) * PANEL * m->groups + output % PANEL) * group_inputs(m);
}

static inline size_t float_place_of(const matrix* m, int output) {
  return (size_t)(output / PANEL) * PANEL * m->inputs + output % PANEL;
}

static void pack_output(matrix* m, const plain_matrix* from, int output) {
  size_t row = (size_t)output * from->inputs;
  if (m->kind == FLOATS) {
    float* to = m->weights + float_place_of(m, output);
    for (int i = 0; i < m->inputs; i++) to[(size_t)i * PANEL] = from->floats[row + i];
    return;
  }
  int8_t* to = m->codes + place_of(m, output);
  int in_group = group_inputs(m), sum = 0;
  for (int i = 0; i < m->inputs; i++) {
    to[(size_t)(i / in_group) * in_group * PANEL + i % in_group] = from->codes[row + i];
    sum += from->codes[row + i];
  }
  m->scales[output] = from->scales[output];
  m->offsets[output] = -NARROW_OFFSET * sum;
}

int matrix_pack(matrix* m, const plain_matrix* from) {
  if (take_memory(m, from->kind, from->outputs, from->inputs)) return -1;
  for (int output = 0; output < m->outputs; output++) pack_output(m, from, output);
  if (from->bias) memcpy(m->bias, from->bias, 4 * (size_t)m->outputs);
  for (int i = m->outputs; i < m->panels * PANEL; i++) m->bias[i] = from->spare;
  return 0;
}

static void copy_output(matrix* m, int to, const matrix* from, int output) {
  m->bias[to] = from->bias[output];
  if (m->kind == FLOATS) {
    float* target = m->weights + float_place_of(m, to);
    const float* source = from->weights + float_place_of(from, output);
    for (size_t i = 0; i < (size_t)m->inputs; i++) target[i * PANEL] = source[i * PANEL];
    return;
  }
  m->scales[to] = from->scales[output], m->offsets[to] = from->offsets[output];
  size_t bytes = (size_t)group_inputs(m), step = bytes * PANEL;
  int8_t* target = m->codes + place_of(m, to);
  const int8_t* source = from->codes + place_of(from, output);
  for (size_t group = 0; group < (size_t)m->groups; group++) memcpy(target + group * step, source + group * step, bytes);
}

int matrix_like(matrix* m, const matrix* from, int room) {
  if (take_memory(m, from->kind, room, from->inputs)) return -1;
  m->outputs = m->panels = 0;
  return 0;
}

void matrix_append(matrix* m, const matrix* from, int output) {
  copy_output(m, m->outputs++, from, output);
  m->panels = panels_of(m->outputs);
}

void matrix_free(matrix* m) {
  free(m->codes), free(m->weights), free(m->scales), free(m->bias), free(m->offsets);
  memset(m, 0, sizeof *m);
}

int code_bytes(const matrix* m) { return m->kind == NARROW ? 1 : 2; }
int code_stride(const matrix* m) { return m->groups * group_inputs(m) + 32 * group_inputs(m); }

static float largest_magnitude(const float* row, int n) {
  floats high = {};
  int i = 0;
  for (; i + LANES <= n; i += LANES) {
    floats x = load(row + i);
    high = larger(high, larger(x, -x));
  }
  float most = largest_of(high);
  for (; i < n; i++) most = fabsf(row[i]) > most ? fabsf(row[i]) : most;
  return most;
}

/* To the nearest integer, ties to even. */
static inline ints rounded(floats x) {
#if LANES == 16
  return (ints)_mm512_cvtps_epi32((__m512)x);
#elif defined(__AVX2__)
  return (ints)_mm256_cvtps_epi32((__m256)x);
#else
  return __builtin_convertvector((x + 12582912.0f) - 12582912.0f, ints);
#endif
}

typedef uint8_t bytes __attribute__((vector_size(LANES)));
typedef int16_t halves __attribute__((vector_size(2 * LANES)));

float row_to_codes(const matrix* m, const float* row, void* codes) {
  float most = largest_magnitude(row, m->inputs), by = most > 0 ? (float)m->row_limit / most : 0;
  int step = code_bytes(m), taken = m->groups * group_inputs(m);
  /* Rows have room for whole vectors behind their last input; what stands there meets weights of 0. */
  for (int i = 0; i < taken; i += LANES) {
    int some = m->inputs - i < LANES ? m->inputs - i : LANES;
    floats x = some == LANES ? load(row + i) : load_some(row + i, some < 0 ? 0 : some, 0);
    ints code = rounded(x * by) + (step == 1 ? NARROW_OFFSET : 0);
    if (step == 1) {
      bytes narrow = __builtin_convertvector(code, bytes);
      memcpy((uint8_t*)codes + i, &narrow, sizeof narrow);
    } else {
      halves wide = __builtin_convertvector(code, halves);
      memcpy((int16_t*)codes + i, &wide, sizeof wide);
    }
  }
  return most / (float)m->row_limit;
}

static inline floats activated(floats x, activation after) {
  switch (after) {
    case RELU: return larger(x, all(0.0f));
    case SWISH: return x / (1.0f + exps(-x));
    case GELU: {
      for (int i = 0; i < LANES; i++) x[i] = 0.5f * x[i] * (1.0f + erff(x[i] * 0.70710678f));
      return x;
    }
    default: return x;
  }
}

typedef struct {
  const matrix* m;
  const operand* x;
  activation after;
  float* y;
  int panels_an_item, items_a_block;
  int goes_on; /* one thread takes the items in their order, so it knows the next panel behind an item too */
} product_loop;

static void finish(const product_loop* l, const float* found, int first, int rows, int panel) {
  const matrix* m = l->m;
  int width = m->outputs - panel * PANEL < PANEL ? m->outputs - panel * PANEL : PANEL;
  for (int r = 0; r < rows; r++) {
    float* to = l->y + (size_t)(first + r) * spread(m->outputs) + panel * PANEL;
    for (int column = 0; column < width; column += LANES) {
      floats x = activated(load(found + r * PANEL + column), l->after);
      if (width - column >= LANES)
        store(to + column, x);
      else
        store_some(to + column, x, width - column);
    }
  }
}

static void product_item(void* given, int item) {
  product_loop* l = given;
  float found[BLOCK_ROWS * PANEL];
  int first = item / l->items_a_block * BLOCK_ROWS, panel = item % l->items_a_block * l->panels_an_item;
  int rows = l->x->rows - first < BLOCK_ROWS ? l->x->rows - first : BLOCK_ROWS;
  int end = panel + l->panels_an_item < l->m->panels ? panel + l->panels_an_item : l->m->panels;
  row_block rows_of = {l->m, l->x, first, rows};
  for (; panel < end; panel++) {
    panel_product(&rows_of, panel, first == 0 && panel + 1 < (l->goes_on ? l->m->panels : end), found, PANEL);
    finish(l, found, first, rows, panel);
  }
}

void product(pool* p, const matrix* m, const operand* x, activation after, float* y) {
  /* One row takes an item little more than the time of claiming it: then several panels make one. */
  int panels = x->rows < TILE ? 8 : x->rows < 16 ? 2 : 1;
  product_loop l = {m, x, after, y, panels, (m->panels + panels - 1) / panels, pool_threads(p) == 1};
  pool_run(p, product_item, &l, l.items_a_block * ((x->rows + BLOCK_ROWS - 1) / BLOCK_ROWS));
}
