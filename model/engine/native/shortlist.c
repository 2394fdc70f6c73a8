/* The columns of the output layer that the open segments with a shortlist use, laid together. A column that nobody
   uses any more stays until half of them are such: it costs a little arithmetic and changes no result. */
#include <stdlib.h>

#include "network.h"

enum { FIRST_ROOM = 1024 };

static int grow(network* n, int room) {
  selection* c = &n->chosen;
  matrix larger_one;
  if (matrix_like(&larger_one, &n->output, room)) {
    matrix_free(&larger_one);
    return -1;
  }
  int32_t* pieces = realloc(c->pieces, 4 * (size_t)room);
  if (!pieces) {
    matrix_free(&larger_one);
    return -1;
  }
  c->pieces = pieces;
  for (int i = 0; i < c->count; i++) matrix_append(&larger_one, &n->output, c->pieces[i]);
  matrix_free(&c->output);
  c->output = larger_one;
  c->room = room;
  return 0;
}

static int place_all(network* n, segment* s) {
  selection* c = &n->chosen;
  for (int i = 0; i < s->allowed; i++) {
    int piece = s->pieces[i];
    if (c->place_of[piece] < 0) {
      if (c->count == c->room && grow(n, c->room ? 2 * c->room : FIRST_ROOM)) {
        s->allowed = i; /* What is placed so far is what will be dropped. */
        return -1;
      }
      matrix_append(&c->output, &n->output, piece);
      c->place_of[piece] = c->count;
      c->pieces[c->count++] = piece;
    } else if (!c->uses[piece]) {
      c->stale--;
    }
    c->uses[piece]++;
    s->places[i] = c->place_of[piece];
  }
  return 0;
}

static int start_anew(network* n) {
  selection* c = &n->chosen;
  for (int i = 0; i < c->count; i++) c->place_of[c->pieces[i]] = -1, c->uses[c->pieces[i]] = 0;
  c->count = c->stale = c->output.outputs = c->output.panels = 0;
  for (segment* s = n->open.after; s != &n->open; s = s->after)
    if (place_all(n, s)) return -1;
  return 0;
}

int selection_add(network* n, segment* s) {
  selection* c = &n->chosen;
  if (!c->uses) {
    c->uses = calloc((size_t)n->vocabulary, 4);
    c->place_of = malloc(4 * (size_t)n->vocabulary);
    if (!c->uses || !c->place_of) return -1;
    for (int i = 0; i < n->vocabulary; i++) c->place_of[i] = -1;
  }
  /* The segment is among the open ones already. */
  return 2 * c->stale > c->count ? start_anew(n) : place_all(n, s);
}

void selection_drop(network* n, segment* s) {
  selection* c = &n->chosen;
  for (int i = 0; i < s->allowed; i++)
    if (!--c->uses[s->pieces[i]]) c->stale++;
}
