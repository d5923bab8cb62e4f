/* double_graph.h - a graph of the float32 side of the program with the entries of the same name on the double side. In libengine_f64.a only. */
#ifndef BP_DOUBLE_GRAPH_H
#define BP_DOUBLE_GRAPH_H

#include "engine/network/network.h"

/* *layers is the caller's, also after an error; the copy borrows it. */
int bp_double_graph(const struct bp_graph *graph, struct bp_graph *copy, struct bp_layer **layers, struct bp_error *error);
void bp_double_values(const struct bp_entry *entry, struct bp_value *values);

#endif
