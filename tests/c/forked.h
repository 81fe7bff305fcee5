/* Forked children. */
#ifndef FORKED_H
#define FORKED_H

#include "refused.h"

/* The allocator of the address sanitizer is not prepared for fork before GCC 14: a child may inherit a lock of it
 * that is held by a thread that the child does not have. The thread sanitizer ends a child that starts one. */
#ifdef __SANITIZE_THREAD__
static const int a_child_may_have_threads = 0;
#else
static const int a_child_may_have_threads = 1;
#endif
#if (defined(__SANITIZE_ADDRESS__) && __GNUC__ < 14) || defined(__SANITIZE_THREAD__)
static const int allocator_is_prepared = 0;
#else
static const int allocator_is_prepared = 1;
#endif

/* In a child: a node of its own works, and is refused after it was freed. */
static inline void make_a_node_and_exit(void) {
    caster_node_t *own;
    alarm(20);
    own = make_node("{}");
    OK(caster_node_up(own));
    OK(caster_node_send_text(own, "from the child", NULL));
    caster_node_free(own);
    FAILS(CASTER_ERR_INVALID_ARGUMENT, "freed", caster_node_up(own));
    _exit(0);
}

#endif
