/* support.h - what the engine's tests share: networks from a line of text, literal comparisons, counted allocations.
 *
 * A network in text, layers divided by semicolons:  "dense units=8 activation=leaky_relu:0.1; dropout rate=0.5; reshape target_shape=2,-1".
 * A member of a family may carry its first parameter after a colon. name=... names the layer, in=a,b names what it reads, frozen=1 freezes it.
 * Losses of several outputs: "a: mse; b*0.5: huber delta=2", by layer, with the weight after a star. */
#ifndef TESTS_ENGINE_SUPPORT_H
#define TESTS_ENGINE_SUPPORT_H

#include "engine/network/network.h"
#include "engine/train/train.h"
#include "tests/allocations.h"
#include "tests/skip.h"

#include <check.h>

enum { TEST_LAYERS = 40 };

struct test_graph {
    struct bp_input inputs[4];
    struct bp_layer layers[TEST_LAYERS];
    struct bp_graph graph;
};

/* Fills graph from text, with one input "x" of that shape, and that loss ("huber delta=2"; "" or NULL: none) or those. Stops the test on a mistake in
 * the text. */
void test_graph(struct test_graph *graph, const char *text, const char *loss, struct bp_shape shape);
/* Adds a layer ("dense units=3 in=a") to the graph's; an output with its loss ("a*0.5: huber delta=2") to its outputs. */
void test_add_layer(struct test_graph *graph, const char *text);
void test_add_output(struct test_graph *graph, const char *text);
/* "a=1 b=2" into values of an entry whose defaults are already there. */
void test_values(const struct bp_entry *entry, struct bp_value *values, char *text);
/* Planned; the test fails with the error's message when it cannot be. */
struct bp_network *test_network(const char *text, const char *loss, struct bp_shape shape);
/* The error that planning gives: its message in error; the test fails when there is none. */
void test_plan_fails(const struct test_graph *graph, struct bp_error *error);

/* Largest |got - expected| over the largest |expected|. */
double test_distance(const bp_real *got, const double *expected, size_t n);

#define ck_contains(text, part) ck_assert_msg(strstr(text, part) != NULL, "\"%s\" does not contain \"%s\"", text, part)

#endif
