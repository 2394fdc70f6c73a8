/* Attention of one query at a time: a row looks at exactly the positions that it has, so nothing is padded. */
#include "network.h"

void attend(attention_shape shape, const float* query, const float* const* keys, int count, float* out) {
  int d = shape.width / shape.heads;
  float scale = 1.0f / sqrtf((float)d);
  float weights[count];
  for (int head = 0; head < shape.heads; head++) {
    int first = head * d;
    for (int i = 0; i < count; i++) weights[i] = dot(query + first, keys[i] + first, d) * scale;
    float most, sum = exponentials(weights, count, &most);
    memset(out + first, 0, 4 * (size_t)d);
    for (int i = 0; i < count; i++)
      add_weighted(out + first, weights[i] / sum, keys[i] + shape.width + first, d);
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
