/* How rows of numbers are stored: loaded to float32, and rounded from it. */

#ifndef QSTAR_NUMBERS_H
#define QSTAR_NUMBERS_H

#include <stdint.h>
#include <string.h>

enum { FLOAT32 = 0, BFLOAT16 = 1, FLOAT16 = 2 };

static inline int size_of(int kind) { return kind == FLOAT32 ? 4 : 2; }

static inline void load_bfloat16(const uint16_t *source, int count, float *values)
{
    uint32_t *bits = (uint32_t *)values;
    for (int i = 0; i < count; i++)
        bits[i] = (uint32_t)source[i] << 16;
}

static inline void load_float16(const uint16_t *source, int count, float *values)
{
    uint32_t *bits = (uint32_t *)values;
    for (int i = 0; i < count; i++)
        bits[i] = (uint32_t)(source[i] & 0x7fff) << 13;
    for (int i = 0; i < count; i++)
        values[i] *= 0x1p112f; /* the difference of the exponents' biases */
    for (int i = 0; i < count; i++) {
        uint32_t is_finite = (source[i] & 0x7c00) != 0x7c00;
        bits[i] |= (uint32_t)(source[i] & 0x8000) << 16 | (is_finite ? 0 : 0x7f800000);
    }
}

static inline void load(const void *source, int kind, int count, float *values)
{
    if (kind == FLOAT32)
        memcpy(values, source, count * sizeof(float));
    else if (kind == BFLOAT16)
        load_bfloat16(source, count, values);
    else
        load_float16(source, count, values);
}

/* Rounds to the nearest, ties to even; NaN stays NaN. */
static inline void store_bfloat16(const float *values, int count, uint16_t *target)
{
    const uint32_t *bits = (const uint32_t *)values;
    for (int i = 0; i < count; i++) {
        uint32_t rounded = (bits[i] + 0x7fff + ((bits[i] >> 16) & 1)) >> 16;
        int is_nan = (bits[i] & 0x7fffffff) > 0x7f800000;
        target[i] = is_nan ? 0x7fc0 : (uint16_t)rounded;
    }
}

/* Likewise. */
static inline uint16_t float16_of(float value)
{
    union { float value; uint32_t bits; } number = {value};
    uint32_t sign = number.bits >> 16 & 0x8000, size = number.bits & 0x7fffffff;
    if (size > 0x7f800000)
        return sign | 0x7e00;
    if (size >= 0x47800000) /* 65536 */
        return sign | 0x7c00;
    if (size < 0x38800000) { /* 2^-14: the sum with 0.5 has the last bit of a small float16 */
        number.bits = size;
        number.value += 0.5f;
        return sign | (number.bits - 0x3f000000);
    }
    return sign | ((size - 0x38000000 + 0xfff + (size >> 13 & 1)) >> 13);
}

static inline void store(const float *values, int kind, int count, void *target)
{
    uint16_t *halves = target;
    if (kind == FLOAT32)
        memcpy(target, values, count * sizeof(float));
    else if (kind == BFLOAT16)
        store_bfloat16(values, count, halves);
    else
        for (int i = 0; i < count; i++)
            halves[i] = float16_of(values[i]);
}

/* Copies `count` numbers, and 0 for one that is not finite: then it returns 1. */
static inline int store_finite(const char *source, char *target, int count, int kind)
{
    int found = 0;
    if (kind == FLOAT32) {
        const uint32_t *from = (const uint32_t *)source;
        uint32_t *to = (uint32_t *)target;
        for (int i = 0; i < count; i++) {
            int is_bad = (from[i] & 0x7f800000) == 0x7f800000;
            to[i] = is_bad ? 0 : from[i];
            found |= is_bad;
        }
        return found;
    }
    const uint16_t *from = (const uint16_t *)source, exponent = kind == BFLOAT16 ? 0x7f80 : 0x7c00;
    uint16_t *to = (uint16_t *)target;
    for (int i = 0; i < count; i++) {
        int is_bad = (from[i] & exponent) == exponent;
        to[i] = is_bad ? 0 : from[i];
        found |= is_bad;
    }
    return found;
}

#endif
