/* One place of an LSTM that is trained, and its gradient: all but the products with the recurrent weights.

   What a piece adds to the gates is looked up in `table` (V, 4 * width). Gates lie in the order enter, forget, content,
   leave; `width` is a multiple of the machine's lanes. */
#include "api.h"
#include "vectors.h"

/* tanh of each lane, absolute error below 3e-7: a quotient of polynomials, as Eigen has it. */
static inline floats tanhs(floats x) {
  x = smaller(larger(x, all(-7.9053111f)), all(7.9053111f));
  floats square = x * x;
  floats p = all(-2.76076847742355e-16f);
  p = p * square + 2.00018790482477e-13f;
  p = p * square - 8.60467152213735e-11f;
  p = p * square + 5.12229709037114e-08f;
  p = p * square + 1.48572235717979e-05f;
  p = p * square + 6.37261928875436e-04f;
  p = p * square + 4.89352455891786e-03f;
  floats q = all(1.19825839466702e-06f);
  q = q * square + 1.18534705686654e-04f;
  q = q * square + 2.26843463243900e-03f;
  q = q * square + 4.89352518554385e-03f;
  return x * p / q;
}

static inline floats sigmoids(floats x) { return 0.5f * tanhs(0.5f * x) + 0.5f; }

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
