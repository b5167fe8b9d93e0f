/* What a transformer layer does to its rows between the linear layers, each in one pass over memory.

   Every row is computed by the same instructions however many rows there are, so its bits do not
   depend on them. All arithmetic is float32; `kind` says how rows are stored. No threads, no state.
   Built by row_ops_library.py. */

#include <math.h>
#include <stddef.h>
#include <stdint.h>

#include "exponential.h"
#include "numbers.h"

enum { BLOCK = 256, LANES = 16 };

static int min_of(int a, int b) { return a < b ? a : b; }

/* Adds to LANES sums side by side, so that the order does not depend on the compiler. */
static void add_squares(const float *values, int count, float *sums)
{
    int i = 0;
    for (; i + LANES <= count; i += LANES)
        for (int lane = 0; lane < LANES; lane++)
            sums[lane] += values[i + lane] * values[i + lane];
    for (int lane = 0; i + lane < count; lane++)
        sums[lane] += values[i + lane] * values[i + lane];
}

static float inverse_norm(const float *sums, int count, float eps)
{
    float total = 0;
    for (int lane = 0; lane < LANES; lane++)
        total += sums[lane];
    return 1.0f / sqrtf(total / count + eps);
}

/* states += update, in place; then out = RMS norm of states.
   states: [rows, width] float32. update: [rows, width] of `kind`, or NULL. weight: [width]. */
void add_norm(float *states, const void *update, const float *weight, float eps, void *out,
              int rows, int width, int kind)
{
    for (int row = 0; row < rows; row++) {
        size_t first = (size_t)row * width;
        float *state = states + first, sums[LANES] = {0}, values[BLOCK];
        for (int begin = 0; begin < width; begin += BLOCK) {
            int count = min_of(BLOCK, width - begin);
            if (update != NULL) {
                load((const char *)update + (first + begin) * size_of(kind), kind, count, values);
                for (int i = 0; i < count; i++)
                    state[begin + i] += values[i];
            }
            add_squares(state + begin, count, sums);
        }
        float factor = inverse_norm(sums, width, eps);
        for (int begin = 0; begin < width; begin += BLOCK) {
            int count = min_of(BLOCK, width - begin);
            for (int i = 0; i < count; i++)
                values[i] = state[begin + i] * factor * weight[begin + i];
            store(values, kind, count, (char *)out + (first + begin) * size_of(kind));
        }
    }
}

/* Norms and rotates the first `heads` heads of each row, in place.
   rows of `kind`, `stride` numbers apart. cos, sin: [rows, dim], or NULL: no rotation.
   weight: [heads, dim], or NULL: no norm. dim is at most 2 * BLOCK. */
void norm_rotate(void *states, const float *cos, const float *sin, const float *weight, float eps,
                 int rows, int stride, int heads, int dim, int kind)
{
    int half = dim / 2;
    for (int row = 0; row < rows; row++) {
        for (int head = 0; head < heads; head++) {
            char *place = (char *)states
                + ((size_t)row * stride + (size_t)head * dim) * size_of(kind);
            float x[2 * BLOCK], y[2 * BLOCK];
            load(place, kind, dim, x);
            if (weight != NULL) {
                float sums[LANES] = {0};
                add_squares(x, dim, sums);
                float factor = inverse_norm(sums, dim, eps);
                for (int i = 0; i < dim; i++)
                    x[i] *= factor * weight[head * dim + i];
            }
            if (cos == NULL) {
                store(x, kind, dim, place);
                continue;
            }
            const float *c = cos + (size_t)row * dim, *s = sin + (size_t)row * dim;
            for (int i = 0; i < half; i++) {
                y[i] = x[i] * c[i] - x[half + i] * s[i];
                y[half + i] = x[half + i] * c[half + i] + x[i] * s[half + i];
            }
            store(y, kind, dim, place);
        }
    }
}

/* out = silu(gate) * up. gate_up: [rows, 2 * width] of `kind`, the gate first. */
void silu_gate(const void *gate_up, void *out, int rows, int width, int kind)
{
    for (int row = 0; row < rows; row++) {
        const char *gates = (const char *)gate_up + (size_t)row * 2 * width * size_of(kind);
        const char *ups = gates + (size_t)width * size_of(kind);
        char *target = (char *)out + (size_t)row * width * size_of(kind);
        for (int begin = 0; begin < width; begin += BLOCK) {
            int count = min_of(BLOCK, width - begin);
            float gate[BLOCK], up[BLOCK], limited[BLOCK];
            load(gates + (size_t)begin * size_of(kind), kind, count, gate);
            load(ups + (size_t)begin * size_of(kind), kind, count, up);
            /* Loops of their own: in one loop, compilers branch on the limits. */
            for (int i = 0; i < count; i++)
                limited[i] = at_most(-gate[i], 88.0f);
            for (int i = 0; i < count; i++)
                limited[i] = at_least(limited[i], -87.0f);
            for (int i = 0; i < count; i++)
                up[i] *= gate[i] / (1.0f + exponential(limited[i]));
            store(up, kind, count, target + (size_t)begin * size_of(kind));
        }
    }
}
