/* What is counted while messages run: one tally a worker, merged when all have ended. Nothing is
 * owned here; a tally is 62 KiB, most of it a histogram. Counting is a plain addition, merging
 * O(buckets). */
#include "tally.h"

const char *cause_text(uint32_t cause)
{
    switch (cause) {
    case CAUSE_WRONG:
        return "a wrong reply";
    case CAUSE_SEND:
        return "a message could not be sent";
    case CAUSE_SIGNAL:
        return "the run was interrupted";
    case CAUSE_SILENCE:
        return "no answer came within --answer-timeout";
    case CAUSE_TIMEOUT:
        return "the run took longer than --timeout";
    case CAUSE_STOP:
        return "the run was stopped";
    case CAUSE_CLOSE:
        return "the run was closed";
    case CAUSE_LEDGER:
        return "the ledger could not be written";
    default:
        return berth_reason_text((enum berth_reason)cause);
    }
}

void tally_merge(struct tally *into, const struct tally *from)
{
    tally_add(&into->sent, tally_read(&from->sent));
    tally_add(&into->right, tally_read(&from->right));
    tally_add(&into->sent_bytes, tally_read(&from->sent_bytes));
    tally_add(&into->right_bytes, tally_read(&from->right_bytes));
    into->right_frame_bytes += from->right_frame_bytes;
    into->made += from->made;
    into->failed += from->failed;
    into->unbegun += from->unbegun;
    into->retries += from->retries;
    into->firsts += from->firsts;
    into->first_sent_bytes += from->first_sent_bytes;
    into->first_right_bytes += from->first_right_bytes;
    into->idle_lost += from->idle_lost;
    into->wrong += from->wrong;
    for (uint32_t i = 0; i < CAUSES; i++) {
        into->lost[i].connections += from->lost[i].connections;
        into->lost[i].messages += from->lost[i].messages;
    }
    account_totals_merge(&into->account, &from->account);
    histogram_merge(&into->latency, &from->latency);
}
