/* A GPT-2 at 8 bits on an x86 processor: the same model as `bundle/graph.py` writes for ONNX Runtime.
 *
 * One token is read as fast as its weights are: the matrices lie in the order in which they are
 * read, a product, what follows it and the rounding for the next one are one pass, and the threads
 * meet twice a block, spinning. What a row gives does not depend on what else is in the pass:
 * sums of whole numbers are exact, and every sum of floats goes through its terms in one order,
 * whatever the number of rows and threads.
 *
 * KEEP holds a broadcast number in a register, which would else be read with each product.
 *
 * Compiled once for each level of vector instructions (`build.py`); LEVEL is the suffix of the
 * exported names. A vector has W floats: 16 with AVX-512, 8 with AVX2.
 */
#include <immintrin.h>
#include <math.h>
#include <pthread.h>
#include <sched.h>
#include <stdatomic.h>
#include <stdint.h>
#include <stdlib.h>
#include <string.h>
#include <sys/mman.h>
#include <unistd.h>

#define JOIN2(a, b) a##_##b
#define JOIN(a, b) JOIN2(a, b)
#define NAME(name) JOIN(parrotlet_##name, LEVEL)
#define EXPORT __attribute__((visibility("default")))
#define INLINE static inline __attribute__((always_inline))

#ifdef __AVX512F__
#define W 16
typedef __m512 VF;
typedef __m512i VI;
#define LOAD(p) _mm512_loadu_ps(p)
#define STORE(p, v) _mm512_storeu_ps(p, v)
#define LOADI(p) _mm512_loadu_si512((const void *)(p))
#define STOREI(p, v) _mm512_storeu_si512((void *)(p), v)
#define SET(x) _mm512_set1_ps(x)
#define SETI(x) _mm512_set1_epi32(x)
#define FMA(a, b, c) _mm512_fmadd_ps(a, b, c)
#define ADD(a, b) _mm512_add_ps(a, b)
#define SUB(a, b) _mm512_sub_ps(a, b)
#define MUL(a, b) _mm512_mul_ps(a, b)
#define DIV(a, b) _mm512_div_ps(a, b)
#define MAX(a, b) _mm512_max_ps(a, b)
#define MIN(a, b) _mm512_min_ps(a, b)
#define ADDI(a, b) _mm512_add_epi32(a, b)
#define SUBI(a, b) _mm512_sub_epi32(a, b)
#define MAXI(a, b) _mm512_max_epi32(a, b)
#define MINI(a, b) _mm512_min_epi32(a, b)
#define TO_INT(a) _mm512_cvtps_epi32(a)
#define TO_FLOAT(a) _mm512_cvtepi32_ps(a)
#define SHIFT_LEFT(a, n) _mm512_slli_epi32(a, n)
#define SHIFT_RIGHT(a, n) _mm512_srli_epi32(a, n)
#define AND(a, b) _mm512_and_si512(a, b)
#define OR(a, b) _mm512_or_si512(a, b)
#define AS_FLOAT(a) _mm512_castsi512_ps(a)
#define AS_INT(a) _mm512_castps_si512(a)
#define ABOVE(a, low, v) _mm512_maskz_mov_ps(_mm512_cmp_ps_mask(a, low, _CMP_GT_OQ), v)
#define BYTES(p, v) _mm_storeu_si128((__m128i *)(p), _mm512_cvtepi32_epi8(v))
#define SUM_OF(v) _mm512_reduce_add_ps(v)
#define MAX_OF(v) _mm512_reduce_max_ps(v)
#define TILE_ROWS 6
#define TILE_BLOCKS 4
#define HEAD_ROWS 2
#define CHAINS 2
#define PARTS 4
#define SCORE_GROUPS 4
#define KEEP(x) __asm__("" : "+v"(x))
#else
#define W 8
typedef __m256 VF;
typedef __m256i VI;
#define LOAD(p) _mm256_loadu_ps(p)
#define STORE(p, v) _mm256_storeu_ps(p, v)
#define LOADI(p) _mm256_loadu_si256((const __m256i *)(p))
#define STOREI(p, v) _mm256_storeu_si256((__m256i *)(p), v)
#define SET(x) _mm256_set1_ps(x)
#define SETI(x) _mm256_set1_epi32(x)
#define FMA(a, b, c) _mm256_fmadd_ps(a, b, c)
#define ADD(a, b) _mm256_add_ps(a, b)
#define SUB(a, b) _mm256_sub_ps(a, b)
#define MUL(a, b) _mm256_mul_ps(a, b)
#define DIV(a, b) _mm256_div_ps(a, b)
#define MAX(a, b) _mm256_max_ps(a, b)
#define MIN(a, b) _mm256_min_ps(a, b)
#define ADDI(a, b) _mm256_add_epi32(a, b)
#define SUBI(a, b) _mm256_sub_epi32(a, b)
#define MAXI(a, b) _mm256_max_epi32(a, b)
#define MINI(a, b) _mm256_min_epi32(a, b)
#define TO_INT(a) _mm256_cvtps_epi32(a)
#define TO_FLOAT(a) _mm256_cvtepi32_ps(a)
#define SHIFT_LEFT(a, n) _mm256_slli_epi32(a, n)
#define SHIFT_RIGHT(a, n) _mm256_srli_epi32(a, n)
#define AND(a, b) _mm256_and_si256(a, b)
#define OR(a, b) _mm256_or_si256(a, b)
#define AS_FLOAT(a) _mm256_castsi256_ps(a)
#define AS_INT(a) _mm256_castps_si256(a)
#define ABOVE(a, low, v) _mm256_and_ps(_mm256_cmp_ps(a, low, _CMP_GT_OQ), v)
#define TILE_ROWS 4
#define TILE_BLOCKS 2
#define HEAD_ROWS 1
#define CHAINS 1
#define PARTS 2
#define SCORE_GROUPS 2
#define KEEP(x) __asm__("" : "+x"(x))

INLINE void BYTES(void *place, VI values) {
    const __m128i low = _mm256_castsi256_si128(values), high = _mm256_extracti128_si256(values, 1);
    const __m128i words = _mm_packs_epi32(low, high);
    _mm_storel_epi64((__m128i *)place, _mm_packus_epi16(words, words));
}

INLINE float SUM_OF(VF v) {
    __m128 half = _mm_add_ps(_mm256_castps256_ps128(v), _mm256_extractf128_ps(v, 1));
    half = _mm_add_ps(half, _mm_movehl_ps(half, half));
    return _mm_cvtss_f32(_mm_add_ss(half, _mm_movehdup_ps(half)));
}

INLINE float MAX_OF(VF v) {
    __m128 half = _mm_max_ps(_mm256_castps256_ps128(v), _mm256_extractf128_ps(v, 1));
    half = _mm_max_ps(half, _mm_movehl_ps(half, half));
    return _mm_cvtss_f32(_mm_max_ss(half, _mm_movehdup_ps(half)));
}
#endif

/* `sum` and, for each of its whole numbers, four products of unsigned and signed bytes. */
INLINE VI dot(VI sum, VI unsigned_, VI signed_) {
#if defined(__AVX512VNNI__)
    return _mm512_dpbusd_epi32(sum, unsigned_, signed_);
#elif defined(__AVXVNNI__)
    return _mm256_dpbusd_avx_epi32(sum, unsigned_, signed_);
#else
    /* in pairs of 16 bits, since two products of bytes do not fit into one of these */
    const VI even = _mm256_and_si256(unsigned_, _mm256_set1_epi16(255));
    const VI odd = _mm256_srli_epi16(unsigned_, 8);
    const VI even_ = _mm256_srai_epi16(_mm256_slli_epi16(signed_, 8), 8);
    const VI odd_ = _mm256_srai_epi16(signed_, 8);
    sum = ADDI(sum, _mm256_madd_epi16(even, even_));
    return ADDI(sum, _mm256_madd_epi16(odd, odd_));
#endif
}

enum { TILE = TILE_BLOCKS * W, HEAD_BLOCKS = 4, HEAD_TILE = 4 * W, KEY_TILE = 4 * W };
enum { MOST_ROWS = 128, MOST_THREADS = 16, LARGEST_BLOCK = 64, LARGEST_HEAD = 64, SCORE_ROWS = 4 };
enum { FEW = 17 }; /* rows that are more than a few */

/* A matrix of signed bytes, with a scale for each output. Its inputs are unsigned bytes,
 * (byte - zero) * step. */
typedef struct {
    int inputs, outputs;
    int8_t *weights; /* [tiles][inputs / 4][TILE_BLOCKS][W][4], the last tile filled up with zeros */
    int32_t *first;  /* [tiles * TILE] -zero * the sum of an output's weights */
    float *scales;   /* the same; step * scale */
    float *bias;     /* the same */
    float step;
    int zero;
} Matrix;

typedef struct {
    Matrix qkv, out, inner, outer;
    float *norm1, *norm2; /* [2][width] weight, bias */
} Layer;

typedef struct Model Model;
typedef void (*Work)(Model *model, int item, int thread);

struct Model {
    int layers, width, heads, head, context, vocabulary, inner, block, threads;
    float epsilon;
    Layer *layer;
    float *norm, *positions; /* [2][width]; [context][width] */
    uint8_t *words;          /* [vocabulary / HEAD_TILE][width / 4][HEAD_TILE][4], 128 is zero */
    float *word_scales;      /* [vocabulary / HEAD_TILE][width / block][HEAD_TILE] */
    uint8_t *store;          /* all these weights */
    size_t stored;           /* their bytes */
    /* of the pass that is under way */
    float *x, *products, *attended; /* [MOST_ROWS][width], [3 * width], [width] */
    uint8_t *bytes, *inner_bytes;   /* [MOST_ROWS][width], [inner] */
    int8_t *last;                   /* [MOST_ROWS][width] */
    float *last_scales;             /* [MOST_ROWS][width / block] */
    int32_t *last_sums;             /* the same */
    float *scores;                  /* [MOST_THREADS][SCORE_ROWS][context + W] */
    uint16_t *keys, *values;        /* of the state, in 16 bits; see `halves` */
    float *logits;
    int rows, kept, wanted, alone;
    /* of a pass over few rows, for each slice of the matrices */
    float *own;          /* [threads][FEW][width] x, the same in all */
    uint8_t *own_bytes;  /* the same */
    int32_t *partial[2]; /* the same: sums of out's and outer's products over a slice's inputs */
    int slices;
    /* the threads */
    pthread_t thread[MOST_THREADS];
    pthread_mutex_t mutex;
    pthread_cond_t wake;
    pid_t process; /* whose threads they are: a fork has none of them */
    /* each in a cache line of its own: one is added to while another is watched */
    _Alignas(64) _Atomic uint64_t ticket;
    Work work; /* read with the ticket, as is the layer */
    int at;
    _Alignas(64) _Atomic int finished;
    _Alignas(64) _Atomic int asleep;
    _Atomic int ending;
};

/* Threads
 *
 * `ticket` says which items are left: in its lower parts the next one and how many there are, above
 * them which call of `share` they belong to. Whoever adds one to it owns that item, and `share`
 * returns once all are done, so that what an item needs stays while somebody works at it. Nobody
 * waits for a thread that has taken none: on a busy machine it may not run for long.
 */

enum { SPINS = 20000, PATIENT = 4000, BITS = 20 };
static const uint64_t ONES = (1u << BITS) - 1;

static int take_items(Model *model, int thread) {
    int done = 0;
    for (;;) {
        uint64_t ticket = atomic_load_explicit(&model->ticket, memory_order_relaxed);
        if ((ticket & ONES) >= (ticket >> BITS & ONES)) return done;
        ticket = atomic_fetch_add_explicit(&model->ticket, 1, memory_order_acquire);
        if ((ticket & ONES) >= (ticket >> BITS & ONES)) return done;
        model->work(model, (int)(ticket & ONES), thread);
        atomic_fetch_add_explicit(&model->finished, 1, memory_order_release);
        done++;
    }
}

typedef struct {
    Model *model;
    int number;
} Start;

static void *run_thread(void *argument) {
    const Start start = *(Start *)argument;
    free(argument);
    Model *model = start.model;
    _mm_setcsr(_mm_getcsr() | 0x8040); /* subnormal numbers are zero */
    for (int spins = 0; !atomic_load_explicit(&model->ending, memory_order_relaxed);) {
        if (take_items(model, start.number)) spins = 0;
        else if (++spins < SPINS) _mm_pause();
        else {
            pthread_mutex_lock(&model->mutex);
            atomic_fetch_add(&model->asleep, 1);
            const uint64_t ticket = atomic_load(&model->ticket);
            if ((ticket & ONES) >= (ticket >> BITS & ONES) && !atomic_load(&model->ending))
                pthread_cond_wait(&model->wake, &model->mutex);
            atomic_fetch_sub(&model->asleep, 1);
            pthread_mutex_unlock(&model->mutex);
            spins = 0;
        }
    }
    return NULL;
}

static void wake_all(Model *model) {
    pthread_mutex_lock(&model->mutex);
    pthread_cond_broadcast(&model->wake);
    pthread_mutex_unlock(&model->mutex);
}

/* Does items 0 to `items`, each by some thread, and waits for the last. */
static void share(Model *model, Work work, int items) {
    if (model->alone || items == 1) {
        for (int item = 0; item < items; item++) work(model, item, 0);
        return;
    }
    model->work = work;
    atomic_store_explicit(&model->finished, 0, memory_order_relaxed);
    const uint64_t call = (atomic_load(&model->ticket) >> 2 * BITS) + 1;
    atomic_store(&model->ticket, call << 2 * BITS | (uint64_t)items << BITS);
    if (atomic_load(&model->asleep)) wake_all(model);
    take_items(model, 0);
    int spins = 0;
    while (atomic_load_explicit(&model->finished, memory_order_acquire) != items) {
        if (++spins < PATIENT) _mm_pause();
        else sched_yield();
    }
}

/* Parts */

INLINE VF exponential(VF x) {
    /* 2**n * e**r with |r| <= log(2) / 2 (Cephes' expf); below -87 it is zero */
    const VF low = SET(-87.0f);
    const VF bounded = MIN(MAX(x, low), SET(88.0f));
    const VI whole = TO_INT(MUL(bounded, SET(1.44269504f)));
    const VF n = TO_FLOAT(whole);
    VF r = FMA(n, SET(-0.693359375f), bounded);
    r = FMA(n, SET(2.12194440e-4f), r);
    VF value = SET(1.9875691500e-4f);
    value = FMA(value, r, SET(1.3981999507e-3f));
    value = FMA(value, r, SET(8.3334519073e-3f));
    value = FMA(value, r, SET(4.1665795894e-2f));
    value = FMA(value, r, SET(1.6666665459e-1f));
    value = FMA(value, r, SET(5.0000001201e-1f));
    value = ADD(FMA(value, MUL(r, r), r), SET(1.0f));
    const VF power = AS_FLOAT(SHIFT_LEFT(ADDI(whole, SETI(127)), 23));
    return ABOVE(x, low, MUL(value, power));
}

/* x / 2 * (1 + tanh(sqrt(2 / pi) * (x + 0.044715 x**3))) */
INLINE VF gelu(VF x) {
    const VF cube = MUL(MUL(x, x), x);
    const VF twice = MUL(FMA(cube, SET(0.044715f), x), SET(-1.5957691216f));
    return DIV(x, ADD(SET(1.0f), exponential(twice)));
}

INLINE VI rounded(VF x, VF step, VI zero) {
    const VF steps = MIN(SET(1e9f), DIV(x, step)); /* what no whole number holds is the largest */
    return MINI(MAXI(ADDI(TO_INT(steps), zero), SETI(0)), SETI(255));
}

static void to_bytes(const float *x, int size, const Matrix *matrix, uint8_t *bytes) {
    const VF step = SET(matrix->step);
    const VI zero = SETI(matrix->zero);
    for (int i = 0; i < size; i += W) BYTES(bytes + i, rounded(LOAD(x + i), step, zero));
}

/* Mean and 1 / standard deviation of `x`. */
INLINE void moments(const float *x, int size, float epsilon, float *mean, float *inverse) {
    VF sum = SET(0.0f), squares = SET(0.0f);
    for (int i = 0; i < size; i += W) sum = ADD(sum, LOAD(x + i));
    *mean = SUM_OF(sum) / (float)size;
    for (int i = 0; i < size; i += W) {
        const VF far = SUB(LOAD(x + i), SET(*mean));
        squares = FMA(far, far, squares);
    }
    *inverse = 1.0f / sqrtf(SUM_OF(squares) / (float)size + epsilon);
}

INLINE VF normal(const float *x, const float *norm, int width, int i, float mean, float inverse) {
    const VF far = MUL(SUB(LOAD(x + i), SET(mean)), SET(inverse));
    return FMA(far, LOAD(norm + i), LOAD(norm + width + i));
}

static void normalise(const Model *model, const float *x, const float *norm, const Matrix *matrix,
                      uint8_t *bytes) {
    const int width = model->width;
    const VF step = SET(matrix->step);
    const VI zero = SETI(matrix->zero);
    float mean, inverse;
    moments(x, width, model->epsilon, &mean, &inverse);
    for (int i = 0; i < width; i += W)
        BYTES(bytes + i, rounded(normal(x, norm, width, i, mean, inverse), step, zero));
}

typedef enum { PUT, ADD_TO, GELU, SUMS } After;

/* What becomes of the sums of `rows` rows with a tile of outputs. */
static __attribute__((noinline)) void settle(const Matrix *matrix, VI sums[TILE_ROWS][TILE_BLOCKS],
                                             int rows, int tile, After after, void *out,
                                             const Matrix *next) {
    for (int place = tile * TILE, j = 0; j < TILE_BLOCKS && place < matrix->outputs; place += W, j++) {
        if (after == SUMS) {
            for (int i = 0; i < rows; i++)
                STOREI((int32_t *)out + (size_t)i * matrix->outputs + place, sums[i][j]);
            continue;
        }
        const VF scales = LOAD(matrix->scales + place), bias = LOAD(matrix->bias + place);
        for (int i = 0; i < rows; i++) {
            const VF value = FMA(TO_FLOAT(sums[i][j]), scales, bias);
            const size_t to = (size_t)i * matrix->outputs + place;
            if (after == GELU) {
                BYTES((uint8_t *)out + to, rounded(gelu(value), SET(next->step), SETI(next->zero)));
            } else {
                float *floats = (float *)out + to;
                STORE(floats, after == ADD_TO ? ADD(LOAD(floats), value) : value);
            }
        }
    }
}

/* The inputs from the first to before the last of these. */
typedef struct {
    int first, end;
} Range;

/* The products of `rows` rows' inputs in `range` with a tile of outputs. */
INLINE void multiply(const Matrix *matrix, const uint8_t *in, Range range, int rows, int tile,
                     After after, void *out, const Matrix *next) {
    const int inputs = matrix->inputs;
    const int8_t *weights = matrix->weights + (size_t)tile * inputs * TILE;
    VI sums[TILE_ROWS][TILE_BLOCKS], found[TILE_ROWS][TILE_BLOCKS]; /* sums are registers */
#pragma GCC unroll 8
    for (int j = 0; j < TILE_BLOCKS; j++)
#pragma GCC unroll 8
        for (int i = 0; i < rows; i++)
            sums[i][j] = after == SUMS ? SETI(0) : LOADI(matrix->first + tile * TILE + j * W);
    for (int group = range.first / 4; group < range.end / 4; group++) {
        VI read[TILE_BLOCKS];
#pragma GCC unroll 8
        for (int j = 0; j < TILE_BLOCKS; j++) read[j] = LOADI(weights + (group * TILE_BLOCKS + j) * W * 4);
#pragma GCC unroll 8
        for (int i = 0; i < rows; i++) {
            int32_t four;
            memcpy(&four, in + (size_t)i * inputs + 4 * group, 4);
            const VI given = SETI(four);
#pragma GCC unroll 8
            for (int j = 0; j < TILE_BLOCKS; j++) sums[i][j] = dot(sums[i][j], given, read[j]);
        }
    }
#pragma GCC unroll 8
    for (int i = 0; i < rows; i++)
#pragma GCC unroll 8
        for (int j = 0; j < TILE_BLOCKS; j++) found[i][j] = sums[i][j];
    settle(matrix, found, rows, tile, after, out, next);
}

/* The products of all rows with a tile of outputs. */
INLINE void product(const Matrix *matrix, const uint8_t *in, Range range, int rows, int tile,
                    After after, void *out, const Matrix *next) {
    const size_t apart = (size_t)matrix->outputs * (after == GELU ? 1 : sizeof(float));
    for (int row = 0; row < rows;) {
        const int left = rows - row;
        const uint8_t *from = in + (size_t)row * matrix->inputs;
        uint8_t *to = (uint8_t *)out + row * apart;
        if (left >= TILE_ROWS) {
            multiply(matrix, from, range, TILE_ROWS, tile, after, to, next);
            row += TILE_ROWS;
        } else if (left >= 4) {
            multiply(matrix, from, range, 4, tile, after, to, next);
            row += 4;
        } else if (left >= 2) {
            multiply(matrix, from, range, 2, tile, after, to, next);
            row += 2;
        } else {
            multiply(matrix, from, range, 1, tile, after, to, next);
            row += 1;
        }
    }
}

INLINE Range all_of(const Matrix *matrix) {
    return (Range){0, matrix->inputs};
}

static int tiles(const Matrix *matrix) {
    return (matrix->outputs + TILE - 1) / TILE;
}

static void qkv_of(Model *model, int tile, int thread) {
    (void)thread;
    const Matrix *matrix = &model->layer[model->at].qkv;
    product(matrix, model->bytes, all_of(matrix), model->rows, tile, PUT, model->products, NULL);
}

static void out_of(Model *model, int tile, int thread) {
    (void)thread;
    const Matrix *matrix = &model->layer[model->at].out;
    product(matrix, model->bytes, all_of(matrix), model->rows, tile, ADD_TO, model->x, NULL);
}

static void inner_of(Model *model, int tile, int thread) {
    (void)thread;
    const Layer *layer = &model->layer[model->at];
    product(&layer->inner, model->bytes, all_of(&layer->inner), model->rows, tile, GELU,
            model->inner_bytes, &layer->outer);
}

static void outer_of(Model *model, int tile, int thread) {
    (void)thread;
    const Matrix *matrix = &model->layer[model->at].outer;
    product(matrix, model->inner_bytes, all_of(matrix), model->rows, tile, ADD_TO, model->x, NULL);
}

static void norm1_of(Model *model, int row, int thread) {
    (void)thread;
    const Layer *layer = &model->layer[model->at];
    const size_t place = (size_t)row * model->width;
    normalise(model, model->x + place, layer->norm1, &layer->qkv, model->bytes + place);
}

static void norm2_of(Model *model, int row, int thread) {
    (void)thread;
    const Layer *layer = &model->layer[model->at];
    const size_t place = (size_t)row * model->width;
    normalise(model, model->x + place, layer->norm2, &layer->inner, model->bytes + place);
}

static void attended_of(Model *model, int row, int thread) {
    (void)thread;
    const size_t place = (size_t)row * model->width;
    to_bytes(model->attended + place, model->width, &model->layer[model->at].out, model->bytes + place);
}

/* 16 bits are the upper half of a float, to even (bfloat16): cheaper to make a float of again than
 * IEEE's binary16, and no number is too large. They lie in pairs of vectors, number i of the first
 * beside number i of the second, so that a shift gives the one and a mask the other. */
INLINE VI halves(VF first, VF second) {
    const VI high = SETI((int)0xffff0000), one = SETI(1), under = SETI(0x7fff);
    VI a = AS_INT(first), b = AS_INT(second);
    a = ADDI(a, ADDI(under, AND(SHIFT_RIGHT(a, 16), one)));
    b = ADDI(b, ADDI(under, AND(SHIFT_RIGHT(b, 16), one)));
    return OR(SHIFT_RIGHT(a, 16), AND(b, high));
}

/* The floats of a pair of vectors, to 8 bits. */
INLINE void floats(const uint16_t *from, VF *first, VF *second) {
    VI both = LOADI(from);
    KEEP(both); /* else it is loaded twice */
    *first = AS_FLOAT(SHIFT_LEFT(both, 16));
    *second = AS_FLOAT(AND(both, SETI((int)0xffff0000)));
}

/* Where number `i` of a row of halves lies. */
INLINE int place_of(int i) {
    return i / (2 * W) * (2 * W) + i % W * 2 + i / W % 2;
}

/* Keys lie transposed in tiles of positions, [context / KEY_TILE][head][KEY_TILE], values as
 * [context][head]; both for each head of each layer, their last axis as halves. */
static void keep_of(Model *model, int head, int thread) {
    (void)thread;
    const int size = model->head, width = model->width;
    const size_t place = ((size_t)model->at * model->heads + head) * model->context * size;
    uint16_t *keys = model->keys + place, *values = model->values + place;
    for (int row = 0; row < model->rows; row++) {
        const int position = model->kept + row;
        const float *from = model->products + (size_t)row * 3 * width + width + head * size;
        uint16_t *to = keys + (size_t)(position / KEY_TILE) * size * KEY_TILE;
        uint16_t half[LARGEST_HEAD];
        for (int d = 0; d < size; d += 2 * W) {
            STOREI(half + d, halves(LOAD(from + d), LOAD(from + d + W)));
            STOREI(values + (size_t)position * size + d,
                   halves(LOAD(from + width + d), LOAD(from + width + d + W)));
        }
        for (int d = 0; d < size; d++)
            to[d * KEY_TILE + place_of(position % KEY_TILE)] = half[place_of(d)];
    }
}

/* The scores of `rows` rows with a tile of keys, `SCORE_GROUPS` vectors of it at a time or, for a
 * single row, all four. */
INLINE void score(const float *queries, int apart, int rows, const uint16_t *keys, int size, int tile,
                  float factor, float *scores, int row_size) {
    const int groups = rows == 1 ? 4 : SCORE_GROUPS;
    for (int part = 0; part < 4; part += groups) {
        const uint16_t *from = keys + (size_t)tile * size * KEY_TILE + part * W;
        VF sums[SCORE_ROWS][4];
#pragma GCC unroll 4
        for (int i = 0; i < rows; i++)
#pragma GCC unroll 4
            for (int j = 0; j < groups; j++) sums[i][j] = SET(0.0f);
        for (int d = 0; d < size; d++) {
            VF read[4];
#pragma GCC unroll 4
            for (int j = 0; j < groups; j += 2)
                floats(from + d * KEY_TILE + j * W, read + j, read + j + 1);
#pragma GCC unroll 4
            for (int i = 0; i < rows; i++) {
                VF query = SET(queries[(size_t)i * apart + d]);
                KEEP(query);
#pragma GCC unroll 4
                for (int j = 0; j < groups; j++) sums[i][j] = FMA(query, read[j], sums[i][j]);
            }
        }
        float *to = scores + tile * KEY_TILE + part * W;
#pragma GCC unroll 4
        for (int i = 0; i < rows; i++)
#pragma GCC unroll 4
            for (int j = 0; j < groups; j++)
                STORE(to + (size_t)i * row_size + j * W, MUL(sums[i][j], SET(factor)));
    }
}

/* Scores to their exponentials, zero from `count` on; gives 1 / their sum. */
static float soften(float *scores, int count) {
    const int end = (count + W - 1) / W * W;
    for (int i = count; i < end; i++) scores[i] = -INFINITY;
    VF most = LOAD(scores), sum = SET(0.0f);
    for (int i = W; i < end; i += W) most = MAX(most, LOAD(scores + i));
    const VF top = SET(MAX_OF(most));
    for (int i = 0; i < end; i += W) {
        const VF value = exponential(SUB(LOAD(scores + i), top));
        STORE(scores + i, value);
        sum = ADD(sum, value);
    }
    return 1.0f / SUM_OF(sum);
}

/* The sum of `count` values by their weights: chains of every second one, or one chain. */
INLINE void gather(const uint16_t *values, int size, const float *weights, int count, float inverse,
                   float *out) {
    VF sums[CHAINS][64 / W];
#pragma GCC unroll 2
    for (int chain = 0; chain < CHAINS; chain++)
#pragma GCC unroll 8
        for (int j = 0; j < size / W; j++) sums[chain][j] = SET(0.0f);
    int t = 0;
    for (; t + CHAINS <= count; t += CHAINS) {
#pragma GCC unroll 2
        for (int chain = 0; chain < CHAINS; chain++) {
            VF weight = SET(weights[t + chain]);
            KEEP(weight);
#pragma GCC unroll 8
            for (int j = 0; j < size / W; j += 2) {
                VF first, second;
                floats(values + (size_t)(t + chain) * size + j * W, &first, &second);
                sums[chain][j] = FMA(weight, first, sums[chain][j]);
                sums[chain][j + 1] = FMA(weight, second, sums[chain][j + 1]);
            }
        }
    }
    if (t < count) {
#pragma GCC unroll 8
        for (int j = 0; j < size / W; j += 2) {
            VF first, second;
            floats(values + (size_t)t * size + j * W, &first, &second);
            sums[0][j] = FMA(SET(weights[t]), first, sums[0][j]);
            sums[0][j + 1] = FMA(SET(weights[t]), second, sums[0][j + 1]);
        }
    }
#pragma GCC unroll 8
    for (int j = 0; j < size / W; j++) {
        const VF sum = CHAINS == 2 ? ADD(sums[0][j], sums[CHAINS - 1][j]) : sums[0][j];
        STORE(out + j * W, MUL(sum, SET(inverse)));
    }
}

/* The same for SCORE_ROWS rows and `parts` vectors of a head: each value is read once for all, and
 * the chains come one after the other, so that sums fit into registers. */
INLINE void gather_rows(const uint16_t *values, int size, int parts, const float *weights, int row_size,
                        int count, const float *inverse, float *out, int apart) {
    VF before[SCORE_ROWS][PARTS];
    for (int chain = 0; chain < CHAINS; chain++) {
        VF sums[SCORE_ROWS][PARTS];
#pragma GCC unroll 4
        for (int i = 0; i < SCORE_ROWS; i++)
#pragma GCC unroll 4
            for (int j = 0; j < parts; j++) sums[i][j] = SET(0.0f);
        for (int t = chain; t < count; t += CHAINS) {
            VF read[PARTS];
#pragma GCC unroll 4
            for (int j = 0; j < parts; j += 2)
                floats(values + (size_t)t * size + j * W, read + j, read + j + 1);
#pragma GCC unroll 4
            for (int i = 0; i < SCORE_ROWS; i++) {
                VF weight = SET(weights[(size_t)i * row_size + t]);
                KEEP(weight);
#pragma GCC unroll 4
                for (int j = 0; j < parts; j++) sums[i][j] = FMA(weight, read[j], sums[i][j]);
            }
        }
#pragma GCC unroll 4
        for (int i = 0; i < SCORE_ROWS; i++)
#pragma GCC unroll 4
            for (int j = 0; j < parts; j++) {
                const VF sum = chain ? ADD(before[i][j], sums[i][j]) : sums[i][j];
                if (chain < CHAINS - 1) before[i][j] = sum;
                else STORE(out + (size_t)i * apart + j * W, MUL(sum, SET(inverse[i])));
            }
    }
}

INLINE void attend(Model *model, int head, int row, int rows, int size, float *scores) {
    const int width = model->width, row_size = model->context + W;
    const size_t place = ((size_t)model->at * model->heads + head) * model->context * size;
    const uint16_t *keys = model->keys + place, *values = model->values + place;
    const float *queries = model->products + (size_t)row * 3 * width + head * size;
    const float factor = 1.0f / sqrtf((float)size);
    const int first = model->kept + row + 1; /* positions that the first of the rows sees */
    const int count = first + rows - 1, ends = (count + KEY_TILE - 1) / KEY_TILE;
    float inverse[SCORE_ROWS];
    if (rows == SCORE_ROWS) {
        for (int tile = 0; tile < ends; tile++)
            score(queries, 3 * width, SCORE_ROWS, keys, size, tile, factor, scores, row_size);
    } else {
        for (int i = 0; i < rows; i++)
            for (int tile = 0; tile < ends; tile++)
                score(queries + (size_t)i * 3 * width, 0, 1, keys, size, tile, factor,
                      scores + (size_t)i * row_size, row_size);
    }
    for (int i = 0; i < rows; i++) {
        float *own = scores + (size_t)i * row_size;
        inverse[i] = soften(own, first + i);
        /* what a row after it sees, and it does not, weighs nothing */
        for (int t = (first + i + W - 1) / W * W; t < count; t++) own[t] = 0.0f;
    }
    float *out = model->attended + (size_t)row * width + head * size;
    if (rows == SCORE_ROWS) {
        /* the rows before the last see less, where their weights are zero */
        const int parts = size / W < PARTS ? size / W : PARTS;
        for (int d = 0; d < size; d += parts * W)
            gather_rows(values + d, size, parts, scores, row_size, count, inverse, out + d, width);
        return;
    }
    for (int i = 0; i < rows; i++)
        gather(values, size, scores + (size_t)i * row_size, first + i, inverse[i],
               out + (size_t)i * width);
}

static void attend_to(Model *model, int head, int row, int thread) {
    const int left = model->rows - row, rows = left < SCORE_ROWS ? left : SCORE_ROWS;
    float *scores = model->scores + (size_t)thread * SCORE_ROWS * (model->context + W);
    if (model->head == 64) attend(model, head, row, rows, 64, scores);
    else attend(model, head, row, rows, 32, scores);
}

static void attention_of(Model *model, int item, int thread) {
    const int parts = (model->rows + SCORE_ROWS - 1) / SCORE_ROWS;
    attend_to(model, item / parts, item % parts * SCORE_ROWS, thread);
}

/* Few rows
 *
 * A block of a pass over few rows is two calls of `share`, each cut into `slices`: of the heads, and
 * of the outputs of `inner` (Shoeybi et al. 2019, "Megatron-LM", section 3). A slice multiplies its
 * part of the inputs of `out` and `outer` with all their outputs; these sums of whole numbers are
 * added up, exactly, by each slice of the next call for itself, and so are residual stream and norms
 * made in each.
 */

static size_t of_slice(const Model *model, int slice) {
    return (size_t)slice * FEW * model->width;
}

/* x and all slices' sums of `matrix`. */
static void complete(const Model *model, const Matrix *matrix, const int32_t *partial, float *x) {
    const int width = model->width;
    for (int row = 0; row < model->rows; row++, partial += width, x += width)
        for (int i = 0; i < width; i += W) {
            VI sums = LOADI(matrix->first + i);
            for (int slice = 0; slice < model->slices; slice++)
                sums = ADDI(sums, LOADI(partial + of_slice(model, slice) + i));
            const VF value = FMA(TO_FLOAT(sums), LOAD(matrix->scales + i), LOAD(matrix->bias + i));
            STORE(x + i, ADD(LOAD(x + i), value));
        }
}

static void attention_slice(Model *model, int slice, int thread) {
    const Layer *layer = &model->layer[model->at];
    const int width = model->width, rows = model->rows, size = model->head;
    const int together = TILE > size ? TILE / size : 1; /* heads of a tile */
    const int units = model->heads / together;
    const int head = units * slice / model->slices * together;
    const int end = units * (slice + 1) / model->slices * together;
    const Range range = {head * size, end * size};
    float *x = model->own + of_slice(model, slice);
    uint8_t *bytes = model->own_bytes + of_slice(model, slice);
    if (model->at) complete(model, &layer[-1].outer, model->partial[1], x);
    else memcpy(x, model->x, sizeof(float) * rows * width);
    for (int row = 0; row < rows; row++)
        normalise(model, x + (size_t)row * width, layer->norm1, &layer->qkv, bytes + (size_t)row * width);
    for (int part = 0; part < 3 * width; part += width)
        for (int tile = (part + range.first) / TILE; tile < (part + range.end) / TILE; tile++)
            product(&layer->qkv, bytes, all_of(&layer->qkv), rows, tile, PUT, model->products, NULL);
    for (int one = head; one < end; one++) {
        keep_of(model, one, thread);
        for (int row = 0; row < rows; row += SCORE_ROWS) attend_to(model, one, row, thread);
    }
    for (int row = 0; row < rows; row++) {
        const size_t place = (size_t)row * width + range.first;
        to_bytes(model->attended + place, range.end - range.first, &layer->out, bytes + place);
    }
    for (int tile = 0; tile < tiles(&layer->out); tile++)
        product(&layer->out, bytes, range, rows, tile, SUMS,
                model->partial[0] + of_slice(model, slice), NULL);
}

static void inner_slice(Model *model, int slice, int thread) {
    (void)thread;
    const Layer *layer = &model->layer[model->at];
    const Matrix *inner = &layer->inner, *outer = &layer->outer;
    const int width = model->width, rows = model->rows;
    const int first = tiles(inner) * slice / model->slices;
    const int end = tiles(inner) * (slice + 1) / model->slices;
    const Range range = {first * TILE, end * TILE < model->inner ? end * TILE : model->inner};
    float *x = model->own + of_slice(model, slice);
    uint8_t *bytes = model->own_bytes + of_slice(model, slice);
    complete(model, &layer->out, model->partial[0], x);
    for (int row = 0; row < rows; row++)
        normalise(model, x + (size_t)row * width, layer->norm2, inner, bytes + (size_t)row * width);
    for (int tile = first; tile < end; tile++)
        product(inner, bytes, all_of(inner), rows, tile, GELU, model->inner_bytes, outer);
    for (int tile = 0; tile < tiles(outer); tile++)
        product(outer, model->inner_bytes, range, rows, tile, SUMS,
                model->partial[1] + of_slice(model, slice), NULL);
}

/* The last norm, rounded to signed bytes in blocks. */
static void finish(Model *model, int row, int to) {
    const int width = model->width, size = model->block, blocks = width / size;
    const float *x = model->x + (size_t)row * width;
    float mean, inverse, values[LARGEST_BLOCK];
    moments(x, width, model->epsilon, &mean, &inverse);
    for (int block = 0; block < blocks; block++) {
        VF most = SET(0.0f);
        for (int i = 0; i < size; i += W) {
            const VF value = normal(x, model->norm, width, block * size + i, mean, inverse);
            STORE(values + i, value);
            most = MAX(most, MAX(value, SUB(SET(0.0f), value)));
        }
        const float scale = MAX_OF(most) / 127.0f, times = scale > 0.0f ? 1.0f / scale : 0.0f;
        int8_t *bytes = model->last + (size_t)to * width + block * size;
        int sum = 0;
        for (int i = 0; i < size; i++) {
            int value = (int)lrintf(values[i] * times);
            value = value < -127 ? -127 : value > 127 ? 127 : value;
            bytes[i] = (int8_t)value;
            sum += value;
        }
        model->last_scales[(size_t)to * blocks + block] = scale;
        model->last_sums[(size_t)to * blocks + block] = 128 * sum;
    }
}

INLINE void logits_tile(Model *model, int row, int rows, int tile) {
    const int width = model->width, size = model->block, blocks = width / size;
    const uint8_t *words = model->words + (size_t)tile * width * HEAD_TILE;
    const float *scales = model->word_scales + (size_t)tile * blocks * HEAD_TILE;
    const int8_t *in = model->last + (size_t)row * width;
    VF found[HEAD_ROWS][HEAD_BLOCKS];
#pragma GCC unroll 4
    for (int i = 0; i < rows; i++)
#pragma GCC unroll 4
        for (int j = 0; j < HEAD_BLOCKS; j++) found[i][j] = SET(0.0f);
    for (int part = 0; part < blocks; part++) {
        VI sums[HEAD_ROWS][HEAD_BLOCKS];
#pragma GCC unroll 4
        for (int i = 0; i < rows; i++)
#pragma GCC unroll 4
            for (int j = 0; j < HEAD_BLOCKS; j++)
                sums[i][j] = SETI(-model->last_sums[(size_t)(row + i) * blocks + part]);
        for (int group = part * size / 4; group < (part + 1) * size / 4; group++) {
            VI given[HEAD_ROWS];
#pragma GCC unroll 4
            for (int i = 0; i < rows; i++) {
                int32_t four;
                memcpy(&four, in + (size_t)i * width + 4 * group, 4);
                given[i] = SETI(four);
            }
#pragma GCC unroll 4
            for (int j = 0; j < HEAD_BLOCKS; j++) {
                const VI read = LOADI(words + (size_t)(group * HEAD_BLOCKS + j) * W * 4);
#pragma GCC unroll 4
                for (int i = 0; i < rows; i++) sums[i][j] = dot(sums[i][j], read, given[i]);
            }
        }
#pragma GCC unroll 4
        for (int i = 0; i < rows; i++) {
            const VF scale = SET(model->last_scales[(size_t)(row + i) * blocks + part]);
#pragma GCC unroll 4
            for (int j = 0; j < HEAD_BLOCKS; j++) {
                const VF both = MUL(scale, LOAD(scales + part * HEAD_TILE + j * W));
                found[i][j] = FMA(TO_FLOAT(sums[i][j]), both, found[i][j]);
            }
        }
    }
#pragma GCC unroll 4
    for (int i = 0; i < rows; i++)
#pragma GCC unroll 4
        for (int j = 0; j < HEAD_BLOCKS; j++)
            STORE(model->logits + (size_t)(row + i) * model->vocabulary + tile * HEAD_TILE + j * W,
                  found[i][j]);
}

enum { HEAD_TILES = 4 }; /* that are one item */

static void logits_of(Model *model, int item, int thread) {
    (void)thread;
    const int ends = model->vocabulary / HEAD_TILE;
    for (int tile = item * HEAD_TILES; tile < (item + 1) * HEAD_TILES && tile < ends; tile++) {
        int row = 0;
        for (; row + HEAD_ROWS <= model->wanted; row += HEAD_ROWS)
            logits_tile(model, row, HEAD_ROWS, tile);
        for (; row < model->wanted; row++) logits_tile(model, row, 1, tile);
    }
}

static void embed(Model *model, int row, int token) {
    const int width = model->width, blocks = width / model->block;
    const int tile = token / HEAD_TILE, word = token % HEAD_TILE;
    const uint8_t *words = model->words + (size_t)tile * width * HEAD_TILE + word * 4;
    const float *scales = model->word_scales + (size_t)tile * blocks * HEAD_TILE + word;
    const float *position = model->positions + (size_t)(model->kept + row) * width;
    float *x = model->x + (size_t)row * width;
    for (int i = 0; i < width; i++) {
        const int byte = words[(size_t)(i / 4) * HEAD_TILE * 4 + i % 4];
        x[i] = (float)(byte - 128) * scales[i / model->block * HEAD_TILE] + position[i];
    }
}

static void each_row(Model *model, Work work) {
    if (model->rows >= FEW) {
        share(model, work, model->rows);
        return;
    }
    for (int row = 0; row < model->rows; row++) work(model, row, 0);
}

static void blocks_of_few(Model *model) {
    const int parts = (model->inner + TILE - 1) / TILE;
    model->slices = model->alone ? 1 : model->threads < parts ? model->threads : parts;
    for (model->at = 0; model->at < model->layers; model->at++) {
        share(model, attention_slice, model->slices);
        share(model, inner_slice, model->slices);
    }
    memcpy(model->x, model->own, sizeof(float) * model->rows * model->width);
    complete(model, &model->layer[model->layers - 1].outer, model->partial[1], model->x);
}

static void blocks(Model *model) {
    for (model->at = 0; model->at < model->layers; model->at++) {
        const Layer *layer = &model->layer[model->at];
        each_row(model, norm1_of);
        share(model, qkv_of, tiles(&layer->qkv));
        share(model, keep_of, model->heads);
        share(model, attention_of, model->heads * ((model->rows + SCORE_ROWS - 1) / SCORE_ROWS));
        each_row(model, attended_of);
        share(model, out_of, tiles(&layer->out));
        each_row(model, norm2_of);
        share(model, inner_of, tiles(&layer->inner));
        share(model, outer_of, tiles(&layer->outer));
    }
}

static void pass(Model *model, const int64_t *tokens) {
    for (int row = 0; row < model->rows; row++) embed(model, row, (int)tokens[row]);
    /* slices of the heads are to be whole tiles */
    if (model->rows < FEW && model->width % TILE == 0) blocks_of_few(model);
    else blocks(model);
    for (int row = 0; row < model->wanted; row++)
        finish(model, model->rows - model->wanted + row, row);
    const int heads = model->vocabulary / HEAD_TILE;
    if (model->wanted) share(model, logits_of, (heads + HEAD_TILES - 1) / HEAD_TILES);
}

/* What Python calls */

static void *room(size_t bytes) {
    void *found = NULL;
    return posix_memalign(&found, 64, bytes ? bytes : 64) ? NULL : found;
}

/* The same in pages of 2 MB where there are any: weights of all pages are read with each token, and
 * of small ones more than the processor knows the places of. */
static void *large_room(size_t bytes) {
    void *found = NULL;
    if (posix_memalign(&found, 1 << 21, bytes)) return NULL;
#ifdef MADV_HUGEPAGE
    madvise(found, bytes, MADV_HUGEPAGE);
#endif
    return found;
}

/* The next part of the room of the weights; without room only counted. */
static void *weights_room(Model *model, size_t bytes) {
    const size_t at = model->stored;
    model->stored += (bytes + 63) / 64 * 64;
    return model->store ? model->store + at : NULL;
}

static void place_matrix(Model *model, Matrix *matrix, int inputs, int outputs) {
    *matrix = (Matrix){.inputs = inputs, .outputs = outputs};
    const size_t all = (size_t)tiles(matrix) * TILE;
    matrix->weights = weights_room(model, all * inputs);
    matrix->first = weights_room(model, sizeof(int32_t) * all);
    matrix->scales = weights_room(model, sizeof(float) * all);
    matrix->bias = weights_room(model, sizeof(float) * all);
}

/* Gives all weights their places, in the order in which they are read. */
static void place_weights(Model *model) {
    const int width = model->width, inner = model->inner;
    model->stored = 0;
    for (Layer *layer = model->layer; layer < model->layer + model->layers; layer++) {
        layer->norm1 = weights_room(model, 2 * sizeof(float) * width);
        place_matrix(model, &layer->qkv, width, 3 * width);
        place_matrix(model, &layer->out, width, width);
        layer->norm2 = weights_room(model, 2 * sizeof(float) * width);
        place_matrix(model, &layer->inner, width, inner);
        place_matrix(model, &layer->outer, inner, width);
    }
    const size_t words = model->vocabulary;
    model->norm = weights_room(model, 2 * sizeof(float) * width);
    model->words = weights_room(model, words * width);
    model->word_scales = weights_room(model, words * (width / model->block) * sizeof(float));
    model->positions = weights_room(model, sizeof(float) * width * model->context);
}

EXPORT void NAME(close)(Model *model) {
    if (!model) return;
    const int own = model->process == getpid();
    if (own) {
        atomic_store(&model->ending, 1);
        wake_all(model);
        for (int i = 1; i < model->threads; i++) pthread_join(model->thread[i], NULL);
    }
    void *all[] = {model->layer, model->store, model->x, model->products, model->attended,
                   model->bytes, model->inner_bytes, model->last, model->last_scales,
                   model->last_sums, model->scores, model->own, model->own_bytes,
                   model->partial[0], model->partial[1]};
    for (size_t i = 0; i < sizeof all / sizeof *all; i++) free(all[i]);
    if (own) {
        pthread_mutex_destroy(&model->mutex);
        pthread_cond_destroy(&model->wake);
    }
    free(model);
}

/* A model without weights; NULL if there is no memory for it. */
EXPORT Model *NAME(open)(int layers, int width, int heads, int context, int vocabulary, int inner,
                         int block, float epsilon, int threads) {
    Model *model = room(sizeof *model);
    if (!model) return NULL;
    const size_t rows = MOST_ROWS;
    *model = (Model){.layers = layers, .width = width, .heads = heads, .head = width / heads,
                     .context = context, .vocabulary = vocabulary, .inner = inner, .block = block,
                     .epsilon = epsilon, .threads = 1, .process = getpid()};
    pthread_mutex_init(&model->mutex, NULL);
    pthread_cond_init(&model->wake, NULL);
    model->layer = calloc(layers, sizeof(Layer));
    model->x = room(sizeof(float) * rows * width);
    model->products = room(sizeof(float) * rows * 3 * width);
    model->attended = room(sizeof(float) * rows * width);
    model->bytes = room(rows * width);
    model->inner_bytes = room(rows * inner);
    model->last = room(rows * width);
    model->last_scales = room(sizeof(float) * rows * (width / model->block));
    model->last_sums = room(sizeof(int32_t) * rows * (width / model->block));
    model->scores = room(sizeof(float) * MOST_THREADS * SCORE_ROWS * (context + W));
    if (threads > MOST_THREADS) threads = MOST_THREADS;
    const size_t few = (size_t)threads * FEW * width;
    model->own = room(sizeof(float) * few);
    model->own_bytes = room(few);
    for (int i = 0; i < 2; i++) model->partial[i] = room(sizeof(int32_t) * few);
    if (model->layer) {
        place_weights(model); /* to know their bytes */
        model->store = large_room(model->stored);
        place_weights(model);
    }
    int whole = model->layer && model->store && model->x && model->products && model->attended &&
                model->bytes && model->inner_bytes && model->last && model->last_scales &&
                model->last_sums && model->scores && model->own && model->own_bytes &&
                model->partial[0] && model->partial[1];
    while (whole && model->threads < threads) {
        Start *start = malloc(sizeof *start);
        if (start) *start = (Start){model, model->threads};
        if (!start || pthread_create(&model->thread[model->threads], NULL, run_thread, start)) {
            free(start);
            break; /* fewer do as well */
        }
        model->threads++;
    }
    if (whole) return model;
    NAME(close)(model);
    return NULL;
}

/* Matrix `which` of a layer: queries, keys and values; out; inner; outer. `weights` are
 * [inputs][outputs]. */
EXPORT void NAME(matrix)(Model *model, int layer, int which, const int8_t *weights,
                         const float *scales, const float *bias, float step, int zero) {
    Layer *one = &model->layer[layer];
    Matrix *all[] = {&one->qkv, &one->out, &one->inner, &one->outer}, *matrix = all[which];
    const int inputs = matrix->inputs, outputs = matrix->outputs, end = tiles(matrix) * TILE;
    matrix->step = step;
    matrix->zero = zero;
    memset(matrix->weights, 0, (size_t)end * inputs);
    memset(matrix->first, 0, sizeof(int32_t) * end);
    for (int i = 0; i < inputs; i++)
        for (int j = 0; j < outputs; j++) {
            const int8_t weight = weights[(size_t)i * outputs + j];
            const size_t tile = (size_t)(j / TILE) * inputs * TILE;
            matrix->weights[tile + (size_t)(i / 4) * TILE * 4 + j % TILE * 4 + i % 4] = weight;
            matrix->first[j] -= zero * weight;
        }
    for (int j = 0; j < outputs; j++) matrix->scales[j] = step * scales[j];
    memcpy(matrix->bias, bias, sizeof(float) * outputs);
}

/* The norm before the attention (0), before the inner matrix (1), or the last (2). */
EXPORT void NAME(norm)(Model *model, int layer, int which, const float *weight, const float *bias) {
    float *all[] = {model->layer[layer].norm1, model->layer[layer].norm2, model->norm};
    memcpy(all[which], weight, sizeof(float) * model->width);
    memcpy(all[which] + model->width, bias, sizeof(float) * model->width);
}

/* `bytes` are [vocabulary][width], `scales` [vocabulary][width / block]. */
EXPORT void NAME(embeddings)(Model *model, const uint8_t *bytes, const float *scales, const float *positions) {
    const int width = model->width, blocks = width / model->block;
    for (int word = 0; word < model->vocabulary; word++) {
        const size_t tile = word / HEAD_TILE, place = word % HEAD_TILE;
        uint8_t *to = model->words + tile * width * HEAD_TILE + place * 4;
        for (int i = 0; i < width; i += 4)
            memcpy(to + (size_t)i * HEAD_TILE, bytes + (size_t)word * width + i, 4);
        for (int block = 0; block < blocks; block++)
            model->word_scales[(tile * blocks + block) * HEAD_TILE + place] =
                scales[(size_t)word * blocks + block];
    }
    memcpy(model->positions, positions, sizeof(float) * model->context * width);
}

/* Reads `count` tokens behind the first `kept` of a state, whose keys and values are given, and
 * writes the logits after each of the last `wanted`. The caller sees that all fit, and that one
 * thread at a time calls. */
EXPORT void NAME(run)(Model *model, uint16_t *keys, uint16_t *values, int kept, const int64_t *tokens, int count,
                 int wanted, float *logits) {
    const unsigned control = _mm_getcsr();
    _mm_setcsr(control | 0x8040);
    model->alone = model->threads == 1 || model->process != getpid();
    model->keys = keys;
    model->values = values;
    for (int done = 0; done < count; done += model->rows) {
        const int left = count - done;
        model->rows = left < MOST_ROWS ? left : MOST_ROWS;
        model->kept = kept + done;
        const int after = left - model->rows; /* tokens of later passes */
        model->wanted = wanted - after;
        if (model->wanted < 0) model->wanted = 0;
        if (model->wanted > model->rows) model->wanted = model->rows;
        model->logits = logits;
        pass(model, tokens + done);
        logits += (size_t)model->wanted * model->vocabulary;
    }
    _mm_setcsr(control);
}
