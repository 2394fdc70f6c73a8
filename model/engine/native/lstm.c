#include "lstm.h"

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

void lstm_step(const lstm_place* at, const float* product, int stride, const int64_t* pieces, const float* table) {
  int width = at->width;
  for (int row = 0; row < at->rows; row++, product += stride) {
    const float* input = table + pieces[row] * 4 * width;
    float* gates = at->gates + (size_t)row * 4 * width;
    for (int i = 0; i < width; i += LANES) {
      floats enter = sigmoids(load(product + i) + load(input + i));
      floats forget = sigmoids(load(product + width + i) + load(input + width + i));
      floats content = tanhs(load(product + 2 * width + i) + load(input + 2 * width + i));
      floats leave = sigmoids(load(product + 3 * width + i) + load(input + 3 * width + i));
      size_t place = (size_t)row * width + i;
      floats after = forget * load(at->cell_before + place) + enter * content;
      floats tanh_after = tanhs(after);
      store(gates + i, enter);
      store(gates + width + i, forget);
      store(gates + 2 * width + i, content);
      store(gates + 3 * width + i, leave);
      store(at->cell + place, after);
      store(at->squashed + place, tanh_after);
      store(at->hidden + place, leave * tanh_after);
    }
  }
}

void lstm_step_back(const lstm_place* at, const float* output, const float* hidden, float* cell, float* to,
                    int stride) {
  int width = at->width;
  for (int row = 0; row < at->rows; row++, to += stride) {
    const float* gates = at->gates + (size_t)row * 4 * width;
    for (int i = 0; i < width; i += LANES) {
      floats enter = load(gates + i), forget = load(gates + width + i);
      floats content = load(gates + 2 * width + i), leave = load(gates + 3 * width + i);
      size_t place = (size_t)row * width + i;
      floats tanh_after = load(at->squashed + place);
      floats of_hidden = load(output + place) + load(hidden + place);
      floats of_cell = load(cell + place) + of_hidden * leave * (1.0f - tanh_after * tanh_after);
      store(to + i, of_cell * content * enter * (1.0f - enter));
      store(to + width + i, of_cell * load(at->cell_before + place) * forget * (1.0f - forget));
      store(to + 2 * width + i, of_cell * enter * (1.0f - content * content));
      store(to + 3 * width + i, of_hidden * tanh_after * leave * (1.0f - leave));
      store(cell + place, of_cell * forget);
    }
  }
}
