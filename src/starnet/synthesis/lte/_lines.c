/* Opacity of spectral lines, summed on an even grid, with both kinds of derivative.

   Rows are depths (of all stars), R in number; lines N; pixels P. A line adds amp * H(a, v) with
   v = (pixel - centre) / width to each pixel of a row until it falls below `floor` there. H is the
   Voigt function: near the centre by Weideman's rational series (1994, SIAM J. Numer. Anal. 31,
   1497), farther out by Laplace's continued fraction of order 6 (Gautschi 1970, SIAM J. Numer.
   Anal. 7, 187), far out Lorentzian. */

#include <math.h>
#include <stdint.h>
#include <string.h>

#define TERMS 20
#define NEAR 5.5f
#define FAR 15.0f
#define INV_SQRT_PI 0.56418958354775628695f

static float series[TERMS];
static float scale_l;

void starnet_lines_setup(const float *coefficients, float l) {
    memcpy(series, coefficients, sizeof series);
    scale_l = l;
}

typedef struct { float h, l; } voigt;

static inline voigt near_centre(float a, float v) {
    /* w(z), z = v + i a: Z = (L + i z) / (L - i z) */
    float dr = scale_l + a, nr = scale_l - a;
    float inv = 1.0f / (dr * dr + v * v);
    float zr = (nr * dr - v * v) * inv, zi = (v * dr + nr * v) * inv;
    float pr = series[0], pi = 0.0f;
    for (int k = 1; k < TERMS; k++) {
        float r = pr * zr - pi * zi + series[k];
        pi = pr * zi + pi * zr;
        pr = r;
    }
    float qr = dr * inv, qi = v * inv; /* 1 / (L - i z) */
    float sr = qr * qr - qi * qi, si = 2.0f * qr * qi;
    voigt w = {2.0f * (pr * sr - pi * si) + INV_SQRT_PI * qr,
               2.0f * (pr * si + pi * sr) + INV_SQRT_PI * qi};
    return w;
}

static inline voigt middle(float a, float v) {
    float q = 1.0f / (a * a + v * v);
    float cr = a * q, ci = v * q; /* c = 1 / t with t = a - i v; p = c squared */
    float pr = cr * cr - ci * ci, pi = 2.0f * cr * ci;
    float sr = pr * pr - pi * pi, si = 2.0f * pr * pi;
    float nr = 1.0f + 7.0f * pr + 8.25f * sr, ni = 7.0f * pi + 8.25f * si;
    float er = 1.0f + 7.5f * pr + 11.25f * sr + 1.875f * (pr * sr - pi * si);
    float ei = 7.5f * pi + 11.25f * si + 1.875f * (pr * si + pi * sr);
    float inv = INV_SQRT_PI / (er * er + ei * ei);
    float mr = (nr * er + ni * ei) * inv, mi = (ni * er - nr * ei) * inv;
    voigt w = {cr * mr - ci * mi, cr * mi + ci * mr};
    return w;
}

static inline float far_wing(float a, float v) {
    float q = 1.0f / (v * v + a * a);
    return INV_SQRT_PI * a * q * (1.0f + 1.5f * q);
}

/* First and past-the-last pixel of the six borders: cut, far, near, near, far, cut. */
static inline int borders(float amp, float a, float width, double centre, float level, int reach,
                          int P, int *at) {
    if (!(amp > level)) return 0;
    float ratio = amp / level;
    float v = fmaxf(sqrtf(logf(ratio)) + 0.5f, sqrtf(ratio * a * INV_SQRT_PI));
    double half[3] = {fmin((double)v * width, (double)reach), (double)FAR * width, (double)NEAR * width};
    if (half[1] > half[0]) half[1] = half[0];
    if (half[2] > half[1]) half[2] = half[1];
    for (int k = 0; k < 3; k++) {
        double lo = ceil(centre - half[k]), hi = floor(centre + half[k]) + 1.0;
        at[k] = lo < 0 ? 0 : (lo > P ? P : (int)lo);
        at[5 - k] = hi < 0 ? 0 : (hi > P ? P : (int)hi);
        if (at[5 - k] < at[k]) at[5 - k] = at[k];
    }
    return at[5] > at[0];
}

void starnet_lines_forward(int64_t R, int64_t N, int64_t P, int64_t C, const float *amp,
                           const float *a, const float *width, const double *centre,
                           const int32_t *cell, const float *floor_, int64_t reach, float *out,
                           int threads) {
#pragma omp parallel for schedule(dynamic, 1) num_threads(threads)
    for (int64_t r = 0; r < R; r++) {
        float *row = out + r * P;
        for (int64_t n = 0; n < N; n++) {
            int64_t k = r * N + n;
            int at[6];
            if (!borders(amp[k], a[k], width[k], centre[n], floor_[r * C + cell[n]], (int)reach,
                         (int)P, at))
                continue;
            float s = amp[k], damp = a[k], inv = 1.0f / width[k];
            int base = (int)floor(centre[n]);
            float frac = (float)(centre[n] - base);
            for (int side = 0; side < 2; side++) {
                int lo = side ? at[4] : at[0], hi = side ? at[5] : at[1];
#pragma omp simd
                for (int p = lo; p < hi; p++) row[p] += s * far_wing(damp, ((float)(p - base) - frac) * inv);
                lo = side ? at[3] : at[1];
                hi = side ? at[4] : at[2];
#pragma omp simd
                for (int p = lo; p < hi; p++) row[p] += s * middle(damp, ((float)(p - base) - frac) * inv).h;
            }
#pragma omp simd
            for (int p = at[2]; p < at[3]; p++)
                row[p] += s * near_centre(damp, ((float)(p - base) - frac) * inv).h;
        }
    }
}

/* H and its derivatives by a and v */
typedef struct { float h, ha, hv; } slopes;

static inline slopes sloped(voigt w, float a, float v) {
    slopes s = {w.h, 2.0f * (a * w.h + v * w.l - INV_SQRT_PI), 2.0f * (a * w.l - v * w.h)};
    return s;
}

static inline slopes middle_slopes(float a, float v) {
    return sloped(middle(a, v), a, v);
}

static inline slopes far_slopes(float a, float v) {
    float q = 1.0f / (v * v + a * a), g = q * (1.0f + 1.5f * q), dg = -q * q * (1.0f + 3.0f * q);
    slopes s = {INV_SQRT_PI * a * g, INV_SQRT_PI * (g + 2.0f * a * a * dg), INV_SQRT_PI * 2.0f * a * v * dg};
    return s;
}

#define GATHER(LO, HI, EVAL)                                                        \
    _Pragma("omp simd reduction(+ : g0, g1, g2, g3)")                               \
    for (int p = (LO); p < (HI); p++) {                                             \
        float v = ((float)(p - base) - frac) * inv;                                 \
        slopes s = EVAL;                                                            \
        float g = row[p];                                                           \
        g0 += g * s.h;                                                              \
        g1 += g * s.ha;                                                             \
        g2 += g * s.hv * v;                                                         \
        g3 += g * s.hv;                                                             \
    }

/* From the gradient of the sum to those of amp, a, width (R, N) and of centre (N). */
void starnet_lines_backward(int64_t R, int64_t N, int64_t P, int64_t C, const float *amp,
                            const float *a, const float *width, const double *centre,
                            const int32_t *cell, const float *floor_, int64_t reach,
                            const float *grad, float *d_amp, float *d_a, float *d_width,
                            float *d_centre, int threads) {
#pragma omp parallel for schedule(dynamic, 1) num_threads(threads)
    for (int64_t r = 0; r < R; r++) {
        const float *row = grad + r * P;
        for (int64_t n = 0; n < N; n++) {
            int64_t k = r * N + n;
            int at[6];
            if (!borders(amp[k], a[k], width[k], centre[n], floor_[r * C + cell[n]], (int)reach,
                         (int)P, at))
                continue;
            float damp = a[k], inv = 1.0f / width[k];
            int base = (int)floor(centre[n]);
            float frac = (float)(centre[n] - base);
            float g0 = 0, g1 = 0, g2 = 0, g3 = 0;
            for (int side = 0; side < 2; side++) {
                GATHER(side ? at[4] : at[0], side ? at[5] : at[1], far_slopes(damp, v))
                GATHER(side ? at[3] : at[1], side ? at[4] : at[2], middle_slopes(damp, v))
            }
            GATHER(at[2], at[3], sloped(near_centre(damp, v), damp, v))
            d_amp[k] = g0;
            d_a[k] = g1 * amp[k];
            d_width[k] = -g2 * amp[k] * inv;
            d_centre[k] = -g3 * amp[k] * inv;
        }
    }
}

#define SPREAD(LO, HI, EVAL)                                                        \
    _Pragma("omp simd")                                                             \
    for (int p = (LO); p < (HI); p++) {                                             \
        float v = ((float)(p - base) - frac) * inv;                                 \
        slopes s = EVAL;                                                            \
        row[p] += t0 * s.h + t1 * s.ha + (t3 - t2 * v) * s.hv;                      \
    }

/* From directions of amp, a, width (R, N) to that of the sum. */
void starnet_lines_tangent(int64_t R, int64_t N, int64_t P, int64_t C, const float *amp,
                           const float *a, const float *width, const double *centre,
                           const int32_t *cell, const float *floor_, int64_t reach,
                           const float *t_amp, const float *t_a, const float *t_width,
                           const float *t_centre, float *out, int threads) {
#pragma omp parallel for schedule(dynamic, 1) num_threads(threads)
    for (int64_t r = 0; r < R; r++) {
        float *row = out + r * P;
        for (int64_t n = 0; n < N; n++) {
            int64_t k = r * N + n;
            int at[6];
            if (!borders(amp[k], a[k], width[k], centre[n], floor_[r * C + cell[n]], (int)reach,
                         (int)P, at))
                continue;
            float damp = a[k], inv = 1.0f / width[k];
            int base = (int)floor(centre[n]);
            float frac = (float)(centre[n] - base);
            float t0 = t_amp[k], t1 = t_a[k] * amp[k], t2 = t_width[k] * inv * amp[k];
            float t3 = -t_centre[n] * inv * amp[k];
            for (int side = 0; side < 2; side++) {
                SPREAD(side ? at[4] : at[0], side ? at[5] : at[1], far_slopes(damp, v))
                SPREAD(side ? at[3] : at[1], side ? at[4] : at[2], middle_slopes(damp, v))
            }
            SPREAD(at[2], at[3], sloped(near_centre(damp, v), damp, v))
        }
    }
}
