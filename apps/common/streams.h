/* The standard streams of a program that may outlive whoever started it. */
#ifndef COMMON_STREAMS_H
#define COMMON_STREAMS_H

/* Call it first in main. A standard stream that came closed becomes /dev/null: otherwise the next
 * socket would get its number, and be written to as if it were the output. A reader that goes away
 * ends nothing: writing to it is then an error, and no signal. */
void streams_settle(void);

#endif
