/* The mailbox: put from any thread, take all at once, close.
 *
 * A stack through the letters themselves: a put is one compare and exchange of its top, a take one
 * exchange and a turn-round, so that letters of one thread come out in the order in which it put
 * them in. Nothing is ever popped singly, so no letter's address can come back between a look and
 * an exchange. The letters belong to who put them until they are taken; the box owns nothing.
 *
 * The operations on `top` are sequentially consistent, because who puts then looks whether the
 * taker sleeps, and who wants to sleep says so and then looks into the box: one of the two must see
 * the other (core/worker.c).
 */
#include "ds/mailbox.h"

/* What a closed mailbox holds; never a letter. */
static struct mail closed;

bool mailbox_put(struct mailbox *box, struct mail *mail)
{
    struct mail *top = atomic_load_explicit(&box->top, memory_order_relaxed);
    do {
        if (top == &closed) {
            return false;
        }
        mail->next = top;
    } while (!atomic_compare_exchange_weak(&box->top, &top, mail));
    return true;
}

static struct mail *turned_round(struct mail *last)
{
    struct mail *first = NULL;
    while (last != NULL) {
        struct mail *before = last->next;
        last->next = first;
        first = last;
        last = before;
    }
    return first;
}

struct mail *mailbox_take(struct mailbox *box)
{
    if (mailbox_is_empty(box)) {
        return NULL;
    }
    return turned_round(atomic_exchange(&box->top, NULL));
}

struct mail *mailbox_close(struct mailbox *box)
{
    struct mail *last = atomic_exchange(&box->top, &closed);
    return last == &closed ? NULL : turned_round(last);
}
