/* The exponential function, in operations that compilers vectorise. */

#ifndef QSTAR_EXPONENTIAL_H
#define QSTAR_EXPONENTIAL_H

#include <stdint.h>

static inline float at_most(float x, float limit) { return x > limit ? limit : x; }

static inline float at_least(float x, float limit) { return x < limit ? limit : x; }

/* e^x to about 1 unit in the last place, for x in [-87, 88] or NaN. */
static inline float exponential(float x)
{
    union { float value; uint32_t bits; } rounded = {x * 1.44269504f + 12582912.0f}, power;
    float n = rounded.value - 12582912.0f; /* the nearest integer: the sum has no more bits */
    float r = x - n * 0.693359375f + n * 2.12194440e-4f;
    float series = 1.0f / 5040.0f;
    series = series * r + 1.0f / 720.0f;
    series = series * r + 1.0f / 120.0f;
    series = series * r + 1.0f / 24.0f;
    series = series * r + 1.0f / 6.0f;
    series = series * r + 0.5f;
    series = series * r + 1.0f;
    series = series * r + 1.0f;
    power.bits = (rounded.bits + 127) << 23; /* 2 to the n: its last bits are those of n */
    return series * power.value;
}

#endif
