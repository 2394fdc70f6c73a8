/* A few threads that share the items of one loop at a time. */
#ifndef DRAGOMAN_POOL_H
#define DRAGOMAN_POOL_H

typedef struct pool pool;
typedef void (*loop_body)(void* context, int item);

pool* pool_open(int threads);
void pool_close(pool* p);
int pool_threads(const pool* p);
/* body(context, item) for every item from 0 to items - 1, in any order, on all threads; returns when all are done. */
void pool_run(pool* p, loop_body body, void* context, int items);

#endif
