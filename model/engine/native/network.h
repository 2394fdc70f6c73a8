/* A Transformer encoder-decoder with packed weights, and the segments it is decoding. */
#ifndef DRAGOMAN_NETWORK_H
#define DRAGOMAN_NETWORK_H

#include "matrix.h"

/* Numbers of the special pieces. */
enum { PAD, UNKNOWN, BEGIN, END };

/* Layer norm; without gamma there is none. */
typedef struct {
  const float *gamma, *beta;
} norm;

/* Rows of embeddings: floats, or 8-bit codes with a scale each. */
typedef struct {
  const float* floats;
  const int8_t* codes;
  const float* scales;
} table;

typedef struct {
  matrix self_in, self_out, cross_query, cross_memory, cross_out, inner, outer;
  norm self_norm, cross_norm, outer_norm;
} layer;

typedef struct {
  int count, heads;
  layer* layers;
  table pieces;
  const float* positions; /* (max_positions, width), or none */
  norm embedding_norm, last_norm;
} stack;

/* What rows of one call go through; grown as needed, never given back before the end. */
typedef struct {
  int rows, width, widest;
  float *x, *y, *added; /* (rows, spread(width)) */
  float* wide;          /* (rows, spread(outputs)) of what was written last, at most (rows, spread(widest)) */
  void* codes;          /* (rows, code_stride) of the matrix that comes next */
  float* code_scales;
} work_space;

/* The columns of the output layer that segments with a shortlist are using. */
typedef struct {
  matrix output;
  int count, room, stale;
  int32_t* pieces;   /* (room,) */
  int32_t* place_of; /* (vocabulary,), -1: none */
  int32_t* uses;     /* (vocabulary,) */
} selection;

typedef struct segment {
  struct segment *before, *after;
  int length, rows, positions;
  float* cross;       /* (layers, length, 2 * width): keys, values */
  float* past;        /* (layers, rows, positions, 2 * width): keys, values */
  int32_t* ancestors; /* (rows, positions): which row had the keys and values of a position */
  int32_t* fresh;     /* the same, while rows change places */
  int allowed;        /* size of its shortlist; 0: any piece may come */
  int32_t *pieces, *places;
} segment;

typedef struct {
  int width, max_positions, vocabulary, pre_norm;
  activation between;
  float scale;
  const float* rotations; /* (max_positions, head width / 2, 2), or none */
  stack encoder, decoder;
  matrix output;
  selection chosen;
  segment open; /* a ring */
  work_space space;
  pool* threads;
} network;

typedef struct {
  int rows;
  segment** segments;
  const int32_t *places, *parents, *pieces, *positions, *forced, *endless;
} step_rows;

/* space.c */
int make_room(work_space* s, int rows);
/* x += added; x = after(x); the operand of `next` is before(x). Each step only where it is asked for. */
typedef struct {
  network* n;
  const float* added;
  norm after, before;
  const matrix* next;
} seam;
operand join(seam s, int rows);
operand as_operand(network* n, const float* rows_of, int rows, const matrix* next);
void embed_row(const network* n, const stack* s, int piece, int position, float* x);

/* attention.c */
typedef struct {
  int heads, width;
} attention_shape;
/* One query over keys[0..count-1]; values stand `width` behind the keys. */
void attend(attention_shape shape, const float* query, const float* const* keys, int count, float* out);
void rotate(const network* n, float* row, int heads, int position);

/* encode.c */
int step(network* n, const step_rows* rows, int width, int32_t* pieces, float* scores);
int encode(network* n, int count, segment** segments, const int32_t* pieces);
/* choose.c */
int choose(network* n, const step_rows* rows, operand x, int width, int32_t* pieces, float* scores);
int selection_add(network* n, segment* s);
void selection_drop(network* n, segment* s);

#endif
