/* The mailbox: order of one thread, nothing lost or doubled between many, and the end. */
#include "ds/mailbox.h"

#include <pthread.h>
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>

#include <cmocka.h>

#define THREADS 4
#define EACH    50000

struct letter {
    struct mail mail;
    uint32_t thread;
    uint32_t number;
};

static struct letter letters[THREADS][EACH];
static struct mailbox the_box;

static void one_thread_keeps_its_order(void **state)
{
    (void)state;
    struct mailbox box = {NULL};
    struct letter l[3] = {{.number = 0}, {.number = 1}, {.number = 2}};
    assert_null(mailbox_take(&box));
    for (unsigned i = 0; i < 3; i++) {
        assert_true(mailbox_put(&box, &l[i].mail));
    }
    assert_false(mailbox_is_empty(&box));
    const struct mail *mail = mailbox_take(&box);
    for (unsigned i = 0; i < 3; i++, mail = mail->next) {
        assert_ptr_equal(mail, &l[i].mail);
    }
    assert_null(mail);
    assert_true(mailbox_is_empty(&box));
}

static void a_closed_box_takes_nothing(void **state)
{
    (void)state;
    struct mailbox box = {NULL};
    struct letter first = {0};
    struct letter second = {0};
    assert_true(mailbox_put(&box, &first.mail));
    assert_ptr_equal(mailbox_close(&box), &first.mail);
    assert_false(mailbox_put(&box, &second.mail));
    assert_null(mailbox_close(&box));
}

static void *put_all(void *argument)
{
    uint32_t thread = *(const uint32_t *)argument;
    for (uint32_t i = 0; i < EACH; i++) {
        letters[thread][i] = (struct letter){.thread = thread, .number = i};
        mailbox_put(&the_box, &letters[thread][i].mail);
    }
    return NULL;
}

static void many_threads_lose_nothing(void **state)
{
    (void)state;
    pthread_t threads[THREADS];
    uint32_t numbers[THREADS];
    uint32_t next[THREADS] = {0};
    for (uint32_t i = 0; i < THREADS; i++) {
        numbers[i] = i;
        assert_int_equal(pthread_create(&threads[i], NULL, put_all, &numbers[i]), 0);
    }
    uint32_t taken = 0;
    while (taken < THREADS * EACH) {
        for (const struct mail *mail = mailbox_take(&the_box); mail != NULL; mail = mail->next) {
            const struct letter *letter = (const struct letter *)(const void *)mail;
            assert_int_equal(letter->number, next[letter->thread]);
            next[letter->thread]++;
            taken++;
        }
    }
    for (uint32_t i = 0; i < THREADS; i++) {
        pthread_join(threads[i], NULL);
    }
    assert_null(mailbox_take(&the_box));
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(one_thread_keeps_its_order),
        cmocka_unit_test(a_closed_box_takes_nothing),
        cmocka_unit_test(many_threads_lose_nothing),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
