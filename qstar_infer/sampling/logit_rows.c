/* What is computed from rows of logits: one pass over memory each, without copies.

   A row is computed by the same instructions whatever rows are beside it, and by one thread, so
   its bits do not depend on them. `kind` says how rows are stored; arithmetic is float32.
   Built by logit_rows_library.py. */

#include <math.h>
#include <stddef.h>
#include <stdint.h>

#include "exponential.h"
#include "numbers.h"
#include "threads.h"

enum { BLOCK = 256, LANES = 16, MOST_BLOCKS = 4096 };

static int min_of(int a, int b) { return a < b ? a : b; }

static const char *address(const void *rows, int64_t number, int64_t stride, int kind)
{
    return (const char *)rows + number * stride * size_of(kind);
}

/* --- numbers that are not finite, and tokens that are never sampled ---------------------------- */

typedef struct {
    float *logits;
    const int32_t *masked;
    uint8_t *is_finite;
    int64_t stride;
    int32_t vocab, num_masked;
} Check;

static void check_row(const void *arguments, int row)
{
    const Check *check = arguments;
    float *logits = check->logits + row * check->stride;
    const uint32_t *bits = (const uint32_t *)logits;
    uint32_t largest = 0;
    for (int i = 0; i < check->vocab; i++) {
        uint32_t size = bits[i] & 0x7fffffff;
        largest = size > largest ? size : largest;
    }
    check->is_finite[row] = largest < 0x7f800000;
    for (int i = 0; i < check->num_masked; i++)
        logits[check->masked[i]] = -INFINITY;
}

/* Notes which rows are finite, then sets the masked tokens of all to minus infinity. */
void check_and_mask(const Check *check, int count, int num_threads, Parallel parallel)
{
    run_rows(check_row, check, count, num_threads, parallel);
}

/* --- mixing ------------------------------------------------------------------------------------ */

typedef struct {
    float *thoughts; /* [count, vocab]; becomes the mixed logits */
    const void *base;
    const int64_t *base_rows;
    const float *weights;
    const int32_t *masked;
    int64_t stride, base_stride;
    int32_t vocab, num_masked, base_kind;
} Mix;

static void mix_row(const void *arguments, int row)
{
    const Mix *mix = arguments;
    int kind = mix->base_kind;
    float *logits = mix->thoughts + row * mix->stride;
    const char *source = address(mix->base, mix->base_rows[row], mix->base_stride, kind);
    float weight = mix->weights[row], rest = 1.0f - weight;
    for (int begin = 0; begin < mix->vocab; begin += BLOCK) {
        int count = min_of(BLOCK, mix->vocab - begin);
        float base[BLOCK];
        load(source + (size_t)begin * size_of(kind), kind, count, base);
        for (int i = 0; i < count; i++)
            logits[begin + i] = rest * base[i] + weight * logits[begin + i];
    }
    for (int i = 0; i < mix->num_masked; i++)
        logits[mix->masked[i]] = -INFINITY;
}

/* logits = (1 - weight) * base + weight * logits, then the masked tokens. */
void mix(const Mix *mix, int count, int num_threads, Parallel parallel)
{
    run_rows(mix_row, mix, count, num_threads, parallel);
}

/* --- log-probabilities ------------------------------------------------------------------------- */

typedef struct {
    const void *logits;
    const int64_t *rows, *tokens;
    float *logprobs, *tops;
    int64_t stride;
    int32_t vocab, kind;
} Score;

/* Maxima side by side, so that compilers vectorise. NaN is left out. */
static float largest_of(const float *values, int count)
{
    float lanes[LANES], largest = -INFINITY;
    int i = 0;
    for (int lane = 0; lane < LANES; lane++)
        lanes[lane] = -INFINITY;
    for (; i + LANES <= count; i += LANES)
        for (int lane = 0; lane < LANES; lane++)
            lanes[lane] = values[i + lane] > lanes[lane] ? values[i + lane] : lanes[lane];
    for (; i < count; i++)
        largest = values[i] > largest ? values[i] : largest;
    for (int lane = 0; lane < LANES; lane++)
        largest = lanes[lane] > largest ? lanes[lane] : largest;
    return largest;
}

/* The sum of e^(value - top). Overwrites the values. NaN stays NaN. */
static float sum_of_exponentials(float *values, int count, float top)
{
    float lanes[LANES] = {0}, sum = 0;
    int i = 0;
    for (i = 0; i < count; i++)
        values[i] = at_least(values[i] - top, -87.0f);
    for (i = 0; i < count; i++)
        values[i] = exponential(values[i]);
    for (i = 0; i + LANES <= count; i += LANES)
        for (int lane = 0; lane < LANES; lane++)
            lanes[lane] += values[i + lane];
    for (; i < count; i++)
        sum += values[i];
    for (int lane = 0; lane < LANES; lane++)
        sum += lanes[lane];
    return sum;
}

static void score_row(const void *arguments, int number)
{
    const Score *score = arguments;
    int kind = score->kind, vocab = score->vocab;
    const char *row = address(score->logits, score->rows[number], score->stride, kind);
    float values[BLOCK], top = -INFINITY, chosen;
    for (int begin = 0; begin < vocab; begin += BLOCK) {
        int count = min_of(BLOCK, vocab - begin);
        load(row + (size_t)begin * size_of(kind), kind, count, values);
        float largest = largest_of(values, count);
        top = largest > top ? largest : top;
    }
    double sum = 0;
    for (int begin = 0; begin < vocab; begin += BLOCK) {
        int count = min_of(BLOCK, vocab - begin);
        load(row + (size_t)begin * size_of(kind), kind, count, values);
        sum += sum_of_exponentials(values, count, top);
    }
    float log_sum = (float)log(sum);
    load(row + score->tokens[number] * size_of(kind), kind, 1, &chosen);
    score->logprobs[number] = (chosen - top) - log_sum;
    score->tops[number] = -log_sum;
}

/* Natural log-probabilities of one token of each row, and of its most likely token. */
void score(const Score *score, int count, int num_threads, Parallel parallel)
{
    run_rows(score_row, score, count, num_threads, parallel);
}

/* --- sampling ---------------------------------------------------------------------------------- */

typedef struct {
    const float *const *rows;
    const float *temperatures;
    const int64_t *keys;
    int64_t *picked;
    double shift, rounding, largest;
    float scale;
    int32_t vocab;
} Pick;

/* The noise of one token, not rounded to float32. */
static double noise_of(float tail)
{
    double share = (double)(tail + 0.5f) * 0x1p-31, most = 1 - 0x1p-24;
    return -log(-log1p(-(share > most ? most : share)));
}

/* Of the block's tokens the scaled logits, tails and bounds, as in pick_on_cpu.py. */
static void bound_block(const Pick *pick, int row, int begin, int count, float *scaled,
                        float *tails, float *bounds)
{
    const float *logits = pick->rows[row] + begin;
    float temperature = pick->temperatures[row];
    uint32_t low = (uint32_t)pick->keys[row], high = (uint32_t)((uint64_t)pick->keys[row] >> 32);
    uint32_t start = low ^ (uint32_t)begin, between = high ^ high >> 16;
    start ^= start >> 16; /* the upper 16 bits of all tokens of a block are equal */
    for (int i = 0; i < count; i++)
        scaled[i] = temperature == 1.0f ? logits[i] : logits[i] / temperature;
    for (int i = 0; i < count; i++) {
        uint32_t bits = (start ^ (uint32_t)i) * 0x7FEB352Du;
        bits = (bits ^ bits >> 15) * 0x846CA68Bu ^ between;
        bits *= 0x7FEB352Du;
        bits = (bits ^ bits >> 15) * 0x846CA68Bu;
        tails[i] = (float)(int32_t)((bits ^ bits >> 16) & 0x7FFFFFFF);
    }
    const int32_t *logarithms = (const int32_t *)tails;
    for (int i = 0; i < count; i++)
        bounds[i] = (float)logarithms[i] * pick->scale + scaled[i];
}

/* The token with the highest bound, if no other can win; -1 if the caller must compute more. */
static void pick_row(const void *arguments, int row)
{
    const Pick *pick = arguments;
    float scaled[BLOCK], tails[BLOCK], bounds[BLOCK], maxima[MOST_BLOCKS];
    float best_bound = -INFINITY, best_scaled = 0, best_tail = 0;
    int vocab = pick->vocab, num_blocks = (vocab + BLOCK - 1) / BLOCK, has_nan = 0, num_winners = 0;
    int64_t best = -1;
    pick->picked[row] = -1;
    if (num_blocks > MOST_BLOCKS)
        return;
    for (int block = 0; block < num_blocks; block++) {
        int begin = block * BLOCK, count = min_of(BLOCK, vocab - begin);
        bound_block(pick, row, begin, count, scaled, tails, bounds);
        for (int i = 0; i < count; i++)
            has_nan |= bounds[i] != bounds[i];
        maxima[block] = largest_of(bounds, count);
        if (maxima[block] <= best_bound)
            continue;
        best_bound = maxima[block];
        for (int i = 0; i < count; i++)
            if (bounds[i] == best_bound) {
                best = begin + i, best_scaled = scaled[i], best_tail = tails[i];
                break;
            }
    }
    double total = (double)best_scaled + noise_of(best_tail);
    if (best < 0 || has_nan || !isfinite(total))
        return;
    float least = (float)(total - pick->shift - pick->rounding * (fabs(total) + pick->largest));
    for (int block = 0; block < num_blocks; block++) {
        if (maxima[block] < least)
            continue;
        int begin = block * BLOCK, count = min_of(BLOCK, vocab - begin);
        bound_block(pick, row, begin, count, scaled, tails, bounds);
        for (int i = 0; i < count; i++)
            num_winners += bounds[i] >= least;
    }
    if (num_winners == 1)
        pick->picked[row] = best;
}

/* Samples a token for each row, at temperatures above 0. */
void pick(const Pick *pick, int count, int num_threads, Parallel parallel)
{
    run_rows(pick_row, pick, count, num_threads, parallel);
}
