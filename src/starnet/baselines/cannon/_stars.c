/* The Cannon's stars: chi-square of each as a quadratic form of the terms, a vector of stars at a
   time, and the way down from many starts. What is minimised is told in stars.py.

   Compiled for one number of terms T and of labels L; with DOUBLE for spectra in double precision,
   with EXACT for sums in it. */

#include <math.h>
#include <stdint.h>
#include <stdlib.h>
#include <string.h>

#ifdef DOUBLE
#define REAL double
#else
#define REAL float
#endif
#ifdef EXACT
#define SUM double
#define V 8                      /* stars side by side */
#else
#define SUM float
#define V 16
#endif
#define PAIRS (T * (T + 1) / 2)
#define BLOCK 256                /* pixels */
#define GROUP 14                 /* sums that are kept in registers at a time */

typedef SUM vec __attribute__((vector_size(sizeof(SUM) * V)));

/* Adds to `count` sums, over pixels, of numbers times weights. */
static inline __attribute__((always_inline)) void add(const SUM *row, int stride, const vec *w,
                                                      int n, double (*sums)[V], const int count) {
    vec own[GROUP];
    for (int k = 0; k < count; k++) own[k] = (vec){0};
    for (int i = 0; i < n; i++, row += stride)
        for (int k = 0; k < count; k++) own[k] += row[k] * w[i];
    for (int k = 0; k < count; k++)
        for (int j = 0; j < V; j++) sums[k][j] += own[k][j];
}

static void add_all(const SUM *rows, int width, const vec *w, int n, double (*sums)[V],
                    const int rest) {
    int at = 0;
    for (; at + GROUP <= width; at += GROUP) add(rows + at, width, w, n, sums + at, GROUP);
    add(rows + at, width, w, n, sums + at, rest);
}

/* Forms of stars `first` to `stop` of flux and ivar (n, pixels): matrix (n, T, T), right side
   (n, T), constant and number of pixels (n). `theta` is (pixels, T), `products` (pixels, PAIRS);
   fluxes are taken less those at the pivot. 1 is returned where memory is short. */
int starnet_cannon_forms(const REAL *flux, const REAL *ivar, int64_t pixels, int64_t first,
                         int64_t stop, const uint8_t *used, const SUM *scatter2, const SUM *theta,
                         const SUM *products, double *matrix, double *right, double *constant,
                         int64_t *count) {
    void *room = NULL;
    if (posix_memalign(&room, 64, sizeof(double) * V * (PAIRS + T))) return 1;
    double (*sums)[V] = room, (*sides)[V] = sums + PAIRS;
    for (int64_t at = first; at < stop; at += V) {
        int width = stop - at < V ? (int)(stop - at) : V;
        memset(room, 0, sizeof(double) * V * (PAIRS + T));
        double whole[V] = {0};
        int64_t good[V] = {0};
        for (int64_t start = 0; start < pixels; start += BLOCK) {
            int n = pixels - start < BLOCK ? (int)(pixels - start) : BLOCK;
            vec w[BLOCK], pull[BLOCK], square = {0};
            memset(w, 0, sizeof w);
            memset(pull, 0, sizeof pull);
            for (int j = 0; j < width; j++) {
                const REAL *f = flux + (at + j) * pixels + start;
                const REAL *v = ivar + (at + j) * pixels + start;
                for (int i = 0; i < n; i++) {
                    SUM known = used[start + i] && v[i] > 0 ? (SUM)v[i] : 0;
                    good[j] += known > 0;
                    w[i][j] = known;
                    pull[i][j] = known > 0 ? (SUM)f[i] - theta[(start + i) * T] : 0;
                }
            }
            for (int i = 0; i < n; i++) {
                w[i] /= 1 + w[i] * scatter2[start + i];
                vec apart = pull[i];
                pull[i] *= w[i];
                square += pull[i] * apart;
            }
            for (int j = 0; j < V; j++) whole[j] += square[j];
            add_all(products + start * PAIRS, PAIRS, w, n, sums, PAIRS % GROUP);
            add_all(theta + start * T, T, pull, n, sides, T % GROUP);
        }
        for (int j = 0; j < width; j++) {
            double *g = matrix + (at + j) * T * T;
            for (int a = 0, k = 0; a < T; a++)
                for (int b = a; b < T; b++, k++) g[a * T + b] = g[b * T + a] = sums[k][j];
            for (int a = 0; a < T; a++) right[(at + j) * T + a] = sides[a][j];
            constant[at + j] = whole[j];
            count[at + j] = good[j];
        }
    }
    free(room);
    return 0;
}

typedef struct {
    const double *matrix, *right;
    double constant;
    const int32_t *parent, *last; /* term = term `parent` times label `last`; of terms from 1 on */
    const double *low, *high;
} form;

static void terms(const form *f, const double *x, double *value) {
    value[0] = 1.0;
    for (int t = 1; t < T; t++) value[t] = value[f->parent[t]] * x[f->last[t]];
}

static double chi2(const form *f, const double *value) {
    double sum = f->constant;
    for (int t = 0; t < T; t++) {
        double row = -2.0 * f->right[t];
        for (int s = 0; s < T; s++) row += f->matrix[t * T + s] * value[s];
        sum += row * value[t];
    }
    return sum;
}

/* Downhill direction (L) and curvature (L, L) of half of chi-square at x. */
static void curve(const form *f, const double *x, double *downhill, double (*curvature)[L]) {
    double value[T], slope[T][L], bent[T][L], pull[T];
    terms(f, x, value);
    memset(slope[0], 0, sizeof slope[0]);
    for (int t = 1; t < T; t++) {
        for (int l = 0; l < L; l++) slope[t][l] = slope[f->parent[t]][l] * x[f->last[t]];
        slope[t][f->last[t]] += value[f->parent[t]];
    }
    memset(bent, 0, sizeof bent);
    for (int t = 0; t < T; t++) {
        const double *row = f->matrix + t * T;
        double own = f->right[t];
        for (int s = 0; s < T; s++) {
            own -= row[s] * value[s];
            for (int l = 0; l < L; l++) bent[t][l] += row[s] * slope[s][l];
        }
        pull[t] = own;
    }
    memset(downhill, 0, sizeof(double) * L);
    memset(curvature, 0, sizeof(double) * L * L);
    for (int t = 0; t < T; t++)
        for (int l = 0; l < L; l++) {
            downhill[l] += slope[t][l] * pull[t];
            for (int m = 0; m < L; m++) curvature[l][m] += slope[t][l] * bent[t][m];
        }
}

/* Solves a x = b for a symmetric matrix by Cholesky's decomposition, in place; 0 if it is not
   positive. */
static int solved(double (*a)[L], double *b) {
    for (int i = 0; i < L; i++) {
        for (int k = 0; k <= i; k++) {
            double s = a[i][k];
            for (int m = 0; m < k; m++) s -= a[i][m] * a[k][m];
            if (k < i)
                a[i][k] = s * a[k][k];
            else if (s > 0.0)
                a[i][i] = 1.0 / sqrt(s);
            else
                return 0;
        }
        for (int k = 0; k < i; k++) b[i] -= a[i][k] * b[k];
        b[i] *= a[i][i];
    }
    for (int i = L - 1; i >= 0; i--) {
        for (int k = i + 1; k < L; k++) b[i] -= a[k][i] * b[k];
        b[i] *= a[i][i];
    }
    return 1;
}

static double within(double x, double low, double high) { return fmin(fmax(x, low), high); }

/* Levenberg and Marquardt's steps from x, held within bounds; 1 when they have ended. */
static int descend(const form *f, double *x, double *best, int rounds, double surely,
                   double enough) {
    double value[T], damping = 1e-3;
    for (int l = 0; l < L; l++) x[l] = within(x[l], f->low[l], f->high[l]);
    terms(f, x, value);
    *best = chi2(f, value);
    double downhill[L], curvature[L][L];
    int moved = 1;
    for (int round = 0; round < rounds && damping < 1e12; round++) {
        if (moved) curve(f, x, downhill, curvature);
        double a[L][L], step[L], there[L], pull[L];
        for (int l = 0; l < L; l++) {
            int held = (x[l] <= f->low[l] && downhill[l] < 0.0) ||
                       (x[l] >= f->high[l] && downhill[l] > 0.0);
            step[l] = pull[l] = held ? 0.0 : downhill[l];
            for (int m = 0; m <= l; m++) a[l][m] = curvature[l][m];
            if (held) {
                for (int m = 0; m < l; m++) a[l][m] = 0.0;
                a[l][l] = 0.0;
            }
            for (int m = 0; m < l; m++)
                if (pull[m] == 0.0 && downhill[m] != 0.0) a[l][m] = 0.0;
            a[l][l] = (a[l][l] > 0.0 ? a[l][l] : 1.0) * (1.0 + damping);
        }
        memcpy(there, x, sizeof there);
        double size = INFINITY, found = INFINITY;
        if (solved(a, step)) {
            size = 0.0;
            for (int l = 0; l < L; l++) {
                size += step[l] * pull[l];
                there[l] = within(x[l] + step[l], f->low[l], f->high[l]);
            }
            size = fabs(size) * (1.0 + damping);
            terms(f, there, value);
            found = chi2(f, value);
        }
        moved = found <= *best || size < surely * surely;
        if (moved) {
            memcpy(x, there, sizeof there);
            *best = found;
        }
        damping = fmax(damping * (moved ? 0.1 : 10.0), 1e-9);
        if (size < enough * enough && isfinite(found)) return 1;
    }
    return 0;
}

/* From each of `starts` points of each star: x (n, starts, L) is moved, chi-square and whether the
   steps have ended (n, starts) are written. */
void starnet_cannon_descend(int64_t first, int64_t stop, int starts, const double *matrix,
                            const double *right, const double *constant, const int32_t *parent,
                            const int32_t *last, const double *low, const double *high, int rounds,
                            double surely, double enough, double *x, double *best, uint8_t *done) {
    for (int64_t i = first; i < stop; i++) {
        form f = {matrix + i * T * T, right + i * T, constant[i], parent, last, low, high};
        for (int64_t k = i * starts; k < (i + 1) * starts; k++)
            done[k] = (uint8_t)descend(&f, x + k * L, best + k, rounds, surely, enough);
    }
}
