/* Attention of one step's rows in one layer, straight from the pool of keys and values.

   A row attends to its text in sections of SECTION tokens, each in chunks of CHUNK from its begin,
   by softmax that is corrected chunk by chunk. Sections are added in order, then the slots of the
   row's lane. What other rows there are, how blocks lie in the pool, and the number of threads do
   not change the order or the numbers: a chunk's weights of keys that a row does not see are 0.

   A query is one head of one row. The queries of a sequence that share a key head are numbered row
   by row, and cut into items of at most MAX_QUERIES, which load each key once.
   All arithmetic is float32; `kind` says how numbers are stored. */

#include <math.h>
#include <stddef.h>

#include "numbers.h"
#include "vectors.h"

enum { CHUNK = 64, SECTION = 512, MAX_QUERIES = 32, MAX_DIM = 256 };
/* paged/plan.py and paged/library.py know the last three. */

typedef struct {
    char *keys, *values; /* [kv_heads, num_slots, dim] */
    int64_t num_slots;
    int32_t kind, kv_heads, key_dim, value_dim;
} Layer;

typedef struct { int32_t first_row, num_rows, table; } Sequence; /* table: where it begins */

typedef struct { int32_t slot, context_len, lane_table, lane_len; } Row;

/* Queries of a sequence, in one section, or in all if `section` is -1. The items of the same
   queries have their partial results one after the other, from `first_partial`. */
typedef struct {
    int32_t sequence, first_query, num_queries, section, num_sections, first_partial;
} Item;

typedef struct {
    const Sequence *sequences;
    const Row *rows;
    const int32_t *tables; /* block tables, one after the other */
    const Item *items;
    float *partials;   /* [kv_heads, num_partials, MAX_QUERIES, state_width] */
    int32_t *num_done; /* [kv_heads, num_partials], 0: of the items with the same first_partial */
    uint8_t *broken;   /* [num_rows]: set to 1 if a key or value is not finite */
    int32_t num_rows, num_items, num_partials, block_size, num_threads;
    int32_t groups; /* query heads for each key head */
} Step;

typedef struct {
    const char *states;
    int64_t head_stride, row_stride; /* in numbers */
} Input; /* [heads, rows, dim] */

typedef struct {
    const Layer *layer;
    const Step *step;
    Input query;
    char *out; /* [rows, heads, value_dim] */
    float scale;
    int32_t window; /* 0: none */
    int32_t next_item;
} Call;

typedef struct {
    float rows[CHUNK * MAX_DIM]; /* keys or values of a chunk */
    float keys[MAX_DIM * CHUNK]; /* transposed */
    float queries[MAX_QUERIES * MAX_DIM];
    float scores[MAX_QUERIES * CHUNK];
    float total[MAX_QUERIES * (MAX_DIM + 2 * W)];
    float section[MAX_QUERIES * (MAX_DIM + 2 * W)];
} Scratch;

static int min_of(int a, int b) { return a < b ? a : b; }

static int max_of(int a, int b) { return a > b ? a : b; }

/* A state is the attention of a query so far: the sum of weighted values, the sum of the weights
   in W parts, and the largest score, of which the weights are relative to (W times). */
static int padded(int dim) { return (dim + W - 1) / W * W; }

static int state_width(const Layer *layer) { return padded(layer->value_dim) + 2 * W; }

static const float NO_SCORE = -3e38f; /* finite: the difference of two is not NaN */

static void clear(float *states, int num_queries, int dim)
{
    memset(states, 0, sizeof(float) * num_queries * (dim + 2 * W));
    for (int query = 0; query < num_queries; query++)
        store_vec(states + query * (dim + 2 * W) + dim + W, all_lanes(NO_SCORE));
}

/* Adds the state of other keys to a state. */
static void add_state(float *state, const float *other, int dim)
{
    vec a = load_vec(state + dim + W), b = load_vec(other + dim + W), largest = larger(a, b);
    a = exponential(a - largest);
    b = exponential(b - largest);
    for (int i = 0; i < dim + W; i += W)
        store_vec(state + i, load_vec(state + i) * a + load_vec(other + i) * b);
    store_vec(state + dim + W, largest);
}

/* Hides the scores outside of [begin, end) and turns all into weights; corrects the state. */
static void weigh(float *scores, int num_scores, int begin, int end, float *state, int dim)
{
    for (int i = 0; i < begin && i < num_scores; i++)
        scores[i] = -INFINITY;
    for (int i = end < 0 ? 0 : end; i < num_scores; i++)
        scores[i] = -INFINITY;
    vec before = load_vec(state + dim + W), top = before;
    for (int i = 0; i < num_scores; i += W)
        top = larger(top, load_vec(scores + i));
    float lanes[W];
    store_vec(lanes, top);
    for (int half = W / 2; half > 0; half /= 2)
        for (int i = 0; i < half; i++)
            lanes[i] = lanes[i] > lanes[i + half] ? lanes[i] : lanes[i + half];
    vec largest = all_lanes(lanes[0]), correction = exponential(before - largest);
    if (lanes[0] > before[0])
        for (int i = 0; i < dim + W; i += W)
            store_vec(state + i, load_vec(state + i) * correction);
    store_vec(state + dim + W, largest);
    vec sums = load_vec(state + dim);
    for (int i = 0; i < num_scores; i += W) {
        vec weights = exponential(load_vec(scores + i) - largest);
        store_vec(scores + i, weights);
        sums += weights;
    }
    store_vec(state + dim, sums);
}

typedef struct {
    const int32_t *blocks;
    int block_size, num_slots; /* num_slots: how many are attended to */
} Table;

static int64_t slot_of(const Table *table, int position)
{
    int size = table->block_size;
    return (int64_t)table->blocks[position / size] * size + position % size;
}

/* Asks for memory before it is needed: processors do not foresee the next page or block. */
static void prefetch(const char *source, int size)
{
    for (int i = 0; i < size; i += 64)
        __builtin_prefetch(source + i);
}

/* Loads `count` rows of keys or values from `position`, each padded with 0 to vectors. */
static void load_rows(const char *pool, int kind, int dim, const Table *table, int position,
                      int count, float *rows)
{
    int width = padded(dim), size = dim * size_of(kind);
    while (count > 0) {
        int in_block = min_of(count, table->block_size - position % table->block_size);
        const char *source = pool + slot_of(table, position) * size;
        if (position + CHUNK < table->num_slots)
            prefetch(pool + slot_of(table, position + CHUNK) * size, in_block * size);
        if (dim == width)
            load(source, kind, in_block * dim, rows);
        else
            for (int row = 0; row < in_block; row++) {
                load(source + row * size, kind, dim, rows + row * width);
                memset(rows + row * width + dim, 0, sizeof(float) * (width - dim));
            }
        rows += in_block * width;
        position += in_block;
        count -= in_block;
    }
}

typedef struct {
    const Call *call;
    int kv_head, num_queries;
    int begins[MAX_QUERIES], ends[MAX_QUERIES]; /* what each query sees */
} Block;

/* Adds up to CHUNK keys from `position` to the states of some queries of a block. */
static void attend_chunk(const Block *block, Scratch *scratch, const Table *table, int position,
                         int first, int num_queries, float *states)
{
    const Layer *layer = block->call->layer;
    int count = min_of(CHUNK, table->num_slots - position), width = state_width(layer);
    int key_dim = padded(layer->key_dim), value_dim = padded(layer->value_dim);
    int64_t head = block->kv_head * layer->num_slots * size_of(layer->kind);
    int num_scores = padded(count);
    float *scores = scratch->scores + first * CHUNK;
    load_rows(layer->keys + head * layer->key_dim, layer->kind, layer->key_dim, table, position,
              count, scratch->rows);
    memset(scratch->rows + count * key_dim, 0, sizeof(float) * (num_scores - count) * key_dim);
    transpose(scratch->rows, key_dim, scratch->keys, CHUNK, num_scores, key_dim);
    memset(scores, 0, sizeof(float) * num_queries * CHUNK);
    multiply_add(scratch->queries + first * key_dim, key_dim, scratch->keys, CHUNK, scores, CHUNK,
                 num_queries, layer->key_dim, num_scores / W);
    for (int query = 0; query < num_queries; query++)
        weigh(scores + query * CHUNK, num_scores, block->begins[first + query] - position,
              block->ends[first + query] - position, states + (first + query) * width, value_dim);
    load_rows(layer->values + head * layer->value_dim, layer->kind, layer->value_dim, table,
              position, count, scratch->rows);
    multiply_add(scores, CHUNK, scratch->rows, value_dim, states + first * width, width,
                 num_queries, count, value_dim / W);
}

static void attend_section(const Block *block, Scratch *scratch, const Table *table, int section,
                           float *states)
{
    clear(states, block->num_queries, padded(block->call->layer->value_dim));
    int first = section * SECTION, last = min_of(first + SECTION, table->num_slots), begin = last;
    for (int query = 0; query < block->num_queries; query++)
        begin = min_of(begin, block->begins[query]);
    for (int position = first; position < last; position += CHUNK)
        if (position + CHUNK > begin)
            attend_chunk(block, scratch, table, position, 0, block->num_queries, states);
}

static const Row *row_of(const Call *call, const Item *item, int query)
{
    const Sequence *sequence = call->step->sequences + item->sequence;
    int row = (item->first_query + query) / call->step->groups;
    return call->step->rows + sequence->first_row + row;
}

/* Adds the lanes' keys; the queries of a lane are adjacent. */
static void attend_lanes(Block *block, Scratch *scratch, const Item *item)
{
    const Call *call = block->call;
    for (int first = 0, next; first < block->num_queries; first = next) {
        const Row *row = row_of(call, item, first);
        Table table = {call->step->tables + row->lane_table, call->step->block_size, 0};
        for (next = first; next < block->num_queries; next++) {
            const Row *other = row_of(call, item, next);
            if (other->lane_table != row->lane_table)
                break;
            block->begins[next] = 0;
            block->ends[next] = other->lane_len;
            table.num_slots = max_of(table.num_slots, other->lane_len);
        }
        for (int position = 0; position < table.num_slots; position += CHUNK)
            attend_chunk(block, scratch, &table, position, first, next - first, scratch->total);
    }
}

/* Where the head of a query lies: row and head. */
static int64_t head_of(const Block *block, const Item *item, int query, int64_t row_stride,
                       int64_t head_stride)
{
    int groups = block->call->step->groups;
    int64_t row = row_of(block->call, item, query) - block->call->step->rows;
    int64_t head = block->kv_head * groups + (item->first_query + query) % groups;
    return row * row_stride + head * head_stride;
}

static void write_output(const Block *block, Scratch *scratch, const Item *item)
{
    const Layer *layer = block->call->layer;
    int dim = padded(layer->value_dim), width = state_width(layer);
    int64_t row_stride = (int64_t)block->call->step->groups * layer->kv_heads * layer->value_dim;
    for (int query = 0; query < block->num_queries; query++) {
        float *state = scratch->total + query * width, sum = 0;
        for (int lane = 0; lane < W; lane++)
            sum += state[dim + lane];
        for (int i = 0; i < dim; i++)
            state[i] /= sum;
        int64_t place = head_of(block, item, query, row_stride, layer->value_dim);
        store(state, layer->kind, layer->value_dim, block->call->out + place * size_of(layer->kind));
    }
}

static void load_queries(Block *block, Scratch *scratch, const Item *item)
{
    const Call *call = block->call;
    const Input *input = &call->query;
    int dim = call->layer->key_dim, width = padded(dim), kind = call->layer->kind;
    for (int query = 0; query < block->num_queries; query++) {
        int64_t place = head_of(block, item, query, input->row_stride, input->head_stride);
        float *target = scratch->queries + query * width;
        load(input->states + place * size_of(kind), kind, dim, target);
        for (int i = 0; i < dim; i++)
            target[i] *= call->scale;
        int end = row_of(call, item, query)->context_len;
        block->ends[query] = end;
        block->begins[query] = call->window ? max_of(0, end - call->window) : 0;
    }
}

/* Stores the partial result of one section. True if it was the last of its queries: then all are
   added in order. */
static int add_partials(const Block *block, Scratch *scratch, const Item *item)
{
    const Step *step = block->call->step;
    int dim = padded(block->call->layer->value_dim), width = state_width(block->call->layer);
    int64_t first = (int64_t)block->kv_head * step->num_partials + item->first_partial;
    size_t size = (size_t)MAX_QUERIES * width;
    float *partials = step->partials + first * size;
    memcpy(partials + item->section * size, scratch->section,
           sizeof(float) * block->num_queries * width);
    int32_t *num_done = step->num_done + first;
    if (__atomic_add_fetch(num_done, 1, __ATOMIC_ACQ_REL) < item->num_sections)
        return 0;
    *num_done = 0;
    clear(scratch->total, block->num_queries, dim);
    for (int section = 0; section < item->num_sections; section++)
        for (int query = 0; query < block->num_queries; query++)
            add_state(scratch->total + query * width, partials + section * size + query * width,
                      dim);
    return 1;
}

static void run_item(const Call *call, Scratch *scratch, const Item *item, int kv_head)
{
    Block block = {.call = call, .kv_head = kv_head, .num_queries = item->num_queries};
    const int32_t *blocks = call->step->tables + call->step->sequences[item->sequence].table;
    Table table = {blocks, call->step->block_size, 0};
    int dim = padded(call->layer->value_dim), width = state_width(call->layer);
    load_queries(&block, scratch, item);
    for (int query = 0; query < block.num_queries; query++)
        table.num_slots = max_of(table.num_slots, block.ends[query]);
    if (item->section >= 0) {
        attend_section(&block, scratch, &table, item->section, scratch->section);
        if (!add_partials(&block, scratch, item))
            return;
    } else {
        clear(scratch->total, block.num_queries, dim);
        for (int section = 0; section < item->num_sections; section++) {
            attend_section(&block, scratch, &table, section, scratch->section);
            for (int query = 0; query < block.num_queries; query++)
                add_state(scratch->total + query * width, scratch->section + query * width, dim);
        }
    }
    attend_lanes(&block, scratch, item);
    write_output(&block, scratch, item);
}

/* What each thread does: takes items until none is left. */
static void work(void *argument)
{
    Call *call = argument;
    Scratch scratch;
    int kv_heads = call->layer->kv_heads, count = call->step->num_items * kv_heads;
    for (;;) {
        int next = __atomic_fetch_add(&call->next_item, 1, __ATOMIC_RELAXED);
        if (next >= count)
            return;
        run_item(call, &scratch, call->step->items + next / kv_heads, next % kv_heads);
    }
}

/* Writes the step's keys or values to the pool. */
static void store_rows(const Layer *layer, const Step *step, Input input, char *pool, int dim)
{
    int size = dim * size_of(layer->kind);
    for (int head = 0; head < layer->kv_heads; head++)
        for (int row = 0; row < step->num_rows; row++) {
            int64_t place = head * input.head_stride + row * input.row_stride;
            char *target = pool + (head * layer->num_slots + step->rows[row].slot) * size;
            if (store_finite(input.states + place * size_of(layer->kind), target, dim, layer->kind))
                step->broken[row] = 1;
        }
}

typedef void (*Parallel)(void (*)(void *), void *, unsigned, unsigned);

/* Stores keys and values, then attends. The strides are those of heads and rows, in numbers.
   parallel: GOMP_parallel of the OpenMP that torch uses, or NULL. */
void attend(const Layer *layer, const Step *step, const void *query, int64_t query_head,
            int64_t query_row, const void *key, int64_t key_head, int64_t key_row,
            const void *value, int64_t value_head, int64_t value_row, void *out, float scale,
            int window, Parallel parallel)
{
    store_rows(layer, step, (Input){key, key_head, key_row}, layer->keys, layer->key_dim);
    store_rows(layer, step, (Input){value, value_head, value_row}, layer->values, layer->value_dim);
    Call call = {layer, step, {query, query_head, query_row}, out, scale, window, 0};
    if (parallel == NULL || step->num_threads == 1)
        work(&call);
    else
        parallel(work, &call, step->num_threads, 0);
}
