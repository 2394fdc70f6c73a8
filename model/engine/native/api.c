/* From the caller's pointers to networks and segments, and back. */
#include "api.h"

#include <stdlib.h>

#include "network.h"

static int take_matrix(matrix* m, const dragoman_matrix* given, float spare) {
  plain_matrix plain = {(arithmetic)given->kind, given->codes,   given->scales, given->floats,
                        given->bias,             given->outputs, given->inputs, spare};
  return matrix_pack(m, &plain);
}

static int larger_of(int a, int b) { return a > b ? a : b; }

void* dragoman_open(const dragoman_shape* shape, const float* rotations) {
  network* n = calloc(1, sizeof *n);
  if (!n) return 0;
  n->width = shape->width, n->max_positions = shape->max_positions, n->vocabulary = shape->vocabulary;
  n->pre_norm = shape->pre_norm, n->between = (activation)shape->activation, n->scale = shape->scale;
  n->rotations = rotations;
  n->encoder = (stack){.count = shape->encoder_layers, .heads = shape->encoder_heads};
  n->decoder = (stack){.count = shape->decoder_layers, .heads = shape->decoder_heads};
  n->encoder.layers = calloc((size_t)shape->encoder_layers, sizeof(layer));
  n->decoder.layers = calloc((size_t)shape->decoder_layers, sizeof(layer));
  n->open.before = n->open.after = &n->open;
  n->space.width = shape->width;
  n->space.widest = larger_of(3 * shape->width, larger_of(shape->encoder_inner, shape->decoder_inner));
  n->threads = pool_open(shape->threads);
  if (n->encoder.layers && n->decoder.layers && n->threads) return n;
  dragoman_close(n);
  return 0;
}

void dragoman_set_side(void* given, int decoder, const dragoman_side* side) {
  network* n = given;
  stack* s = decoder ? &n->decoder : &n->encoder;
  s->pieces = (table){side->floats, side->codes, side->scales};
  s->positions = side->positions;
  s->embedding_norm = (norm){side->embedding_gamma, side->embedding_beta};
  s->last_norm = (norm){side->last_gamma, side->last_beta};
}

int dragoman_set_layer(void* given, int decoder, int number, const dragoman_layer* from) {
  network* n = given;
  layer* to = (decoder ? n->decoder : n->encoder).layers + number;
  to->self_norm = (norm){from->self_gamma, from->self_beta};
  to->cross_norm = (norm){from->cross_gamma, from->cross_beta};
  to->outer_norm = (norm){from->outer_gamma, from->outer_beta};
  int failed = take_matrix(&to->self_in, &from->self_in, 0) || take_matrix(&to->self_out, &from->self_out, 0) ||
               take_matrix(&to->inner, &from->inner, 0) || take_matrix(&to->outer, &from->outer, 0);
  if (!failed && decoder)
    failed = take_matrix(&to->cross_query, &from->cross_query, 0) ||
             take_matrix(&to->cross_memory, &from->cross_memory, 0) ||
             take_matrix(&to->cross_out, &from->cross_out, 0);
  return failed ? -1 : 0;
}

int dragoman_set_output(void* given, const dragoman_matrix* output) {
  return take_matrix(&((network*)given)->output, output, -INFINITY) ? -1 : 0;
}

static void free_layers(stack* s) {
  for (int i = 0; s->layers && i < s->count; i++) {
    layer* y = s->layers + i;
    matrix* all_of[] = {&y->self_in, &y->self_out, &y->cross_query, &y->cross_memory, &y->cross_out, &y->inner,
                        &y->outer};
    for (int m = 0; m < 7; m++) matrix_free(all_of[m]);
  }
  free(s->layers);
}

static void free_segment(segment* s) {
  if (!s) return;
  free(s->cross), free(s->past), free(s->ancestors), free(s->fresh), free(s->pieces);
  free(s);
}

static void forget(network* n, segment* s) {
  s->before->after = s->after, s->after->before = s->before;
  if (s->allowed) selection_drop(n, s);
  free_segment(s);
}

void dragoman_close(void* given) {
  network* n = given;
  while (n->open.after != &n->open) forget(n, n->open.after);
  free_layers(&n->encoder), free_layers(&n->decoder);
  matrix_free(&n->output), matrix_free(&n->chosen.output);
  free(n->chosen.pieces), free(n->chosen.place_of), free(n->chosen.uses);
  free(n->space.x), free(n->space.y), free(n->space.added), free(n->space.wide), free(n->space.codes);
  free(n->space.code_scales);
  if (n->threads) pool_close(n->threads);
  free(n);
}

static int fill_segment(const network* n, segment* s, const int32_t* shortlist) {
  size_t layers = (size_t)n->decoder.count, of_position = 8 * (size_t)n->width;
  size_t places = (size_t)s->rows * s->positions;
  s->cross = malloc(layers * s->length * of_position);
  s->past = malloc(layers * places * of_position);
  if (s->rows > 1) {
    s->ancestors = malloc(4 * places), s->fresh = malloc(4 * places);
    if (!s->ancestors || !s->fresh) return -1;
  }
  if (s->allowed) {
    s->pieces = malloc(8 * (size_t)s->allowed);
    if (!s->pieces) return -1;
    s->places = s->pieces + s->allowed;
    memcpy(s->pieces, shortlist, 4 * (size_t)s->allowed);
  }
  return s->cross && s->past ? 0 : -1;
}

static segment* new_segment(network* n, segment like, const int32_t* shortlist) {
  segment* s = malloc(sizeof *s);
  if (!s) return 0;
  *s = like;
  if (fill_segment(n, s, shortlist)) {
    free_segment(s);
    return 0;
  }
  s->before = n->open.before, s->after = &n->open;
  s->before->after = s, n->open.before = s;
  return s;
}

int dragoman_encode(void* given, int count, const int32_t* lengths, const int32_t* pieces, const int32_t* rows,
                    const int32_t* positions, const int32_t* allowed, const int32_t* shortlists, int64_t* segments) {
  network* n = given;
  int failed = 0, made = 0;
  for (; made < count && !failed; made++) {
    segment like = {.length = lengths[made], .rows = rows[made], .positions = positions[made], .allowed = allowed[made]};
    segment* s = new_segment(n, like, shortlists);
    if (!s) {
      failed = 1;
      break;
    }
    shortlists += s->allowed;
    segments[made] = (int64_t)(intptr_t)s;
    if (s->allowed && selection_add(n, s)) failed = 1;
  }
  if (!failed) failed = encode(n, count, (segment**)segments, pieces);
  if (failed) dragoman_release(n, made, segments);
  return failed ? -1 : 0;
}

void dragoman_release(void* given, int count, const int64_t* segments) {
  for (int i = 0; i < count; i++) forget(given, (segment*)(intptr_t)segments[i]);
}

int dragoman_step(void* given, int rows, const int64_t* segments, const int32_t* places, const int32_t* parents,
                  const int32_t* last_pieces, const int32_t* positions, const int32_t* forced,
                  const int32_t* endless, int width, int32_t* pieces, float* scores) {
  step_rows all_rows = {rows, (segment**)segments, places, parents, last_pieces, positions, forced, endless};
  return step(given, &all_rows, width, pieces, scores);
}

int dragoman_lanes(void) { return LANES; }

static uint32_t next_number(uint32_t* state) { return *state = *state * 1664525u + 1013904223u; }

/* Small numbers: their sums saturate nowhere, and their products are exact in floats. */
enum { ROWS = 21, OUTPUTS = 131, INPUTS = 77 };

static int wrong_products(pool* p, const matrix* m, const int8_t* codes, const int8_t* rows, const operand* x) {
  static float found[ROWS * (OUTPUTS + 16)];
  int wrong = 0;
  product(p, m, x, NOTHING, found);
  for (int r = 0; r < ROWS; r++)
    for (int o = 0; o < OUTPUTS; o++) {
      int32_t sum = 0;
      for (int i = 0; i < INPUTS; i++) sum += rows[r * INPUTS + i] * codes[o * INPUTS + i];
      wrong += found[r * spread(OUTPUTS) + o] != (float)sum;
    }
  return wrong;
}

static int check_kind(pool* p, arithmetic kind) {
  static int8_t codes[OUTPUTS * INPUTS], rows[ROWS * INPUTS];
  static float floats_of[OUTPUTS * INPUTS], ones[OUTPUTS], rows_of[ROWS * INPUTS], scales[ROWS];
  static char buffer[ROWS * 2 * (INPUTS + 64 + 128)];
  uint32_t state = 1;
  for (int i = 0; i < OUTPUTS * INPUTS; i++) floats_of[i] = codes[i] = (int8_t)(next_number(&state) >> 28) - 8;
  for (int i = 0; i < ROWS * INPUTS; i++) rows_of[i] = rows[i] = (int8_t)(next_number(&state) >> 27) - 16;
  for (int i = 0; i < OUTPUTS; i++) ones[i] = 1;
  matrix m;
  plain_matrix plain = {kind, codes, ones, floats_of, 0, OUTPUTS, INPUTS, 0};
  if (matrix_pack(&m, &plain)) return -1;
  operand x = {ROWS, INPUTS, rows_of, 0, 0};
  if (kind != FLOATS) {
    x = (operand){ROWS, code_stride(&m), 0, buffer, scales};
    for (int r = 0; r < ROWS; r++) {
      /* A row whose largest is the limit keeps its integers. */
      rows[r * INPUTS] = (int8_t)(kind == NARROW ? m.row_limit : 100), rows_of[r * INPUTS] = rows[r * INPUTS];
      if (kind == WIDE) m.row_limit = 100;
      char* to = buffer + (size_t)r * code_stride(&m) * code_bytes(&m);
      scales[r] = row_to_codes(&m, rows_of + r * INPUTS, to);
    }
  }
  int wrong = wrong_products(p, &m, codes, rows, &x);
  matrix_free(&m);
  return wrong;
}

int dragoman_check(int threads) {
  pool* p = pool_open(threads);
  if (!p) return -1;
  int wrong = check_kind(p, FLOATS) || check_kind(p, WIDE) || check_kind(p, NARROW);
  pool_close(p);
  return wrong;
}
