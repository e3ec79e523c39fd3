/* Emergent flux of plane-parallel atmospheres: the arithmetic of transfer.py in one pass.

   Stars B, depths D, pixels P, nodes W. Smooth opacity, thermal source and excess source (sigma
   (J - B)) are linear between nodes; lines are per pixel. */

#include <math.h>
#include <stdint.h>

#define BLOCK 64
#define SMALL_STEP 0.03f

typedef struct { float e2, e3, e4; } integrals;

static inline integrals exponential(float x) {
    float low = fminf(x, 1.0f), high = fminf(fmaxf(x, 1.0f), 1e3f);
    float s = 0.00107857f;
    s = s * low - 0.00976004f;
    s = s * low + 0.05519968f;
    s = s * low - 0.24991055f;
    s = s * low + 0.99999193f;
    s = s * low - 0.57721566f;
    s -= logf(fmaxf(low, 1e-30f));
    float top = (((high + 8.5733287401f) * high + 18.0590169730f) * high + 8.6347608925f) * high +
                0.2677737343f;
    float bottom = (((high + 9.5733223454f) * high + 25.6329561486f) * high + 21.0996530827f) * high +
                   3.9584969228f;
    float fall = expf(-x);
    float e1 = x < 1.0f ? s : fall * top / (bottom * high);
    integrals out;
    out.e2 = fall - x * e1;
    out.e3 = 0.5f * (fall - x * out.e2);
    out.e4 = (fall - x * out.e3) * (1.0f / 3.0f);
    return out;
}

void starnet_transfer(int64_t B, int64_t D, int64_t P, int64_t W, const float *lines,
                      const float *smooth, const float *thermal, const float *excess,
                      const int32_t *left, const float *weight, const float *turn,
                      const float *log_scale, float *out, int threads) {
    int64_t blocks = (P + BLOCK - 1) / BLOCK;
#pragma omp parallel for schedule(static) num_threads(threads)
    for (int64_t job = 0; job < B * blocks; job++) {
        int64_t b = job / blocks, start = (job % blocks) * BLOCK;
        int n = (int)(P - start < BLOCK ? P - start : BLOCK);
        float k0[BLOCK], tau[BLOCK], s0[BLOCK], e2[BLOCK], e3[BLOCK], e4[BLOCK], sum[BLOCK];
        const int32_t *at = left + start;
        const float *w = weight + start;
        for (int64_t d = 0; d < D; d++) {
            int64_t row = b * D + d;
            const float *line = lines + row * P + start;
            const float *sm = smooth + row * W, *th = thermal + row * W, *ex = excess + row * W;
            float factor = turn[row];
            float step = d ? log_scale[row] - log_scale[row - 1] : 0.0f;
#pragma omp simd
            for (int p = 0; p < n; p++) {
                int i = at[p];
                float total = line[p] + sm[i] + (sm[i + 1] - sm[i]) * w[p];
                float s = th[i] + (th[i + 1] - th[i]) * w[p];
                s += (ex[i] + (ex[i + 1] - ex[i]) * w[p]) / total;
                float k = total * factor;
                float before = d ? k0[p] : k;
                float bend = (k - before) / (k + before);
                bend *= bend;
                float dtau = 0.5f * (k + before) *
                             (1.0f - bend * (1.0f / 3.0f + bend * (4.0f / 45.0f + bend * (44.0f / 945.0f)))) *
                             step;
                float t = d ? tau[p] + dtau : k;
                integrals e = exponential(t);
                float mean = 0.0f, rise = 0.0f, past = 0.5f * s;
                if (d) {
                    float plain = 0.5f * (e3[p] + e.e3) - dtau * (e2[p] - e.e2) * (1.0f / 12.0f);
                    float exact = (e4[p] - e.e4) / fmaxf(dtau, SMALL_STEP);
                    mean = dtau > SMALL_STEP ? exact : plain;
                    rise = s - s0[p];
                    past = sum[p];
                }
                sum[p] = past + rise * mean;
                k0[p] = k;
                tau[p] = t;
                s0[p] = s;
                e2[p] = e.e2;
                e3[p] = e.e3;
                e4[p] = e.e4;
            }
        }
        for (int p = 0; p < n; p++) out[b * P + start + p] = 6.2831853072f * sum[p];
    }
}
