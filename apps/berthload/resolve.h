/* Names to addresses, before anything starts. */
#ifndef BERTHLOAD_RESOLVE_H
#define BERTHLOAD_RESOLVE_H

#include <stdbool.h>
#include <stddef.h>

#include <berth/address.h>

/* More addresses of one name than this are not tried. */
#define ADDRESSES_MAX 16

struct addresses {
    size_t count;
    struct berth_address list[ADDRESSES_MAX]; /* in the order to try them in */
};

/* Looks a host up; may take seconds. On failure *why is a static text. */
bool resolve(const char *host, const char *port, struct addresses *out, const char **why);

#endif
