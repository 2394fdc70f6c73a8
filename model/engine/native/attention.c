/* Attention of one query at a time: a row looks at exactly the positions that it has, so nothing is padded. */
#include "network.h"

/* Keys whose dot products are under way at once, vectors of values that are summed up at once: each sum has an order of
   its own, and several together keep the arithmetic busy. */
enum { KEYS_AT_ONCE = 4, VECTORS_AT_ONCE = 4 };

static void score(const float* query, const float* const* keys, int count, int first, int d, float scale, float* to) {
  int whole = d / LANES * LANES, i = 0;
  for (; whole && i + KEYS_AT_ONCE <= count; i += KEYS_AT_ONCE) {
    floats sums[KEYS_AT_ONCE] = {};
    for (int at = 0; at < whole; at += LANES) {
      floats q = load(query + at);
      for (int k = 0; k < KEYS_AT_ONCE; k++) sums[k] += q * load(keys[i + k] + first + at);
    }
    for (int k = 0; k < KEYS_AT_ONCE; k++) {
      if (whole < d)
        sums[k] += load_some(query + whole, d - whole, 0) * load_some(keys[i + k] + first + whole, d - whole, 0);
      to[i + k] = sum_of(sums[k]) * scale;
    }
  }
  for (; i < count; i++) to[i] = dot(query, keys[i] + first, d) * scale;
}

/* out = the sum of values, each by its weight; a value stands at `first` behind its key. */
static void mix(const float* weights, const float* const* keys, int count, int first, int d, float* out) {
  int at = 0;
  for (; at + VECTORS_AT_ONCE * LANES <= d; at += VECTORS_AT_ONCE * LANES) {
    floats sums[VECTORS_AT_ONCE] = {};
    for (int i = 0; i < count; i++) {
      const float* value = keys[i] + first + at;
      floats weight = all(weights[i]);
      for (int v = 0; v < VECTORS_AT_ONCE; v++) sums[v] += weight * load(value + v * LANES);
    }
    for (int v = 0; v < VECTORS_AT_ONCE; v++) store(out + at + v * LANES, sums[v]);
  }
  if (at == d) return;
  memset(out + at, 0, 4 * (size_t)(d - at));
  for (int i = 0; i < count; i++) add_weighted(out + at, weights[i], keys[i] + first + at, d - at);
}

void attend(attention_shape shape, const float* query, const float* const* keys, int count, float* out) {
  int d = shape.width / shape.heads;
  float scale = 1.0f / sqrtf((float)d);
  float weights[count];
  for (int first = 0; first < shape.width; first += d) {
    score(query + first, keys, count, first, d, scale, weights);
    float most, sum = exponentials(weights, count, &most), share = 1.0f / sum;
    for (int i = 0; i < count; i++) weights[i] *= share;
    mix(weights, keys, count, shape.width + first, d, out + first);
  }
}

/* Features 2i and 2i+1 of each head are a pair that turns (RoFormer, arXiv:2104.09864). */
void rotate(const network* n, float* row, int heads, int position) {
  int d = n->width / heads;
  const float* turn = n->rotations + (size_t)position * d;
  for (int head = 0; head < heads; head++, row += d)
    for (int i = 0; i < d; i += 2) {
      float first = row[i], second = row[i + 1], cosine = turn[i], sine = turn[i + 1];
      row[i] = first * cosine - second * sine;
      row[i + 1] = first * sine + second * cosine;
    }
}
