/* Shares rows among the threads that torch has. */

#ifndef QSTAR_THREADS_H
#define QSTAR_THREADS_H

/* GOMP_parallel of the OpenMP that torch uses. */
typedef void (*Parallel)(void (*)(void *), void *, unsigned, unsigned);

typedef struct {
    void (*run_row)(const void *arguments, int row);
    const void *arguments;
    int count, next;
} Rows;

/* What each thread does: takes rows until none is left. */
static void take_rows(void *argument)
{
    Rows *rows = argument;
    for (;;) {
        int next = __atomic_fetch_add(&rows->next, 1, __ATOMIC_RELAXED);
        if (next >= rows->count)
            return;
        rows->run_row(rows->arguments, next);
    }
}

/* parallel: NULL for one thread. */
static void run_rows(void (*run_row)(const void *, int), const void *arguments, int count,
                     int num_threads, Parallel parallel)
{
    Rows rows = {run_row, arguments, count, 0};
    if (parallel == 0 || num_threads <= 1)
        take_rows(&rows);
    else
        parallel(take_rows, &rows, num_threads, 0);
}

#endif
