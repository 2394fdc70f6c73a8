/* Vectors of floats and integers, and the sums and functions over them whose order never depends on anything else.
   LANES is that of the machine the file is compiled for; where it has none of these vectors the compiler makes do. */
#ifndef DRAGOMAN_VECTORS_H
#define DRAGOMAN_VECTORS_H

#include <math.h>
#include <stdint.h>
#include <string.h>
#if defined(__AVX2__)
#include <immintrin.h>
#endif

#if defined(__AVX512BW__)
#define LANES 16
#else
#define LANES 8
#endif

typedef float floats __attribute__((vector_size(4 * LANES)));
typedef int32_t ints __attribute__((vector_size(4 * LANES)));
typedef float loose_floats __attribute__((vector_size(4 * LANES), aligned(4), may_alias));

static inline floats load(const float* from) { return *(const loose_floats*)from; }
static inline void store(float* to, floats x) { *(loose_floats*)to = x; }
static inline floats all(float x) { return x - (floats){}; }
static inline ints all_int(int32_t x) { return x - (ints){}; }
static inline floats to_floats(ints x) { return __builtin_convertvector(x, floats); }
static inline floats pick(ints mask, floats yes, floats no) {
  return (floats)(((ints)yes & mask) | ((ints)no & ~mask));
}
#if LANES == 16
static inline floats larger(floats a, floats b) { return (floats)_mm512_max_ps((__m512)a, (__m512)b); }
static inline floats smaller(floats a, floats b) { return (floats)_mm512_min_ps((__m512)a, (__m512)b); }
#elif defined(__AVX2__)
static inline floats larger(floats a, floats b) { return (floats)_mm256_max_ps((__m256)a, (__m256)b); }
static inline floats smaller(floats a, floats b) { return (floats)_mm256_min_ps((__m256)a, (__m256)b); }
#else
static inline floats larger(floats a, floats b) { return pick(a > b, a, b); }
static inline floats smaller(floats a, floats b) { return pick(a < b, a, b); }
#endif

static inline int any(ints mask) {
#if LANES == 16
  return _mm512_movepi32_mask((__m512i)mask) != 0;
#elif defined(__AVX2__)
  return _mm256_movemask_ps((__m256)mask);
#else
  int found = 0;
  for (int i = 0; i < LANES; i++) found |= mask[i];
  return found;
#endif
}

static inline float sum_of(floats x) {
#if LANES == 16
  return _mm512_reduce_add_ps((__m512)x);
#elif defined(__AVX2__)
  __m128 half = _mm256_castps256_ps128((__m256)x) + _mm256_extractf128_ps((__m256)x, 1);
  half += _mm_movehl_ps(half, half);
  return half[0] + half[1];
#else
  float sum[LANES];
  memcpy(sum, &x, sizeof sum);
  for (int half = LANES / 2; half; half /= 2)
    for (int i = 0; i < half; i++) sum[i] += sum[i + half];
  return sum[0];
#endif
}

static inline float largest_of(floats x) {
  float most[LANES];
  memcpy(most, &x, sizeof most);
  for (int half = LANES / 2; half; half /= 2)
    for (int i = 0; i < half; i++) most[i] = most[i] > most[i + half] ? most[i] : most[i + half];
  return most[0];
}

/* exp(x) of each lane, relative error below 2e-7; 0 below -87.3, so exp(-inf) is 0 (Cody and Waite 1980: reduction by
   ln 2 in two parts, then a polynomial). */
static inline floats exps(floats x) {
  ints vanishes = x < all(-87.3f);
  x = smaller(larger(x, all(-87.3f)), all(88.3f));
  floats turns = x * 1.44269504f;
  ints whole = __builtin_convertvector(turns + pick(turns < all(0.0f), all(-0.5f), all(0.5f)), ints);
  floats n = to_floats(whole);
  floats r = x - n * 0.693359375f - n * -2.12194440e-4f;
  floats p = all(1.9875691500e-4f);
  p = p * r + 1.3981999507e-3f;
  p = p * r + 8.3334519073e-3f;
  p = p * r + 4.1665795894e-2f;
  p = p * r + 1.6666665459e-1f;
  p = p * r + 5.0000001201e-1f;
  p = p * r * r + r + 1.0f;
  floats scale = (floats)((whole + 127) << 23);
  return pick(vanishes, all(0.0f), p * scale);
}

/* The first n < LANES floats, the other lanes filled. */
static inline floats load_some(const float* from, int n, float filling) {
  float lanes[LANES];
  for (int i = 0; i < LANES; i++) lanes[i] = i < n ? from[i] : filling;
  return load(lanes);
}

static inline void store_some(float* to, floats x, int n) { memcpy(to, &x, 4 * (size_t)n); }

static inline float dot(const float* a, const float* b, int n) {
  floats sum = {};
  int i = 0;
  for (; i + LANES <= n; i += LANES) sum += load(a + i) * load(b + i);
  if (i < n) sum += load_some(a + i, n - i, 0) * load_some(b + i, n - i, 0);
  return sum_of(sum);
}

/* to += weight * from */
static inline void add_weighted(float* to, float weight, const float* from, int n) {
  int i = 0;
  for (; i + LANES <= n; i += LANES) store(to + i, load(to + i) + load(from + i) * weight);
  if (i < n) store_some(to + i, load_some(to + i, n - i, 0) + load_some(from + i, n - i, 0) * weight, n - i);
}

/* x to exp(x - largest) in place; returns their sum, and the largest in *most. All -inf gives a sum of 0. */
static inline float exponentials(float* x, int n, float* most) {
  floats high = all(-INFINITY);
  int i = 0;
  for (; i + LANES <= n; i += LANES) high = larger(high, load(x + i));
  if (i < n) high = larger(high, load_some(x + i, n - i, -INFINITY));
  *most = largest_of(high);
  if (*most == -INFINITY) return 0;
  floats sum = {};
  for (i = 0; i + LANES <= n; i += LANES) {
    floats e = exps(load(x + i) - *most);
    store(x + i, e);
    sum += e;
  }
  if (i < n) {
    floats e = exps(load_some(x + i, n - i, -INFINITY) - *most);
    store_some(x + i, e, n - i);
    sum += e;
  }
  return sum_of(sum);
}

#endif
