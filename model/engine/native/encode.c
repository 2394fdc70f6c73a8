/* The encoder over the sources of several segments, laid end to end. */
#include <stdlib.h>

#include "network.h"

enum { ROWS_AN_ITEM = 4 };

typedef struct {
  network* n;
  const int32_t* pieces;
  int rows;
  /* Of each row: the first row of its segment, and the length of that. */
  const int32_t *first, *length;
} source_loop;

static void embed_item(void* given, int item) {
  const source_loop* l = given;
  for (int row = item * ROWS_AN_ITEM; row < (item + 1) * ROWS_AN_ITEM && row < l->rows; row++)
    embed_row(l->n, &l->n->encoder, l->pieces[row], row - l->first[row], l->n->space.x + (size_t)row * spread(l->n->width));
}

static void rotate_item(void* given, int item) {
  const source_loop* l = given;
  int width = l->n->width;
  for (int row = item * ROWS_AN_ITEM; row < (item + 1) * ROWS_AN_ITEM && row < l->rows; row++) {
    float* query = l->n->space.wide + (size_t)row * spread(3 * width);
    rotate(l->n, query, l->n->encoder.heads, row - l->first[row]);
    rotate(l->n, query + width, l->n->encoder.heads, row - l->first[row]);
  }
}

static void attend_item(void* given, int item) {
  const source_loop* l = given;
  int width = l->n->width;
  attention_shape shape = {l->n->encoder.heads, width};
  for (int row = item * ROWS_AN_ITEM; row < (item + 1) * ROWS_AN_ITEM && row < l->rows; row++) {
    int count = l->length[row];
    const float* keys[count];
    for (int i = 0; i < count; i++) keys[i] = l->n->space.wide + (size_t)(l->first[row] + i) * spread(3 * width) + width;
    attend(shape, l->n->space.wide + (size_t)row * spread(3 * width), keys, count,
           l->n->space.y + (size_t)row * spread(width));
  }
}

/* All layers; gives what the decoder looks at. */
static operand layers(source_loop* l) {
  network* n = l->n;
  norm none = {}, after = {};
  const float* added = 0;
  int items = (l->rows + ROWS_AN_ITEM - 1) / ROWS_AN_ITEM;
  for (int i = 0; i < n->encoder.count; i++) {
    layer* y = n->encoder.layers + i;
    operand x = join((seam){n, added, after, n->pre_norm ? y->self_norm : none, &y->self_in}, l->rows);
    product(n->threads, &y->self_in, &x, NOTHING, n->space.wide);
    if (n->rotations) pool_run(n->threads, rotate_item, l, items);
    pool_run(n->threads, attend_item, l, items);
    x = as_operand(n, n->space.y, l->rows, &y->self_out);
    product(n->threads, &y->self_out, &x, NOTHING, n->space.added);
    added = n->space.added;
    x = join((seam){n, added, n->pre_norm ? none : y->self_norm, n->pre_norm ? y->outer_norm : none, &y->inner},
             l->rows);
    product(n->threads, &y->inner, &x, n->between, n->space.wide);
    x = as_operand(n, n->space.wide, l->rows, &y->outer);
    product(n->threads, &y->outer, &x, NOTHING, n->space.added);
    after = n->pre_norm ? none : y->outer_norm;
  }
  return join((seam){n, added, after, n->encoder.last_norm, &n->decoder.layers[0].cross_memory}, l->rows);
}

/* Keys and values of every source position, for every layer of the decoder. */
static void remember(network* n, int count, segment** segments, operand x) {
  int wide = 2 * n->width;
  for (int i = 0; i < n->decoder.count; i++) {
    product(n->threads, &n->decoder.layers[i].cross_memory, &x, NOTHING, n->space.wide);
    const float* from = n->space.wide;
    for (int s = 0; s < count; s++) {
      float* to = segments[s]->cross + (size_t)i * segments[s]->length * wide;
      for (int row = 0; row < segments[s]->length; row++, to += wide, from += spread(wide))
        memcpy(to, from, 4 * (size_t)wide);
    }
  }
}

int encode(network* n, int count, segment** segments, const int32_t* pieces) {
  int rows = 0;
  for (int s = 0; s < count; s++) rows += segments[s]->length;
  int32_t* first = malloc(8 * (size_t)rows);
  if (!first || make_room(&n->space, rows)) {
    free(first);
    return -1;
  }
  int32_t* length = first + rows;
  for (int s = 0, row = 0; s < count; s++)
    for (int i = 0, start = row; i < segments[s]->length; i++, row++)
      first[row] = start, length[row] = segments[s]->length;
  source_loop l = {n, pieces, rows, first, length};
  pool_run(n->threads, embed_item, &l, (rows + ROWS_AN_ITEM - 1) / ROWS_AN_ITEM);
  remember(n, count, segments, layers(&l));
  free(first);
  return 0;
}
