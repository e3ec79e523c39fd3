/* The Cannon's pixels: coefficients and scatter of each by maximum likelihood, a vector of pixels at
   a time. What is maximised, and how, is told in pixels.py; here every round is one pass over the
   stars. Stars are taken in blocks that stay in the core's cache, and the sums of a round are those
   of the normal equations, then those of the slope by the scatter.

   Compiled for one number of terms T; with DOUBLE for spectra in double precision. Rows are stars,
   so that neighbouring pixels lie side by side, as spectra keep them. */

#include <math.h>
#include <stdint.h>
#include <stdlib.h>
#include <string.h>

#ifdef DOUBLE
#define REAL double
#else
#define REAL float
#endif
#define V 8                      /* pixels side by side */
#define PAIRS (T * (T + 1) / 2)
#define SUMS (PAIRS + T)         /* normal equations: matrix, then right side */
#define BLOCK 256                /* stars */
#define GROUP 14                 /* sums that are kept in registers at a time */
#define SIDE 4                   /* vectors that are copied at a time */

typedef double vec __attribute__((vector_size(8 * V)));
typedef int64_t mask __attribute__((vector_size(8 * V)));
typedef REAL data __attribute__((vector_size(sizeof(REAL) * V)));

#ifdef DOUBLE
typedef int64_t bits __attribute__((vector_size(sizeof(REAL) * V)));
#else
typedef int32_t bits __attribute__((vector_size(sizeof(REAL) * V)));
#endif

#define WIDE(x) __builtin_convertvector(x, vec)

#define PICK(m, a, b) ((vec)(((m) & (mask)(a)) | (~(m) & (mask)(b))))
#define EACH for (int j = 0; j < V; j++)

static inline vec all(double x) {
    vec out;
    EACH out[j] = x;
    return out;
}

static inline vec larger(vec a, vec b) { return PICK(a > b, a, b); }
static inline vec smaller(vec a, vec b) { return PICK(a < b, a, b); }
static inline vec size(vec a) { return PICK(a < 0.0, -a, a); }

static inline vec root(vec a) {
    vec out;
    EACH out[j] = sqrt(a[j]);
    return out;
}

/* Adds to `count` sums, over stars, of numbers times weights: a count known when this is compiled
   keeps them in registers. */
static inline __attribute__((always_inline)) void add(const double *row, int stride, const vec *w,
                                                      int n, vec *sums, const int count) {
    vec own[GROUP];
    for (int k = 0; k < count; k++) own[k] = sums[k];
    for (int i = 0; i < n; i++, row += stride)
        for (int k = 0; k < count; k++) own[k] += row[k] * w[i];
    for (int k = 0; k < count; k++) sums[k] = own[k];
}

/* All sums of some stars, whose weights and weighted fluxes are given. */
static void add_sums(const double *products, const double *design, const vec *w, const vec *wf,
                     int n, vec *sums) {
    int at = 0;
    for (; at + GROUP <= PAIRS; at += GROUP) add(products + at, PAIRS, w, n, sums + at, GROUP);
    add(products + at, PAIRS, w, n, sums + at, PAIRS % GROUP);
    sums += PAIRS;
    for (at = 0; at + GROUP <= T; at += GROUP) add(design + at, T, wf, n, sums + at, GROUP);
    add(design + at, T, wf, n, sums + at, T % GROUP);
}

/* Solves the normal equations of V pixels by Cholesky's decomposition; terms that are held are 0,
   as are those without weight. `sums` has the matrix by rows of its upper triangle. */
static void solved(const vec *sums, const uint8_t *held, double ridge, vec *theta) {
    vec a[T][T], unit[T];
    int at = 0;
    for (int i = 0; i < T; i++)
        for (int k = i; k < T; k++) a[k][i] = sums[at++];
    for (int i = 0; i < T; i++) {
        mask good = a[i][i] > 0.0;
        if (held) EACH if (held[j * T + i]) good[j] = 0;
        unit[i] = PICK(good, 1.0 / root(PICK(good, a[i][i], all(1.0))), all(0.0));
    }
    for (int i = 0; i < T; i++) {
        for (int k = 0; k < i; k++) a[i][k] *= unit[i] * unit[k];
        a[i][i] = all(1.0 + ridge);
        theta[i] = sums[PAIRS + i] * unit[i];
    }
    for (int i = 0; i < T; i++) {
        for (int k = 0; k < i; k++) {
            vec s = a[i][k];
            for (int m = 0; m < k; m++) s -= a[i][m] * a[k][m];
            a[i][k] = s * a[k][k];
            theta[i] -= a[i][k] * theta[k];
        }
        vec s = a[i][i];
        for (int m = 0; m < i; m++) s -= a[i][m] * a[i][m];
        a[i][i] = 1.0 / root(larger(s, all(1e-300))); /* the inverse of the diagonal */
        theta[i] *= a[i][i];
    }
    for (int i = T - 1; i >= 0; i--) {
        for (int k = i + 1; k < T; k++) theta[i] -= a[k][i] * theta[k];
        theta[i] *= a[i][i];
    }
    for (int i = 0; i < T; i++) theta[i] *= unit[i];
}

typedef struct {
    const double *design, *products;
    const data *flux, *ivar;
    int n;
} stars;

/* Coefficients of least squares at a scatter. */
static void coefficients(const stars *s, vec s2, const uint8_t *held, double ridge, vec *theta) {
    vec sums[SUMS], w[BLOCK], wf[BLOCK];
    memset(sums, 0, sizeof sums);
    for (int first = 0; first < s->n; first += BLOCK) {
        int n = s->n - first < BLOCK ? s->n - first : BLOCK;
        for (int i = 0; i < n; i++) {
            vec known = WIDE(s->ivar[first + i]);
            w[i] = known / (1.0 + known * s2);
            wf[i] = w[i] * WIDE(s->flux[first + i]);
        }
        add_sums(s->products + (size_t)first * PAIRS, s->design + (size_t)first * T, w, wf, n,
                 sums);
    }
    solved(sums, held, ridge, theta);
}

/* Squares of what the coefficients leave of the fluxes. */
static void residuals(const stars *s, const vec *theta, vec *out) {
    const double *row = s->design;
    for (int i = 0; i < s->n; i++, row += T) {
        vec r = WIDE(s->flux[i]);
        for (int k = 0; k < T; k++) r -= row[k] * theta[k];
        out[i] = r * r;
    }
}

/* Slope of -ln L by s2, its bend, and the expected error of s2, from squared residuals. */
static void slopes(const stars *s, vec s2, const vec *square, vec *slope, vec *bend, vec *error) {
    vec sum = all(0.0), bent = all(0.0), expected = all(0.0);
    for (int i = 0; i < s->n; i++) {
        vec known = WIDE(s->ivar[i]), w = known / (1.0 + known * s2), w2 = w * w;
        vec pull = w2 * square[i];
        sum += w - pull;
        expected += w2;
        bent += w * pull;
    }
    expected = larger(0.5 * expected, all(1e-300));
    *slope = 0.5 * sum;
    *bend = bent - expected;
    *error = 1.0 / root(expected);
}

static int beyond(vec a, vec limit) {
    int found = 0;
    EACH found |= fabs(a[j]) > limit[j];
    return found;
}

/* One Newton step in s2 within its bracket; see `newton` and `fit_chunk` in pixels.py. */
static vec stepped(vec s2, vec slope, vec bend, vec error, vec *low, vec *high) {
    vec scoring = slope * error * error;
    mask near = (size(scoring) < error) & (bend > 0.0);
    vec step = PICK(near, slope / PICK(near, bend, all(1.0)), scoring);
    vec limit = 4.0 * size(scoring) + error;
    *low = PICK(slope < 0.0, s2, *low);
    *high = PICK(slope > 0.0, s2, *high);
    vec next = larger(s2 - step, all(0.0));
    vec middle = 0.5 * (*low + smaller(*high, s2 + limit));
    return PICK((next < *low) | (next > *high), middle, next);
}

/* Rounds until the scatter of V pixels moves by less than `enough` of its own error. The best
   coefficients hardly depend on the scatter: it takes several steps for each time that they are
   computed, which costs most. */
static void fit(const stars *s, const uint8_t *held, double ridge, double enough, int rounds,
                vec *square, vec *theta, vec *scatter2) {
    vec s2 = *scatter2, slope, bend, error;
    for (int round = 0; round < rounds; round++) {
        vec before = s2, low = all(0.0), high = all(INFINITY);
        coefficients(s, s2, held, ridge, theta);
        residuals(s, theta, square);
        for (int step = 0, moves = 1; step < rounds && moves; step++) {
            slopes(s, s2, square, &slope, &bend, &error);
            vec next = stepped(s2, slope, bend, error, &low, &high);
            moves = beyond(next - s2, 10.0 * enough * error); /* Newton's steps square that */
            s2 = next;
        }
        if (!beyond(s2 - before, enough * error)) break;
    }
    *scatter2 = s2;
}

/* Copies the pixels that begin at `at`, SIDE vectors one after another; those beyond the width, and
   those without weight, as 0. */
static void gather(const REAL *flux, const REAL *ivar, int64_t stride, int n, int width, data *f,
                   data *v) {
    for (int i = 0; i < n; i++, flux += stride, ivar += stride)
        for (int side = 0; side < SIDE; side++) {
            int own = width - side * V < V ? width - side * V : V;
            data fi = {0}, vi = {0};
            if (own == V) {
                memcpy(&fi, flux + side * V, sizeof fi);
                memcpy(&vi, ivar + side * V, sizeof vi);
            } else
                for (int j = 0; j < own; j++) fi[j] = flux[side * V + j], vi[j] = ivar[side * V + j];
            bits good = vi > 0;
            v[(size_t)side * n + i] = (data)(good & (bits)vi);
            f[(size_t)side * n + i] = (data)(good & (bits)fi);
        }
}

/* Pixels `first` to `stop` of flux and ivar (n, stride). Written are theta (pixels, T) and scatter2
   (pixels); held (pixels, T), or nothing, is 1 where a term may not act; `design` is (n, T),
   `products` (n, PAIRS). 1 is returned where memory is short. */
int starnet_cannon_pixels(const REAL *flux, const REAL *ivar, int64_t stride, int n, int64_t first,
                          int64_t stop, const double *design, const double *products,
                          const uint8_t *held, double ridge, double enough, int rounds,
                          double *theta, double *scatter2) {
    void *room = NULL;
    if (posix_memalign(&room, 64, (sizeof(vec) + 2 * SIDE * sizeof(data)) * (size_t)n)) return 1;
    vec *square = room;
    data *f = (data *)(square + n), *v = f + (size_t)SIDE * n;
    for (int64_t at = first; at < stop; at += SIDE * V) {
        int width = stop - at < SIDE * V ? (int)(stop - at) : SIDE * V;
        gather(flux + at, ivar + at, stride, n, width, f, v);
        for (int side = 0; side * V < width; side++) {
            int own = width - side * V < V ? width - side * V : V;
            int64_t here = at + side * V;
            uint8_t mark[V * T];
            memset(mark, 0, sizeof mark);
            if (held) memcpy(mark, held + here * T, (size_t)own * T);
            vec coefficient[T], s2 = all(0.0);
            stars s = {design, products, f + (size_t)side * n, v + (size_t)side * n, n};
            fit(&s, held ? mark : NULL, ridge, enough, rounds, square, coefficient, &s2);
            for (int j = 0; j < own; j++) {
                for (int k = 0; k < T; k++) theta[(here + j) * T + k] = coefficient[k][j];
                scatter2[here + j] = s2[j];
            }
        }
    }
    free(room);
    return 0;
}
