/* What is called from outside, by plain C types. Functions that return int give 0, or -1 when there is no memory. */
#ifndef DRAGOMAN_API_H
#define DRAGOMAN_API_H

#include <stdint.h>

#if defined(_WIN32)
#define PUBLIC __declspec(dllexport)
#else
#define PUBLIC __attribute__((visibility("default")))
#endif

typedef struct {
  int32_t width, max_positions, vocabulary, pre_norm, activation, threads;
  int32_t encoder_layers, encoder_heads, encoder_inner, decoder_layers, decoder_heads, decoder_inner;
  float scale;
} dragoman_shape;

/* A matrix (outputs, inputs): codes with scales, or floats; the other is null. `kind` is an arithmetic of matrix.h. */
typedef struct {
  int32_t kind;
  const int8_t* codes;
  const float *scales, *floats, *bias;
  int32_t outputs, inputs;
} dragoman_matrix;

/* An encoder layer without, a decoder layer with what looks at the source. */
typedef struct {
  dragoman_matrix self_in, self_out, cross_query, cross_memory, cross_out, inner, outer;
  const float *self_gamma, *self_beta, *cross_gamma, *cross_beta, *outer_gamma, *outer_beta;
} dragoman_layer;

/* What stands around the layers of one side; null where there is none. Tables and vectors are not copied. */
typedef struct {
  const int8_t* codes;
  const float *scales, *floats, *positions, *embedding_gamma, *embedding_beta, *last_gamma, *last_beta;
} dragoman_side;

PUBLIC void* dragoman_open(const dragoman_shape* shape, const float* rotations);
PUBLIC void dragoman_set_side(void* network, int decoder, const dragoman_side* side);
PUBLIC int dragoman_set_layer(void* network, int decoder, int number, const dragoman_layer* layer);
PUBLIC int dragoman_set_output(void* network, const dragoman_matrix* output);
PUBLIC void dragoman_close(void* network);

/* Segment s has lengths[s] source pieces, which follow each other in `pieces`, rows[s] rows of positions[s] target
   positions, and a shortlist of allowed[s] pieces (0: none), which follow each other in `shortlists`, ascending. */
PUBLIC int dragoman_encode(void* network, int count, const int32_t* lengths, const int32_t* pieces,
                           const int32_t* rows, const int32_t* positions, const int32_t* allowed,
                           const int32_t* shortlists, int64_t* segments);
PUBLIC void dragoman_release(void* network, int count, const int64_t* segments);
PUBLIC int dragoman_step(void* network, int rows, const int64_t* segments, const int32_t* places,
                         const int32_t* parents, const int32_t* last_pieces, const int32_t* positions,
                         const int32_t* forced, const int32_t* endless, int width, int32_t* pieces, float* scores);
/* A layer of an LSTM over packed rows, which are dealt to the parts one by one. `pieces` lie part by part, in a part place
   by place, the longest rows first; `counts` (parts, places) says how many rows of a part reach a place. `table`
   (characters, 4 * width) is what a piece adds to the gates. `cells` and `hiddens` begin with a state for each row, part
   by part; one behind each piece follows. `gates` and `squashed` have a row a piece. `weight` is (4 * width, width),
   and the other way round for the gradients. */
typedef struct {
  int32_t width, characters, rows, parts, places, threads;
  const int32_t* counts;
  const int64_t* pieces;
  const float *table, *weight;
  float *gates, *cells, *squashed, *hiddens;
} dragoman_recurrence;

/* Gradients: `outputs` (pieces, width) is given; `hidden` and `cell` (rows, width) are given for the last states and
   become those of the first ones; of each part `weight` (width, 4 * width) and `table` (characters, 4 * width) are made
   and must begin as zeros. */
typedef struct {
  const float* outputs;
  float *hidden, *cell, *weight, *table;
} dragoman_recurrence_gradients;

PUBLIC int dragoman_recur(const dragoman_recurrence* r);
PUBLIC int dragoman_recur_back(const dragoman_recurrence* r, const dragoman_recurrence_gradients* gradients);

/* How many products of this machine's arithmetic differ from those written out one by one: 0 on a sound build. */
PUBLIC int dragoman_check(int threads);
/* Floats in a vector: 8 or 16. */
PUBLIC int dragoman_lanes(void);

#endif
