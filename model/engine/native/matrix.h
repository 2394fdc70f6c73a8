/* Matrix products with weights that are packed once: rows (float) times a matrix of outputs, plus a bias. */
#ifndef DRAGOMAN_MATRIX_H
#define DRAGOMAN_MATRIX_H

#include <stdint.h>

#include "pool.h"
#include "vectors.h"

/* A panel holds PANEL outputs, a tile up to TILE rows of it: its sums, one panel's weights, one row's input and one
   product are as many vectors as there are registers (32 with AVX-512, 16 with AVX2). */
#if LANES == 16
#define PANEL_VECTORS 3
#define TILE 8
#define NARROW_TILE 8
#else
#define PANEL_VECTORS 2
#define TILE 6
/* Without VNNI a tile has its sums twice, in 16 and in 32 bits. */
#define NARROW_TILE 3
#endif
#define PANEL (PANEL_VECTORS * LANES)

/* Numbers from one row of floats to the next: rows a power of two apart would crowd the same few lines of the cache,
   which halves the speed of a product. */
static inline int spread(int n) { return n + 16; }

typedef enum { NOTHING, RELU, SWISH, GELU } activation;

/* How a matrix is stored and how rows come to it.
   FLOATS: floats, floats.
   WIDE: 8-bit weights, rows of 16-bit integers so small that no sum exceeds 32 bits: all sums are exact.
   NARROW: 8-bit weights, rows of 8 bits. With VNNI all sums are exact; without, rows keep to 7 bits and the products of
   16 inputs are added up in 16 bits, saturating, which real weights hardly ever come near. */
typedef enum { FLOATS, WIDE, NARROW } arithmetic;

/* Outputs x inputs. Codes lie panel by panel, in groups of so many inputs as one lane takes at once. */
typedef struct {
  arithmetic kind;
  int outputs, inputs, panels, groups;
  int row_limit;
  int8_t* codes;
  float* weights;
  float* scales;
  float* bias;
  int32_t* offsets; /* NARROW: what the offset of the rows adds to each sum */
} matrix;

/* Rows as a matrix takes them: as they are, or as integers with one scale a row. `stride` counts elements. */
typedef struct {
  int rows, stride;
  const float* floats;
  const void* codes;
  const float* scales;
} operand;

/* A matrix as it is handed over: codes (outputs, inputs) with a scale an output, or floats; `bias` may be 0. Spare
   outputs of the last panel get `spare` for a bias. */
typedef struct {
  arithmetic kind;
  const int8_t* codes;
  const float *scales, *floats, *bias;
  int outputs, inputs;
  float spare;
} plain_matrix;

/* These return 0, or -1 without memory. */
int matrix_pack(matrix* m, const plain_matrix* from);
/* Room for outputs of another matrix, which are then added one by one. */
int matrix_like(matrix* m, const matrix* from, int room);
void matrix_append(matrix* m, const matrix* from, int output);
void matrix_free(matrix* m);

/* Elements from one row of integers to the next, and bytes of one. */
int code_stride(const matrix* m);
int code_bytes(const matrix* m);
/* One row to integers as `m` takes them; returns its scale. */
float row_to_codes(const matrix* m, const float* row, void* codes);
/* Rows first..first+count-1 of a product. */
typedef struct {
  const matrix* m;
  const operand* x;
  int first, count;
} row_block;

/* One panel of it: to[i * stride + column], whole panels wide. With `fetches` the next panel is read ahead while the
   first of several tiles is under way: a few rows are done with a panel sooner than memory delivers the next one. What
   a single tile reads comes as fast by itself. */
void panel_product(const row_block* b, int panel, int fetches, float* to, int stride);
/* y (rows, spread(outputs)) = activation(x * m + bias). */
void product(pool* p, const matrix* m, const operand* x, activation after, float* y);

#endif
