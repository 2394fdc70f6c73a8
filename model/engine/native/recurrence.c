/* A layer of an LSTM over packed rows, and its gradient. The rows are in parts that run from their first place to their
   last alone, so that threads wait for each other once a layer; what a part finds does not depend on who runs it. */
#include "api.h"

#include <stdlib.h>

#include "lstm.h"
#include "matrix.h"
#include "pool.h"

/* Pieces whose part of the weights' gradient is one product: so many rows of gates stay in the second-level cache. */
enum { BLOCK_PIECES = 256, BLOCK_UNITS = 64 };

/* A part: its rows, the numbers of its first row and of its first piece among all, how many rows reach each place. */
typedef struct {
  int rows;
  size_t first_row, first_piece;
  const int32_t* counts;
} part;

typedef struct {
  const dragoman_recurrence* r;
  const dragoman_recurrence_gradients* g;
  const matrix* weights;
  float* scratch;
  size_t scratch_floats;
} run;

static part part_of(const dragoman_recurrence* r, int number) {
  part p = {0, 0, 0, r->counts + (size_t)number * r->places};
  for (int before = 0; before < number; before++) {
    const int32_t* counts = r->counts + (size_t)before * r->places;
    for (int place = 0; place < r->places; place++) p.first_piece += counts[place];
  }
  p.rows = r->rows / r->parts + (number < r->rows % r->parts);
  p.first_row = (size_t)(r->rows / r->parts) * number;
  p.first_row += number < r->rows % r->parts ? number : r->rows % r->parts;
  return p;
}

static inline int places_of(const dragoman_recurrence* r, const part* p) {
  int places = 0;
  while (places < r->places && p->counts[places]) places++;
  return places;
}

/* The number of the state that the first row finds at a place whose first piece is `piece`: those that the rows begin
   with stand before those behind pieces. */
static inline size_t state_before(const dragoman_recurrence* r, const part* p, int place, size_t piece) {
  return place ? (size_t)r->rows + piece - p->counts[place - 1] : p->first_row;
}

static lstm_place place_at(const dragoman_recurrence* r, const part* p, int place, size_t piece) {
  size_t width = r->width, after = r->rows + piece;
  return (lstm_place){p->counts[place], r->width, r->cells + state_before(r, p, place, piece) * width,
                      r->gates + 4 * piece * width, r->cells + after * width, r->squashed + piece * width,
                      r->hiddens + after * width};
}

static inline int most_rows(const dragoman_recurrence* r) { return (r->rows + r->parts - 1) / r->parts; }
/* Whole panels are written, so rows of a product have room for them. */
static inline int product_stride(int outputs) { return spread((outputs + PANEL - 1) / PANEL * PANEL); }

static void product_of(const matrix* m, const float* rows, int count, int stride, float* to) {
  operand x = {count, stride, rows, 0, 0};
  row_block all_rows = {m, &x, 0, count};
  for (int panel = 0; panel < m->panels; panel++)
    panel_product(&all_rows, panel, 0, to + panel * PANEL, product_stride(m->outputs));
}

static void copy_rows(float* to, int to_stride, const float* from, int from_stride, int rows, int width) {
  for (int row = 0; row < rows; row++, to += to_stride, from += from_stride) memcpy(to, from, 4 * (size_t)width);
}

static size_t forward_floats(const dragoman_recurrence* r) {
  return (size_t)most_rows(r) * (spread(r->width) + product_stride(4 * r->width));
}

static void forward_part(void* given, int number) {
  const run* l = given;
  const dragoman_recurrence* r = l->r;
  part p = part_of(r, number);
  float* rows = l->scratch + l->scratch_floats * number;
  float* product = rows + (size_t)most_rows(r) * spread(r->width);
  size_t piece = p.first_piece;
  for (int place = 0, places = places_of(r, &p); place < places; piece += p.counts[place++]) {
    lstm_place at = place_at(r, &p, place, piece);
    const float* before = r->hiddens + state_before(r, &p, place, piece) * r->width;
    copy_rows(rows, spread(r->width), before, r->width, at.rows, r->width);
    product_of(l->weights, rows, at.rows, spread(r->width), product);
    lstm_step(&at, product, product_stride(4 * r->width), r->pieces + piece, r->table);
  }
}

/* Pieces whose gates and hidden states wait for the product that is their part of the weights' gradient. */
typedef struct {
  int width, count;
  float *gates, *hiddens; /* by panels of 4 * width, a piece after the other; (width, pieces) */
  const float* zeros;
  float* sum; /* (width, 4 * width) */
} block;

static inline int gate_panels(int width) { return (4 * width + PANEL - 1) / PANEL; }

static void add_product(const block* b, int panel, int first, int units) {
  float product[BLOCK_UNITS * PANEL];
  matrix gates = {.kind = FLOATS, .inputs = b->count, .weights = b->gates + (size_t)panel * PANEL * BLOCK_PIECES,
                  .bias = (float*)b->zeros};
  operand x = {b->width, spread(BLOCK_PIECES), b->hiddens, 0, 0};
  row_block rows_of = {&gates, &x, first, units};
  panel_product(&rows_of, 0, 0, product, PANEL);
  int columns = 4 * b->width - panel * PANEL < PANEL ? 4 * b->width - panel * PANEL : PANEL;
  for (int unit = 0; unit < units; unit++)
    add_weighted(b->sum + (size_t)(first + unit) * 4 * b->width + panel * PANEL, 1.0f, product + unit * PANEL, columns);
}

static void flush(block* b) {
  if (!b->count) return;
  for (int panel = 0; panel < gate_panels(b->width); panel++)
    for (int first = 0; first < b->width; first += BLOCK_UNITS)
      add_product(b, panel, first, b->width - first < BLOCK_UNITS ? b->width - first : BLOCK_UNITS);
  b->count = 0;
}

static void keep(block* b, const float* gates, const float* hidden) {
  if (b->count == BLOCK_PIECES) flush(b);
  for (int i = 0; i < 4 * b->width; i += LANES) {
    int panel = i / PANEL;
    store(b->gates + ((size_t)panel * BLOCK_PIECES + b->count) * PANEL + i % PANEL, load(gates + i));
  }
  for (int i = 0; i < b->width; i++) b->hiddens[(size_t)i * spread(BLOCK_PIECES) + b->count] = hidden[i];
  b->count++;
}

static size_t backward_floats(const dragoman_recurrence* r) {
  return (size_t)most_rows(r) * (product_stride(4 * r->width) + product_stride(r->width)) +
         (size_t)gate_panels(r->width) * PANEL * BLOCK_PIECES + (size_t)r->width * spread(BLOCK_PIECES);
}

static void backward_part(void* given, int number) {
  const run* l = given;
  const dragoman_recurrence* r = l->r;
  const dragoman_recurrence_gradients* g = l->g;
  part p = part_of(r, number);
  int width = r->width, gates_stride = product_stride(4 * width);
  float* gates = l->scratch + l->scratch_floats * number;
  float* product = gates + (size_t)most_rows(r) * gates_stride;
  float* panels = product + (size_t)most_rows(r) * product_stride(width);
  block b = {width, 0, panels, panels + (size_t)gate_panels(width) * PANEL * BLOCK_PIECES, l->weights->bias,
             g->weight + (size_t)number * width * 4 * width};
  float* table = g->table + (size_t)number * r->characters * 4 * width;
  float *hidden = g->hidden + p.first_row * width, *cell = g->cell + p.first_row * width;
  int place = places_of(r, &p);
  size_t piece = p.first_piece;
  for (int i = 0; i < place; i++) piece += p.counts[i];
  while (place--) {
    piece -= p.counts[place];
    lstm_place at = place_at(r, &p, place, piece);
    lstm_step_back(&at, g->outputs + piece * width, hidden, cell, gates, gates_stride);
    product_of(l->weights, gates, at.rows, gates_stride, product);
    copy_rows(hidden, width, product, product_stride(width), at.rows, width);
    const float* before = r->hiddens + state_before(r, &p, place, piece) * width;
    for (int row = 0; row < at.rows; row++) {
      const float* row_gates = gates + (size_t)row * gates_stride;
      keep(&b, row_gates, before + (size_t)row * width);
      add_weighted(table + (size_t)r->pieces[piece + row] * 4 * width, 1.0f, row_gates, 4 * width);
    }
  }
  flush(&b);
}

static int run_parts(run* l, loop_body body) {
  pool* p = pool_open(l->r->threads < l->r->parts ? l->r->threads : l->r->parts);
  l->scratch = malloc(4 * l->scratch_floats * l->r->parts);
  if (p && l->scratch) pool_run(p, body, l, l->r->parts);
  int result = p && l->scratch ? 0 : -1;
  free(l->scratch);
  if (p) pool_close(p);
  return result;
}

static int run_with(run* l, int outputs, int inputs, loop_body body) {
  matrix m;
  plain_matrix weights = {.kind = FLOATS, .floats = l->r->weight, .outputs = outputs, .inputs = inputs};
  int result = -1;
  l->weights = &m;
  if (!matrix_pack(&m, &weights)) result = run_parts(l, body);
  matrix_free(&m);
  return result;
}

int dragoman_recur(const dragoman_recurrence* r) {
  run l = {.r = r, .scratch_floats = forward_floats(r)};
  return run_with(&l, 4 * r->width, r->width, forward_part);
}

int dragoman_recur_back(const dragoman_recurrence* r, const dragoman_recurrence_gradients* gradients) {
  run l = {.r = r, .g = gradients, .scratch_floats = backward_floats(r)};
  return run_with(&l, r->width, 4 * r->width, backward_part);
}
