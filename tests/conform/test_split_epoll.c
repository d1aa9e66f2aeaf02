/* Any split, on epoll: help_split.c says what is tried. */
#include "conform/help_split.h"

int main(void)
{
    return split_run(BERTH_BACKEND_EPOLL);
}
