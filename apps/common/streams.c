/* The standard streams: one operation, a few system calls at the start. It owns nothing. */
#include "common/streams.h"

#include <fcntl.h>
#include <signal.h>
#include <stddef.h>
#include <unistd.h>

void streams_settle(void)
{
    struct sigaction ignore = {.sa_handler = SIG_IGN};
    sigaction(SIGPIPE, &ignore, NULL);
    for (int stream = STDIN_FILENO; stream <= STDERR_FILENO; stream++) {
        if (fcntl(stream, F_GETFD) < 0) {
            (void)!open("/dev/null", O_RDWR); /* takes the lowest number, which is this one */
        }
    }
}
