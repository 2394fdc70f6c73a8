/* One place of an LSTM that is trained, and its gradient: all but the products with the recurrent weights.

   What a piece adds to the gates is looked up in `table` (V, 4 * width). Gates lie in the order enter, forget, content,
   leave; `width` is a multiple of the machine's lanes. */
#include "api.h"
#include "vectors.h"

static inline floats sigmoids(floats x) { return 1.0f / (1.0f + exps(-x)); }
static inline floats tanhs(floats x) { return 2.0f * sigmoids(2.0f * x) - 1.0f; }

PUBLIC void dragoman_lstm_step(int rows, int width, const int64_t* pieces, const float* table, const float* product,
                               const float* cell_before, float* gates, float* cell, float* squashed, float* hidden) {
  for (int row = 0; row < rows; row++, product += 4 * width, gates += 4 * width) {
    const float* input = table + pieces[row] * 4 * width;
    for (int i = 0; i < width; i += LANES) {
      floats enter = sigmoids(load(product + i) + load(input + i));
      floats forget = sigmoids(load(product + width + i) + load(input + width + i));
      floats content = tanhs(load(product + 2 * width + i) + load(input + 2 * width + i));
      floats leave = sigmoids(load(product + 3 * width + i) + load(input + 3 * width + i));
      long place = (long)row * width + i;
      floats after = forget * load(cell_before + place) + enter * content;
      floats tanh_after = tanhs(after);
      store(gates + i, enter);
      store(gates + width + i, forget);
      store(gates + 2 * width + i, content);
      store(gates + 3 * width + i, leave);
      store(cell + place, after);
      store(squashed + place, tanh_after);
      store(hidden + place, leave * tanh_after);
    }
  }
}

/* From the gradients of this place's output, of the hidden state and of the cell behind it: that of the cell before it,
   in place, and that of the gates before sigmoid and tanh. */
PUBLIC void dragoman_lstm_step_back(int rows, int width, const float* gates, const float* cell_before,
                                    const float* squashed, const float* output_gradient, const float* hidden_gradient,
                                    float* cell_gradient, float* gates_gradient) {
  for (int row = 0; row < rows; row++, gates += 4 * width, gates_gradient += 4 * width)
    for (int i = 0; i < width; i += LANES) {
      floats enter = load(gates + i), forget = load(gates + width + i);
      floats content = load(gates + 2 * width + i), leave = load(gates + 3 * width + i);
      long place = (long)row * width + i;
      floats tanh_after = load(squashed + place);
      floats hidden = load(output_gradient + place) + load(hidden_gradient + place);
      floats cell = load(cell_gradient + place) + hidden * leave * (1.0f - tanh_after * tanh_after);
      store(gates_gradient + i, cell * content * enter * (1.0f - enter));
      store(gates_gradient + width + i, cell * load(cell_before + place) * forget * (1.0f - forget));
      store(gates_gradient + 2 * width + i, cell * enter * (1.0f - content * content));
      store(gates_gradient + 3 * width + i, hidden * tanh_after * leave * (1.0f - leave));
      store(cell_gradient + place, cell * forget);
    }
}
