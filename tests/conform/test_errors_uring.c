/* F11, every listed error of every operation, on uring: help_errors.c says what is tried. */
#include "conform/help_errors.h"

int main(void)
{
    return errors_run(&io_backend_uring);
}
