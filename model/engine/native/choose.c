/* The output layer: the likeliest pieces of each row and their log-probabilities.

   Scores of all pieces are never laid out. Panels of outputs form groups; of each group a row keeps the largest score,
   the sum of exponentials and its best candidates, and the groups are joined in their order: exact, and the same
   whatever thread took which group. Rows of segments with a shortlist go over the columns that any of them uses, and
   each then sums up its own pieces in its own order. */
#include <stdatomic.h>
#include <stdlib.h>

#include "network.h"

/* Panels of a group, rows whose scores of a group lie together in the second-level cache. */
enum { GROUP_PANELS = 384 / PANEL, BLOCK_ROWS = 64, GROUP = GROUP_PANELS * PANEL };

typedef struct {
  float score;
  int32_t piece;
} candidate;

typedef struct {
  float most, sum;
} weight;

typedef struct {
  network* n;
  const step_rows* rows;
  operand x;
  int width, groups;
  candidate* best;  /* (rows, groups, width) */
  weight* weights;  /* (rows, groups) */
  /* (rows,): a score that `width` pieces are known to reach; whoever raises it late only loses time. */
  _Atomic float* floors;
  float* forced;    /* (rows,): score of the piece that must come */
  float* scores_of; /* (rows, spread(columns)) of the shortlist */
  int32_t* pieces;
  float* scores;
} choice;

static inline int is_better(float score, int32_t piece, candidate than) {
  return score > than.score || (score == than.score && piece < than.piece);
}

static void insert(candidate* best, int width, float score, int32_t piece) {
  if (!is_better(score, piece, best[width - 1])) return;
  int place = width - 1;
  for (; place > 0 && is_better(score, piece, best[place - 1]); place--) best[place] = best[place - 1];
  best[place] = (candidate){score, piece};
}

static void clear(candidate* best, int width) {
  for (int i = 0; i < width; i++) best[i] = (candidate){-INFINITY, INT32_MAX};
}

/* The best of scores x[0..n-1] that are not below `floor_of_row`; `pieces` are their numbers, or they count from
   `first`. */
static void find_best(const float* x, int n, const int32_t* pieces, int first, float floor_of_row, candidate* best,
                      int width) {
  for (int i = 0; i < n; i += LANES) {
    int some = n - i < LANES ? n - i : LANES;
    floats scores = some == LANES ? load(x + i) : load_some(x + i, some, -INFINITY);
    float reached = best[width - 1].score > floor_of_row ? best[width - 1].score : floor_of_row;
    if (!any(scores >= all(reached))) continue;
    for (int j = 0; j < some; j++) insert(best, width, x[i + j], pieces ? pieces[i + j] : first + i + j);
  }
}

/* The largest score and the sum of exponentials; x stays. */
static weight weigh(const float* x, int n) {
  floats high = all(-INFINITY), sum = {};
  int i = 0;
  for (; i + LANES <= n; i += LANES) high = larger(high, load(x + i));
  if (i < n) high = larger(high, load_some(x + i, n - i, -INFINITY));
  float most = largest_of(high);
  if (most == -INFINITY) return (weight){most, 0};
  for (i = 0; i + LANES <= n; i += LANES) sum += exps(load(x + i) - most);
  if (i < n) sum += exps(load_some(x + i, n - i, -INFINITY) - most);
  return (weight){most, sum_of(sum)};
}

static void forbid(float* x, int first, int n, int endless) {
  for (int piece = PAD; piece <= (endless ? END : BEGIN); piece++)
    if (piece >= first && piece < first + n) x[piece - first] = -INFINITY;
}

static void take_group(const choice* c, int row, int group, float* x) {
  const step_rows* rows = c->rows;
  int first = group * GROUP, n = c->n->vocabulary - first;
  if (n > GROUP) n = GROUP;
  size_t place = (size_t)row * c->groups + group;
  c->weights[place] = weigh(x, n);
  int forced = rows->forced[row];
  if (forced >= first && forced < first + n) c->forced[row] = x[forced - first];
  forbid(x, first, n, rows->endless[row]);
  candidate* best = c->best + place * c->width;
  clear(best, c->width);
  float floor_of_row = atomic_load_explicit(c->floors + row, memory_order_relaxed);
  find_best(x, n, 0, first, floor_of_row, best, c->width);
  if (best[c->width - 1].score > floor_of_row)
    atomic_store_explicit(c->floors + row, best[c->width - 1].score, memory_order_relaxed);
}

static void group_item(void* given, int group) {
  const choice* c = given;
  const matrix* m = &c->n->output;
  float scores[BLOCK_ROWS * GROUP];
  int panels = m->panels - group * GROUP_PANELS < GROUP_PANELS ? m->panels - group * GROUP_PANELS : GROUP_PANELS;
  for (int first = 0; first < c->x.rows; first += BLOCK_ROWS) {
    int count = c->x.rows - first < BLOCK_ROWS ? c->x.rows - first : BLOCK_ROWS;
    row_block rows_of = {m, &c->x, first, count};
    for (int panel = 0; panel < panels; panel++)
      panel_product(&rows_of, group * GROUP_PANELS + panel, first == 0 && panel + 1 < panels, scores + panel * PANEL,
                    GROUP);
    for (int row = 0; row < count; row++) take_group(c, first + row, group, scores + row * GROUP);
  }
}

static void answer(const choice* c, int row, weight all_of, const candidate* best) {
  int width = c->width;
  float whole = all_of.most + logf(all_of.sum);
  int forced = c->rows->forced[row];
  for (int i = 0; i < width; i++) {
    int none = forced >= 0 ? i > 0 : best[i].score == -INFINITY;
    float score = forced >= 0 ? c->forced[row] : best[i].score;
    c->pieces[(size_t)row * width + i] = none ? END : forced >= 0 ? forced : best[i].piece;
    c->scores[(size_t)row * width + i] = none ? -INFINITY : score - whole;
  }
}

static void join_item(void* given, int row) {
  const choice* c = given;
  const weight* parts = c->weights + (size_t)row * c->groups;
  candidate best[c->width];
  weight all_of = {-INFINITY, 0};
  clear(best, c->width);
  for (int group = 0; group < c->groups; group++)
    if (parts[group].most > all_of.most) all_of.most = parts[group].most;
  for (int group = 0; group < c->groups; group++) {
    const candidate* of_group = c->best + ((size_t)row * c->groups + group) * c->width;
    if (parts[group].sum > 0) all_of.sum += parts[group].sum * expf(parts[group].most - all_of.most);
    for (int i = 0; i < c->width && is_better(of_group[i].score, of_group[i].piece, best[c->width - 1]); i++)
      insert(best, c->width, of_group[i].score, of_group[i].piece);
  }
  answer(c, row, all_of, best);
}

static void shortlist_item(void* given, int row) {
  const choice* c = given;
  const segment* s = c->rows->segments[row];
  if (!s->allowed) return;
  const float* of_row = c->scores_of + (size_t)row * spread(c->n->chosen.output.outputs);
  int forced = c->rows->forced[row];
  /* A list of nothing but END ends: that is better than no translation. */
  int endless = c->rows->endless[row] && s->pieces[s->allowed - 1] > END;
  float own[s->allowed];
  candidate best[c->width];
  clear(best, c->width);
  c->forced[row] = -INFINITY;
  for (int i = 0; i < s->allowed; i++) {
    own[i] = of_row[s->places[i]];
    if (s->pieces[i] == forced) c->forced[row] = own[i];
  }
  weight all_of = weigh(own, s->allowed);
  for (int i = 0; i < s->allowed && s->pieces[i] <= END; i++)
    if (s->pieces[i] < END || endless) own[i] = -INFINITY;
  find_best(own, s->allowed, s->pieces, 0, -INFINITY, best, c->width);
  answer(c, row, all_of, best);
}

static int choose_of_all(choice* c) {
  c->groups = (c->n->output.panels + GROUP_PANELS - 1) / GROUP_PANELS;
  size_t parts = (size_t)c->x.rows * c->groups;
  c->best = malloc(parts * c->width * sizeof *c->best);
  c->weights = malloc(parts * sizeof *c->weights);
  c->floors = malloc(c->x.rows * sizeof *c->floors);
  int failed = !c->best || !c->weights || !c->floors;
  if (!failed) {
    for (int row = 0; row < c->x.rows; row++) atomic_init(c->floors + row, -INFINITY);
    pool_run(c->n->threads, group_item, c, c->groups);
    pool_run(c->n->threads, join_item, c, c->x.rows);
  }
  free(c->best), free(c->weights), free((void*)c->floors);
  return failed ? -1 : 0;
}

static int choose_of_shortlists(choice* c) {
  const matrix* m = &c->n->chosen.output;
  c->scores_of = malloc(4 * (size_t)c->x.rows * spread(m->outputs));
  if (!c->scores_of) return -1;
  product(c->n->threads, m, &c->x, NOTHING, c->scores_of);
  pool_run(c->n->threads, shortlist_item, c, c->x.rows);
  free(c->scores_of);
  return 0;
}

int choose(network* n, const step_rows* rows, operand x, int width, int32_t* pieces, float* scores) {
  int with_shortlist = 0, failed = 0;
  for (int row = 0; row < rows->rows; row++) with_shortlist += rows->segments[row]->allowed > 0;
  float* forced = malloc(4 * (size_t)rows->rows);
  if (!forced) return -1;
  choice c = {.n = n, .rows = rows, .x = x, .width = width, .forced = forced, .pieces = pieces, .scores = scores};
  /* Where both kinds run together, all rows take both ways: that is rare. */
  if (with_shortlist < rows->rows) failed = choose_of_all(&c);
  if (!failed && with_shortlist) failed = choose_of_shortlists(&c);
  free(forced);
  return failed;
}
