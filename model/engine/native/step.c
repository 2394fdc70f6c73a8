/* One step of the decoder for rows of many segments, each at its own position. */
#include <stdlib.h>

#include "network.h"

enum { ROWS_AN_ITEM = 4 };

typedef struct {
  network* n;
  const step_rows* rows;
  int layer;
} step_loop;

/* Rows that change places take their history along: not the keys and values, only where those stand. */
static void follow_parents(const step_rows* rows) {
  for (int row = 0; row < rows->rows; row++) {
    segment* s = rows->segments[row];
    if (s->rows == 1) continue;
    size_t to = (size_t)rows->places[row] * s->positions, from = (size_t)rows->parents[row] * s->positions;
    memcpy(s->fresh + to, s->ancestors + from, 4 * (size_t)rows->positions[row]);
    s->fresh[to + rows->positions[row]] = rows->places[row];
    if (row + 1 == rows->rows || rows->segments[row + 1] != s) {
      int32_t* old = s->ancestors;
      s->ancestors = s->fresh, s->fresh = old;
    }
  }
}

static void embed_item(void* given, int item) {
  const step_loop* l = given;
  for (int row = item * ROWS_AN_ITEM; row < (item + 1) * ROWS_AN_ITEM && row < l->rows->rows; row++)
    embed_row(l->n, &l->n->decoder, l->rows->pieces[row], l->rows->positions[row],
              l->n->space.x + (size_t)row * spread(l->n->width));
}

static float* past_of(const network* n, const segment* s, int layer, int row, int position) {
  return s->past + (((size_t)layer * s->rows + row) * s->positions + position) * 2 * n->width;
}

static void look_back(const step_loop* l, int row) {
  network* n = l->n;
  const segment* s = l->rows->segments[row];
  int position = l->rows->positions[row], place = l->rows->places[row];
  float* query = n->space.wide + (size_t)row * spread(3 * n->width);
  if (n->rotations) {
    rotate(n, query, n->decoder.heads, position);
    rotate(n, query + n->width, n->decoder.heads, position);
  }
  memcpy(past_of(n, s, l->layer, place, position), query + n->width, 8 * (size_t)n->width);
  const float* keys[position + 1];
  const int32_t* ancestors = s->ancestors + (size_t)place * s->positions;
  for (int i = 0; i <= position; i++) keys[i] = past_of(n, s, l->layer, s->rows == 1 ? 0 : ancestors[i], i);
  attention_shape shape = {n->decoder.heads, n->width};
  attend(shape, query, keys, position + 1, n->space.y + (size_t)row * spread(n->width));
}

static void look_at_source(const step_loop* l, int row) {
  network* n = l->n;
  const segment* s = l->rows->segments[row];
  const float* cross = s->cross + (size_t)l->layer * s->length * 2 * n->width;
  const float* keys[s->length];
  for (int i = 0; i < s->length; i++) keys[i] = cross + (size_t)i * 2 * n->width;
  attention_shape shape = {n->decoder.heads, n->width};
  size_t first = (size_t)row * spread(n->width);
  attend(shape, n->space.wide + first, keys, s->length, n->space.y + first);
}

static void look_back_item(void* given, int item) {
  const step_loop* l = given;
  for (int row = item * ROWS_AN_ITEM; row < (item + 1) * ROWS_AN_ITEM && row < l->rows->rows; row++) look_back(l, row);
}

static void look_at_source_item(void* given, int item) {
  const step_loop* l = given;
  for (int row = item * ROWS_AN_ITEM; row < (item + 1) * ROWS_AN_ITEM && row < l->rows->rows; row++)
    look_at_source(l, row);
}

/* All layers; gives what the output layer reads. */
static operand layers(step_loop* l) {
  network* n = l->n;
  norm none = {}, after = {};
  const float *added = 0, *sum = n->space.added;
  int rows = l->rows->rows, items = (rows + ROWS_AN_ITEM - 1) / ROWS_AN_ITEM;
  for (l->layer = 0; l->layer < n->decoder.count; l->layer++) {
    layer* y = n->decoder.layers + l->layer;
    int pre = n->pre_norm;
    operand x = join((seam){n, added, after, pre ? y->self_norm : none, &y->self_in}, rows);
    product(n->threads, &y->self_in, &x, NOTHING, n->space.wide);
    pool_run(n->threads, look_back_item, l, items);
    x = as_operand(n, n->space.y, rows, &y->self_out);
    product(n->threads, &y->self_out, &x, NOTHING, n->space.added);
    x = join((seam){n, sum, pre ? none : y->self_norm, pre ? y->cross_norm : none, &y->cross_query}, rows);
    product(n->threads, &y->cross_query, &x, NOTHING, n->space.wide);
    pool_run(n->threads, look_at_source_item, l, items);
    x = as_operand(n, n->space.y, rows, &y->cross_out);
    product(n->threads, &y->cross_out, &x, NOTHING, n->space.added);
    x = join((seam){n, sum, pre ? none : y->cross_norm, pre ? y->outer_norm : none, &y->inner}, rows);
    product(n->threads, &y->inner, &x, n->between, n->space.wide);
    x = as_operand(n, n->space.wide, rows, &y->outer);
    product(n->threads, &y->outer, &x, NOTHING, n->space.added);
    added = sum;
    after = pre ? none : y->outer_norm;
  }
  return join((seam){n, added, after, n->decoder.last_norm, &n->output}, rows);
}

int step(network* n, const step_rows* rows, int width, int32_t* pieces, float* scores) {
  if (make_room(&n->space, rows->rows)) return -1;
  follow_parents(rows);
  step_loop l = {n, rows, 0};
  pool_run(n->threads, embed_item, &l, (rows->rows + ROWS_AN_ITEM - 1) / ROWS_AN_ITEM);
  return choose(n, rows, layers(&l), width, pieces, scores);
}
