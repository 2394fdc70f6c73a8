/* Matrix products with weights that are packed once: rows (float) times a matrix of outputs, plus a bias. */
#ifndef DRAGOMAN_MATRIX_H
#define DRAGOMAN_MATRIX_H

#include <stdint.h>

#include "pool.h"
#include "vectors.h"

/* A panel holds this many outputs; a tile is so many rows of it, as many as there are registers for. */
#define PANEL_VECTORS 3
#define PANEL (PANEL_VECTORS * LANES)
#if LANES == 16
#define TILE 8
#else
#define TILE 4
#endif

typedef enum { NOTHING, RELU, SWISH, GELU } activation;

/* Outputs x inputs. With 8-bit weights: `codes` are packed in pairs of inputs, each output has a scale, and the rows
   come as 16-bit integers, whose largest is `row_limit`: no sum of products then exceeds 32 bits, so all sums are
   exact. */
typedef struct {
  int outputs, inputs, panels, pairs;
  int row_limit;
  int8_t* codes;
  float* weights;
  float* scales;
  float* bias;
} matrix;

/* Rows as a matrix takes them: as they are, or as integers with one scale a row. */
typedef struct {
  int rows, stride;
  const float* floats;
  const int16_t* codes;
  const float* scales;
} operand;

/* `bias` may be 0; spare outputs of the last panel get `spare` for a bias. Return 0, or -1 without memory. */
int matrix_of_codes(matrix* m, const int8_t* codes, const float* scales, const float* bias, int outputs, int inputs,
                    float spare);
int matrix_of_floats(matrix* m, const float* weights, const float* bias, int outputs, int inputs, float spare);
/* Room for outputs of another matrix, which are then added one by one. */
int matrix_like(matrix* m, const matrix* from, int room);
void matrix_append(matrix* m, const matrix* from, int output);
void matrix_free(matrix* m);

/* One row to integers; returns its scale. */
float round_row(const float* row, int16_t* codes, int n, int limit);
/* One panel of the product of rows first..first+count-1: to[i * stride + column], whole panels wide. */
void panel_product(const matrix* m, const operand* x, int first, int count, int panel, float* to, int stride);
/* y (rows, outputs) = activation(x * m + bias). */
void product(pool* p, const matrix* m, const operand* x, activation after, float* y);

#endif
