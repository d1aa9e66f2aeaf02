/* What the io_uring backend uses of the kernel that a kernel may lack: a bit for each.
 *
 * io_select finds out once which of them work; what an io does without is told to it in its config.
 * So a server, or a test, can have any subset. Without one that is needed there is no ring, and the
 * choice is epoll; for each of the others the backend has a lower path of its own.
 */
#ifndef BERTH_IO_FEATURE_H
#define BERTH_IO_FEATURE_H

#include <stdbool.h>
#include <stdint.h>

/* Name of the bit, its text, whether the ring needs it, the first kernel that has it.
 *
 *  buffer_ring        receive buffers are given to the kernel through memory
 *  submit_all         an operation that makes no sense does not hold up those behind it
 *  ring_fd            an enter need not look up the ring's descriptor
 *  single_issuer      the kernel refuses other threads, and knows that there are none
 *  defer_taskrun      the kernel does its part when the worker asks for events, and not between;
 *                     needs single_issuer
 *  multishot_receive  a receive goes on until it ends
 *  quick_send         a send that took all has no event, one that did not says how much
 *
 * Where it is not clear which of several is at fault, the last of them is. */
#define IO_FEATURES(X)                                                                             \
    X(BUFFER_RING, "buffer_ring", true, "5.19")                                                    \
    X(SUBMIT_ALL, "submit_all", false, "5.18")                                                     \
    X(RING_FD, "ring_fd", false, "5.18")                                                           \
    X(SINGLE_ISSUER, "single_issuer", false, "6.0")                                                \
    X(DEFER_TASKRUN, "defer_taskrun", false, "6.1")                                                \
    X(MULTISHOT_RECEIVE, "multishot_receive", false, "6.0")                                        \
    X(QUICK_SEND, "quick_send", false, "5.17")

enum io_feature_place {
#define IO_FEATURE_PLACE(id, name, needed, since) IO_PLACE_##id,
    IO_FEATURES(IO_FEATURE_PLACE)
#undef IO_FEATURE_PLACE
        IO_FEATURES_COUNT
};

enum io_feature {
#define IO_FEATURE_BIT(id, name, needed, since) IO_FEATURE_##id = 1u << IO_PLACE_##id,
    IO_FEATURES(IO_FEATURE_BIT)
#undef IO_FEATURE_BIT
};

#define IO_FEATURES_ALL ((1u << IO_FEATURES_COUNT) - 1)

/* What the ring cannot do without. */
#define IO_FEATURE_NEED(id, name, needed, since) | ((needed) ? IO_FEATURE_##id : 0u)
#define IO_FEATURES_NEEDED                       (0u IO_FEATURES(IO_FEATURE_NEED))

/* The text of one bit. */
const char *io_feature_name(enum io_feature feature);

#endif
