/* SPDX-License-Identifier: Apache-2.0 */
#include "counts.h"

#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "latency.h"
#include "timers.h"

static json_t *by_method;
static json_t *darkness;                      /* of each time: {address, lit, begin_ms, ms, calls} */
static const struct em_call_count *in_effect; /* whose operation changes something just now */
static unsigned long totals[4];               /* by enum em_group */
static unsigned ended, changing_ended;        /* deepest call that was answered, change that was done */
static unsigned longest, changing_longest;
static unsigned waited_ended, changes_done, counting_round;
static json_t *waited_chain;                           /* of each depth the method that was first done there */
static json_t *waited_reads;                           /* what -> [changes done before it, depth] */
static unsigned long modelled_ended, modelled_longest; /* as that chain, in milliseconds of realistic latency */

static void note_in_the_dark(const struct em_method *method)
{
    json_t *one;
    size_t i;

    json_array_foreach(darkness, i, one)
    {
        if (!em_true(one, "lit")) {
            json_array_append_new(json_object_get(one, "calls"), json_string(method->id));
        }
    }
}

void em_counts_effect(const struct em_call_count *call)
{
    in_effect = call;
}

/* Depths grow by one: a call is one deeper than what was done when it began. */
static void waited_done(const struct em_call_count *call)
{
    if (call->waited_depth > waited_ended) {
        waited_ended = call->waited_depth;
        if (waited_chain == NULL) {
            waited_chain = json_array();
        }
        json_array_append_new(waited_chain, json_string(call->method->id));
    }
}

static unsigned waited_depth(const struct em_method *method, const char *what)
{
    json_int_t before = 0, depth = 0;

    if (method->group == EM_OPERATION_READ) {
        return 0;
    }
    if (method->group == EM_CHANGE) {
        return waited_ended + 1;
    }
    if (waited_reads == NULL) {
        waited_reads = json_object();
    }
    if (json_unpack(json_object_get(waited_reads, what), "[II]", &before, &depth) != 0 || before != changes_done) {
        depth = waited_ended + 1;
        json_object_set_new(waited_reads, what, json_pack("[II]", (json_int_t)changes_done, depth));
    }
    return (unsigned)depth;
}

void em_counts_done(const struct em_call_count *call)
{
    if (call->round != counting_round) {
        return;
    }
    changes_done++;
    waited_done(call);
    if (call->changing_depth > changing_ended) {
        changing_ended = call->changing_depth;
    }
    if (call->modelled_ms > modelled_ended) {
        modelled_ended = call->modelled_ms;
    }
}

void em_counts_dark(const char *address, bool dark)
{
    json_t *one;
    size_t i;

    if (darkness == NULL) {
        darkness = json_array();
    }
    if (dark) {
        json_array_append_new(darkness, json_pack("{s:s,s:b,s:I,s:[s*]}", "address", address, "lit", 0, "begin_ms",
                                                  (json_int_t)em_now_ms(), "calls",
                                                  in_effect == NULL ? NULL : in_effect->method->id));
        return;
    }
    json_array_foreach(darkness, i, one)
    {
        if (!em_true(one, "lit") && strcmp(em_text(one, "address"), address) == 0) {
            json_object_set_new(one, "lit", json_true());
            em_set_number(one, "ms", (long long)em_now_ms() - em_number(one, "begin_ms", 0));
        }
    }
}

void em_counts_begin(struct em_call_count *call, const struct em_method *method, const char *what)
{
    if (method->group == EM_CHANGE) {
        note_in_the_dark(method);
    }
    call->method = method;
    call->round = counting_round;
    call->depth = ended + 1;
    call->waited_depth = waited_depth(method, what);
    call->changing_depth = changing_ended + (method->group == EM_CHANGE ? 1 : 0);
    call->modelled_ms = modelled_ended + (method->group == EM_CHANGE ? em_latency_modelled_ms(method->id) : 0);
    if (call->modelled_ms > modelled_longest) {
        modelled_longest = call->modelled_ms;
    }
    if (call->depth > longest) {
        longest = call->depth;
    }
    if (call->changing_depth > changing_longest) {
        changing_longest = call->changing_depth;
    }
}

void em_counts_end(const struct em_call_count *call, int status)
{
    json_t *count;

    if (call->round != counting_round) {
        return;
    }
    if (by_method == NULL) {
        by_method = json_object();
    }
    count = json_object_get(by_method, call->method->id);
    if (count == NULL) {
        count = json_pack("{s:i,s:i,s:b}", "calls", 0, "errors", 0, "changing", call->method->group == EM_CHANGE);
        json_object_set_new(by_method, call->method->id, count);
    }
    em_set_number(count, "calls", em_number(count, "calls", 0) + 1);
    if (status < 200 || status >= 300) {
        em_set_number(count, "errors", em_number(count, "errors", 0) + 1);
    }
    totals[call->method->group]++;
    if (call->method->group != EM_CHANGE || status < 200 || status >= 300) {
        waited_done(call);
    }
    if (call->depth > ended) {
        ended = call->depth;
    }
}

json_t *em_counts_get(void)
{
    return json_pack("{s:I,s:I,s:I,s:I,s:I,s:i,s:i,s:o,s:I,s:o,s:o}", "calls",
                     (json_int_t)(totals[EM_CHANGE] + totals[EM_READ] + totals[EM_LIST] + totals[EM_OPERATION_READ]),
                     "changing", (json_int_t)totals[EM_CHANGE], "reading", (json_int_t)totals[EM_READ], "listing",
                     (json_int_t)totals[EM_LIST], "operations", (json_int_t)totals[EM_OPERATION_READ], "chain",
                     (int)longest, "changing_chain", (int)changing_longest, "waited_chain",
                     waited_chain == NULL ? json_array() : json_deep_copy(waited_chain), "modelled_ms",
                     (json_int_t)modelled_longest, "methods",
                     by_method == NULL ? json_object() : json_deep_copy(by_method), "dark",
                     darkness == NULL ? json_array() : json_deep_copy(darkness));
}

static int by_name(const void *a, const void *b)
{
    return strcmp(*(const char *const *)a, *(const char *const *)b);
}

char *em_counts_table(void)
{
    size_t count = json_object_size(by_method), size, i = 0;
    const char **names = em_alloc((count + 1) * sizeof(*names)), *name;
    char *text = NULL;
    json_t *one;
    FILE *out = open_memstream(&text, &size);

    if (out == NULL) {
        abort();
    }
    json_object_foreach(by_method, name, one)
    {
        names[i++] = name;
    }
    qsort(names, count, sizeof(*names), by_name);
    fprintf(out, "%-40s %8s %8s\n", "method", "calls", "errors");
    for (i = 0; i < count; i++) {
        one = json_object_get(by_method, names[i]);
        fprintf(out, "%-40s %8lld %8lld%s\n", names[i], em_number(one, "calls", 0), em_number(one, "errors", 0),
                em_true(one, "changing") ? "  changing" : "");
    }
    fprintf(out,
            "%lu calls: %lu changing, %lu reading, %lu listing, %lu of operations; longest chain %u, of changing calls "
            "%u\n",
            totals[EM_CHANGE] + totals[EM_READ] + totals[EM_LIST] + totals[EM_OPERATION_READ], totals[EM_CHANGE],
            totals[EM_READ], totals[EM_LIST], totals[EM_OPERATION_READ], longest, changing_longest);
    fclose(out);
    free(names);
    return text;
}

void em_counts_reset(void)
{
    json_decref(by_method);
    json_decref(darkness);
    json_decref(waited_chain);
    json_decref(waited_reads);
    by_method = darkness = waited_chain = waited_reads = NULL;
    waited_ended = changes_done = 0;
    counting_round++;
    memset(totals, 0, sizeof(totals));
    ended = changing_ended = longest = changing_longest = 0;
    modelled_ended = modelled_longest = 0;
}
