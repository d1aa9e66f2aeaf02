/* Custom framings: what the library makes of what an application's decoder says, and the
 * assertions that stop a program whose decoder, or whose call, is a programmer's mistake.
 */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>

#include <cmocka.h>

#include <berth/frame.h>

#include <signal.h>
#include <stdio.h>
#include <string.h>
#include <sys/resource.h>
#include <sys/wait.h>
#include <unistd.h>

#include "unit/framings.h"

/* A decoder that says what it is told to, and notes what it is asked. */
struct custom_script {
    struct berth_frame frame;
    enum berth_frame_verdict verdict;
    int calls;
    size_t scanned_seen;
};

static enum berth_frame_verdict scripted_decode(void *context, const uint8_t *bytes, size_t count,
                                                size_t *scanned, struct berth_frame *frame)
{
    struct custom_script *script = context;
    assert_true(count > 0);
    assert_non_null(bytes);
    script->calls++;
    script->scanned_seen = *scanned;
    *scanned = count;
    *frame = script->frame;
    return script->verdict;
}

static size_t scripted_header(void *context, uint32_t message_bytes, uint8_t *header)
{
    (void)context;
    header[0] = '#';
    header[1] = (uint8_t)message_bytes;
    return 2;
}

enum { MAX = 10, LONGEST = MAX + 2 * BERTH_HEADER_BYTES_MAX };

/* What the decoder says, and what becomes of it. */
static const struct {
    const char *name;
    enum berth_frame_verdict said;
    struct berth_frame frame;
    bool refuse_empty;
    enum berth_frame_verdict verdict;
    uint32_t need;
    enum berth_refusal refusal;
    uint64_t value;
    const char *field;
} said[] = {
    {"ready", BERTH_FRAME_READY, {2, 3, 1, .refusal = 0}, false, BERTH_FRAME_READY, 6, 0, 0, ""},
    {"ready, but not whole",
     BERTH_FRAME_READY,
     {2, 4, 1, .refusal = 0},
     false,
     BERTH_FRAME_NEED,
     7,
     0,
     0,
     ""},
    {"above",
     BERTH_FRAME_READY,
     {2, 11, 0, .refusal = 0},
     false,
     BERTH_FRAME_BAD,
     0,
     BERTH_REFUSED_ABOVE_MAX,
     11,
     "ab"},
    {"far above",
     BERTH_FRAME_READY,
     {64, UINT32_MAX, 0, .refusal = 0},
     false,
     BERTH_FRAME_BAD,
     0,
     BERTH_REFUSED_ABOVE_MAX,
     UINT32_MAX,
     "abcdef"},
    {"empty", BERTH_FRAME_READY, {2, 0, 1, .refusal = 0}, false, BERTH_FRAME_READY, 3, 0, 0, ""},
    {"empty refused",
     BERTH_FRAME_READY,
     {2, 0, 1, .refusal = 0},
     true,
     BERTH_FRAME_BAD,
     0,
     BERTH_REFUSED_EMPTY,
     0,
     "ab"},
    {"need", BERTH_FRAME_NEED, {.need_bytes = 9}, false, BERTH_FRAME_NEED, 9, 0, 0, ""},
    {"need, no number", BERTH_FRAME_NEED, {.need_bytes = 0}, false, BERTH_FRAME_NEED, 7, 0, 0, ""},
    {"need, the longest",
     BERTH_FRAME_NEED,
     {.need_bytes = LONGEST},
     false,
     BERTH_FRAME_NEED,
     LONGEST,
     0,
     0,
     ""},
    {"need too much",
     BERTH_FRAME_NEED,
     {.need_bytes = LONGEST + 1},
     false,
     BERTH_FRAME_BAD,
     0,
     BERTH_REFUSED_ABOVE_MAX,
     LONGEST + 1,
     "abcdef"},
    {"need too much, and shown",
     BERTH_FRAME_NEED,
     {.need_bytes = UINT32_MAX, .field = "zz", .field_bytes = 2},
     false,
     BERTH_FRAME_BAD,
     0,
     BERTH_REFUSED_ABOVE_MAX,
     UINT32_MAX,
     "zz"},
    {"bad",
     BERTH_FRAME_BAD,
     {.value = 5},
     false,
     BERTH_FRAME_BAD,
     0,
     BERTH_REFUSED_CUSTOM,
     5,
     "abcdef"},
    {"bad, with a reason",
     BERTH_FRAME_BAD,
     {.refusal = BERTH_REFUSED_VARINT, .field = "xyz", .field_bytes = 3},
     false,
     BERTH_FRAME_BAD,
     0,
     BERTH_REFUSED_VARINT,
     0,
     "xyz"},
};

static void custom_verdicts(void **state)
{
    (void)state;
    for (size_t i = 0; i < sizeof said / sizeof said[0]; i++) {
        struct custom_script script = {.frame = said[i].frame, .verdict = said[i].said};
        const struct berth_framing framing = {
            .kind = BERTH_FRAMING_CUSTOM,
            .message_bytes_max = MAX,
            .refuse_empty = said[i].refuse_empty,
            .custom_decode = scripted_decode,
            .custom_header = scripted_header,
            .custom_context = &script,
        };
        struct berth_frame frame;
        size_t scanned = 4;
        enum berth_frame_verdict verdict =
            berth_frame_decode(&framing, (const uint8_t *)"abcdef", 6, &scanned, &frame);
        bool same = verdict == said[i].verdict && frame.refusal == said[i].refusal &&
                    frame.need_bytes == said[i].need && frame.value == said[i].value;
        if (verdict == BERTH_FRAME_BAD) {
            same = same && frame.field_bytes == strlen(said[i].field) &&
                   memcmp(frame.field, said[i].field, frame.field_bytes) == 0;
        }
        if (!same) {
            print_message("%s: verdict %d need %u refusal %d field %u bytes\n", said[i].name,
                          verdict, frame.need_bytes, frame.refusal, frame.field_bytes);
        }
        assert_true(same);
        assert_int_equal(script.scanned_seen, 4);
        assert_int_equal(scanned, 6);
    }
}

static struct berth_framing scripted(struct custom_script *script)
{
    return (struct berth_framing){
        .kind = BERTH_FRAMING_CUSTOM,
        .message_bytes_max = 10,
        .custom_decode = scripted_decode,
        .custom_header = scripted_header,
        .custom_context = script,
    };
}

static void custom_refusals_show_16_bytes(void **state)
{
    (void)state;
    struct custom_script script = {.verdict = BERTH_FRAME_BAD};
    const struct berth_framing framing = scripted(&script);
    size_t scanned = 0;
    struct berth_frame frame;
    assert_int_equal(
        berth_frame_decode(&framing, (const uint8_t *)"0123456789abcdefgh", 18, &scanned, &frame),
        BERTH_FRAME_BAD);
    assert_int_equal(frame.field_bytes, 16);
    assert_memory_equal(frame.field, "0123456789abcdef", 16);
}

static void custom_is_not_asked_about_nothing(void **state)
{
    (void)state;
    struct custom_script script = {.frame = {1, 1, 0, .refusal = 0}, .verdict = BERTH_FRAME_READY};
    const struct berth_framing framing = scripted(&script);
    size_t scanned = 0, consumed;
    struct berth_message messages[4];
    struct berth_frame frame;
    enum berth_frame_verdict verdict;
    assert_int_equal(
        berth_frame_cut(&framing, NULL, 0, &scanned, messages, 4, &consumed, &frame, &verdict), 0);
    assert_int_equal(verdict, BERTH_FRAME_NEED);
    assert_int_equal(frame.need_bytes, 1);
    assert_int_equal(consumed, 0);
    assert_int_equal(script.calls, 0);
}

static void custom_frames_are_cut(void **state)
{
    (void)state;
    struct custom_script script = {.frame = {1, 1, 1, .refusal = 0}, .verdict = BERTH_FRAME_READY};
    const struct berth_framing framing = scripted(&script);
    const uint8_t *bytes = (const uint8_t *)"#a;#b;#c";
    size_t scanned = 5, consumed;
    struct berth_message messages[4];
    struct berth_frame frame;
    enum berth_frame_verdict verdict;
    size_t cut =
        berth_frame_cut(&framing, bytes, 8, &scanned, messages, 4, &consumed, &frame, &verdict);
    assert_int_equal(cut, 2);
    assert_ptr_equal(messages[1].data, bytes + 4);
    assert_int_equal(messages[1].size, 1);
    assert_int_equal(messages[1].header_bytes, 1);
    assert_int_equal(consumed, 6);
    assert_int_equal(verdict, BERTH_FRAME_NEED);
    assert_int_equal(frame.need_bytes, 3);
    /* Each message is one call, a new frame begins with 0, and what the last call left is kept. */
    assert_int_equal(script.calls, 3);
    assert_int_equal(script.scanned_seen, 0);
    assert_int_equal(scanned, 2);

    script.calls = 0;
    cut = berth_frame_cut(&framing, bytes, 8, &scanned, messages, 1, &consumed, &frame, &verdict);
    assert_int_equal(cut, 1);
    assert_int_equal(consumed, 3);
    assert_int_equal(verdict, BERTH_FRAME_READY);
    assert_int_equal(script.calls, 2);
}

static void custom_header_is_written(void **state)
{
    (void)state;
    struct custom_script script = {.calls = 0};
    struct berth_framing framing = scripted(&script);
    uint8_t header[BERTH_HEADER_BYTES_MAX];
    assert_int_equal(berth_frame_header(&framing, 7, header), 2);
    assert_memory_equal(header, "#\7", 2);
    assert_int_equal(berth_frame_header(&framing, 11, header), 2);
    assert_int_equal(berth_frame_header(&framing, BERTH_MESSAGE_BYTES_LIMIT + 1, header),
                     BERTH_E_TOO_LARGE);
    framing.refuse_empty = true;
    assert_int_equal(berth_frame_header(&framing, 0, header), BERTH_E_FRAME);
    assert_int_equal(berth_frame_message_check(&framing, header, 10), BERTH_OK);
    assert_int_equal(berth_frame_message_check(&framing, header, 0), BERTH_E_FRAME);
}

/* ---- a programmer's mistakes ---- */

static size_t long_header(void *context, uint32_t message_bytes, uint8_t *header)
{
    (void)context, (void)message_bytes, (void)header;
    return BERTH_HEADER_BYTES_MAX + 1;
}

/* Runs in a child; returns only if no assertion stopped it. */
static void make_mistake(int mistake)
{
    struct custom_script script = {.verdict = BERTH_FRAME_READY};
    struct berth_framing framing = {
        .kind = BERTH_FRAMING_CUSTOM,
        .message_bytes_max = 10,
        .custom_decode = scripted_decode,
        .custom_header = long_header,
        .custom_context = &script,
    };
    struct berth_framing lines = DELIMITER("\n", 9);
    uint8_t room[2 * BERTH_HEADER_BYTES_MAX];
    struct berth_frame frame;
    size_t scanned = 0;
    switch (mistake) {
    case 0: /* a header that is too long */
        script.frame.header_bytes = BERTH_HEADER_BYTES_MAX + 1;
        break;
    case 1: /* a trailer that is too long */
        script.frame.trailer_bytes = BERTH_HEADER_BYTES_MAX + 1;
        break;
    case 2: /* a frame of nothing */
        break;
    case 3: /* a field that is longer than its room */
        script.frame.field_bytes = 17;
        break;
    case 4: /* a verdict that is none */
        script.verdict = (enum berth_frame_verdict)7;
        break;
    case 5: /* an encoder's header that is too long */
        berth_frame_header(&framing, 1, room);
        return;
    case 6: /* a kind that is none */
        framing.kind = (enum berth_framing_kind)0;
        break;
    case 7: /* scanned, but of another front */
        framing = lines;
        scanned = 3;
        break;
    default: /* a width that is none */
        framing = (struct berth_framing)LENGTH(3, 9);
        break;
    }
    berth_frame_decode(&framing, (const uint8_t *)"ab", 2, &scanned, &frame);
    berth_frame_decode(&framing, (const uint8_t *)"abcdefgh", 8, &scanned, &frame);
}

static void mistakes_stop_the_program(void **state)
{
    (void)state;
    enum { MISTAKES = 9 };
    for (int mistake = 0; mistake < MISTAKES; mistake++) {
        pid_t child = fork();
        assert_true(child >= 0);
        if (child == 0) {
            signal(SIGABRT, SIG_DFL);
            setrlimit(RLIMIT_CORE, &(struct rlimit){0, 0});
            if (freopen("/dev/null", "w", stderr) == NULL) {
                _exit(1);
            }
            make_mistake(mistake);
            _exit(0);
        }
        int status;
        assert_int_equal(waitpid(child, &status, 0), child);
        if (!WIFSIGNALED(status)) {
            print_message("mistake %d was not noticed\n", mistake);
        }
        assert_true(WIFSIGNALED(status));
        assert_int_equal(WTERMSIG(status), SIGABRT);
    }
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(custom_verdicts),
        cmocka_unit_test(custom_refusals_show_16_bytes),
        cmocka_unit_test(custom_is_not_asked_about_nothing),
        cmocka_unit_test(custom_frames_are_cut),
        cmocka_unit_test(custom_header_is_written),
        cmocka_unit_test(mistakes_stop_the_program),
    };
    return cmocka_run_group_tests_name("wire.custom", tests, NULL, NULL);
}
