/* Small float32 matrices in the cache: products, transposition, exponentials.

   W numbers are one vector. Every number is computed in an order that does not depend on the shape
   of the matrix it is in. */

#ifndef QSTAR_VECTORS_H
#define QSTAR_VECTORS_H

#include <stdint.h>
#include <string.h>

#if defined(__AVX512F__)
enum { W = 16, TILE = 4 };
#define LOW_HALVES 0, 16, 1, 17, 2, 18, 3, 19, 4, 20, 5, 21, 6, 22, 7, 23
#define HIGH_HALVES 8, 24, 9, 25, 10, 26, 11, 27, 12, 28, 13, 29, 14, 30, 15, 31
#elif defined(__AVX__)
enum { W = 8, TILE = 2 };
#define LOW_HALVES 0, 8, 1, 9, 2, 10, 3, 11
#define HIGH_HALVES 4, 12, 5, 13, 6, 14, 7, 15
#else
enum { W = 4, TILE = 4 };
#define LOW_HALVES 0, 4, 1, 5
#define HIGH_HALVES 2, 6, 3, 7
#endif
/* TILE: vectors side by side in a product. With 4 rows of them, all sums stay in registers. */

typedef float vec __attribute__((vector_size(4 * W)));
typedef int32_t ivec __attribute__((vector_size(4 * W)));
typedef float unaligned_vec __attribute__((vector_size(4 * W), aligned(4), may_alias));

#if defined(__clang__)
#define SHUFFLE(a, b, ...) __builtin_shufflevector(a, b, __VA_ARGS__)
#else
#define SHUFFLE(a, b, ...) __builtin_shuffle(a, b, (ivec){__VA_ARGS__})
#endif

#define INLINE static inline __attribute__((always_inline))

INLINE vec load_vec(const float *source) { return *(const unaligned_vec *)source; }

INLINE void store_vec(float *target, vec values) { *(unaligned_vec *)target = values; }

INLINE vec all_lanes(float value) { return value - (vec){0}; }

INLINE vec where(ivec mask, vec a, vec b) { return (vec)((mask & (ivec)a) | (~mask & (ivec)b)); }

INLINE vec larger(vec a, vec b) { return where(a > b, a, b); }

/* e^x to about 1 unit in the last place, for x <= 0; 0 below -87. */
INLINE vec exponential(vec x)
{
    ivec is_zero = x < -87.0f;
    x = where(is_zero, all_lanes(-87.0f), x);
    vec rounded = x * 1.44269504f + 12582912.0f;
    vec n = rounded - 12582912.0f; /* the nearest integer: the sum has no more bits */
    vec r = x - n * 0.693359375f + n * 2.12194440e-4f;
    vec series = r * (1.0f / 5040.0f) + 1.0f / 720.0f;
    series = series * r + 1.0f / 120.0f;
    series = series * r + 1.0f / 24.0f;
    series = series * r + 1.0f / 6.0f;
    series = series * r + 0.5f;
    series = series * r + 1.0f;
    series = series * r + 1.0f;
    vec power = (vec)(((ivec)rounded + 127) << 23); /* 2 to the n: its last bits are those of n */
    return (vec)(~is_zero & (ivec)(series * power));
}

/* c += a @ b for some rows of a and vectors of b, both at most 4. */
INLINE void multiply_tile(const float *a, int a_stride, const float *b, int b_stride, float *c,
                          int c_stride, int depth, const int rows, const int vectors)
{
    vec sums[4][4];
#pragma GCC unroll 4
    for (int row = 0; row < rows; row++)
#pragma GCC unroll 4
        for (int v = 0; v < vectors; v++)
            sums[row][v] = load_vec(c + row * c_stride + v * W);
    for (int k = 0; k < depth; k++) {
        vec right[4];
#pragma GCC unroll 4
        for (int v = 0; v < vectors; v++)
            right[v] = load_vec(b + k * b_stride + v * W);
#pragma GCC unroll 4
        for (int row = 0; row < rows; row++)
#pragma GCC unroll 4
            for (int v = 0; v < vectors; v++)
                sums[row][v] += right[v] * a[row * a_stride + k];
    }
#pragma GCC unroll 4
    for (int row = 0; row < rows; row++)
#pragma GCC unroll 4
        for (int v = 0; v < vectors; v++)
            store_vec(c + row * c_stride + v * W, sums[row][v]);
}

INLINE void multiply_rows(const float *a, int a_stride, const float *b, int b_stride, float *c,
                          int c_stride, int depth, const int rows, int vectors)
{
    int v = 0;
    for (; v + TILE <= vectors; v += TILE)
        multiply_tile(a, a_stride, b + v * W, b_stride, c + v * W, c_stride, depth, rows, TILE);
    for (; v < vectors; v++)
        multiply_tile(a, a_stride, b + v * W, b_stride, c + v * W, c_stride, depth, rows, 1);
}

/* c += a @ b. a: [rows, depth], b: [depth, vectors * W], c: [rows, vectors * W]. */
static void multiply_add(const float *a, int a_stride, const float *b, int b_stride, float *c,
                         int c_stride, int rows, int depth, int vectors)
{
    int row = 0;
    for (; row + 4 <= rows; row += 4)
        multiply_rows(a + row * a_stride, a_stride, b, b_stride, c + row * c_stride, c_stride,
                      depth, 4, vectors);
    a += row * a_stride;
    c += row * c_stride;
    if (rows - row == 3)
        multiply_rows(a, a_stride, b, b_stride, c, c_stride, depth, 3, vectors);
    else if (rows - row == 2)
        multiply_rows(a, a_stride, b, b_stride, c, c_stride, depth, 2, vectors);
    else if (rows - row == 1)
        multiply_rows(a, a_stride, b, b_stride, c, c_stride, depth, 1, vectors);
}

/* target[j, i] = source[i, j] for i, j < W: each pass shuffles the rows of two halves together. */
INLINE void transpose_tile(const float *source, int source_stride, float *target, int target_stride)
{
    vec rows[W], shuffled[W];
#pragma GCC unroll 16
    for (int i = 0; i < W; i++)
        rows[i] = load_vec(source + i * source_stride);
#pragma GCC unroll 4
    for (int half = 1; half < W; half *= 2) {
#pragma GCC unroll 8
        for (int i = 0; i < W / 2; i++) {
            shuffled[2 * i] = SHUFFLE(rows[i], rows[i + W / 2], LOW_HALVES);
            shuffled[2 * i + 1] = SHUFFLE(rows[i], rows[i + W / 2], HIGH_HALVES);
        }
#pragma GCC unroll 16
        for (int i = 0; i < W; i++)
            rows[i] = shuffled[i];
    }
#pragma GCC unroll 16
    for (int i = 0; i < W; i++)
        store_vec(target + i * target_stride, rows[i]);
}

/* target[j, i] = source[i, j] for i < rows, j < columns, both multiples of W. */
static void transpose(const float *source, int source_stride, float *target, int target_stride,
                      int rows, int columns)
{
    for (int i = 0; i < rows; i += W)
        for (int j = 0; j < columns; j += W)
            transpose_tile(source + i * source_stride + j, source_stride,
                           target + j * target_stride + i, target_stride);
}

#endif
