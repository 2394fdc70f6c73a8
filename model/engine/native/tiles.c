/* The inner loops of the products: a tile of rows by a panel of outputs stays in registers while all inputs pass. Every
   output is one sum in the order of its inputs, whatever the other rows are: a row's result never depends on them. */
#include "tiles.h"

#define INLINE static inline __attribute__((always_inline))

/* What this machine can do with integers: `shorts` holds 2 * LANES 16-bit or 4 * LANES 8-bit integers. */
#if LANES == 16
typedef __m512i shorts;
INLINE shorts load_bytes(const int8_t* from) { return _mm512_loadu_si512(from); }
INLINE shorts widen(const int8_t* from) { return _mm512_cvtepi8_epi16(_mm256_loadu_si256((const void*)from)); }
INLINE shorts repeat(int32_t group) { return _mm512_set1_epi32(group); }
#if defined(__AVX512VNNI__)
INLINE ints add_pairs(ints sum, shorts a, shorts b) { return (ints)_mm512_dpwssd_epi32((__m512i)sum, a, b); }
INLINE ints add_quads(ints sum, shorts a, shorts b) { return (ints)_mm512_dpbusd_epi32((__m512i)sum, a, b); }
#else
INLINE ints add_pairs(ints sum, shorts a, shorts b) { return sum + (ints)_mm512_madd_epi16(a, b); }
INLINE shorts quads(shorts a, shorts b) { return _mm512_maddubs_epi16(a, b); }
INLINE shorts saturating(shorts a, shorts b) { return _mm512_adds_epi16(a, b); }
INLINE ints add_halves(ints sum, shorts a) { return sum + (ints)_mm512_madd_epi16(a, _mm512_set1_epi16(1)); }
#endif
#elif defined(__AVX2__)
typedef __m256i shorts;
INLINE shorts load_bytes(const int8_t* from) { return _mm256_loadu_si256((const void*)from); }
INLINE shorts widen(const int8_t* from) { return _mm256_cvtepi8_epi16(_mm_loadu_si128((const void*)from)); }
INLINE shorts repeat(int32_t group) { return _mm256_set1_epi32(group); }
INLINE ints add_pairs(ints sum, shorts a, shorts b) { return sum + (ints)_mm256_madd_epi16(a, b); }
INLINE shorts quads(shorts a, shorts b) { return _mm256_maddubs_epi16(a, b); }
INLINE shorts saturating(shorts a, shorts b) { return _mm256_adds_epi16(a, b); }
INLINE ints add_halves(ints sum, shorts a) { return sum + (ints)_mm256_madd_epi16(a, _mm256_set1_epi16(1)); }
#else
#define WRITTEN_OUT
#endif

#if defined(WRITTEN_OUT)
/* No vectors that we know: what the others compute, one by one. */
static void wide_tile(const tile* t, const int rows) {
  const matrix* m = t->m;
  const int8_t* codes = m->codes + (size_t)t->panel * PANEL * m->groups * 2;
  for (int r = 0; r < rows; r++) {
    const int16_t* row = (const int16_t*)t->x->codes + (size_t)(t->first + r) * t->x->stride;
    int32_t sum[PANEL] = {0};
    for (int group = 0; group < m->groups; group++)
      for (int i = 0; i < PANEL; i++) {
        const int8_t* pair = codes + (size_t)group * 2 * PANEL + 2 * i;
        sum[i] += row[2 * group] * pair[0] + row[2 * group + 1] * pair[1];
      }
    for (int i = 0; i < PANEL; i += LANES) {
      ints part;
      memcpy(&part, sum + i, sizeof part);
      put_sum(t, r, i, part);
    }
  }
}

static void narrow_tile(const tile* t, const int rows) {
  const matrix* m = t->m;
  const int8_t* codes = m->codes + (size_t)t->panel * PANEL * m->groups * 4;
  for (int r = 0; r < rows; r++) {
    const uint8_t* row = (const uint8_t*)t->x->codes + (size_t)(t->first + r) * t->x->stride;
    int32_t sum[PANEL];
    memcpy(sum, m->offsets + t->panel * PANEL, sizeof sum);
    for (int group = 0; group < m->groups; group++)
      for (int i = 0; i < PANEL; i++)
        for (int k = 0; k < 4; k++) sum[i] += row[4 * group + k] * codes[(size_t)group * 4 * PANEL + 4 * i + k];
    for (int i = 0; i < PANEL; i += LANES) {
      ints part;
      memcpy(&part, sum + i, sizeof part);
      put_sum(t, r, i, part);
    }
  }
}
#define FIXED(NAME) NAME(t, rows);
#else
INLINE int32_t group_at(const void* codes, size_t byte) {
  int32_t group;
  memcpy(&group, (const char*)codes + byte, 4);
  return group;
}

/* `rows` is a constant wherever this is used, so that all sums stay in registers. */
INLINE void wide_tile(const tile* t, const int rows) {
  const matrix* m = t->m;
  ints sum[TILE][PANEL_VECTORS] = {};
  size_t panel_bytes = (size_t)PANEL * m->groups * 2;
  const int8_t* codes = m->codes + t->panel * panel_bytes;
  const int16_t* at = (const int16_t*)t->x->codes + (size_t)t->first * t->x->stride;
  for (int group = 0; group < m->groups; group++, codes += 2 * PANEL) {
    if (group % 2 == 0) fetch_next(t, codes, panel_bytes, 4 * PANEL);
    shorts weights[PANEL_VECTORS];
    for (int v = 0; v < PANEL_VECTORS; v++) weights[v] = widen(codes + v * 2 * LANES);
    for (int r = 0; r < rows; r++) {
      shorts row = repeat(group_at(at + (size_t)r * t->x->stride, 4 * (size_t)group));
      for (int v = 0; v < PANEL_VECTORS; v++) sum[r][v] = add_pairs(sum[r][v], row, weights[v]);
    }
  }
  for (int r = 0; r < rows; r++)
    for (int v = 0; v < PANEL_VECTORS; v++) put_sum(t, r, v * LANES, sum[r][v]);
}

INLINE void narrow_tile(const tile* t, const int rows) {
  const matrix* m = t->m;
  ints sum[NARROW_TILE][PANEL_VECTORS];
  size_t panel_bytes = (size_t)PANEL * m->groups * 4;
  const int8_t* codes = m->codes + t->panel * panel_bytes;
  const uint8_t* at = (const uint8_t*)t->x->codes + (size_t)t->first * t->x->stride;
  for (int r = 0; r < rows; r++)
    for (int v = 0; v < PANEL_VECTORS; v++) sum[r][v] = load_ints(m->offsets + t->panel * PANEL + v * LANES);
#if defined(__AVX512VNNI__) && LANES == 16
  for (int group = 0; group < m->groups; group++, codes += 4 * PANEL) {
    fetch_next(t, codes, panel_bytes, 4 * PANEL);
    shorts weights[PANEL_VECTORS];
    for (int v = 0; v < PANEL_VECTORS; v++) weights[v] = load_bytes(codes + v * 4 * LANES);
    for (int r = 0; r < rows; r++) {
      shorts row = repeat(group_at(at + (size_t)r * t->x->stride, 4 * (size_t)group));
      for (int v = 0; v < PANEL_VECTORS; v++) sum[r][v] = add_quads(sum[r][v], row, weights[v]);
    }
  }
#else
  for (int group = 0; group < m->groups; group += SHORT_SUMS) {
    shorts brief[NARROW_TILE][PANEL_VECTORS];
    fetch_next(t, codes, panel_bytes, (size_t)SHORT_SUMS * 4 * PANEL);
    for (int k = 0; k < SHORT_SUMS; k++, codes += 4 * PANEL) {
      shorts weights[PANEL_VECTORS];
      for (int v = 0; v < PANEL_VECTORS; v++) weights[v] = load_bytes(codes + v * 4 * LANES);
      for (int r = 0; r < rows; r++) {
        shorts row = repeat(group_at(at + (size_t)r * t->x->stride, 4 * (size_t)(group + k)));
        for (int v = 0; v < PANEL_VECTORS; v++) {
          shorts products = quads(row, weights[v]);
          brief[r][v] = k ? saturating(brief[r][v], products) : products;
        }
      }
    }
    for (int r = 0; r < rows; r++)
      for (int v = 0; v < PANEL_VECTORS; v++) sum[r][v] = add_halves(sum[r][v], brief[r][v]);
  }
#endif
  for (int r = 0; r < rows; r++)
    for (int v = 0; v < PANEL_VECTORS; v++) put_sum(t, r, v * LANES, sum[r][v]);
}
#define FIXED(NAME)                 \
  switch (rows) {                   \
    case 1: NAME(t, 1); break;      \
    case 2: NAME(t, 2); break;      \
    case 3: NAME(t, 3); break;      \
    FIXED_MORE(NAME)                \
  }
#endif

INLINE void float_tile(const tile* t, const int rows) {
  const matrix* m = t->m;
  floats sum[TILE][PANEL_VECTORS] = {};
  size_t panel_floats = (size_t)PANEL * m->inputs;
  const float* weights = m->weights + t->panel * panel_floats;
  const float* at = t->x->floats + (size_t)t->first * t->x->stride;
  for (int i = 0; i < m->inputs; i++, weights += PANEL) {
    fetch_next(t, weights, 4 * panel_floats, 4 * PANEL);
    floats column[PANEL_VECTORS];
    for (int v = 0; v < PANEL_VECTORS; v++) column[v] = load(weights + v * LANES);
    for (int r = 0; r < rows; r++) {
      floats row = all(at[(size_t)r * t->x->stride + i]);
      for (int v = 0; v < PANEL_VECTORS; v++) sum[r][v] += row * column[v];
    }
  }
  for (int r = 0; r < rows; r++)
    for (int v = 0; v < PANEL_VECTORS; v++)
      store(t->to + (size_t)r * t->stride + v * LANES, sum[r][v] + load(m->bias + t->panel * PANEL + v * LANES));
}

#define MORE_6(NAME)           \
  case 4: NAME(t, 4); break;   \
  case 5: NAME(t, 5); break;   \
  case 6: NAME(t, 6); break;
#define MORE_8(NAME)           \
  MORE_6(NAME)                 \
  case 7: NAME(t, 7); break;   \
  case 8: NAME(t, 8); break;
#define MORE_3(NAME)
#define MORE_OF(TILE_ROWS) MORE_##TILE_ROWS
#define MORE(TILE_ROWS) MORE_OF(TILE_ROWS)

#define FIXED_MORE MORE(TILE)
static void run_wide(const tile* t, int rows) { FIXED(wide_tile) }
static void run_floats(const tile* t, int rows) { FIXED(float_tile) }
#undef FIXED_MORE
#define FIXED_MORE MORE(NARROW_TILE)
static void run_narrow(const tile* t, int rows) { FIXED(narrow_tile) }

void panel_product(const row_block* b, int panel, int fetches, float* to, int stride) {
  const matrix* m = b->m;
  int most = m->kind == NARROW ? NARROW_TILE : TILE, count = b->count;
  /* Tiles of even height: a tile of one row would cost nearly as much as a full one. */
  for (int left = (count + most - 1) / most, row = 0; left; left--) {
    int rows = (count - row + left - 1) / left;
    tile t = {m, b->x, b->first + row, panel, stride, to + (size_t)row * stride, fetches && row == 0 && left > 1};
    (m->kind == NARROW ? run_narrow : m->kind == WIDE ? run_wide : run_floats)(&t, rows);
    row += rows;
  }
}
