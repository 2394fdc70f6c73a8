/* One place of an LSTM that is trained, and its gradient: all but the products with the recurrent weights.

   Gates lie in the order enter, forget, content, leave; `width` is a multiple of the machine's lanes. */
#ifndef DRAGOMAN_LSTM_H
#define DRAGOMAN_LSTM_H

#include <stdint.h>

/* What a place keeps of its rows, one behind the other: the gates (4 * width), the rest (width). `squashed` is the tanh
   of the cell. */
typedef struct {
  int rows, width;
  const float* cell_before;
  float *gates, *cell, *squashed, *hidden;
} lstm_place;

/* From the product of the hidden states with the weights, rows `stride` apart, and what each piece adds to the gates, a
   row (4 * width) of `table`. */
void lstm_step(const lstm_place* at, const float* product, int stride, const int64_t* pieces, const float* table);
/* From the gradients of the outputs, of the hidden states and of the cells behind this place: that of the cells before
   it, in place, and that of the gates before sigmoid and tanh, rows `stride` apart. */
void lstm_step_back(const lstm_place* at, const float* output, const float* hidden, float* cell, float* gates,
                    int stride);

#endif
