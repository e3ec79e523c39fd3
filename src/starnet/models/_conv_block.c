/* conv -> ReLU -> conv -> ReLU -> max-pool in one pass over each spectrum, its gradient, and the
 * slopes of many outputs with respect to one channel of the input.
 *
 * Compiled at first use for one shape: the macros CIN (input channels), F1 and F2 (filters of the
 * two layers), K (kernel length), POOL and PADL, PADR (zeros added left and right before each
 * layer) are constants, so that the compiler can keep every accumulator in a register.
 *
 * Inside, activations are laid out (position, filter) and filters are padded with zeros to whole
 * vectors. A spectrum's first-layer activations stay in the core's cache and are computed again in
 * the gradient; the second layer is never stored before pooling. One of POOL positions carries the
 * gradient of a pooled value, which is what makes the gradient as cheap as the forward pass.
 */
#include <stdint.h>
#include <stdlib.h>
#include <string.h>

#define ROUND(n, m) (((n) + (m) - 1) / (m) * (m))
#define F1P ROUND(F1, 4)
#define F2P (F2 <= 8 ? 8 : ROUND(F2, 16))
#define VB (F2 <= 8 ? 1 : 2)              /* vectors of second-layer filters done together */
#define NW (ROUND(K * F1P, 8) / 8)        /* vectors in one window of first-layer values */
#define NX (ROUND((K + POOL - 1) * F1P, 8) / 8) /* vectors that one pooled value can reach */
#define TILE 64                           /* pooled positions worked on together in the gradient */
#define SLACK 64                          /* floats after every scratch array, may be over-read */
#define DEAD 255                          /* argmax of a pooled value that ReLU has set to zero */

typedef float v4 __attribute__((vector_size(16)));
typedef float v8 __attribute__((vector_size(32)));
typedef int32_t m4 __attribute__((vector_size(16)));
typedef int32_t m8 __attribute__((vector_size(32)));
typedef uint8_t b8 __attribute__((vector_size(8)));
typedef float v8u __attribute__((vector_size(32), aligned(4), may_alias));
typedef float v4u __attribute__((vector_size(16), aligned(4), may_alias));

#define LOAD4(p) (*(const v4u *)(p))
#define LOAD8(p) (*(const v8u *)(p))
#define PICK(mask, a, b) (((mask) & (a)) | (~(mask) & (b)))

/* Lengths of one spectrum on its way through. */
typedef struct {
    int n_in, n_conv1, n_h, n_conv2, n_pool;
} sizes;

static sizes sizes_of(int n_in) {
    sizes s;
    s.n_in = n_in;
    s.n_conv1 = n_in + PADL + PADR - K + 1;
    s.n_h = s.n_conv1 + PADL + PADR;
    s.n_conv2 = s.n_h - K + 1;
    s.n_pool = s.n_conv2 / POOL;
    return s;
}

static float *scratch(size_t n) {
    void *p = NULL;
    return posix_memalign(&p, 64, (n + 2 * SLACK) * sizeof(float)) ? NULL : (float *)p;
}

/* Weights as torch keeps them, (filter, channel, tap), to (channel, tap, filter) with padding. */
static void pack1(const float *w1, const float *b1, float *w, float *b) {
    memset(w, 0, sizeof(float) * CIN * K * F1P);
    memset(b, 0, sizeof(float) * F1P);
    for (int f = 0; f < F1; f++) {
        b[f] = b1[f];
        for (int i = 0; i < CIN * K; i++) w[i * F1P + f] = w1[f * CIN * K + i];
    }
}

/* (filter, channel, tap) to (tap, channel, filter). */
static void pack2(const float *w2, const float *b2, float *w, float *b) {
    memset(w, 0, sizeof(float) * K * F1P * F2P);
    memset(b, 0, sizeof(float) * F2P);
    for (int f = 0; f < F2; f++) {
        b[f] = b2[f];
        for (int c = 0; c < F1; c++)
            for (int k = 0; k < K; k++) w[(k * F1P + c) * F2P + f] = w2[(f * F1 + c) * K + k];
    }
}

/* For every filter and place of the maximum: its weights at their positions in the pool's reach. */
static void pack_reach(const float *w2, float *w) {
    memset(w, 0, sizeof(float) * F2 * POOL * NX * 8);
    for (int f = 0; f < F2; f++)
        for (int a = 0; a < POOL; a++)
            for (int k = 0; k < K; k++)
                for (int c = 0; c < F1; c++)
                    w[((f * POOL + a) * NX * 8) + (a + k) * F1P + c] = w2[(f * F1 + c) * K + k];
}

/* The spectrum with its zeros on both sides; xs has row stride xrow. */
static void pad_input(const float *x, sizes s, float *xs, int xrow) {
    for (int ci = 0; ci < CIN; ci++) {
        memset(xs + ci * xrow, 0, sizeof(float) * xrow);
        memcpy(xs + ci * xrow + PADL, x + (size_t)ci * s.n_in, sizeof(float) * s.n_in);
    }
}

/* First layer with ReLU: h (n_h + slack, F1P). NaN stays NaN. */
static void first_layer(const float *xs, int xrow, const float *w, const float *b, sizes s,
                        float *h) {
    memset(h, 0, sizeof(float) * PADL * F1P);
    float *out = h + PADL * F1P;
    for (int p = 0; p < s.n_conv1; p += 8) {
        for (int fb = 0; fb < F1P; fb += 4) {
            v4 acc[8];
            for (int i = 0; i < 8; i++) acc[i] = LOAD4(b + fb);
            for (int ci = 0; ci < CIN; ci++) {
                const float *xp = xs + ci * xrow + p;
                for (int k = 0; k < K; k++) {
                    v4 wk = LOAD4(w + (ci * K + k) * F1P + fb);
#pragma GCC unroll 8
                    for (int i = 0; i < 8; i++) acc[i] += wk * xp[i + k];
                }
            }
#pragma GCC unroll 8
            for (int i = 0; i < 8; i++) {
                v4 r = (v4)((m4)acc[i] & ~(acc[i] < 0.0f));
                *(v4u *)(out + (p + i) * F1P + fb) = r;
            }
        }
    }
    memset(out + s.n_conv1 * F1P, 0, sizeof(float) * (PADR * F1P + SLACK));
}

/* Second layer, ReLU and pool: out (n_pool, F2) and, unless NULL, arg (n_pool, F2). */
static void second_layer(const float *h, const float *w, const float *b, sizes s, float *out,
                         uint8_t *arg) {
    for (int j = 0; j < s.n_pool; j++) {
        const float *hp = h + (size_t)j * POOL * F1P;
        for (int fb = 0; fb < F2P; fb += 8 * VB) {
            v8 acc[POOL][VB];
            for (int p = 0; p < POOL; p++)
                for (int v = 0; v < VB; v++) acc[p][v] = LOAD8(b + fb + 8 * v);
#pragma GCC unroll 8
            for (int q = 0; q < K * F1P; q++) {
                v8 wq[VB];
                for (int v = 0; v < VB; v++) wq[v] = LOAD8(w + q * F2P + fb + 8 * v);
#pragma GCC unroll 16
                for (int p = 0; p < POOL; p++)
                    for (int v = 0; v < VB; v++) acc[p][v] += wq[v] * hp[p * F1P + q];
            }
            for (int v = 0; v < VB; v++) {
                v8 top = acc[0][v];
                m8 at = {0};
#pragma GCC unroll 16
                for (int p = 1; p < POOL; p++) {
                    v8 z = acc[p][v];
                    m8 take = (z > top) | (z != z); /* first of equals; NaN wins, as in torch */
                    top = (v8)PICK(take, (m8)z, (m8)top);
                    at = PICK(take, (m8){0} + p, at);
                }
                m8 dead = top <= 0.0f;
                v8 value = (v8)((m8)top & ~dead);
                int f = fb + 8 * v, n = F2 - f < 8 ? F2 - f : 8;
                if (n <= 0) continue;
                memcpy(out + (size_t)j * F2 + f, &value, sizeof(float) * n);
                if (arg) {
                    b8 at8 = __builtin_convertvector(PICK(dead, (m8){0} + DEAD, at), b8);
                    memcpy(arg + (size_t)j * F2 + f, &at8, n);
                }
            }
        }
    }
}

/* x (n, CIN, n_in) -> out (n, n_pool, F2), arg (n, n_pool, F2) or NULL. 0 when done, 1 when out of
 * memory. */
int starnet_forward(const float *x, int64_t n, int n_in, const float *w1, const float *b1,
                    const float *w2, const float *b2, float *out, uint8_t *arg, int threads) {
    const sizes s = sizes_of(n_in);
    const int xrow = s.n_in + PADL + PADR + SLACK;
    const size_t n_out = (size_t)s.n_pool * F2;
    float w1p[CIN * K * F1P], b1p[F1P], b2p[F2P];
    float *w2p = scratch(K * F1P * F2P);
    int failed = !w2p;
    if (failed) return 1;
    pack1(w1, b1, w1p, b1p);
    pack2(w2, b2, w2p, b2p);
#pragma omp parallel num_threads(threads) reduction(| : failed)
    {
        float *xs = scratch((size_t)CIN * xrow), *h = scratch((size_t)s.n_h * F1P + 8 * F1P);
        failed = !xs || !h;
#pragma omp for schedule(static)
        for (int64_t i = 0; i < n; i++) {
            if (failed) continue;
            pad_input(x + (size_t)i * CIN * n_in, s, xs, xrow);
            first_layer(xs, xrow, w1p, b1p, s, h);
            second_layer(h, w2p, b2p, s, out + i * n_out, arg ? arg + i * n_out : NULL);
        }
        free(xs);
        free(h);
    }
    free(w2p);
    return failed;
}

/* Sums of the weight gradients in the padded layouts, one set per thread. */
typedef struct {
    float w1[CIN * K * F1P], b1[F1P], w2[F2P * NW * 8], b2[F2P];
} sums;

/* Gradients of one tile of pooled values: masked values and places from the saved argmax. */
static void open_tile(const float *g, const uint8_t *arg, int n, float *gm, int32_t *at) {
    for (int i = 0; i < n * F2; i++) {
        int dead = arg[i] == DEAD;
        gm[i] = dead ? 0.0f : g[i];
        at[i] = dead ? 0 : arg[i];
    }
}

static void tile_weights(const float *gm, const int32_t *at, int n, const float *h, sums *t) {
    for (int f = 0; f < F2; f++) {
        v8 acc[NW];
        for (int i = 0; i < NW; i++) acc[i] = LOAD8(t->w2 + (f * NW + i) * 8);
        float total = 0.0f;
        for (int j = 0; j < n; j++) {
            float g = gm[j * F2 + f];
            const float *hp = h + (j * POOL + at[j * F2 + f]) * F1P;
            total += g;
#pragma GCC unroll 16
            for (int i = 0; i < NW; i++) acc[i] += g * LOAD8(hp + 8 * i);
        }
        t->b2[f] += total;
        for (int i = 0; i < NW; i++) *(v8u *)(t->w2 + (f * NW + i) * 8) = acc[i];
    }
}

static void tile_inputs(const float *gm, const int32_t *at, int n, const float *reach, float *dh) {
    for (int j = 0; j < n; j++) {
        float *dp = dh + j * POOL * F1P;
        v8 acc[NX];
        for (int i = 0; i < NX; i++) acc[i] = LOAD8(dp + 8 * i);
        for (int f = 0; f < F2; f++) {
            float g = gm[j * F2 + f];
            const float *wp = reach + (f * POOL + at[j * F2 + f]) * NX * 8;
#pragma GCC unroll 32
            for (int i = 0; i < NX; i++) acc[i] += g * LOAD8(wp + 8 * i);
        }
        for (int i = 0; i < NX; i++) *(v8u *)(dp + 8 * i) = acc[i];
    }
}

/* Gradient at the first layer's output to before its ReLU, in place. */
static void close_relu(float *dh, const float *h, int n) {
    for (int i = 0; i < n; i++) dh[i] = h[i] <= 0.0f ? 0.0f : dh[i];
}

static void first_weights(const float *dh, const float *xs, int xrow, sizes s, sums *t) {
    for (int fb = 0; fb < F1P; fb += 4)
        for (int ci = 0; ci < CIN; ci++) {
            v4 acc[K] = {{0}}, bias = {0};
            for (int p = 0; p < s.n_conv1; p++) {
                v4 d = LOAD4(dh + p * F1P + fb);
                bias += d;
#pragma GCC unroll 32
                for (int k = 0; k < K; k++) acc[k] += d * xs[ci * xrow + p + k];
            }
            for (int k = 0; k < K; k++) *(v4u *)(t->w1 + (ci * K + k) * F1P + fb) += acc[k];
            if (ci == 0) *(v4u *)(t->b1 + fb) += bias;
        }
}

/* dh is preceded by (K - 1) rows of zeros and followed by as many. */
static void first_inputs(const float *dh, const float *w, sizes s, float *dx) {
    for (int ci = 0; ci < CIN; ci++)
        for (int i = 0; i < s.n_in; i++) {
            float total = 0.0f;
            for (int fb = 0; fb < F1P; fb += 4) {
                v4 acc = {0};
#pragma GCC unroll 32
                for (int k = 0; k < K; k++)
                    acc += LOAD4(dh + (i + PADL - k) * F1P + fb) *
                           LOAD4(w + (ci * K + k) * F1P + fb);
                total += (acc[0] + acc[1]) + (acc[2] + acc[3]);
            }
            dx[(size_t)ci * s.n_in + i] = total;
        }
}

#define N_WEIGHTS (F1 * (CIN * K + 1) + F2 * (F1 * K + 1))

/* Padded sums, added to torch's layouts, one after another: w1, b1, w2, b2. */
static void unpack(const sums *t, float *out) {
    for (int f = 0; f < F1; f++)
        for (int i = 0; i < CIN * K; i++) *out++ += t->w1[i * F1P + f];
    for (int f = 0; f < F1; f++) *out++ += t->b1[f];
    for (int f = 0; f < F2; f++)
        for (int c = 0; c < F1; c++)
            for (int k = 0; k < K; k++) *out++ += t->w2[f * NW * 8 + k * F1P + c];
    for (int f = 0; f < F2; f++) *out++ += t->b2[f];
}

/* g, arg (n, n_pool, F2) -> dw (w1, b1, w2, b2 in a row) and dx (n, CIN, n_in); either may be NULL.
 * Threads take fixed shares and are summed in order, so equal calls give equal bits. */
int starnet_backward(const float *x, int64_t n, int n_in, const float *w1, const float *b1,
                     const float *w2, const float *g, const uint8_t *arg, float *dw, float *dx,
                     int threads) {
    const sizes s = sizes_of(n_in);
    const int xrow = s.n_in + PADL + PADR + SLACK;
    const size_t n_out = (size_t)s.n_pool * F2;
    const size_t rows = (size_t)s.n_h + 2 * (K + POOL + 8), lead = (K - 1) * F1P;
    float w1p[CIN * K * F1P], b1p[F1P];
    float *reach = scratch((size_t)F2 * POOL * NX * 8);
    sums *all = (sums *)scratch(threads * (sizeof(sums) / sizeof(float)));
    int failed = !reach || !all;
    if (!failed) {
        memset(all, 0, threads * sizeof(sums));
        pack1(w1, b1, w1p, b1p);
        pack_reach(w2, reach);
    }
#pragma omp parallel for num_threads(threads) schedule(static, 1) reduction(| : failed)
    for (int t = 0; t < threads; t++) {
        float *xs = scratch((size_t)CIN * xrow), *h = scratch((size_t)s.n_h * F1P + 8 * F1P);
        float *dh = scratch(rows * F1P + lead), *gm = scratch(TILE * F2);
        int32_t *at = (int32_t *)scratch(TILE * F2);
        failed |= !xs || !h || !dh || !gm || !at;
        for (int64_t i = n * t / threads; !failed && i < n * (t + 1) / threads; i++) {
            pad_input(x + (size_t)i * CIN * n_in, s, xs, xrow);
            first_layer(xs, xrow, w1p, b1p, s, h);
            memset(dh, 0, sizeof(float) * (rows * F1P + lead));
            float *d = dh + ROUND(lead, 16);
            for (int j = 0; j < s.n_pool; j += TILE) {
                const int m = s.n_pool - j < TILE ? s.n_pool - j : TILE;
                const size_t at_j = i * n_out + (size_t)j * F2, at_h = (size_t)j * POOL * F1P;
                open_tile(g + at_j, arg + at_j, m, gm, at);
                if (dw) tile_weights(gm, at, m, h + at_h, all + t);
                tile_inputs(gm, at, m, reach, d + at_h);
            }
            float *d1 = d + PADL * F1P;
            close_relu(d1, h + PADL * F1P, s.n_conv1 * F1P);
            if (dw) first_weights(d1, xs, xrow, s, all + t);
            if (dx) {
                memset(dh, 0, sizeof(float) * (d1 - dh));
                memset(d1 + s.n_conv1 * F1P, 0, sizeof(float) * (K - 1) * F1P);
                first_inputs(d1, w1p, s, dx + (size_t)i * CIN * n_in);
            }
        }
        free(xs), free(h), free(dh), free(gm), free(at);
    }
    if (dw) memset(dw, 0, sizeof(float) * N_WEIGHTS);
    for (int t = 0; dw && !failed && t < threads; t++) unpack(all + t, dw);
    free(reach), free(all);
    return failed;
}

#define INLINE static inline __attribute__((always_inline))
#define TOGETHER (NX <= 6 ? 2 : 1) /* outputs whose sums fit into registers */
#ifdef __clang__
#define SHUFFLE(a, b, ...) __builtin_shufflevector(a, b, __VA_ARGS__)
#else
#define SHUFFLE(a, b, ...) __builtin_shuffle(a, b, (m4){__VA_ARGS__})
#endif

/* A pooled value that is alive, and where the weights of its filter lie for its place. */
typedef struct {
    int32_t filter, reach;
} alive;

/* Of one spectrum, pooled position by position; ends[j] is the end of position j's part. */
static void list_alive(const uint8_t *arg, int n_pool, alive *list, int32_t *ends) {
    int32_t m = 0;
    for (int j = 0; j < n_pool; j++) {
        for (int f = 0; f < F2; f++) {
            const int a = arg[j * F2 + f];
            list[m].filter = f;
            list[m].reach = (f * POOL + (a == DEAD ? 0 : a)) * NX * 8;
            m += a != DEAD;
        }
        ends[j] = m;
    }
}

/* Slopes of n outputs at the second layer's input, from those at its pooled output. */
INLINE void alive_inputs(const int n, const float *g, size_t n_pooled, const alive *list,
                         const int32_t *ends, const float *reach, float *dh, size_t n_dh) {
    for (int j = 0, m = 0; j < (int)(n_pooled / F2); j++) {
        v8 acc[2 * NX] = {{0}};
        for (; m < ends[j]; m++) {
            const float *wp = reach + list[m].reach, *gp = g + (size_t)j * F2 + list[m].filter;
            const float one = gp[0], other = gp[(n - 1) * n_pooled];
#pragma GCC unroll 32
            for (int i = 0; i < NX; i++) {
                const v8 part = LOAD8(wp + 8 * i);
                acc[i] += one * part;
                if (n == 2) acc[NX + i] += other * part;
            }
        }
#pragma GCC unroll 2
        for (int l = 0; l < n; l++) {
            float *dp = dh + l * n_dh + (size_t)j * POOL * F1P;
#pragma GCC unroll 32
            for (int i = 0; i < NX; i++) *(v8u *)(dp + 8 * i) = LOAD8(dp + 8 * i) + acc[l * NX + i];
        }
    }
}

/* One channel's weights as one window of first-layer slopes meets them: tap K - 1 comes first. */
static void pack_window(const float *w1, int channel, float *w) {
    memset(w, 0, sizeof(float) * NW * 8);
    for (int f = 0; f < F1; f++)
        for (int k = 0; k < K; k++) w[(K - 1 - k) * F1P + f] = w1[(f * CIN + channel) * K + k];
}

/* Sums of the eight numbers in each of four vectors. */
INLINE v4 sums_of(const v8 *acc) {
    v4 t[4];
    for (int i = 0; i < 4; i++) {
        v4 half[2];
        memcpy(half, acc + i, sizeof(half));
        t[i] = half[0] + half[1];
    }
    v4 a = SHUFFLE(t[0], t[1], 0, 4, 1, 5) + SHUFFLE(t[0], t[1], 2, 6, 3, 7);
    v4 b = SHUFFLE(t[2], t[3], 0, 4, 1, 5) + SHUFFLE(t[2], t[3], 2, 6, 3, 7);
    return SHUFFLE(a, b, 0, 1, 4, 5) + SHUFFLE(a, b, 2, 3, 6, 7);
}

/* dh is preceded by (K - 1) rows of zeros and followed by as many, and by some to spare. */
static void channel_inputs(const float *dh, const float *window, sizes s, float *dx) {
    v8 w[NW];
    for (int i = 0; i < NW; i++) w[i] = LOAD8(window + 8 * i);
    for (int p = 0; p < s.n_in; p += 4) {
        const float *dp = dh + (p + PADL - K + 1) * F1P;
        v8 acc[4] = {{0}};
#pragma GCC unroll 4
        for (int j = 0; j < 4; j++)
#pragma GCC unroll 32
            for (int i = 0; i < NW; i++) acc[j] += w[i] * LOAD8(dp + j * F1P + 8 * i);
        const v4 four = sums_of(acc);
        memcpy(dx + p, &four, sizeof(float) * (s.n_in - p < 4 ? s.n_in - p : 4));
    }
}

/* g (n, n_out, n_pool, F2), the slopes of n_out outputs with respect to the block's, and arg
 * (n, n_pool, F2) -> dx (n, n_out, n_in), with respect to one channel of the input. What belongs
 * to a spectrum is found once for all its outputs, and dead values are never followed. */
int starnet_slopes(const float *x, int64_t n, int n_in, const float *w1, const float *b1,
                   const float *w2, const float *g, const uint8_t *arg, int n_out, int channel,
                   float *dx, int threads) {
    const sizes s = sizes_of(n_in);
    const int xrow = s.n_in + PADL + PADR + SLACK;
    const size_t n_pooled = (size_t)s.n_pool * F2, lead = ROUND((K - 1) * F1P, 16);
    const size_t rows = (size_t)s.n_h + 2 * (K + POOL + 8), n_dh = ROUND(rows * F1P + lead, 16);
    float w1p[CIN * K * F1P], b1p[F1P], window[NW * 8];
    float *reach = scratch((size_t)F2 * POOL * NX * 8);
    int failed = !reach;
    if (failed) return 1;
    pack1(w1, b1, w1p, b1p);
    pack_reach(w2, reach);
    pack_window(w1, channel, window);
#pragma omp parallel num_threads(threads) reduction(| : failed)
    {
        float *xs = scratch((size_t)CIN * xrow), *h = scratch((size_t)s.n_h * F1P + 8 * F1P);
        float *dh = scratch(n_dh * TOGETHER);
        alive *list = (alive *)scratch((n_pooled + 1) * (sizeof(alive) / sizeof(float)));
        int32_t *ends = (int32_t *)scratch(s.n_pool);
        failed = !xs || !h || !dh || !list || !ends;
#pragma omp for schedule(static)
        for (int64_t i = 0; i < n; i++) {
            if (failed) continue;
            pad_input(x + (size_t)i * CIN * n_in, s, xs, xrow);
            first_layer(xs, xrow, w1p, b1p, s, h);
            list_alive(arg + i * n_pooled, s.n_pool, list, ends);
            for (int l = 0; l < n_out;) {
                const int some = n_out - l < TOGETHER ? 1 : TOGETHER;
                const int64_t r = i * n_out + l;
                memset(dh, 0, sizeof(float) * n_dh * some);
                if (some == 1)
                    alive_inputs(1, g + r * n_pooled, n_pooled, list, ends, reach, dh + lead, n_dh);
                else
                    alive_inputs(TOGETHER, g + r * n_pooled, n_pooled, list, ends, reach, dh + lead,
                                 n_dh);
                for (int k = 0; k < some; k++) {
                    float *start = dh + k * n_dh, *d1 = start + lead + PADL * F1P;
                    close_relu(d1, h + PADL * F1P, s.n_conv1 * F1P);
                    memset(start, 0, sizeof(float) * (d1 - start));
                    memset(d1 + s.n_conv1 * F1P, 0, sizeof(float) * (K - 1) * F1P);
                    channel_inputs(d1, window, s, dx + (size_t)(r + k) * n_in);
                }
                l += some;
            }
        }
        free(xs), free(h), free(dh), free(list), free(ends);
    }
    free(reach);
    return failed;
}

#define PANEL 48 /* columns of a matrix that stay in the core's cache while all spectra use them */
#define LABELS 6 /* outputs that are done together, at most */

/* Rows of a matrix that matter to one spectrum, and their factors for up to LABELS outputs. */
static int list_rows(const float *v, int n_out, int n_rows, int32_t *rows, float *factors) {
    int m = 0;
    for (int r = 0; r < n_rows; r++) {
        int used = 0;
        for (int l = 0; l < n_out; l++) used |= v[(size_t)l * n_rows + r] != 0.0f;
        rows[m] = r * PANEL;
        for (int l = 0; l < n_out; l++) factors[m * LABELS + l] = v[(size_t)l * n_rows + r];
        m += used;
    }
    return m;
}

/* n outputs of one spectrum times nv vectors of columns. */
INLINE void times_vectors(const int n, const int nv, const int32_t *rows, const float *factors,
                          int m, const float *w, float *out, int64_t stride) {
    v8 acc[LABELS * 2] = {{0}};
    for (int i = 0; i < m; i++) {
        const float *row = w + rows[i];
        v8 part[3];
#pragma GCC unroll 3
        for (int j = 0; j < nv; j++) part[j] = LOAD8(row + 8 * j);
#pragma GCC unroll 6
        for (int l = 0; l < n; l++) {
            const float factor = factors[i * LABELS + l];
#pragma GCC unroll 3
            for (int j = 0; j < nv; j++) acc[l * nv + j] += factor * part[j];
        }
    }
#pragma GCC unroll 6
    for (int l = 0; l < n; l++)
#pragma GCC unroll 3
        for (int j = 0; j < nv; j++) *(v8u *)(out + l * stride + 8 * j) = acc[l * nv + j];
}

/* The same for a whole panel, with as many accumulators as there are registers. */
static void times_panel(int n, const int32_t *rows, const float *factors, int m, const float *w,
                        float *out, int64_t stride) {
#define CASE(N, NV)                                                             \
    case N:                                                                     \
        for (int c = 0; c < PANEL; c += 8 * NV)                                 \
            times_vectors(N, NV, rows, factors, m, w + c, out + c, stride);     \
        break;
    switch (n) { CASE(1, 3) CASE(2, 3) CASE(3, 3) CASE(4, 3) CASE(5, 2) CASE(6, 2) }
#undef CASE
}

/* v (n, n_out, n_rows) times a matrix w (n_rows, n_cols) -> out (n, n_out, n_cols). Rows whose
 * factors are zero for all outputs of a spectrum (nodes that ReLU shut) are passed over, which a
 * plain matrix product cannot do. */
int starnet_product(const float *v, int64_t n, int n_out, int n_rows, const float *w, int64_t n_cols,
                    float *out, int threads) {
    const int blocks = (n_out + LABELS - 1) / LABELS;
    const int64_t panels = (n_cols + PANEL - 1) / PANEL, parts = n * blocks;
    int32_t *rows = (int32_t *)scratch(parts * n_rows);
    float *factors = scratch(parts * n_rows * LABELS);
    int32_t *counts = (int32_t *)scratch(parts);
    int failed = !rows || !factors || !counts;
    for (int64_t p = 0; !failed && p < parts; p++) {
        const int l = (int)(p % blocks) * LABELS, some = n_out - l < LABELS ? n_out - l : LABELS;
        counts[p] = list_rows(v + ((p / blocks) * n_out + l) * n_rows, some, n_rows,
                              rows + p * n_rows, factors + p * n_rows * LABELS);
    }
    const int bad = failed;
#pragma omp parallel num_threads(threads) reduction(| : failed)
    {
        float *panel = scratch((size_t)n_rows * PANEL), rest[LABELS * PANEL];
        failed = bad || !panel;
#pragma omp for schedule(static)
        for (int64_t t = 0; t < panels; t++) {
            const int64_t at = t * PANEL;
            const int width = n_cols - at < PANEL ? (int)(n_cols - at) : PANEL;
            if (failed) continue;
            if (width < PANEL) memset(panel, 0, sizeof(float) * n_rows * PANEL);
            for (int r = 0; r < n_rows; r++)
                memcpy(panel + r * PANEL, w + r * n_cols + at, sizeof(float) * width);
            for (int64_t p = 0; p < parts; p++) {
                const int l = (int)(p % blocks) * LABELS;
                const int some = n_out - l < LABELS ? n_out - l : LABELS;
                float *to = out + ((p / blocks) * n_out + l) * n_cols + at;
                const int whole = width == PANEL;
                times_panel(some, rows + p * n_rows, factors + p * n_rows * LABELS, counts[p],
                            panel, whole ? to : rest, whole ? n_cols : PANEL);
                for (int k = 0; !whole && k < some; k++)
                    memcpy(to + k * n_cols, rest + k * PANEL, sizeof(float) * width);
            }
        }
        free(panel);
    }
    free(rows), free(factors), free(counts);
    return failed;
}
