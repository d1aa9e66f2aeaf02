/* Framings written in one line, for the tables of the tests of src/wire. */
#ifndef BERTH_TESTS_UNIT_FRAMINGS_H
#define BERTH_TESTS_UNIT_FRAMINGS_H

#include <berth/frame.h>

#define LENGTH(width, max, ...)                                                                    \
    {                                                                                              \
        .kind = BERTH_FRAMING_LENGTH, .length_bytes = (width), .message_bytes_max = (max),         \
        __VA_ARGS__                                                                                \
    }
#define VARINT(max, ...)                                                                           \
    {                                                                                              \
        .kind = BERTH_FRAMING_VARINT, .message_bytes_max = (max), __VA_ARGS__                      \
    }
#define DELIMITER(text, max, ...)                                                                  \
    {                                                                                              \
        .kind = BERTH_FRAMING_DELIMITER, .message_bytes_max = (max), .delimiter = text,            \
        .delimiter_bytes = sizeof(text) - 1, __VA_ARGS__                                           \
    }
#define FIXED(max)                                                                                 \
    {                                                                                              \
        .kind = BERTH_FRAMING_FIXED, .message_bytes_max = (max)                                    \
    }
/* A literal, which may hold zeros, and its bytes. */
#define BYTES(text) text, sizeof(text) - 1

#endif
