/* A tile of rows by a panel of outputs stays in registers while all inputs pass. Every output is one sum in the order
   of its inputs, whatever the other rows are, so a row's result never depends on its neighbours. */
#include "matrix.h"

#include <stdlib.h>

/* Rows of one work item: their integers stay in the second-level cache while panels pass. */
enum { BLOCK_ROWS = 64 };

static inline int panels_of(int outputs) { return (outputs + PANEL - 1) / PANEL; }

static int take_memory(matrix* m, int outputs, int inputs) {
  memset(m, 0, sizeof *m);
  m->outputs = outputs, m->inputs = inputs;
  m->panels = panels_of(outputs), m->pairs = (inputs + 1) / 2;
  m->scales = calloc((size_t)m->panels * PANEL, 4);
  m->bias = calloc((size_t)m->panels * PANEL, 4);
  return m->scales && m->bias ? 0 : -1;
}

static void set_bias(matrix* m, const float* bias, float spare) {
  if (bias) memcpy(m->bias, bias, 4 * (size_t)m->outputs);
  for (int i = m->outputs; i < m->panels * PANEL; i++) m->bias[i] = spare;
}

static int take_codes(matrix* m) {
  /* The largest sum is inputs * 127 * row_limit. */
  int64_t limit = INT32_MAX / (127 * (int64_t)m->inputs);
  m->row_limit = limit < 32767 ? (int)limit : 32767;
  m->codes = calloc((size_t)m->panels * PANEL * m->pairs, 2);
  return m->codes ? 0 : -1;
}

/* Where the codes of one output begin; those of its pairs of inputs are 2 * PANEL apart. */
static inline size_t place_of(const matrix* m, int output) {
  return (size_t)(output / PANEL) * PANEL * m->pairs * 2 + (size_t)(output % PANEL) * 2;
}

int matrix_of_codes(matrix* m, const int8_t* codes, const float* scales, const float* bias, int outputs, int inputs,
                    float spare) {
  if (take_memory(m, outputs, inputs) || take_codes(m)) return -1;
  for (int output = 0; output < outputs; output++) {
    int8_t* to = m->codes + place_of(m, output);
    for (int i = 0; i < inputs; i++) to[(size_t)(i / 2) * 2 * PANEL + i % 2] = codes[(size_t)output * inputs + i];
  }
  memcpy(m->scales, scales, 4 * (size_t)outputs);
  set_bias(m, bias, spare);
  return 0;
}

int matrix_of_floats(matrix* m, const float* weights, const float* bias, int outputs, int inputs, float spare) {
  if (take_memory(m, outputs, inputs)) return -1;
  m->weights = calloc((size_t)m->panels * PANEL * inputs, 4);
  if (!m->weights) return -1;
  for (int output = 0; output < outputs; output++) {
    float* to = m->weights + (size_t)(output / PANEL) * PANEL * inputs + output % PANEL;
    for (int i = 0; i < inputs; i++) to[(size_t)i * PANEL] = weights[(size_t)output * inputs + i];
  }
  set_bias(m, bias, spare);
  return 0;
}

static void copy_output(matrix* m, int to, const matrix* from, int output) {
  m->scales[to] = from->scales[output];
  m->bias[to] = from->bias[output];
  if (from->codes) {
    int8_t* target = m->codes + place_of(m, to);
    const int8_t* source = from->codes + place_of(from, output);
    for (size_t pair = 0; pair < (size_t)m->pairs; pair++) memcpy(target + pair * 2 * PANEL, source + pair * 2 * PANEL, 2);
    return;
  }
  float* target = m->weights + (size_t)(to / PANEL) * PANEL * m->inputs + to % PANEL;
  const float* source = from->weights + (size_t)(output / PANEL) * PANEL * m->inputs + output % PANEL;
  for (size_t i = 0; i < (size_t)m->inputs; i++) target[i * PANEL] = source[i * PANEL];
}

int matrix_like(matrix* m, const matrix* from, int room) {
  if (take_memory(m, room, from->inputs)) return -1;
  if (from->codes) {
    if (take_codes(m)) return -1;
  } else {
    m->weights = calloc((size_t)m->panels * PANEL * m->inputs, 4);
    if (!m->weights) return -1;
  }
  m->outputs = m->panels = 0;
  return 0;
}

void matrix_append(matrix* m, const matrix* from, int output) {
  copy_output(m, m->outputs++, from, output);
  m->panels = panels_of(m->outputs);
}

void matrix_free(matrix* m) {
  free(m->codes), free(m->weights), free(m->scales), free(m->bias);
  memset(m, 0, sizeof *m);
}

float round_row(const float* row, int16_t* codes, int n, int limit) {
  floats high = {};
  int i = 0;
  for (; i + LANES <= n; i += LANES) {
    floats x = load(row + i);
    high = larger(high, larger(x, -x));
  }
  float most = largest_of(high);
  for (; i < n; i++) most = fabsf(row[i]) > most ? fabsf(row[i]) : most;
  if (!(most > 0)) {
    memset(codes, 0, 2 * (size_t)n);
    return 0;
  }
  float by = (float)limit / most;
  /* lrintf in a form that is vectorised: adding and taking away 1.5 * 2^23 rounds to the nearest even integer. */
  for (i = 0; i < n; i++) codes[i] = (int16_t)(int32_t)((row[i] * by + 12582912.0f) - 12582912.0f);
  return most / (float)limit;
}

#if defined(__AVX512BW__)
typedef __m512i shorts;
static inline shorts widen(const int8_t* from) { return _mm512_cvtepi8_epi16(_mm256_loadu_si256((const void*)from)); }
static inline shorts repeat(int32_t pair) { return _mm512_set1_epi32(pair); }
#if defined(__AVX512VNNI__)
static inline ints multiply_add(ints sum, shorts a, shorts b) { return (ints)_mm512_dpwssd_epi32((__m512i)sum, a, b); }
#else
static inline ints multiply_add(ints sum, shorts a, shorts b) { return sum + (ints)_mm512_madd_epi16(a, b); }
#endif
#elif defined(__AVX2__)
typedef __m256i shorts;
static inline shorts widen(const int8_t* from) { return _mm256_cvtepi8_epi16(_mm_loadu_si128((const void*)from)); }
static inline shorts repeat(int32_t pair) { return _mm256_set1_epi32(pair); }
static inline ints multiply_add(ints sum, shorts a, shorts b) { return sum + (ints)_mm256_madd_epi16(a, b); }
#else
typedef struct { int16_t at[2 * LANES]; } shorts;
static inline shorts widen(const int8_t* from) {
  shorts x;
  for (int i = 0; i < 2 * LANES; i++) x.at[i] = from[i];
  return x;
}
static inline shorts repeat(int32_t pair) {
  shorts x;
  for (int i = 0; i < LANES; i++) memcpy(x.at + 2 * i, &pair, 4);
  return x;
}
static inline ints multiply_add(ints sum, shorts a, shorts b) {
  for (int i = 0; i < LANES; i++) sum[i] += a.at[2 * i] * b.at[2 * i] + a.at[2 * i + 1] * b.at[2 * i + 1];
  return sum;
}
#endif

/* `rows` is a constant wherever this is used, so that all sums stay in registers. */
static inline __attribute__((always_inline)) void code_tile(const matrix* m, const operand* x, int first, int panel,
                                                            const int rows, float* to, int stride) {
  ints sum[TILE][PANEL_VECTORS] = {};
  const int8_t* codes = m->codes + (size_t)panel * PANEL * m->pairs * 2;
  const int16_t* at = x->codes + (size_t)first * x->stride;
  for (int pair = 0; pair < m->pairs; pair++, codes += 2 * PANEL) {
    shorts weights[PANEL_VECTORS];
    for (int v = 0; v < PANEL_VECTORS; v++) weights[v] = widen(codes + v * 2 * LANES);
    for (int r = 0; r < rows; r++) {
      int32_t inputs;
      memcpy(&inputs, at + (size_t)r * x->stride + 2 * pair, 4);
      shorts row = repeat(inputs);
      for (int v = 0; v < PANEL_VECTORS; v++) sum[r][v] = multiply_add(sum[r][v], row, weights[v]);
    }
  }
  for (int r = 0; r < rows; r++)
    for (int v = 0; v < PANEL_VECTORS; v++) {
      int column = panel * PANEL + v * LANES;
      floats scale = load(m->scales + column) * x->scales[first + r];
      store(to + (size_t)r * stride + v * LANES, to_floats(sum[r][v]) * scale + load(m->bias + column));
    }
}

static inline __attribute__((always_inline)) void float_tile(const matrix* m, const operand* x, int first, int panel,
                                                             const int rows, float* to, int stride) {
  floats sum[TILE][PANEL_VECTORS] = {};
  const float* weights = m->weights + (size_t)panel * PANEL * m->inputs;
  const float* at = x->floats + (size_t)first * x->stride;
  for (int i = 0; i < m->inputs; i++, weights += PANEL) {
    floats column[PANEL_VECTORS];
    for (int v = 0; v < PANEL_VECTORS; v++) column[v] = load(weights + v * LANES);
    for (int r = 0; r < rows; r++) {
      floats row = all(at[(size_t)r * x->stride + i]);
      for (int v = 0; v < PANEL_VECTORS; v++) sum[r][v] += row * column[v];
    }
  }
  for (int r = 0; r < rows; r++)
    for (int v = 0; v < PANEL_VECTORS; v++)
      store(to + (size_t)r * stride + v * LANES, sum[r][v] + load(m->bias + panel * PANEL + v * LANES));
}

#define TILES(NAME)                                                                                             \
  static void NAME##_of(const matrix* m, const operand* x, int first, int panel, int rows, float* to, int stride) { \
    switch (rows) {                                                                                             \
      case 1: NAME(m, x, first, panel, 1, to, stride); break;                                                   \
      case 2: NAME(m, x, first, panel, 2, to, stride); break;                                                   \
      case 3: NAME(m, x, first, panel, 3, to, stride); break;                                                   \
      case 4: NAME(m, x, first, panel, 4, to, stride); break;                                                   \
      WIDE_TILES(NAME)                                                                                          \
    }                                                                                                           \
  }
#if TILE == 8
#define WIDE_TILES(NAME)                                      \
  case 5: NAME(m, x, first, panel, 5, to, stride); break;     \
  case 6: NAME(m, x, first, panel, 6, to, stride); break;     \
  case 7: NAME(m, x, first, panel, 7, to, stride); break;     \
  case 8: NAME(m, x, first, panel, 8, to, stride); break;
#else
#define WIDE_TILES(NAME)
#endif
TILES(code_tile)
TILES(float_tile)

void panel_product(const matrix* m, const operand* x, int first, int count, int panel, float* to, int stride) {
  for (int row = 0; row < count; row += TILE) {
    int rows = count - row < TILE ? count - row : TILE;
    (m->codes ? code_tile_of : float_tile_of)(m, x, first + row, panel, rows, to + (size_t)row * stride, stride);
  }
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
} product_loop;

static void finish_tile(const product_loop* l, const float* tile, int first, int rows, int panel) {
  const matrix* m = l->m;
  int width = m->outputs - panel * PANEL < PANEL ? m->outputs - panel * PANEL : PANEL;
  for (int r = 0; r < rows; r++) {
    float* to = l->y + (size_t)(first + r) * m->outputs + panel * PANEL;
    for (int column = 0; column < width; column += LANES) {
      floats x = activated(load(tile + r * PANEL + column), l->after);
      if (width - column >= LANES)
        store(to + column, x);
      else
        store_some(to + column, x, width - column);
    }
  }
}

static void product_item(void* given, int item) {
  product_loop* l = given;
  float tile[TILE * PANEL];
  int first = item / l->items_a_block * BLOCK_ROWS, panel = item % l->items_a_block * l->panels_an_item;
  int last = first + BLOCK_ROWS < l->x->rows ? first + BLOCK_ROWS : l->x->rows;
  int end = panel + l->panels_an_item < l->m->panels ? panel + l->panels_an_item : l->m->panels;
  for (; panel < end; panel++)
    for (int row = first; row < last; row += TILE) {
      int rows = last - row < TILE ? last - row : TILE;
      panel_product(l->m, l->x, row, rows, panel, tile, PANEL);
      finish_tile(l, tile, row, rows, panel);
    }
}

void product(pool* p, const matrix* m, const operand* x, activation after, float* y) {
  /* One row takes an item little more than the time of claiming it: then several panels make one. */
  int panels = x->rows < TILE ? 8 : x->rows < 16 ? 2 : 1;
  product_loop l = {m, x, after, y, panels, (m->panels + panels - 1) / panels};
  pool_run(p, product_item, &l, l.items_a_block * ((x->rows + BLOCK_ROWS - 1) / BLOCK_ROWS));
}
